"""Tests on the localnet: accounts by name here, pytest fixtures in ``plugin``, gltest's direct mode in ``direct``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genlayer_localnet.address import Address

GEN: Final = 10**18
"""One GEN in wei."""


def named_account(name: str) -> Address:
    """The address that stands for a name: always the same one, and different for every name."""
    from genlayer_localnet.address import Address, keccak256

    return Address(keccak256(f"genlayer_localnet account {name}".encode())[-Address.SIZE :])


__all__ = ["GEN", "named_account"]
