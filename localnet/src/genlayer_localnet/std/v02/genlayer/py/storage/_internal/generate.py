"""From annotations to descriptors."""

from __future__ import annotations

import datetime
import sys
import types
import typing
from collections.abc import Callable, Hashable
from typing import Any, Final

from genlayer_localnet.address import Address

from ...types import SIZED_INTEGERS, bigint
from .arrays import Array, DynArray, array_desc, dyn_array_desc
from .core import TypeDesc
from .indirection import VLA, Indirection, indirection_desc, vla_desc
from .record import DESC_ATTR, ORIGINAL_INIT_ATTR, RecordDesc, keep_init_for_memory
from .scalars import (
    AddressDesc,
    BigIntDesc,
    BoolDesc,
    BytesDesc,
    DatetimeDesc,
    FloatDesc,
    IntDesc,
    NoneDesc,
    NumpyDesc,
    StrDesc,
    scalar,
)
from .tree_map import TreeMap, tree_map_desc

__all__ = ("ORIGINAL_INIT_ATTR", "Lit", "allow_storage", "build_contract_storage", "desc_of")

_ALLOWED_ATTR: Final = "__gl_allow_storage__"
_GENERIC_ATTR: Final = "__gl_storage_generics__"

type Generics = dict[Any, TypeDesc | Lit]


class Lit:
    """A literal given as a type argument, such as an array's length."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lit) and (type(self.value), self.value) == (type(other.value), other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Lit, (self.value,))


_SCALARS: Final[dict[Any, TypeDesc]] = {
    **{kind: scalar(IntDesc, size, signed) for kind, (size, signed) in SIZED_INTEGERS.items()},
    bigint: scalar(BigIntDesc),
    bool: scalar(BoolDesc),
    str: scalar(StrDesc),
    bytes: scalar(BytesDesc),
    float: scalar(FloatDesc),
    Address: scalar(AddressDesc),
    None: scalar(NoneDesc),
    types.NoneType: scalar(NoneDesc),
}

_REMEDIES: Final[dict[Any, str]] = {
    int: "use a sized integer such as u256, or bigint",
    list: "use DynArray",
    dict: "use TreeMap",
    bytearray: "use bytes",
    tuple: "use a dataclass with @allow_storage",
    set: "use TreeMap",
}

# The built-in class even when a test tool has put a subclass in its place.
_DATETIME: Final = type(datetime.datetime.min)


def _storage_build(annotation: Any, generics: Generics) -> TypeDesc | Lit:
    """The descriptor of an annotated type.

    Raises:
        TypeError: when values of the type cannot be stored.
    """
    known = _SCALARS.get(annotation) if isinstance(annotation, Hashable) else None
    if known is not None:
        return known
    if isinstance(annotation, typing.TypeVar):
        if annotation not in generics:
            raise TypeError(f"type parameter {annotation} has no value here")
        return generics[annotation]
    if isinstance(annotation, typing.TypeAliasType):
        return _storage_build(annotation.__value__, generics)
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _build_parametrised(annotation, origin, typing.get_args(annotation), generics)
    if isinstance(annotation, type):
        return _build_class(annotation)
    raise TypeError(f"not a type that can be stored: {annotation!r}")


def desc_of(annotation: Any, generics: Generics | None = None) -> TypeDesc:
    """As ``_storage_build``, where only a type will do."""
    desc = _storage_build(annotation, generics or {})
    if isinstance(desc, Lit):
        raise TypeError(f"a type is expected where {desc.value!r} is given")
    return desc


def _build_parametrised(annotation: Any, origin: Any, args: tuple[Any, ...], generics: Generics) -> TypeDesc | Lit:
    if origin is typing.Literal:
        if len(args) != 1:
            raise TypeError(f"one literal is expected, not {annotation!r}")
        return Lit(args[0])
    if origin is typing.Annotated:
        return _storage_build(args[0], generics)
    if origin in _COLLECTIONS:
        return _COLLECTIONS[origin](*(_storage_build(arg, generics) for arg in args))
    numpy = sys.modules.get("numpy")
    if numpy is not None and origin is numpy.ndarray:
        shape, dtype = args
        lengths = tuple(length for number in typing.get_args(shape) for length in typing.get_args(number))
        if len(lengths) != len(typing.get_args(shape)):
            raise TypeError("the shape of an array is given as tuple[typing.Literal[number], …]")
        return scalar(NumpyDesc, numpy.dtype(typing.get_args(dtype)[0]), lengths)
    if isinstance(origin, type) and _is_allowed(origin):
        return _build_generic(origin, tuple(_storage_build(arg, generics) for arg in args))
    raise _not_storable(annotation, origin)


def _build_array(item: TypeDesc | Lit, count: TypeDesc | Lit) -> TypeDesc:
    if not isinstance(count, Lit) or type(count.value) is not int or count.value < 0:
        raise TypeError("the length of an Array is given as typing.Literal[number]")
    return array_desc(_type(item), count.value)


def _type(desc: TypeDesc | Lit) -> TypeDesc:
    if isinstance(desc, Lit):
        raise TypeError(f"a type is expected where {desc.value!r} is given")
    return desc


_COLLECTIONS: Final[dict[Any, Callable[..., TypeDesc]]] = {
    DynArray: lambda item: dyn_array_desc(_type(item)),
    TreeMap: lambda key, value: tree_map_desc(_type(key), _type(value)),
    Array: _build_array,
    VLA: lambda item: vla_desc(_type(item)),
    Indirection: lambda item: indirection_desc(_type(item)),
}


def _build_class(cls: type) -> TypeDesc:
    desc = cls.__dict__.get(DESC_ATTR)
    if isinstance(desc, TypeDesc):
        return desc
    if cls in _COLLECTIONS:
        raise TypeError(f"{cls.__name__} needs type arguments")
    if issubclass(cls, _DATETIME):
        return scalar(DatetimeDesc, typing.cast(Hashable, cls))
    if _is_allowed(cls):
        raise TypeError(f"generic class {cls.__name__} needs type arguments")
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(cls, numpy.generic):
        return scalar(NumpyDesc, numpy.dtype(cls))
    raise _not_storable(cls, cls)


def _not_storable(annotation: Any, kind: Any) -> TypeError:
    remedy = _REMEDIES.get(kind, "decorate it with @allow_storage" if isinstance(kind, type) else "")
    hint = f"; {remedy}" if remedy else ""
    return TypeError(f"class is not marked for usage within storage: {annotation!r}{hint}")


def _is_allowed(cls: type) -> bool:
    return _ALLOWED_ATTR in cls.__dict__


# --- records ----------------------------------------------------------------------------------------------------


def allow_storage[C: type](cls: C) -> C:
    """Let instances of a class, usually a dataclass, be kept in storage: its annotated attributes are.

    Goes above ``@dataclass``. An instance made by calling the class lives in memory until it is assigned.

    Raises:
        TypeError: when an attribute has a type that cannot be stored.
    """
    if "__slots__" in cls.__dict__:
        raise TypeError(f"{cls.__name__} cannot have __slots__ and be stored")
    setattr(cls, _ALLOWED_ATTR, True)
    if not hasattr(cls, "__to_calldata__"):
        setattr(cls, "__to_calldata__", _record_to_calldata)  # noqa: B010 - the attribute is not part of the type
    if _type_parameters(cls):
        setattr(cls, _GENERIC_ATTR, {})
    else:
        _attach(cls, _hints(cls), _inherited_generics(cls), None)
    return cls


def build_contract_storage(cls: type) -> None:
    """Make the annotated attributes of a contract's class persistent."""
    setattr(cls, _ALLOWED_ATTR, True)
    _attach(cls, _hints(cls), {}, None)


