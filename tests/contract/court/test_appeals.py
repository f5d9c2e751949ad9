"""A verdict that is turned over: before it is final nothing has moved, afterwards nothing is turned over."""

import pytest

from genlayer_localnet import NotAppealable, Receipt

from ..market import ALICE, API, BOB
from .tribunal import CLAIM, DISPUTED, MIN_BOND, PAID, Tribunal

FIRST_VALIDATORS = range(5)


def overturned(tribunal: Tribunal, judged: Receipt) -> Receipt:
    """Appeal; the newcomers must disagree."""
    again = tribunal.net.appeal(judged.id)
    assert "Validator Appeal Successful" in [round_.name for round_ in again.rounds]
    return again


def test_appeal__newcomers_agree__the_verdict_stays(appealed: Tribunal) -> None:
    appealed.open()
    before = appealed.money()
    judged = appealed.judge()
    again = appealed.net.appeal(judged.id)
    assert [round_.name for round_ in again.rounds] == ["Accepted", "Validator Appeal Failed"]
    appealed.final()
    assert appealed.changes(before) == {"alice": 25 + MIN_BOND, "bonds": -MIN_BOND}


@pytest.mark.parametrize(("first", "second"), [(100, 0), (0, 100), (25, 75)])
def test_appeal__before_the_refund_is_final__only_the_second_verdict_is_paid(
    appealed: Tribunal, first: int, second: int
) -> None:
    appealed.open()
    before = appealed.money()
    appealed.judges.say(first)
    judged = appealed.judge()
    assert judged.value["refund_percent"] == first
    appealed.judges.say(second)
    assert overturned(appealed, judged).value["refund_percent"] == second
    assert appealed.dispute()["refund_percent"] == second
    appealed.final()
    refund = {0: 0, 75: 37, 100: 40}[second]
    winner = {"alice": refund + MIN_BOND} if second else {"operator": MIN_BOND}
    assert appealed.changes(before) == {**winner, "bonds": -MIN_BOND}
    assert appealed.paid_day()["refunded_wei"] == refund


def test_appeal__that_leaves_no_verdict__leaves_the_dispute_open(appealed: Tribunal) -> None:
    appealed.open()
    before = appealed.money()
    judged = appealed.judge()
    appealed.judges.say(0, *[0, 100] * 6)
    for index in range(12):
        appealed.judges.of_node[index] = "not JSON" if index % 2 else {"refund_percent": 0, "reason": ""}
    assert overturned(appealed, judged).status == "undetermined"
    assert appealed.status() == "open"
    appealed.final()
    assert (appealed.changes(before), appealed.paid_day()["frozen_wei"]) == ({}, PAID)
    appealed.judges.say(75)
    appealed.judge()
    appealed.final()
    assert appealed.changes(before) == {"alice": 37 + MIN_BOND, "bonds": -MIN_BOND}


def test_appeal__that_ends_without_an_answer__lets_a_call_that_was_too_late_decide(appealed: Tribunal) -> None:
    appealed.open()
    before = appealed.money()
    judged = appealed.judge()
    later = appealed.write("judge", 1)
    assert later.error_code == "not_open"
    # Of the appeal's twelve most have no answer now; the five who run the later call again have one.
    appealed.judges.answer = "none"
    for index in FIRST_VALIDATORS:
        appealed.judges.of_node[index] = {"refund_percent": 75, "reason": ""}
    assert overturned(appealed, judged).error_code == "no_verdict"
    assert appealed.net.transaction(later.id).value["refund_percent"] == 75
    appealed.final()
    assert appealed.changes(before) == {"alice": 37 + MIN_BOND, "bonds": -MIN_BOND}


def test_appeal__after_the_verdict_is_final__is_refused_and_the_refund_stays(appealed: Tribunal) -> None:
    appealed.open()
    before = appealed.money()
    judged = appealed.judge()
    appealed.net.advance(31)
    appealed.judges.say(0)
    with pytest.raises(NotAppealable, match="finalized"):
        appealed.net.appeal(judged.id)
    refund, bond = judged.children
    assert (refund.method, bond.method) == ("refund_by_court", "top_up_for")
    for child in (refund, bond):  # they are not final, and can be voted on again
        appealed.net.appeal(child.id)
    appealed.final()
    assert appealed.changes(before) == {"alice": 25 + MIN_BOND, "bonds": -MIN_BOND}
    assert appealed.paid_day()["refunded_wei"] == 25


def test_appeal__of_an_opening__freezes_once(appealed: Tribunal) -> None:
    opened = appealed.ok("open_dispute", API, DISPUTED, CLAIM, sender=ALICE, value=MIN_BOND)
    appealed.net.appeal(opened.id)
    appealed.final()
    assert appealed.paid_day()["frozen_wei"] == PAID
    assert [child.method for child in appealed.net.transaction(opened.id).children] == ["freeze_by_court"]


def test_appeal__verdict_while_another_dispute_goes_on__does_not_touch_it(appealed: Tribunal) -> None:
    appealed.market.subscribe(BOB)
    day_id = appealed.market.bill(1, BOB)["day_id"]
    appealed.wait_days(2)
    appealed.open()
    appealed.open(BOB, day_id)
    judged = appealed.judge(1)
    appealed.judges.say(100)
    others = appealed.judge(2)
    overturned(appealed, judged)
    appealed.final()
    assert appealed.net.transaction(others.id).value["refund_percent"] == 100
    assert [appealed.dispute(number)["refund_wei"] for number in (1, 2)] == [40, 8]
    assert appealed.money()["bonds"] == appealed.money()["surplus"] == 0
