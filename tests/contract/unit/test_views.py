"""The views a dashboard reads: report, lists, notices, account."""

from collections.abc import Callable

import pytest

from ..market import ALICE, API, BOB, CAP, DEPOSIT, NOW, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry

Played = Callable[[str, str, Callable[[Market], None]], Market]
DRAFT_KEYS = {
    "api_name": API,
    "calls_today": 3,
    "spend_today_wei": 25,
    "cost_per_call_wei": PRICE,
    "api_daily_limit_calls": 5,
    "consumer_max_daily_spend_wei": CAP,
}


def test_report__with_usage_and_hold__has_everything_a_dashboard_shows(market: Market) -> None:
    market.bill(2)
    market.settle(entry(spend_wei=5))
    market.ok("place_hold", API, 100, NOW + 60, sender=ALICE)
    report = market.report(ALICE)
    assert {key: report[key] for key in ("consumer", "day_id", "credit_balance_wei", "held_wei")} == {
        "consumer": ALICE,
        "day_id": TODAY,
        "credit_balance_wei": DEPOSIT - 125,
        "held_wei": 100,
    }
    (line,) = report["apis"]
    assert line == DRAFT_KEYS | {
        "plan_name": "standard",
        "accepted_price_wei": PRICE,
        "calls_month": 3,
        "spend_month_wei": 25,
        "api_monthly_limit_calls": 12,
        "calls_left_today": 2,
        "spend_left_today_wei": CAP - 25,
        "hold_wei": 100,
        "hold_expires_at": NOW + 60,
        "active": True,
        "subscribed": True,
        "signer": "",
        "settlements": 1,
    }


def test_report__of_an_api_that_is_settled__says_up_to_which_sequence(market: Market) -> None:
    market.settle(entry())
    market.settle(entry())
    assert [line["settlements"] for line in market.report(ALICE)["apis"]] == [2]


@pytest.mark.parametrize(
    ("daily", "monthly", "left"), [(0, 0, None), (5, 0, 3), (0, 7, 5), (5, 3, 1), (1, 0, 0), (0, 1, 0)]
)
def test_report__limits_of_the_plan__calls_left_is_the_nearer_one(
    wide: Market, daily: int, monthly: int, left: int | None
) -> None:
    wide.bill(2)
    wide.ok("set_plan", API, "standard", PRICE, daily, monthly, sender=OPERATOR)
    assert wide.line()["calls_left_today"] == left


def test_report__cap_lowered_below_todays_spend__nothing_is_left(wide: Market) -> None:
    wide.bill(2)
    wide.subscribe(deposit=0, cap=1)
    assert wide.line()["spend_left_today_wei"] == 0


def test_report__unknown_consumer__is_empty(market: Market) -> None:
    report = market.report(STRANGER)
    assert (report["consumer"], report["credit_balance_wei"], report["apis"]) == (STRANGER, 0, [])


def test_report__several_apis__has_a_line_for_each(market: Market) -> None:
    market.register("maps", RIVAL)
    market.subscribe(api_name="maps")
    assert [line["api_name"] for line in market.report(ALICE)["apis"]] == [API, "maps"]


@pytest.mark.parametrize(
    "spelt",
    [
        "0x" + "A1" * 20,
        "0xa1A1A1a1A1a1A1A1a1a1a1A1a1A1A1a1a1A1A1a1",
        bytes.fromhex("a1" * 20),
    ],
)
def test_report__address_in_another_form__is_the_same_consumer(market: Market, spelt: object) -> None:
    assert market.report(spelt) == market.report(ALICE)


def test_get_account__with_hold_and_alert__shows_them(market: Market) -> None:
    market.ok("place_hold", API, 100, NOW + 60, sender=ALICE)
    market.ok("set_low_credit_alert", 30, sender=ALICE)
    assert market.account() == {
        "consumer": ALICE,
        "credit_wei": DEPOSIT - 100,
        "held_wei": 100,
        "topped_up_wei": DEPOSIT,
        "alert_percent": 30,
        "low_credit": False,
        "subscriptions": [API],
    }


def test_get_earnings__unknown_operator__is_zero(market: Market) -> None:
    assert market.view("get_earnings", BOB) == {
        "operator": BOB,
        "earnings_wei": 0,
        "withdrawn_wei": 0,
        "refunded_wei": 0,
        "apis": [],
    }


def test_get_api__unknown__is_refused(market: Market) -> None:
    assert market.view_code("get_api", "maps") == "api_not_registered"
    assert market.view_code("get_api", API) is None


@pytest.fixture
def crowded(played: Played) -> Market:
    def play(billing: Market) -> None:
        for number in range(103):
            billing.register(f"api-{number}")

    return played("crowded", "deployed", play)


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 2, range(2)),
        (1, 1, range(1, 2)),
        (101, 50, range(101, 103)),
        (0, 100, range(100)),
        (0, 2**127, range(100)),
        (3, 0, range(0)),
        (103, 1, range(0)),
        (2**127, 2**127, range(0)),
    ],
)
def test_list_apis__a_page__is_in_order_of_registration(
    crowded: Market, offset: int, limit: int, expected: range
) -> None:
    page = crowded.view("list_apis", offset, limit)
    assert [api["api_name"] for api in page["apis"]] == [f"api-{number}" for number in expected]
    assert page["total"] == 103


def test_list_apis__entry__is_what_get_api_says(market: Market) -> None:
    listed = market.view("list_apis")
    of_vouchers = {"chain_id", "asset", "voucher_domain", "promise"}
    shown = {key: value for key, value in market.view("get_api", API).items() if key not in of_vouchers}
    assert listed == {"total": 1, "apis": [shown]}


@pytest.fixture
def noted(played: Played) -> Market:
    """70 notices of ALICE, of which 64 are kept: 7 to 70."""

    def play(market: Market) -> None:
        market.bill(5)
        for _ in range(70):
            market.settle(entry(spend_wei=1))

    return played("noted", "market", play)


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ((), range(7, 71)),
        ((0,), range(7, 71)),
        ((5,), range(7, 71)),
        ((7,), range(8, 71)),
        ((69,), range(70, 71)),
        ((70,), range(0)),
        ((2**127,), range(0)),
        ((10, 3), range(11, 14)),
        ((0, 0), range(0)),
        ((0, 2**127), range(7, 71)),
    ],
)
def test_list_notices__after_and_limit__page_through_the_last_64(
    noted: Market, arguments: tuple[int, ...], numbers: range
) -> None:
    listed = noted.view("list_notices", ALICE, *arguments)
    assert [notice["number"] for notice in listed] == list(numbers)
    assert noted.report(ALICE)["notices"] == 70


def test_list_notices__unknown_consumer__are_none(market: Market) -> None:
    assert market.view("list_notices", STRANGER) == []


def test_integration_example__names_the_methods_a_consumer_contract_needs(billing: Market) -> None:
    text = billing.view("consumer_integration_example")
    missing = [name for name in ("subscribe", "request_call", "on_call_billed", "on_call_denied") if name not in text]
    assert missing == []
    sent = {"v0.3": "gl.contract.get_at(BILLING)"}.get(billing.form, "gl.get_contract_at(BILLING)")
    assert text.startswith(f"billing = {sent}\n")
    assert f'on="{"decided" if billing.form == "v0.3" else "accepted"}"' in text


def test_views__change_nothing(market: Market) -> None:
    market.bill()
    before = market.state()
    market.view("quote_call", API, ALICE)
    market.view("quote_call", API, STRANGER)
    market.view("get_receipt", f"{API}:{STRANGER}:{TODAY}:1")
    assert market.state() == before
