"""The faults of the contract's first edition, found by running it: each sequence here went wrong there."""

import hashlib
from typing import Any

import pytest

from ..market import (
    ALICE,
    API,
    BOB,
    CAP,
    DAY,
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
from ..sessions import billed

YESTERDAY, TOMORROW = TODAY - 1, TODAY + 1
LATE_TODAY, NEXT_MINUTE = "2026-01-15T23:59:00Z", "2026-01-16T00:01:00Z"
TOMORROW_NOON, NEXT_WEEK, MONTHS_LATER = "2026-01-16T12:00:00Z", "2026-01-22T12:00:00Z", "2026-06-01T12:00:00Z"
MIDNIGHT = TOMORROW * DAY
FAR = NOW + 300 * DAY
ROOT = "ab" * 32


def settled(market: Market, *entries: dict[str, Any]) -> list[tuple[int, str]]:
    return billed(market.settle(*entries))


# ---- 1: days outside the subscription ----


def test_settle_usage__day_before_the_subscription__is_closed(market: Market) -> None:
    assert settled(market, entry(day_id=YESTERDAY)) == [(0, "day_closed")]


def test_settle_usage__day_before_coming_back_after_months__is_closed(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    market.at(MONTHS_LATER)
    market.subscribe(deposit=0)
    days = [market.net.now.timestamp() // DAY - ago for ago in (1, 0)]
    assert settled(market, *(entry(day_id=int(day)) for day in days)) == [(0, "day_closed"), (PRICE, "")]


def test_settle_usage__day_before_coming_back_two_days_after_leaving__is_closed(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    market.at("2026-01-17T00:00:00Z")
    market.subscribe(deposit=0)
    assert settled(market, entry(day_id=TOMORROW)) == [(0, "day_closed")]


@pytest.mark.parametrize("left_at", [LATE_TODAY, NEXT_MINUTE])
def test_settle_usage__left_and_came_back_around_midnight__yesterday_is_billed(market: Market, left_at: str) -> None:
    market.at(left_at)
    market.ok("unsubscribe", API, sender=ALICE)
    market.at("2026-01-16T00:02:00Z")
    market.subscribe(deposit=0)
    assert settled(market, entry(), entry(day_id=TOMORROW)) == [(PRICE, ""), (PRICE, "")]


def test_settle_usage__left_yesterday_with_a_hold__yesterday_is_billed_and_today_is_closed(market: Market) -> None:
    market.ok("place_hold", API, 100, FAR, sender=ALICE)
    market.ok("unsubscribe", API, sender=ALICE)
    market.at(TOMORROW_NOON)
    assert settled(market, entry(), entry(day_id=TOMORROW)) == [(PRICE, ""), (0, "day_closed")]


def test_subscribe__again_while_subscribed__keeps_yesterday_open(market: Market) -> None:
    market.at(NEXT_MINUTE)
    market.subscribe(deposit=0, cap=CAP + 1)
    assert settled(market, entry()) == [(PRICE, "")]


# ---- 2: days outside the hold ----


def all_held(market: Market, expires_at: int) -> None:
    """ALICE's whole credit is held, so that nothing else can pay."""
    market.ok("place_hold", API, DEPOSIT, expires_at, sender=ALICE)


@pytest.mark.parametrize("days", [1, 2, 200])
def test_hold__after_unsubscribing__pays_no_later_day(market: Market, days: int) -> None:
    all_held(market, FAR)
    market.ok("unsubscribe", API, sender=ALICE)
    market.net.advance(days * DAY)
    assert settled(market, entry(day_id=TODAY + days)) == [(0, "day_closed")]
    assert market.line()["hold_wei"] == DEPOSIT


@pytest.mark.parametrize(
    ("expires_at", "paid"),
    [
        (NOW + 60, (0, "insufficient_credit")),
        (MIDNIGHT, (0, "insufficient_credit")),
        (MIDNIGHT + 1, (PRICE, "")),
    ],
)
def test_hold__expired_and_not_released__pays_the_days_until_its_expiry(
    market: Market, expires_at: int, paid: tuple[int, str]
) -> None:
    all_held(market, expires_at)
    market.at(TOMORROW_NOON)
    assert settled(market, entry(day_id=TOMORROW), entry()) == [paid, (PRICE, "")]


def test_hold__placed_anew_after_its_expiry__does_not_pay_the_gap(market: Market) -> None:
    all_held(market, NOW + 60)
    market.at(NEXT_WEEK)
    all_held(market, FAR)
    assert settled(market, entry(day_id=TODAY + 6), entry(day_id=TODAY + 7)) == [
        (0, "insufficient_credit"),
        (PRICE, ""),
    ]


def test_hold__raised_while_in_force__pays_from_where_it_was_placed(market: Market) -> None:
    market.ok("place_hold", API, 1, FAR, sender=ALICE)
    market.at(TOMORROW_NOON)
    market.ok("place_hold", API, DEPOSIT - 1, FAR, sender=ALICE)
    assert settled(market, entry()) == [(PRICE, "")]


# ---- 3: the price meanwhile ----


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("bound", [PRICE, PRICE + 1, 0])
def test_subscribe__price_rose_meanwhile__is_accepted_up_to_the_bound(
    market: Market, failed_value: str, bound: int, value: int
) -> None:
    market.ok("register_api", API, PRICE + 1, 5, 12, sender=OPERATOR)
    answer = market.write("subscribe", API, CAP, value, "standard", bound, sender=BOB, value=value)
    if bound == PRICE:
        code = answer.value["code"] if value else answer.error_code
        assert (code, market.account(BOB)["subscriptions"], market.credit(BOB)) == ("price_above_max", [], value)
    else:
        assert answer.value["accepted_price_wei"] == PRICE + 1


# ---- 4: whose requests are forgotten ----


def test_requests__64_of_another_api__push_out_none(wide: Market) -> None:
    wide.register("maps", RIVAL)
    wide.subscribe(api_name="maps")
    receipt = wide.bill(request_id="r-1")
    for number in range(64):
        wide.bill(api_name="maps", request_id=f"m-{number}")
    assert wide.bill(request_id="r-1") == receipt


@pytest.mark.parametrize(("first", "others"), [(ALICE, METER), (METER, ALICE), (OPERATOR, ALICE)])
def test_requests__64_of_the_other_side__push_out_none(wide: Market, first: str, others: str) -> None:
    receipt = wide.ok("consume_credit", API, ALICE, 1, "r-1", sender=first).value
    for number in range(64):
        wide.ok("consume_credit", API, ALICE, 1, f"o-{number}", sender=others)
    assert wide.ok("consume_credit", API, ALICE, 1, "r-1", sender=first).value == receipt


# ---- 5: another request under the same id ----


@pytest.mark.parametrize("caller", [ALICE, METER])
@pytest.mark.parametrize("calls", [1, 3])
def test_request_id__with_other_calls__is_refused(market: Market, caller: str, calls: int) -> None:
    market.ok("consume_credit", API, ALICE, 2, "r-1", sender=caller)
    market.refused("request_mismatch", "consume_credit", API, ALICE, calls, "r-1", sender=caller)


def test_request_call__with_an_id_that_billed_other_calls__is_denied(market: Market) -> None:
    relay = market.relay()
    market.via(relay, "subscribe", API, 1_000, 100, value=100)
    market.via(relay, "consume_credit", API, relay, 2, "r-1")
    assert market.via(relay, "request_call", API, "r-1").value == {"code": "request_mismatch", "receipt": None}
    assert market.credit(relay) == 100 - 2 * PRICE


# ---- 6: a denial that is gone ----


def test_request_call__denied_and_sent_again__is_billed(market: Market) -> None:
    relay = market.relay()
    market.via(relay, "request_call", API, "r-1")
    market.via(relay, "subscribe", API, 1_000, 100, value=100)
    assert market.via(relay, "request_call", API, "r-1").value["code"] == ""


def test_request_call__64_denied__push_out_none_that_was_billed(market: Market) -> None:
    relay = market.relay()
    market.via(relay, "subscribe", API, 1_000, 2 * PRICE - 1, value=2 * PRICE - 1)
    receipt = market.via(relay, "request_call", API, "r-1").value["receipt"]
    for number in range(64):
        assert market.via(relay, "request_call", API, f"d-{number}").value["code"] == "insufficient_credit"
    assert market.via(relay, "request_call", API, "r-1").value == {"code": "", "receipt": receipt}


# ---- 7: the alert in the hands of others ----


def test_top_up_for__by_a_stranger__never_lowers_the_alert_level(wide: Market) -> None:
    wide.bill(50)
    wide.ok("top_up_for", ALICE, 1, sender=STRANGER, value=1)
    assert wide.account()["topped_up_wei"] == DEPOSIT
    wide.bill(31)  # 191 are left, which is below 20 percent of 1,000
    assert wide.notices() == [("low_credit", "low_credit")]


def test_top_up_for__by_a_stranger_again_and_again__makes_one_notice(wide: Market) -> None:
    wide.ok("set_low_credit_alert", 100, sender=ALICE)
    for _ in range(5):
        wide.bill()
        wide.ok("top_up_for", ALICE, 1, sender=STRANGER, value=1)
    assert wide.notices() == [("low_credit", "low_credit")]


def test_top_up_for__by_a_stranger_above_everything__raises_the_level(wide: Market) -> None:
    wide.ok("top_up_for", ALICE, 1, sender=STRANGER, value=1)
    assert wide.account()["topped_up_wei"] == DEPOSIT + 1


def test_set_low_credit_alert__lowered_below_what_is_left__arms_again(wide: Market) -> None:
    wide.ok("set_low_credit_alert", 50, sender=ALICE)
    wide.bill(50)
    assert wide.account()["low_credit"] is True
    wide.ok("set_low_credit_alert", 49, sender=ALICE)
    assert wide.account()["low_credit"] is False
    wide.bill(1)
    assert wide.notices() == [("low_credit", "low_credit")] * 2


# ---- 8: who fills the notices ----


def test_settle_usage__by_the_operator_of_a_former_api__leaves_no_notice(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    receipt = market.ok("settle_usage", API, 1, [entry(spend_wei=1)] * 256, sender=OPERATOR)
    assert (market.notices(), [event.name for event in receipt.events]) == ([], ["UsageSettled"])


def test_settle_usage__many_refused_entries__leave_one_notice_with_the_sums(market: Market) -> None:
    market.subscribe(BOB)
    entries = [entry(calls=4), entry(BOB, calls=6), entry(calls=3), entry(calls=2, spend_wei=21)]
    receipt = market.ok("settle_usage", API, 1, entries, sender=METER)
    told = [
        [(n["kind"], n["code"], n["calls"], n["amount_wei"]) for n in market.view("list_notices", each)]
        for each in (ALICE, BOB)
    ]
    assert told == [
        [("settlement", "daily_limit_exceeded", 2 + 2, 2 * PRICE + 21)],
        [("settlement", "daily_limit_exceeded", 1, PRICE)],
    ]
    limits = [dict(event.fields) for event in receipt.events if event.name == "LimitExceeded"]
    assert [(each["calls"], each["amount_wei"]) for each in limits] == [(4, 41), (1, 10)]


def test_settle_usage__refused_and_credit_runs_low__leaves_one_notice(wide: Market) -> None:
    wide.subscribe(deposit=0, cap=850)
    wide.settle(entry(calls=86))
    assert wide.notices() == [("settlement", "daily_spend_exceeded")]
    wide.settle(entry(spend_wei=0))
    wide.subscribe(deposit=0)
    wide.settle(entry())
    assert wide.notices()[1:] == [("low_credit", "low_credit")]


# ---- 9: a settled sequence with other content ----

CONTENT = [entry(calls=2), entry(BOB)]
OTHER_CONTENT: list[tuple[list[dict[str, Any]], str]] = [
    (CONTENT, "cd" * 32),
    (CONTENT, ""),
    (CONTENT[::-1], ROOT),
    (CONTENT[:1], ROOT),
    ([*CONTENT, entry()], ROOT),
    ([entry(calls=3), entry(BOB)], ROOT),
    ([entry(calls=2, spend_wei=19), entry(BOB)], ROOT),
    ([entry(calls=2, day_id=YESTERDAY), entry(BOB)], ROOT),
    ([entry(STRANGER, calls=2), entry(BOB)], ROOT),
    ([entry(calls=2) | {"close": True}, entry(BOB)], ROOT),
]


@pytest.mark.parametrize(("entries", "root"), OTHER_CONTENT)
def test_settle_usage__same_sequence_with_other_content__is_refused(
    market: Market, entries: list[dict[str, Any]], root: str
) -> None:
    market.ok("settle_usage", API, 1, CONTENT, ROOT, sender=METER)
    market.refused("sequence_mismatch", "settle_usage", API, 1, entries, root, sender=METER)


def test_settle_usage__same_content_in_other_forms__answers_as_before(market: Market) -> None:
    first = market.ok("settle_usage", API, 1, CONTENT, ROOT, sender=METER).value
    forms = [
        entry("0x" + ALICE[2:].upper(), calls=2) | {"close": False, "voucher": None},
        entry(bytes.fromhex(BOB[2:])),
    ]
    again = market.ok("settle_usage", API, 1, forms, "0x" + ROOT.upper(), sender=OPERATOR)
    assert (again.value, again.events) == (first, ())


# ---- 10: contracts that cannot be paid ----


@pytest.mark.parametrize("method", ["withdraw_credit", "withdraw_earnings"])
@pytest.mark.parametrize("by_contract", [False, True])
def test_withdraw__to_an_account__pays_that_account(market: Market, method: str, by_contract: bool) -> None:
    relay = market.relay()
    if method == "withdraw_earnings":
        if by_contract:
            market.ok("propose_operator", API, relay, sender=OPERATOR)
            market.via(relay, "accept_operator", API)
        market.bill(5)
    elif by_contract:
        market.ok("top_up_for", relay, 50, sender=STRANGER, value=50)
    before = market.net.balance(RIVAL)
    if by_contract:
        assert market.via(relay, method, 40, RIVAL).kind == "return"
    else:
        market.ok(method, 40, RIVAL, sender=OPERATOR if method == "withdraw_earnings" else ALICE)
    market.net.process("finalized")
    assert market.net.balance(RIVAL) == before + 40
    assert market.view("get_solvency")["surplus_wei"] == 0


def test_withdraw__to_the_billing_contract__is_refused(market: Market) -> None:
    market.bill()
    market.refused("bad_address", "withdraw_credit", 1, market.address, sender=ALICE)
    market.refused("bad_address", "withdraw_earnings", 1, market.address, sender=OPERATOR)


def test_withdraw__by_a_contract_to_itself_as_an_account__is_refused(market: Market) -> None:
    relay = market.relay()
    market.ok("top_up_for", relay, 50, sender=STRANGER, value=50)
    for to in (relay, market.address):
        assert market.via(relay, "withdraw_credit", 1, to).error_code == "bad_address"
    assert market.credit(relay) == 50


def test_withdraw__by_an_account_to_itself__is_what_leaving_it_out_does(market: Market) -> None:
    before = market.net.balance(ALICE)
    market.ok("withdraw_credit", 5, ALICE, sender=ALICE)
    market.net.process("finalized")
    assert market.net.balance(ALICE) == before + 5


# ---- 11: prices of other days ----


def new_price(market: Market, price: int, plan: str = "standard") -> None:
    market.ok("set_plan", API, plan, price, 5, 12, sender=OPERATOR)


def most(market: Market, day_id: int) -> int:
    """The highest price at which a call of ALICE on that day can be settled now; nothing stays settled."""
    before = market.net.snapshot()
    prices = [0]
    for price in range(1, 100):
        market.net.restore(before)
        if settled(market, entry(day_id=day_id, spend_wei=price)) != [(price, "")]:
            break
        prices.append(price)
    market.net.restore(before)
    return prices[-1]


def test_price_cut__settlement__takes_the_highest_price_of_the_day(market: Market) -> None:
    new_price(market, 4)
    assert most(market, TODAY) == PRICE  # it was 10 in the morning
    assert market.bill()["cost_wei"] == 4
    market.at(TOMORROW_NOON)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 4)


def test_price_cut__twice_a_day_and_the_day_after__each_day_keeps_its_own_price(market: Market) -> None:
    new_price(market, 8)
    new_price(market, 9)
    new_price(market, 3)
    market.at(TOMORROW_NOON)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 3)
    new_price(market, 6)
    new_price(market, 2)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 6)
    market.at("2026-01-17T12:00:00Z")
    assert (most(market, TOMORROW), most(market, TODAY + 2)) == (6, 2)
    new_price(market, 1)
    assert (most(market, TOMORROW), most(market, TODAY + 2)) == (6, 2)


def test_price_cut__some_days_ago__is_the_price_of_all_days_since(market: Market) -> None:
    new_price(market, 4)
    market.at(NEXT_WEEK)
    assert (most(market, TODAY + 6), most(market, TODAY + 7)) == (4, 4)
    new_price(market, 2)
    assert (most(market, TODAY + 6), most(market, TODAY + 7)) == (4, 4)


def test_price_raised__settlement__takes_what_was_accepted(market: Market) -> None:
    new_price(market, 20)
    market.at(TOMORROW_NOON)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, PRICE)


def test_price_accepted_the_day_after__does_not_reach_back(market: Market) -> None:
    new_price(market, 20)
    market.at(TOMORROW_NOON)
    market.subscribe(deposit=0)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 20)


