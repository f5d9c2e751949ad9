"""Limits of requests in plans: which counts, for whom, and how long plans are kept."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering import Limit, Quota, Tier
from api_billing.metering.clock import DAY_MS
from api_billing.metering.limits.limits import limits_of
from api_billing.metering.limits.plan import PlanCache, WindowPlan, make_plan
from api_billing.metering.limits.profile import Profile, nobody
from api_billing.metering.limits.scopes import Limits, limits_at
from api_billing.metering.limits.windows import WindowCheck

NOW_MS = int(datetime(2026, 5, 20, 10, 31, 50, tzinfo=UTC).timestamp() * 1000)
TIER = Tier("pro", None, 30)
ANN = Profile("ann", TIER, 1)


def at(*given: str | Limit, api: str = "weather") -> Limits:
    found = limits_at(api, limits_of(given))
    assert found is not None
    return found


def counters(limits: Limits, consumer: str = "ann", **where: str) -> list[str]:
    found = {"route": "/a", "method": "GET", "key_id": "k1", "address": "203.0.113.7", **where}
    return [check.counter for check in limits.of(consumer, "pro", limits.place(**found), NOW_MS)]


@pytest.mark.parametrize(
    ("text", "key_id", "binds"),
    [
        ("5wei/day; per=key", "k1", True), ("5wei/day; per=key", "", False), ("5wei/day", "k1", False),
        ("5/day; per=key", "k1", False),
    ],
)  # fmt: skip
def test_limit__of_money_of_a_key__binds_what_is_charged(text: str, key_id: str, binds: bool) -> None:
    limits = limits_at("weather", limits_of([text]))
    assert limits is not None
    (check,) = limits.of("ann", "pro", limits.place("/a", "GET", key_id, ""), NOW_MS)
    assert check.binds is binds


@pytest.mark.parametrize(
    ("text", "told_apart_by"),
    [
        ("1/day", {"consumer", "route"}),
        ("1/day; per=key", {"consumer", "route", "key_id"}),
        ("1/day; per=address", {"route", "address"}),
        ("1/day; per=all", {"route"}),
        ("1/day; on=method", {"consumer", "route", "method"}),
        ("1/day; on=api", {"consumer", "api"}),
        ("1/day; group=search", {"consumer"}),
        ("1/day; group=search; per=all", set()),
        ("1/day; on=api; per=all", {"api"}),
    ],
)
def test_count__of_a_limit__is_told_apart_by_what_it_says(text: str, told_apart_by: set[str]) -> None:
    other = {"consumer": "bob", "route": "/b", "method": "POST", "key_id": "k2", "address": "203.0.113.8"}
    one = counters(at(text))
    apart = {name for name, value in other.items() if counters(at(text), **{name: value}) != one}
    apart |= {"api"} if counters(at(text, api="maps")) != one else set()
    assert apart - {"api"} == told_apart_by - {"api"}
    assert ("api" in apart) == ("group" not in text)


def test_counts__of_different_limits__are_different() -> None:
    limits = at(
        "1/day; name=a", "1/day; name=b", "2/day; name=c; window=sliding", "1/day; name=d; per=all",
        "1 wei/day; name=e", "1/2 days; name=f", "1/day; name=g; on=api", "1/day; name=h; on=method",
    )  # fmt: skip
    assert len(set(counters(limits))) == len(limits.given)
    assert len({counters(at(f"1/day{more}; name=same"))[0] for more in ("", "; window=sliding", "; on=api")}) == 3


def test_count__of_a_limit_that_is_changed__stays() -> None:
    assert counters(at("1/day; name=reads")) == counters(at("500/day; name=reads; tier.pro=3"))


def test_count__of_methods_of_the_clients_choice__is_one() -> None:
    limits = at("1/day; on=method")
    assert counters(limits, method="BREW") == counters(limits, method="WHEN") != counters(limits)


def checks_of(text: str, consumer: str = "ann", tier: str = "pro") -> list[WindowCheck]:
    limits = at(text)
    return limits.of(consumer, tier, limits.place("/a", "GET", "", ""), NOW_MS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10/5 minutes", ("fixed", 300_000, 10, 0)),
        ("10/5 minutes; window=sliding", ("sliding", 300_000, 10, 0)),
        ("10/5 minutes; window=bucket", ("bucket", 300_000, 10, 10)),
        ("10/5 minutes; burst=3", ("bucket", 300_000, 3, 10)),
        ("10/5 minutes; burst=3; tier.pro=7", ("bucket", 300_000, 3, 7)),
        ("0/5 minutes; burst=3", ("bucket", 300_000, 0, 0)),
    ],
)
def test_check__of_a_limit__has_its_counting_length_limit_and_rate(text: str, shown: tuple[Any, ...]) -> None:
    (check,) = checks_of(text)
    assert (check.counting, check.ends_ms - check.starts_ms, check.limit, check.rate) == shown


def test_check__of_a_tier_without_a_limit__is_none() -> None:
    assert checks_of("10/minute; tier.pro=none") == []
    assert [check.limit for check in checks_of("10/minute; tier.pro=none", tier="free")] == [10]


def planned(plans: PlanCache, limits: Limits, profile: Profile = ANN, now_ms: int = NOW_MS, **where: str) -> WindowPlan:
    found = {"route": "/a", "method": "GET", "key_id": "", "address": "", **where}
    return plans.plan(profile, now_ms, api="weather", limits=limits, place=limits.place(**found))


def test_plan__with_limits__has_them_behind_all_else() -> None:
    profile = Profile("ann", Tier("pro", 10, 30), 1, quotas=(Quota("day", "day", 5),))
    plan = make_plan(profile, NOW_MS, limits=at("3/day; name=few", "9 wei/day; name=money"))
    assert [check.name for check in plan.checks] == ["month", "day", "few", "money"]
    assert plan.budgets == (None,) * 4
    assert plan.weighed_from == 2


@pytest.mark.parametrize("text", ["10/minute", "10/minute; window=sliding", "10/minute; window=bucket"])
def test_plan__of_one_place__is_made_once(text: str) -> None:
    plans, limits = PlanCache(), at(text)
    one = planned(plans, limits)
    assert planned(plans, limits, now_ms=NOW_MS + 9_999) is one
    assert planned(plans, limits, route="/b") is not one


def test_plan__of_a_window_that_has_ended__is_made_anew() -> None:
    plans, limits = PlanCache(), at("10/minute", "10/minute; window=sliding")
    one = planned(plans, limits)
    assert planned(plans, limits, now_ms=NOW_MS + 10_000) is not one


def test_plan__with_an_anchor_to_come__is_made_anew_then() -> None:
    plans, limits = PlanCache(), at(Limit("anchored", 5, days=1, anchor=date(2026, 5, 21)))
    then_ms = int(datetime(2026, 5, 21, tzinfo=UTC).timestamp() * 1000)
    assert planned(plans, limits, now_ms=then_ms - 1).checks == ()
    assert len(planned(plans, limits, now_ms=then_ms).checks) == 1


def test_plans__of_many_addresses__drive_out_no_others_and_are_bounded() -> None:
    plans, limits, by_consumer = PlanCache(size=8), at("10/day; per=address"), at("10/day")
    one = planned(plans, by_consumer)
    for number in range(50):
        planned(plans, limits, address=f"203.0.113.{number}")
        planned(plans, by_consumer, nobody(f"ip:203.0.113.{number}"))
    assert planned(plans, by_consumer) is one
    assert len(plans._of_addresses) <= 8


def test_plan__of_a_heavier_request__weighs_in_limits_of_calls_alone() -> None:
    profile = Profile("ann", Tier("pro", 10, 30), 1)
    plan = make_plan(profile, NOW_MS, limits=at("30/day; name=few", "90 wei/day; name=money"))
    assert [check.weight for check in plan.weighing(7).checks] == [1, 7, 1]
    assert [check.weight for check in plan.checks] == [1, 1, 1]
    assert plan.weighing(7) is plan.weighing(7)
    assert plan.weighing(1) is plan
    assert all(plan.weighing(weight).checks[1].weight == weight for weight in range(2, 200))


def test_plan__without_limits__weighs_nothing() -> None:
    plan = make_plan(Profile("ann", Tier("pro", 10, 30), 1), NOW_MS)
    assert plan.weighing(7) is plan


_TEXTS = st.builds(
    "{}/{}{}{}{}; name={}".format,
    st.integers(1, 9),
    st.sampled_from(["second", "2 minutes", "3 hours", "day", "week"]),
    st.sampled_from(["", "; window=sliding", "; burst=4", "; from=2026-05-20"]),
    st.sampled_from(["", "; per=key", "; per=address", "; per=all"]),
    st.sampled_from(["", "; on=method", "; on=api", "; group=g", "; tier.pro=none"]),
    st.uuids(),
)
_SETS = st.lists(_TEXTS, min_size=1, max_size=3).map(lambda texts: limits_at("weather", limits_of(texts)))
_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([ANN, Profile("bob", Tier("free", 5, 7), 1), nobody("ip:a"), nobody("ip:b")]),
        st.integers(NOW_MS - DAY_MS, NOW_MS + DAY_MS),
        st.integers(0, 1),
        st.fixed_dictionaries(
            {
                "route": st.sampled_from(["/a", "/b"]),
                "method": st.sampled_from(["GET", "POST", "BREW"]),
                "key_id": st.sampled_from(["", "k1", "k2"]),
                "address": st.sampled_from(["", "203.0.113.7", "2001:db8::/64"]),
            }
        ),
        st.sampled_from([1, 7]),
    ),
    max_size=40,
)


@given(st.tuples(_SETS, _SETS), _REQUESTS, st.integers(1, 4))
def test_plans__of_any_requests_in_any_order__are_as_if_each_were_made_anew(
    sets: tuple[Limits, Limits], requests: list[Any], size: int
) -> None:
    plans = PlanCache(size)
    for profile, now_ms, which, where, weight in requests:
        limits = sets[which]
        found = planned(plans, limits, profile, now_ms, **where).weighing(weight)
        wanted = make_plan(profile, now_ms, limits=limits, place=limits.place(**where)).weighing(weight)
        assert found.checks == wanted.checks
