"""The documents of settlement in ``memory://``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final

from api_billing.merkle import HASH_BYTES
from api_billing.metering.ledger.books import regranted
from api_billing.metering.ledger.operations import Balance, Batch, Operation
from api_billing.metering.ledger.records import record_of, usage_line
from api_billing.metering.ledger.settlement_rules import RULES, perform
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.memory.tables import MemoryTables


class MemoryBooks:
    """Writes at once: the rules decide first, and nothing else runs meanwhile."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    def prefetch(self, keys: Sequence[str]) -> None:
        """It is all there."""

    def read(self, key: str) -> Any:
        return self._tables.settlement.get(key)

    def write(self, key: str, document: Any) -> None:
        self._tables.settlement[key] = document

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        sequences = range(after + 1, min(after + limit, self.last_sequence(api)) + 1)
        return [self._tables.batches[api, sequence] for sequence in sequences]

    def last_sequence(self, api: str) -> int:
        return sum(1 for known, _ in self._tables.batches if known == api)

    def add_batch(self, batch: Batch) -> None:
        self._tables.batches[batch.api, batch.sequence] = batch

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        ids = self._tables.to_settle.get(api, [])
        found: list[UsageLine] = []
        for index in range(bisect_right(ids, after), len(ids)):
            line = self._tables.lines.get(ids[index])  # None: pruned
            if line is not None and line.reserve.now_ms <= until_ms:
                found.append(usage_line(record_of(line)))
                if len(found) == limit:
                    break
        return found

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        for record_id in record_ids:
            if (line := self._tables.lines.get(record_id)) is not None:  # None: pruned
                line.batch = sequence
        gone = set(record_ids)
        self._tables.to_settle[api] = [each for each in self._tables.to_settle[api] if each not in gone]
        self._tables.leaves.setdefault((api, sequence), bytearray())[before * HASH_BYTES :] = leaves

    def balance(self, account: str) -> Balance:
        return self._tables.account(account).balance()

    def set_granted(self, account: str, granted_wei: int, was_wei: int) -> None:
        row = self._tables.account(account)
        balance = regranted(row.balance(), granted_wei)
        row.granted_wei, row.basis_wei, row.epoch = balance.granted_wei, balance.basis_wei, balance.epoch

    def commit(self) -> None:
        """It is all written."""


def _handle(tables: MemoryTables, operation: Operation[Any]) -> Any:
    return perform(MemoryBooks(tables), operation)


SETTLEMENT_HANDLERS: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = dict.fromkeys(RULES, _handle)
