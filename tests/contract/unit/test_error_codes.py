"""Every code of the contract's table, raised once; the table here and the table there have the same codes."""

from typing import Any

import pytest

from ..market import ALICE, API, BOB, CAP, DEPOSIT, METER, NOW, OPERATOR, STRANGER, Market, entry
from ..source import errors

Call = tuple[str, tuple[Any, ...], str]  # method, arguments, sender; a view without sender

UNSUBSCRIBE = ("unsubscribe", (API,), ALICE)
HOLD = ("place_hold", (API, 100, NOW + 60), ALICE)
SETTLED_65_TIMES = [("settle_usage", (API, number, [entry(STRANGER)]), METER) for number in range(1, 66)]
PLANS = [("set_plan", (API, f"plan-{number}", 1, 0, 0), OPERATOR) for number in range(63)]

METERS = [("set_meter", (API, f"0x{number:040x}", True), OPERATOR) for number in range(1, 64)]  # and METER

CODES: dict[str, tuple[list[Call], Call]] = {
    "bad_type": ([], ("set_api_active", (API, 1), OPERATOR)),
    "bad_address": ([], ("set_meter", (API, "0x12", True), OPERATOR)),
    "bad_name": ([], ("register_api", ("a b", 10, 5), OPERATOR)),
    "number_too_large": ([], ("register_api", (API, 2**128, 5), OPERATOR)),
    "negative_number": ([], ("place_hold", (API, -1, NOW + 60), ALICE)),
    "api_name_required": ([], ("register_api", ("", 10, 5), OPERATOR)),
    "cost_not_positive": ([], ("register_api", (API, 0, 5), OPERATOR)),
    "daily_limit_not_positive": ([], ("register_api", (API, 10, 0), OPERATOR)),
    "free_plan_without_limit": ([], ("set_plan", (API, "free", 0, 0, 0), OPERATOR)),
    "max_spend_not_positive": ([], ("subscribe", (API, 0, 0), BOB)),
    "negative_deposit": ([], ("subscribe", (API, CAP, -1), BOB)),
    "amount_not_positive": ([], ("withdraw_credit", (0,), ALICE)),
    "value_mismatch": ([], ("top_up_credit", (1,), ALICE)),
    "calls_not_positive": ([], ("consume_credit", (API, ALICE, 0), ALICE)),
    "bad_percent": ([], ("set_low_credit_alert", (101,), ALICE)),
    "bad_request_id": ([], ("consume_credit", (API, ALICE, 1, "x" * 65), ALICE)),
    "bad_receipt_id": ([], ("get_receipt", ("x",), "")),
    "bad_expiry": ([], ("place_hold", (API, 1, NOW), ALICE)),
    "bad_range": ([], ("get_usage_history", (ALICE, API, 2, 1), "")),
    "bad_entry": ([], ("settle_usage", (API, 1, [{}]), METER)),
    "bad_usage_root": ([], ("settle_usage", (API, 1, [entry()], "x"), METER)),
    "too_many_entries": ([], ("settle_usage", (API, 1, [entry()] * 257), METER)),
    "api_not_registered": ([], ("get_api", ("maps",), "")),
    "plan_not_found": ([], ("subscribe", (API, CAP, 0, "gold"), BOB)),
    "too_many_plans": (PLANS, ("set_plan", (API, "one-more", 1, 0, 0), OPERATOR)),
    "too_many_meters": (METERS, ("set_meter", (API, STRANGER, True), OPERATOR)),
    "not_operator": ([], ("set_api_active", (API, False), STRANGER)),
    "not_proposed": ([], ("accept_operator", (API,), STRANGER)),
    "not_authorized": ([], ("consume_credit", (API, ALICE), STRANGER)),
    "caller_not_contract": ([], ("request_call", (API, "r-1"), ALICE)),
    "hold_in_force": ([HOLD], ("release_hold", (API,), ALICE)),
    "hold_not_shortened": ([HOLD], ("place_hold", (API, 1, NOW + 59), ALICE)),
    "no_hold": ([], ("release_hold", (API,), ALICE)),
    "insufficient_earnings": ([], ("withdraw_earnings", (1,), OPERATOR)),
    "sequence_gap": ([], ("settle_usage", (API, 2, [entry()]), METER)),
    "sequence_forgotten": (SETTLED_65_TIMES, ("settle_usage", (API, 1, [entry()]), METER)),
    "api_paused": ([("set_api_active", (API, False), OPERATOR)], ("consume_credit", (API, ALICE), ALICE)),
    "not_subscribed": ([UNSUBSCRIBE], ("consume_credit", (API, ALICE), ALICE)),
    "price_changed": ([("register_api", (API, 11, 5), OPERATOR)], ("consume_credit", (API, ALICE), ALICE)),
    "daily_limit_exceeded": ([], ("consume_credit", (API, ALICE, 6), ALICE)),
    "monthly_limit_exceeded": (
        [("register_api", (API, 10, 99, 12), OPERATOR)],
        ("consume_credit", (API, ALICE, 13), ALICE),
    ),
    "daily_spend_exceeded": ([("subscribe", (API, 10, 0), ALICE)], ("consume_credit", (API, ALICE, 2), ALICE)),
    "insufficient_credit": ([], ("withdraw_credit", (DEPOSIT + 1,), ALICE)),
}
# Codes that an entry of a settlement is answered with, where nothing raises.
ENTRY_CODES = {"day_closed": entry(day_id=0), "spend_above_price": entry(spend_wei=11)}


def test_codes__of_the_contract__are_those_tested_here() -> None:
    assert set(errors()) == set(CODES) | set(ENTRY_CODES)


@pytest.mark.parametrize("code", CODES)
def test_code__in_its_situation__is_raised_with_its_text(market: Market, code: str) -> None:
    before, (method, arguments, sender) = CODES[code]
    for earlier_method, earlier_arguments, earlier_sender in before:
        market.ok(earlier_method, *earlier_arguments, sender=earlier_sender)
    if sender:
        message = str(market.refused(code, method, *arguments, sender=sender).message)
        assert message.startswith(f"[EXPECTED] {code}: {errors()[code]}")
    else:
        assert market.view_code(method, *arguments) == code


@pytest.mark.parametrize("code", ENTRY_CODES)
def test_code__of_an_entry__is_in_the_outcome_and_the_notice(market: Market, code: str) -> None:
    assert market.settle(ENTRY_CODES[code])["entries"][0]["code"] == code
    assert market.notices() == [("settlement", code)]
