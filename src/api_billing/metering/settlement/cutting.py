"""The rules of cutting: settled usage goes into a batch step by step, a few requests in each, until it is closed.

While a batch is open its lines, the peaks of its tree and how far it has looked are one small document, written in the
step that marks the requests; their leaves are kept apart, as they are many. Closing it needs none of them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from api_billing.merkle import GrowingTree
from api_billing.metering.operations import Batch, BatchLine, CutBatch, Cutting, OpenCut, ReadCut
from api_billing.metering.proofs import UsageLine
from api_billing.metering.settlement.books import Books
from api_billing.metering.settlement_operations import ListToSettle

_EVER_MS = 2**62
_LOOK_FURTHER = 4  # times as many requests are looked at when all lines are taken, and most are passed over


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

    def document(self) -> list[Any]:
        """The arguments it is made with again."""
        sums = [[*key, *sums] for key, sums in self.sums.items()]
        return [self.sequence, self.records, self.after, sums, [peak.hex() for peak in self.tree.peaks]]


def cut_batch(books: Books, op: CutBatch) -> Batch | Cutting | None:
    growing = _growing(books, op.api) or GrowingBatch(books.last_sequence(op.api) + 1)
    before = growing.records
    look = op.max_step * (_LOOK_FURTHER if len(growing.sums) >= op.max_lines else 1) + 1
    found = books.to_settle(op.api, op.until_ms, growing.after, look)
    taken: list[UsageLine] = []
    leaves: list[bytes] = []
    at_end = len(found) < look
    for line in found:
        if len(taken) == op.max_step or growing.records >= op.max_records:
            at_end = False
            break
        leaf = growing.take(line, op.max_lines)
        if leaf is not None:
            taken.append(line)
            leaves.append(leaf)
    if taken:
        books.put_into_batch(op.api, growing.sequence, before, taken, b"".join(leaves))
    if at_end or growing.records >= op.max_records:
        return _closed(books, op.api, growing, op.now_ms)
    books.write(_key(op.api), growing.document())
    return Cutting(growing.sequence, growing.records)


def close_cut(books: Books, api: str, now_ms: int) -> Batch | None:
    """End the batch that is being cut, whatever is left for it; None when there is none."""
    growing = _growing(books, api)
    return None if growing is None else _closed(books, api, growing, now_ms)


def read_cut(books: Books, op: ReadCut) -> OpenCut | None:
    growing = _growing(books, op.api)
    if growing is None:
        return None
    peaks = tuple(peak.hex() for peak in growing.tree.peaks)
    return OpenCut(growing.batch(op.api, 0), growing.after, peaks)


def list_to_settle(books: Books, op: ListToSettle) -> tuple[UsageLine, ...]:
    return tuple(books.to_settle(op.api, _EVER_MS, op.after, op.limit))


def _closed(books: Books, api: str, growing: GrowingBatch, now_ms: int) -> Batch | None:
    if books.read(_key(api)) is not None:
        books.write(_key(api), None)
    if not growing.records:
        return None
    batch = growing.batch(api, now_ms)
    books.add_batch(batch)
    return batch


def _growing(books: Books, api: str) -> GrowingBatch | None:
    kept = books.read(_key(api))
    return None if kept is None else GrowingBatch(*kept)


def _key(api: str) -> str:
    return f"cut/{api}"
