"""What the host itself keeps in, and reads from, a contract's storage, which only the v0.3 line does: see its ``Root``.

Numbers are little-endian; lists are a u32 count and the items.
"""

from __future__ import annotations

import hashlib
from typing import Final

from genlayer_localnet.state.journal import Journal
from genlayer_localnet.state.world import Storage
from genlayer_localnet.vm.host import write_storage

_ROOT: Final = bytes(32)
_U32: Final = 4
_PERMISSIONS_AT: Final = 37
_USES_BALANCE_FOR_FEES: Final = 1 << 1


def _slot(offset: int) -> bytes:
    return hashlib.sha3_256(_ROOT + offset.to_bytes(_U32, "little")).digest()


_CODE, _LOCKED, _UPGRADERS = _slot(2), _slot(3), _slot(4)


def put_code(storage: Storage, journal: Journal, code: bytes) -> None:
    """As a deployment begins. What is run is not read from here."""
    write_storage(storage, journal, _CODE, 0, len(code).to_bytes(_U32, "little") + code)


def locked_slots(storage: Storage, sender: bytes) -> frozenset[bytes]:
    """The slots that a call of this sender cannot write."""
    if sender in _items(storage, _UPGRADERS, 20):
        return frozenset()
    return frozenset(_items(storage, _LOCKED, 32))


def may_use_balance(storage: Storage) -> bool:
    """Whether the contract may pay fees of messages from its balance."""
    permissions = storage.get(_ROOT, b"")[_PERMISSIONS_AT : _PERMISSIONS_AT + 32]
    return bool(int.from_bytes(permissions, "little") & _USES_BALANCE_FOR_FEES)


def _items(storage: Storage, slot: bytes, size: int) -> list[bytes]:
    content = bytes(storage.get(slot, b""))
    count = int.from_bytes(content[:_U32], "little")
    end = min(_U32 + count * size, len(content))
    return [content[at : at + size] for at in range(_U32, end, size)]
