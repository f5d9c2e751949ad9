"""Plans: the windows of a consumer, kept until one of them ends."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.amounts import Currency
from api_billing.metering.clock import EVER_MS
from api_billing.metering.ledger.operations import Balance, Refused
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.plan import KeyQuotas, PlanCache, WindowPlan, make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.scopes import Limits, Place
from api_billing.metering.limits.tiers import DEFAULT_TIERS, Tier
from api_billing.metering.request.problems import refusal_by

FREE, PRO = DEFAULT_TIERS[:2]
NOON = 1_700_049_600_000  # 2023-11-15T12:00:00Z
MINUTE_MS, DAY_MS = 60_000, 86_400_000
MIDNIGHT, NEXT_DAY = NOON + DAY_MS // 2, date(2023, 11, 16)


def profile(tier: Tier = FREE, version: int = 1, **rest: Any) -> Profile:
    return Profile("ann", tier, version, **rest)


def limits(plan: WindowPlan) -> dict[str, int | None]:
    return {check.name: check.limit for check in plan.checks}


def test_make_plan__tier__has_its_month_and_quotas() -> None:
    tier = Tier("t", 100, 7, (Quota("minute", "minute", 5),))
    assert limits(make_plan(profile(tier), NOON)) == {"month": 100, "minute": 5}


def test_make_plan__own_quotas_and_budgets__come_after_the_tiers() -> None:
    one = profile(quotas=(Quota("day", "day", 9),), budgets=(Budget("b", "week", 50),))
    assert list(limits(make_plan(one, NOON))) == ["month", "day", "b"]


def test_make_plan__own_quota_of_a_tiers_name__replaces_it() -> None:
    assert limits(make_plan(profile(quotas=(Quota("month", "month", 5),)), NOON)) == {"month": 5}


def test_make_plan__unlimited_tier__has_no_windows() -> None:
    assert make_plan(profile(Tier("e", None, 1)), NOON).checks == ()


def test_make_plan__tier_of_the_key__counts_instead() -> None:
    plan = make_plan(profile(), NOON, tier=PRO)
    assert (limits(plan), plan.tier) == ({"month": 10_000}, PRO)


def test_make_plan__tier_changed__goes_on_with_the_same_count() -> None:
    assert make_plan(profile(FREE), NOON).checks[0].counter == make_plan(profile(PRO), NOON).checks[0].counter


def test_make_plan__other_consumer__has_other_counts() -> None:
    other = Profile("ann2", FREE, 1)
    assert make_plan(profile(), NOON).checks[0].counter != make_plan(other, NOON).checks[0].counter


def test_make_plan__budgets__are_next_to_their_checks() -> None:
    budget = Budget("b", "day", 5)
    assert make_plan(profile(budgets=(budget,)), NOON).budgets == (None, budget)


def test_make_plan__anchor_in_the_future__counts_from_then_on() -> None:
    one = profile(Tier("t", None, 1), quotas=(Quota("q", "month", 5, anchor=date(2023, 11, 16)),))
    before = make_plan(one, MIDNIGHT - 1)
    assert (before.checks, before.until_ms) == ((), MIDNIGHT)
    assert limits(make_plan(one, MIDNIGHT)) == {"q": 5}


ANCHORS = st.none() | st.dates(date(2023, 10, 1), date(2024, 3, 31))
PERIODS: st.SearchStrategy[Any] = st.sampled_from(["minute", "hour", "day", "week", "month", "year"])
QUOTAS = st.lists(st.builds(Quota, st.sampled_from("abc"), PERIODS, st.just(5), st.just("calls"), ANCHORS), max_size=3)


@given(QUOTAS, st.integers(0, 200 * DAY_MS), st.integers(0, 200 * DAY_MS))
def test_plan__while_it_is_good__has_the_same_windows(quotas: list[Quota], made: int, asked: int) -> None:
    one = profile(quotas=tuple(quotas))
    plan, now = make_plan(one, NOON + made), make_plan(one, NOON + asked)
    if plan.from_ms <= NOON + asked < plan.until_ms:
        assert plan.checks == now.checks
    else:
        assert plan.checks != now.checks


@given(QUOTAS, st.integers(0, 200 * DAY_MS))
def test_plan__just_made__is_good_now(quotas: list[Quota], made: int) -> None:
    plan = make_plan(profile(quotas=tuple(quotas)), NOON + made)
    assert plan.from_ms <= NOON + made < plan.until_ms


def test_plan_cache__asked_again__is_the_same_object() -> None:
    cache = PlanCache()
    assert cache.plan(profile(), NOON) is cache.plan(profile(), NOON + 1)


@pytest.mark.parametrize("now_ms", [NOON + MINUTE_MS, NOON - 1])
def test_plan_cache__window_ended_or_clock_set_back__is_made_anew(now_ms: int) -> None:
    cache = PlanCache()
    one = profile(quotas=(Quota("minute", "minute", 5),))
    first = cache.plan(one, NOON)
    assert cache.plan(one, now_ms).checks != first.checks


def test_plan_cache__profile_changed__is_made_anew() -> None:
    cache = PlanCache()
    cache.plan(profile(), NOON)
    assert limits(cache.plan(profile(PRO, version=2), NOON)) == {"month": 10_000}


def test_plan_cache__tier_of_the_key_redefined__is_made_anew() -> None:
    cache = PlanCache()
    cache.plan(profile(), NOON, tier=PRO)
    assert limits(cache.plan(profile(), NOON, tier=Tier("pro", 7, 1))) == {"month": 7}


def test_plan_cache__operations_without_budgets__share_one_plan() -> None:
    cache = PlanCache()
    assert cache.plan(profile(), NOON, operation="/a") is cache.plan(profile(), NOON, operation="/b")


def test_plan_cache__operations_with_budgets_of_their_own__are_kept_apart() -> None:
    cache = PlanCache()
    one = profile(budgets=(Budget("b", "day", 5, scope="operation"),))
    assert cache.plan(one, NOON, operation="/a").checks != cache.plan(one, NOON, operation="/b").checks


def test_plan_cache__two_keys_with_caps_of_one_consumer__are_kept_beside_each_other() -> None:
    cache, cap = PlanCache(), (Quota("cap", "hour", 5, "wei"),)
    first, second = [cache.plan(profile(), NOON, own=KeyQuotas(family, cap)) for family in ("a", "b")]
    assert first.checks != second.checks
    assert [cache.plan(profile(), NOON + 1, own=KeyQuotas(family, cap)) for family in ("a", "b")] == [first, second]


def test_plan_cache__window_of_a_key_ended_or_its_quotas_changed__is_made_anew() -> None:
    cache = PlanCache()
    hour, later = KeyQuotas("a", (Quota("cap", "hour", 5),)), KeyQuotas("a", (Quota("cap", "day", 5, anchor=NEXT_DAY),))
    assert limits(cache.plan(profile(), NOON, own=hour))["key/cap"] == 5
    assert cache.plan(profile(), NOON + 60 * MINUTE_MS, own=hour).checks[-1].starts_ms == NOON + 60 * MINUTE_MS
    assert "key/cap" not in limits(cache.plan(profile(), NOON, own=later))  # it begins at its anchor
    assert "key/cap" in limits(cache.plan(profile(), MIDNIGHT, own=later))


def test_plan_cache__more_plans_than_fit__still_answers() -> None:
    cache = PlanCache(size=2)
    plans = [cache.plan(Profile(name, FREE, 1), NOON) for name in "abcde"]
    assert [plan.profile.consumer for plan in plans] == list("abcde")


WINDOWS = make_plan(profile(Tier("t", None, 1), quotas=(Quota("minute", "minute", 10), Quota("day", "day", 100))), NOON)


@pytest.mark.parametrize(("counts", "left"), [((0, 0), 10), ((4, 99), 1), ((9, 99), 1), ((10, 0), 0), ((12, 0), 0)])
def test_remaining__two_windows__is_that_of_the_tightest(counts: tuple[int, int], left: int) -> None:
    assert WINDOWS.remaining(counts) == left


@pytest.mark.parametrize(("counts", "ends_ms"), [((9, 0), NOON + MINUTE_MS), ((0, 99), MIDNIGHT), ((9, 99), MIDNIGHT)])
def test_renews_at__two_windows__is_that_of_the_tightest_or_later_one(counts: tuple[int, int], ends_ms: int) -> None:
    assert WINDOWS.renews_at(counts) == ends_ms


def test_remaining__unlimited__is_none() -> None:
    plan = make_plan(profile(Tier("e", None, 1)), NOON)
    assert (plan.remaining(()), plan.renews_at(())) == (None, None)


@pytest.mark.parametrize(("estimate", "left"), [(1, 50), (7, 7), (51, 0), (0, 50)])
def test_remaining__of_wei__is_in_calls_at_the_estimate(estimate: int, left: int) -> None:
    plan = make_plan(profile(Tier("e", None, 1), quotas=(Quota("money", "day", 100, "wei"),)), NOON)
    assert plan.remaining((50,), estimate) == left


STAGED = Budget("b", "day", 1_000, (Step(90, "throttle"), Step(100, "reject")))


def refused(code: str, violated: tuple[int, ...] = (), counts: tuple[int, ...] = ()) -> Refused:
    return Refused(code, violated, counts, Balance(100, 10, 60))


def test_refusal__no_credit__says_what_is_free() -> None:
    refusal = refusal_by(WINDOWS, refused("insufficient_credit"), NOON, 50)
    assert refusal.code == "insufficient_credit"
    assert refusal.extra == {"free": "30 wei", "free_wei": "30", "estimate": "50 wei", "estimate_wei": "50"}


def test_refusal__no_credit__says_it_in_the_meters_currency() -> None:
    refusal = refusal_by(WINDOWS, refused("insufficient_credit"), NOON, 5 * 10**8, currency=Currency("USD"))
    assert (refusal.extra["free"], refusal.extra["estimate"]) == ("0.00000003 USD", "0.5 USD")


def test_refusal__one_quota__retries_when_its_window_ends() -> None:
    refusal = refusal_by(WINDOWS, refused("quota_exceeded", (0,), (10, 5)), NOON + 1, 1)
    assert (refusal.code, refusal.policies, refusal.retry_after_seconds) == ("quota_exceeded", ("minute",), 60)


def test_refusal__two_quotas__retries_when_the_last_window_ends() -> None:
    refusal = refusal_by(WINDOWS, refused("quota_exceeded", (0, 1), (10, 100)), NOON, 1)
    assert (refusal.policies, refusal.retry_after_seconds) == (("minute", "day"), 12 * 3600)


@pytest.mark.parametrize(("used", "code"), [(890, "throttled"), (985, "budget_exceeded")])
def test_refusal__staged_budget__is_called_after_the_step_it_exceeds(used: int, code: str) -> None:
    plan = make_plan(profile(Tier("e", None, 1), budgets=(STAGED,)), NOON)
    assert refusal_by(plan, refused("throttled", (0,), (used,)), NOON, 20).code == code


def test_refusal__budget_with_its_own_pause__retries_after_it() -> None:
    budget = Budget("b", "day", 1_000, (Step(90, "throttle"),), retry_after_seconds=30)
    plan = make_plan(profile(Tier("e", None, 1), budgets=(budget,)), NOON)
    assert refusal_by(plan, refused("throttled", (0,), (900,)), NOON, 1).retry_after_seconds == 30


@pytest.mark.parametrize(("given_code", "code"), [("disabled", "disabled"), ("reservation_ended", "meter_unavailable")])
def test_refusal__without_windows__is_named_or_unavailable(given_code: str, code: str) -> None:
    assert refusal_by(WINDOWS, refused(given_code), NOON, 1).code == code


def moving_plan(*limits: Limit, weight: int = 1) -> WindowPlan:
    plan = make_plan(profile(Tier("e", None, 1)), NOON, limits=Limits("weather", limits), place=Place("/forecast"))
    return plan.weighing(weight)


SLIDING = Limit("sliding", 10, minutes=1, name="slides")
BUCKET = Limit("bucket", 6, minutes=1, burst=4, name="flows")


def test_make_plan__windows_that_move__are_good_for_ever() -> None:
    plan = moving_plan(SLIDING, BUCKET)
    assert (plan.from_ms, plan.until_ms) == (0, EVER_MS)


def test_policy__of_windows_that_move__says_what_they_allow_in_their_length() -> None:
    assert moving_plan(SLIDING, BUCKET).policy == '"slides";q=10;w=60, "flows";q=6;w=60'


def test_fields__of_windows_that_move__say_when_there_is_room_again() -> None:
    fields = dict(moving_plan(SLIDING, BUCKET).fields((10, 3), NOON, 1, (NOON + 1_001, NOON + 9_000)))
    assert fields["ratelimit"] == '"slides";r=0;t=2, "flows";r=1;t=9'
    assert (fields["x-ratelimit-remaining"], fields["x-ratelimit-limit"]) == ("0", "10")
    assert fields["x-ratelimit-reset"] == str(NOON // 1000 + 2)


@pytest.mark.parametrize("frees", [(), (0,)])
def test_fields__room_not_known__say_when_all_has_left(frees: tuple[int, ...]) -> None:
    assert dict(moving_plan(SLIDING).fields((10,), NOON, 1, frees))["ratelimit"] == '"slides";r=0;t=60'


@pytest.mark.parametrize(("used", "left"), [(0, 3), (1, 3), (2, 2), (8, 0), (11, 0)])
def test_remaining__of_a_weight__is_in_requests_of_it_and_in_fields_in_calls(used: int, left: int) -> None:
    plan = moving_plan(SLIDING, weight=3)
    fields = dict(plan.fields((used,), NOON))
    assert plan.remaining((used,)) == left
    assert (fields["x-ratelimit-remaining"], fields["x-ratelimit-limit"]) == (str(max(0, 10 - used)), "10")
    assert fields["ratelimit"].startswith(f'"slides";r={max(0, 10 - used)};')


def test_renews_at__of_windows_that_move__is_when_there_is_room_again() -> None:
    plan = moving_plan(SLIDING, BUCKET)
    assert plan.renews_at((10, 0), 1, NOON, (NOON + 5, NOON + 9)) == NOON + 5
    assert plan.renews_at((10, 0), 1, NOON) == NOON + MINUTE_MS


def test_refusal__by_windows_that_move__retries_when_all_have_room_again() -> None:
    plan = moving_plan(SLIDING, BUCKET)
    found = Refused("quota_exceeded", (0, 1), (10, 4), Balance(), None, (NOON + 1_001, NOON + 30_000))
    refusal = refusal_by(plan, found, NOON, 1, lambda below: below - 1)
    assert (refusal.policies, refusal.retry_after_seconds) == (("slides", "flows"), 33)
    assert refusal_by(plan, found._replace(violated=(0,)), NOON, 1, lambda below: below - 1).retry_after_seconds == 2
    assert "slides" in refusal_by(plan, found._replace(violated=(0,)), NOON, 1).detail


@pytest.mark.parametrize(
    ("limit", "weight", "estimate", "detail"),
    [
        (SLIDING, 11, 1, "This request counts as 11, and slides never has room for more than 10."),
        (BUCKET, 5, 1, "This request counts as 5, and flows never has room for more than 4."),
        (Limit("fixed", 0, days=1, name="closed"), 1, 1, "counts as 1, and closed never has room for more than 0."),
        (Limit("fixed", 10**9, days=1, unit="wei", name="money"), 1, 2 * 10**9, "never has room for more than 1 USD."),
    ],
)
def test_refusal__of_what_never_fits__says_so(limit: Limit, weight: int, estimate: int, detail: str) -> None:
    plan = moving_plan(limit, weight=weight)
    refusal = refusal_by(plan, refused("quota_exceeded", (0,), (0,)), NOON, estimate, currency=Currency("USD"))
    assert detail in refusal.detail
