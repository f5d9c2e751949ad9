"""Reserving over HTTP: as ``Exchange.begin``, up to the reservation, which another request will end.

Two things differ. The service that asked is the one that serves: this process does not keep the reservation alive, so
that it expires when nobody settles, releases or extends it. And the id may be the service's own, so that a request
whose answer was lost can be repeated; it must not be released in the background then, as it may be served by now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from api_billing.contract_api import API_NAME
from api_billing.metering.errors import InvalidSetting, MeterError, StoreUnavailable
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import Claim, Refused, Replay, Reserve, Reserved
from api_billing.metering.limits.limits import Limit, limits_of
from api_billing.metering.limits.plan import WindowPlan
from api_billing.metering.meter import Meter
from api_billing.metering.request.credit_payer import CreditPayer
from api_billing.metering.request.http import renamed
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.problems import Answer, unavailable
from api_billing.metering.request.receipt_payer import ReceiptPayer
from api_billing.metering.request.receipts import read_receipt
from api_billing.metering.request.refusing import not_allowed, tell_breach
from api_billing.metering.service.access import bearer
from api_billing.metering.service.bodies import (
    AnsweredAnswer,
    BalanceBody,
    LimitBody,
    ReplayAnswer,
    ReservationAnswer,
    ReservationBody,
    ResponseBody,
)
from api_billing.metering.service.paying import RemotePayer, payer_of, terms_of
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.stores.steps import Steps

CLOCKS_MS: Final = 60_000  # how far the clocks of a service and the meter may be apart
_TIME_DIGITS: Final = 10


class OpenReservation(NamedTuple):
    """What settling needs of a reservation. ``plan`` is None when the consumer is gone, or has a receipt; ``payer`` of
    one that this process made for a payment.
    """

    reserve: Reserve
    plan: WindowPlan | None
    payer: RemotePayer | None = None


class OpenReservations:
    """Reservations that this process made and that are not ended, so that ending one needs no lookup. Bounded;
    thread-safe.
    """

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenReservation] = OrderedDict()

    def put(self, reservation: OpenReservation) -> None:
        """Remember a reservation; the oldest makes room."""
        with self._lock:
            self._open[reservation.reserve.reservation_id] = reservation
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
    meter: Meter, body: ReservationBody, by_key: Extractor, open_reservations: OpenReservations
) -> Steps[ReservationAnswer | ReplayAnswer | AnsweredAnswer | Answer]:
    """Reserve, or say why not: an ``Answer`` is a refusal, ready to be sent. Raises: ServiceProblem."""
    payer = _payer(meter, body, by_key)
    try:
        reply = yield from payer.reserve()
    except MeterError as error:
        if payer.is_unanswered and not payer.remote_id:
            # Nobody knows its id, so nobody can end it.
            meter.keeper.repeat(payer.undo("store"))
        if not isinstance(error, StoreUnavailable):
            raise
        # Fail open is the service's to decide: only it can serve.
        meter.metrics.refused(body.api, "meter_unavailable")
        return unavailable(error).answer()
    if isinstance(reply, Answer):
        return AnsweredAnswer(response=ResponseBody.of(reply))
    if isinstance(reply, Replay):
        meter.metrics.replayed(body.api)
        return ReplayAnswer(id=reply.reservation_id, response=ResponseBody.of(reply.response))
    if isinstance(reply, Refused) and reply.code == "reservation_ended":
        raise ServiceProblem("reservation_ended", "This id was reserved before, and has ended.")
    if not isinstance(reply, Reserved):
        answer = payer.answer(reply)
        if payer.refused is not None and meter.on_breach is not None:
            yield from tell_breach(payer, not_allowed(payer, payer.refused, answer))
        return answer
    assert payer.reservation is not None
    paying = payer if isinstance(payer, RemotePayer) and payer.speaks else None
    open_reservations.put(OpenReservation(payer.reservation, payer.plan, paying))
    return _answer(payer, payer.reservation, reply)


def _payer(meter: Meter, body: ReservationBody, by_key: Extractor) -> Payer:
    now_ms = meter.now_ms()
    _check_id(body.id, now_ms)
    if meter.settings.contract and not API_NAME.fullmatch(body.api):
        raise ServiceProblem("invalid_request", "body.api: on the contract no API can be called that")
    limits = _limits(meter, body.limits)
    if body.payment is not None:
        terms = terms_of(meter, body.api, body.estimate_wei, body.payment, by_key)
        terms = replace(
            terms,
            model=lambda _: body.model,
            operation=lambda _: body.operation,
            units=body.units,
            limits=limits,
        )
        said = {
            "method": body.method or "GET",
            "route": body.route,
            "request_id": body.request_id,
            "address": body.address,
        }
        paying = payer_of(RemotePayer, meter, terms, body.payment, now_ms, **said)
        paying.remote_id = body.id or ""
        return paying
    credential = body.api_key.get_secret_value() if body.api_key is not None else ""
    request = bearer(body.method, body.route, credential, now_ms, body.request_id, body.address)
    metering = Metering(
        meter,
        body.api,
        int(body.estimate_wei),
        identify=by_key if body.consumer is None else lambda _: body.consumer,
        model=lambda _: body.model,
        operation=lambda _: body.operation,
        units=body.units,
        limits=limits,
    )
    if body.receipt is not None:
        if meter.on_chain is None:
            raise ServiceProblem("invalid_request", "body.receipt: this meter has no contract that gives receipts")
        receipt = read_receipt(body.receipt.id)
        return ReceiptPayer(metering, request, receipt, body.id or "", body.receipt.fingerprint)
    claim = body.idempotency
    takes_keys = meter.settings.idempotency
    named = Claim.of_key(body.api, claim.key, claim.fingerprint) if claim is not None and takes_keys else None
    return CreditPayer(metering, request, body.id or "", named)


def _limits(meter: Meter, texts: Sequence[str]) -> tuple[Limit, ...]:
    try:
        limits = limits_of(texts, meter.currency)
        meter.check_limits(limits)
    except InvalidSetting as error:
        raise ServiceProblem("invalid_request", f"body.limits: {error}") from None
    return limits


def _answer(payer: Payer, reserve: Reserve, reply: Reserved) -> ReservationAnswer:
    plan, now_ms = payer.plan, reserve.now_ms
    checks = plan.checks if plan is not None else ()
    names = payer.metering.meter.field_names
    return ReservationAnswer(
        id=reserve.reservation_id,
        api=reserve.api,
        consumer=reserve.consumer,
        estimate_wei=str(reserve.estimate_wei),
        expires_after_seconds=payer.metering.meter.reservation_ms // 1000,
        balance=BalanceBody.of(reply.balance),
        limits=[
            LimitBody(
                name=check.name,
                unit=check.unit,
                limit=str(check.limit),
                used=str(count),
                renews_ms=plan.ends_ms(index, now_ms, reply.frees),
            )
            # A reservation that is repeated counts in the windows of its time, which may be others than now.
            for index, (check, count) in enumerate(zip(checks, reply.counts, strict=False))
            if check.limit is not None and plan is not None
        ],
        protocol=payer.speaks,
        fields=dict(renamed(payer.fields(), names)),
        begun_fields=dict(renamed(payer.begun_fields(), names)) if payer.speaks else {},
    )


def fields_of(
    reservation: OpenReservation, counts: tuple[int, ...], now_ms: int, frees: tuple[int, ...] = ()
) -> list[tuple[str, str]]:
    """Header fields about the limits of a reservation's plan."""
    if reservation.plan is None or len(counts) != len(reservation.plan.checks):
        return []
    return reservation.plan.fields(counts, now_ms, reservation.reserve.estimate_wei, frees)


def _check_id(chosen: str | None, now_ms: int) -> None:
    """Ids are in the order of time, which listings rely on."""
    if chosen is None:
        return
    earliest, latest = first_id(max(0, now_ms - CLOCKS_MS)), first_id(now_ms + CLOCKS_MS)
    if not earliest[:_TIME_DIGITS] <= chosen[:_TIME_DIGITS] <= latest[:_TIME_DIGITS]:
        raise ServiceProblem(
            "invalid_request", "body.id: the time of a ULID has to be now, by at most a minute: is the clock right?"
        )
