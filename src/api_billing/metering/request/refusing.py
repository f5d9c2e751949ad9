"""A refusal as an exception: for whoever asks without a request, for handlers that answer it, and for hooks."""

from __future__ import annotations

import logging
from typing import Any, Final

from api_billing.metering.errors import CreditUnavailable, IdentityUnavailable, NotAllowed, StoreUnavailable
from api_billing.metering.request.http import BODILESS
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.problems import Answer, Refusal, unavailable
from api_billing.metering.stores.steps import Steps, is_waiting

_BREACHES: Final = frozenset({"insufficient_credit", "budget_exceeded", "quota_exceeded", "throttled"})
_log = logging.getLogger("api_billing.metering")


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


def unmetered_or_refused(payer: Payer, error: StoreUnavailable) -> Answer | None:
    """What is answered where nothing can be metered; None: it is served all the same, and logged."""
    meter, api, request = payer.metering.meter, payer.metering.api, payer.request
    # That the chain or an identity provider does not tell is no outage of ours: anybody can use up its reads.
    is_ours = not isinstance(error, CreditUnavailable | IdentityUnavailable)
    if meter.settings.fail_open and is_ours and payer.may_go_unmetered:
        # Each one, as nothing else says who was served.
        who = payer.consumer or "an unknown consumer"
        _log.error("served without being metered: %s %s of %s: %s", request.method, request.route, who, error)
        meter.metrics.unmetered(api)
        return None
    meter.seldom.log(_log, logging.ERROR, "refused, as usage cannot be metered: %s", error)
    meter.metrics.refused(api, "meter_unavailable")
    payer.refused = unavailable(error)
    return payer.refused.answer()


def refused(payer: Payer, refusal: Refusal, answer: Answer) -> Steps[NotAllowed]:
    """Tell who wants to know of a breach, and have the application's own answer in place of the problem, where it has
    one. What they raise is logged.
    """
    error = not_allowed(payer, refusal, answer)
    yield from tell_breach(payer, error)
    on_refusal = payer.metering.on_refusal
    if callable(on_refusal):
        own = yield from _asked("on_refusal", on_refusal, payer, error)
        if own is not None:
            checked = _checked(own)
            if checked is None:
                _failed("on_refusal", payer, f"it returned {type(own).__name__}, which is no Answer")
            error.answer = checked or answer
    return error


def tell_breach(payer: Payer, error: NotAllowed) -> Steps[None]:
    """Tell who wants to know that a limit or the credit does not allow it."""
    if payer.metering.on_breach is not None and error.code in _BREACHES:
        yield from _asked("on_breach", payer.metering.on_breach, payer, error)


def _asked(name: str, hook: Any, payer: Payer, error: NotAllowed) -> Steps[Any]:
    payer.request.is_begun = True  # nothing more is read for a request that is refused
    try:
        found = hook(payer.request, error)
        return (yield found) if is_waiting(found) else found
    except Exception as exc:
        _failed(name, payer, type(exc).__name__, exc)
        return None


def _failed(name: str, payer: Payer, problem: str, exc: Exception | None = None) -> None:
    where = (payer.request.method, payer.request.route)
    seldom = payer.metering.meter.seldom
    seldom.log(_log, logging.ERROR, f"{name} failed at %.20r %.200r: %s", *where, problem, exc_info=exc)


def _checked(own: Any) -> Answer | None:
    """An own answer as it can be sent; None for what is none."""
    if not isinstance(own, tuple) or len(own) != 3:
        return None
    status, fields, body = own
    try:
        pairs = [(str(name).lower(), str(value)) for name, value in fields]
        "".join([part for pair in pairs for part in pair]).encode("latin-1")
    except (TypeError, ValueError):
        return None
    lines = any(set(name + value) & set("\r\n\0") for name, value in pairs)
    if lines or type(status) is not int or not 200 <= status <= 599 or type(body) is not bytes:
        return None
    kept = [pair for pair in pairs if pair[0] != "content-length"]
    if status in BODILESS:
        return None if body else Answer(status, tuple(kept), b"")
    return Answer(status, (*kept, ("content-length", str(len(body)))), body)
