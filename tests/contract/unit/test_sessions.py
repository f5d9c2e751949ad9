"""Sessions: a hold with a signer. Who sets and clears it, what it forbids, and `open_session`."""

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
    event_names,
)
from ..sessions import HOUR_LATER, OTHER_SIGNER, SIGNER, billed, channel_of, open_session, salt_of, signed_entry

EXPIRED = "2026-01-15T13:00:00Z"  # the second HOUR_LATER


def session(market: Market, consumer: str = ALICE, **named: Any) -> dict[str, Any]:
    shown: dict[str, Any] = market.view("get_session", consumer, API, **named)
    return shown


@pytest.fixture
def in_session(market: Market) -> Market:
    """ALICE holds 500 wei for `weather` until HOUR_LATER, to be billed with vouchers of KEY."""
    open_session(market)
    return market


# ---- the signer ----


def test_place_hold__with_a_signer__is_a_session(in_session: Market) -> None:
    assert session(in_session) == {
        "consumer": ALICE,
        "api_name": API,
        "signer": SIGNER,
        "hold_wei": 500,
        "hold_expires_at": HOUR_LATER,
        "hold_from_day": TODAY,
        "in_force": True,
        "channels": [],
    }
    assert in_session.line()["signer"] == SIGNER


def test_get_session__of_nobody__shows_none(market: Market) -> None:
    assert session(market, BOB) == {
        "consumer": BOB,
        "api_name": API,
        "signer": "",
        "hold_wei": 0,
        "hold_expires_at": 0,
        "hold_from_day": 0,
        "in_force": False,
        "channels": [],
    }


@pytest.mark.parametrize("signer", ["", SIGNER])
def test_place_hold__in_force_with_the_signer_that_is__raises_and_prolongs(in_session: Market, signer: str) -> None:
    in_session.ok("place_hold", API, 100, HOUR_LATER + 1, signer, sender=ALICE)
    shown = session(in_session)
    assert (shown["hold_wei"], shown["hold_expires_at"], shown["signer"]) == (600, HOUR_LATER + 1, SIGNER)


@pytest.mark.parametrize("signer", ["plain", OTHER_SIGNER])
def test_place_hold__in_force_with_another_signer__is_refused(in_session: Market, signer: str) -> None:
    in_session.refused("hold_in_force", "place_hold", API, 1, HOUR_LATER, signer, sender=ALICE)
    in_session.refused("hold_in_force", "place_hold", API, 0, HOUR_LATER, signer, sender=ALICE)


@pytest.mark.parametrize("signer", ["", "plain"])
def test_place_hold__plain_in_force__stays_plain(market: Market, signer: str) -> None:
    market.ok("place_hold", API, 100, HOUR_LATER, sender=ALICE)
    market.refused("hold_in_force", "place_hold", API, 1, HOUR_LATER, SIGNER, sender=ALICE)
    market.ok("place_hold", API, 1, HOUR_LATER, signer, sender=ALICE)
    assert session(market)["signer"] == ""


@pytest.mark.parametrize(("signer", "then"), [("", SIGNER), ("plain", ""), (OTHER_SIGNER, OTHER_SIGNER)])
def test_place_hold__anew_after_expiry__chooses_the_signer(in_session: Market, signer: str, then: str) -> None:
    in_session.at(EXPIRED)
    in_session.ok("place_hold", API, 1, HOUR_LATER + DAY, signer, sender=ALICE)
    assert (session(in_session)["signer"], in_session.credit()) == (then, DEPOSIT - 1)


@pytest.mark.parametrize("signer", ["", "plain", OTHER_SIGNER])
def test_place_hold__anew_after_its_release__chooses_the_signer(in_session: Market, signer: str) -> None:
    in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    in_session.ok("place_hold", API, 1, HOUR_LATER, signer, sender=ALICE)
    assert session(in_session)["signer"] == {"": SIGNER, "plain": ""}.get(signer, signer)


