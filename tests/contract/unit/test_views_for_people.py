"""Views that a page shows: histories, subscribers, settlements, reports, in pages."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ..market import ALICE, API, BOB, CAP, METER, NOW, OPERATOR, PRICE, RIVAL, STRANGER, TODAY, Market, entry
from ..promised import on_day, promise
from ..sessions import HOUR_LATER, SIGNER, open_session

OVER_100 = 103
Played = Callable[[str, str, Callable[[Market], None]], Market]


def consumer_of(number: int) -> str:
    return f"0x{0xC0DE << 64 | number:040x}"


@pytest.fixture
def busy(played: Played) -> Market:
    """ALICE is subscribed to 103 APIs, api-0 to api-102, and has made a call of every tenth."""

    def play(billing: Market) -> None:
        for number in range(OVER_100):
            name = f"api-{number}"
            billing.register(name, OPERATOR)
            billing.subscribe(api_name=name, deposit=PRICE)
            if number % 10 == 0:
                billing.bill(api_name=name)

    return played("busy", "deployed", play)


PAGES = [
    ((), range(100)),
    ((0, 100), range(100)),
    ((0, 2**127), range(100)),
    ((3,), range(3, 103)),
    ((100, 10), range(100, 103)),
    ((101, 1), range(101, 102)),
    ((103, 1), range(0)),
    ((2**127, 2**127), range(0)),
    ((5, 0), range(0)),
]


# ---- the report ----


@pytest.mark.parametrize(("page", "expected"), PAGES)
def test_report__of_many_subscriptions__is_in_pages(busy: Market, page: tuple[int, ...], expected: range) -> None:
    report = json.loads(busy.view("get_usage_report", ALICE, *page))
    assert (report["total"], [line["api_name"] for line in report["apis"]]) == (
        OVER_100,
        [f"api-{number}" for number in expected],
    )
    assert report["credit_balance_wei"] == PRICE * (OVER_100 - 11)


# ---- the history ----


def history(market: Market, *arguments: Any) -> list[tuple[str, int, int, int]]:
    """API, day after START, calls, wei."""
    shown = market.view("get_usage_history", ALICE, *arguments)
    return [(line["api_name"], line["day_id"] - TODAY, line["calls"], line["spend_wei"]) for line in shown]


def test_history__of_one_api__is_of_any_length(wide: Market) -> None:
    wide.bill(2)
    on_day(wide, 300)
    wide.bill()
    assert history(wide, API, 0, 2**127) == [(API, 0, 2, 20), (API, 300, 1, 10)]


def test_history__400_calendar_days__with_and_without_usage(wide: Market) -> None:
    wide.bill()
    on_day(wide, 399)
    assert history(wide, API, TODAY, TODAY + 399) == [(API, 0, 1, 10)]
    on_day(wide, 400)
    assert history(wide, API, TODAY, TODAY + 400) == []
    wide.bill(2)
    assert history(wide, API, TODAY, TODAY + 400) == [(API, 400, 2, 20)]


def test_history__of_all_apis__names_each(wide: Market) -> None:
    wide.register("maps", RIVAL)
    wide.subscribe(api_name="maps")
    wide.bill(2)
    wide.bill(api_name="maps")
    on_day(wide, 1)
    wide.settle(entry(day_id=TODAY + 1, spend_wei=3))
    assert history(wide, "", TODAY, TODAY + 1) == [(API, 0, 2, 20), (API, 1, 1, 3), ("maps", 0, 1, 10)]
    assert history(wide, API, TODAY, TODAY + 1) == [(API, 0, 2, 20), (API, 1, 1, 3)]


def test_history__of_all_apis__at_most_31_days(wide: Market) -> None:
    wide.bill()
    assert history(wide, "", TODAY - 15, TODAY + 15) == [(API, 0, 1, 10)]
    assert wide.view_code("get_usage_history", ALICE, "", TODAY - 15, TODAY + 16) == "bad_range"
    assert history(wide, API, TODAY - 15, TODAY + 16) == [(API, 0, 1, 10)]


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, range(0, 100, 10)), (1, range(10, 101, 10)), (95, [100]), (103, []), (2**127, [])]
)
def test_history__of_many_apis__is_in_pages_of_100(busy: Market, offset: int, expected: list[int]) -> None:
    assert [line[0] for line in history(busy, "", TODAY, TODAY, offset)] == [f"api-{number}" for number in expected]


@pytest.mark.parametrize(("first", "last"), [(2, 1), (TODAY, TODAY - 1), (2**127, 0)])
@pytest.mark.parametrize("api_name", [API, ""])
def test_history__days_in_the_wrong_order__are_refused(market: Market, api_name: str, first: int, last: int) -> None:
    assert market.view_code("get_usage_history", ALICE, api_name, first, last) == "bad_range"


def test_history__of_nobody__is_empty(market: Market) -> None:
    assert market.view("get_usage_history", STRANGER, "", TODAY, TODAY) == []
    assert market.view("get_usage_history", STRANGER, API, TODAY, TODAY) == []
    assert market.view_code("get_usage_history", STRANGER, "maps", TODAY, TODAY) == "api_not_registered"


def test_history__after_unsubscribing__stays(market: Market) -> None:
    market.bill()
    market.ok("unsubscribe", API, sender=ALICE)
    assert history(market, "", TODAY, TODAY) == [(API, 0, 1, 10)]


# ---- subscribers ----


def test_list_subscribers__shows_what_each_has_used_and_holds(market: Market) -> None:
    market.subscribe(BOB)
    open_session(market, 60, consumer=BOB)
    market.bill(2)
    market.at("2026-01-16T12:00:00Z")
    market.bill()
    market.ok("unsubscribe", API, sender=ALICE)
    nothing = {"calls_today": 0, "spend_today_wei": 0, "calls_month": 0, "spend_month_wei": 0}
    assert market.view("list_subscribers", API) == {
        "total": 2,
        "subscribers": [
            {
                "consumer": ALICE,
                "plan_name": "standard",
                "active": False,
                "calls_today": 1,
                "spend_today_wei": 10,
                "calls_month": 3,
                "spend_month_wei": 30,
                "hold_wei": 0,
                "hold_expires_at": 0,
                "signer": "",
            },
            {
                "consumer": BOB,
                "plan_name": "standard",
                "active": True,
                **nothing,
                "hold_wei": 60,
                "hold_expires_at": HOUR_LATER,
                "signer": SIGNER,
            },
        ],
    }


def test_list_subscribers__who_left_and_came_back__is_listed_once(market: Market) -> None:
    market.ok("unsubscribe", API, sender=ALICE)
    market.subscribe(BOB)
    market.subscribe(deposit=0)
    market.ok("open_session", API, CAP, 10, HOUR_LATER, SIGNER, sender=ALICE)
    shown = market.view("list_subscribers", API)
    assert (shown["total"], [each["consumer"] for each in shown["subscribers"]]) == (2, [ALICE, BOB])


def test_list_subscribers__refused_subscription__lists_nobody(market: Market) -> None:
    market.refused("max_spend_not_positive", "subscribe", API, 0, 0, sender=BOB)
    market.ok("subscribe", API, 0, 7, sender=BOB, value=7)
    assert market.view("list_subscribers", API)["total"] == 1


@pytest.fixture
def popular(played: Played) -> Market:
    def play(billing: Market) -> None:
        billing.register()
        for number in range(OVER_100):
            billing.ok("subscribe", API, CAP, 0, sender=consumer_of(number))

    return played("popular", "deployed", play)


@pytest.mark.parametrize(("page", "expected"), PAGES)
def test_list_subscribers__many__are_in_pages_in_order(popular: Market, page: tuple[int, ...], expected: range) -> None:
    shown = popular.view("list_subscribers", API, *page)
    assert (shown["total"], [each["consumer"] for each in shown["subscribers"]]) == (
        OVER_100,
        [consumer_of(number) for number in expected],
    )


def test_list_subscribers__of_another_api__are_others(market: Market) -> None:
    market.register("maps", RIVAL)
    assert market.view("list_subscribers", "maps") == {"total": 0, "subscribers": []}
    assert market.view_code("list_subscribers", "mops") == "api_not_registered"


# ---- settlements ----


def test_list_settlements__shows_heads_and_get_settlement_the_entries(market: Market) -> None:
    first = market.settle(entry(calls=3), entry(STRANGER))
    second = market.ok("settle_usage", API, 2, [entry(calls=3)], "ab" * 32, sender=METER).value
    heads = market.view("list_settlements", API)
    assert heads == [
        {
            "api_name": API,
            "sequence": 1,
            "usage_root": "",
            "billed_calls": 3,
            "billed_wei": 30,
            "refused_entries": 1,
            "settled_at": NOW,
        },
        {
            "api_name": API,
            "sequence": 2,
            "usage_root": "ab" * 32,
            "billed_calls": 2,
            "billed_wei": 20,
            "refused_entries": 1,
            "settled_at": NOW,
        },
    ]
    for head, outcome in zip(heads, (first, second), strict=True):
        kept = market.view("get_settlement", API, head["sequence"])["settlement"]
        assert kept == outcome == {**head, "entries": outcome["entries"]}


@pytest.fixture
def settled_70_times(played: Played) -> Market:
    def play(wide: Market) -> None:
        for _ in range(70):
            wide.settle(entry(spend_wei=0))

    return played("settled 70 times", "wide", play)


@pytest.mark.parametrize(
    ("arguments", "sequences"),
    [
        ((), range(7, 71)),
        ((0, 2**127), range(7, 71)),
        ((6,), range(7, 71)),
        ((7,), range(8, 71)),
        ((0, 3), range(7, 10)),
        ((20, 3), range(21, 24)),
        ((69, 5), range(70, 71)),
        ((70,), range(0)),
        ((2**127,), range(0)),
        ((0, 0), range(0)),
    ],
)
def test_list_settlements__after_and_limit__page_through_the_last_64(
    settled_70_times: Market, arguments: tuple[int, ...], sequences: range
) -> None:
    listed = settled_70_times.view("list_settlements", API, *arguments)
    assert [head["sequence"] for head in listed] == list(sequences)


def test_list_settlements__none_yet__are_none(market: Market) -> None:
    assert market.view("list_settlements", API) == []


# ---- paid days ----


@pytest.mark.parametrize("day", [0, TODAY - 1, TODAY + 1, 2**32, 2**64, 2**128 - 1])
@pytest.mark.parametrize("consumer", [ALICE, STRANGER])
def test_get_paid_day__of_a_day_without_usage__is_empty(market: Market, consumer: str, day: int) -> None:
    market.bill()
    assert market.view("get_paid_day", API, consumer, day) == {
        "api_name": API,
        "consumer": consumer,
        "day_id": day,
        "calls": 0,
        "paid_wei": 0,
        "refunded_wei": 0,
        "frozen_wei": 0,
        "frozen_at": 0,
        "pending": False,
    }


def test_get_paid_day__while_its_earnings_wait__is_pending(wide: Market) -> None:
    wide.bill()
    promise(wide, RIVAL)
    on_day(wide, 1)
    wide.bill(2)
    wide.settle(entry(day_id=TODAY), entry(day_id=TODAY + 1))
    seen = {}
    for today in (1, 4, 5):
        on_day(wide, today)
        seen[today] = [wide.view("get_paid_day", API, ALICE, TODAY + day)["pending"] for day in (0, 1)]
    assert seen == {1: [False, True], 4: [False, True], 5: [False, False]}
    paid = [wide.view("get_paid_day", API, ALICE, TODAY + day) for day in (0, 1)]
    assert [(day["calls"], day["paid_wei"]) for day in paid] == [(2, 20), (3, 30)]


@pytest.mark.parametrize("view", ["get_promise", "get_paid_day", "get_receipt", "get_usage_history"])
@pytest.mark.parametrize("day", [2**31, 2**32, 10**13, 2**63, 2**64, 2**128 - 1])
def test_view__of_a_day_that_no_calendar_has__answers(market: Market, view: str, day: int) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "get_promise": (API, day),
        "get_paid_day": (API, ALICE, day),
        "get_receipt": (f"{API}:{ALICE}:{min(day, 10**14)}:1",),
        "get_usage_history": (ALICE, API, day, day),
    }
    assert market.view_code(view, *arguments[view]) is None
