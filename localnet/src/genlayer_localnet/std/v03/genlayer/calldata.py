"""The calldata codec."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from genlayer_localnet import calldata as _codec
from genlayer_localnet.calldata import CalldataEncodable, CalldataError, DecodingError, Raw, to_str

from .types import Address

__all__ = (
    "CalldataEncodable",
    "CalldataError",
    "DataclassMixin",
    "DecodingError",
    "Raw",
    "decode",
    "encode",
    "to_str",
)


class DataclassMixin:
    """Base of dataclasses that are to be calldata: they are encoded as maps of their fields."""

    def __to_calldata__(self) -> dict[str, Any]:
        fields: Any = self
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(fields)}


def encode(value: Any, *, default: Callable[[Any], Any] | None = None) -> bytes:
    """Encode a value.

    Raises:
        TypeError: for a value, or a key of a mapping, that calldata does not have.
        CalldataError: for nesting that is too deep.
    """
    try:
        return _codec.encode(value, default=default)
    except _codec.MemoryviewError:
        # Seldom, so the others need not be looked at one by one.
        return _codec.encode(value, default=lambda each: _as_bytes(each if default is None else default(each)))


def _as_bytes(value: Any) -> Any:
    return value.tobytes() if isinstance(value, memoryview) else value


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Decode one value, which must take up all of the bytes.

    Raises:
        DecodingError: for anything but the one valid encoding of a value.
        UnicodeDecodeError: for text that is not UTF-8.
    """
    try:
        return _codec.decode(data, Address)
    except DecodingError as error:
        if isinstance(error.__cause__, UnicodeDecodeError):
            raise error.__cause__ from None
        raise
