"""Slots of the running contract, and the root of its storage."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from genlayer_localnet.std.shared.integers import SIZES
from genlayer_localnet.std.shared.storage import core
from genlayer_localnet.std.shared.storage.indirection import Indirection

from .._abi import ABI
from ..types import Address
from ._internal.generate import allow, desc_of
from .views import VLA

__all__ = ("ROOT_SLOT_ID", "InmemManager", "Manager", "Root", "Slot")

ROOT_SLOT_ID: Final = bytes(32)


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
