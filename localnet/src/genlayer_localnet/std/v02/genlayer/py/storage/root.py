"""The root of a contract's storage: where the contract's own fields, its code and its locks are."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from genlayer_localnet.address import Address
from genlayer_localnet.std.shared.storage.core import HOST_MANAGER, HostManager
from genlayer_localnet.std.shared.storage.indirection import VLA, Indirection

from ..types import u8, u256
from ._internal.generate import allow_storage, desc_of

__all__ = ("ROOT_SLOT_ID", "Root")

ROOT_SLOT_ID: Final = bytes(32)


@allow_storage
class Root:
    """The record at the root slot."""

    MANAGER: ClassVar[HostManager] = HOST_MANAGER

    contract_instance: Indirection[None]
    code: Indirection[VLA[u8]]
    locked_slots: Indirection[VLA[u256]]
    upgraders: Indirection[VLA[Address]]

    @staticmethod
    def get() -> Root:
        """The root of the running contract."""
        root: Root = desc_of(Root).get(Root.MANAGER.get_store_slot(ROOT_SLOT_ID), 0)
        return root

    def get_contract_instance(self, cls: type) -> Any:
        """The running contract's fields, as an instance of its class."""
        return desc_of(cls).get(self.contract_instance.slot(), 0)

    def lock_default(self) -> None:
        """Lock everything but the contract's own fields against all but the upgraders."""
        locked: Any = self.locked_slots.get()
        locked.append(int.from_bytes(ROOT_SLOT_ID, "little"))
        for field in (self.code, self.locked_slots, self.upgraders):
            slot: Any = field.slot()
            locked.append(int.from_bytes(slot.id, "little"))
