"""What stored collections are to a contract."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, Self, runtime_checkable

from genlayer_localnet.std.shared.storage import arrays, core, indirection, tree_map
from genlayer_localnet.std.shared.storage.arrays import array_desc
from genlayer_localnet.std.shared.storage.scalars import BytesDesc, scalar

from ..types import SizedArray

__all__ = ("VLA", "Array", "Comparable", "DynArray", "Pickled", "PickledDesc", "TreeMap")


@runtime_checkable
class Comparable(Protocol):
    """What keys of a map are."""

    def __lt__(self, other: Any, /) -> bool: ...


class DynArray[T](arrays.DynArray[T]):
    __doc__ = arrays.DynArray.__doc__

    __slots__ = ()

    def assign(self, values: Iterable[T]) -> Self:
        """Put these items in the place of all."""
        self[:] = values
        return self

    @classmethod
    def _items_of(cls, value: Any, item: core.TypeDesc) -> Any:
        if isinstance(value, arrays.DynArray):
            raise TypeError(f"a {cls.__name__} of other items is expected")
        return super()._items_of(value, item)


class Array[T, S](arrays.Array[T, S], SizedArray[T, S]):
    __doc__ = arrays.Array.__doc__

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        """An item; a slice is a view of its part of the array."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise KeyError("negative step is not supported" if step < 0 else "step is not supported")
        part = array_desc(type(self), self._item, max(stop - start, 0))
        return part.get(self._slot, self._off + start * self._item.size)


class VLA[T](indirection.VLA[T]):
    __doc__ = indirection.VLA.__doc__

    __slots__ = ()

    def _offset(self, index: int) -> int:
        length = len(self)
        if not 0 <= index < length:
            raise IndexError(f"{index} out of range 0..{length}")
        return index * self._item.size

    def data_offset(self) -> int:
        """Where in the slot the items begin."""
        return self._place()[1]

    def truncate(self, length: int = 0) -> None:
        """Drop the items from ``length`` on."""
        if not 0 <= length <= len(self):
            raise IndexError(f"{length} out of range 0..{len(self)}")
        self._set_length(length)

    def assign(self, values: Iterable[T]) -> Self:
        """Put these items in the place of all."""
        items = list(values)
        self._set_length(0)
        self.extend(items)
        return self


class TreeMap[K, V](tree_map.TreeMap[K, V]):
    __doc__ = tree_map.TreeMap.__doc__

    __slots__ = ()

    def assign(self, entries: Mapping[K, V]) -> Self:
        """Put these entries in the place of all."""
        plain = dict(entries)
        self.clear()
        self.update(plain)
        return self

    def get_or_insert_default(self, key: K, /) -> V:
        return super().get_or_insert_default(key)


class Pickled[T]:
    """A value of any type that can be pickled; it is read and written as a whole."""

    __slots__ = ("_off", "_slot")

    _off: int
    _slot: core.Slot

    __init__ = arrays.refuse_instances

    def load(self) -> T:
        value: T = pickle.loads(_BYTES.get(self._slot, self._off))
        return value

    def store(self, value: T) -> None:
        import cloudpickle

        _BYTES.set(self._slot, self._off, cloudpickle.dumps(value))


_BYTES: Final = scalar(BytesDesc)


class PickledDesc(BytesDesc):
    def get(self, slot: core.Slot, off: int) -> Any:
        view: Pickled[Any] = object.__new__(Pickled)
        view._slot = slot
        view._off = off
        return view

    def set(self, slot: core.Slot, off: int, value: Any) -> None:
        if not isinstance(value, Pickled):
            raise AssertionError(f"cannot assign {type(value).__name__} to Pickled")
        _BYTES.copy(slot, off, value._slot, value._off)
