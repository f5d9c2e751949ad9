"""The rules of the meter's money and counts, as pure functions of tables that a store brings along.

``memory://`` and ``sqlite://`` run on this code; PostgreSQL's functions and Redis' script do the same in their
languages, and one conformance suite holds all of them to it. Nothing here waits, reads a clock or knows where rows
are kept: the store makes a step atomic and durable by writing what was touched, or by forgetting all of it.

For each account, always: ``free + reserved + charged == granted``, and none of them is negative.
"""

from __future__ import annotations

from typing import Protocol

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
    NO_BALANCE,
    NO_OUTCOME,
    Balance,
    ClaimInProgress,
    ClaimMismatch,
    Extend,
    Grant,
    Granted,
    GrantRefused,
    NotReserved,
    Outcome,
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
    State,
    StoredResponse,
)
from api_billing.metering.limits.profile import Profile


class Account:
    """The money of one account. Mutable; ``touched`` says that it has to be written."""

    __slots__ = ("account", "basis_wei", "charged_wei", "epoch", "granted_wei", "reserved_wei", "touched")

    def __init__(self, account: str, balance: Balance = NO_BALANCE):
        self.account = account
        self.granted_wei, self.reserved_wei, self.charged_wei, self.basis_wei, self.epoch = balance
        self.touched = False

    def balance(self) -> Balance:
        """A snapshot to hand out."""
        return Balance(self.granted_wei, self.reserved_wei, self.charged_wei, self.basis_wei, self.epoch)


class Count:
    """How much is counted in one window. Mutable; ``touched`` says that it has to be written."""

    __slots__ = ("counter", "ends_ms", "starts_ms", "touched", "used")

    def __init__(self, counter: str, starts_ms: int, ends_ms: int, used: int = 0):
        self.counter = counter
        self.starts_ms = starts_ms
        self.ends_ms = ends_ms
        self.used = used
        self.touched = False


class Line:
    """One request from its reservation on. Mutable."""

    __slots__ = (
        "batch",
        "charged_wei",
        "counts",
        "ended_ms",
        "expires_ms",
        "late",
        "outcome",
        "reserve",
        "state",
        "uncollected_wei",
        "units",
    )

    def __init__(self, reserve: Reserve, counts: list[Count]):
        self.reserve = reserve
        self.counts = counts  # of the windows it counts in, in the order of ``reserve.checks``
        self.state: State = "reserved"
        self.expires_ms = reserve.expires_ms
        self.units = reserve.units
        self.charged_wei = 0
        self.uncollected_wei = 0
        self.ended_ms = 0
        self.late = False
        self.outcome = NO_OUTCOME
        self.batch = 0


class ClaimRow:
    """An idempotency key in use: by a request being served, or with the response it got."""

    __slots__ = ("expires_ms", "fingerprint", "reservation_id", "response")

    def __init__(self, fingerprint: str, reservation_id: str, expires_ms: int, response: StoredResponse | None = None):
        self.fingerprint = fingerprint
        self.reservation_id = reservation_id
        self.expires_ms = expires_ms
        self.response = response


class Tables(Protocol):
    """Where a store keeps its rows. What is got may be changed, and is written when it was touched, changed or put.

    Asked twice for the same row, it gives the same object: a line and an account stay those of the table.
    """

    def account(self, account: str) -> Account: ...
    def touch_account(self, account: Account) -> None: ...
    def count(self, counter: str, starts_ms: int, ends_ms: int) -> Count: ...
    def touch_count(self, count: Count) -> None: ...
    def line(self, reservation_id: str) -> Line | None: ...
    def add_line(self, line: Line) -> None: ...
    def change_line(self, line: Line) -> None: ...
    def claim(self, consumer: str, key: str) -> ClaimRow | None: ...
    def put_claim(self, consumer: str, key: str, claim: ClaimRow) -> None: ...
    def drop_claim(self, consumer: str, key: str) -> None: ...
    def add_usage(
        self, api: str, consumer: str, day: int, units: int, charged_wei: int, uncollected_wei: int
    ) -> None: ...
    def profile(self, consumer: str) -> Profile | None: ...
    def has_grant(self, grant_id: str) -> bool: ...
    def add_grant(self, grant: Grant) -> None: ...


