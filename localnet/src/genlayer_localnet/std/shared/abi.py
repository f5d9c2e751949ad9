"""Calls to EVM contracts: ABI types of annotations, selectors, encoding of arguments and results."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, Final, NewType

from genlayer_localnet.address import Address, keccak256

from .integers import integer_of
from .storage.arrays import Array, DynArray

_FIXED_BYTES: Final = {f"bytes{size}": NewType(f"bytes{size}", bytes) for size in range(1, 33)}
globals().update(_FIXED_BYTES)  # bytes1 to bytes32

__all__ = (
    *_FIXED_BYTES,
    "InplaceTuple",
    "MethodEncoder",
    "decode",
    "encode",
    "selector_of",
    "signature_of",
    "type_name_of",
)


class InplaceTuple:
    """As the first argument of a tuple: its items stand for themselves, as arguments of a call do."""


_SIMPLE: Final[dict[Any, str]] = {
    **{kind: name for name, kind in _FIXED_BYTES.items()},
    bool: "bool",
    str: "string",
    bytes: "bytes",
}


def type_name_of(annotation: Any) -> str:
    """The ABI's name of an annotated type: ``u256`` is ``uint256``, ``list[Address]`` is ``address[]``.

    Raises:
        TypeError: when the ABI has no such type, as for ``int``, whose size is not said.
    """
    integer = integer_of(annotation)
    if integer is not None and integer.size:
        return f"{'int' if integer.signed else 'uint'}{integer.size * 8}"
    simple = _SIMPLE.get(annotation)
    if simple is not None:
        return simple
    if _is_address(annotation):
        return "address"
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, Sequence) or _is_a(origin, DynArray):
        return f"{type_name_of(args[0])}[]"
    if _is_a(origin, Array):
        return f"{type_name_of(args[0])}[{typing.get_args(args[1])[0]}]"
    if origin is tuple:
        return f"({','.join(_names(annotation))})"
    hint = "; use a sized integer such as u256" if annotation is int or integer is not None else ""
    raise TypeError(f"no ABI type for {annotation!r}{hint}")


def _is_a(origin: Any, view: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, view)


def _is_address(annotation: Any) -> bool:
    return _is_a(annotation, Address)


def _names(annotation: Any) -> list[str]:
    return [type_name_of(arg) for arg in typing.get_args(annotation) if arg is not InplaceTuple]


def signature_of(name: str, parameters: Any) -> str:
    """``signature_of("f", tuple[u8, list[i16]])`` is ``f(uint8,int16[])``."""
    return f"{name}({','.join(_names(parameters))})"


def selector_of(name: str, parameters: Any) -> bytes:
    """The first four bytes of the signature's Keccak-256 hash."""
    return keccak256(signature_of(name, parameters).encode("ascii"))[:4]


def encode(annotation: Any, value: Any) -> bytes:
    """Encode a value as the ABI's of this type; arguments of a call are of type ``tuple[InplaceTuple, …]``."""
    import eth_abi

    if InplaceTuple in typing.get_args(annotation):
        return eth_abi.encode(_names(annotation), _to_abi(value))
    return eth_abi.encode([type_name_of(annotation)], [_to_abi(value)])


def decode(annotation: Any, data: bytes) -> Any:
    """Read what ``encode`` wrote; addresses come as Address."""
    import eth_abi

    args = typing.get_args(annotation)
    if InplaceTuple in args:
        values = eth_abi.decode(_names(annotation), data)
        kinds = [arg for arg in args if arg is not InplaceTuple]
        return tuple(_from_abi(kind, value) for kind, value in zip(kinds, values, strict=True))
    return _from_abi(annotation, eth_abi.decode([type_name_of(annotation)], data)[0])


def _to_abi(value: Any) -> Any:
    if isinstance(value, Address):
        return value.as_bytes
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_to_abi(item) for item in value]
    return value


def _from_abi(annotation: Any, value: Any) -> Any:
    if integer_of(annotation) is not None:
        return value
    if _is_address(annotation):
        return annotation(value)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return tuple(_from_abi(arg, item) for arg, item in zip(args, value, strict=True))
    if origin is not None:
        return [_from_abi(args[0], item) for item in value]
    return value


class MethodEncoder:
    """How one declared method of an EVM contract is called and its result read."""

    def __init__(self, name: str, declaration: Callable[..., Any]) -> None:
        hints = typing.get_type_hints(declaration, include_extras=True)
        parameters = list(inspect.signature(declaration).parameters)[1:]
        missing = [parameter for parameter in parameters if parameter not in hints]
        if missing:
            raise TypeError(f"parameters of {declaration.__qualname__} have no type: {', '.join(missing)}")
        self.name = name
        self._parameters = GenericAlias(tuple, (InplaceTuple, *(hints[parameter] for parameter in parameters)))
        self._count = len(parameters)
        self.selector = selector_of(name, self._parameters)
        result = hints.get("return", type(None))
        # A method that returns several values is declared to return a tuple.
        is_tuple = typing.get_origin(result) is tuple
        self._result: Any = GenericAlias(tuple, (InplaceTuple, *typing.get_args(result))) if is_tuple else result

    def encode_call(self, args: tuple[Any, ...]) -> bytes:
        """Raises TypeError for a wrong number of arguments, and what eth_abi raises for wrong values."""
        if len(args) != self._count:
            raise TypeError(f"{self.name}() takes {self._count} arguments but {len(args)} were given")
        return self.selector + encode(self._parameters, args)

    def decode_result(self, data: bytes) -> Any:
        return None if self._result is type(None) else decode(self._result, data)
