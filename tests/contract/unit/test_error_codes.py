"""Every code of the contract's table, raised once; the table here and the table there have the same codes."""

from collections.abc import Callable
from datetime import date
from typing import Any

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
)
from ..sessions import SIGNER, forged, open_session, signed_entry
from ..source import errors

Call = tuple[str, tuple[Any, ...], str]  # method, arguments, sender; a view without sender

VOUCHER = forged(10)
NEXT_DAYS = [f"{date.fromordinal(date(2026, 1, 15).toordinal() + days)}T12:00:00Z" for days in range(70)]


def at(days: int) -> Call:
    """No call: so many days after START."""
    return ("", (NEXT_DAYS[days],), "")


SESSION = ("place_hold", (API, 100, NOW + 60, SIGNER), ALICE)
PROMISE = ("set_promise", (API, RIVAL, 3, 50, "It answers."), OPERATOR)
PAID = [PROMISE, at(1), ("consume_credit", (API, ALICE, 2), ALICE)]
FREEZE = ("freeze_by_court", (API, ALICE, TODAY + 1), RIVAL)
FROZEN = [*PAID, at(3), FREEZE]
NO_PROMISE = ("set_promise", (API, "", 0, 0, ""), OPERATOR)
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
    "price_above_max": ([], ("subscribe", (API, CAP, 0, "standard", PRICE - 1), BOB)),
    "session_only": ([SESSION], ("consume_credit", (API, ALICE), METER)),
    "bad_voucher": ([], ("settle_usage", (API, 1, [entry() | {"voucher": {}}]), METER)),
    "too_many_vouchers": ([], ("settle_usage", (API, 1, [entry() | {"voucher": VOUCHER}] * 65), METER)),
    "request_mismatch": (
        [("consume_credit", (API, ALICE, 1, "r-1"), METER)],
        ("consume_credit", (API, ALICE, 2, "r-1"), METER),
    ),
    "sequence_mismatch": (
        [("settle_usage", (API, 1, [entry()]), METER)],
        ("settle_usage", (API, 1, [entry(BOB)]), METER),
    ),
    "bad_reason": ([], ("refund", (API, ALICE, 1, "x" * 201), OPERATOR)),
    "day_not_pending": ([], ("refund", (API, ALICE, 1, "", TODAY), OPERATOR)),
    "refund_above_paid": (PAID, ("refund", (API, ALICE, 21, "", TODAY + 1), OPERATOR)),
    "bad_promise": ([], ("set_promise", (API, RIVAL, 2, 50, "It answers."), OPERATOR)),
    "promise_pending": ([PROMISE], PROMISE),
    "too_many_promises": ([call for day in range(64) for call in (at(day), NO_PROMISE)] + [at(64)], PROMISE),
    "promise_in_force": ([("propose_operator", (API, RIVAL), OPERATOR), PROMISE], ("accept_operator", (API,), RIVAL)),
    "not_court": ([*PAID, at(3)], ("freeze_by_court", (API, ALICE, TODAY + 1), STRANGER)),
    "day_open": ([*PAID, at(2)], FREEZE),
    "already_frozen": (FROZEN, FREEZE),
    "nothing_paid": ([*PAID, at(3)], ("freeze_by_court", (API, BOB, TODAY + 1), RIVAL)),
    "not_frozen": ([*PAID, at(3)], ("refund_by_court", (API, ALICE, TODAY + 1, 1), RIVAL)),
    "insufficient_credit": ([], ("withdraw_credit", (DEPOSIT + 1,), ALICE)),
}
# Codes that the last of some entries of a settlement is answered with, where nothing raises; of a session or without.
ENTRY_CODES: dict[str, tuple[bool, Callable[[Market], list[dict[str, Any]]]]] = {
    "day_closed": (False, lambda market: [entry(day_id=0)]),
    "spend_above_price": (False, lambda market: [entry(spend_wei=11)]),
    "no_session": (False, lambda market: [entry() | {"voucher": VOUCHER}]),
    "session_only": (True, lambda market: [entry()]),
    "bad_signature": (True, lambda market: [entry() | {"voucher": VOUCHER}]),
    "voucher_exceeded": (True, lambda market: [signed_entry(market, 9)]),
    "too_many_channels": (True, lambda market: [signed_entry(market, 1, spend_wei=1, salt=n) for n in range(17)]),
}


def test_codes__of_the_contract__are_those_tested_here() -> None:
    assert set(errors()) == set(CODES) | set(ENTRY_CODES)


@pytest.mark.parametrize("code", CODES)
def test_code__in_its_situation__is_raised_with_its_text(market: Market, code: str) -> None:
    before, (method, arguments, sender) = CODES[code]
    for earlier_method, earlier_arguments, earlier_sender in before:
        if not earlier_method:
            market.at(*earlier_arguments)
            continue
        market.ok(earlier_method, *earlier_arguments, sender=earlier_sender)
    if sender:
        message = str(market.refused(code, method, *arguments, sender=sender).message)
        assert message.startswith(f"[EXPECTED] {code}: {errors()[code]}")
    else:
        assert market.view_code(method, *arguments) == code


@pytest.mark.parametrize("code", ENTRY_CODES)
def test_code__of_an_entry__is_in_the_outcome_and_the_notice(wide: Market, code: str) -> None:
    in_session, entries = ENTRY_CODES[code]
    if in_session:
        open_session(wide)
    assert wide.settle(*entries(wide))["entries"][-1]["code"] == code
    assert wide.notices() == [("settlement", code)]
