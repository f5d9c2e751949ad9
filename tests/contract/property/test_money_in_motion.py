"""Amounts the whole contract arrives at, for numbers nobody chose by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..forms import FORMS
from ..invariant.arena import ALICE, OLGA, Arena
from ..invariant.model import DAY_SECONDS
from ..invariant.play import Play
from ..invariant.profiles import property_settings

WEI = st.one_of(st.integers(1, 500), st.integers(1, 10**24))
FEW = property_settings(40)


@pytest.fixture(scope="module", params=FORMS)
def registered(request: pytest.FixtureRequest) -> Play:
    """An API of OLGA without limits worth mentioning; the arena is set back to it."""
    arena = Arena("keep", request.param)
    play = Play(arena)
    play.perform("register_api", OLGA, "a", 10**25, 10**9)
    arena.keep_as_fresh()
    return play


@FEW
@given(calls=st.integers(1, 10**6), spend=WEI, cap=WEI, credit=WEI, hold=st.integers(0, 300))
def test_settle_usage__any_spend_cap_and_credit__bills_as_much_as_fits_and_no_wei_more(
    registered: Play, calls: int, spend: int, cap: int, credit: int, hold: int
) -> None:
    play = registered.again(registered.tally)
    hold = min(hold, credit)
    play.perform("subscribe", ALICE, "a", cap, credit, value=credit)
    if hold:
        play.perform("place_hold", ALICE, "a", hold, play.arena.now + DAY_SECONDS)
    entry = {"consumer": ALICE, "day_id": play.model.today, "calls": calls, "spend_wei": spend}
    (line,) = play.perform("settle_usage", OLGA, "a", 1, [entry]).answer["entries"]
    billed, charged = line["billed_calls"], line["billed_wei"]
    assert charged == spend * billed // calls <= min(cap, credit)
    assert billed == calls or spend * (billed + 1) // calls > min(cap, credit)


@FEW
@given(full=st.integers(1, 10**6), percent=st.integers(0, 100), data=st.data())
def test_low_credit__credit_falls_step_by_step__is_told_once_and_exactly_at_the_level(
    registered: Play, full: int, percent: int, data: st.DataObject
) -> None:
    play, left = registered.again(registered.tally), full
    play.perform("top_up_credit", ALICE, full, value=full)
    play.perform("set_low_credit_alert", ALICE, percent)
    while left and data.draw(st.booleans()):
        level = full * percent // 100
        taken = data.draw(st.sampled_from(sorted({1, left, max(left - level, 1), max(left - level - 1, 1)})))
        left -= min(taken, left)
        play.perform("withdraw_credit", ALICE, min(taken, play.model.accounts[ALICE].credit))
        low = percent > 0 and left * 100 <= full * percent
        assert play.before.account(ALICE)["low_credit"] is low
        assert play.before.reports[ALICE]["notices"] == int(low)


def test_history__410_days_of_use__keeps_the_last_400() -> None:
    arena = Arena("keep")
    play = Play(arena)
    play.perform("register_api", OLGA, "a", 1, 5)
    play.perform("subscribe", ALICE, "a", 5, 1_000, value=1_000)
    first = play.model.today
    for _ in range(410):
        assert arena.call("consume_credit", ALICE, ["a", ALICE]).kind == "return"
        arena.net.advance(DAY_SECONDS)
    (shown,) = arena.ask([("get_usage_history", ALICE, "a", 0, first + 1_000)]).values()
    # Today, without usage yet, is one of the 400 days.
    assert [day["day_id"] for day in shown] == list(range(first + 11, first + 410))