def test_plan_changed_the_day_after__does_not_reach_back(market: Market) -> None:
    new_price(market, 50, "gold")
    market.at(TOMORROW_NOON)
    market.ok("subscribe", API, CAP, 0, "gold", sender=ALICE)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 50)


def test_plan_changed_twice_the_day_after__the_former_price_is_that_of_the_day_before(market: Market) -> None:
    new_price(market, 50, "gold")
    market.at(TOMORROW_NOON)
    market.ok("subscribe", API, CAP, 0, "gold", sender=ALICE)
    market.ok("subscribe", API, CAP, 0, "standard", sender=ALICE)
    market.ok("subscribe", API, CAP, 0, "gold", sender=ALICE)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 50)


def test_plan_changed_to_a_cheaper_one_the_day_after__what_was_served_before_is_still_paid(market: Market) -> None:
    new_price(market, 2, "bulk")
    market.at(TOMORROW_NOON)
    market.ok("subscribe", API, CAP, 0, "bulk", sender=ALICE)
    assert (most(market, TODAY), most(market, TOMORROW)) == (PRICE, 2)


# ---- 12: paused APIs ----


def test_settle_usage__api_paused__bills_what_was_served(market: Market) -> None:
    market.ok("set_api_active", API, False, sender=OPERATOR)
    assert settled(market, entry()) == [(PRICE, "")]


