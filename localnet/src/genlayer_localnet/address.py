"""The 20-byte account address, as contracts and the host see it.

One class serves both sides: it is the v0.2 line's ``Address``, and the v0.3 line's is derived from it.
"""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Final, NoReturn, Self

from Crypto.Hash import keccak

__all__ = ("Address", "AddressError", "keccak256")

_BASE64_LENGTH: Final = 28
_HEX_LENGTH: Final = 42


class AddressError(Exception):
    """The text or bytes are no address.

    Not a ``ValueError``: the official library raises a bare ``Exception`` here, and a contract that catches
    ``ValueError`` must not pass on this library only to fail on the network.
    """


def keccak256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte Keccak-256 digest (Ethereum's padding, not SHA-3's)."""
    return keccak.new(digest_bits=256, data=bytes(data)).digest()


class Address:
    """An immutable 20-byte address, ordered by its bytes.

    Made from ``0x`` and 40 hexadecimal digits in any case, from base64 text of 28 characters, or from 20 bytes.

    Raises:
        AddressError: for anything else; letters in mixed case are not checked against their checksum.
    """

    __slots__ = ("_bytes", "_hex")
    SIZE: Final = 20

    _bytes: bytes
    _hex: str

    def __init__(self, value: str | bytes | bytearray | memoryview, /) -> None:
        _set_bytes(self, _parse(value))

    @classmethod
    def _unchecked(cls, raw: bytes) -> Self:
        """Wrap 20 bytes already known to be an address; for the codec and the storage, where speed counts."""
        address = _new(cls)
        _set_bytes(address, raw)
        return address

    @property
    def as_bytes(self) -> bytes:
        return self._bytes

    @property
    def as_hex(self) -> str:
        """The address as ``0x`` text with the EIP-55 checksum in its letters."""
        try:
            return self._hex
        except AttributeError:
            text = _checksum(self._bytes)
            _set_hex(self, text)
            return text

    @property
    def as_b64(self) -> str:
        return base64.b64encode(self._bytes).decode("ascii")

    @property
    def as_int(self) -> int:
        """The bytes read as an unsigned little-endian number."""
        return int.from_bytes(self._bytes, "little")

    def __bytes__(self) -> bytes:
        return self._bytes

    def __str__(self) -> str:
        return self.as_hex

    def __repr__(self) -> str:
        return f'Address("{self.as_hex}")'

    def __format__(self, spec: str) -> str:
        match spec:
            case "":
                return repr(self)
            case "x":
                return self.as_hex
            case "b64":
                return self.as_b64
        raise TypeError(f"unsupported format {spec!r} for Address")

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Address) else NotImplemented

    def __lt__(self, other: Address) -> bool:
        return self._bytes < other._bytes if isinstance(other, Address) else NotImplemented

    def __le__(self, other: Address) -> bool:
        return self._bytes <= other._bytes if isinstance(other, Address) else NotImplemented

    def __gt__(self, other: Address) -> bool:
        return self._bytes > other._bytes if isinstance(other, Address) else NotImplemented

    def __ge__(self, other: Address) -> bool:
        return self._bytes >= other._bytes if isinstance(other, Address) else NotImplemented

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Address is immutable, cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Address is immutable, cannot delete {name!r}")

    def __copy__(self) -> Address:
        return self

    def __deepcopy__(self, memo: object) -> Address:
        return self

    def __reduce__(self) -> tuple[type[Address], tuple[bytes]]:
        return (type(self), (self._bytes,))


# The slots' own setters go past the immutable __setattr__, and cost half of object.__setattr__.
_new = object.__new__
_set_bytes = Address.__dict__["_bytes"].__set__
_set_hex = Address.__dict__["_hex"].__set__


def _parse(value: object) -> bytes:
    if isinstance(value, str):
        raw = _parse_text(value)
    elif isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
    else:
        raise AddressError(f"an address is made of text or bytes, not {type(value).__name__}")
    if len(raw) != Address.SIZE:
        raise AddressError(f"an address has {Address.SIZE} bytes, not {len(raw)}")
    return raw


def _parse_text(text: str) -> bytes:
    try:
        if len(text) == _HEX_LENGTH and text.startswith("0x"):
            return bytes.fromhex(text[2:])
        if len(text) == _BASE64_LENGTH:
            return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        pass
    raise AddressError(f"not an address: {text[:64]!r}")


@functools.lru_cache(maxsize=4_096)
def _checksum(raw: bytes) -> str:
    digits = raw.hex()
    digest = keccak256(digits.encode("ascii")).hex()
    return "0x" + "".join(c.upper() if mark >= "8" else c for c, mark in zip(digits, digest, strict=False))
