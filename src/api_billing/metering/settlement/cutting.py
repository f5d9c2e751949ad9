"""Cutting: settled usage goes into a batch step by step, a few requests in each, until the batch has ended.

A step reads what comes next, works out leaves, sums and the tree, and only then asks the store to write all of that at
once, if nobody else has added to the batch meanwhile: requests wait for the writing, and not for the work. What is kept
of a batch that is open, ``ledger.cutting`` tells.
"""

from __future__ import annotations

from typing import Final

from api_billing.contract_api import MAX_SETTLEMENT_ENTRIES
from api_billing.metering.clock import EVER_MS
from api_billing.metering.ledger.batch_operations import MAX_CUT_STEP, Added, AddToBatch, OpenCut, ReadCut
from api_billing.metering.ledger.cutting import GrowingBatch
from api_billing.metering.ledger.settlement_operations import Book, ListToSettle, ReadBook
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.steps import Steps

MAX_LINES: Final = MAX_SETTLEMENT_ENTRIES  # of a batch, which is one transaction
_LOOK_FURTHER: Final = 4  # times as many requests are looked at when all lines are taken, and most are passed over


class Cutter:
    """Cuts the next batch of an API: settled usage in no batch, oldest first, none reserved after ``until_ms``.

    It has at most ``max_lines`` lines (one account and one day each) and ``max_records`` requests. Requests that cost
    nothing are in it, too: they are calls.

    Others may cut at the same time; each adds to the one batch that is open. Whoever comes after a process that died
    goes on where it was.
    """

    def __init__(
        self,
        api: str,
        until_ms: int = EVER_MS,
        *,
        max_lines: int = MAX_LINES,
        max_records: int = 100_000,
        max_step: int = MAX_CUT_STEP,
    ) -> None:
        self._api = api
        self._until_ms = until_ms
        self._max_lines = max_lines
        self._max_records = max_records
        self._max_step = max_step
        self._growing: GrowingBatch | None = None  # as this one has left it

    def step(self, now_ms: int) -> Steps[Added | None]:
        """Add at most ``max_step`` requests; the answer has the batch when it has ended with them. None: there is
        nothing to settle.

        Raises: StoreUnavailable; the next step goes on.
        """
        while True:
            growing, self._growing = self._growing, None
            if growing is None:
                growing = yield from self._begun()
            was = growing.place
            record_ids, leaves, has_ended = yield from self._taken(growing)
            if not growing.records:
                return None
            added: Added | None = yield AddToBatch(
                self._api,
                was,
                growing.place,
                tuple(record_ids),
                b"".join(leaves),
                cut="" if has_ended else growing.text(),
                batch=growing.batch(self._api, now_ms) if has_ended else None,
            )
            if added is not None:
                self._growing = None if has_ended else growing
                return added

    def _begun(self) -> Steps[GrowingBatch]:
        begun: OpenCut | None = yield ReadCut(self._api)
        if begun is not None:
            return GrowingBatch.of(begun)
        book: Book = yield ReadBook(self._api)
        return GrowingBatch(book.last + 1)

    def _taken(self, growing: GrowingBatch) -> Steps[tuple[list[str], list[bytes], bool]]:
        """Have the batch take what comes next: ids, leaves, and whether it ends with them."""
        record_ids: list[str] = []
        leaves: list[bytes] = []
        if growing.records >= self._max_records:
            return record_ids, leaves, True
        look = self._max_step * (_LOOK_FURTHER if growing.is_full(self._max_lines) else 1) + 1
        found: tuple[UsageLine, ...] = yield ListToSettle(self._api, growing.after, look, self._until_ms)
        for line in found:
            if len(record_ids) == self._max_step or growing.records >= self._max_records:
                return record_ids, leaves, growing.records >= self._max_records
            leaf = growing.take(line, self._max_lines)
            if leaf is not None:
                record_ids.append(line.record_id)
                leaves.append(leaf)
        return record_ids, leaves, len(found) < look or growing.records >= self._max_records