def test_place_hold__anew_after_being_used_up__chooses_the_signer(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 500, calls=1, spend_wei=PRICE))
    in_session.refused("hold_in_force", "place_hold", API, 1, HOUR_LATER, OTHER_SIGNER, sender=ALICE)
    in_session.register(daily=100)
    in_session.settle(signed_entry(in_session, 500, calls=49))
    in_session.ok("place_hold", API, 1, NOW + 60, OTHER_SIGNER, sender=ALICE)
    assert session(in_session)["signer"] == OTHER_SIGNER


def test_place_hold__billing_contract_as_signer__is_refused(market: Market) -> None:
    market.refused("bad_address", "place_hold", API, 1, HOUR_LATER, market.address, sender=ALICE)


@pytest.mark.parametrize("signer", ["Plain", "plain ", "PLAIN", "none", "0x" + "00" * 20])
def test_place_hold__nearly_a_signer__is_refused(market: Market, signer: str) -> None:
    market.refused("bad_address", "place_hold", API, 1, HOUR_LATER, signer, sender=ALICE)


def test_place_hold__refused__does_not_release_the_expired_one(in_session: Market) -> None:
    in_session.at(EXPIRED)
    in_session.refused("insufficient_credit", "place_hold", API, DEPOSIT + 1, HOUR_LATER + 1, "plain", sender=ALICE)
    assert (session(in_session)["signer"], session(in_session)["hold_wei"]) == (SIGNER, 500)


def test_place_hold__over_an_expired_one__announces_its_release(in_session: Market) -> None:
    in_session.at(EXPIRED)
    placed = in_session.ok("place_hold", API, DEPOSIT, HOUR_LATER + 1, sender=ALICE)
    assert event_names(placed) == ["HoldReleased", "HoldPlaced"]
    assert in_session.account()["held_wei"] == DEPOSIT == in_session.view("get_solvency")["held_wei"]


# ---- what operator and meters may no more ----


@pytest.mark.parametrize("caller", [OPERATOR, METER])
@pytest.mark.parametrize("ended", ["no", "expired", "released", "unsubscribed and back"])
def test_consume_credit__by_operator_or_meter_once_a_signer_is_set__is_refused(
    in_session: Market, caller: str, ended: str
) -> None:
    if ended == "expired":
        in_session.at(EXPIRED)
        in_session.ok("release_hold", API, sender=ALICE)
    elif ended == "released":
        in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    elif ended == "unsubscribed and back":
        in_session.at("2026-03-01T00:00:00Z")
        in_session.ok("unsubscribe", API, sender=ALICE)
        in_session.subscribe(deposit=0)
    in_session.refused("session_only", "consume_credit", API, ALICE, sender=caller)
    assert in_session.bill()["cost_wei"] == PRICE


@pytest.mark.parametrize("day", [TODAY, TODAY + 1])
@pytest.mark.parametrize("ended", ["no", "expired", "released"])
def test_settle_usage__without_a_voucher_once_a_signer_is_set__touches_nothing(
    in_session: Market, ended: str, day: int
) -> None:
    if ended == "released":
        in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    in_session.at("2026-01-16T00:00:00Z" if ended == "expired" or day > TODAY else EXPIRED)
    before = in_session.account()
    assert billed(in_session.settle(entry(day_id=day))) == [(0, "session_only")]
    assert in_session.account() == before


@pytest.mark.parametrize("ended", ["expired", "released", "used up"])
def test_settle_usage__voucher_without_a_hold_in_force__touches_no_free_credit(in_session: Market, ended: str) -> None:
    line = signed_entry(in_session, 500)
    if ended == "expired":
        in_session.at(EXPIRED)
    elif ended == "released":
        in_session.ok("release_hold", API, ALICE, sender=OPERATOR)
    else:
        in_session.register(daily=100)
        in_session.settle(signed_entry(in_session, 1_000, calls=50))
        line = signed_entry(in_session, 1_000)
    before = in_session.account()
    assert billed(in_session.settle(line)) == [(0, "insufficient_credit")]
    assert in_session.account() == before


