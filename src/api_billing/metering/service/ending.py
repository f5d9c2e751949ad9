"""Ending a reservation over HTTP: settle, release, extend. Each may be repeated, and has the first answer then.

When the store does not answer, the service is told so (503) and asks again with the same id; nothing is done behind its
back. What nobody settles expires and costs nothing.
"""

from __future__ import annotations

from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import (
    Extend,
    GetRecord,
    NotReserved,
    Outcome,
    Record,
    Release,
    Released,
    Reserve,
    Settle,
    Settled,
)
from api_billing.metering.limits.scopes import is_of
from api_billing.metering.meter import Meter
from api_billing.metering.observing.watching import current_step
from api_billing.metering.request.claims import stored_response, used_up
from api_billing.metering.request.http import MeteredResponse, TextHeaders, cost_field, renamed
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.receipts import is_receipt_account
from api_billing.metering.service.bodies import (
    BalanceBody,
    ExtensionAnswer,
    ReleaseBody,
    ResponseBody,
    SettlementAnswer,
    SettlementBody,
)
from api_billing.metering.service.paying import LookingPayer, RemotePayer, payer_of, terms_of
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.service.reserving import OpenReservation, OpenReservations, fields_of
from api_billing.metering.stores.steps import Steps


def settle(
    meter: Meter, open_reservations: OpenReservations, reservation_id: str, body: SettlementBody, by_key: Extractor
) -> Steps[SettlementAnswer]:
    """Charge what serving cost; a status that is free is released. Raises: ServiceProblem."""
    given = _given(body.response, meter.settings.max_stored_bytes) if body.response is not None else None
    reservation = yield from _reservation(meter, open_reservations, reservation_id)
    # Without a contract a consumer may be called whatever it likes.
    has_receipt = bool(meter.settings.contract) and is_receipt_account(reservation.reserve.account)
    claims = "receipt" if has_receipt else "idempotency"
    response = stored_response(given, reservation.reserve.method, claims) if given is not None else None
    if has_receipt and response is None:
        response = used_up(claims)
    outcome = _outcome(body, max(0, meter.now_ms() - reservation.reserve.now_ms))
    if body.status in meter.free_statuses:
        return (yield from _release(meter, open_reservations, reservation, outcome))
    cost_wei = None if body.cost_wei is None else int(body.cost_wei)
    payer = yield from _paying(meter, by_key, reservation, body)
    if payer is not None and payer.speaks == "x402" and body.has_begun:
        cost_wei = None  # which is what it said
    made = reservation.reserve
    counted = () if body.counts else enumerate(made.checks)
    uncounted = tuple([index for index, check in counted if check.unit == "calls" and is_of(check)])
    reply: Settled | NotReserved = yield Settle(
        reservation_id, made.account, meter.now_ms(), cost_wei, outcome, body.units, response, uncounted
    )
    if not isinstance(reply, Settled):
        raise _ended(reply)
    open_reservations.forget(reservation_id)
    if not reply.repeated and has_receipt:
        meter.metrics.redeemed(reservation.reserve.api, outcome.duration_ms)
    elif not reply.repeated:
        meter.metrics.settled(reservation.reserve.api, reply.charged_wei, outcome.duration_ms, reply.uncollected_wei)
        if reservation.plan is not None:
            meter.watcher.settled(reservation.plan, reservation.reserve, reply)
    counts = tuple([count for _, count in reply.counts])
    fields = fields_of(reservation, counts, meter.now_ms(), reply.frees)
    receipts = payer.receipts(body.status, reply.channel, reply.charged_wei) if payer is not None else []
    return SettlementAnswer(
        id=reservation_id,
        state="settled",
        charged_wei=str(reply.charged_wei),
        uncollected_wei=str(reply.uncollected_wei),
        late=reply.late,
        repeated=reply.repeated,
        balance=BalanceBody.of(reply.balance),
        fields=dict(renamed([*fields, cost_field(reply.charged_wei), *receipts], meter.field_names)),
    )


def release(
    meter: Meter, open_reservations: OpenReservations, reservation_id: str, body: ReleaseBody
) -> Steps[SettlementAnswer]:
    """Undo the reservation. Raises: ServiceProblem."""
    reservation = yield from _reservation(meter, open_reservations, reservation_id)
    return (yield from _release(meter, open_reservations, reservation, Outcome(status=body.status, error=body.error)))


