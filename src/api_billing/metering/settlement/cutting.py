"""Cutting: settled usage goes into a batch step by step, a few requests in each, until the batch has ended.

A step reads what comes next, works out leaves, sums and the tree, and only then asks the store to write all of that at
once, if nobody else has added to the batch meanwhile: requests wait for the writing, and not for the work. While a
batch is open its lines, the peaks of its tree and how far it has looked are one document, written in the step that
marks the requests; their leaves are kept apart, as they are many. Ending it needs none of them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from api_billing.contract_api import MAX_SETTLEMENT_ENTRIES
from api_billing.merkle import GrowingTree
from api_billing.metering.operations import (
    EVER_MS,
    MAX_CUT_STEP,
    Added,
    AddToBatch,
    Batch,
    BatchLine,
    CutPlace,
    OpenCut,
    ReadCut,
)
from api_billing.metering.proofs import UsageLine
from api_billing.metering.settlement.books import Books
from api_billing.metering.settlement_operations import Book, ListToSettle, ReadBook
from api_billing.metering.steps import Steps

MAX_LINES: Final = MAX_SETTLEMENT_ENTRIES  # of a batch, which is one transaction
_LOOK_FURTHER: Final = 4  # times as many requests are looked at when all lines are taken, and most are passed over


class GrowingBatch:
    """A batch that usage is added to, oldest first. Mutable; knows nothing of where it is kept."""

    __slots__ = ("after", "sequence", "sums", "tree")

    def __init__(
        self,
        sequence: int,
        records: int = 0,
        after: str = "",
        sums: Iterable[Sequence[Any]] = (),
        peaks: Iterable[str] = (),
    ) -> None:
        self.sequence = sequence
        self.after = after
        self.sums: dict[tuple[str, str, int], list[int]] = {
            (account, consumer, day): [calls, wei] for account, consumer, day, calls, wei in sums
        }
        self.tree = GrowingTree(records, map(bytes.fromhex, peaks))

    @classmethod
    def of(cls, cut: OpenCut) -> GrowingBatch:
        """Go on with one that is open."""
        batch = cut.batch
        sums = [(line.account, line.consumer, line.day, line.calls, line.amount_wei) for line in batch.lines]
        return cls(batch.sequence, batch.records, cut.after, sums, cut.peaks)

    @property
    def records(self) -> int:
        """How many requests are in it."""
        return self.tree.count

    @property
    def place(self) -> CutPlace:
        """How far it has come."""
        return CutPlace(self.sequence, self.records, self.after)

    def take(self, line: UsageLine, max_lines: int) -> bytes | None:
        """Add the next request; its leaf. None when it needs one line too many: it is left for a later batch."""
        self.after = line.record_id
        key = (line.account, line.consumer, line.day)
        sums = self.sums.get(key)
        if sums is None:
            if len(self.sums) >= max_lines:
                return None
            sums = self.sums[key] = [0, 0]
        sums[0] += 1
        sums[1] += line.charged_wei
        leaf = line.leaf()
        self.tree.add(leaf)
        return leaf

    def batch(self, api: str, now_ms: int) -> Batch:
        """As it is now; there is at least one request in it."""
        lines = tuple(BatchLine(*key, calls, wei) for key, (calls, wei) in sorted(self.sums.items()))
        return Batch(api, self.sequence, now_ms, lines, self.records, self.tree.root().hex())

    def text(self) -> str:
        """What a step keeps of it, beside its place."""
        sums = [[*key, *sums] for key, sums in self.sums.items()]
        return json.dumps([sums, [peak.hex() for peak in self.tree.peaks]], separators=(",", ":"), ensure_ascii=False)


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
        look = self._max_step * (_LOOK_FURTHER if len(growing.sums) >= self._max_lines else 1) + 1
        found: tuple[UsageLine, ...] = yield ListToSettle(self._api, growing.after, look, self._until_ms)
        for line in found:
            if len(record_ids) == self._max_step or growing.records >= self._max_records:
                return record_ids, leaves, growing.records >= self._max_records
            leaf = growing.take(line, self._max_lines)
            if leaf is not None:
                record_ids.append(line.record_id)
                leaves.append(leaf)
        return record_ids, leaves, len(found) < look or growing.records >= self._max_records


# --- the rules


def add_to_batch(books: Books, op: AddToBatch) -> Added | None:
    kept = books.read(_key(op.api))
    place = CutPlace(books.last_sequence(op.api) + 1) if kept is None else CutPlace(*kept[:3])
    if place != op.was:
        return None
    if op.record_ids:
        books.put_into_batch(op.api, op.was.sequence, op.was.records, op.record_ids, op.leaves)
    if op.batch is None:
        books.write(_key(op.api), [*op.now, op.cut])
    else:
        if kept is not None:
            books.write(_key(op.api), None)
        books.add_batch(op.batch)
    return Added(op.now, op.batch)


def close_cut(books: Books, api: str, now_ms: int) -> Batch | None:
    """End the batch that is being cut, whatever is left for it; None when there is none."""
    growing = _growing(books, api)
    if growing is None:
        return None
    batch = growing.batch(api, now_ms)
    books.write(_key(api), None)
    books.add_batch(batch)
    return batch


def read_cut(books: Books, op: ReadCut) -> OpenCut | None:
    growing = _growing(books, op.api)
    if growing is None:
        return None
    peaks = tuple(peak.hex() for peak in growing.tree.peaks)
    return OpenCut(growing.batch(op.api, 0), growing.after, peaks)


def list_to_settle(books: Books, op: ListToSettle) -> tuple[UsageLine, ...]:
    return tuple(books.to_settle(op.api, op.until_ms, op.after, op.limit))


def _growing(books: Books, api: str) -> GrowingBatch | None:
    kept = books.read(_key(api))
    if kept is None:
        return None
    sequence, records, after, text = kept
    sums, peaks = json.loads(text)
    return GrowingBatch(sequence, records, after, sums, peaks)


def _key(api: str) -> str:
    return f"cut/{api}"