def test_settle_usage__voucher_for_more_than_the_hold__takes_the_hold_and_no_free_credit(market: Market) -> None:
    open_session(market, 25)
    assert billed(market.settle(signed_entry(market, 1_000, calls=4))) == [(2 * PRICE, "insufficient_credit")]
    assert (session(market)["hold_wei"], market.credit()) == (5, DEPOSIT - 25)


def test_settle_usage__second_before_expiry__bills_and_at_expiry_no_more(in_session: Market) -> None:
    in_session.at("2026-01-15T12:59:59Z")
    assert billed(in_session.settle(signed_entry(in_session, 100))) == [(PRICE, "")]
    in_session.at(EXPIRED)
    assert billed(in_session.settle(signed_entry(in_session, 100))) == [(0, "insufficient_credit")]


def test_settle_usage__day_before_the_session__is_not_paid_by_it(market: Market) -> None:
    market.at("2026-01-16T12:00:00Z")
    open_session(market, expires_at=NOW + 2 * DAY)
    assert billed(market.settle(signed_entry(market, 100))) == [(0, "insufficient_credit")]


def test_settle_usage__plain_hold_after_the_session__pays_without_vouchers(in_session: Market) -> None:
    in_session.at(EXPIRED)
    in_session.ok("place_hold", API, 100, HOUR_LATER + DAY, "plain", sender=ALICE)
    assert billed(in_session.settle(entry())) == [(PRICE, "")]
    assert in_session.ok("consume_credit", API, ALICE, sender=METER).value["cost_wei"] == PRICE


@pytest.mark.parametrize("extra", [{"close": True}, {"voucher": True}])
def test_settle_usage__voucher_or_close_where_no_signer_is_set__is_refused(
    market: Market, extra: dict[str, Any]
) -> None:
    market.ok("place_hold", API, 100, HOUR_LATER, sender=ALICE)
    line = signed_entry(market, 100)
    voucher = {"voucher": line["voucher"]} if "voucher" in extra else {"close": True}
    assert billed(market.settle(entry() | voucher)) == [(0, "no_session")]
    assert session(market)["hold_wei"] == 100


@pytest.mark.parametrize("method", ["consume_credit", "request_call"])
def test_session__own_calls_of_the_consumer__stay(market: Market, method: str) -> None:
    relay = market.relay()
    market.via(relay, "subscribe", API, 1_000, 100, value=100)
    assert market.via(relay, "place_hold", API, 50, HOUR_LATER, SIGNER).kind == "return"
    arguments = (API, relay) if method == "consume_credit" else (API, "r-1")
    assert market.via(relay, method, *arguments).kind == "return"
    assert market.credit(relay) == 40


def test_consume_credit__billed_by_a_meter_before_the_session__still_answers_that_id(market: Market) -> None:
    receipt = market.ok("consume_credit", API, ALICE, 1, "r-1", sender=METER).value
    open_session(market)
    assert market.ok("consume_credit", API, ALICE, 1, "r-1", sender=METER).value == receipt
    market.refused("session_only", "consume_credit", API, ALICE, 1, "r-2", sender=METER)


def test_settle_usage__spend_0_in_a_session__needs_no_voucher(in_session: Market) -> None:
    outcome = in_session.settle(entry(calls=2, spend_wei=0))
    assert [(line["billed_calls"], line["code"]) for line in outcome["entries"]] == [(2, "")]
    assert session(in_session)["channels"] == []


# ---- the end of a session ----


