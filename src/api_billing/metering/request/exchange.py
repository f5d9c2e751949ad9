"""One metered request, from its arrival to its settlement, for whatever framework.

An adapter drives three steps (with ``steps.run`` in a thread, ``steps.arun`` in a coroutine) and does the rest of its
framework's business between them:

    begin    who is it, may it be served: reserve. The answer is what to send instead of serving, or None.
    finish   it was served: price it and settle. The answer is header fields. Never raises.
    abort    it was not served: release. A plain call that does not wait.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from api_billing.metering.errors import CreditUnavailable, MeterError, StoreUnavailable
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
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
    StaleProfile,
    StoredResponse,
)
from api_billing.metering.limits.plan import Plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request import lost_reservations
from api_billing.metering.request.claims import idempotency_claim, receipt_fingerprint, stored_response
from api_billing.metering.request.http import REPLAYED, cost_field
from api_billing.metering.request.identity import Identity, identify
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.prices import check_wei, fallback_wei, price_of
from api_billing.metering.request.problems import Answer, Refusal, refusal_by
from api_billing.metering.request.receipts import (
    Receipt,
    pauses,
    receipt_account,
    receipt_of,
    refusal_of,
    response_for,
)
from api_billing.metering.stores.steps import Pause

if TYPE_CHECKING:
    from api_billing.metering.request.http import MeteredRequest, MeteredResponse
    from api_billing.metering.stores.steps import Steps

_MAX_ATTEMPTS: Final = 4  # at a profile that changes while it is being used
_MAX_ROUTE: Final = 200
_MAX_TAGS: Final = 2000
_NEVER: Final = WindowCheck("never", 0, 1, "calls", 0)

_log = logging.getLogger("api_billing.metering")
_current: ContextVar[Exchange | None] = ContextVar("api_billing_exchange", default=None)


def current_exchange() -> Exchange | None:
    """The metered request that is being served in this thread or task, None when there is none."""
    return _current.get()


class Exchange:
    """One request on its way. Not thread-safe: one thread or task at a time, which need not be the same one."""

    __slots__ = (
        "_claim",
        "_claim_expires_ms",
        "_cost_wei",
        "_counts",
        "_ended",
        "_estimate_wei",
        "_has_receipt",
        "_identity",
        "_meter",
        "_operation",
        "_plan",
        "_reserve",
        "_tags",
        "is_whole",
        "keeps_body",
        "metering",
        "request",
        "serving_ms",
    )

    def __init__(self, metering: Metering, request: MeteredRequest) -> None:
        self.metering = metering
        self.request = request
        self.serving_ms = 0  # when ``begin`` let the application serve it
        self.is_whole = True  # an adapter says when the response was cut off
        self.keeps_body = 0  # how many bytes of the response's body ``finish`` wants to see
        self._meter = metering.meter
        self._operation = metering.operation or request.route  # what budgets and the audit log call it
        self._identity: Identity | None = None
        self._plan: Plan | None = None
        self._claim: Claim | None = None
        self._claim_expires_ms = 0
        self._has_receipt = False  # the contract has billed this request
        self._reserve: Reserve | None = None  # while it has to be settled or released
        self._counts: tuple[int, ...] = ()
        self._estimate_wei = 0
        self._cost_wei: int | None = None
        self._tags: dict[str, Any] = {}
        self._ended = False

    # --- for the application

    @property
    def consumer(self) -> str:
        """Who is asking; empty before ``begin``, and when it is not known."""
        return self._identity.consumer if self._identity is not None else ""

    @property
    def reservation_id(self) -> str:
        """The id of the reservation, and later of the record; empty when nothing is reserved."""
        return self._reserve.reservation_id if self._reserve is not None else ""

    def set_cost_wei(self, cost_wei: int) -> None:
        """Charge this, instead of what the price says. Raises: InvalidSetting for an amount that is none."""
        self._cost_wei = check_wei("the cost", cost_wei)

    def tag(self, **values: str | int | bool | None) -> None:
        """Keep something with the request's record, to find it again: ``tag(model="small", tokens=12)``."""
        self._tags.update(values)

    # --- for adapters

    def begin(self) -> Steps[Answer | None]:
        """Identify and reserve. The answer is a refusal or a replayed response; None: serve it, then finish or
        abort.
        """
        try:
            answer = yield from self._begin()
        except StoreUnavailable as error:
            answer = self._unavailable(error)
        if answer is None:
            self.serving_ms = self._meter.now_ms()
            _current.set(self)
        return answer

    def start_fields(self) -> list[tuple[str, str]]:
        """Header fields that are known before the response has ended."""
        if self._plan is None or not self._counts:
            return []
        return self._plan.fields(self._counts, self._meter.now_ms(), self._estimate_wei)

    def finish(self, response: MeteredResponse) -> Steps[list[tuple[str, str]]]:
        """Price the response and settle; or release, when its status is free. The answer is all header fields.

        Never raises. When the store does not answer, the settlement is repeated in the background.
        """
        if self._ended:
            return []
        try:
            return (yield from self._finish(response))
        finally:
            self.request.let_go()

    def abort(self, error: BaseException | None = None, status: int = 0) -> None:
        """Release what is reserved: the handler raised, or nobody waits for the response. Idempotent; does not wait."""
        reserve = self._take()
        if reserve is not None:
            self._release(reserve, Outcome(status, self._duration_ms(), 0, _name_of(error), self._tags_text()))
            self.request.let_go()

    # --- begin

    def _begin(self) -> Steps[Answer | None]:
        meter = self._meter
        metering = self.metering
        request = self.request
        if (receipt := self._receipt()) is not None:
            return (yield from self._begin_with(receipt))
        for _ in range(_MAX_ATTEMPTS):
            identity = yield from identify(metering.identify or meter.identify, request)
            if isinstance(identity, Refusal):
                return self._refuse(identity)
            self._identity = identity
            profile = meter.profiles.known(identity.consumer)
            if profile is None and (profile := (yield from meter.profiles.of(identity.consumer))) is None:
                return self._refuse(Refusal("not_subscribed"))
            refusal = yield from self._prepare(identity, profile)
            if refusal is not None:
                return (yield from self._served_before(identity, profile)) or self._refuse(refusal)
            reply = yield from self._ask(identity, profile)
            if not isinstance(reply, StaleProfile):
                return self._replied(reply)
            meter.profiles.forget(identity.consumer)
            if reply.profile is not None:
                meter.profiles.put(reply.profile)
        raise StoreUnavailable("the consumer's limits keep changing")

    def _receipt(self) -> Receipt | Refusal | None:
        """What the request carries; with credit in the store nobody has receipts."""
        meter = self._meter
        return receipt_of(self.request, meter.settings) if meter.on_chain is not None else None

    def _begin_with(self, receipt: Receipt | Refusal) -> Steps[Answer | None]:
        """Serve a call that the contract has billed, once; whoever else asks with the receipt waits for the response.

        The receipt is the credential. It is never served unchecked, also where the settings say fail open.
        """
        refusal = receipt if isinstance(receipt, Refusal) else (yield from self._check(receipt))
        if refusal is not None:
            return self._refuse(refusal)
        assert isinstance(receipt, Receipt)
        identity = self._identity = Identity(receipt.consumer)
        fingerprint = yield from self._receipt_fingerprint()
        if isinstance(fingerprint, Refusal):
            return self._refuse(fingerprint)
        settings = self._meter.settings
        self._claim = Claim.of_receipt(receipt.text, fingerprint)
        self._has_receipt = True
        self._claim_expires_ms = receipt.kept_until_ms(settings.receipt_days)
        self._tags["receipt"] = receipt.text
        for pause in pauses(settings.receipt_wait_seconds):
            reply = yield from self._try(self._reservation(None, identity, None))
            if not isinstance(reply, ClaimInProgress):
                return self._replied(reply)
            yield Pause(pause)
        return self._replied((yield from self._try(self._reservation(None, identity, None))))

    def _receipt_fingerprint(self) -> Steps[str | Refusal]:
        return (yield from receipt_fingerprint(self.request, self._meter.settings))

    def _check(self, receipt: Receipt) -> Steps[Refusal | None]:
        on_chain = self._meter.on_chain
        assert on_chain is not None
        api, days = self.metering.api, self._meter.settings.receipt_days
        refusal = refusal_of(receipt, api, self._meter.now_ms(), days)
        return refusal if refusal is not None else (yield from on_chain.receipts.check(receipt))

    def _prepare(self, identity: Identity, profile: Profile) -> Steps[Refusal | None]:
        """Compute windows, estimate and claim; ask what the chain has against it."""
        metering = self.metering
        request = self.request
        meter = self._meter
        try:
            model = metering.model(request) if metering.model is not None else ""
            estimate = metering.estimate_wei
            self._estimate_wei = check_wei("the estimate", estimate(request)) if callable(estimate) else estimate
        except Exception:
            _log.exception("the estimate of %s %s failed", request.method, request.route)
            return Refusal("meter_unavailable")
        if model:
            self._tags["model"] = model
        refused: Refusal | None = None
        named = identity.tier
        also: tuple[WindowCheck, ...] = ()
        if meter.on_chain is not None:
            found = yield from meter.on_chain.admit(metering.api, identity.consumer, self._estimate_wei)
            if isinstance(found, Refusal):
                refused = found
            else:
                named, also = named or found.plan, found.checks
        tier = (yield from meter.profiles.tier(named)) if named else None
        self._plan = meter.plans.plan(
            profile,
            request.at_ms,
            api=metering.api,
            operation=self._operation,
            model=model,
            tier=tier,
            also=also,
        )
        if self._claim is None and metering.idempotent:
            refusal = yield from self._read_claim()
            if refusal is not None:
                return refusal
        return refused

    def _served_before(self, identity: Identity, profile: Profile) -> Steps[Answer | None]:
        """What a request that is refused now was answered before: what was paid for can be had again."""
        if self._claim is None or self._plan is None:
            return None
        asked = self._reservation(self._plan, identity, profile)
        asked.checks = (_NEVER,)  # a claim is looked at before the windows
        reply: ReserveReply = yield asked
        return self._replied(reply) if isinstance(reply, Replay | ClaimInProgress | ClaimMismatch) else None

    def _read_claim(self) -> Steps[Refusal | None]:
        claim = yield from idempotency_claim(self.request, self.metering.api, self._meter.settings)
        if isinstance(claim, Refusal):
            return claim
        if claim is not None:
            self._claim = claim
            self._claim_expires_ms = self.request.at_ms + self._meter.idempotency_ms
        return None

    def _ask(self, identity: Identity, profile: Profile) -> Steps[ReserveReply]:
        assert self._plan is not None
        meter = self._meter
        now_ms = self.request.at_ms
        if (decided := meter.decisions.find(self._plan, self._estimate_wei, now_ms)) is not None:
            self._counts = decided.counts
            return decided
        reserve = self._reservation(self._plan, identity, profile)
        reply = yield from self._try(reserve)
        if isinstance(reply, Refused):
            self._counts = reply.counts
            meter.decisions.keep(self._plan, reply, self._estimate_wei, now_ms)
            meter.watcher.refused(self._plan, reserve, reply)
        return reply

    def _try(self, reserve: Reserve) -> Steps[ReserveReply]:
        """Reserve, and see to it that nothing stays reserved when nobody gets to know."""
        meter, now_ms = self._meter, reserve.now_ms
        try:
            reply: ReserveReply = yield reserve
        except GeneratorExit:
            # Nobody waits for the answer any more; what was or will be reserved is given back, in this order.
            meter.post(Release(reserve.reservation_id, reserve.account, now_ms, Outcome(error="cancelled")))
            raise
        except MeterError:
            meter.keeper.repeat(Release(reserve.reservation_id, reserve.account, now_ms, Outcome(error="store")))
            raise
        if isinstance(reply, Reserved):
            self._reserve = reserve
            self._counts = reply.counts
            meter.keeper.opened(reserve.reservation_id, reserve.expires_ms)
        return reply

    def _reservation(self, plan: Plan | None, identity: Identity, profile: Profile | None) -> Reserve:
        meter = self._meter
        request = self.request
        # Whoever waited for another request with the receipt has all the time of a reservation from then on.
        now_ms = meter.now_ms() if self._has_receipt else request.at_ms
        return Reserve(
            reservation_id=new_id(now_ms),
            now_ms=now_ms,
            expires_ms=now_ms + meter.reservation_ms,
            account=(
                receipt_account(identity.consumer)
                if self._has_receipt
                else meter.account_of(self.metering.api, identity.consumer)
            ),
            api=self.metering.api,
            consumer=identity.consumer,
            estimate_wei=self._estimate_wei,
            units=self.metering.units,
            checks=plan.checks if plan is not None else (),
            profile_version=profile.version if profile is not None else -1,
            claim=self._claim,
            claim_expires_ms=self._claim_expires_ms,
            tier=plan.tier.name if plan is not None else "",
            method=request.method[:16],
            route=self._operation[:_MAX_ROUTE],
            request_id=request.request_id,
            fresh=True,
        )

    def _replied(self, reply: ReserveReply) -> Answer | None:
        if isinstance(reply, Reserved):
            stored_bytes = self._meter.settings.max_stored_bytes if self._claim is not None else 0
            self.keeps_body = max(stored_bytes, self._meter.audited_bytes)
            return None
        if isinstance(reply, Replay):
            stored = reply.response
            self._meter.metrics.replayed(self.metering.api)
            # Who has a receipt gets the very response that everybody with it gets.
            replayed = () if self._has_receipt else (REPLAYED,)
            return Answer(stored.status, (*stored.headers, *replayed, cost_field(0)), stored.body)
        if isinstance(reply, ClaimInProgress):
            return self._refuse(Refusal("receipt_in_progress" if self._has_receipt else "idempotency_in_progress"))
        if isinstance(reply, ClaimMismatch):
            return self._refuse(Refusal("receipt_mismatch" if self._has_receipt else "idempotency_mismatch"))
        assert isinstance(reply, Refused)
        assert self._plan is not None
        return self._refuse(refusal_by(self._plan, reply, self.request.at_ms, self._estimate_wei))

    def _refuse(self, refusal: Refusal) -> Answer:
        """Answer with a problem, and keep a record of it."""
        meter = self._meter
        request = self.request
        request_id = request.request_id
        record = Record(
            record_id=new_id(request.at_ms),
            at_ms=request.at_ms,
            state="refused",
            api=self.metering.api,
            consumer=self.consumer,
            account=meter.account_of(self.metering.api, self.consumer) if self.consumer else "",
            tier=self._plan.tier.name if self._plan is not None else "",
            method=request.method[:16],
            route=self._operation[:_MAX_ROUTE],
            request_id=request_id,
            units=0,
            estimate_wei=self._estimate_wei,
            ended_ms=meter.now_ms(),
            code=refusal.code,
            outcome=Outcome(status=refusal.status, duration_ms=self._duration_ms()),
        )
        meter.note(record)
        meter.metrics.refused(self.metering.api, refusal.code)
        return refusal.answer(tuple(self.start_fields()), instance=f"urn:request:{request_id}" if request_id else "")

    def _unavailable(self, error: StoreUnavailable) -> Answer | None:
        meter = self._meter
        if meter.settings.fail_open:
            _log.error(
                "served without being metered: %s %s of %s: %s",
                self.request.method,
                self.request.route,
                self.consumer or "an unknown consumer",
                error,
            )
            meter.metrics.unmetered(self.metering.api)
            return None
        _log.error("refused, as usage cannot be metered: %s", error)
        meter.metrics.refused(self.metering.api, "meter_unavailable")
        return unavailable(error).answer()

    # --- finish

    def _finish(self, response: MeteredResponse) -> Steps[list[tuple[str, str]]]:
        reserve = self._take()
        if reserve is None:
            return []
        if self._meter.is_free(response.status):
            self._release(reserve, self._outcome(response))
            return [*self._without_this(), cost_field(0)]
        actual_wei, problem = (0 if self._has_receipt else self._cost_wei), ""
        if actual_wei is None:
            percent = self._meter.settings.fallback_percent
            price = self.metering.price
            assert price is not None
            try:
                actual_wei, problem = yield from price_of(price, self.request, response, self._estimate_wei, percent)
            except GeneratorExit:
                # Cancelled while an own price was waiting for something: it was served, so it is charged.
                cost_wei = fallback_wei(self._estimate_wei, percent)
                cancelled = self._settlement(reserve, cost_wei, response, "cancelled")
                self._meter.post(cancelled)
                self._meter.keeper.repeat(cancelled, reserve)  # nobody sees the reply to what is posted
                raise
        settle = self._settlement(reserve, actual_wei, response, problem)
        try:
            reply = yield from lost_reservations.settled(settle, reserve)
        except GeneratorExit:
            # Cancelled while waiting: nobody sees the reply, so the keeper asks for it.
            self._meter.keeper.repeat(settle, reserve)
            raise
        except MeterError as error:
            _log.warning("%s is settled later: %s", settle.reservation_id, error)
            self._meter.keeper.repeat(settle, reserve)
            return self.start_fields()
        finally:
            self._meter.keeper.ended(reserve.reservation_id)
        if not isinstance(reply, Settled):
            _log.error("%s was served, but could not be settled: it is %s", settle.reservation_id, reply.state)
            return self.start_fields()
        return self._settled(reserve, settle, reply)

    def _take(self) -> Reserve | None:
        reserve, self._reserve = self._reserve, None
        if self._ended:
            return None
        self._ended = True
        if _current.get() is self:
            _current.set(None)
        return reserve

    def _release(self, reserve: Reserve, outcome: Outcome) -> None:
        self._meter.keeper.ended(reserve.reservation_id)
        self._meter.post(Release(reserve.reservation_id, reserve.account, self._meter.now_ms(), outcome))
        self._meter.metrics.released(self.metering.api)

    def _settlement(self, reserve: Reserve, actual_wei: int, response: MeteredResponse, problem: str) -> Settle:
        stored: StoredResponse | None = None
        if reserve.claim is not None:
            stored = stored_response(response)
            if self._has_receipt:
                stored = response_for(self.request, response, stored, is_whole=self.is_whole)
        return Settle(
            reservation_id=reserve.reservation_id,
            account=reserve.account,
            now_ms=self._meter.now_ms(),
            actual_wei=min(actual_wei, MAX_AMOUNT_WEI),
            outcome=self._outcome(response, f"price: {problem}" if problem else ""),
            response=stored,
        )

    def _settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> list[tuple[str, str]]:
        metrics = self._meter.metrics
        if self._plan is None:
            metrics.redeemed(self.metering.api, settle.outcome.duration_ms)
            return [cost_field(0)]
        metrics.settled(self.metering.api, reply.charged_wei, settle.outcome.duration_ms, reply.uncollected_wei)
        self._meter.watcher.settled(self._plan, reserve, reply)
        if reply.uncollected_wei:
            _log.warning(
                "%s cost %d wei more than %s had", settle.reservation_id, reply.uncollected_wei, reserve.consumer
            )
        if len(reply.counts) == len(self._counts):
            self._counts = tuple([count for _, count in reply.counts])
        return [*self.start_fields(), cost_field(reply.charged_wei)]

    def _without_this(self) -> list[tuple[str, str]]:
        """The fields as they are once the reservation is released."""
        if self._plan is not None:
            steps = [1 if check.unit == "calls" else self._estimate_wei for check in self._plan.checks]
            self._counts = tuple([count - step for count, step in zip(self._counts, steps, strict=True)])
        return self.start_fields()

    def _outcome(self, response: MeteredResponse, error: str = "") -> Outcome:
        if error:
            self._meter.metrics.price_failed(self.metering.api)
        outcome = Outcome(
            response.status, response.duration_ms or self._duration_ms(), response.body_bytes, error, self._tags_text()
        )
        cut = self._meter.audited_bytes
        if not cut:
            return outcome
        sent, body = self.request.body, response.body
        return outcome._replace(
            request_body=sent[:cut] if sent else None,
            response_body=body[:cut] if body else None,
        )

    def _duration_ms(self) -> int:
        return max(0, self._meter.now_ms() - self.request.at_ms)

    def _tags_text(self) -> str:
        if not self._tags:
            return ""
        text = json.dumps(self._tags, separators=(",", ":"), ensure_ascii=False, default=str)
        return text if len(text) <= _MAX_TAGS else json.dumps({"too_long": len(text)})


def unavailable(error: StoreUnavailable) -> Refusal:
    """What is answered when nothing can be metered; of the store nobody outside need know more."""
    return Refusal("meter_unavailable", str(error) if isinstance(error, CreditUnavailable) else "")


def _name_of(error: BaseException | None) -> str:
    return "" if error is None else type(error).__name__
