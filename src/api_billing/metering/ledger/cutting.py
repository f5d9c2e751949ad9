"""The rules of a batch that usage is added to. While it is open its lines, the peaks of its tree and how far it has
looked are one document, written in the step that marks the requests; their leaves are kept apart, as they are many.
Ending it needs none of them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from api_billing.contract_api import MAX_SETTLEMENT_VOUCHERS
from api_billing.merkle import GrowingTree
from api_billing.metering.ledger.batch_operations import (
    Added,
    AddToBatch,
    Batch,
    BatchLine,
    CutPlace,
    OpenCut,
    ReadCut,
)
from api_billing.metering.ledger.documents import lines_to_text
from api_billing.metering.ledger.rows import BatchRow
from api_billing.metering.ledger.sessions import post
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.ledger.usage_line import UsageLine

MAX_VOUCHERS: Final = MAX_SETTLEMENT_VOUCHERS  # of a batch, which is one transaction


LineKey = tuple[str, str, int, str]  # account, consumer, day, channel


def key_of(line: UsageLine) -> LineKey:
    """The line of a batch that a request is in."""
    return (line.account, line.consumer, line.day, line.channel)


class GrowingBatch:
    """A batch that usage is added to, oldest first. Mutable; knows nothing of where it is kept."""

    __slots__ = ("_with_vouchers", "after", "first", "left", "sequence", "sums", "tree")

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
        self.sums: dict[LineKey, list[int]] = {
            (account, consumer, day, channel): [calls, wei] for account, consumer, day, channel, calls, wei in sums
        }
        self._with_vouchers = sum(bool(channel) for *_, channel in self.sums)
        self.tree = GrowingTree(records, map(bytes.fromhex, peaks))
        self.first: frozenset[LineKey] = frozenset()  # lines that room is kept for
        self.left: set[LineKey] = set()  # lines with vouchers that there was no room for

    @classmethod
    def of(cls, cut: OpenCut) -> GrowingBatch:
        """Go on with one that is open."""
        batch = cut.batch
        sums = [(line.account, line.consumer, line.day, line.channel, *line[3:5]) for line in batch.lines]
        return cls(batch.sequence, batch.records, cut.after, sums, cut.peaks)

    @property
    def records(self) -> int:
        """How many requests are in it."""
        return self.tree.count

    def is_full(self, max_lines: int) -> bool:
        """Whether some requests at least are passed over."""
        return len(self.sums) >= max_lines or self._with_vouchers >= MAX_VOUCHERS

    @property
    def place(self) -> CutPlace:
        """How far it has come."""
        return CutPlace(self.sequence, self.records, self.after)

    def take(self, line: UsageLine, max_lines: int) -> bytes | None:
        """Add the next request; its leaf. None when it needs one line too many: it is left for a later batch."""
        self.after = line.record_id
        key = key_of(line)
        sums = self.sums.get(key)
        if sums is None:
            kept = 0 if key in self.first else sum(each not in self.sums for each in self.first)
            has_room = not line.channel or self._with_vouchers + kept < MAX_VOUCHERS
            if not has_room or len(self.sums) + kept >= max_lines:
                if line.channel:
                    self.left.add(key)
                return None
            self._with_vouchers += bool(line.channel)
            sums = self.sums[key] = [0, 0]
        sums[0] += 1
        sums[1] += line.charged_wei
        leaf = line.leaf()
        self.tree.add(leaf)
        return leaf

    def batch(self, api: str, now_ms: int) -> Batch:
        """As it is now; there is at least one request in it."""
        sums = sorted(self.sums.items())
        lines = tuple([BatchLine(*key[:3], calls, wei, key[3]) for key, (calls, wei) in sums])
        return Batch(api, self.sequence, now_ms, lines, self.records, self.tree.root().hex())

    def text(self) -> str:
        """What a step keeps of it, beside its place."""
        sums = [[*key, *sums] for key, sums in self.sums.items()]
        return json.dumps([sums, [peak.hex() for peak in self.tree.peaks]], separators=(",", ":"), ensure_ascii=False)


def add_to_batch(tables: Tables, op: AddToBatch) -> Added | None:
    kept = tables.document(_key(op.api))
    place = CutPlace(last_sequence(tables, op.api) + 1) if kept is None else CutPlace(*kept[:3])
    if place != op.was:
        return None
    if op.record_ids:
        tables.put_into_batch(op.api, op.was.sequence, op.was.records, op.record_ids, op.leaves)
    if op.batch is None:
        tables.put_document(_key(op.api), [*op.now, op.cut])
    else:
        if kept is not None:
            tables.put_document(_key(op.api), None)
        if op.queue_ms or read_queue_ms(tables, op.api):
            tables.put_document(_queue_key(op.api), op.queue_ms or None)
        return Added(op.now, add_batch(tables, op.batch))
    return Added(op.now)


def close_cut(tables: Tables, api: str, now_ms: int) -> Batch | None:
    """End the batch that is being cut, whatever is left for it; None when there is none."""
    growing = _growing(tables, api)
    if growing is None:
        return None
    batch = growing.batch(api, now_ms)
    tables.put_document(_key(api), None)
    return add_batch(tables, batch)


def read_cut(tables: Tables, op: ReadCut) -> OpenCut | None:
    growing = _growing(tables, op.api)
    if growing is None:
        return None
    peaks = tuple(peak.hex() for peak in growing.tree.peaks)
    return OpenCut(growing.batch(op.api, 0), growing.after, peaks)


def add_batch(tables: Tables, batch: Batch, *, is_new: bool = True) -> Batch:
    """Put a batch behind the last one, with the vouchers that go with it. ``is_new`` is False for usage that was in one
    before.
    """
    batch = replace(batch, lines=post(tables, batch.lines, is_new=is_new))
    lines = lines_to_text(batch.lines)
    tables.put(BatchRow(batch.api, batch.sequence, batch.created_ms, lines, batch.records, batch.root))
    tables.put_document(_last_key(batch.api), batch.sequence)
    return batch


def read_queue_ms(tables: Tables, api: str) -> int:
    """How long it takes to settle what the last batch had no room for."""
    return tables.document(_queue_key(api)) or 0


def last_sequence(tables: Tables, api: str) -> int:
    """Of the last batch; 0 when there is none."""
    return tables.document(_last_key(api)) or 0


def _growing(tables: Tables, api: str) -> GrowingBatch | None:
    kept = tables.document(_key(api))
    if kept is None:
        return None
    sequence, records, after, text = kept
    sums, peaks = json.loads(text)
    return GrowingBatch(sequence, records, after, sums, peaks)


def _key(api: str) -> str:
    return f"cut/{api}"


def _queue_key(api: str) -> str:
    return f"queue/{api}"


def _last_key(api: str) -> str:
    return f"last/{api}"
