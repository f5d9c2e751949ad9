"""The operations of ``sqlite://`` that are more than the ledger: listings, consumers, keys, batches, pruning."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from api_billing.metering.errors import UnknownConsumer, UnknownTier
from api_billing.metering.ledger import money
from api_billing.metering.ledger.documents import budgets_to_text, lines_from_text, quotas_to_text
from api_billing.metering.ledger.operations import (
    ApiKey,
    Balance,
    Batch,
    Extend,
    FindKey,
    FireOnce,
    GetProfile,
    GetRecord,
    Grant,
    ListBatches,
    ListKeys,
    ListProfiles,
    ListRecords,
    ListTiers,
    Note,
    Operation,
    Outcome,
    Prune,
    Pruned,
    PutKey,
    PutProfile,
    PutTier,
    ReadBalance,
    ReadCounts,
    ReadLeaves,
    Record,
    Release,
    Reserve,
    RevokeKey,
    Settle,
    SumUsage,
    Sweep,
    UsageDay,
)
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores.sqlite.settlement import SETTLEMENT_HANDLERS
from api_billing.metering.stores.sqlite.tables import SqliteTables

_RECORD: Final = (
    "select r.*, b.request_body, b.response_body from requests r left join bodies b on b.record_id = r.record_id"
)
_INSERT_NOTE: Final = (
    "insert or ignore into requests (record_id, at_ms, state, api, consumer, account, tier, method, route, request_id,"
    " units, estimate_wei, windows, claim_expires_ms, expires_ms, ended_ms, code, status, duration_ms, response_bytes,"
    " error, tags) values (?,?,'refused',?,?,?,?,?,?,?,?,?,'[]',0,0,?,?,?,?,?,?,?)"
)


def sweep(tables: SqliteTables, op: Sweep) -> int:
    tables.write()
    rows = tables.connection.execute(
        "select record_id from requests where state = 'reserved' and expires_ms <= ? order by expires_ms limit ?",
        (op.now_ms, op.limit),
    )
    overdue = [row[0] for row in rows]
    for record_id in overdue:
        line = tables.line(record_id)
        assert line is not None
        money.undo(tables, line, "expired", op.now_ms)
    return len(overdue)


def note(tables: SqliteTables, op: Note) -> None:
    made = op.record
    end = made.outcome
    tables.connection.execute(
        _INSERT_NOTE,
        (
            made.record_id, made.at_ms, made.api, made.consumer, made.account, made.tier, made.method, made.route,
            made.request_id, made.units, str(made.estimate_wei), made.ended_ms, made.code, end.status, end.duration_ms,
            end.response_bytes, end.error, end.tags,
        ),
    )  # fmt: skip
    if end.request_body is not None or end.response_body is not None:
        row = (made.record_id, end.request_body, end.response_body)
        tables.connection.execute("insert or ignore into bodies values (?,?,?)", row)


def read_balance(tables: SqliteTables, op: ReadBalance) -> Balance:
    return tables.account(op.account).balance()


def read_counts(tables: SqliteTables, op: ReadCounts) -> tuple[int, ...]:
    return tuple(tables.count(check.counter, check.starts_ms, check.ends_ms).used for check in op.checks)


def put_profile(tables: SqliteTables, op: PutProfile) -> Profile:
    if op.tier not in tables.tiers():
        raise UnknownTier(f"no tier is called {op.tier!r}")
    was = tables.profile(op.consumer)
    if op.replaces in (-1, was.version if was is not None else 0):
        quotas, budgets = quotas_to_text(op.quotas), budgets_to_text(op.budgets)
        tables.connection.execute(
            "insert or replace into consumers values (?,?,?,?,?,?)",
            (op.consumer, op.tier, op.disabled, quotas, budgets, tables.new_version()),
        )
    profile = tables.profile(op.consumer)
    assert profile is not None
    return profile


def list_profiles(tables: SqliteTables, op: ListProfiles) -> tuple[Profile, ...]:
    rows = tables.connection.execute(
        "select consumer from consumers where consumer > ? order by consumer limit ?", (op.after, op.limit)
    ).fetchall()
    return tuple(profile for row in rows if (profile := tables.profile(row[0])) is not None)


def put_tier(tables: SqliteTables, op: PutTier) -> None:
    tier = op.tier
    row = (tier.name, tier.monthly_calls, tier.retention_days, quotas_to_text(tier.quotas))
    tables.connection.execute("insert or replace into tiers values (?,?,?,?)", row)
    tables.connection.execute("update meta set value = ? where name = 'tiers_version'", (tables.new_version(),))


def list_tiers(tables: SqliteTables, op: ListTiers) -> tuple[Tier, ...]:
    return tuple(tier for _, tier in sorted(tables.tiers().items()))


def put_key(tables: SqliteTables, op: PutKey) -> None:
    key = op.key
    if tables.profile(key.consumer) is None:
        raise UnknownConsumer(f"no consumer is called {key.consumer!r}")
    row = (key.key_id, key.digest, key.consumer, key.tier, key.label, key.created_ms, key.revoked_ms)
    tables.connection.execute("insert or replace into api_keys values (?,?,?,?,?,?,?)", row)


def find_key(tables: SqliteTables, op: FindKey) -> ApiKey | None:
    row = tables.connection.execute("select * from api_keys where key_id = ?", (op.key_id,)).fetchone()
    return None if row is None else ApiKey(*row)


def revoke_key(tables: SqliteTables, op: RevokeKey) -> bool:
    rows = tables.connection.execute(
        "update api_keys set revoked_ms = ? where key_id = ? and revoked_ms is null returning consumer",
        (op.now_ms, op.key_id),
    ).fetchall()
    if not rows:
        return False
    version = tables.new_version()
    tables.connection.execute("update consumers set version = ? where consumer = ?", (version, rows[0][0]))
    return True


def list_keys(tables: SqliteTables, op: ListKeys) -> tuple[ApiKey, ...]:
    rows = tables.connection.execute(
        "select * from api_keys where ? in ('', consumer) order by created_ms, key_id", (op.consumer,)
    )
    return tuple(ApiKey(*row) for row in rows)


def list_records(tables: SqliteTables, op: ListRecords) -> tuple[Record, ...]:
    tables.write()
    conditions = ["r.record_id > ?", "r.at_ms >= ?", "r.at_ms < ?"]
    values: list[Any] = [op.after, op.since_ms, op.until_ms]
    for column, value in (("consumer", op.consumer), ("api", op.api)):
        if value:
            conditions.append(f"r.{column} = ?")
            values.append(value)
    if op.states:
        conditions.append(f"r.state in ({','.join('?' * len(op.states))})")
        values += op.states
    sql = f"{_RECORD} where {' and '.join(conditions)} order by r.record_id limit ?"
    return tuple(_record(row) for row in tables.connection.execute(sql, (*values, op.limit)))


def get_record(tables: SqliteTables, op: GetRecord) -> Record | None:
    tables.write()
    row = tables.connection.execute(f"{_RECORD} where r.record_id = ?", (op.record_id,)).fetchone()
    return None if row is None else _record(row)


def sum_usage(tables: SqliteTables, op: SumUsage) -> tuple[UsageDay, ...]:
    tables.write()
    rows = tables.connection.execute(
        "select api, consumer, day, calls, units, charged_wei, uncollected_wei from usage_days"
        " where ? in ('', consumer) and ? in ('', api) and day between ? and ? order by api, consumer, day",
        (op.consumer, op.api, op.from_day, op.to_day),
    )
    return tuple(
        UsageDay(api, consumer, day, calls, units, int(wei), int(rest))
        for api, consumer, day, calls, units, wei, rest in rows
    )


def list_batches(tables: SqliteTables, op: ListBatches) -> tuple[Batch, ...]:
    rows = tables.connection.execute(
        "select api, sequence, created_ms, lines, records, root from batches where api = ? and sequence > ?"
        " order by sequence limit ?",
        (op.api, op.after, op.limit),
    )
    return tuple(
        Batch(api, sequence, created_ms, lines_from_text(lines), records, root)
        for api, sequence, created_ms, lines, records, root in rows
    )


def read_leaves(tables: SqliteTables, op: ReadLeaves) -> bytes:
    rows = tables.connection.execute(
        "select leaves from leaves where api = ? and sequence = ? order by before", (op.api, op.sequence)
    )
    return b"".join([row[0] for row in rows])


def prune(tables: SqliteTables, op: Prune) -> Pruned:
    tables.write()
    run = tables.connection.execute
    rows = run(
        "select record_id from requests where state <> 'reserved'"
        " and not (? and state = 'settled' and batch = 0)"
        " and at_ms + coalesce((select value from json_each(?) where key = tier), ?) <= ? order by record_id limit ?",
        (op.keep_unbatched, json.dumps(dict(op.retention_ms)), op.default_ms, op.now_ms, op.limit + 1),
    ).fetchall()
    gone = [(row[0],) for row in rows[: op.limit]]
    tables.connection.executemany("delete from requests where record_id = ?", gone)
    tables.connection.executemany("delete from bodies where record_id = ?", gone)
    counts = run("delete from counts where ends_ms <= ?", (op.counts_until_ms,)).rowcount
    responses = run("delete from claims where status is not null and expires_ms <= ?", (op.now_ms,)).rowcount
    run("delete from fired where expires_ms <= ?", (op.now_ms,))
    tables.forget()
    return Pruned(len(gone), counts, responses, len(rows) > op.limit)


def fire_once(tables: SqliteTables, op: FireOnce) -> bool:
    return tables.connection.execute("insert or ignore into fired values (?,?)", (op.key, op.expires_ms)).rowcount == 1


def _record(row: Any) -> Record:
    outcome = Outcome(
        row["status"], row["duration_ms"], row["response_bytes"], row["error"], row["tags"], row["request_body"],
        row["response_body"],
    )  # fmt: skip
    return Record(
        record_id=row["record_id"],
        at_ms=row["at_ms"],
        state=row["state"],
        api=row["api"],
        consumer=row["consumer"],
        account=row["account"],
        tier=row["tier"],
        method=row["method"],
        route=row["route"],
        request_id=row["request_id"],
        units=row["units"],
        estimate_wei=int(row["estimate_wei"]),
        charged_wei=int(row["charged_wei"]),
        uncollected_wei=int(row["uncollected_wei"]),
        ended_ms=row["ended_ms"],
        late=bool(row["late"]),
        code=row["code"],
        outcome=outcome,
        batch=row["batch"],
    )


HANDLERS: Final[dict[type[Operation[Any]], Callable[[SqliteTables, Any], Any]]] = {
    Reserve: money.reserve,
    Settle: money.settle,
    Release: money.release,
    Extend: money.extend,
    Grant: money.grant,
    Sweep: sweep,
    Note: note,
    ReadBalance: read_balance,
    ReadCounts: read_counts,
    GetProfile: lambda tables, op: tables.profile(op.consumer),
    PutProfile: put_profile,
    ListProfiles: list_profiles,
    PutTier: put_tier,
    ListTiers: list_tiers,
    PutKey: put_key,
    FindKey: find_key,
    RevokeKey: revoke_key,
    ListKeys: list_keys,
    ListRecords: list_records,
    GetRecord: get_record,
    SumUsage: sum_usage,
    ListBatches: list_batches,
    ReadLeaves: read_leaves,
    Prune: prune,
    FireOnce: fire_once,
    **SETTLEMENT_HANDLERS,
}