def test_close__entry_billed_without_a_code__releases_the_rest(in_session: Market) -> None:
    receipt = in_session.ok("settle_usage", API, 1, [signed_entry(in_session, PRICE, close=True)], sender=METER)
    assert event_names(receipt) == ["HoldReleased", "UsageSettled"]
    assert (session(in_session)["hold_wei"], in_session.credit()) == (0, DEPOSIT - PRICE)
    assert in_session.account()["held_wei"] == 0 == in_session.view("get_solvency")["held_wei"]


@pytest.mark.parametrize(("calls", "signed", "paid"), [(2, PRICE, PRICE), (1, PRICE - 1, 0), (6, 100, 50)])
def test_close__entry_billed_with_a_code__keeps_the_hold(
    in_session: Market, calls: int, signed: int, paid: int
) -> None:
    ((wei, code),) = billed(in_session.settle(signed_entry(in_session, signed, calls=calls, close=True)))
    assert (wei, code != "", session(in_session)["hold_wei"]) == (paid, True, 500 - paid)


def test_close__of_spend_0__releases_without_a_voucher(in_session: Market) -> None:
    in_session.settle(entry(spend_wei=0) | {"close": True})
    assert (session(in_session)["hold_wei"], in_session.credit()) == (0, DEPOSIT)


def test_close__in_the_middle_of_a_batch__leaves_nothing_for_what_follows(in_session: Market) -> None:
    lines = [signed_entry(in_session, PRICE, close=True), signed_entry(in_session, 2 * PRICE)]
    assert billed(in_session.settle(*lines)) == [(PRICE, ""), (0, "insufficient_credit")]
    assert in_session.credit() == DEPOSIT - PRICE


def test_close__sent_again__answers_as_before_and_releases_no_new_hold(in_session: Market) -> None:
    line = signed_entry(in_session, PRICE, close=True)
    first = in_session.settle(line)
    open_session(in_session, 100)
    again = in_session.ok("settle_usage", API, 1, [line], sender=METER)
    assert (again.value, session(in_session)["hold_wei"]) == (first, 100)


def test_close__after_unsubscribing__releases_too(in_session: Market) -> None:
    in_session.ok("unsubscribe", API, sender=ALICE)
    in_session.settle(signed_entry(in_session, PRICE, close=True))
    assert (session(in_session)["hold_wei"], in_session.credit()) == (0, DEPOSIT - PRICE)


def test_release_hold__by_the_consumer_of_a_session__only_after_expiry(in_session: Market) -> None:
    in_session.refused("hold_in_force", "release_hold", API, sender=ALICE)
    in_session.at(EXPIRED)
    in_session.ok("release_hold", API, sender=ALICE)
    assert (in_session.credit(), session(in_session)["signer"]) == (DEPOSIT, SIGNER)


def test_unsubscribe__in_a_session__settles_the_day_and_keeps_the_signer(in_session: Market) -> None:
    in_session.ok("unsubscribe", API, sender=ALICE)
    assert billed(in_session.settle(signed_entry(in_session, PRICE))) == [(PRICE, "")]
    in_session.subscribe(deposit=0)
    assert session(in_session)["signer"] == SIGNER


# ---- open_session ----

TERMS = (API, CAP, 60, HOUR_LATER, SIGNER)


def test_open_session__by_a_new_consumer__credits_subscribes_and_holds(market: Market) -> None:
    receipt = market.ok("open_session", *TERMS, sender=BOB, value=100)
    assert receipt.value == {
        "ok": True,
        "credited_wei": 100,
        "credit_wei": 40,
        "plan_name": "standard",
        "accepted_price_wei": PRICE,
        "max_daily_spend_wei": CAP,
        "hold_wei": 60,
        "expires_at": HOUR_LATER,
        "signer": SIGNER,
    }
    assert event_names(receipt) == ["CreditToppedUp", "Subscribed", "HoldPlaced"]
    assert (market.credit(BOB), market.account(BOB)["held_wei"]) == (40, 60)
    line = signed_entry(market, PRICE, consumer=BOB)
    assert billed(market.settle(line)) == [(PRICE, "")]


