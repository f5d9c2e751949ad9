"""Posts batches and records what became of every line. A flow of steps, so that it can stop dead after any of them.

The order of the steps is what makes it exactly once:

1. a batch is cut, its usage marked in the steps that put it in; 2. it is written down that it is about to be sent, and
under which sequence; 3. it is sent; 4. its outcome is recorded. Whoever comes after a process that died between 2 and
4 looks first whether the contract has that sequence, and otherwise sends the same again: the contract bills a sequence
once. Nothing is ever sent under another sequence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from api_billing.amounts import format_wei
from api_billing.errors import BillingError, Cancelled, ContractRejected, NetworkError, Unfunded
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.batch_operations import MAX_CUT_STEP, Added
from api_billing.metering.ledger.operations import FireOnce, Operation
from api_billing.metering.ledger.settlement_operations import (
    IN_FLIGHT,
    BeginPosting,
    Book,
    EndPosting,
    Lease,
    ListOutgoing,
    NextOutgoing,
    NotePosting,
    OpenBook,
    Outgoing,
    Posting,
    ReadBook,
    ReleaseLease,
    Reopened,
    ReopenEnded,
    TakeLease,
)
from api_billing.metering.settlement.chain import SettlementChain, entries_of, parts_of
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.settlement.fee_budget import FeeBudget
from api_billing.metering.settlement.leases import kept
from api_billing.metering.settlement.undone import find_undone
from api_billing.metering.stores.steps import Blocking, Pause, Steps
from api_billing.refusal_codes import Code, in_words
from api_billing.results import Settlement, SettlementState

if TYPE_CHECKING:
    from api_billing.client import Written

Phase = Literal["accepted", "finalized"]
Status = Literal["done", "busy", "unknown", "unreachable", "unfunded", "rejected", "foreign"]

_REST: Final = 4.0  # times as long as a step of cutting took: the store is for requests meanwhile
_MAX_REST_SECONDS: Final = 0.05
_LEASE_MS: Final = 900_000
_KEPT_LEASE_MS: Final = 60_000
_BATCH_MS: Final = 30_000
_LEAST_BATCH_MS: Final = 1_000
RECHECK_MS: Final = 3_600_000
_KEEP_ALERT_MS: Final = 30 * DAY_MS

_log = logging.getLogger("api_billing.metering.settlement")


@dataclass(frozen=True, slots=True)
class Round:
    """How a round ended. Only after ``done`` is nothing left to post.

    ``busy``: another process settles. ``unknown``: it was sent, and the answer got lost or is not there yet.
    ``unreachable``: the node did not take it, or the network cancelled it. ``unfunded``: neither was it sent, since the
    account or the budget does not reach for the network's fee. ``rejected``: the contract did not take it. ``foreign``:
    somebody else has settled under the sequence: two meters settle one API. All but the last two heal by themselves in
    a later round, when there is money again.
    """

    status: Status
    settled: int = 0  # batches whose outcome was recorded
    message: str = ""


class Settler:
    """Settles APIs on one contract. Any number of processes may run one: a lease lets one of them work at a time.

    ``holder`` names this one and no other. ``alert`` takes alerts on their way and does not wait. A lease of
    ``lease_ms`` is taken anew for every batch, and while a transaction takes its time when ``call`` asks the store
    beside the flow; without, it should outlast that time. When it does not, two may post the same sequence, which
    is as harmless as it is useless. ``on`` is how far the chain's writes
    are followed: with ``accepted`` an appeal may undo what was recorded, which each round looks for at the last
    settlement, and every ``recheck_ms`` at all that the contract keeps, to post it again; with ``finalized``
    nothing is recorded that can be undone, and each settlement waits for it. Trouble that heals by itself is an
    alert when a batch has waited for ``patience_ms``. ``fee_budget_wei`` bounds what the settlements of an API cost in
    fees of the network a day; 0: not at all. Not thread-safe.
    """

    def __init__(
        self,
        chain: SettlementChain,
        *,
        holder: str,
        now_ms: Callable[[], int],
        alert: Callable[[Alert], None] = lambda _: None,
        call: Callable[[Operation[Any]], Any] | None = None,
        lease_ms: int | None = None,
        patience_ms: int = 600_000,
        max_records: int = 10_000,
        max_step: int = MAX_CUT_STEP,
        on: Phase = "accepted",
        recheck_ms: int = RECHECK_MS,
        fee_budget_wei: int = 0,
        on_batch: Callable[[int], None] = lambda settled: None,
    ) -> None:
        self._chain = chain
        self._holder = holder
        self._now_ms = now_ms
        self._alert = alert
        self._call = call
        default_ms = _LEASE_MS if call is None else _KEPT_LEASE_MS
        self._lease_ms = default_ms if lease_ms is None else lease_ms
        self._patience_ms = patience_ms
        self._max_records = max_records
        self._max_step = max_step
        self._on = on
        self._recheck_ms = recheck_ms
        self._budget = FeeBudget(chain, fee_budget_wei, now_ms) if fee_budget_wei else None
        self._looked_at_all: dict[str, int] = {}
        self._batch_ms: dict[str, int] = {}  # that the last one has taken
        self._on_batch = on_batch
        self._told: set[tuple[str, int, int]] = set()

    def round(self, api: str) -> Steps[Round]:
        """Settle all that was served before now. Raises: StoreUnavailable; nothing is lost, the next round goes on."""
        settled, until_ms = 0, self._now_ms()
        ended = Round("busy", message="another process settles this API")
        looked = False
        while (yield from self._has_lease(api)):
            if not looked:
                yield from self._reopen_undone(api)
                looked = True
            ended = yield from self._settle_next(api, until_ms)
            if ended.settled:
                settled += ended.settled
                self._on_batch(settled)
            if ended.status != "busy":
                break
        yield from self._tell_refused(api)
        yield ReleaseLease(_lease_name(api), self._holder)
        return Round(ended.status, settled, ended.message)

    def give_up(self, api: str) -> Steps[None]:
        """Let another settler work at once, after a round that was broken off."""
        yield ReleaseLease(_lease_name(api), self._holder)

    def _has_lease(self, api: str) -> Steps[bool]:
        now_ms = self._now_ms()
        lease: Lease = yield TakeLease(_lease_name(api), self._holder, now_ms, now_ms + self._lease_ms)
        return lease.holder == self._holder

    def _lease_kept(self, api: str) -> AbstractContextManager[None]:
        if self._call is None:
            return nullcontext()
        return kept(self._call, _lease_name(api), self._holder, self._now_ms, self._lease_ms)

    def _settle_next(self, api: str, until_ms: int) -> Steps[Round]:
        """One batch; ``busy`` when there may be more. What is served meanwhile waits: few large batches cost less."""
        outgoing: Outgoing | None = yield NextOutgoing(api)
        if outgoing is None:
            return (yield from self._cut(api, until_ms))
        begun_ms = self._now_ms()
        try:
            ended: Round = yield from self._settle(outgoing)
            self._batch_ms[api] = max(self._now_ms() - begun_ms, _LEAST_BATCH_MS)
            return ended
        except _Stop as stop:
            yield from self._tell_trouble(outgoing, stop.ended)
            return stop.ended

    def _cut(self, api: str, until_ms: int) -> Steps[Round]:
        """The next batch, in steps so small and so far apart that requests do not notice."""
        batch_ms = self._batch_ms.get(api, _BATCH_MS)
        cutter = Cutter(api, until_ms, max_records=self._max_records, max_step=self._max_step, batch_ms=batch_ms)
        while True:
            begun = time.monotonic()
            added: Added | None = yield from cutter.step(self._now_ms())
            if added is None:
                # Unless it has ended without our knowing: the answer to the step that did it was lost.
                outgoing: Outgoing | None = yield NextOutgoing(api)
                return Round("done" if outgoing is None else "busy")
            if added.batch is not None:
                return Round("busy")
            yield Pause(min((time.monotonic() - begun) * _REST, _MAX_REST_SECONDS))

    def _settle(self, outgoing: Outgoing) -> Steps[Round]:
        batch, posting = outgoing
        entries, _ = entries_of(batch)
        if not entries:
            return (yield from self._record(outgoing, None, ""))
        yield from self._opened(batch.api)
        if posting.state in IN_FLIGHT:
            found = yield from self._look(batch.api, posting.chain_sequence)
            if found is not None and (yield from self._may_record(posting)):
                return (yield from self._record(outgoing, found, ""))
        begun: Posting | None = yield BeginPosting(batch.api, batch.sequence, self._now_ms())
        if begun is None:
            return Round("busy")
        yield from self._bound_fee(batch.api)
        settlement, tx = yield from self._send(Outgoing(batch, begun))
        return (yield from self._record(Outgoing(batch, begun), settlement, tx))

    def _may_record(self, posting: Posting) -> Steps[bool]:
        """Whether what the contract has under a sequence is final enough; False: send it again, and wait for that."""
        if self._on == "accepted":
            return True
        if not posting.txs:
            return False
        chain, tx = self._chain, posting.txs[-1]
        try:
            final: bool = yield Blocking(lambda: chain.is_final(tx))
        except BillingError as error:
            raise _Stop("unreachable", str(error)) from error
        if not final:
            raise _Stop("unknown", f"sequence {posting.chain_sequence} of {posting.api} is accepted, not final yet")
        return True

    def _reopen_undone(self, api: str) -> Steps[None]:
        """Post again what an appeal has undone: the contract bills a sequence once, and it is the same sequence."""
        now_ms = self._now_ms()
        since_ms = self._looked_at_all.setdefault(api, now_ms)
        undone = yield from find_undone(self._chain, api, thorough=now_ms - since_ms >= self._recheck_ms)
        if now_ms - since_ms >= self._recheck_ms:
            self._looked_at_all[api] = now_ms
        if not undone:
            return
        reopened: Reopened = yield ReopenEnded(api, undone)
        if not (reopened.sequences or reopened.why_not):
            return  # another settler was faster
        self._told = {told for told in self._told if told[0] != api}
        what = f"the chain has undone settlements of {api} from sequence {undone} on"
        became = reopened.why_not or "they are posted again under the same sequences"
        _log.warning("%s: %s", what, became)
        details = (("api", api), ("sequence", str(undone)), ("status", "undone"))
        alert = Alert("settlement", api, now_ms, f"{what}: {became}", details=details)
        # Each time it happens is told, a state that stays once a day.
        when = now_ms // DAY_MS if reopened.why_not else now_ms
        yield from self._tell(f"undone/{undone}/{when}/{api}", alert)

    def _opened(self, api: str) -> Steps[None]:
        """Begin where the contract is; stop when the book is that of another contract."""
        book: Book = yield ReadBook(api)
        contract = self._chain.contract.lower()
        if not book.contract:
            state: SettlementState = yield from self._read(api, 0)
            book = yield OpenBook(api, contract, state.next_sequence)
        if book.contract != contract:
            raise _Stop("rejected", f"{api} is settled on {book.contract}, not on {contract}")

    def _look(self, api: str, sequence: int) -> Steps[Settlement | None]:
        """What the contract has under a sequence; None when it does not have it yet."""
        try:
            state: SettlementState = yield from self._read(api, sequence)
        except ContractRejected as error:
            if error.code == Code.SEQUENCE_GAP:
                return None
            raise _Stop("foreign", f"sequence {sequence} of {api}: {error}") from error
        return state.settlement

    def _read(self, api: str, sequence: int) -> Steps[SettlementState]:
        chain = self._chain
        try:
            return (yield Blocking(lambda: chain.get_settlement(api, sequence)))  # type: ignore[no-any-return]
        except ContractRejected as error:
            if sequence:
                raise
            raise _Stop("rejected", f"{api}: {error}") from error
        except BillingError as error:
            raise _Stop("unreachable", str(error)) from error

    def _bound_fee(self, api: str) -> Steps[None]:
        """Let the next settlement cost no more than what is left of the day's budget."""
        if self._budget is None:
            return
        try:
            self._chain.allow_fee((yield from self._budget.left(api)))
        except BillingError as error:
            raise _Stop("unreachable", str(error)) from error

    def _send(self, outgoing: Outgoing) -> Steps[tuple[Settlement, str]]:
        batch, posting = outgoing
        api, sequence = batch.api, posting.chain_sequence
        entries, _ = entries_of(batch)
        chain = self._chain

        def send() -> Written[Settlement]:
            with self._lease_kept(api):
                return chain.settle_usage(api, sequence, entries, batch.root)

        try:
            written: Written[Settlement] = yield Blocking(send)
        except ContractRejected as error:
            yield NotePosting(api, batch.sequence, "posted", error.tx or "", error.code)
            status: Status = "foreign" if error.code == Code.SEQUENCE_MISMATCH else "rejected"
            raise _Stop(status, f"sequence {sequence} of {api}: {error}") from error
        except NetworkError as error:
            yield NotePosting(api, batch.sequence, "posted", note=str(error))
            raise _Stop("unreachable", str(error)) from error
        except Unfunded as error:
            note = (self._budget.why_not(error.deposit_wei) if self._budget else "") or str(error)
            yield NotePosting(api, batch.sequence, "posted", note=note)
            raise _Stop("unfunded", note) from error
        except Cancelled as error:
            yield NotePosting(api, batch.sequence, "posted", error.tx, str(error))
            raise _Stop("unreachable", f"sequence {sequence} of {api}: {error}") from error
        except BillingError as error:
            yield NotePosting(api, batch.sequence, "unknown", getattr(error, "tx", None) or "", str(error))
            raise _Stop("unknown", f"sequence {sequence} of {api}: {error}") from error
        return written.result, written.tx

    def _record(self, outgoing: Outgoing, settlement: Settlement | None, tx: str) -> Steps[Round]:
        batch, posting = outgoing
        parts = parts_of(batch, settlement)
        if parts is None:
            note = f"somebody else has settled sequence {posting.chain_sequence}"
            yield NotePosting(batch.api, batch.sequence, "posted", note=note)
            raise _Stop("foreign", f"{batch.api}: {note}")
        settled_at = settlement.settled_at if settlement is not None else 0
        skipped = settlement is None
        ended = yield EndPosting(batch.api, batch.sequence, self._now_ms(), parts, settled_at, tx, skipped)
        if ended is None:
            raise _Stop("unknown", f"batch {batch.sequence} of {batch.api} changed while it was being settled")
        return Round("busy", 1)

    # --- telling

    def _tell_refused(self, api: str) -> Steps[None]:
        """An alert for each refused part that is open, from whichever process comes first."""
        book: Book = yield ReadBook(api)
        for sequence, index in book.open_parts:
            if (api, sequence, index) in self._told:
                continue
            found: tuple[Outgoing, ...] = yield ListOutgoing(api, sequence - 1, 1)
            line, part = found[0].batch.lines[index], found[0].posting.parts[index]
            rest = format_wei(line.amount_wei - part.billed_wei, exact=True)
            message = (
                f"settlement {sequence} of {api}: {line.calls - part.billed_calls} calls for {rest} of {line.account}"
                f" were refused: {in_words(part.code)} ({part.code}); no further service until this is resolved"
            )
            details = (("api", api), ("sequence", str(sequence)), ("line", str(index)), ("code", part.code))
            alert = Alert("settlement", line.account, self._now_ms(), message, details=details)
            yield from self._tell(f"refused/{sequence}/{index}/{api}", alert)
            self._told.add((api, sequence, index))

    def _tell_trouble(self, outgoing: Outgoing, ended: Round) -> Steps[None]:
        now_ms = self._now_ms()
        _log.warning("settlement of %s: %s: %s", outgoing.batch.api, ended.status, ended.message)
        heals = ended.status in ("unknown", "unreachable")
        if heals and now_ms - outgoing.batch.created_ms < self._patience_ms:
            return
        api, sequence = outgoing.batch.api, outgoing.batch.sequence
        message = f"batch {sequence} of {api} cannot be settled: {ended.status}: {ended.message}"
        details = (("api", api), ("sequence", str(sequence)), ("status", ended.status))
        alert = Alert("settlement", api, now_ms, message, details=details)
        yield from self._tell(f"{ended.status}/{sequence}/{now_ms // DAY_MS}/{api}", alert)

    def _tell(self, key: str, alert: Alert) -> Steps[None]:
        if (yield FireOnce(f"settlement/{key}", alert.at_ms, alert.at_ms + _KEEP_ALERT_MS)):
            self._alert(alert)


class _Stop(Exception):
    """This round gets no further."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.ended = Round(status, message=message)


def _lease_name(api: str) -> str:
    return f"settle/{api}"
