"""Roll-over of days and months in UTC, settlements across it, and the history of 400 days."""

import pytest

from ..market import ALICE, API, BOB, OPERATOR, PRICE, TODAY, Market, day_of, entry

# The last second of a day, the first of the next; whether the month changes too.
MIDNIGHTS = [
    ("2026-01-15T23:59:59Z", "2026-01-16T00:00:00Z", False),
    ("2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", True),
    ("2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z", True),
    ("2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z", False),
    ("2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z", True),
    ("2026-04-30T23:59:59Z", "2026-05-01T00:00:00Z", True),
    ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", True),
    ("2100-02-28T23:59:59Z", "2100-03-01T00:00:00Z", True),
]


@pytest.mark.parametrize(("before", "after", "month_changes"), MIDNIGHTS)
def test_midnight__passed__opens_a_new_day_and_perhaps_month(
    market: Market, before: str, after: str, month_changes: bool
) -> None:
    market.at(before)
    market.bill(5)
    market.refused("daily_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)
    market.at(after)
    assert (market.line()["calls_today"], market.line()["calls_month"]) == (0, 0 if month_changes else 5)
    receipt = market.bill()
    assert (receipt["day_id"], receipt["call_no"]) == (day_of(after[:10]), 1)
    assert (market.line()["calls_month"], market.line()["spend_month_wei"]) == ((1, 10) if month_changes else (6, 60))


@pytest.mark.parametrize(("before", "after", "month_changes"), MIDNIGHTS)
def test_report__around_midnight__says_when_it_resets(
    market: Market, before: str, after: str, month_changes: bool
) -> None:
    market.at(before)
    report, midnight = market.report(ALICE), day_of(after[:10]) * 86_400
    assert report["resets_at"] == midnight
    assert (report["month_resets_at"] == midnight) is month_changes


@pytest.mark.parametrize(
    ("time", "first_of_next"), [("2026-12-01T00:00:00Z", "2027-01-01"), ("2028-02-10T10:00:00Z", "2028-03-01")]
)
def test_report__within_a_month__says_when_the_month_ends(market: Market, time: str, first_of_next: str) -> None:
    market.at(time)
    assert market.report(ALICE)["month_resets_at"] == day_of(first_of_next) * 86_400


def test_monthly_limit__over_several_days__stops_until_the_next_month(market: Market) -> None:
    for day, calls in (("2026-01-29", 5), ("2026-01-30", 5), ("2026-01-31", 2)):
        market.at(f"{day}T08:00:00Z")
        market.bill(calls)
    market.refused("monthly_limit_exceeded", "consume_credit", API, ALICE, sender=ALICE)
    market.at("2026-02-01T00:00:00Z")
    market.bill(5)


def test_same_month_of_another_year__is_another_month(market: Market) -> None:
    market.bill(5)
    market.at("2027-01-15T12:00:00Z")
    assert market.line()["calls_month"] == 0


def test_spend_cap__next_day__starts_anew(wide: Market) -> None:
    wide.subscribe(deposit=0, cap=PRICE)
    wide.bill()
    wide.refused("daily_spend_exceeded", "consume_credit", API, ALICE, sender=ALICE)
    wide.at("2026-01-16T00:00:00Z")
    wide.bill()


def history(market: Market, first: int = 0, last: int = 2**40) -> list[tuple[int, int, int]]:
    days = market.view("get_usage_history", ALICE, API, first, last)
    return [(day["day_id"], day["calls"], day["spend_wei"]) for day in days]


def test_yesterday__settled_after_todays_first_usage__keeps_both_days_in_order(market: Market) -> None:
    market.at("2026-01-16T08:00:00Z")
    market.bill(2)
    market.settle(entry(calls=3))
    market.bill()
    market.settle(entry(day_id=TODAY, calls=1, spend_wei=1), entry(day_id=TODAY + 1, calls=1, spend_wei=2))
    assert history(market) == [(TODAY, 4, 31), (TODAY + 1, 4, 32)]
    assert market.line()["calls_month"] == 8


def test_yesterday__of_last_month_settled_after_todays_first_usage__counts_on_last_month(market: Market) -> None:
    market.at("2026-01-31T12:00:00Z")
    market.bill(5)
    last_day = day_of("2026-01-31")
    market.at("2026-02-01T08:00:00Z")
    market.bill(2)
    market.ok("register_api", API, PRICE, 100, 7, sender=OPERATOR)
    lines = market.settle(entry(day_id=last_day), entry(day_id=last_day, calls=2), entry(day_id=last_day + 1, calls=6))
    assert [(line["billed_calls"], line["code"]) for line in lines["entries"]] == [
        (1, ""),
        (1, "monthly_limit_exceeded"),
        (5, "monthly_limit_exceeded"),
    ]
    assert market.line()["calls_month"] == 7


def test_yesterday__of_last_month_settled_first__leaves_this_month_empty(market: Market) -> None:
    market.at("2026-02-01T08:00:00Z")
    market.settle(entry(day_id=day_of("2026-01-31"), calls=3))
    assert (market.line()["calls_month"], market.line()["calls_today"]) == (0, 0)
    assert market.bill()["call_no"] == 1
    assert market.settle(entry(day_id=day_of("2026-01-31"), calls=3))["entries"][0]["billed_calls"] == 2


def test_last_month__older_than_one__is_not_taken_for_it(market: Market) -> None:
    market.bill(5)
    market.at("2026-03-01T08:00:00Z")
    market.bill()
    lines = market.settle(entry(day_id=day_of("2026-02-28"), calls=5))["entries"]
    assert lines[0]["billed_calls"] == 5
    assert (market.line()["calls_month"], len(history(market))) == (1, 3)


def test_history__range__is_inclusive_and_leaves_out_idle_days(wide: Market) -> None:
    for day in (16, 18, 19):
        wide.at(f"2026-01-{day}T12:00:00Z")
        wide.bill(day)
    first = day_of("2026-01-16")
    everything = [(first, 16, 160), (first + 2, 18, 180), (first + 3, 19, 190)]
    assert history(wide) == everything
    assert history(wide, first, first) == everything[:1]
    assert history(wide, first + 1, first + 2) == everything[1:2]
    assert history(wide, first + 4, first + 9) == []


def test_history__from_after_to__is_refused(market: Market) -> None:
    assert market.view_code("get_usage_history", ALICE, API, 2, 1) == "bad_range"
    assert market.view_code("get_usage_history", ALICE, API, 2, 2) is None


def test_history__unknown_consumer__is_empty(market: Market) -> None:
    assert market.view("get_usage_history", BOB, API, 0, 10**6) == []
    assert market.view_code("get_usage_history", BOB, "maps", 0, 1) == "api_not_registered"


def test_history__day_400_days_ago__is_no_longer_told(market: Market) -> None:
    market.bill()
    market.net.advance(399 * 86_400)
    assert history(market) == [(TODAY, 1, PRICE)]
    market.net.advance(86_400)
    assert history(market) == []


def test_history__usage_on_more_than_400_days__keeps_the_last_400(wide: Market) -> None:
    wide.ok("set_plan", API, "standard", 1, 0, 0, sender=OPERATOR)
    for day in range(403):
        wide.net.advance(86_400)
        wide.bill()
        if day in (398, 399, 400, 401):  # where the ring turns over, yesterday comes after today as well
            wide.settle(entry(day_id=TODAY + day, spend_wei=1))
    days = history(wide)
    assert [day for day, _, _ in days] == list(range(TODAY + 4, TODAY + 404))
    assert {day: calls for day, calls, _ in days if calls == 2} == {TODAY + day: 2 for day in (398, 399, 400, 401)}


def test_history__yesterday_without_usage_settled_where_the_ring_turns_over__is_in_its_place(wide: Market) -> None:
    wide.ok("set_plan", API, "standard", 1, 0, 0, sender=OPERATOR)
    for _ in range(399):
        wide.net.advance(86_400)
        wide.bill()
    wide.net.advance(2 * 86_400)
    wide.bill()
    wide.settle(entry(day_id=TODAY + 400, calls=2, spend_wei=2))
    wide.bill()
    assert history(wide)[-3:] == [(TODAY + 399, 1, 1), (TODAY + 400, 2, 2), (TODAY + 401, 2, 2)]
    assert len(history(wide)) == 400
