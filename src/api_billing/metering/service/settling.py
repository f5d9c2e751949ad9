"""Ending a reservation over HTTP: settle, release, extend. Each may be repeated, and has the first answer then.

When the store does not answer, the service is told so (503) and asks again with the same id; nothing is done behind its
back. What nobody settles expires and costs nothing.
"""

from __future__ import annotations

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
    StoredResponse,
)
from api_billing.metering.meter import Meter
from api_billing.metering.request.claims import stored_response
from api_billing.metering.request.http import MeteredResponse, TextHeaders, cost_field
from api_billing.metering.request.receipt_payer import used_up
from api_billing.metering.request.receipts import is_receipt_account
from api_billing.metering.service.bodies import (
    BalanceBody,
    ExtensionAnswer,
    ReleaseBody,
    ResponseBody,
    SettlementAnswer,
    SettlementBody,
)
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.service.reserving import OpenReservation, OpenReservations, fields_of
from api_billing.metering.stores.steps import Steps


def settle(
    meter: Meter, known: OpenReservations, reservation_id: str, asked: SettlementBody
) -> Steps[SettlementAnswer]:
    """Charge what serving cost; a status that is free is released. Raises: ServiceProblem."""
    response = _kept(asked.response, meter.settings.max_stored_bytes) if asked.response is not None else None
    made = yield from _found(meter, known, reservation_id)
    has_receipt = is_receipt_account(made.reserve.account)
    if has_receipt and response is None:
        response = used_up()
    outcome = _outcome(asked, max(0, meter.now_ms() - made.reserve.now_ms))
    if meter.is_free(asked.status):
        return (yield from _release(meter, known, made, outcome))
    cost_wei = made.reserve.estimate_wei if asked.cost_wei is None else int(asked.cost_wei)
    settlement = Settle(
        reservation_id, made.reserve.account, meter.now_ms(), cost_wei, outcome, asked.units, response=response
    )
    reply: Settled | NotReserved = yield settlement
    if not isinstance(reply, Settled):
        raise _ended(reply)
    known.forget(reservation_id)
    if not reply.repeated and has_receipt:
        meter.metrics.redeemed(made.reserve.api, outcome.duration_ms)
    elif not reply.repeated:
        meter.metrics.settled(made.reserve.api, reply.charged_wei, outcome.duration_ms, reply.uncollected_wei)
        if made.plan is not None:
            meter.watcher.settled(made.plan, made.reserve, reply)
    counts = tuple([count for _, count in reply.counts])
    return SettlementAnswer(
        id=reservation_id,
        state="settled",
        charged_wei=str(reply.charged_wei),
        uncollected_wei=str(reply.uncollected_wei),
        late=reply.late,
        repeated=reply.repeated,
        balance=BalanceBody.of(reply.balance),
        fields=dict([*fields_of(made, counts, meter.now_ms()), cost_field(reply.charged_wei)]),
    )


def release(meter: Meter, known: OpenReservations, reservation_id: str, asked: ReleaseBody) -> Steps[SettlementAnswer]:
    """Undo the reservation. Raises: ServiceProblem."""
    made = yield from _found(meter, known, reservation_id)
    return (yield from _release(meter, known, made, Outcome(status=asked.status, error=asked.error)))


def extend(meter: Meter, reservation_id: str, seconds: int) -> Steps[ExtensionAnswer]:
    """Put off the expiry. Raises: ServiceProblem."""
    extended: int = yield Extend((reservation_id,), meter.now_ms() + seconds * 1000)
    if not extended:
        # Unknown, ended, or open for longer than that anyway.
        record: Record | None = yield GetRecord(reservation_id)
        if record is None or record.state != "reserved":
            raise _ended(NotReserved("unknown" if record is None else record.state))
    return ExtensionAnswer(id=reservation_id, expires_after_seconds=seconds)


def _release(meter: Meter, known: OpenReservations, made: OpenReservation, outcome: Outcome) -> Steps[SettlementAnswer]:
    reservation_id = made.reserve.reservation_id
    reply: Released | NotReserved = yield Release(reservation_id, made.reserve.account, meter.now_ms(), outcome)
    if not isinstance(reply, Released):
        raise _ended(reply)
    known.forget(reservation_id)
    if not reply.repeated:
        meter.metrics.released(made.reserve.api)
    return SettlementAnswer(
        id=reservation_id,
        state="released",
        charged_wei="0",
        repeated=reply.repeated,
        balance=BalanceBody.of(reply.balance),
        fields=dict([cost_field(0)]),
    )


def _outcome(asked: SettlementBody, since_ms: int) -> Outcome:
    return Outcome(
        status=asked.status,
        duration_ms=since_ms if asked.duration_ms is None else asked.duration_ms,
        response_bytes=asked.response_bytes,
        error=asked.error,
        tags=asked.tags_text(),
    )


def _found(meter: Meter, known: OpenReservations, reservation_id: str) -> Steps[OpenReservation]:
    """The reservation, looked up when another process made it. Raises: ServiceProblem."""
    made = known.get(reservation_id)
    if made is not None:
        return made
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
            tier=record.tier,
        ),
        plan,
    )


def _ended(reply: NotReserved) -> ServiceProblem:
    if reply.state == "unknown":
        return ServiceProblem("unknown_reservation", "There is no reservation of this id.")
    return ServiceProblem("reservation_ended", f"This reservation is {reply.state}.", state=reply.state)


def _kept(asked: ResponseBody, most_bytes: int) -> StoredResponse | None:
    try:
        body = asked.body()
    except ValueError:
        raise ServiceProblem("invalid_request", "body.response.body_base64: not base64") from None
    if len(body) > most_bytes:
        return None
    headers = TextHeaders(asked.headers)
    return stored_response(MeteredResponse(asked.status, headers, body_bytes=len(body), body=body))
