"""Refunds by the operator: from withdrawable earnings, or from a day whose earnings still wait."""

import pytest

from ..market import (
    ALICE,
    API,
    BOB,
    CAP,
    DEPOSIT,
    METER,
    NOW,
    OPERATOR,
    PRICE,
    RIVAL,
    STRANGER,
    TODAY,
    Market,
    entry,
    event_names,
)
from ..promised import check_books, earnings, on_day, promise

TOMORROW = TODAY + 1


@pytest.fixture
def paid(market: Market) -> Market:
    """ALICE has paid 30 wei, and the operator can withdraw them."""
    market.bill(3)
    return market


@pytest.fixture
def waiting(market: Market) -> Market:
    """ALICE has paid 30 wei, which wait, and before that 20, which the operator can withdraw; the day is TOMORROW."""
    market.bill(2)
    promise(market, STRANGER)
    on_day(market, 1)
    market.bill(3)
    return market


# ---- from withdrawable earnings ----


def test_refund__from_earnings__is_the_consumers_credit(paid: Market) -> None:
    receipt = paid.ok("refund", API, ALICE, 25, "sorry", sender=OPERATOR)
    assert receipt.value is None
    assert event_names(receipt) == ["Refunded"]
    assert (paid.credit(), earnings(paid)["withdrawable"], earnings(paid)["refunded"]) == (DEPOSIT - 5, 5, 25)
    check_books(paid)


def test_refund__leaves_a_notice(paid: Market) -> None:
    paid.ok("refund", API, ALICE, 25, "sorry", sender=OPERATOR)
    assert paid.view("list_notices", ALICE) == [
        {
            "number": 1,
            "at": NOW,
            "kind": "refund",
            "api_name": API,
            "code": "refunded",
            "calls": 0,
            "amount_wei": 25,
        }
    ]


def test_refund__usage_and_alert_level__stay(market: Market) -> None:
    market.bill(3)
    usage = {key: market.line()[key] for key in ("calls_today", "spend_today_wei", "calls_month", "spend_month_wei")}
    market.ok("refund", API, ALICE, 30, sender=OPERATOR)
    assert (market.account()["topped_up_wei"], market.credit()) == (DEPOSIT, DEPOSIT)
    assert {key: market.line()[key] for key in usage} == usage


def test_refund__above_the_alert_level_again__arms_the_alert(market: Market) -> None:
    market.ok("set_low_credit_alert", 98, sender=ALICE)
    market.bill(3)
    assert market.account()["low_credit"] is True
    market.ok("refund", API, ALICE, 10, sender=OPERATOR)
    assert market.account()["low_credit"] is True
    market.ok("refund", API, ALICE, 1, sender=OPERATOR)
    assert market.account()["low_credit"] is False


def test_refund__of_more_than_the_earnings__is_refused(paid: Market) -> None:
    paid.refused("insufficient_earnings", "refund", API, ALICE, 31, sender=OPERATOR)
    paid.ok("refund", API, ALICE, 30, sender=OPERATOR)
    paid.refused("insufficient_earnings", "refund", API, ALICE, 1, sender=OPERATOR)


def test_refund__of_more_than_that_consumer_ever_paid__is_the_operators_to_give(paid: Market) -> None:
    paid.subscribe(BOB, deposit=0)
    paid.ok("refund", API, BOB, 30, sender=OPERATOR)
    assert (paid.credit(BOB), paid.credit()) == (30, DEPOSIT - 30)
    check_books(paid)


def test_refund__then_withdrawal__sums_up(paid: Market) -> None:
    paid.ok("refund", API, ALICE, 10, sender=OPERATOR)
    paid.ok("withdraw_earnings", 20, sender=OPERATOR)
    paid.refused("insufficient_earnings", "refund", API, ALICE, 1, sender=OPERATOR)
    paid.net.process("finalized")
    check_books(paid)


@pytest.mark.parametrize("caller", [METER, ALICE, RIVAL, STRANGER])
def test_refund__by_anyone_else__is_refused(paid: Market, caller: str) -> None:
    paid.refused("not_operator", "refund", API, ALICE, 1, sender=caller)


def test_refund__by_the_former_operator__is_refused_and_its_earnings_stay(paid: Market) -> None:
    paid.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    paid.ok("accept_operator", API, sender=RIVAL)
    paid.refused("not_operator", "refund", API, ALICE, 1, sender=OPERATOR)
    paid.refused("insufficient_earnings", "refund", API, ALICE, 1, sender=RIVAL)
    assert earnings(paid)["withdrawable"] == 30


def test_refund__never_subscribed__is_refused(paid: Market) -> None:
    paid.ok("top_up_for", BOB, 1, sender=BOB, value=1)
    for consumer in (BOB, STRANGER):
        paid.refused("not_subscribed", "refund", API, consumer, 1, sender=OPERATOR)


def test_refund__after_unsubscribing__is_credited(paid: Market) -> None:
    paid.ok("unsubscribe", API, sender=ALICE)
    paid.ok("refund", API, ALICE, 30, sender=OPERATOR)
    assert paid.credit() == DEPOSIT


def test_refund__to_a_consumer_in_a_session__is_free_credit(paid: Market) -> None:
    paid.ok("place_hold", API, 100, NOW + 60, RIVAL, sender=ALICE)
    paid.ok("refund", API, ALICE, 30, sender=OPERATOR)
    assert (paid.credit(), paid.line()["hold_wei"]) == (DEPOSIT - 100, 100)


@pytest.mark.parametrize("reason", ["", "x" * 200, "ü" * 200, "日" * 200, "a b"])
def test_refund__reason_of_at_most_200_characters__is_announced(paid: Market, reason: str) -> None:
    (event,) = paid.ok("refund", API, ALICE, 1, reason, sender=OPERATOR).events
    assert event.fields["reason"] == reason


