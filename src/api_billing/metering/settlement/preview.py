"""What a round of settling would post, without changing anything."""

from __future__ import annotations

from dataclasses import dataclass

from api_billing.metering.operations import Batch, ListRecords, Record
from api_billing.metering.proofs import UsageLine
from api_billing.metering.settlement.worker import MAX_LINES
from api_billing.metering.settlement_operations import Book, ListOutgoing, Outgoing, ReadBook
from api_billing.metering.steps import Steps
from api_billing.metering.stores.rows import choose, make_batch, usage_line

_PAGE = 1000


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
    lines = yield from _unbatched(api)
    cut: list[Batch] = []
    while chosen := choose(lines, MAX_LINES, max_records):
        batch, _ = make_batch(api, book.last + len(cut) + 1, now_ms, chosen)
        cut.append(batch)
        gone = {line.record_id for line in chosen}
        lines = [line for line in lines if line.record_id not in gone]
    return Preview(tuple(waiting), tuple(cut))


def _unbatched(api: str) -> Steps[list[UsageLine]]:
    found: list[UsageLine] = []
    after = ""
    while True:
        page: tuple[Record, ...] = yield ListRecords(api=api, states=("settled",), after=after, limit=_PAGE)
        found += [usage_line(record) for record in page if not record.batch]
        if len(page) < _PAGE:
            return found
        after = page[-1].record_id
