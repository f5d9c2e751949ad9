"""Calls to EVM contracts: ABI types of annotations, selectors, encoding of arguments and results."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

from genlayer_localnet.address import Address, keccak256

from .storage._internal.arrays import DynArray
from .types import SIZED_INTEGERS, bigint

__all__ = ("MethodEncoder", "abi_type", "decode", "encode", "selector_of", "signature_of")

_SIMPLE: Final[dict[Any, str]] = {
    **{kind: f"{'int' if signed else 'uint'}{size * 8}" for kind, (size, signed) in SIZED_INTEGERS.items()},
    bool: "bool",
    str: "string",
    bytes: "bytes",
    Address: "address",
}


def abi_type(annotation: Any) -> str:
    """The ABI's name of an annotated type: ``u256`` is ``uint256``, ``list[Address]`` is ``address[]``.

    Raises:
        TypeError: when the ABI has no such type, as for ``int``, whose size is not said.
    """
    simple = _SIMPLE.get(annotation)
    if simple is not None:
        return simple
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, DynArray, Sequence):
        return f"{abi_type(args[0])}[]"
    if origin is tuple:
        return f"({','.join(abi_type(arg) for arg in args)})"
    hint = "; use a sized integer such as u256" if annotation in (int, bigint) else ""
    raise TypeError(f"no ABI type for {annotation!r}{hint}")


def signature_of(name: str, types: Sequence[str]) -> str:
    return f"{name}({','.join(types)})"


def selector_of(signature: str) -> bytes:
    """The first four bytes of the signature's Keccak-256 hash."""
    return keccak256(signature.encode("ascii"))[:4]


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Encode values as the ABI's arguments of these types."""
    import eth_abi

    return eth_abi.encode(list(types), [_to_abi(value) for value in values])


def decode(types: Sequence[str], data: bytes) -> list[Any]:
    """Decode the ABI's results; addresses come as Address."""
    import eth_abi

    return [_from_abi(kind, value) for kind, value in zip(types, eth_abi.decode(list(types), data), strict=True)]


def _to_abi(value: Any) -> Any:
    if isinstance(value, Address):
        return value.as_bytes
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_to_abi(item) for item in value]
    return value


def _from_abi(kind: str, value: Any) -> Any:
    if kind == "address":
        return Address(value)
    if kind.endswith("[]"):
        return [_from_abi(kind[:-2], item) for item in value]
    if kind.startswith("("):
        return tuple(_from_abi(part, item) for part, item in zip(_split(kind[1:-1]), value, strict=True))
    return value


def _split(types: str) -> list[str]:
    """Split at the commas that are not inside a tuple."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(types):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append(types[start:at])
            start = at + 1
    return [*parts, types[start:]] if types else []


class MethodEncoder:
    """How one declared method of an EVM contract is called and its result read."""

    def __init__(self, name: str, declaration: Callable[..., Any]) -> None:
        hints = typing.get_type_hints(declaration)
        parameters = list(inspect.signature(declaration).parameters)[1:]
        missing = [parameter for parameter in parameters if parameter not in hints]
        if missing:
            raise TypeError(f"parameters of {declaration.__qualname__} have no type: {', '.join(missing)}")
        self.name = name
        self.types = [abi_type(hints[parameter]) for parameter in parameters]
        self.selector = selector_of(signature_of(name, self.types))
        self._returns = hints.get("return", type(None))

    def encode_call(self, args: tuple[Any, ...]) -> bytes:
        """Raises TypeError for a wrong number of arguments, and what eth_abi raises for wrong values."""
        if len(args) != len(self.types):
            raise TypeError(f"{self.name}() takes {len(self.types)} arguments but {len(args)} were given")
        return self.selector + encode(self.types, args)

    def decode_result(self, data: bytes) -> Any:
        if self._returns is type(None):
            return None
        # A method that returns several values is declared to return a tuple.
        if typing.get_origin(self._returns) is tuple:
            return tuple(decode([abi_type(arg) for arg in typing.get_args(self._returns)], data))
        return decode([abi_type(self._returns)], data)[0]
