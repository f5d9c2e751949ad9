"""The operations of ``postgresql://`` that take more than one statement: listings, consumers, keys, batches, pruning.

Each runs in a transaction of its own; nothing here is on the way of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from api_billing.metering.errors import UnknownConsumer, UnknownTier
from api_billing.metering.ledger.documents import budgets_to_text, lines_from_text, quotas_to_text
from api_billing.metering.ledger.operations import (
    ApiKey,
    Batch,
    ListBatches,
    ListKeys,
    ListProfiles,
    ListRecords,
    ListTiers,
    Operation,
    Prune,
    Pruned,
    PutKey,
    PutProfile,
    PutTier,
    ReadLeaves,
    Record,
    RevokeKey,
    SumUsage,
    Sweep,
    UsageDay,
)
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores.postgresql.rows import (
    RECORD_COLUMNS,
    profile_of,
    received,
    record_of_row,
    sent,
    tier_of,
)
from api_billing.metering.stores.postgresql.settlement import SETTLEMENT_LISTINGS
from api_billing.metering.stores.postgresql.steps import KEY_COLUMNS, key_of

Connection = psycopg.Connection[tuple[Any, ...]]


def sweep(connection: Connection, op: Sweep) -> int:
    return int(_one(connection, "select meter_sweep(%s, %s)", op.now_ms, op.limit)[0])


def put_profile(connection: Connection, op: PutProfile) -> Profile:
    consumer, tier = sent(op.consumer), sent(op.tier)
    if connection.execute("select 1 from meter_tiers where name = %s", (tier,)).fetchone() is None:
        raise UnknownTier(f"no tier is called {op.tier!r}")
    # The state's row is locked, so that versions are seen in the order they are given.
    connection.execute("select version from meter_state for update")
    was = profile_of(op.consumer, _one(connection, "select meter_profile(%s)", consumer)[0])
    if op.replaces in (-1, was.version if was is not None else 0):
        connection.execute(
            "insert into meter_consumers (consumer_key, consumer, tier, disabled, quotas, budgets, version)"
            " values (meter_key(%s), %s, %s, %s, %s, %s, meter_new_version()) on conflict (consumer_key)"
            " do update set tier = excluded.tier, disabled = excluded.disabled, quotas = excluded.quotas,"
            " budgets = excluded.budgets, version = excluded.version",
            (
                consumer, consumer, tier, op.disabled, sent(quotas_to_text(op.quotas)),
                sent(budgets_to_text(op.budgets)),
            ),
        )  # fmt: skip
    profile = profile_of(op.consumer, _one(connection, "select meter_profile(%s)", consumer)[0])
    assert profile is not None
    return profile


def list_profiles(connection: Connection, op: ListProfiles) -> tuple[Profile, ...]:
    rows = connection.execute(
        "select consumer, meter_profile(consumer) from meter_consumers where consumer_key > meter_key(%s)"
        " order by consumer_key limit %s",
        (sent(op.after), op.limit),
    )
    found = (profile_of(received(consumer), document) for consumer, document in rows)
    return tuple(profile for profile in found if profile is not None)


def put_tier(connection: Connection, op: PutTier) -> None:
    tier = op.tier
    connection.execute(
        "insert into meter_tiers values (%s, %s, %s, %s) on conflict (name) do update"
        " set monthly_calls = excluded.monthly_calls, retention_days = excluded.retention_days,"
        " quotas = excluded.quotas",
        (sent(tier.name), tier.monthly_calls, tier.retention_days, sent(quotas_to_text(tier.quotas))),
    )
    connection.execute("update meter_state set version = version + 1, tiers_version = version + 1")


def list_tiers(connection: Connection, op: ListTiers) -> tuple[Tier, ...]:
    rows = connection.execute("select name, monthly_calls, retention_days, quotas from meter_tiers order by name")
    return tuple(tier_of(*row) for row in rows)


def put_key(connection: Connection, op: PutKey) -> None:
    key = op.key
    known = "select 1 from meter_consumers where consumer_key = meter_key(%s)"
    if connection.execute(known, (sent(key.consumer),)).fetchone() is None:
        raise UnknownConsumer(f"no consumer is called {key.consumer!r}")
    connection.execute(
        "insert into meter_keys values (meter_key(%s), %s, %s, %s, %s, %s, %s, %s) on conflict (key) do update"
        " set key_id = excluded.key_id, digest = excluded.digest, consumer = excluded.consumer, tier = excluded.tier,"
        " label = excluded.label, created_ms = excluded.created_ms, revoked_ms = excluded.revoked_ms",
        (
            sent(key.key_id), sent(key.key_id), sent(key.digest), sent(key.consumer), sent(key.tier), sent(key.label),
            key.created_ms, key.revoked_ms,
        ),
    )  # fmt: skip


def revoke_key(connection: Connection, op: RevokeKey) -> bool:
    row = connection.execute(
        "update meter_keys set revoked_ms = %s where key = meter_key(%s) and revoked_ms is null returning consumer",
        (op.now_ms, sent(op.key_id)),
    ).fetchone()
    if row is None:
        return False
    connection.execute(
        "update meter_consumers set version = meter_new_version() where consumer_key = meter_key(%s)", (row[0],)
    )
    return True


def list_keys(connection: Connection, op: ListKeys) -> tuple[ApiKey, ...]:
    sql, order = f"select {KEY_COLUMNS} from meter_keys", " order by created_ms, key_id"
    if not op.consumer:
        return tuple(key_of(row) for row in connection.execute(sql + order))
    where = " where meter_key(consumer) = meter_key(%s)"
    return tuple(key_of(row) for row in connection.execute(sql + where + order, (sent(op.consumer),)))


def list_records(connection: Connection, op: ListRecords) -> tuple[Record, ...]:
    conditions = ["record_id > %s", "at_ms >= %s", "at_ms < %s"]
    values: list[Any] = [sent(op.after), op.since_ms, op.until_ms]
    if op.consumer:
        conditions.append("meter_key(consumer) = meter_key(%s)")
        values.append(sent(op.consumer))
    if op.api:
        conditions.append("api = %s")
        values.append(sent(op.api))
    if op.states:
        conditions.append("state = any (%s)")
        values.append(list(op.states))
    sql = f"select {RECORD_COLUMNS} from meter_records where {' and '.join(conditions)} order by record_id limit %s"
    # Only the names of columns and the number of conditions vary; what callers give is bound.
    rows = connection.execute(sql.encode(), (*values, op.limit))
    return tuple(record_of_row(row) for row in rows)


def sum_usage(connection: Connection, op: SumUsage) -> tuple[UsageDay, ...]:
    conditions = ["day between %s and %s"]
    values: list[Any] = [op.from_day, op.to_day]
    for column, name in (("api_key", op.api), ("consumer_key", op.consumer)):
        if name:
            conditions.append(f"{column} = meter_key(%s)")
            values.append(sent(name))
    sql = (
        "select api, consumer, day, calls, units::text, charged::text, uncollected::text from meter_usage"
        f" where {' and '.join(conditions)} order by api_key, consumer_key, day"
    )
    return tuple(
        UsageDay(received(api), received(consumer), day, calls, int(units), int(charged), int(uncollected))
        for api, consumer, day, calls, units, charged, uncollected in connection.execute(sql.encode(), values)
    )


def list_batches(connection: Connection, op: ListBatches) -> tuple[Batch, ...]:
    rows = connection.execute(
        "select sequence, created_ms, lines, records, root from meter_batches where api_key = meter_key(%s)"
        " and sequence > %s order by sequence limit %s",
        (sent(op.api), op.after, op.limit),
    )
    return tuple(
        Batch(op.api, sequence, created_ms, lines_from_text(received(lines)), records, root)
        for sequence, created_ms, lines, records, root in rows
    )


def read_leaves(connection: Connection, op: ReadLeaves) -> bytes:
    rows = connection.execute(
        "select leaves from meter_leaves where api_key = meter_key(%s) and sequence = %s order by before",
        (sent(op.api), op.sequence),
    )
    return b"".join([row[0] for row in rows])


# Each tier has its own cutoff. The few tiers are found by jumps over an index, not by reading all records.
_TIERS_IN_USE: Final = (
    'with recursive tiers (tier) as ((select min(left(tier, 64) collate "C") from meter_records) union all'
    ' select (select min(left(r.tier, 64) collate "C") from meter_records r'
    ' where left(r.tier, 64) collate "C" > tiers.tier) from tiers where tiers.tier is not null)'
    " select tier from tiers where tier is not null"
)
_DELETE_PAST: Final = (
    "delete from meter_records where record_id in (select r.record_id"
    " from unnest(%s::text[], %s::bigint[]) as past (tier, until_ms)"
    ' join meter_records r on left(r.tier, 64) collate "C" = past.tier and r.at_ms <= past.until_ms'
    " where r.state <> 'reserved' and not (%s and r.state = 'settled' and r.batch = 0)"
    # Somebody settles it late this very moment: next time.
    " order by r.at_ms, r.record_id limit %s for update of r skip locked)"
)


def prune(connection: Connection, op: Prune) -> Pruned:
    tiers = [row[0] for row in connection.execute(_TIERS_IN_USE)]
    cutoffs = [str(op.now_ms - op.retention_ms.get(received(tier), op.default_ms)) for tier in tiers]
    past = (tiers, cutoffs, op.keep_unbatched)
    records = connection.execute(_DELETE_PAST, (*past, op.limit)).rowcount if tiers else 0
    more = records == op.limit and bool(
        connection.execute(
            "select 1 from unnest(%s::text[], %s::bigint[]) as past (tier, until_ms) join meter_records r"
            ' on left(r.tier, 64) collate "C" = past.tier and r.at_ms <= past.until_ms'
            " where r.state <> 'reserved' and not (%s and r.state = 'settled' and r.batch = 0) limit 1",
            past,
        ).fetchone()
    )
    run = connection.execute
    counts = run("delete from meter_counts where ends_ms <= %s", (op.counts_until_ms,)).rowcount
    responses = run("delete from meter_claims where status is not null and expires_ms <= %s", (op.now_ms,)).rowcount
    run("delete from meter_fired where expires_ms <= %s", (op.now_ms,))
    return Pruned(records, counts, responses, more)


def _one(connection: Connection, sql: Any, *values: Any) -> tuple[Any, ...]:
    row = connection.execute(sql, values).fetchone()
    assert row is not None
    return row


LISTINGS: Final[dict[type[Operation[Any]], Callable[[Connection, Any], Any]]] = {
    Sweep: sweep,
    PutProfile: put_profile,
    ListProfiles: list_profiles,
    PutTier: put_tier,
    ListTiers: list_tiers,
    PutKey: put_key,
    RevokeKey: revoke_key,
    ListKeys: list_keys,
    ListRecords: list_records,
    SumUsage: sum_usage,
    ListBatches: list_batches,
    ReadLeaves: read_leaves,
    Prune: prune,
    **SETTLEMENT_LISTINGS,
}
