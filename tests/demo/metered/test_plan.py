"""Who asks for what in the demo of the meter."""

from collections import Counter

import pytest

from demo.metered.plan import GWEI, MIN_REQUESTS, PRICE_WEI, Role, plan_load, trial_calls


@pytest.mark.parametrize(("requests", "consumers"), [(28, 7), (29, 7), (2_000, 49), (100_000, 249)])
def test_plan_load__any_size__has_exactly_the_requests_and_everybody_asks(requests: int, consumers: int) -> None:
    plans = plan_load(requests, consumers)
    assert [plan.number for plan in plans] == list(range(1, consumers + 1))
    assert sum(len(plan.asks) for plan in plans) == requests
    assert min(len(plan.asks) for plan in plans) >= MIN_REQUESTS


def test_plan_load__twice__is_the_same() -> None:
    assert plan_load(500, 20) == plan_load(500, 20)


def test_plan_load__usual_size__has_some_that_ask_much_more() -> None:
    sizes = sorted(len(plan.asks) for plan in plan_load(2_000, 49))
    assert sizes[-1] > 5 * sizes[len(sizes) // 2] / 2


def test_plan_load__roles__are_each_played_once() -> None:
    roles = Counter(plan.role for plan in plan_load(40, 10))
    assert roles == {Role.ORDINARY: 3} | {role: 1 for role in Role if role is not Role.ORDINARY}


def test_plan_load__short_hold_trial_and_session__are_for_half_of_the_requests() -> None:
    plans = {plan.role: plan for plan in plan_load(2_000, 49)}
    short, trial, session = plans[Role.SHORT_HOLD], plans[Role.TRIAL], plans[Role.SESSION]
    assert 0 < session.allowed < len(session.asks) <= session.hold_wei // GWEI
    assert short.hold_wei == short.allowed * GWEI
    assert 0 < short.allowed < len(short.asks)
    assert 0 < trial.allowed < len(trial.asks) <= trial.hold_wei // GWEI
    assert trial_calls(tuple(plans.values())) == trial.allowed


def test_plan_load__repeated_request__is_one_with_a_key_and_stands_twice() -> None:
    (plan,) = (plan for plan in plan_load(40, 10) if plan.role is Role.REPEATS)
    assert Counter(ask for ask in plan.asks if ask.idempotency_key).most_common() == [(plan.asks[0], 2)]


def test_plan_load__ordinary_holds__cover_the_dearest_requests() -> None:
    for plan in plan_load(2_000, 49):
        if plan.role is Role.ORDINARY:
            assert plan.hold_wei >= PRICE_WEI + 92 * GWEI * len(plan.asks)


@pytest.mark.parametrize(("requests", "consumers", "because"), [(100, 6, "7 roles"), (31, 8, "at least 32 requests")])
def test_plan_load__too_small__is_refused(requests: int, consumers: int, because: str) -> None:
    with pytest.raises(ValueError, match=because):
        plan_load(requests, consumers)
