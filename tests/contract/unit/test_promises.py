"""Promises: when they begin, change and end; what is promised for a day; and what keeps an operator in its place."""

import hashlib

import pytest

from ..market import (
    ALICE,
    API,
    BOB,
    METER,
    OPERATOR,
    PRICE,
    RIVAL,
    STRANGER,
    TODAY,
    Market,
    entry,
)
from ..promised import PROMISE_TERMS, check_books, earnings, end_promise, on_day, promise

COURT, OTHER_COURT = RIVAL, STRANGER


def court_of(market: Market, day_id: int) -> tuple[str, int]:
    shown = market.view("get_promise", API, day_id)
    return shown["court"], shown["payout_days"]


def courts(market: Market, *days: int) -> list[tuple[str, int]]:
    return [court_of(market, TODAY + day) for day in days]


NONE = ("", 0)


# ---- beginning, changing, ending ----


def test_set_promise__the_first__is_in_force_from_tomorrow(market: Market) -> None:
    promise(market, COURT, 5)
    assert courts(market, -1, 0, 1, 2, 400) == [NONE, NONE, (COURT, 5), (COURT, 5), (COURT, 5)]
    assert market.view("get_api", API)["promise"] is None
    on_day(market, 1)
    assert market.view("get_api", API)["promise"] == {
        "court": COURT,
        "payout_days": 5,
        "max_refund_percent": 50,
        "terms_sha256": hashlib.sha256(PROMISE_TERMS.encode()).hexdigest(),
        "from_day": TODAY + 1,
    }


@pytest.mark.parametrize(("payout_days", "set_on"), [(3, 1), (14, 1), (14, 9)])
def test_set_promise__a_change__waits_for_the_payout_days_in_force(
    market: Market, payout_days: int, set_on: int
) -> None:
    promise(market, COURT, payout_days)
    on_day(market, set_on)
    promise(market, OTHER_COURT, 7)
    begins = set_on + 1 + payout_days
    assert courts(market, begins - 1, begins, begins + 1) == [(COURT, payout_days), (OTHER_COURT, 7), (OTHER_COURT, 7)]


def test_set_promise__ended__is_none_from_the_day_a_change_would_begin(market: Market) -> None:
    promise(market, COURT, 5)
    on_day(market, 1)
    end_promise(market)
    assert courts(market, 1, 6, 7) == [(COURT, 5), (COURT, 5), NONE]
    on_day(market, 7)
    assert market.view("get_api", API)["promise"] is None


@pytest.mark.parametrize("court", ["", OTHER_COURT])
def test_set_promise__before_the_last_one_began__is_refused(market: Market, court: str) -> None:
    terms = (API, court, 3, 50, PROMISE_TERMS)
    promise(market, COURT, 5)
    market.refused("promise_pending", "set_promise", *terms, sender=OPERATOR)
    on_day(market, 1)
    market.ok("set_promise", *terms, sender=OPERATOR)
    for day in (1, 6):
        on_day(market, day)
        market.refused("promise_pending", "set_promise", *terms, sender=OPERATOR)
    on_day(market, 7)
    market.ok("set_promise", *terms, sender=OPERATOR)


@pytest.mark.parametrize("caller", [METER, ALICE, RIVAL])
def test_set_promise__by_anyone_else__is_refused(market: Market, caller: str) -> None:
    market.refused("not_operator", "set_promise", API, COURT, 3, 50, PROMISE_TERMS, sender=caller)


@pytest.mark.parametrize(
    ("days", "percent", "terms", "url"),
    [
        (3, 1, "", ""),
        (14, 100, "x" * 2_000, "https://" + "x" * 192),
        (3, 100, "日" * 2_000, "https://status.example/a?b=c#d"),
        (3, 100, 'line\nline "quoted" \0', ""),
    ],
)
def test_set_promise__at_its_bounds__is_kept(market: Market, days: int, percent: int, terms: str, url: str) -> None:
    promise(market, COURT, days, percent, terms, url=url)
    shown = market.view("get_promise", API, TODAY + 1)
    assert shown == {
        "api_name": API,
        "day_id": TODAY + 1,
        "court": COURT,
        "payout_days": days,
        "max_refund_percent": percent,
        "terms": terms,
        "status_url": url,
        "terms_sha256": hashlib.sha256(terms.encode()).hexdigest(),
        "from_day": TODAY + 1,
        "next_from_day": 0,
    }