def test_open_session__by_a_subscriber__changes_no_terms(market: Market) -> None:
    market.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    terms = (API, 1, 60, HOUR_LATER, SIGNER, "gold", 1)
    receipt = market.ok("open_session", *terms, sender=ALICE)
    assert event_names(receipt) == ["HoldPlaced"]
    answer = receipt.value
    assert (answer["plan_name"], answer["max_daily_spend_wei"], answer["accepted_price_wei"]) == (
        "standard",
        CAP,
        PRICE,
    )
    assert (answer["credited_wei"], answer["credit_wei"]) == (0, DEPOSIT - 60)


def test_open_session__again__tops_up(market: Market) -> None:
    market.ok("open_session", *TERMS, sender=BOB, value=60)
    answer = market.ok("open_session", API, CAP, 40, HOUR_LATER + 1, SIGNER, sender=BOB, value=50).value
    assert (answer["hold_wei"], answer["credit_wei"], answer["expires_at"]) == (100, 10, HOUR_LATER + 1)


def test_open_session__over_an_expired_hold__uses_what_was_in_it(in_session: Market) -> None:
    in_session.at(EXPIRED)
    answer = in_session.ok("open_session", API, CAP, DEPOSIT, HOUR_LATER + 1, OTHER_SIGNER, sender=ALICE).value
    assert (answer["hold_wei"], answer["credit_wei"], answer["signer"]) == (DEPOSIT, 0, OTHER_SIGNER)


def test_open_session__after_unsubscribing__subscribes_anew(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    answer = market.ok("open_session", API, 77, 60, HOUR_LATER, SIGNER, sender=ALICE).value
    assert (answer["max_daily_spend_wei"], market.line()["subscribed"]) == (77, True)


REFUSED: list[tuple[tuple[Any, ...], str]] = [
    (("maps", CAP, 60, HOUR_LATER, SIGNER), "api_not_registered"),
    ((API, 0, 60, HOUR_LATER, SIGNER), "max_spend_not_positive"),
    ((API, CAP, 60, HOUR_LATER, SIGNER, "gold"), "plan_not_found"),
    ((API, CAP, 60, HOUR_LATER, SIGNER, "standard", PRICE - 1), "price_above_max"),
    ((API, CAP, 101, HOUR_LATER, SIGNER), "insufficient_credit"),
    ((API, CAP, 0, HOUR_LATER, SIGNER), "amount_not_positive"),
    ((API, CAP, -1, HOUR_LATER, SIGNER), "negative_number"),
    ((API, CAP, 60, NOW, SIGNER), "bad_expiry"),
    ((API, CAP, 60, NOW + 367 * DAY, SIGNER), "bad_expiry"),
    ((API, CAP, 60, HOUR_LATER, "0x12"), "bad_address"),
    ((API, CAP, True, HOUR_LATER, SIGNER), "bad_type"),
]


@pytest.mark.parametrize(("terms", "code"), REFUSED)
def test_open_session__refused_with_value__keeps_the_deposit_and_nothing_else(
    market: Market, failed_value: str, terms: tuple[Any, ...], code: str
) -> None:
    receipt = market.ok("open_session", *terms, sender=BOB, value=100)
    assert event_names(receipt) == ["CreditToppedUp", "DepositKept"]
    answer = receipt.value
    assert {key: answer[key] for key in ("ok", "code", "credited_wei", "credit_wei")} == {
        "ok": False,
        "code": code,
        "credited_wei": 100,
        "credit_wei": 100,
    }
    assert (market.account(BOB)["subscriptions"], market.account(BOB)["held_wei"]) == ([], 0)
    assert market.view("get_solvency")["surplus_wei"] == 0


@pytest.mark.parametrize(("terms", "code"), REFUSED)
def test_open_session__refused_without_value__changes_nothing(
    market: Market, terms: tuple[Any, ...], code: str
) -> None:
    market.ok("top_up_credit", 100, sender=BOB, value=100)
    market.refused(code, "open_session", *terms, sender=BOB)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ((API, CAP, 1, HOUR_LATER, OTHER_SIGNER), "hold_in_force"),
        ((API, CAP, 1, HOUR_LATER, "plain"), "hold_in_force"),
        ((API, CAP, 1, HOUR_LATER - 1, SIGNER), "hold_not_shortened"),
    ],
)
def test_open_session__another_one_while_in_force__keeps_the_deposit(
    in_session: Market, failed_value: str, terms: tuple[Any, ...], code: str
) -> None:
    answer = in_session.ok("open_session", *terms, sender=ALICE, value=7).value
    assert (answer["code"], in_session.credit(), session(in_session)["hold_wei"]) == (code, DEPOSIT - 500 + 7, 500)


