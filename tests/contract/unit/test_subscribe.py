"""Subscriptions, plans, and the price a consumer has accepted."""

import pytest

from ..market import ALICE, API, BOB, CAP, DEPOSIT, OPERATOR, PRICE, Market, entry


def test_subscribe__first_time__accepts_plan_price_and_cap(market: Market) -> None:
    answer = market.subscribe(BOB, deposit=50, cap=30).value
    assert answer == {
        "ok": True,
        "credited_wei": 50,
        "credit_wei": 50,
        "plan_name": "standard",
        "accepted_price_wei": PRICE,
        "max_daily_spend_wei": 30,
    }
    assert market.account(BOB)["subscriptions"] == [API]


def test_subscribe__without_deposit__is_accepted(market: Market) -> None:
    assert market.subscribe(BOB, deposit=0).value["credit_wei"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((API, 0, 0), "max_spend_not_positive", "max_daily_spend_wei must be positive"),
        ((API, -5, 0), "max_spend_not_positive", "max_daily_spend_wei must be positive"),
        ((API, CAP, -1), "negative_deposit", "initial_deposit_wei cannot be negative"),
        ((API, CAP, 5), "value_mismatch", "value mismatch"),
        (("maps", CAP, 0), "api_not_registered", "api not registered"),
        ((API, CAP, 0, "gold"), "plan_not_found", "plan not found"),
    ],
)
def test_subscribe__bad_argument__is_refused_with_the_known_text(
    market: Market, arguments: tuple[object, ...], code: str, text: str
) -> None:
    receipt = market.refused(code, "subscribe", *arguments, sender=BOB)
    assert str(receipt.message).startswith(f"[EXPECTED] {code}: {text}")


def test_subscribe__again__adds_credit_and_changes_the_cap(market: Market) -> None:
    market.subscribe(deposit=5, cap=77)
    assert (market.credit(), market.line()["consumer_max_daily_spend_wei"]) == (DEPOSIT + 5, 77)
    assert len(market.report(ALICE)["apis"]) == 1


def test_subscribe__other_plan__bills_its_price(market: Market) -> None:
    market.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    market.ok("subscribe", API, CAP, 0, "gold", sender=ALICE)
    assert market.bill(20)["cost_wei"] == 60
    assert (market.line()["plan_name"], market.line()["accepted_price_wei"]) == ("gold", 3)


def test_subscribe__other_plan_on_the_same_day__usage_is_kept(market: Market) -> None:
    market.bill(4)
    market.ok("set_plan", API, "small", 1, 4, 0, sender=OPERATOR)
    market.ok("subscribe", API, CAP, 0, "small", sender=ALICE)
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)


def test_subscribe__paused_api__is_accepted(market: Market) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    assert market.subscribe(BOB).value["ok"] is True


def test_unsubscribe__subscribed__ends_billing_and_leaves_credit(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    assert (market.account()["subscriptions"], market.credit()) == ([], DEPOSIT)
    assert market.line()["subscribed"] is False
    market.refused("not_subscribed", "consume_credit", API, ALICE, sender=OPERATOR)


def test_unsubscribe__not_subscribed__is_refused(market: Market) -> None:
    market.refused("not_subscribed", "unsubscribe", API, sender=BOB)
    market.ok("unsubscribe", API, sender=ALICE)
    market.refused("not_subscribed", "unsubscribe", API, sender=ALICE)


def test_unsubscribe__and_back_on_the_same_day__does_not_reset_the_counters(market: Market) -> None:
    market.bill(5)
    market.ok("unsubscribe", API, sender=ALICE)
    market.subscribe(deposit=0)
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)


def reprice(market: Market, price: int) -> None:
    market.ok("register_api", API, price, 5, 12, sender=OPERATOR)


@pytest.mark.parametrize("price", [1, PRICE - 1, PRICE])
def test_price__lower_or_equal__applies_at_once(market: Market, price: int) -> None:
    reprice(market, price)
    assert market.bill(2)["cost_wei"] == 2 * price


def test_price__higher__is_refused_until_accepted(market: Market) -> None:
    reprice(market, PRICE + 1)
    market.refused("price_changed", "consume_credit", API, ALICE, sender=OPERATOR)
    line = market.line()
    assert (line["accepted_price_wei"], line["cost_per_call_wei"]) == (PRICE, PRICE + 1)
    market.subscribe(deposit=0)
    assert market.bill()["cost_wei"] == PRICE + 1


def test_price__lowered_and_raised_again__up_to_the_accepted_price_it_applies(market: Market) -> None:
    reprice(market, 1)
    market.bill()
    reprice(market, PRICE)
    assert market.bill()["cost_wei"] == PRICE


def test_price__accepted_again_when_lower__is_the_new_ceiling(market: Market) -> None:
    reprice(market, 4)
    market.subscribe(deposit=0)
    reprice(market, PRICE)
    market.refused("price_changed", "consume_credit", API, ALICE, sender=ALICE)


def test_price__changed_in_another_plan__does_not_matter(market: Market) -> None:
    market.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    market.ok("set_plan", API, "gold", 300, 0, 0, sender=OPERATOR)
    assert market.bill()["cost_wei"] == PRICE


def test_price__raised__settles_what_was_served_at_the_accepted_price(market: Market) -> None:
    reprice(market, 5 * PRICE)
    codes = [line["code"] for line in market.settle(entry(calls=2), entry(spend_wei=PRICE + 1))["entries"]]
    assert codes == ["", "spend_above_price"]


def free_plan(market: Market, daily: int, monthly: int) -> None:
    market.ok("set_plan", API, "free", 0, daily, monthly, sender=OPERATOR)
    market.ok("subscribe", API, 1, 0, "free", sender=BOB)


def test_free_plan__within_its_limit__bills_nothing_without_credit(market: Market) -> None:
    free_plan(market, 2, 0)
    receipt = market.bill(2, BOB)
    assert (receipt["cost_wei"], receipt["call_no"], market.earnings()) == (0, 2, 0)


@pytest.mark.parametrize(("limits", "code"), [((2, 0), "daily_limit_exceeded"), ((0, 2), "monthly_limit_exceeded")])
def test_free_plan__past_its_limit__is_refused(market: Market, limits: tuple[int, int], code: str) -> None:
    free_plan(market, *limits)
    market.bill(2, BOB)
    market.refused(code, "consume_credit", API, BOB, sender=BOB)


def test_free_plan__made_to_cost__needs_a_new_subscription(market: Market) -> None:
    free_plan(market, 2, 0)
    market.ok("set_plan", API, "free", 1, 2, 0, sender=OPERATOR)
    market.refused("price_changed", "consume_credit", API, BOB, sender=BOB)
