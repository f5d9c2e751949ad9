"""Limits that cannot be are refused where they are written, and not with the requests that they limit."""

from datetime import date, datetime
from typing import Any

import pytest

from api_billing.metering import Meter
from api_billing.metering.errors import InvalidSetting, MeterError
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import Tier

QUOTA = {"name": "q", "period": "day", "limit": 1}
BUDGET = {"name": "b", "period": "day", "limit_wei": 1}
TIER = {"name": "t", "monthly_calls": 1, "retention_days": 1}
WHOLE: list[Any] = [-1, True, 1.5, "1", 2**256]
NAME: list[Any] = ["", "a" * 65, "a/b", 'a"', "é", "\ud800", 5, None]
PERIOD: list[Any] = ["monthly", "Day", "", None]


@pytest.mark.parametrize(
    ("kind", "right", "field", "wrong"),
    [
        (Quota, QUOTA, "name", NAME),
        (Quota, QUOTA, "period", PERIOD),
        (Quota, QUOTA, "limit", [*WHOLE, None]),
        (Quota, QUOTA, "unit", ["tokens", "", None]),
        (Quota, QUOTA, "anchor", ["2026-01-31", 5, datetime(2026, 1, 31)]),
        (Step, {"percent": 1, "action": "warn"}, "percent", [*WHOLE, 1001]),
        (Step, {"percent": 1, "action": "warn"}, "action", ["stop", "", None]),
        (Budget, BUDGET, "name", NAME),
        (Budget, BUDGET, "period", PERIOD),
        (Budget, BUDGET, "limit_wei", [*WHOLE, None]),
        (Budget, BUDGET, "steps", [(), [Step(1, "warn")], (80,), Step(1, "warn"), ((80, "warn"),)]),
        (Budget, BUDGET, "scope", ["api", "", None]),
        (Budget, BUDGET, "only", [5, None]),
        (Budget, BUDGET, "anchor", ["2026-01-31"]),
        (Budget, BUDGET, "retry_after_seconds", WHOLE),
        (Tier, TIER, "name", ["", "a" * 65, "a\n", "\ud800", 5]),
        (Tier, TIER, "monthly_calls", WHOLE),
        (Tier, TIER, "retention_days", [*WHOLE, None]),
        (Tier, TIER, "quotas", [[Quota("q", "day", 1)], (5,)]),
    ],
)
def test_limit__value_that_cannot_be__is_refused(kind: Any, right: Any, field: str, wrong: list[Any]) -> None:
    for value in wrong:
        with pytest.raises(InvalidSetting):
            kind(**{**right, field: value})


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Quota, QUOTA),
        (Quota, {**QUOTA, "limit": 0, "unit": "wei", "anchor": date(2026, 1, 31)}),
        (Quota, {**QUOTA, "limit": 2**256 - 1, "name": "a" * 64}),
        (Budget, {**BUDGET, "steps": (Step(0, "warn"), Step(1000, "throttle")), "scope": "model", "only": "\ud800"}),
        (Tier, {**TIER, "monthly_calls": None, "quotas": (Quota("q", "day", 1),)}),
    ],
)
def test_limit__value_that_can_be__is_taken(kind: Any, given: Any) -> None:
    kind(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"quotas": [Budget("b", "day", 1)]},
        {"budgets": [Quota("q", "day", 1)]},
        {"quotas": ["q"]},
        {"tier": 5},
        {"disabled": "no"},
    ],
)
def test_consumer__value_of_another_type__is_refused(given: dict[str, Any]) -> None:
    with Meter.open("memory://") as meter:
        meter.add_consumer("acme")
        with pytest.raises(InvalidSetting):
            meter.change_consumer("acme", **given)


def test_new_consumers__of_a_tier_that_there_is_none_of__are_refused_at_start() -> None:
    with (
        Meter.open("memory://", new_consumers="gold") as meter,
        pytest.raises(InvalidSetting, match="there is no tier 'gold'"),
    ):
        meter.metering("weather")


@pytest.mark.parametrize("tier", ["refuse", "free"])
def test_new_consumers__refused_or_of_a_tier_that_there_is__are_taken(tier: str) -> None:
    with Meter.open("memory://", new_consumers=tier) as meter:
        meter.metering("weather")


def test_identify__that_is_no_callable__is_refused_at_start() -> None:
    with pytest.raises(MeterError, match="identify"):
        Meter.open("memory://", identify="X-User-ID")  # type: ignore[arg-type]
