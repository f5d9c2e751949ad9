"""One metered request, from its arrival to its settlement, for whatever framework.

An adapter drives three steps and does the rest of its framework's business between them:

    begin    who pays, may it be served: reserve. The answer is what to send instead of serving, or None.
    finish   it was served: price it and settle. The answer is header fields. Never raises.
    abort    it was not served: release. A plain call that does not wait.

``begin`` and ``finish`` wait in a thread, ``abegin`` and ``afinish`` in a coroutine; the flow of both is one.

A response that goes out while it is made is charged at its end. In a session nothing is collected beyond what is set
aside: there each piece is paid for before it goes out (``outgrows``, ``cover``), or the response ends before it.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Literal

from api_billing.metering.errors import MeterError, NotAllowed, StoreUnavailable
from api_billing.metering.ledger.operations import (
    MAX_AMOUNT_WEI,
    NotReserved,
    Outcome,
    Release,
    Reserve,
    Reserved,
    Settle,
    Settled,
)
from api_billing.metering.limits.checks import Amount
from api_billing.metering.limits.plan import Fields
from api_billing.metering.observing.watching import Step
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, cost_field, renamed
from api_billing.metering.request.keeper import settled_again
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.payers import payer_of
from api_billing.metering.request.prices import Priced, fallback_wei
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.refusing import refused, unmetered_or_refused
from api_billing.metering.request.running import IN_COROUTINE, IN_THREAD, Gone, Running
from api_billing.metering.request.tags import tags_text
from api_billing.metering.stores.steps import Steps, arun, run

_log = logging.getLogger("api_billing.metering")
_current: ContextVar[Exchange | None] = ContextVar("api_billing_exchange", default=None)


def current_exchange() -> Exchange | None:
    """The metered request that is being served in this thread or task, None when there is none."""
    return _current.get()


class Exchange:
    """One request on its way. Not thread-safe: one thread or task at a time, which need not be the same one."""

    __slots__ = (
        "_ended",
        "_meter",
        "_payer",
        "_reserve",
        "_running",
        "_seen",
        "_why_cut",
        "is_bounded",
        "is_whole",
        "keeps_body",
        "metering",
        "refusal",
        "request",
        "serving_ms",
    )

    def __init__(self, metering: Metering, request: MeteredRequest, payer: Payer | None = None) -> None:
        self.metering = metering
        self.request = request
        self.serving_ms = 0  # when ``begin`` let the application serve it
        self.is_whole = True  # an adapter says when the response was cut off; it is not when it was given up
        self.keeps_body = 0  # how many bytes of the response's body ``finish`` wants to see
        self.refusal: NotAllowed | None = None  # why it ought not to be served, and is (``on_refusal``): may be raised
        self.is_bounded = False  # nothing is collected beyond what is set aside: ask before each piece of a stream
        self._meter = metering.meter
        self._payer = payer or payer_of(metering, request)
        self._reserve: Reserve | None = None  # while it has to be settled or released
        self._running = Running(self._payer)
        self._why_cut = ""
        self._ended = False
        self._seen: Step | None = None  # its first step, where anybody watches

    # --- for the application

    @property
    def consumer(self) -> str:
        """Who is asking; empty before ``begin``, and when it is not known."""
        return self._payer.consumer

    @property
    def reservation_id(self) -> str:
        """The id of the reservation, and later of the record; empty when nothing is reserved."""
        return self._reserve.reservation_id if self._reserve is not None else ""

    def set_cost_wei(self, cost_wei: Amount) -> None:
        """Charge this, instead of what the price says. Raises: InvalidSetting for an amount that is none."""
        self._running.cost_wei = self.metering.meter.amount("the cost", cost_wei)
        self._tell_late("set_cost_wei")

    def extend(self, more_wei: Amount) -> None:
        """It costs so much more than its price says: for what is found out while a response goes out, before its next
        piece. That piece goes out when the sum is set aside; where that cannot be had, the response ends before it.

        Does not wait, in threads and coroutines alike. Raises: InvalidSetting for an amount that is none.
        """
        self._running.extended_wei += self.metering.meter.amount("what it costs more", more_wei)
        self._tell_late("extend")

    def tag(self, **values: str | int | bool | None) -> None:
        """Keep something with the request's record, to find it again: ``tag(model="small", tokens=12)``."""
        self._payer.tags.update(values)
        self._tell_late("tag")

    def _tell_late(self, what: str) -> None:
        """Log what comes when it is settled; not where the response was cut off or given up, which clients do."""
        if self._ended and self.is_whole:
            message = "%s has no effect on %.20r %.200r, which is settled: charge what comes later with meter.charge"
            values = (what, self.request.method, self.request.route)
            self._meter.seldom.log(_log, logging.WARNING, message, *values, kind=what)

    # --- for adapters

    def begin(self) -> Answer | None:
        """Identify and reserve. The answer is a refusal or a replayed response; None: serve it, then finish or
        abort.
        """
        return run(self.begin_steps(), self._meter.store.call)

    def abegin(self) -> Coroutine[Any, Any, Answer | None]:
        """The same in a coroutine."""
        return arun(self.begin_steps(), self._meter.store.acall)

    def finish(self, response: MeteredResponse) -> Fields:
        """Price the response and settle; or release, when its status is free. The answer is all header fields.

        Never raises. When the store does not answer, the settlement is repeated in the background.
        """
        return run(self.finish_steps(response), self._meter.store.call)

    def afinish(self, response: MeteredResponse) -> Coroutine[Any, Any, Fields]:
        """The same in a coroutine."""
        return arun(self.finish_steps(response), self._meter.store.acall)

    def abort(self, error: BaseException | None = None, status: int = 0, *, begun: bool = False) -> None:
        """Release what is reserved: the handler raised, or nobody waits for the response. Idempotent; does not wait.

        Of a response that has ``begun`` the client may have been told what it costs, and goes on from there: so does
        the meter.
        """
        watch = self._meter.watch
        if watch is None or self._reserve is None:
            self._abort(error, status, begun=begun)
            return
        step = self._step("settle", status)
        with watch.watched(step, lambda: self._has_ended(step)):
            self._abort(error, status, begun=begun)

    def _abort(self, error: BaseException | None, status: int, *, begun: bool) -> None:
        reserve, told_wei = self._take(), self._payer.told_wei
        if reserve is not None:
            self.is_whole = False
            name = "" if error is None else type(error).__name__
            outcome = Outcome(status, self.duration_ms(), 0, name, tags_text(self._payer.tags))
            if begun and told_wei is not None:
                self._meter.keeper.ended(reserve.reservation_id)
                now_ms = self._meter.now_ms()
                self._meter.post(Settle(reserve.reservation_id, reserve.account, now_ms, told_wei, outcome))
                self._meter.metrics.settled(self.metering.api, told_wei, outcome.duration_ms)
            else:
                self._release(reserve, outcome)
            self.request.let_go()

    def start_fields(self, status: int = 200, length: int | None = None) -> Fields:
        """Header fields of a response that begins before it is settled, of a body of this length, if that is known."""
        if self._ended:
            return []  # other terms hold, further in
        if length is not None and self.refusal is None:
            self._running.tell(status, length)
        fields = self._payer.begun_fields(status) if self.refusal is None else self._payer.fields()
        return renamed(fields, self._meter.field_names) if self._meter.field_names else fields

    def duration_ms(self) -> int:
        """How long ago the request came in, without the time that it waited for a voucher."""
        return self._running.duration_ms()

    def outgrows(self, body_bytes: int) -> bool:
        """Whether with so many bytes of its body a stream costs more than is set aside. Asked when ``is_bounded``."""
        return self._running.outgrows(body_bytes)

    def cover(self, body_bytes: int, *, waits: bool = False) -> bool:
        """Have more set aside for a stream that outgrows what is; with ``waits`` as soon as another request has brought
        a voucher for it, for some seconds and where not many wait. False: there is no more. Never raises.
        """
        patience = IN_THREAD if waits else None
        return run(self._running.cover(self._reserve, body_bytes, patience), self._meter.store.call)

    def acover(self, body_bytes: int, *, waits: bool = False, gone: Gone | None = None) -> Coroutine[Any, Any, bool]:
        """The same in a coroutine, which waits up to a minute, but not when ``gone`` says that nobody is there to bring
        one.
        """
        patience = IN_COROUTINE if waits else None
        return arun(self._running.cover(self._reserve, body_bytes, patience, gone), self._meter.store.acall)

    @property
    def speaks(self) -> str:
        """The payment protocol that it was paid by at the door: ``x402``, ``mpp``; empty without one."""
        return self._payer.speaks

    @property
    def tells_in_events(self) -> bool:
        """Whether the client understands events about its payment, in a stream of events, and trailers."""
        return self._payer.speaks == "mpp"

    def need_voucher(self) -> Mapping[str, Any] | None:
        """What an event says that asks for a voucher; None when none would help."""
        return self._running.need_voucher()

    def receipt(self) -> Mapping[str, Any] | None:
        """What an event says of what a stream has cost that is settled; None: nothing."""
        return self._payer.receipt_event()

    def cut(self, why: str = "") -> None:
        """The response ends before it is whole. What the application said of a piece that was not paid for is void."""
        self.is_whole = False
        self._why_cut = why
        if self.is_bounded:
            self._running.cut()

    # --- begin

    def begin_steps(self) -> Steps[Answer | None]:
        """The flow of ``begin``."""
        watch = self._meter.watch
        if not self._meter.is_on:
            return self._pass()
        if watch is None:
            return self._begin()
        self._seen = self._step("reserve")
        return watch.steps(self._seen, self._begin(), self._has_begun)

    def _pass(self) -> Steps[Answer | None]:
        yield from ()
        self._meter.metrics.unmetered(self.metering.api)
        self._is_served()
        return None

    def _is_served(self) -> None:
        self.serving_ms = self._meter.now_ms()
        self.request.is_begun = True
        if self._payer.is_request:
            _current.set(self)

    def _begin(self) -> Steps[Answer | None]:
        meter, payer = self._meter, self._payer
        try:
            reply = yield from payer.reserve()
        except GeneratorExit:
            # Nobody waits for the answer any more; what was or will be reserved is given back, in this order.
            if payer.is_unanswered:
                meter.post(payer.undo("cancelled"))
            raise
        except StoreUnavailable as error:
            if payer.is_unanswered:
                meter.keeper.repeat(payer.undo("store"))
            answer = unmetered_or_refused(payer, error)
        else:
            answer = None if type(reply) is Reserved else payer.answer(reply)
            if answer is None and (reserve := payer.reservation) is not None:
                self._reserve = reserve
                self._running.begin(reserve.estimate_wei)
                self.is_bounded = reserve.session is not None
                stored_bytes = meter.settings.max_stored_bytes if reserve.claim is not None else 0
                self.keeps_body = max(stored_bytes, meter.audited_bytes)
                meter.keeper.opened(reserve.reservation_id, reserve.expires_ms)
        if answer is not None and payer.refused is not None:
            answer = yield from self._refused(payer.refused, answer)
        if answer is None:
            self._is_served()
        return answer

    def _refused(self, refusal: Refusal, answer: Answer) -> Steps[Answer | None]:
        """What is answered, and who is told before; None: it is served all the same."""
        metering = self.metering
        if metering.on_refusal == "answer" and metering.on_breach is None:
            return answer
        error = yield from refused(self._payer, refusal, answer)
        if metering.on_refusal != "pass":
            return Answer(*error.answer)
        self.refusal = error
        return None

    # --- finish

    def finish_steps(self, response: MeteredResponse) -> Steps[Fields]:
        """The flow of ``finish``."""
        watch, names = self._meter.watch, self._meter.field_names
        steps = self._finish(response) if not names else self._finish_renamed(response, names)
        if watch is None or self._reserve is None:
            return steps
        return watch.steps(self._step("settle", response.status), steps, lambda step, _: self._has_ended(step))

    def _finish_renamed(self, response: MeteredResponse, names: Mapping[str, str]) -> Steps[Fields]:
        return renamed((yield from self._finish(response)), names)

    def _finish(self, response: MeteredResponse) -> Steps[Fields]:
        reserve = self._take()
        if reserve is None:
            self.request.let_go()
            return [] if self.refusal is None else [*self._payer.fields(), cost_field(0)]
        meter, payer, running = self._meter, self._payer, self._running
        settle: Settle | None = None
        priced: Priced | None = None
        try:
            if response.status in meter.free_statuses:
                self._release(reserve, self._outcome(response, meter.now_ms()))
                return payer.released()
            cost_wei, more_wei = running.cost_wei, running.extended_wei
            is_told = payer.told_wei is not None
            priced = (yield from payer.price(response)) if cost_wei is None or is_told else Priced(cost_wei)
            if more_wei and not is_told:
                priced = priced._replace(wei=priced.wei + more_wei)
                yield from running.reserve_more(reserve, min(priced.wei, reserve.estimate_wei + more_wei))
            if running.held_wei > reserve.estimate_wei:
                reserve = replace(reserve, estimate_wei=running.held_wei)  # what is reserved again, should it be lost
            uncounted = () if self.metering.count_when is None else (yield from payer.uncounted(response))
            settle = self._settlement(reserve, response, priced, uncounted)
            reply: Settled | NotReserved = yield settle
            if type(reply) is not Settled:
                reply = yield from settled_again(settle, reserve, reply)
        except GeneratorExit:
            # Cancelled: it was served, so it is charged. Nobody sees the reply, so the keeper asks for it.
            if settle is None:
                if priced is None:
                    fallback = fallback_wei(payer.estimate_wei, meter.settings.fallback_percent)
                    priced = Priced(fallback, "cancelled")
                settle = self._settlement(reserve, response, priced)
                meter.post(settle)
            meter.keeper.repeat(settle, reserve)
            raise
        except MeterError as error:
            assert settle is not None
            meter.seldom.log(_log, logging.WARNING, "%s is settled later: %s", settle.reservation_id, error)
            meter.keeper.repeat(settle, reserve)
            if payer.told_wei is None:
                payer.told_wei = min(settle.actual_wei or 0, running.held_wei)
            return payer.begun_fields(response.status)
        finally:
            meter.keeper.ended(reserve.reservation_id)
            self.request.let_go()
        if not isinstance(reply, Settled):
            _log.error("%s was served, but could not be settled: it is %s", settle.reservation_id, reply.state)
            return payer.fields()
        return payer.settled(reserve, settle, reply)

    # --- for those who watch

    def _step(self, name: Literal["reserve", "settle"], status: int = 0) -> Step:
        request = self.request
        step = Step(name, self.metering.api, request.method, request.route, request.request_id)
        step.consumer, step.status = self.consumer, status
        step.record_id = self._reserve.reservation_id if self._reserve is not None else ""
        if self._seen is not None:
            step.parent = self._seen.parent
        return step

    def _has_begun(self, step: Step, answer: Answer | None) -> None:
        step.consumer = self.consumer
        step.duration_ms = self.duration_ms()
        step.record_id = self._reserve.reservation_id if self._reserve is not None else step.record_id
        step.outcome = step.outcome or ("reserved" if answer is None else "answered")
        step.status = 0 if answer is None else answer.status

    def _has_ended(self, step: Step) -> None:
        step.outcome = step.outcome or "unsettled"
        step.duration_ms = self.duration_ms() if step.duration_ms is None else step.duration_ms

    def _take(self) -> Reserve | None:
        reserve, self._reserve = self._reserve, None
        if self._ended:
            return None
        self._ended = True
        self.is_bounded = False
        if _current.get() is self:
            _current.set(None)
        return reserve

    def _release(self, reserve: Reserve, outcome: Outcome) -> None:
        self._meter.keeper.ended(reserve.reservation_id)
        self._meter.post(Release(reserve.reservation_id, reserve.account, self._meter.now_ms(), outcome))
        self._meter.metrics.released(self.metering.api)

    def _settlement(
        self, reserve: Reserve, response: MeteredResponse, priced: Priced, uncounted: tuple[int, ...] = ()
    ) -> Settle:
        if priced.problem:
            self._meter.metrics.price_failed(self.metering.api)
        now_ms = self._meter.now_ms()
        return Settle(
            reservation_id=reserve.reservation_id,
            account=reserve.account,
            now_ms=now_ms,
            actual_wei=min(priced.wei, MAX_AMOUNT_WEI),
            outcome=self._outcome(response, now_ms, f"price: {priced.problem}" if priced.problem else self._why_cut),
            response=self._payer.stored(response, is_whole=self.is_whole) if reserve.claim is not None else None,
            uncounted=uncounted,
        )

    def _outcome(self, response: MeteredResponse, now_ms: int, error: str = "") -> Outcome:
        request_body: bytes | None = None
        response_body: bytes | None = None
        if cut := self._meter.audited_bytes:
            request_body = (self.request.body or b"")[:cut] or None
            response_body = (response.body or b"")[:cut] or None
        tags = tags_text(self._payer.tags)
        duration_ms = response.duration_ms or max(0, now_ms - self.request.at_ms)
        return Outcome(response.status, duration_ms, response.body_bytes, error, tags, request_body, response_body)
