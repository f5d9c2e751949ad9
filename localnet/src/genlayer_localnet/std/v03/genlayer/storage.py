"""Storage: the types for annotations, values of them in memory, and the root."""

from __future__ import annotations

import pickle
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Protocol, Self, runtime_checkable

from genlayer_localnet.std.shared.integers import SIZES
from genlayer_localnet.std.shared.storage import arrays, core, indirection, tree_map, types
from genlayer_localnet.std.shared.storage.arrays import array_desc, growing_desc
from genlayer_localnet.std.shared.storage.indirection import Indirection, indirection_desc
from genlayer_localnet.std.shared.storage.scalars import BytesDesc, scalar
from genlayer_localnet.std.shared.storage.types import (
    ORIGINAL_INIT_ATTR,
    Generics,
    Lit,
    StorageTypes,
    only_type,
)

from ._abi import ABI
from .types import Address, SizedArray

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

ROOT_SLOT_ID: Final = bytes(32)


class GenerationError(TypeError):
    """Values of the type cannot be stored."""


# --- slots --------------------------------------------------------------------------------------------------------


class Manager(core.HostManager):
    """Hands out the slots of the running contract."""

    def __init__(self) -> None:
        super().__init__(Slot)


class Slot(core.HostSlot):
    """A slot of the running contract."""

    __slots__ = ()

    def as_int(self) -> int:
        """The slot's id as a little-endian number."""
        return int.from_bytes(self.id, "little")

    def cast(self, annotation: Any, offset: int = 0) -> Any:
        """What is kept at an offset, as a value or a view of this type."""
        return desc_of(annotation).get(self, offset)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_slot_at, (self.id,))


_MANAGER: Final = Manager()


def _slot_at(slot_id: bytes) -> core.HostSlot:
    return _MANAGER.get_store_slot(slot_id)


class InmemManager(Manager):
    """Slots that are kept in memory."""

    def __init__(self) -> None:
        self._slots: dict[bytes, core.MemorySlot] = {}
        core.HostManager.__init__(self, _InmemSlot)

    def content(self, slot_id: bytes) -> core.MemorySlot:
        return self._slots.setdefault(slot_id, core.MemorySlot())


class _InmemSlot(Slot):
    __slots__ = ()

    manager: InmemManager

    def read(self, off: int, length: int, /) -> bytes:
        return self.manager.content(self.id).read(off, length)

    def write(self, off: int, data: bytes, /) -> None:
        self.manager.content(self.id).write(off, data)


# --- views --------------------------------------------------------------------------------------------------------


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


class _PickledDesc(BytesDesc):
    def get(self, slot: core.Slot, off: int) -> Any:
        view: Pickled[Any] = object.__new__(Pickled)
        view._slot = slot
        view._off = off
        return view

    def set(self, slot: core.Slot, off: int, value: Any) -> None:
        if not isinstance(value, Pickled):
            raise AssertionError(f"cannot assign {type(value).__name__} to Pickled")
        _BYTES.copy(slot, off, value._slot, value._off)


# --- types --------------------------------------------------------------------------------------------------------

_GENERIC_INIT: Final = (
    "generic storage classes can not be instantiated with __init__, please, use gl.storage.inmem_allocate"
)
_REFUSED: Final[Mapping[Any, str]] = {
    int: "use `bigint` or one of sized integers",
    list: "use `DynArray` instead of a list",
    dict: "use `TreeMap` instead of a dict",
    tuple: "Tuple types are not supported in storage, use a custom class instead",
}


