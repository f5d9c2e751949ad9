"""What SQLite and PostgreSQL have in common: tables made of the ledger's kinds of rows, and the listings.

Plain SQL that other engines speak as well: row locks, inserts and updates by key, no functions in the server. A
statement has ``?`` for its values; amounts and names go through ``SqlTables.made`` and ``name``, as databases differ in
what they can hold.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.consumers import tier_row
from api_billing.metering.ledger.kinds import Kind, Row, Type
from api_billing.metering.ledger.operations import GrantMade, ListRecords, Prune, Pruned, Record, SumUsage, UsageDay
from api_billing.metering.ledger.rows import (
    API_KEYS,
    BATCHES,
    BODIES,
    CONSUMERS,
    GRANTS,
    KINDS,
    LIMITS,
    REQUESTS,
    TIERS,
    USAGE,
    BatchRow,
    BodiesRow,
    ConsumerRow,
    GrantRow,
    KeyRow,
    LimitsRow,
    NumberRow,
    RequestRow,
    TierRow,
    UsageRow,
)
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.limits.tiers import DEFAULT_TIERS
from api_billing.metering.stores.migrations import SCHEMA_VERSION, Value, columns_at, kinds_at, value_of

# What a batch's root is made of, in the pieces that it was cut in, each after so many others.
_LEAVES: Final = (
    "create table if not exists {prefix}leaves (api {name} not null, sequence {int} not null, place {int} not null,"
)
_LEAVES_END: Final = " leaves {bytes} not null, primary key (api, sequence, place))"
_INDEXES: Final = (
    "create index if not exists {prefix}requests_open on {prefix}requests (expires_ms) where state = 'reserved'",
    "create index if not exists {prefix}requests_of_consumer on {prefix}requests (consumer, record_id)",
    "create index if not exists {prefix}requests_to_settle on {prefix}requests (api, record_id)"
    " where state = 'settled' and batch = 0",
    "create index if not exists {prefix}counts_by_end on {prefix}counts (ends_ms)",
)


def schema(
    types: dict[Type, str], found: Mapping[str, Collection[str]], *, prefix: str = "", without: str = ""
) -> Iterator[str]:
    """The statements that make the tables, beside those that were ``found`` with these columns, which get those that
    they lack; ``without`` is what SQLite says of one that is only its primary key.
    """
    for kind in KINDS:
        columns = {
            column.name: f"{column.name} {types[column.type]}{'' if column.optional else ' not null'}"
            for column in kind.columns
        }
        table = prefix + kind.name
        if table not in found:
            key = ", ".join(column.name for column in kind.key)
            yield f"create table {table} ({', '.join(columns.values())}, primary key ({key})){without}"
            continue
        for name, column in columns.items():
            if name not in found[table]:
                yield f"alter table {table} add column {column} default {_literal(value_of(kind, name))}"
    for statement in (_LEAVES + _LEAVES_END, *_INDEXES):
        yield statement.format(prefix=prefix, **types)


def _literal(value: Value) -> str:
    if value is None:
        return "null"
    return f"'{value}'" if isinstance(value, str) else str(value)


def columns_wanted(prefix: str = "", version: int = SCHEMA_VERSION) -> dict[str, list[str]]:
    """The names of all tables of a version, and of their columns."""
    kinds = {prefix + kind.name: [column.name for column in columns_at(kind, version)] for kind in kinds_at(version)}
    return {**kinds, f"{prefix}leaves": ["api", "sequence", "place", "leaves"]}


def first_rows() -> list[Row]:
    """What a new store has in it."""
    return [*map(tier_row, DEFAULT_TIERS), NumberRow("version"), NumberRow("tiers_version")]


class SqlTables(Tables):
    """The ledger's tables in a database that speaks SQL."""

    prefix: ClassVar[str] = ""  # of the names of tables
    skip_locked: ClassVar[str] = ""  # at the end of a select, for rows that somebody else works on

    # --- what a database implements

    @abstractmethod
    def all(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """The rows of a statement."""

    @abstractmethod
    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement; how many rows it was about."""

    @abstractmethod
    def among(self, column: str, values: Sequence[str]) -> tuple[str, Any]:
        """The condition that a column is one of many values, and the one value that it takes."""

    def name(self, text: str) -> str:
        """A name as the database has it."""
        return text

    def whole(self, text: str) -> str:
        """A text that is no name as the database has it."""
        return text

    def text(self, name: str) -> str:
        """What a name as the database has it was."""
        return name

    @abstractmethod
    def made(self, kind: Kind, values: Sequence[Any]) -> Any:
        """A row of what the database has."""

    @abstractmethod
    def columns(self, kind: Kind, of: str = "") -> str:
        """All columns of a table in their order, to be selected."""

    # --- listings

    def _rows(self, kind: Kind, rest: str, *values: Any) -> list[Any]:
        sql = f"select {self.columns(kind)} from {self.prefix}{kind.name} {rest}"
        return [self.made(kind, row) for row in self.all(sql, *values)]

    def consumers(self, after: str, limit: int) -> Sequence[ConsumerRow]:
        return self._rows(CONSUMERS, "where consumer > ? order by consumer limit ?", self.name(after), limit)

    def tiers(self) -> Sequence[TierRow]:
        return self._rows(TIERS, "")

    def limits(self) -> Sequence[LimitsRow]:
        return self._rows(LIMITS, "")

    def keys(self, consumer: str, after: str = "", limit: int | None = None) -> Sequence[KeyRow]:
        where, values = ("where consumer = ?", [self.name(consumer)]) if consumer else ("where 1 = 1", [])
        if limit is None:
            return self._rows(API_KEYS, where, *values)
        return self._rows(API_KEYS, f"{where} and key_id > ? order by key_id limit ?", *values, self.name(after), limit)

    def records(self, query: ListRecords) -> Sequence[Record]:
        order, behind = ("desc", "<") if query.newest_first else ("asc", ">")
        conditions: list[str] = ["r.record_id > ?", "r.at_ms >= ?", "r.at_ms < ?"]
        values: list[Any] = [self.name(query.lowest), query.since_ms, query.until_ms]
        for comparison, name in ((behind, query.after), ("<", query.highest)):
            if name:
                conditions.append(f"r.record_id {comparison} ?")
                values.append(self.name(name))
        for column, name in (("consumer", query.consumer), ("api", query.api)):
            if name:
                conditions.append(f"r.{column} = ?")
                values.append(self.name(name))
        if query.states:
            condition, value = self.among("r.state", query.states)
            conditions.append(condition)
            values.append(value)
        rows = self.all(
            f"select {self.columns(REQUESTS, 'r.')}, {self.columns(BODIES, 'b.')} from {self.prefix}requests r"
            f" left join {self.prefix}bodies b on b.record_id = r.record_id"
            f" where {' and '.join(conditions)} order by r.record_id {order} limit ?",
            *values,
            query.limit,
        )
        end = len(REQUESTS.columns)
        records = []
        for row in rows:
            request: RequestRow = self.made(REQUESTS, row[:end])
            bodies: BodiesRow | None = None if row[end] is None else self.made(BODIES, row[end:])
            records.append(request.record(bodies))
        return records

    def grants(self, account: str) -> Sequence[GrantMade]:
        rows: list[GrantRow] = self._rows(GRANTS, "where account = ? order by grant_id", self.whole(account))
        return [row.made() for row in rows]

    def open_requests(self, limit: int) -> Sequence[RequestRow]:
        return self._rows(REQUESTS, "where state = 'reserved' order by expires_ms limit ?", limit)

    def number_of(self, kind: Kind) -> int:
        return int(self.all(f"select count(*) from {self.prefix}{kind.name}")[0][0])

    def usage_days(self, query: SumUsage) -> Sequence[UsageDay]:
        conditions: list[str] = ["day between ? and ?"]
        values: list[Any] = [query.from_day, query.to_day]
        for column, name in (("consumer", query.consumer), ("api", query.api)):
            if name:
                conditions.append(f"{column} = ?")
                values.append(self.name(name))
        where = " and ".join(conditions)
        rows: list[UsageRow] = self._rows(USAGE, f"where {where} order by api, consumer, day", *values)
        return [row.usage_day() for row in rows]

    def batches(self, api: str, after: int, limit: int) -> Sequence[Batch]:
        where = "where api = ? and sequence > ? order by sequence limit ?"
        rows: list[BatchRow] = self._rows(BATCHES, where, self.name(api), after, limit)
        return [row.batch() for row in rows]

    def leaves(self, api: str, sequence: int) -> bytes:
        sql = f"select leaves from {self.prefix}leaves where api = ? and sequence = ? order by place"
        return b"".join([row[0] for row in self.all(sql, self.name(api), sequence)])

    def to_settle(self, api: str, until_ms: int, after: str, limit: int) -> Sequence[UsageLine]:
        rows = self.all(
            "select record_id, account, consumer, at_ms, units, charged_wei, channel"
            f" from {self.prefix}requests where api = ?"
            " and state = 'settled' and batch = 0 and at_ms <= ? and record_id > ? order by record_id limit ?",
            self.name(api),
            until_ms,
            self.name(after),
            limit,
        )
        return [
            UsageLine(
                self.text(record_id), api, self.text(account), self.text(consumer), at_ms, units, int(wei), channel
            )
            for record_id, account, consumer, at_ms, units, wei, channel in rows
        ]

    def put_into_batch(self, api: str, sequence: int, before: int, record_ids: Sequence[str], leaves: bytes) -> None:
        self.flush()
        condition, ids = self.among("record_id", [self.name(record_id) for record_id in record_ids])
        self.run(f"update {self.prefix}requests set batch = ? where {condition}", sequence, ids)
        self.run(f"insert into {self.prefix}leaves values (?,?,?,?)", self.name(api), sequence, before, leaves)
        for record_id in record_ids:
            self.rows[REQUESTS].pop((record_id,), None)

    def overdue(self, now_ms: int, limit: int) -> Sequence[str]:
        sql = (
            f"select record_id from {self.prefix}requests where state = 'reserved' and expires_ms <= ?"
            " order by expires_ms, record_id limit ?"
        )
        return [self.text(row[0]) for row in self.all(sql, now_ms, limit)]

    def prune(self, op: Prune) -> Pruned:
        requests = f"{self.prefix}requests"
        past = "tier = ? and at_ms <= ? and state <> 'reserved' and not (? and state = 'settled' and batch = 0)"
        tiers = [tier for (tier,) in self.all(_TIERS_IN_USE.format(requests=requests))]
        left = op.limit
        more = False
        for tier in tiers:
            values = (tier, op.now_ms - op.retention_ms.get(self.text(tier), op.default_ms), op.keep_unbatched)
            if not left:
                more = more or bool(self.all(f"select 1 from {requests} where {past} limit 1", *values))
                continue
            gone = self.all(
                f"delete from {requests} where record_id in (select record_id from {requests} where {past}"
                f" order by record_id limit ?{self.skip_locked}) returning record_id",
                *values,
                left,
            )
            condition, ids = self.among("record_id", [row[0] for row in gone])
            self.run(f"delete from {self.prefix}bodies where {condition}", ids)
            left -= len(gone)
            more = more or (not left and bool(self.all(f"select 1 from {requests} where {past} limit 1", *values)))
        counts = self.run(f"delete from {self.prefix}counts where ends_ms <= ?", op.counts_until_ms)
        claims = f"delete from {self.prefix}claims where status is not null and expires_ms <= ?"
        responses = self.run(claims, op.now_ms)
        self.run(f"delete from {self.prefix}fired where expires_ms <= ?", op.now_ms)
        self.forget()
        return Pruned(op.limit - left, counts, responses, more)

    def forget(self) -> None:
        """Forget all rows, written or not."""
        for rows in self.rows.values():
            rows.clear()
        for touched in self.touched.values():
            touched.clear()


# The few tiers are found by jumps over an index where there is one, not by reading all requests.
_TIERS_IN_USE: Final = (
    "with recursive tiers (tier) as (select min(tier) from {requests} union all"
    " select (select min(r.tier) from {requests} r where r.tier > tiers.tier) from tiers where tiers.tier is not null)"
    " select tier from tiers where tier is not null"
)
