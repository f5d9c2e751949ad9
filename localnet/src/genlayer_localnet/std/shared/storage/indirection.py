"""``Indirection`` gives a value a slot of its own; ``VLA`` is a sequence that only such a slot has room for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Self

from .arrays import Growing, refuse_instances
from .core import U32, Slot, TypeDesc, same_place

__all__ = ("VLA", "Indirection", "indirection_desc")

_new = object.__new__


class VLA[T](Growing[T]):
    """Items right after their number, growing at the end of a slot of their own. Only in an ``Indirection``."""

    __slots__ = ()

    def _place(self) -> tuple[Slot, int]:
        return self._slot, self._off + U32

    def __setitem__(self, index: int, value: T) -> None:
        self._set(index, value)

    def append(self, value: T) -> None:
        length = len(self)
        self._set_length(length + 1)
        self._item.set(self._slot, self._off + U32 + length * self._item.size, value)

    def extend(self, values: Sequence[T]) -> None:
        for value in values:
            self.append(value)

    def truncate(self, length: int = 0) -> None:
        """Drop the items from ``length`` on."""
        if not 0 <= length <= len(self):
            raise IndexError(f"cannot truncate {len(self)} items to {length}")
        self._set_length(length)


class Indirection[T]:
    """A value that begins its own slot."""

    __slots__ = ("_item", "_off", "_slot")

    _item: TypeDesc
    _off: int
    _slot: Slot

    __init__ = refuse_instances

    def get(self) -> T:
        value: T = self._item.get(self._slot.indirect(self._off), 0)
        return value

    def set(self, value: T) -> None:
        self._item.set(self._slot.indirect(self._off), 0, value)

    def slot(self) -> Slot:
        """The slot that the value begins."""
        return self._slot.indirect(self._off)

    @classmethod
    def _at(cls, slot: Slot, off: int, item: TypeDesc) -> Self:
        view = _new(cls)
        view._slot = slot
        view._off = off
        view._item = item
        return view


class _IndirectionDesc(TypeDesc):
    size = 1  # nothing is kept in place, but the offset must be the value's own
    plain = False

    def __init__(self, item: TypeDesc) -> None:
        self.item = item

    def get(self, slot: Slot, off: int) -> Any:
        return Indirection._at(slot, off, self.item)

    def set(self, slot: Slot, off: int, value: Any) -> None:
        if type(value) is not Indirection or value._item is not self.item:
            raise AssertionError(f"cannot assign {type(value).__name__} to an Indirection")
        if not same_place(slot, off, value._slot, value._off):
            self.copy(slot, off, value._slot, value._off)

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        self.item.copy(to.indirect(to_off), 0, source.indirect(source_off), 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return (indirection_desc, (self.item,))


@functools.cache
def indirection_desc(item: TypeDesc) -> TypeDesc:
    return _IndirectionDesc(item)
