"""Sequences in storage: ``DynArray`` and ``Array``, and what ``VLA`` shares with them.

A library that wants more of a view derives from it, and gives descriptors its own class.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import MutableSequence, Sequence
from typing import Any, overload

from .core import U32, MemorySlot, Slot, TypeDesc, same_place

__all__ = ("Array", "DynArray", "Growing", "Items", "array_desc", "growing_desc", "refuse_instances")

_new = object.__new__
_from_bytes = int.from_bytes


def refuse_instances(self: object) -> None:
    raise TypeError("this class can't be instantiated by user")


def _plain_sequence(value: Any) -> Sequence[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return value
    raise TypeError(f"expected a sequence, got {type(value).__name__}")


class Items[T](Sequence[T]):
    """What all sequences share: indexing with bounds checked against the present length."""

    __slots__ = ("_item", "_off", "_slot")

    _item: TypeDesc
    _off: int
    _slot: Slot

    __init__ = refuse_instances

    def _place(self) -> tuple[Slot, int]:
        """Slot and offset of the first item."""
        raise NotImplementedError

    @property
    def _desc(self) -> TypeDesc:
        raise NotImplementedError

    def _offset(self, index: int) -> int:
        """The offset of an item from the first one."""
        length = len(self)
        position = operator.index(index)
        if position < 0:
            position += length
        if not 0 <= position < length:
            raise IndexError(f"index out of range {index} not in 0..<{length}")
        return position * self._item.size

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = self._offset(index)
        slot, off = self._place()
        value: T = self._item.get(slot, off + at)
        return value

    def _set(self, index: int, value: T) -> None:
        at = self._offset(index)
        slot, off = self._place()
        self._item.set(slot, off + at, value)

    def __to_calldata__(self) -> list[T]:
        return list(self)

    def __repr__(self) -> str:
        return f"[{','.join(map(repr, self))}]"


class Growing[T](Items[T]):
    """A sequence whose length is kept in place."""

    __slots__ = ()

    def __len__(self) -> int:
        return _from_bytes(self._slot.read(self._off, U32), "little")

    def _set_length(self, length: int) -> None:
        self._slot.write(self._off, length.to_bytes(U32, "little"))

    @property
    def _desc(self) -> TypeDesc:
        return growing_desc(type(self), self._item)

    @classmethod
    def _items_of(cls, value: Any, item: TypeDesc) -> Sequence[Any]:
        """What to store of a value that is no such sequence of the same items. Raises: TypeError."""
        return _plain_sequence(value)


class _GrowingDesc(TypeDesc):
    """A length in place; where the items are is the view's business."""

    size = U32
    plain = False

    def __init__(self, view: type[Growing[Any]], item: TypeDesc) -> None:
        self.view = view
        self.item = item

    def get(self, slot: Slot, off: int) -> Any:
        view = _new(self.view)
        view._slot = slot
        view._off = off
        view._item = self.item
        return view

    def set(self, slot: Slot, off: int, value: Any) -> None:
        if type(value) is self.view and value._item is self.item:
            if not same_place(slot, off, value._slot, value._off):
                self.copy(slot, off, value._slot, value._off)
            return
        items = list(self.view._items_of(value, self.item))
        view = self.get(slot, off)
        view._set_length(len(items))
        to, start = view._place()
        for position, item in enumerate(items):
            self.item.set(to, start + position * self.item.size, item)

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        source_view, view = self.get(source, source_off), self.get(to, to_off)
        length = len(source_view)
        view._set_length(length)
        if length:
            _copy_items(self.item, length, view._place(), source_view._place())

    def __reduce__(self) -> tuple[Any, ...]:
        return (growing_desc, (self.view, self.item))


@functools.cache
def growing_desc(view: type[Growing[Any]], item: TypeDesc) -> TypeDesc:
    """The one descriptor of this view of such items."""
    return _GrowingDesc(view, item)


def _copy_items(item: TypeDesc, count: int, to: tuple[Slot, int], source: tuple[Slot, int]) -> None:
    if item.plain:
        to[0].write(to[1], source[0].read(source[1], count * item.size))
        return
    for at in range(0, count * item.size, item.size):
        item.copy(to[0], to[1] + at, source[0], source[1] + at)


