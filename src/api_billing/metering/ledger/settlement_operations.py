"""What settlement asks a store: credit that follows the chain, the outbox of batches, one settler at a time.

As in ``operations``, each is one atomic step that may be repeated: the second time it changes nothing that matters. A
batch that was cut (``AddToBatch``) goes through the states ``built`` → ``posted`` (written before it is sent) →
``unknown`` when the answer got lost → ``settled`` or, when the contract refused a part of it, ``refused``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from api_billing.metering.clock import EVER_MS, date_of
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.operations import NO_BALANCE, Balance, Operation
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.results import ChannelState

PostingState = Literal["built", "posted", "unknown", "settled", "refused"]
Resolution = Literal["", "retried", "written_off"]

IN_FLIGHT: frozenset[PostingState] = frozenset({"posted", "unknown"})
ENDED: frozenset[PostingState] = frozenset({"settled", "refused"})


# --- leases -----------------------------------------------------------------------------------------------------------


class Lease(NamedTuple):
    """Who may do something that only one process does at a time, and until when."""

    holder: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class TakeLease(Operation[Lease]):
    """Take a lease that is free, past its time or one's own already; the answer says who has it now."""

    name: str
    holder: str
    now_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class ReleaseLease(Operation[None]):
    """Give a lease back; somebody else's stays as it is."""

    name: str
    holder: str


@dataclass(frozen=True, slots=True)
class TakeRead(Operation[bool]):
    """Whether ``reads`` more of a contract are allowed now, and ``spare`` others are left after them; they are counted.

    Of all processes of the store together, ``most`` reads in any 10 seconds.
    """

    contract: str
    now_ms: int
    most: int
    spare: int = 0
    reads: int = 1


# --- credit from the chain --------------------------------------------------------------------------------------------


class ChainTerms(NamedTuple):
    """What the chain said of a consumer at an API when it was last read. ``read_ms`` of 0: never."""

    read_ms: int = 0
    hold_wei: int = 0
    hold_expires_ms: int = 0
    credit_wei: int = 0  # free, for all APIs
    subscribed: bool = False
    active: bool = False  # the API
    plan: str = ""
    price_wei: int = 0  # that a call costs now
    accepted_price_wei: int = 0
    spend_left_today_wei: int = 0
    day: int = 0  # of the chain's clock when it was read; ``day_calls`` and ``month_calls`` are about it and its month
    plan_day_calls: int = 0  # limits of the plan; 0: none
    plan_month_calls: int = 0
    day_calls: int = 0  # how many of the meter's calls fit into the day, those that are billed already included
    month_calls: int = 0
    settlements: int = -1  # sequence of the API's last one then; -1: not told
    is_provisional: bool = False  # whether there is more, in transactions that an appeal can still undo
    signer: str = ""  # of a session, which is billed by vouchers only and never from free credit; "": none
    queue_ms: int = 0  # how long what is served now waits until it is settled, beside the usual, when that was read


NEVER_READ = ChainTerms()


def month_of(day: int) -> int:
    """The contract's number of a day's month: ``year * 12 + month - 1``."""
    begins = date_of(day)
    return begins.year * 12 + begins.month - 1


class Credit(NamedTuple):
    """An account whose credit is on the chain. ``accounted_wei``: what of its charges was billed or written off."""

    revision: int  # changes with each SetGranted and each outcome
    accounted_wei: int
    in_flight_wei: int  # in batches that may or may not be on chain
    refused_parts: int  # of settlements, neither billed nor written off: no further service until there are none
    terms: ChainTerms
    balance: Balance
    billed_days: tuple[tuple[int, int], ...] = ()  # day, calls billed by settlements; the last few
    billed_months: tuple[tuple[int, int], ...] = ()  # month as ``month_of`` has it, calls
    closed_by: int = 0  # sequence of the settlement that closed its last session; 0: none has
    queue_ms: int = 0  # of its API, see ``AddToBatch``


@dataclass(frozen=True, slots=True)
class ReadCredit(Operation[Credit]):
    """What is known of an account before the chain is read: ``SetGranted`` needs it."""

    account: str


@dataclass(frozen=True, slots=True)
class SetGranted(Operation["CreditSet"]):
    """Grant an account what the chain allows: ``usable_wei`` and what of its charges is accounted for.

    ``revision`` and ``accounted_wei`` are those of ``ReadCredit`` **before** the chain was read. Nothing changes when
    the revision is another by now: an outcome was recorded, or somebody else read the chain (ask again).

    Why this is never too much. ``T = usable + landed``, with what settlements have really billed so far, never falls by
    settling, which only moves money from one to the other. What was recorded before the read had landed when the chain
    was read, so ``usable + accounted <= T``. What has landed but is not recorded yet makes it too low, by at most what
    is in flight: a grant within that distance stays as it is.

    An appeal can undo what had landed, and give a hold back what ``accounted`` has already: ``T`` stays, but the sum
    would be too much. ``terms`` tell up to which settlement the chain was when it was read; when it lacks one that is
    recorded, what is granted is not raised until ``ReopenEnded`` has put that right.

    Granted is never less than what is reserved and charged, and no more than that while a refused part is open.

    With ``channels`` the account has another session from then on, and the channels are at least as far as on chain.
    """

    account: str
    revision: int
    accounted_wei: int
    usable_wei: int  # what may be reserved and not settled yet
    cover_wei: int  # what pays for usage that is not settled yet, also where nothing new may be served
    terms: ChainTerms
    channels: tuple[ChannelState, ...] | None = None  # of the session of ``terms``, when its signer is a new one


class CreditSet(NamedTuple):
    """``applied`` is False when the revision was another. ``short_wei``: how much more is committed than covered."""

    applied: bool
    short_wei: int = 0
    balance: Balance = NO_BALANCE


