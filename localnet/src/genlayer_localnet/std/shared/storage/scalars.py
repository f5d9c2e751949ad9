"""Descriptors of values that are read whole: numbers, truth values, addresses, text, bytes, points in time."""

from __future__ import annotations

import datetime as _datetime
import functools
import math
import struct
from collections.abc import Callable
from typing import Any

from genlayer_localnet.address import Address

from .core import U32, Slot, TypeDesc

__all__ = (
    "AddressDesc",
    "BigIntDesc",
    "BoolDesc",
    "BytesDesc",
    "DatetimeDesc",
    "FloatDesc",
    "IntDesc",
    "NoneDesc",
    "NumpyDesc",
    "StrDesc",
    "scalar",
)

_from_bytes = int.from_bytes


def _not_a(expected: str, key: Any) -> TypeError:
    return TypeError(f"key must be {expected}, not {type(key).__name__}")


class _Scalar(TypeDesc):
    plain = True

    def __reduce__(self) -> tuple[Any, ...]:
        return (scalar, (type(self),))


@functools.cache
def scalar(kind: Callable[..., TypeDesc], *args: Any) -> TypeDesc:
    """The one descriptor of this kind and these arguments."""
    return kind(*args)


class IntDesc(_Scalar):
    """A sized integer. Values out of range raise OverflowError, values that are no integers AttributeError."""

    def __init__(self, size: int, signed: bool) -> None:
        self.size = size
        self.signed = signed

    def get(self, slot: Slot, off: int) -> int:
        return _from_bytes(slot.read(off, self.size), "little", signed=self.signed)

    read_comparable = get

    def set(self, slot: Slot, off: int, value: int) -> None:
        slot.write(off, value.to_bytes(self.size, "little", signed=self.signed))

    def comparable(self, key: Any) -> int:
        if not isinstance(key, int):
            raise _not_a("an integer", key)
        return key

    def field(self, off: int) -> property:
        size, signed = self.size, self.signed

        def fget(view: Any) -> int:
            return _from_bytes(view._storage_slot.read(view._off + off, size), "little", signed=signed)

        def fset(view: Any, value: int) -> None:
            view._storage_slot.write(view._off + off, value.to_bytes(size, "little", signed=signed))

        return property(fget, fset)

    def __reduce__(self) -> tuple[Any, ...]:
        return (scalar, (IntDesc, self.size, self.signed))


class BoolDesc(_Scalar):
    size = 1

    def get(self, slot: Slot, off: int) -> bool:
        return slot.read(off, 1) != b"\0"

    def set(self, slot: Slot, off: int, value: Any) -> None:
        slot.write(off, b"\1" if value else b"\0")


class FloatDesc(_Scalar):
    size = 8

    def get(self, slot: Slot, off: int) -> float:
        return float(struct.unpack("<d", slot.read(off, 8))[0])

    def set(self, slot: Slot, off: int, value: float) -> None:
        slot.write(off, struct.pack("<d", value))


class NoneDesc(_Scalar):
    size = 0

    def get(self, slot: Slot, off: int) -> None:
        return None

    def set(self, slot: Slot, off: int, value: None) -> None:
        if value is not None:
            raise TypeError(f"expected None, got {type(value).__name__}")


class AddressDesc(_Scalar):
    size = Address.SIZE

    def __init__(self, cls: type[Address]) -> None:
        self.cls = cls
        self._make = cls._unchecked

    def get(self, slot: Slot, off: int) -> Address:
        return self._make(slot.read(off, 20))

    def set(self, slot: Slot, off: int, value: Address) -> None:
        slot.write(off, value.as_bytes)

    def comparable(self, key: Any) -> bytes:
        if not isinstance(key, Address):
            raise _not_a("an Address", key)
        return key.as_bytes

    def read_comparable(self, slot: Slot, off: int) -> bytes:
        return slot.read(off, 20)

    def __reduce__(self) -> tuple[Any, ...]:
        return (scalar, (AddressDesc, self.cls))


class _Varying(_Scalar):
    """A length in place, and the content in the sub-slot."""

    size = U32
    plain = False

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        self._write(to, to_off, self._read(source, source_off))

    @staticmethod
    def _read(slot: Slot, off: int) -> bytes:
        length = _from_bytes(slot.read(off, U32), "little")
        return slot.indirect(off).read(0, length) if length else b""

    @staticmethod
    def _write(slot: Slot, off: int, content: bytes) -> None:
        slot.write(off, len(content).to_bytes(U32, "little"))
        if content:
            slot.indirect(off).write(0, content)


