"""Storage: the types for annotations, values of them in memory, and the root."""

from genlayer_localnet.std.shared.storage import types as _types
from genlayer_localnet.std.shared.storage.indirection import Indirection

from ._internal.generate import GenerationError as GenerationError
from ._internal.generate import allow, inmem_allocate
from .root import ROOT_SLOT_ID, Manager, Root, Slot
from .root import InmemManager as InmemManager
from .views import VLA, Array, Comparable, DynArray, Pickled, TreeMap

__all__ = (
    "ROOT_SLOT_ID",
    "VLA",
    "Array",
    "Comparable",
    "DynArray",
    "Indirection",
    "Manager",
    "Pickled",
    "Root",
    "Slot",
    "TreeMap",
    "allow",
    "inmem_allocate",
)

copy_to_memory = _types.copy_to_memory
