"""What a store can be asked, and what it answers: the whole interface between the meter and its stores.

Here is what requests need; what is asked about consumers, batches, sessions and settlement is in a module each.

Each operation is one atomic step; what answers it is a rule (``rules``). Where its rows are kept, and whether the
caller waits in a thread or a coroutine, is the business of ``api_billing.metering.stores``.

Amounts are integer wei from 0 to 2^256 - 1. Instants end in ``_ms``: milliseconds since 1970-01-01 UTC, given by the
caller, so that a clock can be injected. A day is ``ms // 86_400_000``.

Every operation that changes money carries an id of the caller's and may be repeated with it: a repetition changes
nothing and gets the first answer, so that a lost answer is simply asked for again. An id that stands for something else
already is refused (``IdConflict``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from api_billing.metering.clock import DAY_MS, EVER_MS
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.vouchers import BySession, ChannelSums
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.windows import WindowCheck

MAX_AMOUNT_WEI: Final = 2**256 - 1
_LAST_MS: Final = 2**48 - 2 * DAY_MS  # ids have no later time

State = Literal["reserved", "settled", "redeemed", "released", "expired", "refused", "reset"]

# Begins the claims of receipts. No idempotency key can: it begins with an API's name, which is printable.
RECEIPT_CLAIM: Final = "receipt\n"


class Operation[ReplyT_co]:
    """Something to ask a store; the type parameter is what it answers."""

    __slots__ = ()


# --- what the answers are made of -------------------------------------------------------------------------------------


class Balance(NamedTuple):
    """An account's money, in wei; ``free_wei + reserved_wei + charged_wei == granted_wei`` always holds."""

    granted_wei: int = 0  # all that was ever granted, less what was taken back
    reserved_wei: int = 0  # held for requests being served
    charged_wei: int = 0  # what served requests have cost
    basis_wei: int = 0  # free credit right after the last grant: what alerts in percent refer to
    epoch: int = 0  # grows with each grant: alerts fire once per epoch

    @property
    def free_wei(self) -> int:
        """What new requests may still reserve."""
        return self.granted_wei - self.reserved_wei - self.charged_wei


NO_BALANCE: Final = Balance()


class Claim(NamedTuple):
    """An idempotency key, or a receipt, that a request claims, with a fingerprint of what it asks."""

    key: str
    fingerprint: str

    @classmethod
    def of_key(cls, api: str, key: str, fingerprint: str) -> Claim:
        """The claim of an idempotency key, which may be used with each API: the store knows consumers only.

        A slash within an API's name is no separator.
        """
        return cls(f"{api.replace('%', '%25').replace('/', '%2F')}/{key}", fingerprint)

    @classmethod
    def of_charge(cls, api: str, key: str, fingerprint: str) -> Claim:
        """The claim of a charge without a request: no client's key is one, as theirs are printable."""
        return cls.of_key(api, f"charge\n{key}", fingerprint)

    @classmethod
    def of_receipt(cls, receipt_id: str, fingerprint: str) -> Claim:
        """The claim of a call that the contract has billed: serving it costs nothing more (see ``Settle``)."""
        return cls(RECEIPT_CLAIM + receipt_id, fingerprint)

    @property
    def is_receipt(self) -> bool:
        """Whether a receipt is claimed."""
        return self.key.startswith(RECEIPT_CLAIM)


