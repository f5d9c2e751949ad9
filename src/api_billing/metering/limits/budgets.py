"""Budgets as windows to count in, and what happens at shares of them. Pure functions; amounts in wei, rounded down.

A budget is one count. The store enforces its lowest share that throttles or rejects; by how much a request would
exceed it decides what the refusal is called. So a budget that throttles at 90 % admits nothing that would bring it
beyond 90 %, and answers 402 instead of 429 to what would bring it beyond its rejecting share as well.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Final

from api_billing.metering.limits.quotas import Budget, Step
from api_billing.metering.limits.windows import Unit, WindowCheck

_MAX_PART: Final = 200
_CODES: Final = {"throttle": "throttled", "reject": "budget_exceeded"}


def counter_name(consumer: str, kind: str, name: str, period: str, unit: Unit, anchor: date | None, *scope: str) -> str:
    """Name the count of a window: whose, which, and of what. Different arguments never give the same name.

    A limit is not part of it: what was counted stays when a limit is changed. Period, anchor and unit are: their
    windows and figures cannot be continued.
    """
    fixed = f"{kind}/{name}/{period}/{unit}/{anchor or ''}"
    return "/".join([_part(consumer), fixed, *[_part(part) for part in scope]])


def _part(text: str) -> str:
    """Text with its length before it, so that no text passes for two; a hash of what is long or not printable."""
    if len(text) > _MAX_PART or not text.isprintable():
        return "x:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{len(text)}:{text}"


def share_wei(budget: Budget, percent: int) -> int:
    """A share of a budget."""
    return budget.most_wei * percent // 100


def enforced(budget: Budget) -> Step | None:
    """The lowest step that refuses requests; of two at one share, the one that rejects. None: it only warns."""
    refusing = [step for step in budget.steps if step.action != "warn"]
    return min(refusing, key=lambda step: (step.percent, step.action == "throttle"), default=None)


def budget_check(
    consumer: str, budget: Budget, now_ms: int, *, api: str = "", operation: str = "", model: str = ""
) -> WindowCheck | None:
    """The window of a budget that a request counts in; None when the budget is not about this request, or not yet.

    An operation is one of an API; a model is the same whichever API uses it, and a request without one has no such
    budget.
    """
    scope: tuple[str, ...] = ()
    if budget.scope != "consumer":
        value = operation if budget.scope == "operation" else model
        if not value or (budget.only and budget.only != value):
            return None
        scope = (budget.scope, api, value) if budget.scope == "operation" else (budget.scope, value)
    window = budget.window(now_ms)
    if window is None:
        return None
    step = enforced(budget)
    counter = counter_name(consumer, "budget", budget.name, budget.period, "wei", budget.anchor, *scope)
    limit = None if step is None else share_wei(budget, step.percent)
    code = "budget_exceeded" if step is None else _CODES[step.action]
    return WindowCheck(counter, window.starts_ms, window.ends_ms, "wei", limit, budget.name, code)


def refused_step(budget: Budget, used_wei: int, estimate_wei: int) -> Step | None:
    """The highest refusing step that a request would exceed: what its refusal is called after. None: no step."""
    exceeded = [
        step
        for step in budget.steps
        if step.action != "warn" and used_wei + estimate_wei > share_wei(budget, step.percent)
    ]
    return max(exceeded, key=lambda step: (step.percent, step.action == "reject"), default=None)


def refused_code(budget: Budget, used_wei: int, estimate_wei: int) -> str:
    """What a refusal by a budget is called: ``throttled`` or ``budget_exceeded``."""
    step = refused_step(budget, used_wei, estimate_wei) or enforced(budget)
    return "budget_exceeded" if step is None else _CODES[step.action]


def reached(budget: Budget, used_wei: int) -> tuple[Step, ...]:
    """Steps whose share is used up (``used >= share``), lowest first: what an alert is due for, whatever they do."""
    steps = [step for step in budget.steps if used_wei * 100 >= budget.most_wei * step.percent]
    return tuple(sorted(steps, key=lambda step: step.percent))


def crossed(budget: Budget, before_wei: int, after_wei: int) -> tuple[Step, ...]:
    """Steps that were not reached before and are now, lowest first; a jump over several has them all."""
    return reached(budget, after_wei)[len(reached(budget, before_wei)) :] if after_wei > before_wei else ()
