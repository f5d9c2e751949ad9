"""The ABI of EVM contracts, as far as the consensus contract and its fees need it; importing eth-abi takes 0.2 s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from genlayer_localnet.address import keccak256

_WORD: Final = 32
_BITS: Final = {"uint8": 8, "uint256": 256, "address": 160, "bool": 1}


class AbiError(ValueError):
    """Data that is not the encoding of what it should be."""


class Array:
    """As many of one kind as there are."""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.name = f"{_name(item)}[]"


class Structure:
    """Values with names: the parameters of a function, or a tuple in them."""

    def __init__(self, **fields: Kind) -> None:
        self.fields = fields
        self.name = f"({','.join(map(_name, fields.values()))})"
        self.is_dynamic = any(map(_is_dynamic, fields.values()))
        self._layout: list[tuple[str, Kind, bool, int]] = []
        size = 0
        for name, kind in fields.items():
            self._layout.append((name, kind, _is_dynamic(kind), size))
            size += _head_size(kind)
        self.size = size
        """How much the part takes that does not depend on the values."""

    def selector(self, function: str) -> bytes:
        """The first four bytes of a call of this function."""
        return keccak256((function + self.name).encode())[:4]

    def inputs(self) -> list[dict[str, Any]]:
        """A function's parameters in the JSON form of interfaces."""
        return [_input(name, kind) for name, kind in self.fields.items()]

    def decode(self, data: bytes) -> dict[str, Any]:
        """Numbers, bytes (20 for an address), lists for arrays, dictionaries for structures. Raises: AbiError.

        What lies over something else is refused, so that this takes no more time than there is data.
        """
        return self.read(_Reader(data), 0)

    def read(self, reader: _Reader, start: int) -> dict[str, Any]:
        found = {}
        for name, kind, is_dynamic, place in self._layout:
            at = start + place
            found[name] = _read(reader, kind, start + reader.number(at) if is_dynamic else at)
        return found

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """What ``decode`` reads."""
        return _encoded_all(self.fields.values(), [values[name] for name in self.fields])


type Kind = str | Array | Structure
"""The name of a type of the ABI, or one that is made of others."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.left = len(data)

    def number(self, at: int) -> int:
        return int.from_bytes(self.take(at, _WORD), "big")

    def take(self, at: int, length: int) -> bytes:
        self.left -= length
        if at + length > len(self._data) or self.left < 0:
            raise AbiError("the data is cut off, or parts of it lie over each other")
        return self._data[at : at + length]


def _read(reader: _Reader, kind: Kind, at: int) -> Any:
    if isinstance(kind, Structure):
        return kind.read(reader, at)
    if isinstance(kind, Array):
        return _read_array(reader, kind.item, reader.number(at), at + _WORD)
    if kind == "bytes":
        return reader.take(at + _WORD, reader.number(at))
    word = reader.take(at, _WORD)
    if kind == "bytes32":
        return word
    number = int.from_bytes(word, "big")
    if number >> _BITS[kind]:
        raise AbiError(f"0x{word.hex()} is no {kind}")
    return word[-20:] if kind == "address" else bool(number) if kind == "bool" else number


def _read_array(reader: _Reader, item: Kind, count: int, start: int) -> list[Any]:
    if count > reader.left // _WORD:
        raise AbiError(f"an array of {count} items is longer than the data")
    size, is_dynamic = _head_size(item), _is_dynamic(item)
    places = range(start, start + count * size, size)
    return [_read(reader, item, start + reader.number(at) if is_dynamic else at) for at in places]


def _name(kind: Kind) -> str:
    return kind if isinstance(kind, str) else kind.name


def _is_dynamic(kind: Kind) -> bool:
    return kind.is_dynamic if isinstance(kind, Structure) else isinstance(kind, Array) or kind == "bytes"


def _head_size(kind: Kind) -> int:
    """What is dynamic is somewhere else."""
    return kind.size if isinstance(kind, Structure) and not kind.is_dynamic else _WORD


def _input(name: str, kind: Kind) -> dict[str, Any]:
    inner, end = (kind.item, "[]") if isinstance(kind, Array) else (kind, "")
    text = f"tuple{end}" if isinstance(inner, Structure) else _name(kind)
    found: dict[str, Any] = {"internalType": text, "name": name, "type": text}
    return {**found, "components": inner.inputs()} if isinstance(inner, Structure) else found


def _encoded_all(kinds: Iterable[Kind], values: Iterable[Any]) -> bytes:
    kinds = list(kinds)
    heads, tails, size = [], b"", sum(map(_head_size, kinds))
    for kind, value in zip(kinds, values, strict=True):
        encoded = _encoded(kind, value)
        heads.append(_number(size + len(tails)) if _is_dynamic(kind) else encoded)
        tails += encoded if _is_dynamic(kind) else b""
    return b"".join(heads) + tails


def _encoded(kind: Kind, value: Any) -> bytes:
    if isinstance(kind, Structure):
        return kind.encode(value)
    if isinstance(kind, Array):
        return _number(len(value)) + _encoded_all([kind.item] * len(value), value)
    if kind == "bytes":
        return b"".join((_number(len(value)), value, bytes(-len(value) % _WORD)))
    return value.rjust(_WORD, b"\0") if isinstance(value, bytes) else _number(value)


def _number(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")
