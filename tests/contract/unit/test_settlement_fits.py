"""How much of a settled entry is billed, from what, and the reason the rest is not."""

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
    TODAY,
    Market,
    entry,
)

TOMORROW_NOON = "2026-01-16T12:00:00Z"

# Limits of the plan, cap, deposit, hold; calls and spend of the entry; calls and wei billed, code.
FITS = [
    ({}, CAP, DEPOSIT, 0, 4, 40, 4, 40, ""),
    ({}, CAP, DEPOSIT, 0, 4, 0, 4, 0, ""),
    ({}, CAP, DEPOSIT, 0, 4, 41, 0, 0, "spend_above_price"),
    ({"daily": 3}, CAP, DEPOSIT, 0, 3, 30, 3, 30, ""),
    ({"daily": 3}, CAP, DEPOSIT, 0, 4, 40, 3, 30, "daily_limit_exceeded"),
    ({"daily": 3}, CAP, DEPOSIT, 0, 7, 10, 3, 4, "daily_limit_exceeded"),
    ({"daily": 3}, CAP, DEPOSIT, 0, 2**48 - 1, 3, 3, 0, "daily_limit_exceeded"),
    ({"monthly": 3}, CAP, DEPOSIT, 0, 4, 40, 3, 30, "monthly_limit_exceeded"),
    ({}, 30, DEPOSIT, 0, 3, 30, 3, 30, ""),
    ({}, 29, DEPOSIT, 0, 3, 30, 2, 20, "daily_spend_exceeded"),
    ({}, 9, DEPOSIT, 0, 3, 30, 0, 0, "daily_spend_exceeded"),
    ({}, 10, DEPOSIT, 0, 3, 11, 2, 7, "daily_spend_exceeded"),
    ({}, CAP, 29, 0, 3, 30, 2, 20, "insufficient_credit"),
    ({}, CAP, 5, 0, 3, 11, 1, 3, "insufficient_credit"),
    ({}, CAP, 7, 0, 3, 11, 2, 7, "insufficient_credit"),
    ({}, CAP, 0, 0, 100, 1, 99, 0, "insufficient_credit"),
    ({}, CAP, 30, 30, 3, 30, 3, 30, ""),
    ({}, CAP, 30, 12, 4, 40, 3, 30, "insufficient_credit"),
    ({"daily": 2, "monthly": 2}, 20, 20, 5, 4, 40, 2, 20, "daily_limit_exceeded"),
    ({"daily": 3, "monthly": 2}, 20, 20, 0, 4, 40, 2, 20, "monthly_limit_exceeded"),
    ({"daily": 3, "monthly": 3}, 20, 10, 0, 4, 40, 1, 10, "insufficient_credit"),
]


@pytest.mark.parametrize(("limits", "cap", "deposit", "hold", "calls", "spend", "billed", "wei", "code"), FITS)
def test_entry__of_some_size__is_billed_as_far_as_it_fits(
    billing: Market,
    limits: dict[str, int],
    cap: int,
    deposit: int,
    hold: int,
    calls: int,
    spend: int,
    billed: int,
    wei: int,
    code: str,
) -> None:
    billing.register(**limits)
    billing.subscribe(deposit=deposit, cap=cap)
    if hold:
        billing.ok("place_hold", API, hold, NOW + 60, sender=ALICE)
    (line,) = billing.settle(entry(calls=calls, spend_wei=spend))["entries"]
    assert (line["billed_calls"], line["billed_wei"], line["code"]) == (billed, wei, code)
    assert (line["calls"], line["spend_wei"]) == (calls, spend)
    shown = billing.line()
    assert (shown["calls_today"], shown["spend_today_wei"], shown["calls_month"]) == (billed, wei, billed)
    account = billing.account()
    assert (account["credit_wei"] + account["held_wei"], billing.earnings()) == (deposit - wei, wei)
    assert account["held_wei"] == max(hold - wei, 0)


def test_entry__of_usage_before__counts_with_it(market: Market) -> None:
    market.bill(2)
    market.settle(entry(calls=2))
    (line,) = market.settle(entry(calls=2))["entries"]
    assert (line["billed_calls"], line["code"]) == (1, "daily_limit_exceeded")
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)


