"""Storage, as ``gl.storage``."""

from ..py.storage import ROOT_SLOT_ID, VLA, Indirection, Root, copy_to_memory, inmem_allocate

__all__ = ("ROOT_SLOT_ID", "VLA", "Indirection", "Root", "copy_to_memory", "inmem_allocate")
