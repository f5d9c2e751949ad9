"""Deposits: what comes in is credit of somebody, under both rules for the value of a failed call."""

import pytest

from ..market import ALICE, API, BOB, CAP, DEPOSIT, PEOPLE, RIVAL, STRANGER, Market, event_names


def test_top_up_credit__value_as_said__is_credit_of_the_caller(market: Market) -> None:
    answer = market.ok("top_up_credit", 7, sender=BOB, value=7).value
    assert answer == {"ok": True, "credited_wei": 7, "credit_wei": 7}
    assert market.credit(BOB) == 7


@pytest.mark.parametrize("payer", [STRANGER, ALICE])
def test_top_up_for__anyone__is_credit_of_the_named_consumer(market: Market, payer: str) -> None:
    market.ok("top_up_for", ALICE, 7, sender=payer, value=7)
    assert (market.credit(), market.credit(STRANGER)) == (DEPOSIT + 7, 0)


def test_top_up_for__who_was_never_here__opens_an_account(market: Market) -> None:
    market.ok("top_up_for", BOB, 7, sender=STRANGER, value=7)
    assert market.account(BOB) == {
        "consumer": BOB,
        "credit_wei": 7,
        "held_wei": 0,
        "topped_up_wei": 7,
        "alert_percent": 20,
        "low_credit": False,
        "subscriptions": [],
    }


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("top_up_credit", (0,), "amount_not_positive"),
        ("top_up_credit", (-1,), "amount_not_positive"),
        ("top_up_credit", (5,), "value_mismatch"),
        ("top_up_for", (BOB, 0), "amount_not_positive"),
        ("top_up_for", (BOB, 5), "value_mismatch"),
        ("top_up_for", ("0x12", 5), "bad_address"),
    ],
)
def test_top_up__refused_without_value__raises(
    market: Market, method: str, arguments: tuple[object, ...], code: str
) -> None:
    market.refused(code, method, *arguments, sender=STRANGER)


KEPT = [
    ("top_up_credit", (6,), "value_mismatch"),
    ("top_up_credit", (8,), "value_mismatch"),
    ("top_up_credit", (0,), "amount_not_positive"),
    ("top_up_credit", (-7,), "amount_not_positive"),
    ("top_up_credit", (2**128,), "number_too_large"),
    ("top_up_credit", ("7",), "bad_type"),
    ("top_up_credit", (None,), "bad_type"),
    ("top_up_credit", (True,), "bad_type"),
    ("top_up_for", (ALICE, 6), "value_mismatch"),
    ("top_up_for", ("0x12", 7), "bad_address"),
    ("top_up_for", (None, 7), "bad_address"),
    ("top_up_for", ("0x" + "00" * 20, 7), "bad_address"),
    ("top_up_for", ([ALICE], 7), "bad_address"),
    ("subscribe", (API, CAP, 6), "value_mismatch"),
    ("subscribe", (API, CAP, 0), "value_mismatch"),
    ("subscribe", (API, CAP, -7), "negative_deposit"),
    ("subscribe", (API, CAP, None), "bad_type"),
    ("subscribe", (API, 0, 7), "max_spend_not_positive"),
    ("subscribe", (API, False, 7), "bad_type"),
    ("subscribe", ("maps", CAP, 7), "api_not_registered"),
    ("subscribe", ("", CAP, 7), "api_name_required"),
    ("subscribe", ("a b", CAP, 7), "bad_name"),
    ("subscribe", (None, CAP, 7), "bad_type"),
    ("subscribe", (API, CAP, 7, "gold"), "plan_not_found"),
    ("subscribe", (API, CAP, 7, {}), "bad_type"),
]


@pytest.mark.parametrize(("method", "arguments", "code"), KEPT)
def test_payable__refused_with_value__credits_the_caller(
    market: Market, method: str, arguments: tuple[object, ...], code: str
) -> None:
    everybody = {person: market.credit(person) for person in PEOPLE}
    before = market.net.balance(STRANGER)
    receipt = market.ok(method, *arguments, sender=STRANGER, value=7)
    assert {key: receipt.value[key] for key in ("ok", "code", "credited_wei", "credit_wei")} == {
        "ok": False,
        "code": code,
        "credited_wei": 7,
        "credit_wei": 7,
    }
    assert event_names(receipt) == ["CreditToppedUp", "DepositKept"]
    assert {person: market.credit(person) for person in PEOPLE} == {**everybody, STRANGER: 7}
    assert market.account(STRANGER)["subscriptions"] == []
    assert market.net.balance(STRANGER) == before - 7
    assert market.view("get_solvency")["surplus_wei"] == 0


def test_kept_deposit__can_be_withdrawn(market: Market) -> None:
    market.ok("top_up_for", "nonsense", 7, sender=STRANGER, value=7)
    market.ok("withdraw_credit", 7, sender=STRANGER)
    assert market.credit(STRANGER) == 0


def test_deposit__beyond_what_an_amount_can_say__is_kept_in_full(market: Market) -> None:
    market.net.fund(STRANGER, 2**200)
    answer = market.ok("top_up_credit", 2**130, sender=STRANGER, value=2**130).value
    assert (answer["code"], market.credit(STRANGER)) == ("number_too_large", 2**130)


def test_payable__wrong_number_of_arguments__value_is_no_ones_or_returned(market: Market, failed_value: str) -> None:
    before = market.net.balance(STRANGER)
    assert market.write("top_up_credit", sender=STRANGER, value=7).kind == "vm_error"
    kept = 7 if failed_value == "keep" else 0
    market.net.process("finalized")
    assert market.view("get_solvency")["surplus_wei"] == kept
    assert market.net.balance(STRANGER) == before - kept
    assert market.credit(STRANGER) == 0


def test_not_payable__called_with_value__fails_and_owes_nobody(market: Market, failed_value: str) -> None:
    assert market.write("unsubscribe", API, sender=ALICE, value=7).kind == "vm_error"
    solvency = market.view("get_solvency")
    assert solvency["surplus_wei"] == (7 if failed_value == "keep" else 0)
    assert solvency["owed_wei"] == DEPOSIT
    assert market.account()["subscriptions"] == [API]


def test_solvency__money_everywhere__adds_up(market: Market) -> None:
    market.bill(2)
    market.ok("place_hold", API, 100, 1_800_000_000, sender=ALICE)
    market.ok("top_up_for", BOB, 7, sender=RIVAL, value=7)
    market.ok("withdraw_credit", 3, sender=BOB)
    market.net.process("finalized")
    assert market.view("get_solvency") == {
        "balance_wei": DEPOSIT + 4,
        "owed_wei": DEPOSIT + 4,
        "surplus_wei": 0,
        "credit_wei": DEPOSIT - 120 + 4,
        "held_wei": 100,
        "earnings_wei": 20,
        "deposited_wei": DEPOSIT + 7,
        "withdrawn_wei": 3,
        "refunded_wei": 0,
    }