class DynArray[T](Growing[T], MutableSequence[T]):
    """A list in storage. Indexing it gives live views of records and collections; a slice is a plain list."""

    __slots__ = ()

    def _place(self) -> tuple[Slot, int]:
        return self._slot.indirect(self._off), 0

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, slice):
            self._set(index, value)
            return
        items = [self._out_of_place(item) for item in self]
        items[index] = [self._out_of_place(item) for item in value]
        self._desc.set(self._slot, self._off, items)

    def __delitem__(self, index: Any) -> None:
        if isinstance(index, slice):
            items_left = [self._out_of_place(item) for item in self]
            del items_left[index]
            self._desc.set(self._slot, self._off, items_left)
            return
        at = self._offset(index)
        items, size, last = self._slot.indirect(self._off), self._item.size, len(self) - 1
        for off in range(at, last * size, size):
            self._item.copy(items, off, items, off + size)
        self._set_length(last)

    def insert(self, index: int, value: T) -> None:
        """Insert before an existing item. As in the official library there must be one: use ``append`` at the end."""
        at = self._offset(index)
        items, size, length = self._slot.indirect(self._off), self._item.size, len(self)
        value = self._out_of_place(value)
        self._set_length(length + 1)
        for off in range(length * size, at, -size):
            self._item.copy(items, off, items, off - size)
        self._item.set(items, at, value)

    def append(self, value: T) -> None:
        """Add an item. When it is of the wrong type or out of range the array has grown all the same."""
        length = len(self)
        self._set_length(length + 1)
        self._item.set(self._slot.indirect(self._off), length * self._item.size, value)

    def append_new_get(self) -> T:
        """Grow by one and return the new item, which is what was deleted at its place, if anything was."""
        length = len(self)
        self._set_length(length + 1)
        value: T = self._item.get(self._slot.indirect(self._off), length * self._item.size)
        return value

    def pop(self) -> None:  # type: ignore[override]  # recorded of the official library
        """Remove the last item. As in the official library it is not returned, and no other one can be removed."""
        length = len(self)
        if not length:
            raise Exception("can't pop from empty array")
        self._set_length(length - 1)

    def clear(self) -> None:
        self._set_length(0)

    def reverse(self) -> None:
        """Reverse in place. (The official library makes all records of an array the same one here; this does not.)"""
        items, size = self._slot.indirect(self._off), self._item.size
        low, high = 0, (len(self) - 1) * size
        while low < high:
            kept = MemorySlot()
            self._item.copy(kept, 0, items, low)
            self._item.copy(items, low, items, high)
            self._item.copy(items, high, kept, 0)
            low, high = low + size, high - size

    def _out_of_place(self, value: T) -> T:
        """The value as it is now, even if it is a view of an item that is about to be moved."""
        kept = MemorySlot()
        self._item.set(kept, 0, value)
        copied: T = self._item.get(kept, 0)
        return copied


class Array[T, S](Items[T]):
    """A sequence of fixed length, ``Array[u8, typing.Literal[4]]``, kept in place."""

    __slots__ = ("_count",)

    _count: int

    def __len__(self) -> int:
        return self._count

    def _place(self) -> tuple[Slot, int]:
        return self._slot, self._off

    @property
    def _desc(self) -> TypeDesc:
        return array_desc(type(self), self._item, self._count)

    def __setitem__(self, index: int, value: T) -> None:
        self._set(index, value)


class _ArrayDesc(TypeDesc):
    def __init__(self, view: type[Array[Any, Any]], item: TypeDesc, count: int) -> None:
        self.view = view
        self.item = item
        self.count = count
        self.size = item.size * count
        self.plain = item.plain

    def get(self, slot: Slot, off: int) -> Any:
        view: Array[Any, Any] = _new(self.view)
        view._slot = slot
        view._off = off
        view._item = self.item
        view._count = self.count
        return view

    def set(self, slot: Slot, off: int, value: Any) -> None:
        items = _plain_sequence(value)
        if len(items) != self.count:
            raise AssertionError
        if type(value) is self.view and value._item is self.item:
            if not same_place(slot, off, value._slot, value._off):
                self.copy(slot, off, value._slot, value._off)
            return
        for position, item in enumerate(list(items)):
            self.item.set(slot, off + position * self.item.size, item)

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        _copy_items(self.item, self.count, (to, to_off), (source, source_off))

    def __reduce__(self) -> tuple[Any, ...]:
        return (array_desc, (self.view, self.item, self.count))


@functools.cache
def array_desc(view: type[Array[Any, Any]], item: TypeDesc, count: int) -> TypeDesc:
    """The one descriptor of this view of so many such items."""
    return _ArrayDesc(view, item, count)
