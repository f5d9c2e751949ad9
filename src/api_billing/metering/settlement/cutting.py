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
from api_billing.metering.ledger.cutting import MAX_VOUCHERS, GrowingBatch, LineKey, key_of
from api_billing.metering.ledger.settlement_operations import Book, Credit, ListToSettle, ReadBook, ReadCredit
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.stores.steps import Steps

MAX_LINES: Final = MAX_SETTLEMENT_ENTRIES  # of a batch, which is one transaction
_PAGE: Final = 500
_MAX_PAGES: Final = 200
_SOON_MS: Final = 2 * 3_600_000  # before a hold ends its lines go first, when not all can
_LOOK_FURTHER: Final = 4  # times as many requests are looked at when all lines are taken, and most are passed over


class Cutter:
    """Cuts the next batch of an API: settled usage in no batch, oldest first, none reserved after ``until_ms``.

    When the last one had no room for all lines with vouchers, those go first whose holds end soon, also of what was
    served since. A batch takes about ``batch_ms`` on its way: so the store knows how long a line waits.

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
        batch_ms: int = 30_000,
    ) -> None:
        self._api = api
        self._until_ms = until_ms
        self._max_lines = max_lines
        self._max_records = max_records
        self._max_step = max_step
        self._batch_ms = batch_ms
        self._growing: GrowingBatch | None = None  # as this one has left it

    def step(self, now_ms: int) -> Steps[Added | None]:
        """Add at most ``max_step`` requests; the answer has the batch when it has ended with them. None: there is
        nothing to settle.

        Raises: StoreUnavailable; the next step goes on.
        """
        while True:
            growing, self._growing = self._growing, None
            if growing is None:
                growing = yield from self._begun(now_ms)
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
                queue_ms=-(-len(growing.left) // MAX_VOUCHERS) * self._batch_ms,
            )
            if added is not None:
                self._growing = None if has_ended else growing
                return added

    def _begun(self, now_ms: int) -> Steps[GrowingBatch]:
        begun: OpenCut | None = yield ReadCut(self._api)
        if begun is not None:
            return GrowingBatch.of(begun)
        book: Book = yield ReadBook(self._api)
        growing = GrowingBatch(book.last + 1)
        if book.queue_ms:
            growing.first = yield from self._urgent(now_ms)
            if growing.first:
                self._until_ms = max(self._until_ms, now_ms)
        return growing

    def _urgent(self, now_ms: int) -> Steps[frozenset[LineKey]]:
        """Of the lines that wait and whose holds end soon the dearest, as many as a batch takes: what comes too late in
        the end is the least.
        """
        sums: dict[LineKey, int] = {}
        after = ""
        for _ in range(_MAX_PAGES):
            found: tuple[UsageLine, ...] = yield ListToSettle(self._api, after, _PAGE, now_ms)
            for line in found:
                if line.channel:
                    sums[key_of(line)] = sums.get(key_of(line), 0) + line.charged_wei
            if len(found) < _PAGE:
                break
            after = found[-1].record_id
        ends_ms: dict[str, int] = {}
        for account in {key[0] for key in sums}:
            credit: Credit = yield ReadCredit(account)
            ends_ms[account] = credit.terms.hold_expires_ms
        soon = [key for key in sums if now_ms < ends_ms[key[0]] <= now_ms + _SOON_MS]
        return frozenset(sorted(soon, key=lambda key: (-sums[key], key))[:MAX_VOUCHERS])

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