def test_set_promise__billing_contract_as_court__is_refused(market: Market) -> None:
    market.refused("bad_address", "set_promise", API, market.address, 3, 50, PROMISE_TERMS, sender=OPERATOR)


def test_set_promise__ended__takes_no_notice_of_the_rest(market: Market) -> None:
    promise(market, COURT)
    on_day(market, 1)
    market.ok("set_promise", API, "", 99, None, None, sender=OPERATOR)
    assert court_of(market, TODAY + 10) == NONE


def test_get_promise__of_no_day__is_about_today(market: Market) -> None:
    assert market.view("get_promise", API)["day_id"] == TODAY
    on_day(market, 3)
    assert market.view("get_promise", API, 0)["day_id"] == TODAY + 3


def test_get_promise__next_from_day__is_the_next_change(market: Market) -> None:
    assert market.view("get_promise", API)["next_from_day"] == 0
    promise(market, COURT, 5)
    assert market.view("get_promise", API)["next_from_day"] == TODAY + 1
    on_day(market, 1)
    assert market.view("get_promise", API)["next_from_day"] == 0
    end_promise(market)
    assert [market.view("get_promise", API, TODAY + day)["next_from_day"] - TODAY for day in (-1, 0, 1, 6)] == [
        1,
        1,
        7,
        7,
    ]
    assert market.view("get_promise", API, TODAY + 7)["next_from_day"] == 0


def test_set_promise__64_times__and_then_it_can_only_be_ended(market: Market) -> None:
    for number in range(64):
        on_day(market, 4 * number)
        promise(market, COURT, 3, terms=f"Version {number}.")
    on_day(market, 4 * 64)
    market.refused("too_many_promises", "set_promise", API, COURT, 3, 50, PROMISE_TERMS, sender=OPERATOR)
    assert [market.view("get_promise", API, TODAY + day)["terms"] for day in (0, 1, 4, 8, 9)] == [
        "",
        "Version 0.",
        "Version 0.",
        "Version 1.",
        "Version 1.",
    ]
    end_promise(market)
    on_day(market, 4 * 65)
    assert court_of(market, TODAY + 4 * 65) == NONE
    market.refused("too_many_promises", "set_promise", API, COURT, 3, 50, PROMISE_TERMS, sender=OPERATOR)


# ---- which promise a day's earnings follow ----


def test_earnings__before_the_promise_begins__go_to_the_operator(market: Market) -> None:
    promise(market, COURT)
    market.bill()
    assert earnings(market) == {"withdrawable": PRICE, "pending": 0, "frozen": 0, "refunded": 0}
    on_day(market, 1)
    market.bill(2)
    market.settle(entry(day_id=TODAY), entry(day_id=TODAY + 1))
    assert earnings(market) == {"withdrawable": 2 * PRICE, "pending": 3 * PRICE, "frozen": 0, "refunded": 0}
    check_books(market)


def waits(market: Market) -> dict[int, int]:
    """Payout days of the API's days, by days after START."""
    return {day["day_id"] - TODAY: day["payout_days"] for day in market.view("get_api_days", API)}


def test_earnings__of_yesterday_and_today__follow_the_promise_of_their_day_whatever_follows(wide: Market) -> None:
    """Begin, end, begin, change as fast as it goes; yesterday is always settled after today's first call."""
    steps = {0: (COURT, 3), 1: ("", 0), 5: (COURT, 5), 6: (OTHER_COURT, 7), 12: ("", 0), 20: (COURT, 4), 21: ("", 0)}
    for day in range(27):
        on_day(wide, day)
        if day in steps:
            court, payout_days = steps[day]
            wide.ok("set_promise", API, court, payout_days, 50, PROMISE_TERMS, sender=OPERATOR)
        if day > 1:
            wide.settle(entry(day_id=TODAY + day - 1, spend_wei=1))  # every other day has no entry before this one
        if day % 2:
            wide.ok("consume_credit", API, ALICE, sender=ALICE)
        check_books(wide)
    in_force = {day: court_of(wide, TODAY + day)[1] for day in range(1, 26)}
    assert in_force == {
        **dict.fromkeys(range(1, 5), 3),
        5: 0,
        **dict.fromkeys(range(6, 12), 5),
        **dict.fromkeys(range(12, 20), 7),
        20: 0,
        **dict.fromkeys(range(21, 26), 4),
    }
    assert {day: wait for day, wait in waits(wide).items() if 0 < day < 26} == in_force


