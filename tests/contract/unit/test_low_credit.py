"""`CreditDepleted` goes out once when credit and holds fall to the alert level, and again only after a top-up."""

import pytest

from ..market import ALICE, API, BOB, DEPOSIT, METER, NOW, OPERATOR, Market, entry, event_names


@pytest.fixture
def spender(wide: Market) -> Market:
    """ALICE has 1,000 wei and may spend all of it; a call costs 10."""
    wide.subscribe(deposit=0, cap=10**9)
    return wide


def alerts(market: Market, calls: int) -> bool:
    """Bill calls of ALICE; whether that raised the alert."""
    return "CreditDepleted" in event_names(market.ok("consume_credit", API, ALICE, calls, sender=ALICE))


def test_alert__at_20_percent_of_the_last_top_up__goes_out_once(spender: Market) -> None:
    assert [alerts(spender, calls) for calls in (79, 1, 1, 5, 14)] == [False, True, False, False, False]
    assert spender.notices() == [("low_credit", "low_credit")]
    assert spender.account()["low_credit"] is True


def test_alert__notice__says_what_is_left(spender: Market) -> None:
    alerts(spender, 85)
    (notice,) = spender.view("list_notices", ALICE)
    assert (notice["kind"], notice["api_name"], notice["amount_wei"], notice["at"]) == ("low_credit", API, 150, NOW)


def test_alert__topped_up__is_armed_again_and_measures_from_there(spender: Market) -> None:
    alerts(spender, 90)
    spender.ok("top_up_credit", 100, sender=ALICE, value=100)  # 200 now: the level is 40
    assert spender.account()["low_credit"] is False
    assert [alerts(spender, calls) for calls in (15, 1, 1)] == [False, True, False]


def test_alert__level_chosen_anew__does_not_arm_it(spender: Market) -> None:
    alerts(spender, 80)
    spender.ok("set_low_credit_alert", 50, sender=ALICE)
    assert alerts(spender, 1) is False


def test_alert__armed_by_subscribing_with_a_deposit__too(spender: Market) -> None:
    alerts(spender, 90)
    spender.subscribe(deposit=100, cap=10**9)
    assert alerts(spender, 16) is True


def test_alert__armed_by_a_kept_deposit__too(spender: Market) -> None:
    alerts(spender, 90)
    spender.ok("top_up_credit", 99, sender=ALICE, value=100)
    assert alerts(spender, 16) is True


@pytest.mark.parametrize(("percent", "calls"), [(1, 99), (50, 50), (100, 1)])
def test_alert__chosen_percentage__is_the_level(spender: Market, percent: int, calls: int) -> None:
    spender.ok("set_low_credit_alert", percent, sender=ALICE)
    if calls > 1:
        assert alerts(spender, calls - 1) is False
    assert alerts(spender, 1) is True
    assert spender.account()["alert_percent"] == percent


def test_alert__turned_off__never_goes_out(spender: Market) -> None:
    spender.ok("set_low_credit_alert", 0, sender=ALICE)
    assert alerts(spender, 100) is False


@pytest.mark.parametrize(
    ("percent", "code"), [(101, "bad_percent"), (-1, "bad_percent"), (2**128, "bad_percent"), (True, "bad_type")]
)
def test_set_low_credit_alert__not_a_percentage__is_refused(spender: Market, percent: int, code: str) -> None:
    spender.refused(code, "set_low_credit_alert", percent, sender=ALICE)


def test_set_low_credit_alert__before_any_credit__is_kept(spender: Market) -> None:
    spender.ok("set_low_credit_alert", 50, sender=BOB)
    spender.ok("top_up_credit", 5, sender=BOB, value=5)
    assert spender.account(BOB)["alert_percent"] == 50


def test_alert__by_a_settlement__goes_out_once(spender: Market) -> None:
    settled = [spender.ok("settle_usage", API, n, [entry(calls=80)], sender=METER) for n in (1, 2)]
    assert ["CreditDepleted" in event_names(receipt) for receipt in settled] == [True, False]


def test_alert__by_a_withdrawal__goes_out_once(spender: Market) -> None:
    withdrawn = [spender.ok("withdraw_credit", amount, sender=ALICE) for amount in (799, 1, 100)]
    assert ["CreditDepleted" in event_names(receipt) for receipt in withdrawn] == [False, True, False]


def test_alert__held_credit__is_not_spent_credit(spender: Market) -> None:
    held = spender.ok("place_hold", API, DEPOSIT - 100, NOW + 60, sender=ALICE)
    assert "CreditDepleted" not in event_names(held)
    assert alerts(spender, 10) is False
    assert spender.account()["low_credit"] is False


def test_alert__free_call_billed__does_not_go_out(billing: Market) -> None:
    free_subscriber(billing)
    receipt = billing.ok("consume_credit", API, ALICE, sender=ALICE)
    assert event_names(receipt) == ["CallBilled"]


def test_alert__free_usage_settled__does_not_go_out(billing: Market) -> None:
    free_subscriber(billing)
    receipt = billing.ok("settle_usage", API, 1, [entry(spend_wei=0)], sender=OPERATOR)
    assert (receipt.value["billed_calls"], event_names(receipt)) == (1, ["UsageSettled"])


def free_subscriber(market: Market) -> None:
    """ALICE uses a free plan and never had any credit."""
    market.register()
    market.ok("set_plan", API, "free", 0, 100, 0, sender=OPERATOR)
    market.ok("subscribe", API, 1, 0, "free", sender=ALICE)
