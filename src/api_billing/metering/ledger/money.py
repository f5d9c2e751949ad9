"""The rules of the meter's money and counts, once for all stores: pure functions of the tables that a store brings.

Nothing here waits, reads a clock or knows where rows are kept: the store makes a batch of operations atomic and durable
by writing what was touched, or by forgetting all of it.

For each account, always: ``free + reserved + charged == granted``, and none of them is negative; for each channel of a
session: ``reserved + charged <= signed`` (see ``sessions``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import IdConflict
from api_billing.metering.ledger import sessions
from api_billing.metering.ledger.counting import admit, bring_up, counts_of, frees_of, recount, room
from api_billing.metering.ledger.kinds import Key, Kind
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
    NO_OUTCOME,
    ClaimInProgress,
    ClaimMismatch,
    Extend,
    FireOnce,
    Grant,
    Granted,
    GrantRefused,
    Note,
    NotReserved,
    Outcome,
    Refused,
    Release,
    Released,
    Replay,
    Reserve,
    Reserved,
    ReserveMore,
    ReserveReply,
    Settle,
    Settled,
    StaleProfile,
    State,
    StoredResponse,
    Sweep,
)
from api_billing.metering.ledger.rows import (
    ACCOUNTS,
    CLAIMS,
    COUNTS,
    FIRED,
    GRANTS,
    REQUESTS,
    USAGE,
    BodiesRow,
    ClaimRow,
    FiredRow,
    GrantRow,
    RequestRow,
)
from api_billing.metering.ledger.session_rows import CHANNELS
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.profile import ANONYMOUS, ANYBODY


def reserve(tables: Tables, op: Reserve) -> ReserveReply:
    """Set aside the estimate and count the call, or leave everything as it is."""
    if not (op.fresh and tables.trusts_fresh) and (request := tables.request(op.reservation_id)) is not None:
        return _reserved_before(tables, request, op)
    code, is_disabled = "", False
    if op.profile_version >= 0:
        consumer = tables.consumer(op.consumer)
        if consumer is None or tables.version_of(consumer) != op.profile_version:
            return StaleProfile(tables.profile(op.consumer))
        if consumer.disabled:
            code, is_disabled = "disabled", True
    asked_wei, paid_wei = op.estimate_wei, 0
    if op.claim is not None:
        claimed = _claimed(tables, op)
        if not isinstance(claimed, int):
            return claimed
        if claimed:
            paid_wei = claimed
            op = replace(op, estimate_wei=max(0, op.estimate_wei - paid_wei))
    account = tables.account(op.account)
    estimate_wei = op.estimate_wei
    counts = []
    violated = []
    for index, (counter, starts_ms, ends_ms, unit, limit, _, refusal, counting, weight, _, _) in enumerate(op.checks):
        count = tables.count(counter, starts_ms, ends_ms)
        counts.append(count)
        counted = count.used if counting == "fixed" else bring_up(tables, count, op.checks[index], op.now_ms)
        if limit is not None and counted + (weight if unit == "calls" else estimate_wei) > limit and not is_disabled:
            violated.append(index)
            code = code or refusal
    is_short = account.granted_wei - account.reserved_wei - account.charged_wei < estimate_wei
    if not code and is_short and not sessions.proves_nothing(tables, op):
        code = "insufficient_credit"
    channel, lacking = None, None
    if op.session is not None and not code:
        found = sessions.bound(tables, op, asked_wei)
        if isinstance(found, sessions.Lacking):
            code, lacking = found.code, found
        else:
            channel = found
    if code:
        closest = None if lacking is None else lacking.channel
        frees = frees_of(op.checks, counts, estimate_wei, op.now_ms)
        used = tuple([count.used for count in counts])
        return Refused(code, tuple(violated), used, account.balance(), closest, frees)
    if channel is not None and (by := sessions.take(tables, op, channel)) is not op.session:
        op = replace(op, session=by)
    request = RequestRow(op, counts)
    if estimate_wei or op.session is not None:
        account.reserved_wei += estimate_wei
        tables.touch(account)
    used, frees = admit(tables, op.checks, counts, 1, estimate_wei, op.now_ms, estimate_wei)
    tables.rows[REQUESTS][op.reservation_id,] = request
    tables.touch(request)
    if op.claim is not None:
        key, fingerprint = op.claim
        tables.put(ClaimRow(op.consumer, key, fingerprint, op.reservation_id, op.claim_expires_ms, paid_wei=paid_wei))
    return Reserved(account.balance(), used, None if channel is None else channel.sums, frees)


def reserve_more(tables: Tables, op: ReserveMore) -> Reserved | Refused | NotReserved:
    """Set aside a higher estimate for what is being served, or leave everything as it is."""
    request = tables.request(op.reservation_id)
    if request is None or request.reserve.account != op.account:
        return NotReserved("unknown")
    if request.state != "reserved":
        return NotReserved(request.state)
    account, now_ms = tables.account(op.account), op.now_ms or request.reserve.now_ms
    counts = counts_of(tables, request, now_ms)
    used = tuple([count.used for count in counts])
    more_wei = op.estimate_wei - _paid_wei(tables, request.reserve) - request.estimate_wei
    if more_wei <= 0:
        return Reserved(account.balance(), used)
    checks = {(check.counter, check.starts_ms): check for check in op.checks if check.unit == "wei"}
    violated, code = [], ""
    for index, (count, made) in enumerate(zip(counts, request.reserve.checks, strict=True)):
        check = checks.get((made.counter, made.starts_ms))
        if check is not None and check.limit is not None and count.used + more_wei > check.limit:
            violated.append(index)
            code = code or check.code
    if not code and account.balance().free_wei < more_wei:
        code = "insufficient_credit"
    lacking = None
    if op.session is not None and not code:
        lacking = sessions.take_more(tables, request, op.session, more_wei)
        code = "" if lacking is None else lacking.code
    if code:
        closest = None if lacking is None else lacking.channel
        frees = frees_of(request.reserve.checks, counts, more_wei, now_ms)
        return Refused(code, tuple(violated), used, account.balance(), closest, frees)
    request.more_wei += more_wei
    tables.touch(request)
    account.reserved_wei += more_wei
    tables.touch(account)
    made_ = request.reserve
    used, frees = admit(tables, made_.checks, counts, 0, more_wei, now_ms, made_.estimate_wei, made_.reservation_id)
    return Reserved(account.balance(), used, None, frees)


def settle(tables: Tables, op: Settle) -> Settled | NotReserved:
    """Charge the actual cost and give back the rest of the reservation; the second time, only say what was charged."""
    request = tables.request(op.reservation_id)
    if request is None or request.reserve.account != op.account:
        return NotReserved("unknown")
    account = tables.account(request.reserve.account)
    if request.state in ("settled", "redeemed"):
        channel = sessions.paid_by(tables, request.reserve)
        charged_wei, uncollected_wei = request.charged_wei, request.uncollected_wei
        return Settled(charged_wei, uncollected_wei, account.balance(), (), request.late, True, channel)
    if request.state not in ("reserved", "expired"):
        return NotReserved(request.state)
    request.late = request.state == "expired"
    held_wei = 0 if request.late else request.estimate_wei
    free_wei = account.granted_wei - account.reserved_wei - account.charged_wei
    claim = request.reserve.claim
    redeemed = claim is not None and claim.is_receipt
    row = tables.claim(request.reserve.consumer, claim.key) if claim is not None else None
    actual_wei = op.actual_wei
    if actual_wei is None:
        actual_wei = request.estimate_wei  # less what was paid with its key already
    elif row is not None:
        actual_wei = max(0, actual_wei - row.paid_wei)
    if redeemed or (row is not None and row.reservation_id != op.reservation_id):
        # A later request took over the key of one past its expiry, swept or not: that one is charged, not this.
        actual_wei = 0
    charged_wei = min(actual_wei, held_wei + free_wei)
    if charged_wei > held_wei:
        charged_wei = held_wei + min(charged_wei - held_wei, room(tables, request, held_wei, op))
    if request.reserve.session is not None:
        charged_wei = sessions.charge(tables, request, held_wei, charged_wei)
    if held_wei or charged_wei or request.reserve.session is not None:
        account.reserved_wei -= held_wei
        account.charged_wei += charged_wei
        tables.touch(account)
    request.charged_wei = charged_wei
    used, frees = recount(tables, request, int(request.late), charged_wei - held_wei, op.now_ms, op.uncounted)
    request.uncollected_wei = actual_wei - charged_wei
    request.units = request.units if op.units is None else op.units
    _end(tables, request, "redeemed" if redeemed else "settled", op.now_ms, op.outcome)
    reserve_ = request.reserve
    is_nobody = reserve_.tier == ANONYMOUS
    if is_nobody:
        request.batch = -1  # no batch is to have it
    if not redeemed:
        # Of addresses there are too many to have sums of each.
        consumer = ANYBODY if is_nobody else reserve_.consumer
        usage = tables.usage(reserve_.api, consumer, reserve_.now_ms // DAY_MS)
        usage.calls += 1
        usage.units += request.units
        usage.charged_wei += charged_wei
        usage.uncollected_wei += request.uncollected_wei
        tables.touch(usage)
    _keep_response(tables, request, op.response, charged_wei)
    counts = tuple([(check.counter, count) for check, count in zip(reserve_.checks, used, strict=True)])
    channel = sessions.paid_by(tables, reserve_)
    uncollected_wei, balance = request.uncollected_wei, account.balance()
    return Settled(charged_wei, uncollected_wei, balance, counts, request.late, channel=channel, frees=frees)


def release(tables: Tables, op: Release) -> Released | NotReserved:
    """Undo a reservation; one that was undone or has expired is left as it is."""
    request = tables.request(op.reservation_id)
    if request is None or request.reserve.account != op.account:
        return NotReserved("unknown")
    if request.state != "reserved":
        if request.state in ("released", "expired"):
            return Released(tables.account(request.reserve.account).balance(), repeated=True)
        return NotReserved(request.state)
    undo(tables, request, "released", op.now_ms, op.outcome)
    return Released(tables.account(request.reserve.account).balance())


def extend(tables: Tables, op: Extend) -> int:
    """Put off the expiry of reservations that are still being served; how many there were."""
    extended = 0
    for reservation_id in op.reservation_ids:
        request = tables.request(reservation_id)
        if request is not None and request.state == "reserved" and request.expires_ms < op.expires_ms:
            request.expires_ms = op.expires_ms
            tables.touch(request)
            extended += 1
    return extended


def undo(tables: Tables, request: RequestRow, state: State, now_ms: int, outcome: Outcome = NO_OUTCOME) -> None:
    """Give back all that a reservation holds."""
    account = tables.account(request.reserve.account)
    if request.estimate_wei or request.reserve.session is not None:
        account.reserved_wei -= request.estimate_wei
        tables.touch(account)
    if request.reserve.session is not None:
        sessions.charge(tables, request, request.estimate_wei, 0)
    recount(tables, request, -1, -request.estimate_wei, now_ms)
    _end(tables, request, state, now_ms, outcome)
    _keep_response(tables, request, None)


def grant(tables: Tables, op: Grant) -> Granted | GrantRefused:
    """Add or take back credit, once per grant id."""
    account = tables.account(op.account)
    made: GrantRow | None = tables.find(GRANTS, (op.grant_id,))
    if made is not None:
        if made.account != op.account or made.amount_wei != op.amount_wei:
            was = f"{made.amount_wei} smallest units for {made.account!r}"
            raise IdConflict(f"the grant {op.grant_id!r} was made before: {was}")
        return Granted(account.balance(), repeated=True)
    granted_wei = account.granted_wei + op.amount_wei
    free_wei = granted_wei - account.reserved_wei - account.charged_wei
    if free_wei < 0 or granted_wei > MAX_AMOUNT_WEI:
        return GrantRefused(account.balance())
    account.granted_wei = granted_wei
    account.basis_wei = free_wei
    account.epoch += 1
    tables.touch(account)
    tables.put(GrantRow(op.grant_id, op.account, str(op.amount_wei), op.now_ms, op.note))
    return Granted(account.balance())


def _reserved_before(tables: Tables, request: RequestRow, op: Reserve) -> ReserveReply:
    made, held_wei = request.reserve, max(0, op.estimate_wei - _paid_wei(tables, op))
    is_same = _asked(made, made.estimate_wei) == _asked(op, held_wei)
    if not is_same or (request.state == "reserved" and request.units != op.units):
        raise IdConflict(f"the reservation {op.reservation_id!r} was made before, for another request")
    balance = tables.account(request.reserve.account).balance()
    if request.state != "reserved":
        # Ended already: serving it again would be a second request under one id.
        return Refused("reservation_ended", (), (), balance)
    counts = tuple([count.used for count in counts_of(tables, request, op.now_ms)])
    return Reserved(balance, counts, sessions.paid_by(tables, made))


def _paid_wei(tables: Tables, op: Reserve) -> int:
    """What was paid with the key of a request for responses that were cut off."""
    row = None if op.claim is None else tables.claim(op.consumer, op.claim.key)
    return 0 if row is None else row.paid_wei


def _asked(op: Reserve, held_wei: int) -> tuple[object, ...]:
    """What makes a reservation the same when it is asked for again. Windows and tier may have changed meanwhile."""
    return (op.account, op.api, op.consumer, held_wei, op.claim, op.method, op.route)


def _claimed(tables: Tables, op: Reserve) -> ReserveReply | int:
    """What the key is claimed by; or what was paid with it for responses that were cut off, when it may be served."""
    assert op.claim is not None
    row, now_ms = tables.claim(op.consumer, op.claim.key), tables.reached(op.now_ms)
    if row is None or row.expires_ms <= now_ms:
        return 0
    is_served = False
    if row.response is None:
        # Held by a request being served, for as long as its reservation is: a process that died lets go of it.
        request = tables.peek(REQUESTS, (row.reservation_id,))
        is_served = request is not None and request.state == "reserved" and request.expires_ms > now_ms
        if not is_served and not row.paid_wei:
            return 0
    if row.fingerprint != op.claim.fingerprint:
        return ClaimMismatch(row.reservation_id)
    if is_served:
        return ClaimInProgress(row.reservation_id)
    if row.response is None:
        return row.paid_wei
    return 0 if sessions.is_public(tables, op, row.reservation_id) else Replay(row.response, row.reservation_id)


def _end(tables: Tables, request: RequestRow, state: State, now_ms: int, outcome: Outcome) -> None:
    request.state = state
    request.ended_ms = now_ms
    request.outcome = outcome
    tables.touch(request)
    _keep_bodies(tables, request)


def _keep_bodies(tables: Tables, request: RequestRow) -> None:
    end = request.outcome
    if end.request_body is not None or end.response_body is not None:
        tables.put(BodiesRow(request.reserve.reservation_id, end.request_body, end.response_body))


def _keep_response(tables: Tables, request: RequestRow, response: StoredResponse | None, charged_wei: int = 0) -> None:
    """Keep the response of a request that claimed a key, or what was paid for the part of it that was sent; or give the
    key free.
    """
    claim = request.reserve.claim
    if claim is None:
        return
    consumer, reservation_id = request.reserve.consumer, request.reserve.reservation_id
    row = tables.claim(consumer, claim.key)
    if row is not None and row.reservation_id != reservation_id:
        return  # expired, and claimed by a later request
    paid_wei = 0 if response is not None else charged_wei + (row.paid_wei if row is not None else 0)
    if response is not None or paid_wei:
        # Also when it had expired and nobody took the key: it was served after all.
        expires_ms = request.reserve.claim_expires_ms
        tables.put(ClaimRow(consumer, claim.key, claim.fingerprint, reservation_id, expires_ms, response, paid_wei))
    elif row is not None:
        tables.drop(row)


def sweep(tables: Tables, op: Sweep) -> int:
    """Release what is past its expiry; how many there were."""
    tables.flush()
    now_ms = tables.reached(op.now_ms)
    overdue = tables.overdue(now_ms, op.limit)
    tables.fetch_all(keys_of_ending(tables, overdue))
    swept = 0
    for reservation_id in overdue:
        request = tables.request(reservation_id)
        # Somebody else may have settled, extended or swept it before it was locked.
        if request is not None and request.state == "reserved" and request.expires_ms <= now_ms:
            undo(tables, request, "expired", now_ms)
            swept += 1
    return swept


def keys_of_ending(tables: Tables, reservation_ids: Iterable[str]) -> list[tuple[Kind, Key]]:
    """The rows that ending these reservations touches, but for those that there are none of."""
    keys: list[tuple[Kind, Key]] = []
    for reserve in tables.reserves(reservation_ids):
        keys += [
            (REQUESTS, (reserve.reservation_id,)),
            (ACCOUNTS, (reserve.account,)),
            (USAGE, (reserve.api, reserve.consumer, reserve.now_ms // DAY_MS)),
        ]
        keys += [(COUNTS, (counter, starts_ms)) for counter, starts_ms, *_ in reserve.checks]
        if reserve.claim is not None:
            keys.append((CLAIMS, (reserve.consumer, reserve.claim.key)))
        if reserve.session is not None and reserve.session.channel_id:
            keys.append((CHANNELS, (reserve.session.channel_id,)))
    return keys


def note(tables: Tables, op: Note) -> None:
    """Keep the record of a refused request."""
    if tables.request(op.record.record_id) is None:
        request = RequestRow.refused(op.record)
        tables.put(request)
        _keep_bodies(tables, request)


def fire_once(tables: Tables, op: FireOnce) -> bool:
    """Whether nobody has asked with this key before."""
    if tables.find(FIRED, (op.key,)) is not None:
        return False
    tables.put(FiredRow(op.key, op.expires_ms))
    return True