class StoredResponse(NamedTuple):
    """A response kept for replay."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Outcome(NamedTuple):
    """How serving a request ended; becomes part of its record."""

    status: int = 0  # HTTP status; 0 when no response was started
    duration_ms: int = 0
    response_bytes: int = 0
    error: str = ""  # class of the exception, or why the price or response failed; of a refusal its reason, or why
    tags: str = ""  # JSON object of what the application wants to find again (model, tokens …)
    request_body: bytes | None = None  # only when the audit log is told to keep bodies
    response_body: bytes | None = None


NO_OUTCOME: Final = Outcome()


@dataclass(frozen=True, slots=True)
class Record:
    """One request, served or refused: a line of the audit log and, when settled, of the bill. One that is ``reset`` is
    no request: an operator has let a window begin anew, whose name is in the place of the route.
    """

    record_id: str  # the reservation's id: time-ordered, unique
    at_ms: int  # when it was reserved (or refused)
    state: State
    api: str
    consumer: str
    account: str
    tier: str
    method: str
    route: str
    request_id: str
    units: int
    estimate_wei: int
    charged_wei: int = 0
    uncollected_wei: int = 0  # what the actual cost exceeded estimate and free credit by
    ended_ms: int = 0
    late: bool = False  # settled after its reservation had expired
    code: str = ""  # why it was refused
    outcome: Outcome = NO_OUTCOME
    batch: int = 0  # sequence of the settlement batch it is in; 0: in none, -1: in none ever, as it was anonymous
    checks: tuple[WindowCheck, ...] = field(default=(), compare=False, repr=False)  # the windows that it counted in

    @property
    def reason(self) -> str:
        """Which of the reasons that ``code`` has, where it has some."""
        error = self.outcome.error
        return error if self.state == "refused" and error.isidentifier() else ""

    @property
    def why(self) -> str:
        """The code, and the reason behind a slash where it has one: ``not_subscribed/above_price``."""
        return f"{self.code}/{self.reason}" if self.reason else self.code


@dataclass(frozen=True, slots=True)
class UsageDay:
    """Settled requests of one consumer, API and day. Expired and released ones cost nothing and are not in it, nor are
    redeemed ones, which the contract has billed.
    """

    api: str
    consumer: str
    day: int
    calls: int
    units: int
    charged_wei: int
    uncollected_wei: int = 0


# --- serving requests -------------------------------------------------------------------------------------------------


# Reserve and Settle are not frozen, as making a frozen one costs more than reserving does. Nobody changes them.
@dataclass(slots=True)
class Reserve(Operation["ReserveReply"]):
    """Set aside the estimated cost and count the call in every window, all or nothing.

    Checked in this order: the id (``IdConflict`` when it is that of a reservation of another account, API, consumer,
    estimate, units, claim, method or route), the profile's version (StaleProfile: ask again with windows from the
    profile it carries), the claim (Replay, ClaimInProgress, ClaimMismatch), disabled, windows, credit, and in a session
    what is signed. A refusal leaves everything as it was, also a voucher unknown that came with the request.
    ``profile_version`` of -1 stands for a consumer that need not be known. A claim counts while
    its request is being served and its reservation has not expired, and then, with a stored response, until
    ``claim_expires_ms``.
    """

    reservation_id: str  # time-ordered (see ``ids``) and unique
    now_ms: int
    expires_ms: int
    account: str
    api: str
    consumer: str
    estimate_wei: int
    units: int = 1
    checks: tuple[WindowCheck, ...] = ()
    profile_version: int = -1
    claim: Claim | None = None
    claim_expires_ms: int = 0
    tier: str = ""
    method: str = ""
    route: str = ""
    request_id: str = ""
    fresh: bool = False  # the id was made just now and never sent: a store may skip looking for it
    durable: bool = False  # another process serves it: an answer has to survive the end of this one
    session: BySession | None = None  # whose vouchers pay, beside the account's credit


class Reserved(NamedTuple):
    """The request may be served, or go on. ``counts`` are those of the checks, this request included."""

    balance: Balance
    counts: tuple[int, ...]
    channel: ChannelSums | None = None  # that pays, with this request
    frees: tuple[int, ...] = ()  # see ``Refused``


class Refused(NamedTuple):
    """The request must not be served. ``violated`` are indexes of the checks; ``counts`` are without this request."""

    code: str  # insufficient_credit, disabled, a session's (voucher_required …), or that of the first violated check
    violated: tuple[int, ...]
    counts: tuple[int, ...]
    balance: Balance
    channel: ChannelSums | None = None  # of a session's code: the one that came closest to paying
    frees: tuple[
        int, ...
    ] = ()  # when what is not fixed has room for this again, in ms (0: unknown, or fixed); or empty


class StaleProfile(NamedTuple):
    """Windows were computed from an old profile; here is the one to use. None: the consumer is unknown."""

    profile: Profile | None


class Replay(NamedTuple):
    """A request with this key and fingerprint has been served: give this response again, charge nothing."""

    response: StoredResponse
    reservation_id: str


class ClaimInProgress(NamedTuple):
    """A request with this key and fingerprint is being served right now."""

    reservation_id: str


class ClaimMismatch(NamedTuple):
    """The key was used for another request."""

    reservation_id: str


ReserveReply = Reserved | Refused | StaleProfile | Replay | ClaimInProgress | ClaimMismatch


@dataclass(frozen=True, slots=True)
class ReserveMore(Operation["Reserved | Refused | NotReserved"]):
    """Have an open reservation set aside this estimate, which is higher, all or nothing: within limits in wei, free
    credit, and in a session what its channel was signed for beyond what is public. A charge is then at most this.

    It names the sum and not the difference: a repetition changes nothing, nor does what is lower than was set aside.
    """

    reservation_id: str
    account: str
    estimate_wei: int
    checks: tuple[WindowCheck, ...] = ()  # of the reservation: a store does not keep their limits
    session: BySession | None = None  # as it was reserved
    now_ms: int = 0  # for windows that slide, which count it now; 0: as of the reservation

    @classmethod
    def of(cls, reserve: Reserve, estimate_wei: int, now_ms: int = 0) -> ReserveMore:
        """So much in place of what was reserved."""
        return cls(reserve.reservation_id, reserve.account, estimate_wei, reserve.checks, reserve.session, now_ms)


@dataclass(slots=True)
class Settle(Operation["Settled | NotReserved"]):
    """Charge what a served request cost and give back the rest of its reservation.

    Charged is the actual cost, at most the estimate plus the free credit, in a session at most the estimate, and beyond
    the estimate as far as the windows leave room that bind; what is missing is reported as uncollected.
    With ``response``, the claim of the reservation keeps it for replay; without, it may be served again: that request
    sets aside and is charged only what it costs more than was paid before.
    A reservation that has expired meanwhile is charged from the free credit (``late``) and counted again; it is charged
    nothing when a later request took over its claim, as that one is charged.

    A reservation that claimed a receipt is redeemed instead: the contract has billed it, so that nothing is charged,
    whatever the actual cost, and it is in no sum of usage and no batch.
    """

    reservation_id: str
    account: str
    now_ms: int
    actual_wei: int | None  # None: all that was set aside
    outcome: Outcome = NO_OUTCOME
    units: int | None = None  # None: as reserved
    response: StoredResponse | None = None
    uncounted: tuple[int, ...] = ()  # indexes of the reservation's checks: in these windows nothing counts of it


class Settled(NamedTuple):
    """The request is charged, or redeemed. ``repeated``: it had been before, and nothing changed."""

    charged_wei: int
    uncollected_wei: int
    balance: Balance
    counts: tuple[tuple[str, int], ...] = ()  # (counter, count after) of each window of the reservation
    late: bool = False
    repeated: bool = False
    channel: ChannelSums | None = None  # that paid, as it is now
    frees: tuple[int, ...] = ()  # see ``Refused``


class NotReserved(NamedTuple):
    """Nothing was done: the reservation is unknown, or ended in this other way before."""

    state: State | Literal["unknown"]


@dataclass(frozen=True, slots=True)
class Release(Operation["Released | NotReserved"]):
    """Undo a reservation: credit, windows and claim are as if it had never been; its record says why."""

    reservation_id: str
    account: str
    now_ms: int
    outcome: Outcome = NO_OUTCOME


class Released(NamedTuple):
    """The reservation is undone. ``repeated``: it had been before (or had expired), and nothing changed."""

    balance: Balance
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Extend(Operation[int]):
    """Put off the expiry of reservations that are still being served; the answer is how many were put off.

    One that has expired, but was not swept yet, is extended too; an earlier expiry than it has is ignored.
    """

    reservation_ids: tuple[str, ...]
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Note(Operation[None]):
    """Keep the record of a request that was refused before or instead of being reserved, or of a reset."""

    record: Record


@dataclass(frozen=True, slots=True)
class Sweep(Operation[int]):
    """Release reservations that are past their expiry, oldest first, at most ``limit``; the answer is how many."""

    now_ms: int
    limit: int = 1000


# --- accounts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant(Operation["Granted | GrantRefused"]):
    """Add credit to an account, or take free credit back with a negative amount.

    Raises: ``IdConflict`` when the id is that of a grant to another account or of another amount.
    """

    grant_id: str
    account: str
    amount_wei: int
    now_ms: int
    note: str = ""


class Granted(NamedTuple):
    """The account after the grant. ``repeated``: this id had been granted before, and nothing changed."""

    balance: Balance
    repeated: bool = False


class GrantRefused(NamedTuple):
    """Nothing changed: more would be taken back than is free, or the account would exceed 2^256 - 1 wei."""

    balance: Balance


class GrantMade(NamedTuple):
    """Credit that was added once, or taken back with a negative amount."""

    grant_id: str
    at_ms: int
    amount_wei: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ListGrants(Operation[tuple[GrantMade, ...]]):
    """What was granted to an account, oldest first."""

    account: str


@dataclass(frozen=True, slots=True)
class Summarize(Operation["Summed"]):
    """How much there is of what; of reservations at most ``limit`` are looked at."""

    limit: int = 1000


class Summed(NamedTuple):
    """How many consumers and keys there are, and what is reserved by requests that are being served. More is where as
    many reservations as were looked for were ``open``.
    """

    consumers: int
    keys: int
    open: int
    reserved_wei: int


@dataclass(frozen=True, slots=True)
class ReadBalance(Operation[Balance]):
    """An account's money; all zero for an account that was never granted anything."""

    account: str


