"""Receipts can be verified without being stored, and only those that were issued."""

import pytest

from ..market import ALICE, API, BOB, DEPOSIT, OPERATOR, TODAY, Market, entry


def valid(market: Market, receipt_id: str) -> bool:
    return bool(market.view("get_receipt", receipt_id)["valid"])


def receipt_id(api: str = API, consumer: str = ALICE, day_id: object = TODAY, call_no: object = 1) -> str:
    return f"{api}:{consumer}:{day_id}:{call_no}"


def test_get_receipt__of_a_billed_call__is_valid(market: Market) -> None:
    issued = market.bill(2)["receipt_id"]
    assert market.view("get_receipt", issued) == {
        "receipt_id": issued,
        "valid": True,
        "remembered": False,
        "api_name": API,
        "consumer": ALICE,
        "day_id": TODAY,
        "call_no": 2,
    }


@pytest.mark.parametrize(
    "forged",
    [
        receipt_id(call_no=0),
        receipt_id(call_no=3),
        receipt_id(call_no=10**14),
        receipt_id(call_no=2**48 + 1),
        receipt_id(day_id=TODAY - 1),
        receipt_id(day_id=TODAY + 1),
        receipt_id(day_id=0),
        receipt_id(day_id=10**14),
        receipt_id(consumer=BOB),
        receipt_id(consumer="0x" + "00" * 20),
        receipt_id(api="maps"),
        receipt_id(api="unknown"),
    ],
)
def test_get_receipt__of_a_call_that_was_not_billed__is_not_valid(market: Market, forged: str) -> None:
    market.register("maps")
    market.bill(2)
    assert valid(market, forged) is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ":::",
        receipt_id() + ":1",
        receipt_id()[:-2],
        receipt_id(call_no="01"),
        receipt_id(call_no="+1"),
        receipt_id(call_no="-1"),
        receipt_id(call_no="1\n"),
        receipt_id(call_no=" 1"),
        receipt_id(call_no="\u0661"),
        receipt_id(call_no="1" * 16),
        receipt_id(day_id=f"0{TODAY}"),
        receipt_id(api="Weather"),
        receipt_id(api=" weather"),
        receipt_id(consumer=ALICE[2:]),
        receipt_id(consumer="0X" + ALICE[2:]),
        "x" * 10_000,
    ],
)
def test_get_receipt__not_the_form_of_a_receipt__is_refused(market: Market, text: str) -> None:
    market.bill()
    assert market.view_code("get_receipt", text) == "bad_receipt_id"


def test_get_receipt__other_spelling_of_the_consumer__cannot_pass_as_another_receipt(market: Market) -> None:
    issued = market.bill()["receipt_id"]
    respelled = receipt_id(consumer=ALICE.replace("a1", "A1"))
    refused = market.view_code("get_receipt", respelled)
    assert refused == "bad_receipt_id" or market.view("get_receipt", respelled)["receipt_id"] == issued


def test_get_receipt__settled_calls__cannot_be_passed_off_as_receipts(market: Market) -> None:
    market.settle(entry(calls=3))
    assert [valid(market, receipt_id(call_no=number)) for number in (1, 2, 3)] == [False] * 3


def test_call_no__after_settled_calls__counts_receipts_only(market: Market) -> None:
    market.bill()
    market.settle(entry(calls=3))
    assert market.bill()["call_no"] == 2
    assert [valid(market, receipt_id(call_no=number)) for number in (1, 2, 3)] == [True, True, False]


def test_get_receipt__later_and_unsubscribed__stays_valid(market: Market) -> None:
    issued = market.bill()["receipt_id"]
    market.ok("unsubscribe", API, sender=ALICE)
    market.ok("set_api_active", API, False, sender=OPERATOR)
    market.at("2026-12-31T00:00:00Z")
    assert valid(market, issued) is True


def test_receipts__of_several_days__are_all_different_and_valid(market: Market) -> None:
    issued = []
    for day in (15, 16, 17):
        market.at(f"2026-01-{day}T12:00:00Z")
        issued += [market.bill()["receipt_id"] for _ in range(2)]
    assert len(set(issued)) == 6
    assert all(valid(market, issued_id) for issued_id in issued)


def test_report_history_and_receipts__sum_up_to_the_same(wide: Market) -> None:
    receipts = []
    for day, calls in ((15, 3), (16, 1), (17, 4)):
        wide.at(f"2026-01-{day}T12:00:00Z")
        receipts += [wide.bill(calls), wide.bill()]
    days = wide.view("get_usage_history", ALICE, API, TODAY, TODAY + 2)
    line = wide.line()
    spent = sum(receipt["cost_wei"] for receipt in receipts)
    assert spent == sum(day["spend_wei"] for day in days) == line["spend_month_wei"] == DEPOSIT - wide.credit()
    assert line["calls_month"] == sum(day["calls"] for day in days) == 11
    last_of_day = {receipt["day_id"]: receipt["call_no"] for receipt in receipts}
    assert last_of_day == {day["day_id"]: day["calls"] for day in days}
