"""Refusals by a budget that are repeated without asking the store."""

import pytest

from api_billing.metering.ledger.operations import NO_BALANCE, Refused
from api_billing.metering.limits.plan import WindowPlan, make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.decisions import DecisionCache

NOW_MS = 1_767_225_600_000  # 2026-01-01


@pytest.fixture
def plan() -> WindowPlan:
    budget = Budget("daily", "day", 100)
    quota = Quota("calls", "day", 5)
    return make_plan(Profile("alice", Tier("free", None, 7), 1, quotas=(quota,), budgets=(budget,)), NOW_MS)


def by_budget(plan: WindowPlan) -> Refused:
    index = next(index for index, budget in enumerate(plan.budgets) if budget is not None)
    return Refused("budget_exceeded", (index,), (1, 95), NO_BALANCE)


def test_find__same_plan_within_its_time__is_the_kept_refusal(plan: WindowPlan) -> None:
    cache = DecisionCache(5_000)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    assert cache.find(plan, 10, NOW_MS + 4_999) == by_budget(plan)


def test_find__cheaper_request__is_asked_anew(plan: WindowPlan) -> None:
    cache = DecisionCache(5_000)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    assert cache.find(plan, 9, NOW_MS) is None


@pytest.mark.parametrize("at_ms", [NOW_MS + 5_000, NOW_MS - 1])
def test_find__too_late_or_clock_set_back__is_asked_anew(plan: WindowPlan, at_ms: int) -> None:
    cache = DecisionCache(5_000)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    assert cache.find(plan, 10, at_ms) is None


def test_find__next_window__is_asked_anew(plan: WindowPlan) -> None:
    cache = DecisionCache(10**9)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    assert cache.find(plan, 10, NOW_MS + 86_400_000) is None


def test_find__changed_profile__is_asked_anew(plan: WindowPlan) -> None:
    cache = DecisionCache(5_000)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    other = make_plan(plan.profile, NOW_MS)
    assert cache.find(other, 10, NOW_MS) is None


def test_keep__refused_by_a_quota__is_not_kept(plan: WindowPlan) -> None:
    cache = DecisionCache(5_000)
    cache.keep(plan, Refused("quota_exceeded", (0,), (5, 0), NO_BALANCE), 10, NOW_MS)
    assert cache.find(plan, 10, NOW_MS) is None


def test_keep__cache_off__keeps_nothing(plan: WindowPlan) -> None:
    cache = DecisionCache(0)
    cache.keep(plan, by_budget(plan), 10, NOW_MS)
    assert cache.find(plan, 10, NOW_MS) is None


def test_keep__refused_by_a_limit_of_money_that_slides__is_not_kept(plan: WindowPlan) -> None:
    slides = WindowCheck("slides", 0, 60_000, "wei", 100, "slides", "budget_exceeded", "sliding")
    cache, other = DecisionCache(5_000), make_plan(plan.profile, NOW_MS, also=(slides,))
    cache.keep(other, Refused("budget_exceeded", (2,), (1, 95, 99), NO_BALANCE), 10, NOW_MS)
    assert cache.find(other, 10, NOW_MS) is None
    assert not cache._decisions
