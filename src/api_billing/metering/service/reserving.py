"""Reserving over HTTP: the flow of ``Exchange.begin`` up to the reservation, which another request will end.

Two things differ. The service that asked is the one that serves: this process does not keep the reservation alive, so
that it expires when nobody settles, releases or extends it. And the id may be the service's own, so that a request
whose answer was lost can be repeated; it must not be released in the background then, as it may be served by now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from api_billing.metering.errors import MeterError, StoreUnavailable
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import (
    Balance,
    Claim,
    Outcome,
    Refused,
    Release,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
)
from api_billing.metering.limits.plan import Plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import Exchange, unavailable
from api_billing.metering.request.identity import Extractor, Identity
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.receipts import Receipt, read_receipt
from api_billing.metering.service.access import bearer
from api_billing.metering.service.bodies import (
    BalanceBody,
    LimitBody,
    ReplayAnswer,
    ReservationAnswer,
    ReservationBody,
    ResponseBody,
)
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.stores.steps import Steps

CLOCKS_MS: Final = 60_000  # how far the clocks of a service and the meter may be apart
_TIME_DIGITS: Final = 10


class OpenReservation(NamedTuple):
    """What settling needs of a reservation. ``plan`` is None when the consumer is gone, or has a receipt."""

    reserve: Reserve
    plan: Plan | None


class OpenReservations:
    """Reservations that this process made and that are not ended, so that ending one needs no lookup. Bounded;
    thread-safe.
    """

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenReservation] = OrderedDict()

    def put(self, made: OpenReservation) -> None:
        """Remember a reservation; the oldest makes room."""
        with self._lock:
            self._open[made.reserve.reservation_id] = made
            if len(self._open) > self._size:
                self._open.popitem(last=False)

    def get(self, reservation_id: str) -> OpenReservation | None:
        """A reservation of this process."""
        return self._open.get(reservation_id)

    def forget(self, reservation_id: str) -> None:
        """It has ended."""
        with self._lock:
            self._open.pop(reservation_id, None)


def reserve(
    meter: Meter, asked: ReservationBody, by_key: Extractor, known: OpenReservations
) -> Steps[ReservationAnswer | ReplayAnswer | Answer]:
    """Reserve, or say why not: an ``Answer`` is a refusal, ready to be sent. Raises: ServiceProblem."""
    now_ms = meter.now_ms()
    _check_id(asked.id, now_ms)
    credential = asked.api_key.get_secret_value() if asked.api_key is not None else ""
    request = bearer(asked.method, asked.route, credential, now_ms, asked.request_id)
    name = asked.consumer
    metering = Metering(
        meter,
        asked.api,
        int(asked.estimate_wei),
        identify=by_key if name is None else lambda _: name,
        model=lambda _: asked.model,
        units=asked.units,
    )
    exchange = _RemoteExchange(metering, request, asked)
    refusal = yield from exchange.begin()
    if exchange.replay is not None:
        return ReplayAnswer(id=exchange.replay.reservation_id, response=ResponseBody.of(exchange.replay.response))
    if refusal is not None:
        return refusal
    assert exchange.made is not None
    known.put(exchange.made)
    return exchange.answer()


class _RemoteExchange(Exchange):
    __slots__ = ("_asked", "balance", "made", "replay")

    def __init__(self, metering: Metering, request: object, asked: ReservationBody) -> None:
        super().__init__(metering, request)  # type: ignore[arg-type]
        self._asked = asked
        self.balance = Balance()
        self.made: OpenReservation | None = None
        self.replay: Replay | None = None

    def answer(self) -> ReservationAnswer:
        """The reservation for JSON."""
        assert self.made is not None
        checks = self._plan.checks if self._plan is not None else ()
        limits = [
            LimitBody(
                name=check.name, unit=check.unit, limit=str(check.limit), used=str(count), renews_ms=check.ends_ms
            )
            for check, count in zip(checks, self._counts, strict=False)
            if check.limit is not None
        ]
        return ReservationAnswer(
            id=self.made.reserve.reservation_id,
            api=self.metering.api,
            consumer=self.consumer,
            estimate_wei=str(self._estimate_wei),
            expires_after_seconds=self._meter.reservation_ms // 1000,
            balance=BalanceBody.of(self.balance),
            limits=limits,
            fields=dict(self.start_fields()),
        )

    def start_fields(self) -> list[tuple[str, str]]:
        # A reservation that is repeated counts in the windows of its time, which may be others than now.
        if self._plan is None or len(self._counts) != len(self._plan.checks):
            return []
        return super().start_fields()

    def _read_claim(self) -> Steps[Refusal | None]:
        claim = self._asked.idempotency
        if claim is not None:
            self._claim = Claim(f"{self.metering.api}/{claim.key}", claim.fingerprint)
            self._claim_expires_ms = self.request.at_ms + self._meter.idempotency_ms
        yield from ()
        return None

    def _receipt(self) -> Receipt | Refusal | None:
        given = self._asked.receipt
        if given is None:
            return None
        if self._meter.on_chain is None:
            raise ServiceProblem("invalid_request", "body.receipt: this meter has no contract that gives receipts")
        return read_receipt(given.id)

    def _receipt_fingerprint(self) -> Steps[str | Refusal]:
        yield from ()
        assert self._asked.receipt is not None
        return self._asked.receipt.fingerprint

    def _ask(self, identity: Identity, profile: Profile) -> Steps[ReserveReply]:
        assert self._plan is not None
        made = self._reservation(self._plan, identity, profile)
        reply = yield from self._try(made)
        if isinstance(reply, Refused):
            self._counts = reply.counts
            self._meter.watcher.refused(self._plan, made, reply)
        return reply

    def _try(self, made: Reserve) -> Steps[ReserveReply]:
        made.durable = True
        chosen = self._asked.id
        if chosen is not None:
            made.reservation_id, made.fresh = chosen, False
        try:
            reply: ReserveReply = yield made
        except MeterError:
            if chosen is None:
                # Nobody knows its id, so nobody can end it.
                gone = Release(made.reservation_id, made.account, made.now_ms, Outcome(error="store"))
                self._meter.keeper.repeat(gone)
            raise
        if isinstance(reply, Reserved):
            self._counts, self.balance = reply.counts, reply.balance
            self.made = OpenReservation(made, self._plan)
        elif isinstance(reply, Refused):
            if reply.code == "reservation_ended":
                raise ServiceProblem("reservation_ended", "This id was reserved before, and has ended.")
        elif isinstance(reply, Replay):
            self.replay = reply
        return reply

    def _unavailable(self, error: StoreUnavailable) -> Answer | None:
        # Fail open is the service's to decide: only it can serve.
        self._meter.metrics.refused(self.metering.api, "meter_unavailable")
        return unavailable(error).answer()


def fields_of(made: OpenReservation, counts: tuple[int, ...], now_ms: int) -> list[tuple[str, str]]:
    """Header fields about the limits of a reservation's plan."""
    if made.plan is None or len(counts) != len(made.plan.checks):
        return []
    return made.plan.fields(counts, now_ms, made.reserve.estimate_wei)


def _check_id(chosen: str | None, now_ms: int) -> None:
    """Ids are in the order of time, which listings rely on."""
    if chosen is None:
        return
    earliest, latest = first_id(max(0, now_ms - CLOCKS_MS)), first_id(now_ms + CLOCKS_MS)
    if not earliest[:_TIME_DIGITS] <= chosen[:_TIME_DIGITS] <= latest[:_TIME_DIGITS]:
        raise ServiceProblem(
            "invalid_request", "body.id: the time of a ULID has to be now, by at most a minute: is the clock right?"
        )
