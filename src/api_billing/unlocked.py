"""Accounts that a node signs for, as a localnet does for its open accounts.

genlayer-py signs by itself and hands over raw bytes; for these accounts the bytes are a placeholder, and the provider
sends the transaction that it stands for with `eth_sendTransaction`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from api_billing.errors import KeyUnavailable, RpcFailed
from api_billing.transport import RpcProvider


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Stands for a transaction that the node is to sign."""

    raw_transaction: bytes = field(default_factory=lambda: secrets.token_bytes(32))


@dataclass(frozen=True, slots=True)
class UnlockedAccount:
    """An account of the node, for `Connection`."""

    address: str

    def sign_transaction(self, transaction_dict: dict[str, Any]) -> Placeholder:
        """Leave the transaction to the node."""
        placeholder = Placeholder()
        RpcProvider.leave_to_node(placeholder.raw_transaction, transaction_dict)
        return placeholder


def unlocked_account(provider: RpcProvider, index: int) -> UnlockedAccount:
    """The node's account number ``index``, from 0. Raises: KeyUnavailable, NetworkError."""
    try:
        addresses = provider.result("eth_accounts")
    except RpcFailed as error:
        raise KeyUnavailable(f"{provider.shown_url} has no open accounts: {error}") from error
    if not isinstance(addresses, list) or index >= len(addresses):
        number = len(addresses) if isinstance(addresses, list) else 0
        hint = "name a keystore or env:VARIABLE with --account; open accounts are a localnet's"
        raise KeyUnavailable(f"{provider.shown_url} has {number} open accounts, and so no localnet:{index}", hint=hint)
    return UnlockedAccount(str(addresses[index]))
