"""Billing a call: who may, what it costs, what stops it; and `quote_call`, which says the same beforehand."""

import pytest

from ..market import (
    ALICE,
    API,
    BOB,
    CAP,
    DEPOSIT,
    METER,
    OPERATOR,
    PRICE,
    RIVAL,
    STRANGER,
    TODAY,
    Market,
)


def test_consume_credit__one_call__takes_the_price_and_returns_the_receipt(market: Market) -> None:
    assert market.ok("consume_credit", API, ALICE, sender=ALICE).value == {
        "receipt_id": f"{API}:{ALICE}:{TODAY}:1",
        "api_name": API,
        "consumer": ALICE,
        "day_id": TODAY,
        "call_no": 1,
        "cost_wei": PRICE,
        "credit_wei": DEPOSIT - PRICE,
    }
    assert (market.credit(), market.earnings()) == (DEPOSIT - PRICE, PRICE)


def test_consume_credit__several_calls__are_one_receipt_numbered_by_the_last(market: Market) -> None:
    market.bill()
    receipt = market.bill(3)
    assert (receipt["call_no"], receipt["cost_wei"]) == (4, 3 * PRICE)


@pytest.mark.parametrize("caller", [ALICE, OPERATOR, METER])
def test_consume_credit__consumer_operator_or_meter__may(market: Market, caller: str) -> None:
    assert market.ok("consume_credit", API, ALICE, sender=caller).value["call_no"] == 1


@pytest.mark.parametrize("caller", [STRANGER, BOB, RIVAL])
def test_consume_credit__anyone_else__may_not(market: Market, caller: str) -> None:
    market.refused("not_authorized", "consume_credit", API, ALICE, sender=caller)


def test_consume_credit__operator_of_another_api__may_not(market: Market) -> None:
    market.register("maps", RIVAL)
    market.refused("not_authorized", "consume_credit", API, ALICE, sender=RIVAL)


def test_consume_credit__bills_the_consumer_not_the_caller(market: Market) -> None:
    market.subscribe(METER, deposit=500)
    market.ok("consume_credit", API, ALICE, sender=METER)
    assert (market.credit(ALICE), market.credit(METER)) == (DEPOSIT - PRICE, 500)


# Each row: how many calls are billed first, the plan's limits, cap and deposit, the calls then asked for, the code.
LIMITS = [
    (4, {"daily": 5}, CAP, DEPOSIT, 1, ""),
    (4, {"daily": 5}, CAP, DEPOSIT, 2, "daily_limit_exceeded"),
    (5, {"daily": 5}, CAP, DEPOSIT, 1, "daily_limit_exceeded"),
    (4, {"monthly": 5}, CAP, DEPOSIT, 1, ""),
    (4, {"monthly": 5}, CAP, DEPOSIT, 2, "monthly_limit_exceeded"),
    (4, {}, 50, DEPOSIT, 1, ""),
    (4, {}, 50, DEPOSIT, 2, "daily_spend_exceeded"),
    (4, {}, 59, DEPOSIT, 2, "daily_spend_exceeded"),
    (4, {}, 60, DEPOSIT, 2, ""),
    (4, {}, CAP, 50, 1, ""),
    (4, {}, CAP, 50, 2, "insufficient_credit"),
    (4, {}, CAP, 49, 1, "insufficient_credit"),
    (4, {"daily": 5, "monthly": 5}, 50, 50, 2, "daily_limit_exceeded"),
    (4, {"monthly": 5}, 50, 50, 2, "monthly_limit_exceeded"),
    (4, {}, 50, 50, 2, "daily_spend_exceeded"),
    (0, {"daily": 5}, CAP, DEPOSIT, 2**48 - 1, "daily_limit_exceeded"),
    (0, {}, 2**128 - 1, DEPOSIT, 101, "insufficient_credit"),
]
TEXTS = {
    "daily_limit_exceeded": "daily call limit exceeded",
    "monthly_limit_exceeded": "monthly limit exceeded",
    "daily_spend_exceeded": "max daily spend exceeded",
    "insufficient_credit": "insufficient prepaid credit",
}


