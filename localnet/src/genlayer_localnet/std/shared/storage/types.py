"""From annotations to descriptors."""

from __future__ import annotations

import datetime
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from genlayer_localnet.address import Address

from ..integers import integer_of
from .core import MemorySlot, TypeDesc
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

__all__ = ("ORIGINAL_INIT_ATTR", "Generics", "Lit", "StorageTypes", "copy_to_memory", "only_type")

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


_SCALARS: Final[Mapping[Any, TypeDesc]] = {
    bool: scalar(BoolDesc),
    str: scalar(StrDesc),
    bytes: scalar(BytesDesc),
    float: scalar(FloatDesc),
    None: scalar(NoneDesc),
    types.NoneType: scalar(NoneDesc),
}

# The built-in class even when a test tool has put a subclass in its place.
_DATETIME: Final = type(datetime.datetime.min)


def only_type(desc: TypeDesc | Lit) -> TypeDesc:
    """Where only a type will do. Raises: TypeError."""
    if isinstance(desc, Lit):
        raise TypeError(f"a type is expected where {desc.value!r} is given")
    return desc


class StorageTypes:
    """The types that a library can store.

    ``collections`` makes the descriptor of a generic class from those of its type arguments. A library derives from
    this to say otherwise what cannot be stored.
    """

    def __init__(self, address: type[Address], collections: Mapping[Any, Callable[..., TypeDesc]]) -> None:
        self._scalars = {**_SCALARS, address: scalar(AddressDesc, typing.cast(Hashable, address))}
        self._collections = collections

    # --- what cannot be stored ---

    def not_storable(self, annotation: Any, kind: Any) -> TypeError:
        return TypeError(f"not a type that can be stored: {annotation!r}")

    def not_one_type(self, literal: Any) -> TypeError:
        """A literal where only a type will do."""
        return TypeError(f"a type is expected where {literal!r} is given")

    def unbound(self, owner: Any, parameter: Any) -> TypeError:
        """A type parameter of ``owner`` has no value."""
        return TypeError(f"{owner} needs type arguments: {parameter} has no value here")

    # --- descriptors ---

    def build(self, annotation: Any, generics: Generics) -> TypeDesc | Lit:
        """The descriptor of an annotated type.

        Raises:
            TypeError: when values of the type cannot be stored.
        """
        known = self._scalars.get(annotation) if isinstance(annotation, Hashable) else None
        if known is not None:
            return known
        integer = integer_of(annotation)
        if integer is not None:
            return scalar(IntDesc, integer.size, integer.signed) if integer.size else scalar(BigIntDesc)
        if isinstance(annotation, typing.TypeVar):
            if annotation not in generics:
                raise self.unbound("the owner", annotation)
            return generics[annotation]
        if isinstance(annotation, typing.TypeAliasType):
            return self.build(annotation.__value__, generics)
        origin = typing.get_origin(annotation)
        if origin is not None:
            return self._build_parametrised(annotation, origin, typing.get_args(annotation), generics)
        if isinstance(annotation, type):
            return self._build_class(annotation)
        raise self.not_storable(annotation, annotation)

    def desc_of(self, annotation: Any, generics: Generics | None = None) -> TypeDesc:
        """As ``build``, where only a type will do."""
        desc = self.build(annotation, generics or {})
        if isinstance(desc, Lit):
            raise self.not_one_type(desc.value)
        return desc

    def _build_parametrised(
        self, annotation: Any, origin: Any, args: tuple[Any, ...], generics: Generics
    ) -> TypeDesc | Lit:
        if origin is typing.Literal:
            if len(args) != 1:
                raise self.not_one_type(annotation)
            return Lit(args[0])
        if origin is typing.Annotated:
            return self.build(args[0], generics)
        if origin in self._collections:
            return self._collections[origin](*(self.build(arg, generics) for arg in args))
        numpy = sys.modules.get("numpy")
        if numpy is not None and origin is numpy.ndarray:
            shape, dtype = args
            lengths = tuple(length for number in typing.get_args(shape) for length in typing.get_args(number))
            if len(lengths) != len(typing.get_args(shape)):
                raise TypeError("the shape of an array is given as tuple[typing.Literal[number], …]")
            return scalar(NumpyDesc, numpy.dtype(typing.get_args(dtype)[0]), lengths)
        if isinstance(origin, type) and _is_allowed(origin):
            return self._build_generic(origin, tuple(self.build(arg, generics) for arg in args))
        raise self.not_storable(annotation, origin)

    def _build_class(self, cls: type) -> TypeDesc:
        desc = cls.__dict__.get(DESC_ATTR)
        if isinstance(desc, TypeDesc):
            return desc
        if cls in self._collections:
            raise self.unbound(cls.__name__, next(iter(_type_parameters(cls)), "T"))
        if issubclass(cls, _DATETIME):
            return scalar(DatetimeDesc, typing.cast(Hashable, cls))
        if _is_allowed(cls):
            raise self.unbound(cls.__name__, next(iter(_type_parameters(cls)), cls.__name__))
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(cls, numpy.generic):
            return scalar(NumpyDesc, numpy.dtype(cls))
        raise self.not_storable(cls, cls)

    # --- records ---

    def allow[C: type](self, cls: C) -> C:
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
            self.allowed_generic(cls)
        else:
            self._attach(cls, _hints(cls), self._inherited_generics(cls), None)
        return cls

    def allowed_generic(self, cls: type) -> None:
        """What else is to be done with a generic class: nothing."""

    def attach_contract(self, cls: type) -> None:
        """Make the annotated attributes of a contract's class persistent."""
        setattr(cls, _ALLOWED_ATTR, True)
        self._attach(cls, _hints(cls), {}, None)

    def _attach(self, cls: type, hints: dict[str, Any], generics: Generics, origin: type | None) -> RecordDesc:
        fields = {}
        for name, hint in hints.items():
            try:
                fields[name] = self.desc_of(hint, generics)
            except TypeError as error:
                error.add_note(f"in attribute {name!r} of class {cls.__name__}")
                raise
        desc = RecordDesc(cls, fields, origin)
        for name, (off, field) in desc.fields.items():
            setattr(cls, name, field.field(off))
        setattr(cls, DESC_ATTR, desc)
        keep_init_for_memory(cls, desc)
        return desc

    def _build_generic(self, origin: type, args: tuple[TypeDesc | Lit, ...]) -> RecordDesc:
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
            generics = self._inherited_generics(origin) | dict(zip(parameters, args, strict=True))
            desc = self._attach(cls, hints, generics, origin)
            built[args] = desc
        return desc

    def _inherited_generics(self, cls: type) -> Generics:
        """What ``class Named(Box[u8])`` says about the type parameters of its bases."""
        generics: Generics = {}
        for base in getattr(cls, "__orig_bases__", ()):
            origin = typing.get_origin(base)
            if isinstance(origin, type) and _is_allowed(origin):
                for parameter, arg in zip(_type_parameters(origin), typing.get_args(base), strict=True):
                    if not isinstance(arg, typing.TypeVar):
                        generics[parameter] = self.build(arg, {})
                generics = self._inherited_generics(origin) | generics
        return generics

    def inmem_allocate(self, annotation: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a value of a storable type in memory: ``inmem_allocate(TreeMap[str, u8])``.

        The constructor of a record is called with the arguments.

        Raises:
            TypeError: when the type cannot be stored.
        """
        desc = self.desc_of(annotation)
        value = desc.get(MemorySlot(desc.size), 0)
        if isinstance(desc, RecordDesc):
            init = desc.cls.__init__  # type: ignore[misc]  # the class's own constructor, not a subclass's
            getattr(init, ORIGINAL_INIT_ATTR, init)(value, *args, **kwargs)
        elif args or kwargs:
            raise TypeError(f"{annotation!r} takes no arguments")
        return value


def copy_to_memory(value: Any) -> Any:
    """A copy of a record or collection that is not part of storage; other values are returned as they are.

    What a nondeterministic block captures should be such a copy.
    """
    desc = type(value).__dict__.get(DESC_ATTR) or getattr(value, "_desc", None)
    if desc is None:
        return value
    slot = MemorySlot(desc.size)
    desc.set(slot, 0, value)
    return desc.get(slot, 0)


def _is_allowed(cls: type) -> bool:
    return _ALLOWED_ATTR in cls.__dict__


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