# ---- 13: an id for every message ----


def test_integration_example__sends_an_id_from_a_counter_in_storage(billing: Market) -> None:
    lines = billing.view("consumer_integration_example").splitlines()
    counted = next(line for line in lines if line.startswith("self.calls += 1"))
    assert 'request_call("weather", str(self.calls))' in lines[lines.index(counted) + 1]


# ---- 15: receipts that name a place ----


def test_receipt__of_a_request__ends_with_its_digest(market: Market) -> None:
    tag = hashlib.sha256(b"r-1").hexdigest()[:8]
    assert market.bill(request_id="r-1")["receipt_id"] == f"{API}:{ALICE}:{TODAY}:1:{tag}"


def test_receipt__of_a_call_that_was_undone__is_not_that_of_the_call_in_its_place(market: Market) -> None:
    before = market.net.snapshot()
    undone = market.bill(request_id="r-1")["receipt_id"]
    market.net.restore(before)
    billed_instead = market.bill(request_id="r-2")["receipt_id"]
    shown = [market.view("get_receipt", each) for each in (undone, billed_instead)]
    assert [(each["valid"], each["remembered"]) for each in shown] == [(False, True), (True, True)]


def test_receipt__no_longer_remembered__is_valid_by_the_count(wide: Market) -> None:
    receipt_id = wide.bill(request_id="r-0")["receipt_id"]
    for number in range(1, 65):
        assert wide.view("get_receipt", receipt_id)["remembered"] is True
        wide.bill(request_id=f"r-{number}")
    shown = wide.view("get_receipt", receipt_id)
    assert (shown["valid"], shown["remembered"]) == (True, False)