@pytest.mark.parametrize(("before", "limits", "cap", "deposit", "calls", "code"), LIMITS)
def test_limit__reached_or_passed__call_and_quote_agree(
    billing: Market, before: int, limits: dict[str, int], cap: int, deposit: int, calls: int, code: str
) -> None:
    billing.register(**limits)
    billing.subscribe(deposit=deposit, cap=cap)
    if before:
        billing.bill(before)
    quote = billing.view("quote_call", API, ALICE, calls)
    assert {key: quote[key] for key in ("allowed", "code", "cost_wei", "credit_wei")} == {
        "allowed": code == "",
        "code": code,
        "cost_wei": calls * PRICE,
        "credit_wei": deposit - before * PRICE,
    }
    if code:
        refusal = billing.refused(code, "consume_credit", API, ALICE, calls, sender=ALICE)
        assert TEXTS[code] in str(refusal.message)
    else:
        assert billing.bill(calls)["cost_wei"] == quote["cost_wei"]


def test_quote_call__calls_left_out__is_about_one(market: Market) -> None:
    assert market.view("quote_call", API, ALICE)["cost_wei"] == PRICE


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("code", ["api_paused", "not_subscribed"])
def test_quote_call__of_a_call_that_cannot_be_made__costs_nothing(market: Market, code: str, calls: int) -> None:
    if code == "api_paused":
        market.ok("set_api_active", API, False, sender=OPERATOR)
    else:
        market.ok("unsubscribe", API, sender=ALICE)
    quote = market.view("quote_call", API, ALICE, calls)
    assert (quote["allowed"], quote["code"], quote["cost_wei"]) == (False, code, 0)


def test_quote_call__unknown_consumer__is_not_subscribed(market: Market) -> None:
    quote = market.view("quote_call", API, BOB)
    assert (quote["allowed"], quote["code"], quote["credit_wei"]) == (False, "not_subscribed", 0)
    market.refused("not_subscribed", "consume_credit", API, BOB, sender=BOB)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("set_api_active", API, False), "api_paused"),
        (("register_api", API, PRICE + 1, 5, 12), "price_changed"),
        (("register_api", API, PRICE - 1, 5, 12), ""),
        (("set_api_active", API, True), ""),
    ],
)
def test_quote_call__after_a_change_by_the_operator__agrees_with_the_call(
    market: Market, change: tuple[object, ...], code: str
) -> None:
    market.ok(str(change[0]), *change[1:], sender=OPERATOR)
    quote = market.view("quote_call", API, ALICE, 2)
    receipt = market.write("consume_credit", API, ALICE, 2, sender=ALICE)
    assert quote["code"] == code == (receipt.error_code or "")
    if not code:
        assert receipt.value["cost_wei"] == quote["cost_wei"]


@pytest.mark.parametrize("calls", [0, -1])
def test_consume_credit__no_calls__is_refused(market: Market, calls: int) -> None:
    market.refused("calls_not_positive", "consume_credit", API, ALICE, calls, sender=ALICE)
    assert market.view_code("quote_call", API, ALICE, calls) == "calls_not_positive"


def test_consume_credit__unknown_api__is_refused(market: Market) -> None:
    refusal = market.refused("api_not_registered", "consume_credit", "maps", ALICE, sender=ALICE)
    assert "api not registered" in str(refusal.message)
    assert market.view_code("quote_call", "maps", ALICE) == "api_not_registered"


def test_consume_credit__held_credit__is_not_spent(market: Market) -> None:
    market.ok("place_hold", API, DEPOSIT - PRICE, 1_800_000_000, sender=ALICE)
    market.bill()
    market.refused("insufficient_credit", "consume_credit", API, ALICE, sender=ALICE)


def test_consume_credit__storage_access__stays_within_the_target(wide: Market) -> None:
    wide.bill()
    receipt = wide.ok("consume_credit", API, ALICE, sender=ALICE)
    assert (receipt.storage_reads <= 50, receipt.storage_writes <= 6) == (True, True)
