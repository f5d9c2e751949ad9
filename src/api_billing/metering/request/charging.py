"""Charging without a request: for jobs, queues, messages of a websocket. Limits, budgets, keys and records are as else.

Something that is no request has an exchange of its own, which no handler sees as its current one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import (
    Balance,
    Claim,
    ClaimInProgress,
    NotReserved,
    ReadBalance,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
    Settle,
    Settled,
    StoredResponse,
)
from api_billing.metering.limits.checks import Amount
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.claims import MAX_KEY_LENGTH, fingerprint
from api_billing.metering.request.credit_payer import CreditPayer
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.identity import Identity, consumer_name
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.receipt_payer import pauses
from api_billing.metering.request.refusing import left_of, not_allowed, refused
from api_billing.metering.stores.steps import Pause, Steps, arun, run

_NO_FIELDS: Final = TextHeaders(())
_DONE: Final = Answer(200, (), b"")
# Longer than those of requests: a queue repeats a job after a weekend, and a run of invoices after a month.
_KEY_KEPT_MS: Final = 400 * DAY_MS
_WAITS_SECONDS: Final = 5.0  # for another charge with the same key


class Charged(NamedTuple):
    """What was charged: ``record_id`` finds its record. ``free_wei`` is the credit left then, ``remaining`` how many
    such calls the tightest limit leaves (None: there is none), which renews at ``renews_ms``.

    ``is_repeated``: the key was charged before, and nothing now. ``is_settled`` is False when the store did not answer:
    it is settled in the background, once. With ``fail_open`` nothing may be charged at all: then there is no record.
    """

    charged_wei: int
    record_id: str
    free_wei: int | None = None
    remaining: int | None = None
    renews_ms: int | None = None
    uncollected_wei: int = 0
    is_repeated: bool = False
    is_settled: bool = True


class _JobPayer(CreditPayer):
    """The credit of a consumer who is named. ``replay`` is what was done before with the same key, ``reply`` what the
    store said at the end.
    """

    is_request = False

    __slots__ = ("_name", "_replays", "replay", "reply")

    def __init__(
        self, metering: Metering, request: MeteredRequest, consumer: str, claim: Claim | None, *, replays: bool
    ) -> None:
        super().__init__(metering, request, claim=claim)
        self.claim_expires_ms = request.at_ms + _KEY_KEPT_MS
        self._name = consumer
        self._replays = replays
        self.replay: Replay | None = None
        self.reply: Settled | None = None

    def identify(self) -> Steps[Identity | Refusal]:
        yield from ()
        return Identity(self._name)

    def reserve(self) -> Steps[ReserveReply | Refusal | Answer]:
        reply = yield from super().reserve()
        # Another charge is made in a moment; what a reservation is for may take hours.
        for pause in pauses(_WAITS_SECONDS if self._replays else 0):
            if not isinstance(reply, ClaimInProgress):
                break
            yield Pause(pause)
            reply = yield from super().reserve()
        return reply

    def answer(self, reply: ReserveReply | Refusal | Answer) -> Answer:
        if not isinstance(reply, Replay):
            return super().answer(reply)
        if not self._replays:
            return self.refuse(
                Refusal("idempotency_used", "A reservation with this idempotency key was charged before.")
            )
        self.replay = reply
        self.metering.meter.metrics.replayed(self.metering.api)
        return _DONE

    def stored(self, response: MeteredResponse, *, is_whole: bool) -> StoredResponse:
        return StoredResponse(*_DONE)

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        self.reply = reply
        return super().settled(reserve, settle, reply)


class Job(Exchange):
    """The exchange of something that is no request."""

    __slots__ = ("_is_entered", "_job")

    def __init__(self, metering: Metering, request: MeteredRequest, payer: _JobPayer) -> None:
        super().__init__(metering, request, payer)
        self._job = payer
        self._is_entered = False

    def reserve_steps(self) -> Steps[None]:
        """Set the estimate aside. Raises: NotAllowed; RuntimeError when it has been before."""
        if self._is_entered:
            raise RuntimeError("a reservation is entered once: make another one")
        self._is_entered = True
        answer = yield from self.begin_steps()
        refused = self._job.refused
        if answer is not None and refused is not None:
            raise not_allowed(self._job, refused, answer)

    def check_open(self) -> None:
        """Raises: RuntimeError before it is entered, and when it has been left, settled or released."""
        if self._ended:
            raise RuntimeError("the reservation has been left")
        if not self._is_entered:
            raise RuntimeError("the reservation has not been entered yet: with meter.reservation(…) as job:")

    def more_steps(self, more_wei: Amount) -> Steps[None]:
        """Set more aside. Raises: NotAllowed; StoreUnavailable, when it is not known whether it is."""
        reserve, running, job = self._reserve, self._running, self._job
        more_wei = self._meter.amount("what it costs more", more_wei)
        self.check_open()
        if reserve is None:
            return  # served without being metered
        reply: Reserved | NotReserved | Any = yield from running.set_aside(reserve, running.held_wei + more_wei)
        if isinstance(reply, Reserved):
            return
        held_wei, job.estimate_wei = job.estimate_wei, more_wei  # which is what is refused
        refusal = Refusal("meter_unavailable") if isinstance(reply, NotReserved) else job.refusal(reply)
        error = yield from refused(job, refusal, job.refuse(refusal))
        job.estimate_wei = held_wei
        raise error

    def settle_steps(self) -> Steps[Charged]:
        """Charge what it cost: what is set aside, when nothing else was said."""
        running, job, record_id = self._running, self._job, self.reservation_id
        if job.replay is not None:
            balance: Balance = yield ReadBalance(self._meter.account_of(self.metering.api, job.consumer))
            return Charged(job.estimate_wei, job.replay.reservation_id, balance.free_wei, is_repeated=True)
        if running.cost_wei is None:
            running.cost_wei = running.held_wei
        yield from self.finish_steps(MeteredResponse(0, _NO_FIELDS))
        reply = job.reply
        if reply is None:
            return Charged(running.cost_wei if record_id else 0, record_id, is_settled=False)
        remaining, renews_ms = left_of(job)
        free_wei, uncollected_wei = reply.balance.free_wei, reply.uncollected_wei
        return Charged(reply.charged_wei, record_id, free_wei, remaining, renews_ms, uncollected_wei)


class Reservation:
    """Credit that is set aside for something that is no request, from entering it to leaving it.

    Left normally, what it cost is charged: what is set aside, unless ``settle`` has said otherwise. Left by an
    exception, it is released and costs nothing. Several threads, or several tasks, may extend one; else it is not
    thread-safe. ``charged`` is what was, once it is left.
    """

    def __init__(self, job: Job) -> None:
        self._exchange = job
        self._thread_extends = threading.Lock()
        self._task_extends = asyncio.Lock()
        self.charged: Charged | None = None

    @property
    def consumer(self) -> str:
        """Who pays."""
        return self._exchange.consumer

    @property
    def record_id(self) -> str:
        """The id of its record; empty before it is entered and after it is left."""
        return self._exchange.reservation_id

    def settle(self, cost_wei: Amount) -> None:
        """Charge this when it is left, in place of what is set aside. Raises: InvalidSetting for an amount that is
        none; RuntimeError before it is entered, and once it is left.
        """
        self._exchange.check_open()
        self._exchange.set_cost_wei(cost_wei)

    def extend(self, more_wei: Amount) -> None:
        """Set so much more aside, now. Raises: NotAllowed; StoreUnavailable, when it is not known whether it is;
        InvalidSetting for an amount that is none.
        """
        with self._thread_extends:
            run(self._exchange.more_steps(more_wei), self._exchange.metering.meter.store.call)

    async def aextend(self, more_wei: Amount) -> None:
        """The same in a coroutine."""
        async with self._task_extends:
            await arun(self._exchange.more_steps(more_wei), self._exchange.metering.meter.store.acall)

    def tag(self, **values: str | int | bool | None) -> None:
        """Keep something with its record."""
        self._exchange.tag(**values)

    def __enter__(self) -> Self:
        run(self._exchange.reserve_steps(), self._exchange.metering.meter.store.call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._exchange.abort(error)
            return
        self.charged = run(self._exchange.settle_steps(), self._exchange.metering.meter.store.call)

    async def __aenter__(self) -> Self:
        await arun(self._exchange.reserve_steps(), self._exchange.metering.meter.store.acall)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._exchange.abort(error)
            return
        self.charged = await arun(self._exchange.settle_steps(), self._exchange.metering.meter.store.acall)


def job_of(
    metering: Metering, consumer: str, idempotency_key: str, tags: Mapping[str, Any] | None, *, replays: bool
) -> Job:
    """The exchange of something that is no request, on these terms. With ``replays`` a key that is used was done."""
    consumer = consumer_name(consumer)
    operation = str(metering.operation or "charge")
    request = MeteredRequest("", operation, _NO_FIELDS, at_ms=metering.meter.now_ms(), body=b"")
    claim: Claim | None = None
    if idempotency_key:
        if (
            type(idempotency_key) is not str
            or len(idempotency_key) > MAX_KEY_LENGTH
            or not idempotency_key.isprintable()
        ):
            raise InvalidSetting(
                f"an idempotency key has at most {MAX_KEY_LENGTH} printable characters, not {idempotency_key!a:.80}"
            )
        asked = fingerprint("charge" if replays else "reserve", operation, b"", str(metering.estimate_wei).encode())
        claim = Claim.of_charge(metering.api, idempotency_key, asked)
    payer = _JobPayer(metering, request, consumer, claim, replays=replays)
    payer.tags.update(tags or {})
    return Job(metering, request, payer)


def charge_steps(job: Job) -> Steps[Charged]:
    """Set the amount aside and charge it. Raises: NotAllowed."""
    yield from job.reserve_steps()
    return (yield from job.settle_steps())
