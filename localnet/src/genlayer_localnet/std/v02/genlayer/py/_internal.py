"""What the library's own modules share."""

from __future__ import annotations

import sys
from types import FrameType

from genlayer_localnet.address import Address, keccak256

__all__ = ("create2_address", "is_unpickled_class")


def create2_address(contract_address: Address, salt_nonce: int, chain_id: int) -> Address:
    """The address at which a contract deployed by ``contract_address`` with this salt will be."""
    return Address(
        keccak256(b"\x01" + contract_address.as_bytes + salt_nonce.to_bytes(32, "big") + chain_id.to_bytes(32, "big"))[
            : Address.SIZE
        ]
    )


def is_unpickled_class() -> bool:
    """Whether the class that is being made comes from cloudpickle, for an ``__init_subclass__`` to ask.

    It is still empty then, and what it gets afterwards has all that ``__init_subclass__`` gave the original.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_make_skeleton_class":
            return str(frame.f_globals.get("__name__", "")).startswith("cloudpickle")
        if frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back
    return False
