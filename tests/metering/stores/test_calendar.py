"""Windows of the calendar over the stores: the last instant of one and the first of the next count apart."""

from datetime import UTC, date, datetime

import pytest

from api_billing.metering.ledger.operations import Refused, Reserved
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.limits.windows import WindowCheck


def ms(year, month, day):
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


# A quota, and the first instant of one of its windows.
BOUNDARIES = {
    "day": (Quota("q", "day", 1), ms(2026, 3, 1)),
    "leap day": (Quota("q", "day", 1), ms(2028, 2, 29)),
    "after a leap day": (Quota("q", "day", 1), ms(2028, 3, 1)),
    "month": (Quota("q", "month", 1), ms(2026, 5, 1)),
    "year": (Quota("q", "year", 1), ms(2027, 1, 1)),
    "year from a leap day, in a common year": (Quota("q", "year", 1, anchor=date(2024, 2, 29)), ms(2027, 2, 28)),
    "year from a leap day, in a leap year": (Quota("q", "year", 1, anchor=date(2024, 2, 29)), ms(2028, 2, 29)),
    "29th in February": (Quota("q", "month", 1, anchor=date(2026, 1, 29)), ms(2026, 2, 28)),
    "29th in a leap February": (Quota("q", "month", 1, anchor=date(2026, 1, 29)), ms(2028, 2, 29)),
    "30th in February": (Quota("q", "month", 1, anchor=date(2026, 1, 30)), ms(2026, 2, 28)),
    "30th after February": (Quota("q", "month", 1, anchor=date(2026, 1, 30)), ms(2026, 3, 30)),
    "31st in April": (Quota("q", "month", 1, anchor=date(2026, 1, 31)), ms(2026, 4, 30)),
    "31st after April": (Quota("q", "month", 1, anchor=date(2026, 1, 31)), ms(2026, 5, 31)),
    "week from a Thursday": (Quota("q", "week", 1, anchor=date(2026, 1, 1)), ms(2026, 1, 8)),
}


def check_of(quota, at_ms):
    window = quota.window(at_ms)
    return () if window is None else (WindowCheck("acme/q", *window, quota.unit, quota.limit, quota.name),)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_quota__at_the_end_of_its_window__is_full_until_the_last_instant_and_new_after_it(desk, boundary):
    quota, first_ms = BOUNDARIES[boundary]
    desk.grant(100)
    instants = (first_ms - 2, first_ms - 1, first_ms, first_ms + 1)
    replies = [desk.reserve(1, *check_of(quota, at_ms), now_ms=at_ms)[1] for at_ms in instants]
    assert [type(reply) for reply in replies] == [Reserved, Refused, Reserved, Refused]


def test_quota__that_starts_in_the_future__limits_from_that_day_on(desk):
    quota = Quota("q", "month", 1, anchor=date(2026, 4, 15))
    desk.grant(100)
    start_ms = ms(2026, 4, 15)
    instants = (start_ms - 2, start_ms - 1, start_ms, start_ms + 1)
    replies = [desk.reserve(1, *check_of(quota, at_ms), now_ms=at_ms)[1] for at_ms in instants]
    assert [type(reply) for reply in replies] == [Reserved, Reserved, Reserved, Refused]


def test_settle__after_its_window_ended__counts_in_the_window_it_was_reserved_in(desk):
    quota = Quota("spend", "day", 1000, "wei")
    desk.grant(1000)
    last_ms = ms(2026, 3, 1) - 1
    today, tomorrow = check_of(quota, last_ms), check_of(quota, last_ms + 1)
    reservation_id, _ = desk.reserve(10, *today, now_ms=last_ms)
    desk.settle(reservation_id, 70, now_ms=last_ms + 5)
    assert desk.counts(*today, *tomorrow) == (70, 0)


def test_reserve__clock_set_back__counts_in_the_window_of_its_instant(desk):
    quota = Quota("q", "day", 1)
    desk.grant(100)
    first_ms = ms(2026, 3, 1)
    assert isinstance(desk.reserve(1, *check_of(quota, first_ms), now_ms=first_ms)[1], Reserved)
    assert isinstance(desk.reserve(1, *check_of(quota, first_ms - 1), now_ms=first_ms - 1)[1], Reserved)
    assert isinstance(desk.reserve(1, *check_of(quota, first_ms), now_ms=first_ms)[1], Refused)
