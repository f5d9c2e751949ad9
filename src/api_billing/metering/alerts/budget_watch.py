"""Looks at the counts of budgets as replies bring them, and finds what may be an alert; see ``alerts``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api_billing.amounts import GEN, Currency
from api_billing.metering.alerts.alert import Alert, Candidate, Crossing
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import Refused
from api_billing.metering.limits.budgets import reached, refused_step
from api_billing.metering.limits.plan import WindowPlan
from api_billing.metering.limits.quotas import Budget, Step
from api_billing.metering.limits.windows import WindowCheck


class BudgetWatch:
    """Looks at the counts of budgets: an alert is due once per step and window, whatever the step does. Thread-safe."""

    def __init__(self, size: int = 10_000, currency: Currency = GEN) -> None:
        self._size = size
        self._currency = currency
        # By counter: the start of its window, the count from which on the next step is reached, and the steps so far.
        self._known: dict[str, tuple[int, int, frozenset[Step]]] = {}

    def after_charge(self, plan: WindowPlan, counts: Sequence[tuple[str, int]], now_ms: int) -> Sequence[Candidate]:
        """Candidates after a settlement; ``counts`` as ``Settled`` has them. Nearly always none."""
        if not plan.profile.budgets:
            return ()
        found: list[Candidate] = []
        used = dict(counts)
        for check, budget in zip(plan.checks, plan.budgets, strict=True):
            used_wei = used.get(check.counter)
            if budget is None or used_wei is None:
                continue
            starts_ms, next_wei, _ = self._known.get(check.counter, _UNKNOWN)
            if starts_ms != check.starts_ms or used_wei >= next_wei:
                found += self._fire(plan.profile.consumer, check, budget, reached(budget, used_wei), used_wei, now_ms)
        return found

    def after_refusal(self, plan: WindowPlan, refused: Refused, estimate_wei: int, now_ms: int) -> Sequence[Candidate]:
        """Candidates after a refusal by a budget: its step takes effect, although its share is not quite used up.

        None where nothing was used of a budget that each operation or model has for itself: whoever asks for made-up
        ones could have an alert sent with each request.
        """
        found: list[Candidate] = []
        for index in refused.violated:
            budget, used_wei = plan.budgets[index], refused.counts[index]
            step = None if budget is None else refused_step(budget, used_wei, estimate_wei)
            if budget is not None and step is not None and (used_wei or budget.scope == "consumer"):
                found += self._fire(plan.profile.consumer, plan.checks[index], budget, (step,), used_wei, now_ms)
        return found

    def _fire(
        self,
        consumer: str,
        check: WindowCheck,
        budget: Budget,
        steps: Sequence[Step],
        used_wei: int,
        now_ms: int,
    ) -> list[Candidate]:
        starts_ms, _, fired = self._known.get(check.counter, _UNKNOWN)
        if starts_ms != check.starts_ms:
            fired = frozenset()
        new = [step for step in steps if step not in fired]
        fired = fired.union(new)
        # Rounded up: from this count on, and not before, the share is used up.
        ahead = [-(-budget.most_wei * step.percent // 100) for step in budget.steps if step not in fired]
        if len(self._known) >= self._size:
            self._known = {}  # what was remembered saves asking the store
        self._known[check.counter] = (check.starts_ms, min(ahead, default=2**300), fired)
        return [_budget_crossing(consumer, check, budget, step, used_wei, now_ms, self._currency) for step in new]


_UNKNOWN: Final = (-1, 0, frozenset[Step]())
_DOES: Final = {"warn": "goes on", "throttle": "throttles requests", "reject": "rejects requests"}


def _budget_crossing(
    consumer: str, check: WindowCheck, budget: Budget, step: Step, used_wei: int, now_ms: int, currency: Currency
) -> Crossing:
    left_wei = max(0, budget.most_wei - used_wei)
    is_past = used_wei * 100 >= budget.most_wei * step.percent
    left = currency.text(left_wei)
    message = (
        f"budget {budget.name} of {consumer} has {left} of {currency.text(budget.most_wei)} left,"
        f" {'' if is_past else 'and the estimate of a request goes '}past {step.percent}%: it {_DOES[step.action]}"
    )
    details = (("budget", budget.name), ("action", step.action), ("scope", budget.scope))
    alert = Alert("budget", consumer, now_ms, message, f"{step.percent}%", left_wei, details, left)
    key = f"budget/{check.counter}/{check.starts_ms}/{step.percent}/{step.action}"
    return Crossing(key, alert, check.ends_ms + DAY_MS)