@dataclass(frozen=True, slots=True)
class ResetCounts(Operation[tuple[int, ...]]):
    """Let nothing be counted in these windows so far: goodwill, or what was counted by mistake. The answer is what was.

    What was reserved until then counts no more, and nothing is given back of it.
    """

    checks: tuple[WindowCheck, ...]
    now_ms: int | None = None  # None: the store's time


@dataclass(frozen=True, slots=True)
class ReadCounts(Operation[tuple[int, ...]]):
    """How much is counted in each window now."""

    checks: tuple[WindowCheck, ...]
    now_ms: int | None = None  # None: the store's time


# --- records, usage ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListRecords(Operation[tuple[Record, ...]]):
    """Records in the order of their ids (so of time), after the id ``after``; empty filters match everything. With
    ``newest_first`` in the opposite order, those before it.
    """

    consumer: str = ""
    api: str = ""
    since_ms: int = 0
    until_ms: int = EVER_MS
    states: tuple[State, ...] = ()
    after: str = ""
    limit: int = 100
    newest_first: bool = False

    @property
    def lowest(self) -> str:
        """No record that is asked for has a lower id: they are of the time, but for a day that clocks may differ by."""
        return first_id(self.since_ms - DAY_MS) if self.since_ms > DAY_MS else ""

    @property
    def highest(self) -> str:
        """None has a higher one; empty: any may be."""
        return first_id(self.until_ms + DAY_MS) if self.until_ms < _LAST_MS else ""

    def matches(self, record: Record) -> bool:
        """Whether a record is asked for, cursor and limit apart. SQL has this in its own language."""
        return (
            self.consumer in ("", record.consumer)
            and self.api in ("", record.api)
            and self.since_ms <= record.at_ms < self.until_ms
            and (not self.states or record.state in self.states)
        )