def _attach(cls: type, hints: dict[str, Any], generics: Generics, origin: type | None) -> RecordDesc:
    fields = {}
    for name, hint in hints.items():
        try:
            fields[name] = desc_of(hint, generics)
        except TypeError as error:
            error.add_note(f"in attribute {name!r} of class {cls.__name__}")
            raise
    desc = RecordDesc(cls, fields, origin)
    for name, (off, field) in desc.fields.items():
        setattr(cls, name, field.field(off))
    setattr(cls, DESC_ATTR, desc)
    keep_init_for_memory(cls, desc)
    return desc


def _build_generic(origin: type, args: tuple[TypeDesc | Lit, ...]) -> RecordDesc:
    built: dict[Any, RecordDesc] | None = origin.__dict__.get(_GENERIC_ATTR)
    if built is None:
        raise TypeError(f"class {origin.__name__} takes no type arguments")
    desc = built.get(args)
    if desc is None:
        parameters = _type_parameters(origin)
        if len(parameters) != len(args):
            raise TypeError(f"class {origin.__name__} takes {len(parameters)} type arguments, not {len(args)}")
        cls = types.new_class(origin.__name__, (origin,), exec_body=_like(origin))
        hints = _hints(origin)
        generics = _inherited_generics(origin) | dict(zip(parameters, args, strict=True))
        desc = _attach(cls, hints, generics, origin)
        built[args] = desc
    return desc


def _like(origin: type) -> Callable[[dict[str, Any]], None]:
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(
            __module__=origin.__module__,
            __qualname__=origin.__qualname__,
            __doc__=origin.__doc__,
            __reduce__=_reduce_generic_view,
        )

    return fill


def _reduce_generic_view(view: Any) -> tuple[Any, ...]:
    desc: RecordDesc = type(view).__dict__[DESC_ATTR]
    return (_generic_view, (desc, view._storage_slot, view._off))


def _generic_view(desc: RecordDesc, slot: Any, off: int) -> Any:
    return desc.get(slot, off)


def _record_to_calldata(self: Any) -> dict[str, Any]:
    desc = type(self).__dict__.get(DESC_ATTR)
    names = desc.fields if isinstance(desc, RecordDesc) else vars(self)
    return {name: getattr(self, name) for name in names}


def _type_parameters(cls: type) -> tuple[Any, ...]:
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ()) or getattr(cls, "__type_params__", ())
    return parameters


def _inherited_generics(cls: type) -> Generics:
    """What ``class Named(Box[u8])`` says about the type parameters of its bases."""
    generics: Generics = {}
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and _is_allowed(origin):
            for parameter, arg in zip(_type_parameters(origin), typing.get_args(base), strict=True):
                if not isinstance(arg, typing.TypeVar):
                    generics[parameter] = _storage_build(arg, {})
            generics = _inherited_generics(origin) | generics
    return generics


def _hints(cls: type) -> dict[str, Any]:
    """The annotations of the class and its bases, in that order, without class variables.

    The type parameters are passed as names: Python before 3.12.8 does not find those of ``class Box[T]`` when
    annotations are text.
    """
    names: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        module = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        names.update({name: value for name, value in vars(base).items() if name not in module})
        names.update({parameter.__name__: parameter for parameter in getattr(base, "__type_params__", ())})
    hints = typing.get_type_hints(cls, localns=names, include_extras=True)
    return {
        name: hint
        for name, hint in hints.items()
        if hint is not typing.ClassVar and typing.get_origin(hint) is not typing.ClassVar
    }
