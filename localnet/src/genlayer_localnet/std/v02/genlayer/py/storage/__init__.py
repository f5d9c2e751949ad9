"""Storage: the types for annotations, and values of them in memory."""

from __future__ import annotations

from typing import Any

from ._internal.arrays import Array, DynArray
from ._internal.core import MemorySlot, Slot
from ._internal.generate import ORIGINAL_INIT_ATTR, allow_storage, desc_of
from ._internal.indirection import VLA, Indirection
from ._internal.record import RecordDesc
from ._internal.tree_map import TreeMap
from .root import ROOT_SLOT_ID, Root

__all__ = (
    "ROOT_SLOT_ID",
    "VLA",
    "Array",
    "DynArray",
    "Indirection",
    "Root",
    "Slot",
    "TreeMap",
    "allow_storage",
    "copy_to_memory",
    "inmem_allocate",
)


def inmem_allocate(annotation: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a value of a storable type in memory: ``inmem_allocate(TreeMap[str, u8])``.

    The constructor of a record is called with the arguments.

    Raises:
        TypeError: when the type cannot be stored.
    """
    desc = desc_of(annotation)
    value = desc.get(MemorySlot(desc.size), 0)
    if isinstance(desc, RecordDesc):
        init = desc.cls.__init__  # type: ignore[misc]  # the class's own constructor, not a subclass's
        getattr(init, ORIGINAL_INIT_ATTR, init)(value, *args, **kwargs)
    elif args or kwargs:
        raise TypeError(f"{annotation!r} takes no arguments")
    return value


def copy_to_memory(value: Any) -> Any:
    """A copy of a record or collection that is not part of storage; other values are returned as they are.

    What a nondeterministic block captures should be such a copy.
    """
    desc = type(value).__dict__.get("__gl_storage_desc__") or getattr(value, "_desc", None)
    if desc is None:
        return value
    slot = MemorySlot(desc.size)
    desc.set(slot, 0, value)
    return desc.get(slot, 0)
