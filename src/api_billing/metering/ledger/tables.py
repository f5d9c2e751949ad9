"""The tables that the rules work on. A store brings rows in, and writes what the rules have touched.

A row is loaded once; asked for again, it is the same object, changes and all. What a rule did is in the row's place at
once, so that the next operation of a batch sees it, and in the store when it says so: together and atomically, or not
at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from api_billing.metering.clock import system_clock_ms
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.kinds import Key, Kind, Row
from api_billing.metering.ledger.operations import (
    Balance,
    GrantMade,
    ListRecords,
    Prune,
    Pruned,
    Record,
    Reserve,
    SumUsage,
    UsageDay,
)
from api_billing.metering.ledger.rows import (
    ACCOUNTS,
    CLAIMS,
    CONSUMERS,
    COUNTS,
    DOCUMENTS,
    KINDS,
    NUMBERS,
    REQUESTS,
    TIERS,
    USAGE,
    AccountRow,
    ClaimRow,
    ConsumerRow,
    CountRow,
    DocumentRow,
    KeyRow,
    LimitsRow,
    NumberRow,
    RequestRow,
    TierRow,
    UsageRow,
)
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier


class Tables(ABC):
    """Rows in memory, over a store. Not thread-safe. What is listed has been written before."""

    trusts_fresh = True
    """Whether an id that was made just now need not be looked for: writing it finds out."""

    def __init__(self, now_ms: Callable[[], int] = system_clock_ms) -> None:
        self._now_ms = now_ms
        self.rows: dict[Kind, dict[Key, Any]] = {kind: {} for kind in KINDS}
        self.touched: dict[Kind, list[Row]] = {kind: [] for kind in KINDS}

    # --- what a store implements

    @abstractmethod
    def load(self, wanted: Mapping[Kind, Sequence[Key]], *, lock: bool = True) -> Iterable[tuple[Kind, Key, Row]]:
        """Those of the rows that there are, in one round trip; nobody else changes them before the batch is written,
        if ``lock``.
        """

    @abstractmethod
    def flush(self) -> None:
        """Write what was touched, within the batch: what follows lists it."""

    @abstractmethod
    def consumers(self, after: str, limit: int) -> Sequence[ConsumerRow]:
        """Consumers in the order of their names."""

    @abstractmethod
    def tiers(self) -> Sequence[TierRow]:
        """All tiers."""

    @abstractmethod
    def limits(self) -> Sequence[LimitsRow]:
        """The limits of all APIs that were set."""

    @abstractmethod
    def keys(self, consumer: str, after: str = "", limit: int | None = None) -> Sequence[KeyRow]:
        """API keys of a consumer, or of all; with ``limit`` so many, in the order of their ids, after one of them."""

    @abstractmethod
    def records(self, query: ListRecords) -> Sequence[Record]:
        """Records in the order of their ids."""

    @abstractmethod
    def grants(self, account: str) -> Sequence[GrantMade]:
        """What was granted to an account, in any order."""

    @abstractmethod
    def open_requests(self, limit: int) -> Sequence[RequestRow]:
        """Requests that are reserved and not ended, to be looked at only."""

    @abstractmethod
    def number_of(self, kind: Kind) -> int:
        """How many consumers, or API keys, there are."""

    @abstractmethod
    def usage_days(self, query: SumUsage) -> Sequence[UsageDay]:
        """Sums by API, consumer and day."""

    @abstractmethod
    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        """Batches in the order of their sequences."""

    @abstractmethod
    def leaves(self, api: str, sequence: int) -> bytes:
        """The leaves of a batch."""

    @abstractmethod
    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        """Settled usage in no batch, reserved until then, in the order of ids."""

    @abstractmethod
    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        """Mark what ``to_settle`` gave with the batch it is in, and keep its leaves behind the ``before`` others."""

    @abstractmethod
    def overdue(self, now_ms: int, limit: int) -> Sequence[str]:
        """Ids of reservations past their expiry, oldest first."""

    @abstractmethod
    def prune(self, op: Prune) -> Pruned:
        """Delete what is past its time."""

    # --- what rules use

    def reached(self, now_ms: int) -> int:
        """An instant of the caller's, or the store's time when that has not come yet: what ends then has ended for all
        processes, and not only for one whose clock is fast.
        """
        return min(now_ms, self._now_ms())

    def now_ms(self) -> int:
        """The store's time."""
        return self._now_ms()

    def find(self, kind: Kind, key: Key) -> Any:
        """A row, None when there is none."""
        rows = self.rows[kind]
        if key not in rows:
            self.fetch_all([(kind, key)])
        return rows[key]

    def fetch(self, kind: Kind, keys: Iterable[Key]) -> None:
        """Have rows at hand that will be asked for: together they cost one round trip."""
        self.fetch_all([(kind, key) for key in keys])

    def fetch_all(self, keys: Iterable[tuple[Kind, Key]]) -> None:
        """Have rows of several kinds at hand."""
        wanted: dict[Kind, list[Key]] = {}
        for kind, key in keys:
            rows = self.rows[kind]
            if key not in rows:
                rows[key] = None
                wanted.setdefault(kind, []).append(key)
        if wanted:
            for kind, key, row in self.load(wanted):
                self.rows[kind][key] = row

    def peek(self, kind: Kind, key: Key) -> Any:
        """A row that is only looked at: somebody else may change it meanwhile."""
        rows = self.rows[kind]
        if key in rows:
            return rows[key]
        return next((row for _, _, row in self.load({kind: [key]}, lock=False)), None)

    def reserves(self, reservation_ids: Iterable[str]) -> Sequence[Reserve]:
        """What was asked for when these were reserved, which never changes; without those that there are none of."""
        requests = [self.peek(REQUESTS, (reservation_id,)) for reservation_id in reservation_ids]
        return [request.reserve for request in requests if request is not None]

    def put(self, row: Row) -> None:
        """A row that there was none of, or in the place of the one there was."""
        key, rows = row.key, self.rows[row.kind]
        before = self.find(row.kind, key)
        if before is not None:
            row.stored = before.stored
            before.stored = False  # its place is taken: it is not written any more
            before.gone = True
        rows[key] = row
        self.touch(row)

    def touch(self, row: Row) -> None:
        """A row was changed."""
        if not row.touched:
            row.touched = True
            self.touched[row.kind].append(row)

    def drop(self, row: Row) -> None:
        """Delete a row."""
        row.gone = True
        self.rows[row.kind][row.key] = None
        self.touch(row)

    def account(self, account: str) -> AccountRow:
        """An account; one that was never granted anything is empty."""
        key = (account,)
        row = self.find(ACCOUNTS, key)
        if row is None:
            row = self.rows[ACCOUNTS][key] = AccountRow(account)
        return row  # type: ignore[no-any-return]

    def count(self, counter: str, starts_ms: int, ends_ms: int) -> CountRow:
        """The count of a window."""
        key = (counter, starts_ms)
        row = self.find(COUNTS, key)
        if row is None:
            row = self.rows[COUNTS][key] = CountRow(counter, starts_ms, ends_ms)
        return row  # type: ignore[no-any-return]

    def counts(self, request: RequestRow) -> list[CountRow]:
        """The counts of a request's windows."""
        if request.counts is None:
            request.counts = [self.count(counter, starts, ends) for counter, starts, ends, *_ in request.reserve.checks]
        return request.counts

    def request(self, reservation_id: str) -> RequestRow | None:
        """A request that was reserved or refused."""
        return self.find(REQUESTS, (reservation_id,))  # type: ignore[no-any-return]

    def claim(self, consumer: str, key: str) -> ClaimRow | None:
        """Who claims an idempotency key."""
        return self.find(CLAIMS, (consumer, key))  # type: ignore[no-any-return]

    def usage(self, api: str, consumer: str, day: int) -> UsageRow:
        """The sums of a day."""
        key = (api, consumer, day)
        row = self.find(USAGE, key)
        if row is None:
            row = self.rows[USAGE][key] = UsageRow(*key)
        return row  # type: ignore[no-any-return]

    def balance(self, account: str) -> Balance:
        """An account's money."""
        return self.account(account).balance()

    def document(self, name: str) -> Any:
        """A document of settlement, None when there is none."""
        row = self.find(DOCUMENTS, (name,))
        return None if row is None else row.content

    def put_document(self, name: str, content: Any) -> None:
        """Put a document: lists, texts, numbers and so on, as JSON has them."""
        row = self.find(DOCUMENTS, (name,))
        if row is None:
            row = self.rows[DOCUMENTS][name,] = DocumentRow(name)
        row.content = content
        self.touch(row)

    # --- consumers, as requests look at them

    def consumer(self, consumer: str) -> ConsumerRow | None:
        """A consumer. Who changes one sees to it that its version is another then, so that nobody need lock it."""
        return self.find(CONSUMERS, (consumer,))  # type: ignore[no-any-return]

    def number(self, name: str) -> int:
        """A number; 0 before it was set."""
        row = self.find(NUMBERS, (name,))
        return 0 if row is None else row.value

    def set_number(self, name: str, value: int) -> int:
        """Set a number; the value."""
        row = self.find(NUMBERS, (name,))
        if row is None:
            row = self.rows[NUMBERS][name,] = NumberRow(name)
        row.value = value
        self.touch(row)
        return value

    def version_of(self, consumer: ConsumerRow) -> int:
        """Changes with a consumer, its keys and any tier."""
        return max(consumer.version, self.number("tiers_version"))

    def tier(self, name: str) -> Tier | None:
        """A tier, None when it is not defined."""
        row = self.find(TIERS, (name,))
        return None if row is None else row.tier()

    def profile(self, consumer: str) -> Profile | None:
        """What is known of a consumer, None when it does not exist."""
        row = self.consumer(consumer)
        if row is None:
            return None
        tier = self.tier(row.tier)
        assert tier is not None  # a tier is never deleted
        return row.profile(tier, self.number("tiers_version"))


def dirty(rows: Iterable[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """What has to be deleted, inserted and updated of the rows of a kind that were touched; they are as stored then."""
    deleted: list[Row] = []
    inserted: list[Row] = []
    updated: list[Row] = []
    for row in rows:
        row.touched = False
        if row.gone:
            if row.stored:
                deleted.append(row)
        elif row.stored:
            updated.append(row)
        else:
            inserted.append(row)
            row.stored = True
    return deleted, inserted, updated
