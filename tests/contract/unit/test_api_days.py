"""The days of an API: what they earned, and when waiting earnings are collected."""

import pytest

from ..market import ALICE, API, BOB, DAY, METER, NOW, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry
from ..promised import check_books, earnings, on_day, promise
from ..sessions import SIGNER, signed_entry

COURT = RIVAL


def collected(market: Market, caller: str = STRANGER, api_name: str = API) -> tuple[int, int]:
    """Wei that were collected, and through which day after START."""
    answer = market.ok("collect_earnings", api_name, sender=caller).value
    assert answer["api_name"] == api_name
    through = answer["collected_through"]
    return answer["collected_wei"], through and through - TODAY


def days(market: Market) -> list[tuple[int, int, int, int]]:
    """Day after START, calls, wei and payout days."""
    shown = market.view("get_api_days", API)
    return [(day["day_id"] - TODAY, day["calls"], day["earned_wei"], day["payout_days"]) for day in shown]


@pytest.fixture
def promised(wide: Market) -> Market:
    """Earnings wait for 3 days, since the day after START, which is today."""
    promise(wide, COURT)
    on_day(wide, 1)
    return wide


# ---- get_api_days ----


def test_get_api_days__none_yet__are_none(market: Market) -> None:
    assert days(market) == []


def test_get_api_days__billed_and_settled_by_all__counts_everything(market: Market) -> None:
    market.subscribe(BOB)
    market.bill(2)
    market.bill(1, consumer=BOB)
    market.settle(entry(BOB, calls=2, spend_wei=11), entry(calls=2, spend_wei=0))
    on_day(market, 1)
    market.settle(entry(day_id=TODAY), entry(day_id=TODAY + 1, calls=3))
    assert days(market) == [(0, 8, 51, 0), (1, 3, 30, 0)]


def test_get_api_days__the_last_64__oldest_first(wide: Market) -> None:
    for day in range(70):
        on_day(wide, day)
        if day != 40:
            wide.bill()
        shown = [shown_day for shown_day, *_ in days(wide)]
        assert shown == [each for each in range(max(day - 63, 0), day + 1) if each != 40]


def test_get_api_days__long_unused__shows_none_of_before(wide: Market) -> None:
    wide.bill()
    on_day(wide, 63)
    assert len(days(wide)) == 1
    on_day(wide, 64)
    assert days(wide) == []


# ---- collecting ----


def test_collect_earnings__nothing_there__is_nothing(market: Market) -> None:
    receipt = market.ok("collect_earnings", API, sender=STRANGER)
    assert (receipt.value, receipt.events) == (
        {"api_name": API, "collected_wei": 0, "collected_through": 0},
        (),
    )
    market.bill()
    assert collected(market) == (0, 0)
    assert earnings(market)["withdrawable"] == PRICE


def test_collect_earnings__day_by_day__comes_after_the_payout_days(promised: Market) -> None:
    promised.bill(2)
    on_day(promised, 2)
    promised.bill()
    for day, expected in ((4, (0, 0)), (5, (20, 1)), (5, (0, 0)), (6, (10, 2)), (7, (0, 0))):
        on_day(promised, day)
        assert collected(promised) == expected
        check_books(promised)
    assert earnings(promised)["withdrawable"] == 30
    assert days(promised) == [(1, 2, 20, 0), (2, 1, 10, 0)]


@pytest.mark.parametrize("caller", [STRANGER, OPERATOR, ALICE, METER])
def test_collect_earnings__by_anyone__goes_to_the_operator(promised: Market, caller: str) -> None:
    promised.bill()
    on_day(promised, 10)
    assert collected(promised, caller) == (PRICE, 1)
    assert earnings(promised) == {"withdrawable": PRICE, "pending": 0, "frozen": 0, "refunded": 0}


def test_collect_earnings__last_second_of_the_payout_days__is_too_early(promised: Market) -> None:
    promised.bill()
    promised.at("2026-01-19T23:59:59Z")
    assert collected(promised) == (0, 0)
    promised.at("2026-01-20T00:00:00Z")
    assert collected(promised) == (PRICE, 1)


def test_withdraw_earnings__that_wait__is_refused(promised: Market) -> None:
    promised.bill()
    promised.refused("insufficient_earnings", "withdraw_earnings", 1, sender=OPERATOR)
    on_day(promised, 5)
    promised.refused("insufficient_earnings", "withdraw_earnings", 1, sender=OPERATOR)
    collected(promised)
    promised.ok("withdraw_earnings", PRICE, sender=OPERATOR)


def test_collect_earnings__of_one_api__leaves_another(promised: Market) -> None:
    promised.register("maps")
    promise(promised, COURT, api_name="maps")
    promised.subscribe(api_name="maps")
    on_day(promised, 2)
    promised.bill()
    promised.bill(2, api_name="maps")
    on_day(promised, 6)
    assert collected(promised, api_name="maps") == (20, 2)
    assert promised.view("get_earnings", OPERATOR)["apis"] == [
        {"api_name": API, "pending_wei": 10, "frozen_wei": 0},
        {"api_name": "maps", "pending_wei": 0, "frozen_wei": 0},
    ]
    check_books(promised)


