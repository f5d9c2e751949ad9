"""What the rules of settlement need of a store: documents by key, its batches and its accounts.

One set of rules for all stores (see ``rules``): a store brings what is here, and makes one operation an atomic step.
These operations are rare (a few for each batch and each look at the chain), so that they need not be as fast as a
reservation; what they change of an account is one number, ``granted``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from api_billing.metering.ledger.operations import Balance, Batch
from api_billing.metering.ledger.usage_line import UsageLine


class Books(Protocol):
    """What a store brings to one step. What was written is read back; all of it is kept, or nothing."""

    def prefetch(self, keys: Sequence[str]) -> None:
        """These documents will be read: a store over a network may fetch them together."""

    def read(self, key: str) -> Any:
        """A document, None when there is none."""

    def write(self, key: str, document: Any) -> None:
        """Put a document: lists, texts, numbers and so on, as JSON has them."""

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        """Batches in the order of their sequences."""

    def last_sequence(self, api: str) -> int:
        """Of the last batch; 0 when there is none."""

    def add_batch(self, batch: Batch) -> None:
        """Put a batch behind the last one."""

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        """Settled usage in no batch, reserved until then, in the order of ids after ``after``."""

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        """Mark what ``to_settle`` gave with the batch it is in, and keep its leaves behind the ``before`` others."""

    def balance(self, account: str) -> Balance:
        """An account's money; after ``commit``, with what was granted."""

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        """Change what is granted from ``was_wei``, but not to less than is reserved and charged."""

    def commit(self) -> None:
        """The rules are through: write. Called once."""


def regranted(balance: Balance, granted_wei: int) -> Balance:
    """A balance with another amount granted, but never less than is committed; as after a grant when it changes."""
    committed_wei = balance.reserved_wei + balance.charged_wei
    granted_wei = max(granted_wei, committed_wei)
    if granted_wei == balance.granted_wei:
        return balance
    return balance._replace(granted_wei=granted_wei, basis_wei=granted_wei - committed_wei, epoch=balance.epoch + 1)