def reserve(tables: Tables, op: Reserve) -> ReserveReply:
    """Set aside the estimate and count the call, or leave everything as it is."""
    if not op.fresh and (known := tables.line(op.reservation_id)) is not None:
        return _reserved_before(tables, known)
    code = ""
    if op.profile_version >= 0:
        profile = tables.profile(op.consumer)
        if profile is None or profile.version != op.profile_version:
            return StaleProfile(profile)
        if profile.disabled:
            code = "disabled"
    if op.claim is not None and (claimed := _claimed(tables, op)) is not None:
        return claimed
    account = tables.account(op.account)
    estimate_wei = op.estimate_wei
    counts = []
    violated = []
    for index, (counter, starts_ms, ends_ms, unit, limit, _, refusal) in enumerate(op.checks):
        count = tables.count(counter, starts_ms, ends_ms)
        counts.append(count)
        if limit is not None and count.used + (1 if unit == "calls" else estimate_wei) > limit:
            violated.append(index)
            code = code or refusal
    if not code and account.granted_wei - account.reserved_wei - account.charged_wei < estimate_wei:
        code = "insufficient_credit"
    if code:
        return Refused(code, tuple(violated), tuple([count.used for count in counts]), account.balance())
    line = Line(op, counts)
    account.reserved_wei += estimate_wei
    tables.touch_account(account)
    used = _recount(tables, line, 1, estimate_wei)
    tables.add_line(line)
    if op.claim is not None:
        row = ClaimRow(op.claim.fingerprint, op.reservation_id, op.claim_expires_ms)
        tables.put_claim(op.consumer, op.claim.key, row)
    return Reserved(account.balance(), used)


def settle(tables: Tables, op: Settle) -> Settled | NotReserved:
    """Charge the actual cost and give back the rest of the reservation; the second time, only say what was charged."""
    line = tables.line(op.reservation_id)
    if line is None or line.reserve.account != op.account:
        return NotReserved("unknown")
    account = tables.account(line.reserve.account)
    if line.state in ("settled", "redeemed"):
        return Settled(line.charged_wei, line.uncollected_wei, account.balance(), (), line.late, True)
    if line.state not in ("reserved", "expired"):
        return NotReserved(line.state)
    line.late = line.state == "expired"
    held_wei = 0 if line.late else line.reserve.estimate_wei
    free_wei = account.granted_wei - account.reserved_wei - account.charged_wei
    claim = line.reserve.claim
    redeemed = claim is not None and claim.is_receipt
    actual_wei = 0 if redeemed or _superseded(tables, line) else op.actual_wei
    charged_wei = min(actual_wei, held_wei + free_wei)
    account.reserved_wei -= held_wei
    account.charged_wei += charged_wei
    tables.touch_account(account)
    used = _recount(tables, line, int(line.late), charged_wei - held_wei)
    line.charged_wei = charged_wei
    line.uncollected_wei = actual_wei - charged_wei
    line.units = line.reserve.units if op.units is None else op.units
    _end(tables, line, "redeemed" if redeemed else "settled", op.now_ms, op.outcome)
    reserve_ = line.reserve
    if not redeemed:
        tables.add_usage(
            reserve_.api, reserve_.consumer, reserve_.now_ms // DAY_MS, line.units, charged_wei, line.uncollected_wei
        )
    _keep_response(tables, line, op.response)
    counts = tuple([(check.counter, count) for check, count in zip(reserve_.checks, used, strict=True)])
    return Settled(charged_wei, line.uncollected_wei, account.balance(), counts, line.late)


def release(tables: Tables, op: Release) -> Released | NotReserved:
    """Undo a reservation; one that was undone or has expired is left as it is."""
    line = tables.line(op.reservation_id)
    if line is None or line.reserve.account != op.account:
        return NotReserved("unknown")
    if line.state != "reserved":
        if line.state in ("released", "expired"):
            return Released(tables.account(line.reserve.account).balance(), repeated=True)
        return NotReserved(line.state)
    undo(tables, line, "released", op.now_ms, op.outcome)
    return Released(tables.account(line.reserve.account).balance())


