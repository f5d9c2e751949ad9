"""Accounts whose keys everybody knows: for tests only."""

from __future__ import annotations

from dataclasses import dataclass

from eth_keys.datatypes import PrivateKey

from genlayer_localnet.address import keccak256


@dataclass(frozen=True, slots=True)
class TestAccount:
    """An account that the server signs for, and its private key."""

    __test__ = False  # no test class, whatever pytest thinks

    address: bytes
    key: bytes


def account_of(seed: str, purpose: str, number: int) -> TestAccount:
    """Always the same account for the same seed, purpose and number."""
    key = keccak256(f"genlayer_localnet test-only {purpose} {number} of {seed}".encode())
    return TestAccount(PrivateKey(key).public_key.to_canonical_address(), key)