def test_get_earnings__apis_that_never_promised__are_not_listed(market: Market) -> None:
    market.bill()
    assert market.view("get_earnings", OPERATOR)["apis"] == []
    promise(market, COURT)
    assert market.view("get_earnings", OPERATOR)["apis"] == [{"api_name": API, "pending_wei": 0, "frozen_wei": 0}]


def test_get_earnings__many_apis__is_paged_by_api(billing: Market) -> None:
    names = [f"api-{number}" for number in range(103)]
    for number, name in enumerate(names):
        billing.register(name)
        if number % 2 == 0:
            promise(billing, COURT, api_name=name)
    pages = {offset: billing.view("get_earnings", OPERATOR, offset)["apis"] for offset in (0, 50, 100, 103, 2**127)}
    listed = {offset: [api["api_name"] for api in page] for offset, page in pages.items()}
    assert listed == {0: names[:100:2], 50: names[50::2], 100: names[100::2], 103: [], 2**127: []}


# ---- a place of the ring that is used again ----


@pytest.mark.parametrize("use", ["bill", "settle", "free"])
def test_day__64_days_later_uncollected__is_credited_before_its_place_is_used(wide: Market, use: str) -> None:
    promise(wide, COURT)
    on_day(wide, 1)
    wide.bill(2)
    day = on_day(wide, 65)
    if use == "bill":
        wide.bill()
    else:
        wide.settle(entry(day_id=day, spend_wei=PRICE if use == "settle" else 0))
    pending = 0 if use == "free" else PRICE
    assert earnings(wide) == {"withdrawable": 20, "pending": pending, "frozen": 0, "refunded": 0}
    assert days(wide) == [(65, 1, pending, 3)]
    check_books(wide)


def test_day__64_days_later_without_a_promise__keeps_old_and_new_apart(wide: Market) -> None:
    promise(wide, COURT)
    on_day(wide, 1)
    wide.bill(2)
    wide.ok("set_promise", API, "", 0, 0, "", sender=OPERATOR)
    on_day(wide, 65)
    wide.bill()
    assert earnings(wide) == {"withdrawable": 30, "pending": 0, "frozen": 0, "refunded": 0}
    check_books(wide)


def test_day__yesterday_settled_into_the_place_of_an_uncollected_one__credits_that_one(wide: Market) -> None:
    promise(wide, COURT)
    on_day(wide, 1)
    wide.bill(2)
    on_day(wide, 66)
    wide.settle(entry(day_id=TODAY + 65), entry(day_id=TODAY + 66, calls=3))
    assert earnings(wide) == {"withdrawable": 20, "pending": 40, "frozen": 0, "refunded": 0}
    check_books(wide)


def test_day__uncollected_for_years__is_collected_all_the_same(wide: Market) -> None:
    promise(wide, COURT)
    on_day(wide, 1)
    wide.bill(2)
    on_day(wide, 900)
    assert days(wide) == []
    assert collected(wide) == (20, 1)


def test_day__partly_refunded_and_frozen_before_its_place_is_used_again__loses_no_wei(wide: Market) -> None:
    wide.subscribe(BOB)
    promise(wide, COURT)
    on_day(wide, 1)
    wide.bill(4)
    wide.bill(3, consumer=BOB)
    wide.ok("refund", API, ALICE, 15, "", TODAY + 1, sender=OPERATOR)
    on_day(wide, 3)
    wide.ok("freeze_by_court", API, BOB, TODAY + 1, sender=COURT)
    on_day(wide, 65)
    wide.bill()
    assert earnings(wide) == {"withdrawable": 25, "pending": 10, "frozen": 30, "refunded": 15}
    wide.ok("refund_by_court", API, BOB, TODAY + 1, 10, sender=COURT)
    assert earnings(wide) == {"withdrawable": 45, "pending": 10, "frozen": 0, "refunded": 25}
    check_books(wide)


def test_days__100_with_a_promise_and_collecting_at_odd_times__lose_no_wei(wide: Market) -> None:
    promise(wide, COURT, 14)
    for day in range(1, 100):
        on_day(wide, day)
        if day % 3:
            wide.bill(1 + day % 4)
        if day % 5 == 0 and day > 1:
            wide.settle(entry(day_id=TODAY + day - 1, spend_wei=7))
        if wide.credit() < 100:
            wide.ok("top_up_credit", 500, sender=ALICE, value=500)
        if day in (20, 21, 50, 99):
            collected(wide)
        check_books(wide)


def test_collect_earnings__of_a_session__counts_as_any_other(promised: Market) -> None:
    promised.ok("place_hold", API, 100, NOW + 3 * DAY, SIGNER, sender=ALICE)
    promised.settle(signed_entry(promised, 30, calls=3, day_id=TODAY + 1))
    assert earnings(promised)["pending"] == 30
    on_day(promised, 5)
    assert collected(promised) == (30, 1)