def test_entries__of_one_consumer_in_one_batch__count_together(market: Market) -> None:
    lines = market.settle(entry(calls=3), entry(calls=3), entry())["entries"]
    assert [(line["billed_calls"], line["code"]) for line in lines] == [
        (3, ""),
        (2, "daily_limit_exceeded"),
        (0, "daily_limit_exceeded"),
    ]


def test_hold__is_used_before_free_credit(market: Market) -> None:
    market.ok("place_hold", API, 25, NOW + 60, sender=ALICE)
    market.settle(entry(calls=2))
    assert (market.line()["hold_wei"], market.credit()) == (5, DEPOSIT - 25)
    market.settle(entry(calls=2))
    assert (market.line()["hold_wei"], market.credit()) == (0, DEPOSIT - 40)


def test_hold__expired_but_not_released__still_pays(market: Market) -> None:
    market.ok("place_hold", API, 25, NOW + 60, sender=ALICE)
    market.at(TOMORROW_NOON)
    market.settle(entry())
    assert market.line()["hold_wei"] == 15


@pytest.mark.parametrize(
    ("days_ago", "code"), [(0, ""), (1, ""), (2, "day_closed"), (-1, "day_closed"), (400, "day_closed")]
)
def test_day__today_or_yesterday__is_open(market: Market, days_ago: int, code: str) -> None:
    market.at(TOMORROW_NOON)
    assert market.settle(entry(day_id=TODAY + 1 - days_ago))["entries"][0]["code"] == code


@pytest.mark.parametrize("day_id", [0, 2**64, 2**128 - 1])
def test_day__far_away__is_closed(market: Market, day_id: int) -> None:
    assert market.settle(entry(day_id=day_id))["entries"][0]["code"] == "day_closed"


def test_day__yesterday_until_midnight__is_open(market: Market) -> None:
    market.at("2026-01-16T23:59:59Z")
    assert market.settle(entry())["entries"][0]["code"] == ""
    market.at("2026-01-17T00:00:00Z")
    assert market.settle(entry())["entries"][0]["code"] == "day_closed"


def test_yesterdays_usage__is_held_against_yesterdays_limits(market: Market) -> None:
    market.bill(4)
    market.at(TOMORROW_NOON)
    market.bill(5)
    (line,) = market.settle(entry(calls=2))["entries"]
    assert (line["billed_calls"], line["code"]) == (1, "daily_limit_exceeded")
    assert market.line()["calls_today"] == 5


def test_entry__unsubscribed_without_hold__is_refused(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    assert market.settle(entry())["entries"][0]["code"] == "not_subscribed"
    market.subscribe(deposit=0)
    assert market.settle(entry())["entries"][0]["code"] == ""


@pytest.mark.parametrize("spend", [0, 1])
def test_entry__after_the_cap_was_lowered_below_todays_spend__does_not_break_the_batch(
    wide: Market, spend: int
) -> None:
    wide.subscribe(BOB)
    wide.bill(5)
    wide.subscribe(deposit=0, cap=10)
    receipt = wide.write("settle_usage", API, 1, [entry(spend_wei=spend), entry(BOB)], sender=METER)
    assert receipt.kind == "return", receipt.stderr
    assert receipt.value["entries"][1]["billed_calls"] == 1


@pytest.mark.parametrize("limit", ["daily", "monthly"])
def test_entry__after_the_limit_was_lowered_below_todays_calls__bills_nothing(wide: Market, limit: str) -> None:
    wide.bill(5)
    wide.ok("set_plan", API, "standard", PRICE, *((3, 0) if limit == "daily" else (0, 3)), sender=OPERATOR)
    (line,) = wide.settle(entry())["entries"]
    assert (line["billed_calls"], line["code"]) == (0, f"{limit}_limit_exceeded")


def test_settled_spend__rounded_down__sums_up_everywhere(wide: Market) -> None:
    wide.register(daily=3)
    outcome = wide.settle(entry(calls=7, spend_wei=10))
    assert outcome["billed_wei"] == 10 * 3 // 7
    assert (wide.line()["spend_today_wei"], wide.earnings(), DEPOSIT - wide.credit()) == (4, 4, 4)
