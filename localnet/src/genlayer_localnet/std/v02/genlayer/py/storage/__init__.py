"""Storage: the types for annotations, and values of them in memory."""

from genlayer_localnet.std.shared.storage.arrays import Array, DynArray
from genlayer_localnet.std.shared.storage.core import Slot
from genlayer_localnet.std.shared.storage.indirection import VLA, Indirection
from genlayer_localnet.std.shared.storage.types import copy_to_memory

from ._internal.generate import TreeMap, allow_storage, inmem_allocate
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