def extend(tables: Tables, op: Extend) -> int:
    """Put off the expiry of reservations that are still being served; how many there were."""
    extended = 0
    for reservation_id in op.reservation_ids:
        line = tables.line(reservation_id)
        if line is not None and line.state == "reserved" and line.expires_ms < op.expires_ms:
            line.expires_ms = op.expires_ms
            tables.change_line(line)
            extended += 1
    return extended


def undo(tables: Tables, line: Line, state: State, now_ms: int, outcome: Outcome = NO_OUTCOME) -> None:
    """Give back all that a reservation holds."""
    account = tables.account(line.reserve.account)
    account.reserved_wei -= line.reserve.estimate_wei
    tables.touch_account(account)
    _recount(tables, line, -1, -line.reserve.estimate_wei)
    _end(tables, line, state, now_ms, outcome)
    _keep_response(tables, line, None)


def grant(tables: Tables, op: Grant) -> Granted | GrantRefused:
    """Add or take back credit, once per grant id."""
    account = tables.account(op.account)
    if tables.has_grant(op.grant_id):
        return Granted(account.balance(), repeated=True)
    granted_wei = account.granted_wei + op.amount_wei
    free_wei = granted_wei - account.reserved_wei - account.charged_wei
    if free_wei < 0 or granted_wei > MAX_AMOUNT_WEI:
        return GrantRefused(account.balance())
    account.granted_wei = granted_wei
    account.basis_wei = free_wei
    account.epoch += 1
    tables.touch_account(account)
    tables.add_grant(op)
    return Granted(account.balance())


def _reserved_before(tables: Tables, line: Line) -> ReserveReply:
    balance = tables.account(line.reserve.account).balance()
    if line.state != "reserved":
        # Ended already: serving it again would be a second request under one id.
        return Refused("reservation_ended", (), (), balance)
    return Reserved(balance, tuple([count.used for count in line.counts]))


def _claimed(tables: Tables, op: Reserve) -> ReserveReply | None:
    assert op.claim is not None
    row = tables.claim(op.consumer, op.claim.key)
    if row is None or row.expires_ms <= op.now_ms:
        return None
    if row.response is None:
        # Held by a request being served, for as long as its reservation is: a process that died lets go of it.
        line = tables.line(row.reservation_id)
        if line is None or line.state != "reserved" or line.expires_ms <= op.now_ms:
            return None
    if row.fingerprint != op.claim.fingerprint:
        return ClaimMismatch(row.reservation_id)
    if row.response is None:
        return ClaimInProgress(row.reservation_id)
    return Replay(row.response, row.reservation_id)


def _superseded(tables: Tables, line: Line) -> bool:
    """Whether a later request took over the idempotency key of one past its expiry, swept or not: then that one is
    charged, not this.
    """
    claim = line.reserve.claim
    if claim is None:
        return False
    row = tables.claim(line.reserve.consumer, claim.key)
    return row is not None and row.reservation_id != line.reserve.reservation_id


def _recount(tables: Tables, line: Line, calls: int, wei: int) -> tuple[int, ...]:
    """Count so many calls and wei more in the windows of a line; the counts after it."""
    for check, count in zip(line.reserve.checks, line.counts, strict=True):
        step = calls if check.unit == "calls" else wei
        if step:
            # Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
            count.used = max(count.used + step, 0)
            if not count.touched:
                tables.touch_count(count)
    return tuple([count.used for count in line.counts])


def _end(tables: Tables, line: Line, state: State, now_ms: int, outcome: Outcome) -> None:
    line.state = state
    line.ended_ms = now_ms
    line.outcome = outcome
    tables.change_line(line)


def _keep_response(tables: Tables, line: Line, response: StoredResponse | None) -> None:
    """Keep the response of a request that claimed a key, or give the key free."""
    claim = line.reserve.claim
    if claim is None:
        return
    reservation_id = line.reserve.reservation_id
    row = tables.claim(line.reserve.consumer, claim.key)
    if row is not None and row.reservation_id != reservation_id:
        return  # expired, and claimed by a later request
    if response is None:
        tables.drop_claim(line.reserve.consumer, claim.key)
    else:
        # Also when it had expired and nobody took the key: it was served after all.
        kept = ClaimRow(claim.fingerprint, reservation_id, line.reserve.claim_expires_ms, response)
        tables.put_claim(line.reserve.consumer, claim.key, kept)
