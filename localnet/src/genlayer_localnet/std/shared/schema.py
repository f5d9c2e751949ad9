"""The schema of a contract: its constructor and public methods with the types of what goes in and comes out."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from typing import Any, Final

from genlayer_localnet.address import Address

from .integers import integer_of
from .storage.arrays import Items
from .storage.record import ORIGINAL_INIT_ATTR
from .storage.tree_map import TreeMap

__all__ = ("Schema",)

_NAMES: Final[dict[Any, str]] = {
    int: "int",
    None: "null",
    types.NoneType: "null",
    bool: "bool",
    str: "string",
    bytes: "bytes",
    bytearray: "bytes",
    collections.abc.Buffer: "bytes",
    list: "array",
    tuple: "array",
    collections.abc.Sequence: "array",
    dict: "dict",
    collections.abc.Mapping: "dict",
    Any: "any",
    object: "any",
    inspect.Parameter.empty: "any",
}
_ARRAYS: Final = (list, collections.abc.Sequence, collections.abc.MutableSequence)
_MAPS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Schema:
    """Writes schemas. A library derives from this to know more types."""

    unlisted: frozenset[str] = frozenset()
    """Names of public methods that are not part of it."""

    def of(self, contract: type) -> dict[str, Any]:
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
            if not getattr(method, "__gl_public__", False) or name in self.unlisted:
                continue
            if name.startswith("__"):
                raise TypeError(f"a public method cannot have a name that starts with __: {name}")
            methods[name] = self._method(method)
        return {"ctor": self._parameters(init), "methods": methods}

    def _method(self, method: Any) -> dict[str, Any]:
        described = self._parameters(method)
        for limit in ("min_gas_leader", "min_gas_validator"):
            value = getattr(method, f"__gl_{limit}__", None)
            if value is not None:
                described[limit] = value
        described["readonly"] = method.__gl_readonly__
        result = inspect.signature(method).return_annotation
        hint = inspect.Parameter.empty if result is inspect.Signature.empty else _hints(method)["return"]
        described["ret"] = self._describe_of(hint, method, "return")
        if not method.__gl_readonly__:
            described["payable"] = getattr(method, "__gl_payable__", False)
        return described

    def _parameters(self, method: Any) -> dict[str, Any]:
        hints = _hints(method)
        params: list[Any] = []
        kwparams: dict[str, Any] = {}
        for position, parameter in enumerate(inspect.signature(method).parameters.values()):
            if position == 0:
                continue  # self
            kind = self._describe_of(hints.get(parameter.name, inspect.Parameter.empty), method, parameter.name)
            match parameter.kind:
                case inspect.Parameter.KEYWORD_ONLY:
                    kwparams[parameter.name] = kind
                case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
                    raise TypeError(f"{method.__qualname__} takes any number of arguments, which a schema cannot say")
                case _:
                    params.append([parameter.name, kind])
        return {"params": params, "kwparams": kwparams}

    def _describe_of(self, annotation: Any, method: Any, name: str) -> Any:
        try:
            return self.describe(annotation)
        except TypeError as error:
            line = method.__code__.co_firstlineno
            raise TypeError(f"{error} (parameter {name!r} of {method.__qualname__}, {{'line': {line}}})") from None

    def describe(self, annotation: Any) -> Any:
        """Describe a type. Raises: TypeError."""
        if isinstance(annotation, collections.abc.Hashable) and annotation in _NAMES:
            return _NAMES[annotation]
        if integer_of(annotation) is not None:
            return "int"
        if _is_a(annotation, Address):
            return "address"
        if isinstance(annotation, typing.TypeAliasType):
            return self.describe(annotation.__value__)
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Union or origin is types.UnionType:
            return {"$or": [self.describe(arg) for arg in args]}
        if origin is typing.Annotated:
            return self.describe(args[0])
        if origin is tuple:
            return [{"$rep": self.describe(args[0])}] if args[1:] == (...,) else [self.describe(arg) for arg in args]
        if origin in _ARRAYS or _is_a(origin, Items):
            return [{"$rep": self.describe(args[0])}]
        if origin in _MAPS or _is_a(origin, TreeMap):
            return self._map(*args)
        if dataclasses.is_dataclass(origin or annotation) and isinstance(origin or annotation, type):
            return self._record(origin or annotation, args)
        if annotation is float:
            raise TypeError("use of 'float' type is not supported, use Decimal instead of it in text")
        raise TypeError(f"type is not supported in calldata: {annotation!r}")

    def _map(self, key: Any, value: Any) -> dict[str, Any]:
        if key is not str:
            raise TypeError(f"the keys of a map in calldata are str, not {key!r}")
        return {"$dict": self.describe(value)}

    def _record(self, cls: Any, args: tuple[Any, ...]) -> dict[str, Any]:
        parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
        given = dict(zip(parameters, args, strict=False))
        names = {parameter.__name__: parameter for parameter in getattr(cls, "__type_params__", ())}
        hints = _hints(cls, names)
        fields = [field.name for field in dataclasses.fields(cls)]
        return {name: self.describe(given.get(hints[name], hints[name])) for name in fields}


def _hints(described: Any, names: dict[str, Any] | None = None) -> dict[str, Any]:
    # With extras: how big an integer is may be said in one.
    return typing.get_type_hints(described, localns=names, include_extras=True)


def _is_a(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)