@pytest.mark.parametrize("caller", [ALICE, METER])
def test_receipt__of_either_side__is_remembered(market: Market, caller: str) -> None:
    receipt = market.ok("consume_credit", API, ALICE, 1, "r-1", sender=caller).value
    shown = market.view("get_receipt", receipt["receipt_id"])
    assert (shown["valid"], shown["remembered"]) == (True, True)


# ---- found by attacks on the second edition ----


def new_cap(market: Market, cap: int) -> None:
    market.ok("subscribe", API, cap, 0, sender=ALICE)


@pytest.mark.parametrize(("caps", "yesterday"), [((20, 40), 20), ((40, 20), 40), ((20, 5, 60), 20)])
def test_cap__changed_the_day_after__does_not_reach_back(wide: Market, caps: tuple[int, ...], yesterday: int) -> None:
    new_cap(wide, caps[0])
    wide.at(TOMORROW_NOON)
    for cap in caps[1:]:
        new_cap(wide, cap)
    assert settled(wide, entry(calls=10), entry(day_id=TOMORROW, calls=10)) == [
        (yesterday, "daily_spend_exceeded"),
        (caps[-1] // PRICE * PRICE, "daily_spend_exceeded"),
    ]


def test_cap__changed_on_the_day__is_that_of_the_day(wide: Market) -> None:
    new_cap(wide, 20)
    new_cap(wide, 50)
    assert settled(wide, entry(calls=10)) == [(50, "daily_spend_exceeded")]
    wide.at(TOMORROW_NOON)
    assert settled(wide, entry()) == [(0, "daily_spend_exceeded")]


def test_cap__of_a_subscription_that_ended_and_began_anew__is_that_of_each_day(wide: Market) -> None:
    new_cap(wide, 20)
    wide.ok("unsubscribe", API, sender=ALICE)
    wide.at(NEXT_MINUTE)
    new_cap(wide, 90)
    assert settled(wide, entry(calls=10), entry(day_id=TOMORROW, calls=10)) == [
        (20, "daily_spend_exceeded"),
        (90, "daily_spend_exceeded"),
    ]


def test_top_up_for__the_billing_contract_itself__is_the_callers_credit(market: Market) -> None:
    answer = market.ok("top_up_for", market.address, 7, sender=BOB, value=7).value
    assert (answer["code"], market.credit(BOB), market.credit(market.address)) == ("bad_address", 7, 0)
    market.refused("bad_address", "top_up_for", market.address, 7, sender=BOB)


TAG = hashlib.sha256(b"r-1").hexdigest()[:8]


@pytest.mark.parametrize(
    ("tag", "shown"),
    [(f":{TAG}", (True, True)), (":" + "0" * 8, (False, True)), ("", (True, False))],
)
def test_receipt__of_a_remembered_request__is_judged_by_its_tag(
    market: Market, tag: str, shown: tuple[bool, bool]
) -> None:
    market.bill(request_id="r-1")
    answer = market.view("get_receipt", f"{API}:{ALICE}:{TODAY}:1{tag}")
    assert (answer["valid"], answer["remembered"]) == shown


@pytest.mark.parametrize("tag", ["", f":{TAG}"])
def test_receipt__of_a_call_that_was_not_billed__is_valid_with_no_tag(market: Market, tag: str) -> None:
    market.bill(request_id="r-1")
    assert market.view("get_receipt", f"{API}:{ALICE}:{TODAY}:2{tag}")["valid"] is False


@pytest.mark.parametrize("tag", [":", ":ABCDEF01", ":abcdef0", ":abcdef012", ":abcdefg1", "::abcdef01"])
def test_receipt__with_something_else_than_a_tag__is_refused(market: Market, tag: str) -> None:
    market.bill(request_id="r-1")
    assert market.view_code("get_receipt", f"{API}:{ALICE}:{TODAY}:1{tag}") == "bad_receipt_id"
