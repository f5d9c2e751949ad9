"""Slots, which hold bytes, and type descriptors, which read and write values in them.

A slot is addressed by 32 bytes; the sub-slot of a slot at an offset is ``sha3_256(slot id ‖ offset as u32)``. Content
of varying length lives in the sub-slot of its header's offset, so that two values never share a sub-slot.
Numbers are little-endian; what was never written reads as zero, and that is every type's default.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any, Final, Protocol

from ..requests import wasi

__all__ = ("HOST_MANAGER", "U32", "HostManager", "HostSlot", "MemorySlot", "Slot", "TypeDesc", "same_place")

U32: Final = 4
"""Size in bytes of the length that stands before content of varying length."""

_SLOT_CACHE_LIMIT: Final = 1 << 16


class Slot(Protocol):
    """Anything that stores bytes and has sub-slots; genlayer-test brings its own."""

    def read(self, off: int, length: int, /) -> bytes: ...

    def write(self, off: int, data: bytes, /) -> None: ...

    def indirect(self, off: int, /) -> Slot: ...


class HostSlot:
    """A slot of the running contract, read and written through the host at every access."""

    __slots__ = ("id", "manager")

    def __init__(self, slot_id: bytes, manager: HostManager) -> None:
        self.id = slot_id
        self.manager = manager

    def read(self, off: int, length: int, /) -> bytes:
        buffer = bytearray(length)
        wasi.storage_read(self.id, off, buffer)
        return bytes(buffer)

    def write(self, off: int, data: bytes, /) -> None:
        wasi.storage_write(self.id, off, data)

    def indirect(self, off: int, /) -> HostSlot:
        return self.manager.sub_slot(self.id, off)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_host_slot, (self.id,))


class HostManager:
    """Hands out the slots of the running contract.

    Slots carry no data, only ids, so they are kept for all contracts and calls alike.
    """

    def __init__(self, kind: type[HostSlot] = HostSlot) -> None:
        self._kind = kind
        self._sub_slots: dict[tuple[bytes, int], HostSlot] = {}

    def get_store_slot(self, slot_id: bytes) -> HostSlot:
        return self._kind(slot_id, self)

    def sub_slot(self, slot_id: bytes, off: int) -> HostSlot:
        slot = self._sub_slots.get((slot_id, off))
        if slot is None:
            if len(self._sub_slots) >= _SLOT_CACHE_LIMIT:
                self._sub_slots.clear()
            slot = self._kind(hashlib.sha3_256(slot_id + off.to_bytes(U32, "little")).digest(), self)
            self._sub_slots[slot_id, off] = slot
        return slot


HOST_MANAGER: Final = HostManager()


def _host_slot(slot_id: bytes) -> HostSlot:
    return HOST_MANAGER.get_store_slot(slot_id)


class MemorySlot:
    """A slot of a value that is not part of the contract's storage; a copy of it is a copy of its content."""

    __slots__ = ("_data", "_sub_slots")

    def __init__(self, size: int = 0) -> None:
        self._data = bytearray(size)
        self._sub_slots: dict[int, MemorySlot] = {}

    def read(self, off: int, length: int, /) -> bytes:
        return bytes(self._data[off : off + length]).ljust(length, b"\0")

    def write(self, off: int, data: bytes, /) -> None:
        missing = off - len(self._data)
        if missing > 0:
            self._data += bytes(missing)
        self._data[off : off + len(data)] = data

    def indirect(self, off: int, /) -> MemorySlot:
        slot = self._sub_slots.get(off)
        if slot is None:
            slot = self._sub_slots[off] = MemorySlot()
        return slot


def same_place(slot: Slot, off: int, other: Slot, other_off: int) -> bool:
    """Whether both are the same bytes of the same slot."""
    if off != other_off:
        return False
    slot_id = getattr(slot, "id", None)
    return slot is other or (slot_id is not None and slot_id == getattr(other, "id", None))


class TypeDesc(ABC):
    """How values of one type are kept in a slot. There is one descriptor per type, so they compare by identity.

    Values are Any: which type a descriptor is for is known only when the contract's annotations are read.
    """

    size: int
    """Bytes that a value takes up in place, without what it keeps in sub-slots."""

    plain: bool
    """Whether these bytes are all of the value, so that they can be copied as they are."""

    @abstractmethod
    def get(self, slot: Slot, off: int) -> Any:
        """Read the value, or make a live view of it."""

    @abstractmethod
    def set(self, slot: Slot, off: int, value: Any) -> None:
        """Store a copy of the value."""

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        """Copy a value of this type between two places that are not the same."""
        if self.size:
            to.write(to_off, source.read(source_off, self.size))

    def comparable(self, key: Any) -> Any:
        """A map's key in the form in which ``read_comparable`` gives stored keys.

        Raises:
            TypeError: when the key is of another type.
        """
        return key

    def read_comparable(self, slot: Slot, off: int) -> Any:
        return self.get(slot, off)

    def field(self, off: int) -> property:
        """The attribute of a record that keeps a value of this type ``off`` bytes from the record's start."""
        get, set_ = self.get, self.set

        def fget(view: Any) -> Any:
            return get(view._storage_slot, view._off + off)

        def fset(view: Any, value: Any) -> None:
            set_(view._storage_slot, view._off + off, value)

        return property(fget, fset)

    @abstractmethod
    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the call that finds this very descriptor, so that views stay assignable to each other."""
