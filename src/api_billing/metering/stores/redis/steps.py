"""The operations that Redis answers with one command, mostly a step of the script: what is sent and how it is read.

Many of them go in one pipeline: one round trip for all. Texts are sent as UTF-8 and may have any byte in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from api_billing.metering.errors import UnknownConsumer, UnknownTier
from api_billing.metering.ledger.documents import (
    budgets_from_text,
    budgets_to_text,
    headers_from_text,
    headers_to_text,
    quotas_from_text,
    quotas_to_text,
)
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
    ListTiers,
    Note,
    NotReserved,
    Operation,
    Outcome,
    PutKey,
    PutProfile,
    PutTier,
    ReadBalance,
    ReadCounts,
    ReadLeaves,
    Record,
    Refused,
    Release,
    Released,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
    RevokeKey,
    Settle,
    Settled,
    StaleProfile,
    StoredResponse,
)
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier

Value = str | bytes | int
Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Command:
    """How one kind of operation is asked for: a step of the script, or a command and the key that it is about."""

    values: Callable[[Any], list[Value]]
    answer: Callable[[Any, Any], Any]
    step: str = ""
    command: str = ""
    key: Callable[[Any], str] | None = None


def _reserve_values(op: Reserve) -> list[Value]:
    key, fingerprint = op.claim or ("", "")
    values: list[Value] = [
        op.reservation_id, op.now_ms, op.expires_ms, op.account, op.api, op.consumer, op.estimate_wei, op.units,
        op.profile_version, int(op.claim is not None), key, fingerprint, op.claim_expires_ms, op.tier, op.method,
        op.route, op.request_id,
    ]  # fmt: skip
    for counter, starts_ms, ends_ms, unit, limit, _, _ in op.checks:
        values += (counter, starts_ms, ends_ms, unit[0], "" if limit is None else limit)
    return values


def _reserve_answer(op: Reserve, reply: list[Any]) -> ReserveReply:
    kind = reply[0]
    if kind == b"reserved":
        return Reserved(balance_of(reply[1]), _numbers(reply[2]))
    if kind == b"refused":
        _, balance, code, violated, counts = reply
        indexes = _numbers(violated)
        name = op.checks[indexes[0]].code if code == b"window" else code.decode()
        return Refused(name, indexes, _numbers(counts), balance_of(balance))
    if kind == b"stale":
        return StaleProfile(profile_of(op.consumer, reply[1]))
    if kind == b"in_progress":
        return ClaimInProgress(reply[1].decode())
    if kind == b"mismatch":
        return ClaimMismatch(reply[1].decode())
    return Replay(_response(reply[2]), reply[1].decode())


def _settle_values(op: Settle) -> list[Value]:
    units = "" if op.units is None else op.units
    values: list[Value] = [op.reservation_id, op.account, op.now_ms, op.actual_wei, units]
    values += _outcome_values(op.outcome)
    return values if op.response is None else [*values, _response_value(op.response)]


def _settle_answer(op: Settle, reply: list[Any]) -> Settled | NotReserved:
    if reply[0] == b"not_reserved":
        return NotReserved(reply[1].decode())
    kind, balance, charged, uncollected, late, *windows = reply
    named: tuple[tuple[str, int], ...] = ()
    if windows:
        named = tuple(zip((name.decode() for name in windows[1]), _numbers(windows[0]), strict=True))
    return Settled(int(charged), int(uncollected), balance_of(balance), named, late == b"1", kind == b"repeated")


def _release_answer(op: Release, reply: list[Any]) -> Released | NotReserved:
    if reply[0] == b"not_reserved":
        return NotReserved(reply[1].decode())
    return Released(balance_of(reply[1]), reply[0] == b"repeated")


def _grant_values(op: Grant) -> list[Value]:
    sign = "take" if op.amount_wei < 0 else "add"
    return [op.grant_id, op.account, sign, abs(op.amount_wei), op.now_ms, op.note]


def _grant_answer(op: Grant, reply: list[Any]) -> Granted | GrantRefused:
    balance = balance_of(reply[1])
    return GrantRefused(balance) if reply[0] == b"refused" else Granted(balance, reply[0] == b"repeated")


def _note_values(op: Note) -> list[Value]:
    record = op.record
    return [
        record.record_id, record.at_ms, record.state, record.api, record.consumer, record.account, record.tier,
        record.method, record.route, record.request_id, record.units, record.estimate_wei, record.ended_ms, record.code,
        *_outcome_values(record.outcome),
    ]  # fmt: skip


def _put_profile_values(op: PutProfile) -> list[Value]:
    quotas, budgets = quotas_to_text(op.quotas), budgets_to_text(op.budgets)
    return [op.consumer, op.tier, int(op.disabled), quotas, budgets, op.replaces]


def _put_profile_answer(op: PutProfile, reply: Any) -> Profile | UnknownTier:
    found = None if reply == 0 else profile_of(op.consumer, reply)
    return UnknownTier(f"no tier is called {op.tier!r}") if found is None else found


def _put_key_values(op: PutKey) -> list[Value]:
    key = op.key
    document = json.dumps([key.key_id, key.digest, key.consumer, key.tier, key.label, key.created_ms])
    return [key.key_id, key.consumer, document, "" if key.revoked_ms is None else key.revoked_ms]


def _put_key_answer(op: PutKey, reply: int) -> UnknownConsumer | None:
    return None if reply else UnknownConsumer(f"no consumer is called {op.key.consumer!r}")


def _counts_keys(op: ReadCounts) -> list[Value]:
    return [f"n:{check.starts_ms}:{check.counter}" for check in op.checks]


# --- values


def balance_of(text: bytes) -> Balance:
    """A balance from its numbers in words."""
    return Balance(*map(int, text.split()))


def leaves_key(api: str, sequence: int) -> str:
    """Where the leaves of a batch are."""
    return f"bl:{sequence}:{api}"


def profile_of(consumer: str, row: list[bytes]) -> Profile | None:
    """A profile from what the script gives; None for an empty list."""
    if not row:
        return None
    version, disabled, quotas, budgets, tier = (value.decode() for value in row)
    return Profile(
        consumer,
        tier_of(tier),
        int(version),
        disabled == "1",
        quotas_from_text(quotas),
        budgets_from_text(budgets),
    )


def tier_to_text(tier: Tier) -> str:
    """A tier as JSON."""
    return json.dumps([tier.name, tier.monthly_calls, tier.retention_days, quotas_to_text(tier.quotas)])


def tier_of(text: str | bytes) -> Tier:
    """The tier of such a text."""
    name, monthly_calls, retention_days, quotas = json.loads(text)
    return Tier(name, monthly_calls, retention_days, quotas_from_text(quotas))


def key_of(document: bytes, revoked: bytes | None) -> ApiKey:
    """A key from its document and when it was revoked."""
    key_id, digest, consumer, tier, label, created_ms = json.loads(document)
    return ApiKey(key_id, digest, consumer, tier, label, created_ms, int(revoked) if revoked else None)


def record_of(record_id: str, fields: Fields) -> Record | None:
    """A record from its hash; None for an empty one."""
    if not fields:
        return None
    text = {name: value.decode() for name, value in fields.items() if name not in _BINARY}
    outcome = Outcome(*json.loads(text.get(b"j") or "[]"))
    if b"rq" in fields or b"rs" in fields:
        outcome = Outcome(*outcome[:5], _body(fields.get(b"rq")), _body(fields.get(b"rs")))
    return Record(
        record_id=record_id,
        at_ms=int(text[b"t"]),
        state=text[b"s"],  # type: ignore[arg-type]  # one of the states: only the script writes it
        api=text[b"p"],
        consumer=text[b"c"],
        account=text[b"a"],
        tier=text[b"i"],
        method=text[b"m"],
        route=text[b"o"],
        request_id=text[b"q"],
        units=int(text[b"u"]),
        estimate_wei=int(text[b"e"]),
        charged_wei=int(text.get(b"g", "0")),
        uncollected_wei=int(text.get(b"l", "0")),
        ended_ms=int(text.get(b"d", "0")),
        late=text.get(b"z") == "1",
        code=text.get(b"v", ""),
        outcome=outcome,
        batch=int(text.get(b"b", "0")),
    )


_BINARY: Final = frozenset({b"w", b"rq", b"rs"})


def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def _outcome_values(end: Outcome) -> list[Value]:
    numbers = "" if end == _NO_OUTCOME else json.dumps(end[:5], ensure_ascii=False)
    return [numbers, _signed(end.request_body), _signed(end.response_body)]


_NO_OUTCOME: Final = Outcome()


def _signed(body: bytes | None) -> bytes:
    return b"" if body is None else b"=" + body


def _body(signed: bytes | None) -> bytes | None:
    return signed[1:] if signed else None


def _response_value(response: StoredResponse) -> bytes:
    return f"{response.status} {headers_to_text(response.headers)}\n".encode() + response.body


def _response(value: bytes) -> StoredResponse:
    head, _, body = value.partition(b"\n")
    status, _, headers = head.partition(b" ")
    return StoredResponse(int(status), headers_from_text(headers.decode()), body)


COMMANDS: Final[dict[type[Operation[Any]], Command]] = {
    Reserve: Command(_reserve_values, _reserve_answer, "reserve"),
    Settle: Command(_settle_values, _settle_answer, "settle"),
    Release: Command(
        lambda op: [op.reservation_id, op.account, op.now_ms, *_outcome_values(op.outcome)], _release_answer, "release"
    ),
    Extend: Command(lambda op: [op.expires_ms, *op.reservation_ids], lambda op, reply: reply, "extend"),
    Grant: Command(_grant_values, _grant_answer, "grant"),
    Note: Command(_note_values, lambda op, reply: None, "note"),
    GetProfile: Command(lambda op: [op.consumer], lambda op, reply: profile_of(op.consumer, reply), "profile"),
    PutProfile: Command(_put_profile_values, _put_profile_answer, "put_profile"),
    PutTier: Command(lambda op: [op.tier.name, tier_to_text(op.tier)], lambda op, reply: None, "put_tier"),
    PutKey: Command(_put_key_values, _put_key_answer, "put_key"),
    FindKey: Command(lambda op: [op.key_id], lambda op, reply: key_of(*reply) if reply else None, "find_key"),
    RevokeKey: Command(lambda op: [op.key_id, op.now_ms], lambda op, reply: reply == 1, "revoke_key"),
    FireOnce: Command(
        lambda op: ["NX", op.expires_ms, op.key], lambda op, reply: reply == 1, "", "ZADD", lambda op: "fired"
    ),
    ReadBalance: Command(
        lambda op: ["g", "r", "c", "b", "e"],
        lambda op, reply: Balance(*(int(value or 0) for value in reply)),
        "",
        "HMGET",
        lambda op: f"a:{op.account}",
    ),
    ReadCounts: Command(_counts_keys, lambda op, reply: _numbers(reply), "counts"),
    GetRecord: Command(
        lambda op: [], lambda op, reply: record_of(op.record_id, reply), "", "HGETALL", lambda op: f"r:{op.record_id}"
    ),
    ListTiers: Command(
        lambda op: [],
        lambda op, reply: tuple(sorted(map(tier_of, reply), key=lambda tier: tier.name)),
        "",
        "HVALS",
        lambda op: "tiers",
    ),
    ReadLeaves: Command(
        lambda op: [], lambda op, reply: reply or b"", "", "GET", lambda op: leaves_key(op.api, op.sequence)
    ),
}