class _Types(StorageTypes):
    def build(self, annotation: Any, generics: Generics) -> core.TypeDesc | Lit:
        if typing.get_origin(annotation) is Pickled:  # of anything
            return scalar(_PickledDesc)
        return super().build(annotation, generics)

    def not_storable(self, annotation: Any, kind: Any) -> TypeError:
        unmarked = "class is not marked for usage within storage, please, annotate it with gl.storage.allow"
        return GenerationError(_REFUSED.get(kind, unmarked))

    def not_one_type(self, literal: Any) -> TypeError:
        return GenerationError("Literal types are not supported in storage")

    def unbound(self, owner: Any, parameter: Any) -> TypeError:
        return GenerationError(f"Unbound generic type variable `{parameter}`")

    def allowed_generic(self, cls: type) -> None:
        written: Any = cls.__init__  # type: ignore[misc]  # looked up on purpose, never called on a wrong class

        def refuse(self: object, *_: Any, **__: Any) -> None:
            raise TypeError(_GENERIC_INIT)

        setattr(refuse, ORIGINAL_INIT_ATTR, getattr(written, ORIGINAL_INIT_ATTR, written))
        cls.__init__ = refuse  # type: ignore[misc]


def _build_array(item: core.TypeDesc | Lit, count: core.TypeDesc | Lit) -> core.TypeDesc:
    if not isinstance(count, Lit) or type(count.value) is not int:
        raise GenerationError("the length of an Array is given as typing.Literal[number]")
    if count.value <= 0:
        raise GenerationError(f"Array size must be strictly positive, got {count.value}")
    return array_desc(Array, only_type(item), count.value)


_types: Final = _Types(
    Address,
    {
        DynArray: lambda item: growing_desc(DynArray, only_type(item)),
        TreeMap: lambda key, value: tree_map.tree_map_desc(TreeMap, only_type(key), only_type(value)),
        Array: _build_array,
        VLA: lambda item: growing_desc(VLA, only_type(item)),
        Indirection: lambda item: indirection_desc(only_type(item)),
    },
)
desc_of = _types.desc_of
allow = _types.allow
attach_contract = _types.attach_contract
inmem_allocate = _types.inmem_allocate
copy_to_memory = types.copy_to_memory


# --- the root -----------------------------------------------------------------------------------------------------

_u8 = Annotated[int, SIZES["u8"]]
_u256 = Annotated[int, SIZES["u256"]]
_VACANT_AT: Final = 5


@allow
class Root:
    """The record at the root slot: where the contract's own fields, its code, its locks and permissions are."""

    MANAGER: ClassVar[Manager] = _MANAGER

    major: _u8
    contract_instance: Indirection[None]
    code: Indirection[VLA[_u8]]
    locked_slots: Indirection[VLA[_u256]]
    upgraders: Indirection[VLA[Address]]
    code_slot: _u256
    """As a number; 0 is the slot of ``code``."""
    permissions: _u256
    """A bit for each."""

    @staticmethod
    def get() -> Root:
        """The root of the running contract."""
        root: Root = desc_of(Root).get(Root.MANAGER.get_store_slot(ROOT_SLOT_ID), 0)
        return root

    def slot(self) -> core.HostSlot:
        return self.MANAGER.get_store_slot(ROOT_SLOT_ID)

    def get_contract_instance(self, cls: type) -> Any:
        """The running contract's fields, as an instance of its class."""
        return desc_of(cls).get(self.contract_instance.slot(), 0)

    def get_resolved_code(self) -> Any:
        """The code, wherever ``code_slot`` says that it is."""
        if not self.code_slot:
            return self.code.get()
        slot = self.MANAGER.get_store_slot(self.code_slot.to_bytes(32, "little"))
        return desc_of(VLA[_u8]).get(slot, 0)

    def get_vacant_slot(self) -> core.HostSlot:
        """A slot that neither the library nor the contract's fields use."""
        return self.slot().indirect(_VACANT_AT)

    def lock_default(self) -> None:
        """Lock everything but the contract's own fields against all but the upgraders."""
        locked: Any = self.locked_slots.get()
        slots: Any = (self.slot(), self.code.slot(), self.locked_slots.slot(), self.upgraders.slot())
        for slot in slots:
            locked.append(slot.as_int())

    def get_permission(self, permission: ABI.Permissions) -> bool:
        return bool(self.permissions >> permission & 1)

    def set_permission(self, permission: ABI.Permissions, allowed: bool = True) -> None:
        bit = 1 << permission
        self.permissions = self.permissions | bit if allowed else self.permissions & ~bit
