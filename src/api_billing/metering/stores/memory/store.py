"""``memory://``: everything in dictionaries, for tests and trials. Nothing survives the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from api_billing.merkle import HASH_BYTES
from api_billing.metering.clock import system_clock_ms
from api_billing.metering.errors import MeterClosed
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.consumers import tier_row
from api_billing.metering.ledger.kinds import Key, Kind, Row
from api_billing.metering.ledger.operations import (
    GrantMade,
    ListRecords,
    Operation,
    Prune,
    Pruned,
    Record,
    SumUsage,
    UsageDay,
)
from api_billing.metering.ledger.rows import (
    API_KEYS,
    BATCHES,
    BODIES,
    CLAIMS,
    CONSUMERS,
    COUNTS,
    FIRED,
    GRANTS,
    LIMITS,
    REQUESTS,
    TIERS,
    USAGE,
    BatchRow,
    ClaimRow,
    ConsumerRow,
    CountRow,
    FiredRow,
    KeyRow,
    LimitsRow,
    RequestRow,
    TierRow,
    UsageRow,
)
from api_billing.metering.ledger.rules import perform
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.limits.tiers import DEFAULT_TIERS
from api_billing.metering.stores.store import Reply, Store


def open_memory(url: str) -> Store:
    """Open an empty store; each call opens another."""
    return MemoryStore(url)


class MemoryStore(Store):
    """Runs the ledger on dictionaries, in the thread of whoever asks: nothing has to be waited for."""

    def __init__(self, url: str = "memory://", now_ms: Callable[[], int] = system_clock_ms):
        super().__init__(url)
        self._clock_ms = now_ms
        self._tables = MemoryTables(now_ms)

    def now_ms(self) -> int:
        return self._clock_ms()

    def call[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        if self._closed:
            raise MeterClosed("the store was closed")
        with self._turn:
            (reply,) = self._perform([operation])
        if isinstance(reply, BaseException):
            raise reply
        return reply  # type: ignore[no-any-return]

    async def acall[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        reply = self.call(operation)
        await asyncio.sleep(0)  # as with every other store: others have their turn meanwhile
        return reply

    def post(self, operation: Operation[Any]) -> None:
        self.call(operation)

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        replies = perform(self._tables, operations)
        self._tables.flush()
        return replies

    def _disconnect(self) -> None:
        """Nothing to let go of; what was kept goes with the object."""


class MemoryTables(Tables):
    """All rows that there are. Listings look at each."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self._leaves: dict[tuple[str, int], bytearray] = {}
        self._changed: list[Row] = []  # of all kinds, as nothing has to be written in an order
        for tier in DEFAULT_TIERS:
            self.put(tier_row(tier))

    def load(self, wanted: Mapping[Kind, Sequence[Key]], *, lock: bool = True) -> Iterable[tuple[Kind, Key, Row]]:
        return ()

    def fetch_all(self, keys: Iterable[tuple[Kind, Key]]) -> None:
        """It is all there."""

    def find(self, kind: Kind, key: Key) -> Any:
        return self.rows[kind].get(key)

    def touch(self, row: Row) -> None:
        if not row.touched:
            row.touched = True
            self._changed.append(row)

    def flush(self) -> None:
        for row in self._changed:
            row.touched, row.stored = False, not row.gone
            if row.gone and self.find(row.kind, row.key) is None:
                self.rows[row.kind].pop(row.key, None)
        self._changed.clear()

    def _all(self, kind: Kind) -> list[Any]:
        return [row for row in self.rows[kind].values() if row is not None]

    def _requests(self) -> list[RequestRow]:
        return sorted(self._all(REQUESTS), key=lambda request: request.reserve.reservation_id)

    def consumers(self, after: str, limit: int) -> Sequence[ConsumerRow]:
        rows: list[ConsumerRow] = [row for row in self._all(CONSUMERS) if row.consumer > after]
        return sorted(rows, key=lambda row: row.consumer)[:limit]

    def tiers(self) -> Sequence[TierRow]:
        return self._all(TIERS)

    def limits(self) -> Sequence[LimitsRow]:
        return self._all(LIMITS)

    def keys(self, consumer: str, after: str = "", limit: int | None = None) -> Sequence[KeyRow]:
        rows: list[KeyRow] = [row for row in self._all(API_KEYS) if consumer in ("", row.api_key().consumer)]
        return sorted([row for row in rows if row.api_key().key_id > after], key=lambda row: row.key)[:limit]

    def records(self, query: ListRecords) -> Sequence[Record]:
        records = [request.record(self.find(BODIES, request.key)) for request in self._requests()]
        if query.newest_first:
            records = [each for each in reversed(records) if not query.after or each.record_id < query.after]
        else:
            records = [each for each in records if each.record_id > query.after]
        return [each for each in records if query.matches(each)][: query.limit]

    def grants(self, account: str) -> Sequence[GrantMade]:
        return [row.made() for row in self._all(GRANTS) if row.account == account]

    def open_requests(self, limit: int) -> Sequence[RequestRow]:
        return [request for request in self._all(REQUESTS) if request.state == "reserved"][:limit]

    def number_of(self, kind: Kind) -> int:
        return len(self._all(kind))

    def usage_days(self, query: SumUsage) -> Sequence[UsageDay]:
        rows: list[UsageRow] = sorted(self._all(USAGE), key=lambda row: row.key)
        return [
            row.usage_day()
            for row in rows
            if query.consumer in ("", row.consumer)
            and query.api in ("", row.api)
            and query.from_day <= row.day <= query.to_day
        ]

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        rows: list[BatchRow] = self._all(BATCHES)
        batches = [batch for row in rows if (batch := row.batch()).api == api and batch.sequence > after]
        return sorted(batches, key=lambda batch: batch.sequence)[:limit]

    def leaves(self, api: str, sequence: int) -> bytes:
        return bytes(self._leaves.get((api, sequence), b""))

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        requests = [
            request.usage_line()
            for request in self._requests()
            if request.state == "settled"
            and not request.batch
            and request.reserve.api == api
            and request.reserve.now_ms <= until_ms
            and request.reserve.reservation_id > after
        ]
        return requests[:limit]

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        for record_id in record_ids:
            if (request := self.request(record_id)) is not None:  # None: pruned
                request.batch = sequence
        self._leaves.setdefault((api, sequence), bytearray())[before * HASH_BYTES :] = leaves

    def overdue(self, now_ms: int, limit: int) -> Sequence[str]:
        requests = [
            request for request in self._all(REQUESTS) if request.state == "reserved" and request.expires_ms <= now_ms
        ]
        ids = sorted((request.expires_ms, request.reserve.reservation_id) for request in requests)
        return [record_id for _, record_id in ids[:limit]]

    def prune(self, op: Prune) -> Pruned:
        past = [request for request in self._requests() if op.is_past(request.record())]
        for request in past[: op.limit]:
            del self.rows[REQUESTS][request.key]
            self.rows[BODIES].pop(request.key, None)
        counts: list[CountRow] = [row for row in self._all(COUNTS) if row.ends_ms <= op.counts_until_ms]
        claims: list[ClaimRow] = [
            row for row in self._all(CLAIMS) if row.outlasts_its_request and row.expires_ms <= op.now_ms
        ]
        fired: list[FiredRow] = [row for row in self._all(FIRED) if row.expires_ms <= op.now_ms]
        for row in (*counts, *claims, *fired):
            del self.rows[row.kind][row.key]
        return Pruned(min(len(past), op.limit), len(counts), len(claims), len(past) > op.limit)
