"""The steps of requests elsewhere, for those who watch: spans belong to the trace that the service tells."""

from __future__ import annotations

from fastapi import Request

from api_billing.metering.meter import Meter
from api_billing.metering.observing.watching import Step
from api_billing.metering.request.problems import Answer
from api_billing.metering.service.bodies import (
    AnsweredAnswer,
    ReplayAnswer,
    ReservationAnswer,
    ReservationBody,
    SettlementAnswer,
)
from api_billing.metering.stores.steps import Steps

Reserved = ReservationAnswer | ReplayAnswer | AnsweredAnswer | Answer


def reserving(meter: Meter, request: Request, body: ReservationBody, flow: Steps[Reserved]) -> Steps[Reserved]:
    """The flow of a reservation, watched."""
    if meter.watch is None:
        return flow
    step = Step("reserve", body.api, body.method, body.route, body.request_id)
    step.consumer, step.carrier = body.consumer or "", request.headers

    def ended(step: Step, answer: Reserved | None) -> None:
        if isinstance(answer, ReservationAnswer):
            step.consumer = answer.consumer
            step.outcome, step.record_id = "reserved", answer.id
        step.outcome = step.outcome or ("failed" if answer is None else "answered")
        step.status = answer.status if isinstance(answer, Answer) else 0

    return meter.watch.steps(step, flow, ended)


def ending(meter: Meter, request: Request, flow: Steps[SettlementAnswer], status: int) -> Steps[SettlementAnswer]:
    """The flow of the settlement or release of what was answered with a status, watched."""
    if meter.watch is None:
        return flow
    step = Step("settle", request_id=request.headers.get("x-request-id", ""))
    step.carrier, step.record_id = request.headers, request.path_params["reservation_id"]
    step.status = status

    def ended(step: Step, answer: SettlementAnswer | None) -> None:
        step.outcome = step.outcome or ("failed" if answer is None else "repeated")

    return meter.watch.steps(step, flow, ended)
