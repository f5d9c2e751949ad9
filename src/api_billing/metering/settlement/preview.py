"""What a round of settling would post, without changing anything."""

from __future__ import annotations

from dataclasses import dataclass

from api_billing.metering.ledger.batch_operations import Batch, OpenCut, ReadCut
from api_billing.metering.ledger.cutting import GrowingBatch
from api_billing.metering.ledger.settlement_operations import Book, ListOutgoing, ListToSettle, Outgoing, ReadBook
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.settlement.cutting import MAX_LINES
from api_billing.metering.stores.steps import Steps


@dataclass(frozen=True, slots=True)
class Preview:
    """Batches that have not ended, and those that would be cut now."""

    waiting: tuple[Outgoing, ...]
    cut: tuple[Batch, ...]


def preview(api: str, now_ms: int, *, max_records: int = 10_000) -> Steps[Preview]:
    """What would be posted for an API now. Raises: StoreUnavailable."""
    book: Book = yield ReadBook(api)
    waiting: list[Outgoing] = []
    while page := (yield ListOutgoing(api, book.ended + len(waiting))):
        waiting += page
    begun: OpenCut | None = yield ReadCut(api)
    lines = yield from list_to_settle(api)
    cut: list[Batch] = []
    growing = GrowingBatch(book.last + 1) if begun is None else GrowingBatch.of(begun)
    while True:
        lines = _grown(growing, lines, max_records)
        if not growing.records:
            return Preview(tuple(waiting), tuple(cut))
        cut.append(growing.batch(api, now_ms))
        growing = GrowingBatch(growing.sequence + 1)


def _grown(growing: GrowingBatch, lines: list[UsageLine], max_records: int) -> list[UsageLine]:
    """Have a batch take what it takes; the rest."""
    left: list[UsageLine] = []
    for place, line in enumerate(lines):
        if growing.records >= max_records:
            return left + lines[place:]
        if line.record_id <= growing.after or growing.take(line, MAX_LINES) is None:
            left.append(line)
    return left


def list_to_settle(api: str) -> Steps[list[UsageLine]]:
    """All settled usage of an API that is in no batch, page by page. Raises: StoreUnavailable."""
    found: list[UsageLine] = []
    while page := (yield ListToSettle(api, found[-1].record_id if found else "")):
        found += page
    return found
