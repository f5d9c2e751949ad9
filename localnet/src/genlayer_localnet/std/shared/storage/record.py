"""Records: classes whose annotated attributes are kept in a slot, one after the other."""

from __future__ import annotations

import functools
from typing import Any, Final

from .core import MemorySlot, Slot, TypeDesc, same_place

__all__ = ("DESC_ATTR", "ORIGINAL_INIT_ATTR", "RecordDesc", "keep_init_for_memory")

ORIGINAL_INIT_ATTR: Final = "__gl_original_init__"
"""Where the constructor that was written for a class is kept; it runs on an instance that has its slot already."""

DESC_ATTR: Final = "__gl_storage_desc__"

_new = object.__new__
_set_attribute = object.__setattr__  # past the __setattr__ of frozen dataclasses


class RecordDesc(TypeDesc):
    """A class with the layout of its fields. Instances of the class are views of wherever they are kept.

    The class is ``cls``; for a generic class with arguments that is a subclass of its own, made for these arguments.
    """

    def __init__(self, cls: type, fields: dict[str, TypeDesc], origin: type | None = None) -> None:
        self.cls = cls
        self.origin = origin or cls
        self._descs = fields
        self.fields: dict[str, tuple[int, TypeDesc]] = {}
        self.size = 0
        for name, desc in fields.items():
            self.fields[name] = (self.size, desc)
            self.size += desc.size
        self.plain = all(desc.plain for desc in fields.values())
        self._copies = _copy_plan(self.fields)

    def get(self, slot: Slot, off: int) -> Any:
        view: Any = _new(self.cls)
        _set_attribute(view, "_storage_slot", slot)
        _set_attribute(view, "_off", off)
        return view

    def in_memory(self) -> Any:
        """A view of a zeroed place of its own, outside the contract's storage."""
        return self.get(MemorySlot(self.size), 0)

    def set(self, slot: Slot, off: int, value: Any) -> None:
        kind: type = type(value)
        if kind is self.cls:
            if not same_place(slot, off, value._storage_slot, value._off):
                self.copy(slot, off, value._storage_slot, value._off)
            return
        # A generic class called without type arguments makes an ordinary object.
        if kind is not self.origin:
            raise AssertionError(f"cannot assign {kind.__name__} to {self.cls.__name__}")
        for name, (field_off, desc) in self.fields.items():
            desc.set(slot, off + field_off, getattr(value, name))

    def copy(self, to: Slot, to_off: int, source: Slot, source_off: int) -> None:
        for field_off, size, desc in self._copies:
            if desc is None:
                to.write(to_off + field_off, source.read(source_off + field_off, size))
            else:
                desc.copy(to, to_off + field_off, source, source_off + field_off)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_desc_of_class, (self.cls, self._descs, self.origin))


def _copy_plan(fields: dict[str, tuple[int, TypeDesc]]) -> list[tuple[int, int, TypeDesc | None]]:
    """What to copy, in order of offsets: runs of plain bytes at once, everything else by its descriptor."""
    plan: list[tuple[int, int, TypeDesc | None]] = []
    for off, desc in fields.values():
        if not desc.plain:
            plan.append((off, desc.size, desc))
        elif plan and plan[-1][2] is None:
            plan[-1] = (plan[-1][0], plan[-1][1] + desc.size, None)
        elif desc.size:
            plan.append((off, desc.size, None))
    return plan


def _desc_of_class(cls: type, fields: dict[str, TypeDesc], origin: type) -> RecordDesc:
    """The class's descriptor. A class that was pickled by value is not filled yet when the first part of it asks."""
    desc: RecordDesc | None = cls.__dict__.get(DESC_ATTR)
    if desc is None:
        desc = RecordDesc(cls, fields, origin)
        setattr(cls, DESC_ATTR, desc)
    return desc


def keep_init_for_memory(cls: type, desc: RecordDesc) -> None:
    """Let the class be called: the new instance is kept in memory, range checks and all."""
    inherited: Any = cls.__dict__.get("__init__", cls.__init__)  # type: ignore[misc]
    original = getattr(inherited, ORIGINAL_INIT_ATTR, inherited)
    size = desc.size

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            self._storage_slot  # noqa: B018 - set already when a subclass calls super().__init__()
        except AttributeError:
            _set_attribute(self, "_storage_slot", MemorySlot(size))
            _set_attribute(self, "_off", 0)
        original(self, *args, **kwargs)

    setattr(init, ORIGINAL_INIT_ATTR, original)
    cls.__init__ = init  # type: ignore[misc]
