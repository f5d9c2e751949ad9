"""What the state machine and the reading around it found, each as the shortest course of events that shows it."""

from typing import Any

import pytest

from ..forms import Form
from .arena import ALICE, ALINE, MIA, OLGA, OTTO, Arena
from .play import Play


@pytest.fixture
def play(form: Form) -> Play:
    """OLGA's API `a` at 2 wei, 6 calls a day."""
    play = Play(Arena("keep", form))
    play.perform("register_api", OLGA, "a", 2, 6)
    return play


def entry(play: Play, consumer: str, calls: int, spend_wei: int) -> dict[str, Any]:
    return {"consumer": consumer, "day_id": play.model.today, "calls": calls, "spend_wei": spend_wei}


def hand_over(play: Play, former: str, new: str) -> None:
    play.perform("propose_operator", former, "a", new)
    play.perform("accept_operator", new, "a")


def test_settle_usage__calls_for_nothing_over_a_lowered_cap__are_refused_and_the_rest_is_billed(play: Play) -> None:
    """A consumer that lowered its cap below what it had spent could make the operator's whole batch a VM error."""
    play.perform("subscribe", ALICE, "a", 4, 4, value=4)
    play.perform("subscribe", ALINE, "a", 4, 4, value=4)
    play.perform("consume_credit", ALICE, "a", ALICE, 2)
    play.perform("subscribe", ALICE, "a", 3, 0)
    outcome = play.perform("settle_usage", OLGA, "a", 1, [entry(play, ALICE, 1, 0), entry(play, ALINE, 1, 2)])
    assert [line["code"] for line in outcome.answer["entries"]] == ["daily_spend_exceeded", ""]


def test_settle_usage__calls_for_nothing__give_no_low_credit_notice(play: Play) -> None:
    """Credit that did not fall cannot have fallen to the alert level."""
    play.perform("subscribe", ALICE, "a", 4, 0)
    play.perform("settle_usage", OLGA, "a", 1, [entry(play, ALICE, 1, 0)])
    assert play.model.accounts[ALICE].notices == []
    play.finish()


def test_set_meter__api_handed_over_and_back__first_operators_meter_stays_without_rights(play: Play) -> None:
    """Meters end with a hand-over, also when the API comes back to who had allowed them."""
    play.perform("subscribe", ALICE, "a", 4, 4, value=4)
    play.perform("set_meter", OLGA, "a", MIA, True)
    hand_over(play, OLGA, OTTO)
    hand_over(play, OTTO, OLGA)
    assert play.perform("consume_credit", MIA, "a", ALICE).code == "not_authorized"


def test_settle_usage__day_and_month_limits_lowered_below_the_usage__gives_the_code_of_the_quote(play: Play) -> None:
    """Two limits stop the call; settlement and quote name the same one."""
    play.perform("subscribe", ALICE, "a", 20, 20, value=20)
    play.perform("consume_credit", ALICE, "a", ALICE, 3)
    play.perform("register_api", OLGA, "a", 2, 1, 1)
    outcome = play.perform("settle_usage", OLGA, "a", 1, [entry(play, ALICE, 1, 2)])
    assert outcome.answer["entries"][0]["code"] == "daily_limit_exceeded"
    assert play.perform("consume_credit", ALICE, "a", ALICE).code == "daily_limit_exceeded"