class StrDesc(_Varying):
    def get(self, slot: Slot, off: int) -> str:
        return self._read(slot, off).decode("utf-8")

    def set(self, slot: Slot, off: int, value: str) -> None:
        self._write(slot, off, value.encode("utf-8"))

    def comparable(self, key: Any) -> bytes:
        if not isinstance(key, str):
            raise _not_a("text", key)
        return key.encode("utf-8")  # sorts as the code points do

    def read_comparable(self, slot: Slot, off: int) -> bytes:
        return self._read(slot, off)


class BytesDesc(_Varying):
    def get(self, slot: Slot, off: int) -> bytes:
        return self._read(slot, off)

    read_comparable = get

    def set(self, slot: Slot, off: int, value: bytes) -> None:
        # Through a memoryview: bytes(5) would be five zeros where a TypeError is due.
        self._write(slot, off, bytes(memoryview(value)))

    def comparable(self, key: Any) -> bytes:
        if not isinstance(key, bytes | bytearray | memoryview):
            raise _not_a("bytes", key)
        return bytes(key)


class BigIntDesc(_Varying):
    """An integer without bounds, in two's complement."""

    def get(self, slot: Slot, off: int) -> int:
        return _from_bytes(self._read(slot, off), "little", signed=True)

    read_comparable = get

    def set(self, slot: Slot, off: int, value: int) -> None:
        size = (value.bit_length() + 8) // 8 if value else 0
        self._write(slot, off, value.to_bytes(size, "little", signed=True))

    def comparable(self, key: Any) -> int:
        if not isinstance(key, int):
            raise _not_a("an integer", key)
        return key


class DatetimeDesc(_Scalar):
    """Seconds since 1970 (u64), microseconds (u32), whether there is a zone (u8) and its offset in seconds (i32).

    Zero is 1970-01-01 without a zone. A point in time without a zone is stored as the local one.
    """

    size = 17
    _LAYOUT = struct.Struct("<QIBi")
    _EPOCH = _datetime.datetime(1970, 1, 1, tzinfo=_datetime.UTC)

    def __init__(self, cls: type[_datetime.datetime]) -> None:
        # The annotation's own class: test tools put a subclass with a clock of its own in place of the built-in.
        self.cls = cls

    def get(self, slot: Slot, off: int) -> _datetime.datetime:
        seconds, micros, has_zone, offset = self._LAYOUT.unpack(slot.read(off, self.size))
        zone = _datetime.timezone(_datetime.timedelta(seconds=offset)) if has_zone else None
        return self.cls.fromtimestamp(seconds, zone).replace(microsecond=micros)

    def set(self, slot: Slot, off: int, value: _datetime.datetime) -> None:
        if not isinstance(value, type(_datetime.datetime.min)):
            raise AttributeError(f"{type(value).__name__!r} object is no datetime")
        offset = 0
        if value.tzinfo is not None:
            delta = value.tzinfo.utcoffset(None)
            assert delta is not None, "only time zones of a fixed offset can be stored"
            offset = round(delta.total_seconds())
        since = value.astimezone(_datetime.UTC) - self._EPOCH
        seconds = since.days * 86_400 + since.seconds
        if seconds < 0:
            raise OverflowError("can't convert negative int to unsigned")
        slot.write(off, self._LAYOUT.pack(seconds, since.microseconds, value.tzinfo is not None, offset))

    def __reduce__(self) -> tuple[Any, ...]:
        return (scalar, (DatetimeDesc, self.cls))


class NumpyDesc(_Scalar):
    """A numpy scalar, or an array of a shape, read as a copy. numpy is not needed unless the contract uses it."""

    def __init__(self, dtype: Any, shape: tuple[int, ...] = ()) -> None:
        self.dtype = dtype
        self.shape = shape
        self.size = int(dtype.itemsize) * math.prod(shape)

    def get(self, slot: Slot, off: int) -> Any:
        import numpy

        return numpy.frombuffer(slot.read(off, self.size), self.dtype).reshape(self.shape)[()]

    def set(self, slot: Slot, off: int, value: Any) -> None:
        import numpy

        array = numpy.asarray(value, self.dtype)
        assert array.shape == self.shape, f"expected an array of shape {self.shape}, got {array.shape}"
        slot.write(off, array.tobytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return (scalar, (NumpyDesc, self.dtype, self.shape))
