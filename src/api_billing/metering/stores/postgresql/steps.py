"""The operations that PostgreSQL answers with one statement: what is sent, which locks it needs, how the row is read.

Many of them go in one transaction, in a pipeline: one round trip and one commit for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from api_billing.metering.ledger.documents import headers_from_text, headers_to_text
from api_billing.metering.ledger.operations import (
    ApiKey,
    Balance,
    ClaimInProgress,
    ClaimMismatch,
    Extend,
    FindKey,
    FireOnce,
    GetProfile,
    GetRecord,
    Grant,
    Granted,
    GrantRefused,
    Note,
    NotReserved,
    Operation,
    ReadBalance,
    ReadCounts,
    Record,
    Refused,
    Release,
    Released,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
    Settle,
    Settled,
    StaleProfile,
    StoredResponse,
)
from api_billing.metering.stores.postgresql.rows import (
    RECORD_COLUMNS,
    balance_of,
    numbers_of,
    outcome_values,
    profile_of,
    received,
    record_of_row,
    sent,
    stripe,
    texts,
)

Row = tuple[Any, ...]

LOCK: Final = "select meter_lock(%s::int[], %s::text[])"
KEY_COLUMNS: Final = "key_id, digest, consumer, tier, label, created_ms, revoked_ms"


def _nothing(op: Any) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class StatementOf:
    """How one kind of operation is asked for. ``ids``: of reservations whose locks, known to the server, are needed."""

    sql: LiteralString
    values: Callable[[Any], list[Any]]
    answer: Callable[[Any, Row | None], Any]
    stripes: Callable[[Any], Iterable[str]] = _nothing
    ids: Callable[[Any], Iterable[str]] = _nothing


def _reserve_stripes(op: Reserve) -> list[str]:
    return [stripe("a", op.account), stripe("c", op.consumer), *(stripe("n", check.counter) for check in op.checks)]


def _reserve_values(op: Reserve) -> list[Any]:
    checks = op.checks
    key, fingerprint = op.claim or (None, "")
    return [
        sent(op.reservation_id), str(op.now_ms), str(op.expires_ms), sent(op.account), sent(op.api), sent(op.consumer),
        str(op.estimate_wei), str(op.units),
        texts(check.counter for check in checks),
        [str(check.starts_ms) for check in checks],
        [str(check.ends_ms) for check in checks],
        [str(check.unit == "wei") for check in checks],
        [None if check.limit is None else str(check.limit) for check in checks],
        str(op.profile_version), None if key is None else sent(key), sent(fingerprint), str(op.claim_expires_ms),
        sent(op.tier), sent(op.method), sent(op.route), sent(op.request_id), _reserve_stripes(op),
    ]  # fmt: skip


def _reserve_answer(op: Reserve, row: Row | None) -> ReserveReply:
    assert row is not None
    kind, balance, counts, detail, violated, status, body = row
    if kind == "reserved":
        return Reserved(balance_of(balance), numbers_of(counts))
    if kind == "refused":
        indexes = numbers_of(violated)
        code = op.checks[indexes[0]].code if detail == "window" else detail
        return Refused(code, indexes, numbers_of(counts), balance_of(balance))
    if kind == "stale":
        return StaleProfile(profile_of(op.consumer, detail))
    if kind == "in_progress":
        return ClaimInProgress(received(detail))
    if kind == "mismatch":
        return ClaimMismatch(received(detail))
    return Replay(StoredResponse(status, headers_from_text(received(counts)), body), received(detail))


def _settle_values(op: Settle) -> list[Any]:
    kept = op.response
    return [
        sent(op.reservation_id), sent(op.account), str(op.now_ms), str(op.actual_wei),
        None if op.units is None else str(op.units), *outcome_values(op.outcome),
        *((None, None, None) if kept is None else (str(kept.status), sent(headers_to_text(kept.headers)), kept.body)),
    ]  # fmt: skip


def _settle_answer(op: Settle, row: Row | None) -> Settled | NotReserved:
    assert row is not None
    kind, balance, counters, counts, charged, uncollected, late = row
    if kind == "not_reserved":
        return NotReserved(balance)
    repeated = kind == "repeated"
    named = () if repeated else tuple(zip(map(received, counters), numbers_of(counts), strict=True))
    return Settled(int(charged), int(uncollected), balance_of(balance), named, late, repeated)


def _release_answer(op: Release, row: Row | None) -> Released | NotReserved:
    assert row is not None
    kind, balance = row
    return NotReserved(balance) if kind == "not_reserved" else Released(balance_of(balance), kind == "repeated")


def _grant_answer(op: Grant, row: Row | None) -> Granted | GrantRefused:
    assert row is not None
    kind, balance = row
    return GrantRefused(balance_of(balance)) if kind == "refused" else Granted(balance_of(balance), kind == "repeated")


def _note_values(op: Note) -> list[Any]:
    record = op.record
    return [
        sent(record.record_id), str(record.at_ms), record.state, sent(record.api), sent(record.consumer),
        sent(record.account), sent(record.tier), sent(record.method), sent(record.route), sent(record.request_id),
        str(record.units), str(record.estimate_wei), str(record.ended_ms), sent(record.code),
        *outcome_values(record.outcome),
    ]  # fmt: skip


def _balance_answer(op: ReadBalance, row: Row | None) -> Balance:
    return Balance() if row is None else balance_of(row[0])


def _key_answer(op: FindKey, row: Row | None) -> ApiKey | None:
    return None if row is None else key_of(row)


def key_of(row: Row) -> ApiKey:
    """A key from its columns, as ``KEY_COLUMNS`` has them."""
    key_id, digest, consumer, tier, label, created_ms, revoked_ms = row
    return ApiKey(
        received(key_id), received(digest), received(consumer), received(tier), received(label), created_ms, revoked_ms
    )


def _record_answer(op: GetRecord, row: Row | None) -> Record | None:
    return None if row is None else record_of_row(row)


def _call(function: LiteralString, types: LiteralString) -> LiteralString:
    return "select * from " + function + "(" + ", ".join("%s::" + type_ for type_ in types.split()) + ")"


_OUTCOME: Final = "int bigint bigint text text bytea bytea"

STATEMENTS: Final[dict[type[Operation[Any]], StatementOf]] = {
    Reserve: StatementOf(
        _call(
            "meter_reserve",
            "text bigint bigint text text text numeric bigint text[] bigint[] bigint[] boolean[] numeric[] bigint text"
            " text bigint text text text text int[]",
        ),
        _reserve_values,
        _reserve_answer,
        stripes=_reserve_stripes,
    ),
    Settle: StatementOf(
        _call("meter_settle", "text text bigint numeric bigint " + _OUTCOME + " int text bytea"),
        _settle_values,
        _settle_answer,
        stripes=lambda op: (stripe("a", op.account),),
        ids=lambda op: (sent(op.reservation_id),),
    ),
    Release: StatementOf(
        _call("meter_release", "text text bigint " + _OUTCOME),
        lambda op: [sent(op.reservation_id), sent(op.account), str(op.now_ms), *outcome_values(op.outcome)],
        _release_answer,
        stripes=lambda op: (stripe("a", op.account),),
        ids=lambda op: (sent(op.reservation_id),),
    ),
    Extend: StatementOf(
        _call("meter_extend", "text[] bigint"),
        lambda op: [texts(op.reservation_ids), str(op.expires_ms)],
        lambda op, row: row[0] if row else 0,
        ids=lambda op: texts(op.reservation_ids),
    ),
    Grant: StatementOf(
        _call("meter_grant", "text text numeric bigint text"),
        lambda op: [sent(op.grant_id), sent(op.account), str(op.amount_wei), str(op.now_ms), sent(op.note)],
        _grant_answer,
        stripes=lambda op: (stripe("a", op.account), stripe("g", op.grant_id)),
    ),
    Note: StatementOf(
        "insert into meter_records (record_id, at_ms, state, api, consumer, account, tier, method, route, request_id,"
        " units, estimate, ended_ms, code, status, duration_ms, response_bytes, error, tags, request_body,"
        " response_body) values (%s, %s::bigint, %s, %s, %s, %s, %s, %s, %s, %s, %s::bigint, %s::numeric, %s::bigint,"
        " %s, %s::int, %s::bigint, %s::bigint, %s, %s, %s::bytea, %s::bytea) on conflict (record_id) do nothing",
        _note_values,
        lambda op, row: None,
    ),
    FireOnce: StatementOf(
        "insert into meter_fired values (meter_key(%s), %s::bigint) on conflict do nothing returning 1",
        lambda op: [sent(op.key), str(op.expires_ms)],
        lambda op, row: row is not None,
        stripes=lambda op: (stripe("f", op.key),),
    ),
    ReadBalance: StatementOf(
        "select meter_balance(a) from meter_accounts a where account = meter_key(%s)",
        lambda op: [sent(op.account)],
        _balance_answer,
    ),
    ReadCounts: StatementOf(
        "select meter_used(%s::text[], %s::bigint[])",
        lambda op: [texts(check.counter for check in op.checks), [str(check.starts_ms) for check in op.checks]],
        lambda op, row: numbers_of(row[0]) if row else (),
    ),
    GetProfile: StatementOf(
        "select meter_profile(%s)",
        lambda op: [sent(op.consumer)],
        lambda op, row: profile_of(op.consumer, row[0]) if row else None,
    ),
    FindKey: StatementOf(
        "select " + KEY_COLUMNS + " from meter_keys where key = meter_key(%s)",
        lambda op: [sent(op.key_id)],
        _key_answer,
    ),
    GetRecord: StatementOf(
        "select " + RECORD_COLUMNS + " from meter_records where record_id = %s",
        lambda op: [sent(op.record_id)],
        _record_answer,
    ),
}
