"""The operations of ``redis://`` that take more than one round trip: listings, batches, sweeping, pruning.

They go in pages, so that no step holds up the server for long; nothing here is on the way of a request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.documents import lines_from_text
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import (
    ApiKey,
    Batch,
    ListBatches,
    ListKeys,
    ListProfiles,
    ListRecords,
    Operation,
    Prune,
    Pruned,
    Record,
    SumUsage,
    Sweep,
    UsageDay,
)
from api_billing.metering.ledger.records import matches
from api_billing.metering.limits.profile import Profile
from api_billing.metering.stores.redis.steps import Value, key_of, profile_of, record_of

_PAGE: Final = 1_000


class Server(Protocol):
    """What listings need of the store: commands on keys under its prefix."""

    def ask(self, command: str, key: str, *values: Value) -> Any:
        """The reply to one command."""

    def ask_all(self, commands: list[tuple[str, str, tuple[Value, ...]]]) -> list[Any]:
        """The replies to several commands, in one round trip."""

    def step(self, step: str, *values: Value) -> Any:
        """The reply of a step of the script."""


def sweep(server: Server, op: Sweep) -> int:
    swept = 0
    while swept < op.limit:
        page = min(op.limit - swept, _PAGE)
        done = server.step("sweep", op.now_ms, page)
        swept += done
        if done < page:
            break
    return swept


def list_profiles(server: Server, op: ListProfiles) -> tuple[Profile, ...]:
    found: list[Profile] = []
    for names in _pages(server, "consumers", op.after, op.limit):
        for name in names:
            consumer = name.decode()
            profile = profile_of(consumer, server.step("profile", consumer))
            if profile is not None:
                found.append(profile)
        if len(found) >= op.limit:
            break
    return tuple(found[: op.limit])


def list_keys(server: Server, op: ListKeys) -> tuple[ApiKey, ...]:
    ids = list(_members(server, f"kc:{op.consumer}")) if op.consumer else list(server.ask("HKEYS", "keys"))
    found: list[ApiKey] = []
    for first in range(0, len(ids), _PAGE):
        page = tuple(ids[first : first + _PAGE])
        documents, revoked = server.ask_all([("HMGET", "keys", page), ("HMGET", "revoked", page)])
        found += [key_of(*row) for row in zip(documents, revoked, strict=True) if row[0]]
    keys = (key for key in found if op.consumer in ("", key.consumer))
    return tuple(sorted(keys, key=lambda key: (key.created_ms, key.key_id)))


def list_records(server: Server, op: ListRecords) -> tuple[Record, ...]:
    found: list[Record] = []
    # Ids are time-ordered, so that a listing need not begin at the first; a day is allowed for clocks that differ.
    after = max(op.after, first_id(op.since_ms - DAY_MS)) if op.since_ms > DAY_MS else op.after
    for ids in _pages(server, f"of:{op.consumer}" if op.consumer else "ids", after, op.limit):
        rows = server.ask_all([("HGETALL", f"r:{record_id.decode()}", ()) for record_id in ids])
        for record_id, fields in zip(ids, rows, strict=True):
            record = record_of(record_id.decode(), fields)
            if record is not None and matches(record, op):
                found.append(record)
                if len(found) == op.limit:
                    return tuple(found)
    return tuple(found)


def sum_usage(server: Server, op: SumUsage) -> tuple[UsageDay, ...]:
    members = list(set(_members(server, f"uc:{op.consumer}" if op.consumer else "usage")))
    days = [(member, *_usage_key(member)) for member in members]
    wanted = sorted(
        (api, consumer, day, member)
        for member, api, consumer, day in days
        if op.consumer in ("", consumer) and op.api in ("", api) and op.from_day <= day <= op.to_day
    )
    found: list[UsageDay] = []
    for first in range(0, len(wanted), _PAGE):
        page = wanted[first : first + _PAGE]
        rows = server.ask_all([("HMGET", f"u:{member.decode()}", ("n", "u", "g", "l")) for *_, member in page])
        found += [
            UsageDay(api, consumer, day, *map(int, row))
            for (api, consumer, day, _), row in zip(page, rows, strict=True)
        ]
    return tuple(found)


def _usage_key(member: bytes) -> tuple[str, str, int]:
    api, rest = _counted(member)
    consumer, day = _counted(rest)
    return api.decode(), consumer.decode(), int(day)


def _counted(text: bytes) -> tuple[bytes, bytes]:
    """A name that its length stands before, and what follows it."""
    length, _, rest = text.partition(b":")
    return rest[: int(length)], rest[int(length) :]


def list_batches(server: Server, op: ListBatches) -> tuple[Batch, ...]:
    last = min(server.ask("HLEN", f"b:{op.api}"), op.after + op.limit)
    wanted = tuple(range(op.after + 1, last + 1))
    rows = server.ask("HMGET", f"b:{op.api}", *wanted) if wanted else []
    found = []
    for sequence, row in zip(wanted, rows, strict=True):
        created_ms, lines, records, root = json.loads(row)
        found.append(Batch(op.api, sequence, created_ms, lines_from_text(lines), records, root))
    return tuple(found)


def prune(server: Server, op: Prune) -> Pruned:
    records, more = 0, False
    for tier in sorted(_members(server, "tiers-used")):
        until_ms = op.now_ms - op.retention_ms.get(tier.decode(), op.default_ms)
        skip, looked = 0, 1
        while looked and not more:
            left = op.limit - records
            deleted, kept, beyond, looked = server.step("prune", tier, until_ms, int(op.keep_unbatched), left, skip)
            records += deleted
            skip += kept
            more = beyond == 1
        if more:
            break
    counts = responses = 0
    while True:
        page = server.step("prune_rest", op.now_ms, op.counts_until_ms)
        counts += page[0]
        responses += page[1]
        if page == [0, 0]:
            return Pruned(records, counts, responses, more)


def _pages(server: Server, key: str, after: str, limit: int) -> Iterator[list[bytes]]:
    """The members of an index after one of them, in pages."""
    first = b"(" + after.encode() if after else b"-"
    page = max(1, min(limit, _PAGE))
    while True:
        members = server.ask("ZRANGEBYLEX", key, first, "+", "LIMIT", 0, page)
        if members:
            yield members
        if len(members) < page:
            return
        first = b"(" + members[-1]
        page = _PAGE


def _members(server: Server, key: str) -> Iterator[bytes]:
    cursor: Value = 0
    while True:
        cursor, members = server.ask("SSCAN", key, cursor, "COUNT", _PAGE)
        yield from members
        if int(cursor) == 0:
            return


LISTINGS: Final[dict[type[Operation[Any]], Callable[[Any, Any], Any]]] = {
    Sweep: sweep,
    ListProfiles: list_profiles,
    ListKeys: list_keys,
    ListRecords: list_records,
    SumUsage: sum_usage,
    ListBatches: list_batches,
    Prune: prune,
}
