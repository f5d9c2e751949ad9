"""The schema of a contract: its constructor and public methods with the types of what goes in and comes out."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from typing import Any, Final

from genlayer_localnet.address import Address

from .storage._internal.arrays import Array, DynArray
from .storage._internal.record import ORIGINAL_INIT_ATTR
from .storage._internal.tree_map import TreeMap
from .types import SIZED_INTEGERS, bigint

__all__ = ("get_schema",)

_NAMES: Final[dict[Any, str]] = {
    **dict.fromkeys(SIZED_INTEGERS, "int"),
    bigint: "int",
    int: "int",
    None: "null",
    types.NoneType: "null",
    bool: "bool",
    str: "string",
    bytes: "bytes",
    bytearray: "bytes",
    collections.abc.Buffer: "bytes",
    Address: "address",
    list: "array",
    tuple: "array",
    collections.abc.Sequence: "array",
    dict: "dict",
    collections.abc.Mapping: "dict",
    Any: "any",
    object: "any",
    inspect.Parameter.empty: "any",
}
_ARRAYS: Final = (list, DynArray, Array, collections.abc.Sequence, collections.abc.MutableSequence)
_MAPS: Final = (dict, TreeMap, collections.abc.Mapping, collections.abc.MutableMapping)
_UNLISTED: Final = "__on_errored_message__"


def get_schema(contract: type) -> dict[str, Any]:
    """Describe a contract's class, ready for JSON.

    Raises:
        TypeError: when it has no constructor of its own, a public method with a reserved name, or a parameter or
            result of a type that calldata does not have.
    """
    init: Any = contract.__init__  # type: ignore[misc]  # the class's own, not a subclass's
    init = getattr(init, ORIGINAL_INIT_ATTR, init)
    if init is object.__init__:
        raise TypeError(f"class {contract.__name__} has no __init__ of its own")
    if getattr(init, "__gl_public__", False):
        raise TypeError("__init__ must not be public")
    methods = {}
    for name, method in inspect.getmembers(contract, inspect.isfunction):
        if not getattr(method, "__gl_public__", False) or name == _UNLISTED:
            continue
        if name.startswith("__"):
            raise TypeError(f"a public method cannot have a name that starts with __: {name}")
        methods[name] = _describe_method(method)
    return {"ctor": _describe_parameters(init), "methods": methods}


def _describe_method(method: Any) -> dict[str, Any]:
    described = _describe_parameters(method)
    described["readonly"] = method.__gl_readonly__
    result = inspect.signature(method).return_annotation
    hint = inspect.Parameter.empty if result is inspect.Signature.empty else _hints(method)["return"]
    described["ret"] = _describe(hint, method, "return")
    if not method.__gl_readonly__:
        described["payable"] = getattr(method, "__gl_payable__", False)
    for limit in ("min_gas_leader", "min_gas_validator"):
        value = getattr(method, f"__gl_{limit}__", None)
        if value is not None:
            described[limit] = value
    return described


def _describe_parameters(method: Any) -> dict[str, Any]:
    hints = _hints(method)
    params: list[Any] = []
    kwparams: dict[str, Any] = {}
    for position, parameter in enumerate(inspect.signature(method).parameters.values()):
        if position == 0:
            continue  # self
        kind = _describe(hints.get(parameter.name, inspect.Parameter.empty), method, parameter.name)
        match parameter.kind:
            case inspect.Parameter.KEYWORD_ONLY:
                kwparams[parameter.name] = kind
            case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
                raise TypeError(f"{method.__qualname__} takes any number of arguments, which a schema cannot say")
            case _:
                params.append([parameter.name, kind])
    return {"params": params, "kwparams": kwparams}


def _hints(method: Any) -> dict[str, Any]:
    return typing.get_type_hints(method, include_extras=False)


def _describe(annotation: Any, method: Any, name: str) -> Any:
    try:
        return _type(annotation)
    except TypeError as error:
        line = method.__code__.co_firstlineno
        raise TypeError(f"{error} (parameter {name!r} of {method.__qualname__}, {{'line': {line}}})") from None


def _type(annotation: Any) -> Any:
    if isinstance(annotation, collections.abc.Hashable) and annotation in _NAMES:
        return _NAMES[annotation]
    if isinstance(annotation, typing.TypeAliasType):
        return _type(annotation.__value__)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return {"$or": [_type(arg) for arg in args]}
    if origin is tuple:
        return [{"$rep": _type(args[0])}] if args[1:] == (...,) else [_type(arg) for arg in args]
    if origin in _ARRAYS:
        return [{"$rep": _type(args[0])}]
    if origin in _MAPS:
        return _describe_map(*args)
    if dataclasses.is_dataclass(origin or annotation) and isinstance(origin or annotation, type):
        return _describe_record(origin or annotation, args)
    if annotation is float:
        raise TypeError("use of 'float' type is not supported, use Decimal instead of it in text")
    raise TypeError(f"type is not supported in calldata: {annotation!r}")


def _describe_map(key: Any, value: Any) -> dict[str, Any]:
    if key is not str:
        raise TypeError(f"the keys of a map in calldata are str, not {key!r}")
    return {"$dict": _type(value)}


def _describe_record(cls: type, args: tuple[Any, ...]) -> dict[str, Any]:
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
    given = dict(zip(parameters, args, strict=False))
    names = {parameter.__name__: parameter for parameter in getattr(cls, "__type_params__", ())}
    hints = typing.get_type_hints(cls, localns=names)
    fields = [field.name for field in dataclasses.fields(cls)]
    return {name: _type(given.get(hints[name], hints[name])) for name in fields}