@dataclass(frozen=True, slots=True)
class ListToSettle(Operation[tuple[UsageLine, ...]]):
    """Settled usage of an API that is in no batch, reserved until then, in the order of ids, after ``after``."""

    api: str
    after: str = ""
    limit: int = 500
    until_ms: int = EVER_MS


# --- the outbox -------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """What became of a line of a batch. A ``code`` says why the rest was not billed; ``resolution`` what followed."""

    billed_calls: int
    billed_wei: int
    code: str = ""
    resolution: Resolution = ""
    retried_in: int = 0  # sequence of the batch that it was retried in
    written_off_wei: int = 0  # of what was not billed
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether somebody has to decide about the rest."""
        return bool(self.code) and not self.resolution


@dataclass(frozen=True, slots=True)
class Posting:
    """A batch on its way to the chain. ``parts`` are those of the batch's lines, in their order, once it has ended."""

    api: str
    sequence: int  # of the batch, in the store
    state: PostingState = "built"
    chain_sequence: int = 0  # what it is posted under, from the first attempt on, and for ever; 0: none
    attempts: int = 0
    posted_ms: int = 0  # of the last attempt
    txs: tuple[str, ...] = ()
    note: str = ""  # what went wrong last
    ended_ms: int = 0
    settled_at: int = 0  # unix seconds, by the contract
    parts: tuple[Part, ...] = ()
    retry_of: int = 0  # sequence of the batch whose refused parts it posts again; 0: it has usage of its own
    counted_days: tuple[int, ...] = ()  # of a retry's lines: the days that the meter counted their calls on


class Book(NamedTuple):
    """Where an API's settlement stands. ``contract`` is empty until the book is opened."""

    contract: str = ""
    next_chain_sequence: int = 0  # of the next batch that is posted for the first time
    ended: int = 0  # all batches up to this sequence have ended
    last: int = 0  # sequence of the last batch that was cut
    open_parts: tuple[tuple[int, int], ...] = ()  # refused: sequence, index of the line
    queue_ms: int = 0  # see ``AddToBatch``


@dataclass(frozen=True, slots=True)
class ReadBook(Operation[Book]):
    """Where an API's settlement stands."""

    api: str


@dataclass(frozen=True, slots=True)
class OpenBook(Operation[Book]):
    """Begin to settle an API on a contract that expects this sequence next; a book that is open stays as it is."""

    api: str
    contract: str
    next_chain_sequence: int


class Outgoing(NamedTuple):
    """A batch and how far it has come."""

    batch: Batch
    posting: Posting


@dataclass(frozen=True, slots=True)
class NextOutgoing(Operation["Outgoing | None"]):
    """The first batch of an API that has not ended; None when there is none."""

    api: str


@dataclass(frozen=True, slots=True)
class ListOutgoing(Operation[tuple[Outgoing, ...]]):
    """Batches of an API with their postings, in the order of their sequences, after ``after``."""

    api: str
    after: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class BeginPosting(Operation["Posting | None"]):
    """Write down that a batch is about to be sent, and under which sequence. Whoever sends, asks this first.

    Its amounts are in flight from now on. None when it is not the first that has not ended, or its book is not open.
    """

    api: str
    sequence: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class NotePosting(Operation["Posting | None"]):
    """Keep what is known of a posting that has not ended: its transaction, that its end is unknown, why it failed."""

    api: str
    sequence: int
    state: Literal["posted", "unknown"]
    tx: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class EndPosting(Operation["Ended | None"]):
    """Record what became of every line of a batch: billed lines are accounted for, a refused part stops its account.

    ``skipped``: nothing of it could be posted at all, and it takes no sequence on the chain. The second time nothing
    changes. None when the batch is not the first that has not ended, or was never begun.
    """

    api: str
    sequence: int
    now_ms: int
    parts: tuple[Part, ...]
    settled_at: int = 0
    tx: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class ReopenEnded(Operation["Reopened"]):
    """Take back what was recorded of a sequence on the chain and all later ones, which an appeal has undone.

    Their batches are on their way again under the sequences they have, and nothing of them is accounted for, in one
    step. What was written off of them is to be decided again. Nothing changes the second time, nor when a refused part
    of them was retried already (retry what is final), or when there are more than the contract keeps.
    """

    api: str
    chain_sequence: int


class Reopened(NamedTuple):
    """The batches that are on their way again, oldest first. ``why_not``: nothing was done, and this is the reason."""

    sequences: tuple[int, ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Renumber(Operation["Posting | None"]):
    """Have a batch that is on its way, and whose sequence somebody else has used, posted under another one.

    Only for who has seen that the contract has something else under the old one, for ever: it is the one exception
    from the rule that a batch keeps its sequence. None when it is not the first that has not ended, or is not under
    that sequence.
    """

    api: str
    sequence: int  # of the batch
    was_chain_sequence: int
    next_chain_sequence: int


class Ended(NamedTuple):
    """The posting as it ended. ``repeated``: it had been recorded before, and nothing changed."""

    posting: Posting
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class RetryRefused(Operation["Batch | None"]):
    """Put the open refused parts of a batch into a new one, to be posted again; None when none is open.

    Its root is that of the batch whose usage it is. ``day`` bills it on another day (the contract takes today and
    yesterday only); of each part at most ``at_most_wei`` is posted, and the rest written off.
    """

    api: str
    sequence: int
    now_ms: int
    indexes: tuple[int, ...] = ()  # of lines; none: all that are open
    day: int | None = None
    at_most_wei: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOff(Operation[int]):
    """Give up the open refused parts of a batch: never billed, and nothing is due for them; how much it was in wei."""

    api: str
    sequence: int
    now_ms: int
    indexes: tuple[int, ...] = ()  # of lines; none: all that are open
    note: str = ""
