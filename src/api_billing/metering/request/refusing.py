"""A refusal as an exception: for whoever asks without a request, and for handlers that answer it themselves."""

from __future__ import annotations

from api_billing.metering.errors import NotAllowed
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.problems import Answer, Refusal


def not_allowed(payer: Payer, refusal: Refusal, answer: Answer) -> NotAllowed:
    """Why it is not allowed, with what is left of the tightest limit as the store told it last."""
    return NotAllowed(refusal, answer, *left_of(payer))


def left_of(payer: Payer) -> tuple[int | None, int | None]:
    """How many calls the tightest limit leaves, and when it renews; None for both without a limit."""
    plan, counts = payer.plan, payer.counts
    if plan is None or len(counts) != len(plan.checks):
        return None, None
    found = plan.tightest(counts, payer.estimate_wei, payer.metering.meter.now_ms(), payer.frees)
    return (None, None) if found is None else (found.calls, found.ends_ms)
