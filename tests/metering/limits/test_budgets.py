"""Budgets: their windows, what refuses, what warns, and the names of counts."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.limits.budgets import budget_check, counter_name, crossed, enforced, reached, refused_code
from api_billing.metering.limits.quotas import Action, Budget, Scope, Step

NOON = 1_700_049_600_000
STAGED = Budget("b", "day", 1_000, (Step(50, "warn"), Step(90, "throttle"), Step(100, "reject")))


def test_budget_check__staged__enforces_its_lowest_refusing_share() -> None:
    check = budget_check("ann", STAGED, NOON)
    assert check is not None
    assert (check.unit, check.limit, check.code, check.name) == ("wei", 900, "throttled", "b")


def test_budget_check__only_rejects__enforces_that() -> None:
    check = budget_check("ann", Budget("b", "day", 1_000), NOON)
    assert check is not None
    assert (check.limit, check.code) == (1_000, "budget_exceeded")


def test_budget_check__only_warns__counts_without_a_limit() -> None:
    check = budget_check("ann", Budget("b", "day", 1_000, (Step(50, "warn"),)), NOON)
    assert check is not None
    assert check.limit is None


def test_budget_check__before_its_anchor__is_none() -> None:
    assert budget_check("ann", Budget("b", "day", 5, anchor=date(2030, 1, 1)), NOON) is None


@pytest.mark.parametrize(
    ("scope", "only", "counts"),
    [
        ("consumer", "", True),
        ("operation", "", True),
        ("operation", "/a", True),
        ("operation", "/b", False),
        ("model", "", True),
        ("model", "small", True),
        ("model", "large", False),
    ],
)
def test_budget_check__scope__counts_what_it_is_about(scope: Scope, only: str, counts: bool) -> None:
    budget = Budget("b", "day", 5, scope=scope, only=only)
    assert (budget_check("ann", budget, NOON, api="w", operation="/a", model="small") is not None) == counts


def test_budget_check__model_not_known__is_none() -> None:
    assert budget_check("ann", Budget("b", "day", 5, scope="model"), NOON, operation="/a") is None


@pytest.mark.parametrize(
    ("scope", "other"),
    [("operation", {"operation": "/b"}), ("operation", {"api": "x"}), ("model", {"model": "large"})],
)
def test_budget_check__of_each_operation_or_model__has_a_count_for_each(scope: Scope, other: dict[str, str]) -> None:
    budget = Budget("b", "day", 5, scope=scope)
    asked = {"api": "w", "operation": "/a", "model": "small"}
    one, two = budget_check("ann", budget, NOON, **asked), budget_check("ann", budget, NOON, **{**asked, **other})
    assert one is not None
    assert two is not None
    assert one.counter != two.counter


def test_budget_check__of_a_model__is_one_count_for_all_apis() -> None:
    budget = Budget("b", "day", 5, scope="model")
    assert budget_check("ann", budget, NOON, api="w", model="m") == budget_check(
        "ann", budget, NOON, api="x", model="m"
    )


@pytest.mark.parametrize(
    ("steps", "step"),
    [
        ((Step(50, "warn"),), None),
        ((Step(100, "reject"), Step(90, "throttle")), Step(90, "throttle")),
        ((Step(90, "throttle"), Step(90, "reject")), Step(90, "reject")),
    ],
)
def test_enforced__steps__is_the_lowest_that_refuses(steps: tuple[Step, ...], step: Step | None) -> None:
    assert enforced(Budget("b", "day", 5, steps)) == step


@pytest.mark.parametrize(
    ("used", "code"), [(899, "throttled"), (900, "throttled"), (999, "throttled"), (1_000, "budget_exceeded")]
)
def test_refused_code__of_a_staged_budget__depends_on_what_is_used(used: int, code: str) -> None:
    assert refused_code(STAGED, used, 1) == code


def test_refused_code__request_beyond_the_whole_budget__is_exceeded() -> None:
    assert refused_code(STAGED, 0, 1_001) == "budget_exceeded"


@pytest.mark.parametrize(
    ("used", "percents"), [(0, []), (499, []), (500, [50]), (899, [50]), (900, [50, 90]), (1_000, [50, 90, 100])]
)
def test_reached__count__has_each_step_from_its_share_on(used: int, percents: list[int]) -> None:
    assert [step.percent for step in reached(STAGED, used)] == percents


def test_reached__step_at_zero__is_reached_at_once() -> None:
    assert reached(Budget("b", "day", 100, (Step(0, "warn"),)), 0) == (Step(0, "warn"),)


def test_crossed__jump_over_two__has_both() -> None:
    assert [step.percent for step in crossed(STAGED, 499, 950)] == [50, 90]


@pytest.mark.parametrize(("before", "after"), [(500, 600), (950, 400), (0, 0)])
def test_crossed__none_in_between_or_downwards__is_empty(before: int, after: int) -> None:
    assert crossed(STAGED, before, after) == ()


STEPS = st.lists(
    st.builds(Step, st.integers(0, 200), st.sampled_from(["warn", "throttle", "reject"])), min_size=1, max_size=4
)


@given(STEPS, st.integers(0, 2_000), st.lists(st.integers(0, 500), max_size=10))
def test_crossed__any_growing_count__has_each_step_once(steps: list[Step], limit: int, amounts: list[int]) -> None:
    budget = Budget("b", "day", limit, tuple(dict.fromkeys(steps)))
    used, seen = 0, list(reached(budget, 0))
    for amount in amounts:
        seen += crossed(budget, used, used + amount)
        used += amount
    assert sorted(map(repr, seen)) == sorted(map(repr, reached(budget, used)))


NAMES = st.text(st.sampled_from("a1:/x|é\n"), max_size=4)


@given(st.tuples(NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES))
def test_counter_name__different_hostile_parts__never_collide(
    one: tuple[str, str, str], two: tuple[str, str, str]
) -> None:
    names = [counter_name(consumer, "budget", "b", "day", "wei", None, *scope) for consumer, *scope in (one, two)]
    assert (names[0] == names[1]) == (one == two)


@pytest.mark.parametrize("consumer", ["a" * 10_000, "\n" * 10, "\ud800", "a\x00b"])
def test_counter_name__long_or_not_printable__is_short_and_printable(consumer: str) -> None:
    name = counter_name(consumer, "quota", "day", "day", "calls", None)
    assert name.isprintable()
    assert len(name) < 120


def test_counter_name__text_that_looks_like_a_hash__is_another_name() -> None:
    hashed = counter_name("\n", "quota", "day", "day", "calls", None)
    assert counter_name(hashed.split("/")[0], "quota", "day", "day", "calls", None) != hashed


@pytest.mark.parametrize(
    "change", [{"period": "week"}, {"unit": "wei"}, {"anchor": date(2026, 1, 1)}, {"name": "other"}]
)
def test_counter_name__what_cannot_be_continued__is_counted_anew(change: dict[str, Any]) -> None:
    same: dict[str, Any] = {"name": "day", "period": "day", "unit": "calls", "anchor": None}
    assert counter_name("ann", "quota", **same) != counter_name("ann", "quota", **{**same, **change})


def test_actions__all__are_known_to_refusals() -> None:
    assert {step.action for step in STAGED.steps} == set(Action.__args__)  # type: ignore[attr-defined]