@dataclass(frozen=True, slots=True)
class GetRecord(Operation["Record | None"]):
    """One record by its id."""

    record_id: str


@dataclass(frozen=True, slots=True)
class SumUsage(Operation[tuple[UsageDay, ...]]):
    """Settled usage per API, consumer and day, in this order; both days included. Pruning records does not change
    it.
    """

    consumer: str = ""
    api: str = ""
    from_day: int = 0
    to_day: int = 2**31


@dataclass(frozen=True, slots=True)
class Prune(Operation["Pruned"]):
    """Delete what is past its time, at most ``limit`` records at a time.

    Ended records older than their tier's retention (``retention_ms`` by tier; other tiers use ``default_ms``), unless
    they are settled and in no batch yet with ``keep_unbatched``; counts of windows that ended two days ago; stored
    responses past their expiry.
    """

    now_ms: int
    retention_ms: Mapping[str, int] = field(default_factory=dict)
    default_ms: int = 7 * DAY_MS
    keep_unbatched: bool = False
    limit: int = 10_000

    @property
    def counts_until_ms(self) -> int:
        """Counts of windows that ended then, or before, are deleted."""
        return self.now_ms - 2 * DAY_MS

    def is_past(self, record: Record) -> bool:
        """Whether a record is deleted. SQL has this in its own language."""
        if record.state == "reserved" or (self.keep_unbatched and record.state == "settled" and not record.batch):
            return False
        return record.at_ms + self.retention_ms.get(record.tier, self.default_ms) <= self.now_ms


class Pruned(NamedTuple):
    """How much was deleted; ask again while ``more``."""

    records: int
    counts: int
    responses: int
    more: bool


# --- alerts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FireOnce(Operation[bool]):
    """True for exactly one caller of all processes that asks with this key; False ever after."""

    key: str
    now_ms: int
    expires_ms: int  # when the key may be forgotten
