"""What others can do to somebody who does nothing: at most one notice a call, none forgotten, no wei, no cost."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from genlayer_localnet import Receipt

from ..market import ALICE, API, BOB, CAP, DEPOSIT, METER, NOW, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry
from ..promised import on_day, promise
from ..sessions import HOUR_LATER, SIGNER, forged, open_session, signed_entry

Write = tuple[str, tuple[Any, ...], str, int]


def number_of_notices(market: Market, consumer: str = ALICE) -> int:
    return int(market.report(consumer)["notices"])


# ---- notices ----

# The most that one call of somebody else may do about ALICE's notices: method, arguments, sender, value.
INTRUSIONS: dict[str, Callable[[Market], Write]] = {
    "settlement that refuses all": lambda market: (
        "settle_usage",
        (API, 1, [entry(day_id=0), entry(spend_wei=99), entry(calls=999)] * 85),
        OPERATOR,
        0,
    ),
    "settlement that refuses some and drains": lambda market: (
        "settle_usage",
        (API, 1, [entry(calls=4)] * 64),
        METER,
        0,
    ),
    "settlement with forged vouchers": lambda market: (
        "settle_usage",
        (API, 1, [entry() | {"voucher": forged(9, salt)} for salt in range(64)]),
        METER,
        0,
    ),
    "billed call that drains": lambda market: ("consume_credit", (API, ALICE, 90), OPERATOR, 0),
    "refused call": lambda market: ("consume_credit", (API, ALICE, 10**6), METER, 0),
    "refund": lambda market: ("refund", (API, ALICE, 1), OPERATOR, 0),
    "top-up of 1 wei": lambda market: ("top_up_for", (ALICE, 1), STRANGER, 1),
    "price change": lambda market: ("register_api", (API, 99, 5), OPERATOR, 0),
    "pause": lambda market: ("set_api_active", (API, False), OPERATOR, 0),
    "release of a hold": lambda market: ("release_hold", (API, ALICE), OPERATOR, 0),
    "collecting": lambda market: ("collect_earnings", (API,), STRANGER, 0),
    "new promise": lambda market: ("set_promise", (API, STRANGER, 3, 50, ""), OPERATOR, 0),
}


@pytest.mark.parametrize("intrusion", INTRUSIONS)
@pytest.mark.parametrize("scene", ["plain", "low", "session", "left"])
def test_notices__one_call_of_another__adds_at_most_one(wide: Market, intrusion: str, scene: str) -> None:
    wide.subscribe(deposit=0, cap=900)
    wide.bill(5)
    wide.ok("place_hold", API, 100, HOUR_LATER, SIGNER if scene == "session" else "", sender=ALICE)
    if scene == "low":
        wide.ok("set_low_credit_alert", 100, sender=ALICE)
    if scene == "left":
        wide.ok("unsubscribe", API, sender=ALICE)
    before = number_of_notices(wide)
    method, arguments, sender, value = INTRUSIONS[intrusion](wide)
    receipt = wide.write(method, *arguments, sender=sender, value=value)
    assert receipt.kind in ("return", "user_error"), receipt.stderr
    assert number_of_notices(wide) - before <= 1
    about_alice = [event for event in receipt.events if event.name == "LimitExceeded"]
    assert len(about_alice) <= 1


def test_notices__settlement_of_a_consumer_who_left__adds_only_what_credit_spent_tells(wide: Market) -> None:
    """Who left still has to hear that credit runs low, and nothing of what the API refuses."""
    wide.ok("set_low_credit_alert", 100, sender=ALICE)
    wide.ok("place_hold", API, 100, HOUR_LATER, sender=ALICE)
    wide.ok("unsubscribe", API, sender=ALICE)
    wide.settle(entry(calls=20))
    wide.settle(*[entry(calls=20)] * 256)
    assert wide.notices() == [("low_credit", "low_credit")]


def test_notices__of_a_stranger_to_the_api__are_none(market: Market) -> None:
    market.ok("top_up_credit", 5, sender=BOB, value=5)
    receipt = market.ok("settle_usage", API, 1, [entry(BOB), entry(STRANGER)], sender=METER)
    assert (market.notices(BOB), market.notices(STRANGER)) == ([], [])
    assert [event.name for event in receipt.events] == ["UsageSettled"]


def test_notices__64_of_another_api__need_64_calls(wide: Market) -> None:
    """The operator of an API that ALICE uses can fill her list, but a call at a time."""
    wide.register("maps", RIVAL)
    wide.subscribe(api_name="maps")
    wide.settle(entry(spend_wei=99))
    first = wide.view("list_notices", ALICE)[0]
    for number in range(1, 64):
        wide.ok("settle_usage", "maps", number, [entry(spend_wei=99)] * 3, sender=RIVAL)
    assert wide.view("list_notices", ALICE)[0] == first
    wide.ok("settle_usage", "maps", 64, [entry(spend_wei=99)], sender=RIVAL)
    assert first not in wide.view("list_notices", ALICE)


def test_notices__of_a_contract_that_asks_in_vain__are_its_own(market: Market) -> None:
    relay = market.relay()
    market.via(relay, "request_call", API, "r-1")
    assert market.notices(relay) == [("limit", "not_subscribed")]
    assert market.notices() == []


# ---- top-ups by strangers ----


def test_top_ups__100_by_a_stranger__change_credit_and_arm_the_alert_once(wide: Market) -> None:
    wide.bill(85)
    before = wide.account()
    for _ in range(100):
        wide.ok("top_up_for", ALICE, 1, sender=STRANGER, value=1)
    after = wide.account()
    assert after == before | {"credit_wei": before["credit_wei"] + 100, "low_credit": False}
    wide.bill(10)
    assert number_of_notices(wide) <= 2  # armed again once it was above the level


# ---- signers: nobody else makes free credit smaller ----

SEIZURES: list[Write] = [
    ("consume_credit", (API, ALICE), OPERATOR, 0),
    ("consume_credit", (API, ALICE, 1, "r-1"), METER, 0),
    ("consume_credit", (API, ALICE), STRANGER, 0),
    ("settle_usage", (API, 1, [entry()]), METER, 0),
    ("settle_usage", (API, 1, [entry(spend_wei=1)]), OPERATOR, 0),
    ("settle_usage", (API, 1, [entry() | {"voucher": forged(2**128 - 1)}]), METER, 0),
    ("settle_usage", (API, 1, [entry() | {"close": True}]), METER, 0),
    ("settle_usage", (API, 1, [entry(spend_wei=0) | {"close": True}]), METER, 0),
    ("release_hold", (API, ALICE), OPERATOR, 0),
    ("place_hold", (API, 1, NOW + 99), OPERATOR, 0),
    ("refund", (API, ALICE, 1), OPERATOR, 0),
    ("top_up_for", (ALICE, 1), STRANGER, 1),
    ("register_api", (API, 1, 5), OPERATOR, 0),
]


@pytest.mark.parametrize("write", SEIZURES, ids=[f"{row[0]}-{number}" for number, row in enumerate(SEIZURES)])
@pytest.mark.parametrize("hold", ["in force", "expired", "used up", "released"])
def test_signer_set__no_call_of_another__makes_free_credit_or_the_hold_smaller(
    wide: Market, write: Write, hold: str
) -> None:
    open_session(wide, 50)
    if hold == "expired":
        wide.at("2026-01-15T13:00:00Z")
    elif hold == "used up":
        wide.settle(signed_entry(wide, 50, calls=5))
    elif hold == "released":
        wide.ok("release_hold", API, ALICE, sender=OPERATOR)
    wide.bill()  # so that there are earnings to refund
    method, arguments, sender, value = write
    if method == "settle_usage":
        arguments = (API, wide.view("get_api", API)["next_sequence"], *arguments[2:])
    before = wide.account()
    wide.write(method, *arguments, sender=sender, value=value)
    after = wide.account()
    assert after["credit_wei"] >= before["credit_wei"]
    assert after["credit_wei"] + after["held_wei"] >= before["credit_wei"] + before["held_wei"]


def test_all_channels_together__never_above_the_holds_ever_placed(wide: Market) -> None:
    placed = 0
    for number in range(4):
        open_session(wide, 40 + number)
        placed += 40 + number
        lines = [signed_entry(wide, 10**9, calls=3, salt=salt) for salt in range(4)]
        wide.settle(*lines)
        wide.settle(*lines)
        if number % 2:
            wide.ok("release_hold", API, ALICE, sender=OPERATOR)
        else:
            wide.settle(signed_entry(wide, 10**9, calls=4, spend_wei=wide.line()["hold_wei"]))
    ids = [wide.view("get_session", ALICE, API)["channels"]]
    billed = sum(each["billed_wei"] for each in ids[0])
    spent = wide.line()["spend_today_wei"]
    assert billed == spent <= placed
    assert wide.credit() == DEPOSIT - spent


# ---- cost ----


def reads(receipt: Receipt) -> int:
    assert receipt.kind == "return", receipt.stderr
    return int(receipt.storage_reads)


def cost(market: Market) -> int:
    return reads(market.ok("consume_credit", API, ALICE, sender=ALICE))


def test_cost__of_a_billed_call__does_not_grow_by_plans_and_meters(wide: Market) -> None:
    wide.bill()
    before = cost(wide)
    for number in range(1, 64):
        wide.ok("set_meter", API, f"0x{number:040x}", True, sender=OPERATOR)
        wide.ok("set_plan", API, f"plan-{number}", 1, 0, 0, sender=OPERATOR)
    assert cost(wide) == before


def test_cost__of_a_billed_call__grows_by_a_step_where_accounts_and_apis_double(wide: Market) -> None:
    wide.bill()
    costs = []
    for number in range(1, 201):
        wide.ok("top_up_for", f"0x{number:040x}", 1, sender=STRANGER, value=1)
        wide.register(f"api-{number}", RIVAL)
        if number in (50, 100, 200):
            costs.append(cost(wide))
    assert max(later - earlier for earlier, later in pairwise(costs)) <= 20


def test_cost__of_a_billed_call__does_not_grow_by_promises_and_days(wide: Market) -> None:
    wide.bill()
    before = cost(wide)
    for number in range(64):
        on_day(wide, 4 * number)
        promise(wide, RIVAL)
        wide.ok("consume_credit", API, ALICE, sender=ALICE)
    assert cost(wide) - before <= 2


def test_cost__of_a_settlement__does_not_grow_by_channels_of_the_past(wide: Market) -> None:
    open_session(wide, 10)
    wide.settle(signed_entry(wide, 10, spend_wei=10))
    costs = []
    for number in range(10):
        open_session(wide, 16)
        wide.settle(*[signed_entry(wide, 1, spend_wei=1, salt=100 * number + salt) for salt in range(1, 17)])
        open_session(wide, 10)
        line = signed_entry(wide, 10**6 + number, spend_wei=10)
        sequence = wide.view("get_api", API)["next_sequence"]
        costs.append(reads(wide.ok("settle_usage", API, sequence, [line], sender=METER)))
        assert wide.credit() > 0
    assert max(costs) - costs[2] <= 3 * 4  # the map of channels has tripled, and is searched for two


def test_cost__of_looking_at_a_consumer__is_bounded_by_a_page(wide: Market) -> None:
    """Nobody but the consumer adds to its subscriptions."""
    for number in range(20):
        wide.register(f"api-{number}", RIVAL)
        wide.refused("not_subscribed", "refund", f"api-{number}", ALICE, 1, sender=RIVAL)
    assert wide.report(ALICE)["total"] == 1


def test_requests__of_a_stranger__are_remembered_nowhere(market: Market) -> None:
    receipt = market.bill(request_id="r-1")
    for number in range(65):
        refused = market.write("consume_credit", API, ALICE, 1, f"s-{number}", sender=STRANGER)
        assert refused.error_code == "not_authorized"
    assert market.bill(request_id="r-1") == receipt


def test_requests__refused_70_times__push_out_none(market: Market) -> None:
    receipt = market.ok("consume_credit", API, ALICE, 1, "r-1", sender=METER).value
    for number in range(65):
        refused = market.write("consume_credit", API, ALICE, 9, f"s-{number}", sender=METER)
        assert refused.error_code == "daily_limit_exceeded"
    assert market.ok("consume_credit", API, ALICE, 1, "r-1", sender=METER).value == receipt


def test_requests__replayed__take_no_place_in_the_ring(wide: Market) -> None:
    first = wide.bill(request_id="r-0")
    for _ in range(3):
        for number in range(64):
            wide.bill(request_id=f"r-{number}")
    assert wide.bill(request_id="r-0") == first
    assert wide.line()["calls_today"] == 64


def test_session__hold_of_a_stranger_with_my_signer__pays_nothing_of_mine(wide: Market) -> None:
    """A key that signs for two consumers: a voucher names its payer."""
    open_session(wide, 50)
    wide.subscribe(BOB, cap=CAP)
    open_session(wide, 50, consumer=BOB)
    theirs = signed_entry(wide, 50, calls=5, consumer=BOB)
    mine = {**theirs, "consumer": ALICE}
    outcome = wide.settle(mine, theirs)
    assert [(line["billed_wei"], line["code"]) for line in outcome["entries"]] == [(0, "bad_signature"), (50, "")]
    assert wide.line()["hold_wei"] == 50
    assert wide.earnings() == PRICE * 5
    assert wide.view("get_paid_day", API, ALICE, TODAY)["paid_wei"] == 0
