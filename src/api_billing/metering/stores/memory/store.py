"""``memory://``: everything in dictionaries, for tests and trials. Nothing survives the process."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from api_billing.metering.errors import UnknownConsumer, UnknownTier
from api_billing.metering.ledger import money
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
from api_billing.metering.ledger.records import matches
from api_billing.metering.limits.profile import Profile
from api_billing.metering.stores.memory.settlement import SETTLEMENT_HANDLERS
from api_billing.metering.stores.memory.tables import MemoryTables
from api_billing.metering.stores.store import Reply, Store


def open_memory(url: str) -> Store:
    """Open an empty store; each call opens another."""
    return MemoryStore(url)


class MemoryStore(Store):
    """Runs the ledger on dictionaries."""

    prepares = True
    finishes = False

    def __init__(self, url: str = "memory://"):
        super().__init__(url)
        self._tables = MemoryTables()

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        replies: list[Reply] = []
        for operation in operations:
            try:
                replies.append(_HANDLERS[type(operation)](self._tables, operation))
            except (UnknownConsumer, UnknownTier) as error:
                replies.append(error)
        return replies

    def _prepare(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        return self._perform(operations)

    def _disconnect(self) -> None:
        """Nothing to let go of; what was kept goes with the object."""


def sweep(tables: MemoryTables, op: Sweep) -> int:
    open_ = (line for line in tables.lines.values() if line.state == "reserved" and line.expires_ms <= op.now_ms)
    overdue = sorted(open_, key=lambda line: (line.expires_ms, line.reserve.reservation_id))[: op.limit]
    for line in overdue:
        money.undo(tables, line, "expired", op.now_ms)
    return len(overdue)


def note(tables: MemoryTables, op: Note) -> None:
    if op.record.record_id not in tables.notes and op.record.record_id not in tables.lines:
        tables.notes[op.record.record_id] = op.record
        insort(tables.ids, op.record.record_id)


def read_counts(tables: MemoryTables, op: ReadCounts) -> tuple[int, ...]:
    found = (tables.counts.get((check.counter, check.starts_ms)) for check in op.checks)
    return tuple(0 if count is None else count.used for count in found)


def read_balance(tables: MemoryTables, op: ReadBalance) -> Balance:
    account = tables.accounts.get(op.account)
    return Balance() if account is None else account.balance()


def put_profile(tables: MemoryTables, op: PutProfile) -> Profile:
    if op.tier not in tables.tiers:
        raise UnknownTier(f"no tier is called {op.tier!r}")
    was = tables.profile(op.consumer)
    if op.replaces in (-1, was.version if was is not None else 0):
        tables.consumers[op.consumer] = op
        tables.versions[op.consumer] = tables.new_version()
    profile = tables.profile(op.consumer)
    assert profile is not None
    return profile


def list_profiles(tables: MemoryTables, op: ListProfiles) -> tuple[Profile, ...]:
    names = sorted(name for name in tables.consumers if name > op.after)[: op.limit]
    return tuple(profile for name in names if (profile := tables.profile(name)) is not None)


def put_tier(tables: MemoryTables, op: PutTier) -> None:
    tables.tiers[op.tier.name] = op.tier
    tables.tiers_version = tables.new_version()


def put_key(tables: MemoryTables, op: PutKey) -> None:
    if op.key.consumer not in tables.consumers:
        raise UnknownConsumer(f"no consumer is called {op.key.consumer!r}")
    tables.keys[op.key.key_id] = op.key


def revoke_key(tables: MemoryTables, op: RevokeKey) -> bool:
    key = tables.keys.get(op.key_id)
    if key is None or key.revoked_ms is not None:
        return False
    tables.keys[op.key_id] = replace(key, revoked_ms=op.now_ms)
    tables.versions[key.consumer] = tables.new_version()
    return True


def list_keys(tables: MemoryTables, op: ListKeys) -> tuple[ApiKey, ...]:
    keys = (key for key in tables.keys.values() if op.consumer in ("", key.consumer))
    return tuple(sorted(keys, key=lambda key: (key.created_ms, key.key_id)))


def list_records(tables: MemoryTables, op: ListRecords) -> tuple[Record, ...]:
    found: list[Record] = []
    for record_id in tables.ids:
        record = tables.record(record_id) if record_id > op.after else None
        if record is not None and matches(record, op):
            found.append(record)
            if len(found) == op.limit:
                break
    return tuple(found)


def sum_usage(tables: MemoryTables, op: SumUsage) -> tuple[UsageDay, ...]:
    days = (UsageDay(*key, *sums) for key, sums in sorted(tables.usage.items()))
    return tuple(
        day
        for day in days
        if op.consumer in ("", day.consumer) and op.api in ("", day.api) and op.from_day <= day.day <= op.to_day
    )


def list_batches(tables: MemoryTables, op: ListBatches) -> tuple[Batch, ...]:
    found = (
        batch for (api, sequence), batch in sorted(tables.batches.items()) if api == op.api and sequence > op.after
    )
    return tuple(found)[: op.limit]


def read_leaves(tables: MemoryTables, op: ReadLeaves) -> bytes:
    return bytes(tables.leaves.get((op.api, op.sequence), b""))


def prune(tables: MemoryTables, op: Prune) -> Pruned:
    gone: list[str] = []
    more = False
    for record_id in tables.ids:
        record = tables.record(record_id)
        if record is None or not op.is_past(record):
            continue
        if len(gone) == op.limit:
            more = True
            break
        gone.append(record_id)
    for record_id in gone:
        tables.lines.pop(record_id, None)
        tables.notes.pop(record_id, None)
    dropped = set(gone)
    tables.ids = [record_id for record_id in tables.ids if record_id not in dropped]
    old = [key for key, count in tables.counts.items() if count.ends_ms <= op.counts_until_ms]
    for key in old:
        del tables.counts[key]
    claims = [key for key, row in tables.claims.items() if row.response is not None and row.expires_ms <= op.now_ms]
    for claim in claims:
        del tables.claims[claim]
    for fired in [key for key, expires_ms in tables.fired.items() if expires_ms <= op.now_ms]:
        del tables.fired[fired]
    return Pruned(len(gone), len(old), len(claims), more)


def fire_once(tables: MemoryTables, op: FireOnce) -> bool:
    if op.key in tables.fired:
        return False
    tables.fired[op.key] = op.expires_ms
    return True


_HANDLERS: Final[dict[type[Operation[Any]], Callable[[MemoryTables, Any], Any]]] = {
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
    ListTiers: lambda tables, op: tuple(tier for _, tier in sorted(tables.tiers.items())),
    PutKey: put_key,
    FindKey: lambda tables, op: tables.keys.get(op.key_id),
    RevokeKey: revoke_key,
    ListKeys: list_keys,
    ListRecords: list_records,
    GetRecord: lambda tables, op: tables.record(op.record_id),
    SumUsage: sum_usage,
    ListBatches: list_batches,
    ReadLeaves: read_leaves,
    Prune: prune,
    FireOnce: fire_once,
    **SETTLEMENT_HANDLERS,
}
