"""What pays for a request, whatever it is: the credit of whoever asks, or a call that the contract has billed.

An exchange asks its payer to reserve before the request is served, and at the end for what it costs, what is kept of
the response and which header fields it gets. What kinds there are stands in ``payers``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    ClaimMismatch,
    Outcome,
    Record,
    Refused,
    Release,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
    Settle,
    Settled,
    StoredResponse,
)
from api_billing.metering.ledger.vouchers import BySession, ChannelSums
from api_billing.metering.limits.plan import Fields, WindowPlan
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.observing.watching import current_step
from api_billing.metering.request.claims import stored_response, used_up
from api_billing.metering.request.http import REPLAYED, MeteredRequest, MeteredResponse, cost_field, renamed
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.prices import Priced
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.telling import is_text, told
from api_billing.metering.stores.steps import Steps
from api_billing.metering.texts import storable

_MAX_METHOD: Final = 16
_MAX_ROUTE: Final = 200


class Payer(ABC):
    """What pays for one request. Not thread-safe, as its request.

    ``speaks`` is the payment protocol that it was paid by (``x402``, ``mpp``), empty without one; ``told_wei`` the cost
    that a response said before its body began, over x402: then that is what it costs.

    Attributes: ``consumer`` and ``plan`` once they are known, ``counts`` of the plan's windows as the store told them
    last, ``estimate_wei`` that is set aside, ``claim`` of an idempotency key or a receipt, ``session`` whose vouchers
    pay, ``channel`` of it that pays, as the store told it last, ``tags`` for the record, ``refused`` why not.
    ``reservation`` is the one that the store was asked for last, ``is_unanswered`` whether its answer is not known: who
    drives the flow sees to it that nothing stays reserved when nobody gets to know.

    ``remote_id`` is that of a reservation of another process, which may repeat it; None: it is this one's.
    """

    is_request: ClassVar[bool] = True  # which an application may look at while it is served
    claims: ClassVar[str] = "idempotency"  # begins the codes of refused claims
    replay_fields: ClassVar[tuple[tuple[str, str], ...]] = (REPLAYED,)

    __slots__ = (
        "channel",
        "claim",
        "claim_expires_ms",
        "consumer",
        "counts",
        "estimate_wei",
        "frees",
        "is_unanswered",
        "metering",
        "operation",
        "plan",
        "refused",
        "remote_id",
        "request",
        "reservation",
        "session",
        "speaks",
        "tags",
        "told_wei",
        "units",
    )

    def __init__(
        self, metering: Metering, request: MeteredRequest, remote_id: str | None = None, claim: Claim | None = None
    ) -> None:
        self.metering = metering
        self.request = request
        self.remote_id = remote_id
        operation = metering.operation
        # What budgets and the audit log call it, as long as no callable has told.
        self.operation = operation if operation and type(operation) is str else request.route
        self.units = metering.units if type(metering.units) is int else 1  # as long as no callable has told
        request.proxies = metering.meter.settings.proxies
        self.consumer = ""
        self.plan: WindowPlan | None = None
        self.counts: tuple[int, ...] = ()
        self.frees: tuple[int, ...] = ()
        self.estimate_wei = 0
        self.claim = claim
        self.claim_expires_ms = request.at_ms + metering.meter.idempotency_ms
        self.tags: dict[str, Any] = {}
        self.reservation: Reserve | None = None
        self.session: BySession | None = None
        self.channel: ChannelSums | None = None
        self.speaks = ""
        self.told_wei: int | None = None
        self.is_unanswered = False
        self.refused: Refusal | None = None

    @property
    def may_go_unmetered(self) -> bool:
        """With ``fail_open``, when the store does not answer. Not in a session: no voucher would cover it."""
        return self.session is None

    @abstractmethod
    def reserve(self) -> Steps[ReserveReply | Refusal | Answer]:
        """Find out who pays, and set the estimate aside; or answer, where there is nothing to serve.

        Raises: StoreUnavailable.
        """

    @abstractmethod
    def price(self, response: MeteredResponse) -> Steps[Priced]:
        """What serving has cost. Never raises."""

    def uncounted(self, response: MeteredResponse) -> Steps[tuple[int, ...]]:
        """The windows that a served request does not count in. Never raises."""
        yield from ()
        return ()

    @abstractmethod
    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        """It is settled: count it, and answer with all header fields."""

    def released(self) -> Fields:
        """It was served for nothing: all header fields, as if it had never been reserved."""
        return [*self.fields(), cost_field(0)]

    def stored(self, response: MeteredResponse, *, is_whole: bool) -> StoredResponse | None:
        """What the next request with the same claim gets; None when it is to be served again, as this was cut off."""
        return stored_response(response, self.request.method, self.claims) if is_whole else None

    def tell_operation(self) -> Steps[Refusal | None]:
        """Ask for the operation, where a callable tells it."""
        if callable(self.metering.operation):
            operation = yield from self.told("operation", self.metering.operation, is_text)
            if isinstance(operation, Refusal):
                return operation
            self.operation = operation or self.request.route
        return None

    def told(self, what: str, function: Callable[[MeteredRequest], Any], is_right: Callable[[Any], bool]) -> Steps[Any]:
        """What an own callable says of the request; a refusal when that cannot be told."""
        meter = self.metering.meter
        return told(what, function, self.request, meter.settings.max_fingerprint_bytes, is_right, meter.seldom)

    def fields(self) -> Fields:
        """Header fields about limits, as they are now."""
        if self.plan is None:
            return []
        return self.plan.fields(self.counts, self.metering.meter.now_ms(), self.estimate_wei, self.frees)

    def begun_fields(self, status: int = 200) -> Fields:
        """Header fields of a response that begins before it is settled: receipts of payment among them."""
        return self.fields()

    def receipt_event(self) -> dict[str, Any] | None:
        """What a stream says at its end of what it was paid by, after it was settled; None: nothing."""
        return None

    def need_voucher(self, refused: Refused, estimate_wei: int) -> dict[str, Any] | None:
        """What a stream asks for that would cost ``estimate_wei`` in all and was refused that; None: nothing can be
        asked for.
        """
        return None

    def answer(self, reply: ReserveReply | Refusal | Answer) -> Answer:
        """What to send instead of serving."""
        if isinstance(reply, Answer):
            return reply
        if not isinstance(reply, Replay) or reply.response == used_up(self.claims):
            return self.refuse(self.refusal(reply))
        self.metering.meter.metrics.replayed(self.metering.api)
        stored = reply.response
        return Answer(stored.status, (*stored.headers, *self._named([*self.replay_fields, cost_field(0)])), stored.body)

    def refusal(self, reply: ReserveReply | Refusal) -> Refusal:
        """Why it is not served."""
        if isinstance(reply, Refusal):
            return reply
        if isinstance(reply, ClaimInProgress):
            return Refusal(f"{self.claims}_in_progress")
        if isinstance(reply, Replay):
            return Refusal(f"{self.claims}_used")
        return Refusal(f"{self.claims}_mismatch" if isinstance(reply, ClaimMismatch) else "meter_unavailable")

    def refuse(self, refusal: Refusal) -> Answer:
        """Answer with a problem, and keep a record of it."""
        self.refused = refusal
        api, meter, request = self.metering.api, self.metering.meter, self.request
        now_ms, request_id = meter.now_ms(), request.request_id
        record = Record(
            record_id=new_id(request.at_ms),
            at_ms=request.at_ms,
            state="refused",
            api=api,
            consumer=self.consumer,
            account=meter.account_of(api, self.consumer) if self.consumer else "",
            tier=self.plan.tier.name if self.plan is not None else "",
            method=storable(request.method, _MAX_METHOD),
            route=storable(self.operation, _MAX_ROUTE),
            request_id=request_id,
            units=0,
            estimate_wei=self.estimate_wei,
            ended_ms=now_ms,
            code=refusal.code,
            outcome=Outcome(refusal.status, max(0, now_ms - request.at_ms), error=refusal.reason or refusal.why),
        )
        meter.note(record)
        if (step := current_step.get()) is not None:
            step.consumer, step.record_id = self.consumer, record.record_id
        meter.metrics.refused(api, refusal.code)
        return refusal.answer(self._named(self.fields()), instance=f"urn:request:{request_id}" if request_id else "")

    def _named(self, fields: Fields) -> tuple[tuple[str, str], ...]:
        """Header fields of an answer, as the settings name them."""
        return tuple(renamed(fields, self.metering.meter.field_names))

    def undo(self, why: str) -> Release:
        """What gives back what was asked for last."""
        reserve = self.reservation
        assert reserve is not None
        return Release(reserve.reservation_id, reserve.account, reserve.now_ms, Outcome(error=why))

    def ask(
        self, account: str, now_ms: int, profile_version: int = -1, checks: tuple[WindowCheck, ...] = ()
    ) -> Steps[ReserveReply]:
        """Ask the store for the reservation, on this account."""
        metering, request, plan = self.metering, self.request, self.plan
        if not metering.meter.counts_in_it:  # the store was away when these terms were made
            yield from metering.meter.counting()
        self.reservation = Reserve(
            reservation_id=self.remote_id or new_id(now_ms),
            now_ms=now_ms,
            expires_ms=now_ms + metering.meter.reservation_ms,
            account=account,
            api=metering.api,
            consumer=self.consumer,
            estimate_wei=self.estimate_wei,
            units=self.units,
            checks=checks,
            profile_version=profile_version,
            claim=self.claim,
            claim_expires_ms=self.claim_expires_ms,
            tier=plan.tier.name if plan is not None else "",
            method=storable(request.method, _MAX_METHOD),
            route=storable(self.operation, _MAX_ROUTE),
            request_id=request.request_id,
            fresh=not self.remote_id,
            durable=self.remote_id is not None,
            session=self.session,
        )
        self.is_unanswered = True
        reply: ReserveReply = yield self.reservation
        self.is_unanswered = False
        if isinstance(reply, Reserved | Refused):
            self.counts, self.frees, self.channel = reply.counts, reply.frees, reply.channel
        return reply