def extend(meter: Meter, reservation_id: str, seconds: int) -> Steps[ExtensionAnswer]:
    """Put off the expiry. Raises: ServiceProblem."""
    extended: int = yield Extend((reservation_id,), meter.now_ms() + seconds * 1000)
    if not extended:
        # Unknown, ended, or open for longer than that anyway.
        record: Record | None = yield GetRecord(reservation_id)
        if record is None or record.state != "reserved":
            raise _ended(NotReserved("unknown" if record is None else record.state))
    return ExtensionAnswer(id=reservation_id, expires_after_seconds=seconds)


def _release(
    meter: Meter, open_reservations: OpenReservations, reservation: OpenReservation, outcome: Outcome
) -> Steps[SettlementAnswer]:
    reservation_id = reservation.reserve.reservation_id
    reply: Released | NotReserved = yield Release(reservation_id, reservation.reserve.account, meter.now_ms(), outcome)
    if not isinstance(reply, Released):
        raise _ended(reply)
    open_reservations.forget(reservation_id)
    if not reply.repeated:
        meter.metrics.released(reservation.reserve.api)
    return SettlementAnswer(
        id=reservation_id,
        state="released",
        charged_wei="0",
        repeated=reply.repeated,
        balance=BalanceBody.of(reply.balance),
        fields=dict(renamed([cost_field(0)], meter.field_names)),
    )


def _paying(
    meter: Meter, by_key: Extractor, reservation: OpenReservation, body: SettlementBody
) -> Steps[RemotePayer | None]:
    """Who has paid for a reservation at the door; None where that cannot be told any more, or nobody has."""
    made = reservation.reserve
    if reservation.payer is not None or body.payment is None:
        return reservation.payer
    terms = terms_of(meter, made.api, str(made.estimate_wei), body.payment, by_key)
    payer = payer_of(LookingPayer, meter, terms, body.payment, made.now_ms, method=made.method)
    try:
        yield from payer.reserve()  # for who it is: whether it would pay now does not matter
    except MeterError:
        return None  # it is settled all the same
    return payer if payer.speaks and payer.consumer == made.consumer else None


def _outcome(body: SettlementBody, since_ms: int) -> Outcome:
    return Outcome(
        status=body.status,
        duration_ms=since_ms if body.duration_ms is None else body.duration_ms,
        response_bytes=body.response_bytes,
        error=body.error,
        tags=body.tags_text(),
    )


def _reservation(meter: Meter, open_reservations: OpenReservations, reservation_id: str) -> Steps[OpenReservation]:
    """The reservation, looked up when another process made it, and told to those who watch. Raises: ServiceProblem."""
    reservation = open_reservations.get(reservation_id)
    if reservation is None:
        reservation = yield from _looked_up(meter, reservation_id)
    if (step := current_step.get()) is not None:
        made = reservation.reserve
        step.api, step.consumer, step.method, step.route = made.api, made.consumer, made.method, made.route
        step.request_id = made.request_id or step.request_id
    return reservation


def _looked_up(meter: Meter, reservation_id: str) -> Steps[OpenReservation]:
    record: Record | None = yield GetRecord(reservation_id)
    if record is None:
        raise _ended(NotReserved("unknown"))
    profile = yield from meter.profiles.of(record.consumer)
    tier = (yield from meter.profiles.tier(record.tier)) if record.tier else None
    plan = None
    if profile is not None:
        plan = meter.plans.plan(profile, record.at_ms, api=record.api, operation=record.route, tier=tier)
    return OpenReservation(
        Reserve(
            reservation_id=reservation_id,
            now_ms=record.at_ms,
            expires_ms=record.at_ms + meter.reservation_ms,
            account=record.account,
            api=record.api,
            consumer=record.consumer,
            estimate_wei=record.estimate_wei,
            units=record.units,
            checks=record.checks,
            tier=record.tier,
            method=record.method,
            route=record.route,
            request_id=record.request_id,
        ),
        plan,
    )


def _ended(reply: NotReserved) -> ServiceProblem:
    if reply.state == "unknown":
        return ServiceProblem("unknown_reservation", "There is no reservation of this id.")
    return ServiceProblem("reservation_ended", f"This reservation is {reply.state}.", state=reply.state)


def _given(response: ResponseBody, most_bytes: int) -> MeteredResponse:
    try:
        body = response.body()
    except ValueError:
        raise ServiceProblem("invalid_request", "body.response.body_base64: not base64") from None
    kept = body if len(body) <= most_bytes else None
    return MeteredResponse(response.status, TextHeaders(response.headers), body_bytes=len(body), body=kept)
