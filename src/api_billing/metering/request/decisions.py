"""Refusals by a budget, believed for a time: a consumer that keeps asking is refused without asking the store.

Only refusals are kept, as nothing else may be decided without it; and only those of budgets, as a quota that was raised
has to help at once. Off unless ``budget_cache_seconds`` is set.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from api_billing.metering.ledger.operations import Refused
from api_billing.metering.limits.plan import WindowPlan

_CODES: Final = ("throttled", "budget_exceeded")


class _Decision(NamedTuple):
    refused: Refused
    plan: WindowPlan
    estimate_wei: int
    from_ms: int
    until_ms: int


class DecisionCache:
    """The last refusal for each count of a budget. Bounded; thread-safe, as single dict operations are."""

    def __init__(self, max_age_ms: int, size: int = 10_000) -> None:
        self._max_age_ms = max_age_ms
        self._size = size
        self._decisions: dict[str, _Decision] = {}

    def find(self, plan: WindowPlan, estimate_wei: int, now_ms: int) -> Refused | None:
        """A refusal that still holds for a request of this plan that costs at least as much."""
        if not self._decisions:
            return None
        for check, budget in zip(plan.checks, plan.budgets, strict=True):
            decision = self._decisions.get(check.counter) if budget is not None else None
            if (
                decision is not None
                and decision.plan is plan
                and decision.estimate_wei <= estimate_wei
                and decision.from_ms <= now_ms < decision.until_ms
            ):
                return decision.refused
        return None

    def keep(self, plan: WindowPlan, refused: Refused, estimate_wei: int, now_ms: int) -> None:
        """Keep a refusal, when it is one by a budget: of a limit that slides nobody knows how long it holds."""
        if refused.code not in _CODES or plan.budgets[refused.violated[0]] is None:
            return
        check = plan.checks[refused.violated[0]]
        if len(self._decisions) >= self._size:
            self._decisions = {}
        until_ms = min(now_ms + self._max_age_ms, check.ends_ms)
        self._decisions[check.counter] = _Decision(refused, plan, estimate_wei, now_ms, until_ms)