def test_earnings__of_a_longer_promise__wait_on_after_a_shorter_one_began(market: Market) -> None:
    promise(market, COURT, 14)
    on_day(market, 1)
    promise(market, COURT, 3)  # from day 16
    on_day(market, 15)
    market.bill()
    on_day(market, 16)
    market.bill()
    assert waits(market) == {15: 14, 16: 3}
    on_day(market, 20)
    assert market.ok("collect_earnings", API, sender=STRANGER).value["collected_through"] == TODAY + 16
    assert earnings(market)["pending"] == PRICE
    on_day(market, 30)
    assert market.ok("collect_earnings", API, sender=STRANGER).value["collected_wei"] == PRICE


# ---- handing over ----


@pytest.fixture
def offered(market: Market) -> Market:
    """OPERATOR has offered the API to RIVAL."""
    market.ok("propose_operator", API, RIVAL, sender=OPERATOR)
    return market


def test_accept_operator__promise_ahead_in_force_or_ending__is_refused(offered: Market) -> None:
    promise(offered, COURT)
    offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)
    on_day(offered, 1)
    offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)
    end_promise(offered)
    for day in (1, 4, 5):  # on day 5 usage of day 4, which is promised, can still be settled
        on_day(offered, day)
        offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)
    on_day(offered, 6)
    offered.ok("accept_operator", API, sender=RIVAL)


def test_accept_operator__earnings_wait_after_the_promise_ended__is_refused_until_collected(offered: Market) -> None:
    promise(offered, COURT)
    on_day(offered, 1)
    end_promise(offered)
    on_day(offered, 4)
    offered.bill()
    for day in (5, 8):
        on_day(offered, day)
        offered.ok("collect_earnings", API, sender=STRANGER)
        if day == 5:
            offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)
    offered.ok("accept_operator", API, sender=RIVAL)
    assert (earnings(offered)["withdrawable"], earnings(offered, RIVAL)["withdrawable"]) == (PRICE, 0)
    check_books(offered, OPERATOR, RIVAL)


def test_accept_operator__earnings_frozen__is_refused_until_the_court_closes(offered: Market) -> None:
    promise(offered, COURT)
    on_day(offered, 1)
    offered.bill()
    end_promise(offered)
    on_day(offered, 4)
    offered.ok("freeze_by_court", API, ALICE, TODAY + 1, sender=COURT)
    on_day(offered, 40)
    offered.ok("collect_earnings", API, sender=STRANGER)
    offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)
    offered.ok("refund_by_court", API, ALICE, TODAY + 1, 4, sender=COURT)
    offered.ok("accept_operator", API, sender=RIVAL)
    assert earnings(offered) == {"withdrawable": 6, "pending": 0, "frozen": 0, "refunded": 4}
    check_books(offered, OPERATOR, RIVAL)


def test_accept_operator__promise_set_after_the_offer__still_forbids_it(offered: Market) -> None:
    """Nobody is handed an API with a promise that came after the offer."""
    promise(offered, COURT)
    on_day(offered, 2)
    offered.refused("promise_in_force", "accept_operator", API, sender=RIVAL)


def test_set_promise__by_the_new_operator__begins_anew(offered: Market) -> None:
    offered.ok("accept_operator", API, sender=RIVAL)
    offered.refused("not_operator", "set_promise", API, BOB, 3, 50, PROMISE_TERMS, sender=OPERATOR)
    offered.ok("set_promise", API, BOB, 3, 50, PROMISE_TERMS, sender=RIVAL)
    assert court_of(offered, TODAY + 1) == (BOB, 3)