@pytest.mark.parametrize("terms", [(API, CAP - 1, 1, HOUR_LATER, SIGNER), (API, CAP, 1, HOUR_LATER, SIGNER, "gold")])
def test_open_session__after_leaving_with_a_hold_in_force__forbids_what_subscribing_forbids(
    in_session: Market, terms: tuple[Any, ...]
) -> None:
    in_session.ok("set_plan", API, "gold", 3, 0, 0, sender=OPERATOR)
    in_session.ok("unsubscribe", API, sender=ALICE)
    in_session.refused("hold_in_force", "open_session", *terms, sender=ALICE)


def test_open_session__by_a_contract__holds_the_contracts_credit(market: Market) -> None:
    relay = market.relay()
    answer = market.via(relay, "open_session", *TERMS, value=100)
    assert answer.value["hold_wei"] == 60
    assert (market.credit(relay), market.account(relay)["held_wei"]) == (40, 60)


# ---- what get_session shows of channels ----


def test_get_session__channels_of_this_hold__in_order_of_use(in_session: Market) -> None:
    for salt, signed, calls in ((7, 30, 2), (3, 10, 1), (7, 50, 1)):
        in_session.settle(signed_entry(in_session, signed, calls=calls, salt=salt))
    assert session(in_session)["channels"] == [
        {"channel_id": channel_of(in_session, 7).id, "signed_wei": 50, "billed_wei": 30},
        {"channel_id": channel_of(in_session, 3).id, "signed_wei": 10, "billed_wei": 10},
    ]


def test_get_session__channel_of_an_earlier_hold__is_shown_when_named(in_session: Market) -> None:
    in_session.settle(signed_entry(in_session, 30, calls=2))
    in_session.at(EXPIRED)
    in_session.ok("place_hold", API, 1, HOUR_LATER + DAY, OTHER_SIGNER, sender=ALICE)
    assert session(in_session)["channels"] == []
    channel = channel_of(in_session).id
    known = {"channel_id": channel, "signed_wei": 30, "billed_wei": 20}
    assert session(in_session, channel_id=channel)["channels"] == [known]
    assert session(in_session, channel_id=bytes.fromhex(channel[2:]))["channels"] == [known]
    nothing = {"channel_id": salt_of(1), "signed_wei": 0, "billed_wei": 0}
    assert session(in_session, channel_id=salt_of(1))["channels"] == [nothing]


def test_session__of_one_api__leaves_another_alone(in_session: Market) -> None:
    in_session.register("maps", RIVAL)
    in_session.subscribe(api_name="maps")
    assert in_session.ok("consume_credit", "maps", ALICE, sender=RIVAL).value["cost_wei"] == PRICE
    outcome = in_session.settle(entry(), sender=RIVAL, api_name="maps")
    assert billed(outcome) == [(PRICE, "")]


def test_session__top_up_by_a_stranger__does_not_change_it(in_session: Market) -> None:
    before = session(in_session)
    in_session.ok("top_up_for", ALICE, 7, sender=STRANGER, value=7)
    assert session(in_session) == before