@pytest.mark.parametrize("reason", ["x" * 201, "a\nb", "a\r[Refunded] api_name=maps", "\t", "\x7f", "\u2028"])
def test_refund__reason_that_would_break_the_printed_line__is_refused(paid: Market, reason: str) -> None:
    paid.refused("bad_reason", "refund", API, ALICE, 1, reason, sender=OPERATOR)


# ---- from a day whose earnings wait ----


def test_refund__of_a_waiting_day__leaves_withdrawable_earnings_alone(waiting: Market) -> None:
    waiting.ok("refund", API, ALICE, 25, "", TOMORROW, sender=OPERATOR)
    assert earnings(waiting) == {"withdrawable": 20, "pending": 5, "frozen": 0, "refunded": 25}
    assert waiting.credit() == DEPOSIT - 50 + 25
    check_books(waiting)


def test_refund__without_a_day_while_earnings_wait__takes_withdrawable_ones_only(waiting: Market) -> None:
    waiting.refused("insufficient_earnings", "refund", API, ALICE, 21, sender=OPERATOR)
    waiting.ok("refund", API, ALICE, 20, sender=OPERATOR)
    assert earnings(waiting) == {"withdrawable": 0, "pending": 30, "frozen": 0, "refunded": 20}


def test_refund__of_a_waiting_day__at_most_what_was_paid_less_what_was_refunded(waiting: Market) -> None:
    waiting.subscribe(BOB)
    waiting.bill(5, consumer=BOB)
    waiting.refused("refund_above_paid", "refund", API, ALICE, 31, "", TOMORROW, sender=OPERATOR)
    waiting.ok("refund", API, ALICE, 20, "", TOMORROW, sender=OPERATOR)
    waiting.refused("refund_above_paid", "refund", API, ALICE, 11, "", TOMORROW, sender=OPERATOR)
    waiting.ok("refund", API, ALICE, 10, "", TOMORROW, sender=OPERATOR)
    waiting.refused("refund_above_paid", "refund", API, ALICE, 1, "", TOMORROW, sender=OPERATOR)
    assert earnings(waiting)["pending"] == 50
    check_books(waiting)


def test_refund__of_a_day_that_goes_on__may_follow_what_is_paid_later(waiting: Market) -> None:
    waiting.ok("refund", API, ALICE, 30, "", TOMORROW, sender=OPERATOR)
    waiting.bill()
    on_day(waiting, 2)
    waiting.settle(entry(day_id=TOMORROW))
    waiting.refused("refund_above_paid", "refund", API, ALICE, 2 * PRICE + 1, "", TOMORROW, sender=OPERATOR)
    waiting.ok("refund", API, ALICE, 2 * PRICE, "", TOMORROW, sender=OPERATOR)
    assert earnings(waiting)["pending"] == 0
    check_books(waiting)


def test_refund__of_a_waiting_day__is_seen_in_the_days_of_the_api_and_of_the_consumer(waiting: Market) -> None:
    waiting.ok("refund", API, ALICE, 25, "", TOMORROW, sender=OPERATOR)
    assert waiting.view("get_api_days", API)[-1]["earned_wei"] == 5
    paid_day = waiting.view("get_paid_day", API, ALICE, TOMORROW)
    assert (paid_day["paid_wei"], paid_day["refunded_wei"], paid_day["pending"]) == (30, 25, True)


@pytest.mark.parametrize("day", [TODAY, TODAY - 1, TODAY + 2, 1, 2**32, 2**128 - 1])
def test_refund__of_a_day_that_does_not_wait__is_refused(waiting: Market, day: int) -> None:
    waiting.refused("day_not_pending", "refund", API, ALICE, 1, "", day, sender=OPERATOR)


def test_refund__of_a_day_that_was_collected__is_refused(waiting: Market) -> None:
    on_day(waiting, 1 + 4)
    waiting.ok("collect_earnings", API, sender=STRANGER)
    waiting.refused("day_not_pending", "refund", API, ALICE, 1, "", TOMORROW, sender=OPERATOR)
    waiting.ok("refund", API, ALICE, 50, sender=OPERATOR)
    check_books(waiting)


def test_refund__of_a_day_whose_place_in_the_ring_another_took__is_refused(waiting: Market) -> None:
    on_day(waiting, 1 + 64)
    waiting.bill()
    waiting.refused("day_not_pending", "refund", API, ALICE, 1, "", TOMORROW, sender=OPERATOR)
    check_books(waiting)


def test_refund__of_a_frozen_day__is_refused(waiting: Market) -> None:
    on_day(waiting, 3)
    waiting.ok("freeze_by_court", API, ALICE, TOMORROW, sender=STRANGER)
    waiting.refused("already_frozen", "refund", API, ALICE, 1, "", TOMORROW, sender=OPERATOR)
    waiting.ok("refund_by_court", API, ALICE, TOMORROW, 10, sender=STRANGER)
    waiting.refused("already_frozen", "refund", API, ALICE, 1, "", TOMORROW, sender=OPERATOR)


def test_refund__spent_again__is_earned_again(waiting: Market) -> None:
    """Money that goes round is counted each time."""
    waiting.ok("subscribe", API, CAP, 0, sender=ALICE)
    for _ in range(3):
        waiting.ok("refund", API, ALICE, 10, "", TOMORROW, sender=OPERATOR)
    waiting.bill(2)
    check_books(waiting)
    assert earnings(waiting) == {"withdrawable": 20, "pending": 20, "frozen": 0, "refunded": 30}
