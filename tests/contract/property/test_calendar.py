"""Days, months and when they end, against the calendar of the standard library."""

import calendar
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..forms import FORMS
from ..invariant.arena import ALICE, BILLING, Arena
from ..invariant.profiles import property_settings
from .pure_functions import contract

EPOCH = date(1970, 1, 1)


@pytest.fixture(scope="module", params=FORMS)
def arena(request: pytest.FixtureRequest) -> Arena:
    return Arena("keep", request.param)


@property_settings()
@given(st.dates(date(1970, 1, 1), date(9999, 12, 31)))
def test_month_of__any_day__is_year_times_12_and_month(day: date) -> None:
    assert contract._month_of((day - EPOCH).days) == day.year * 12 + day.month - 1


@property_settings()
@given(st.integers(1970, 9998), st.integers(1, 12))
def test_month_of__last_day_and_the_one_after__are_of_neighbouring_months(year: int, month: int) -> None:
    last = (date(year, month, calendar.monthrange(year, month)[1]) - EPOCH).days
    assert contract._month_of(last + 1) == contract._month_of(last) + 1


@property_settings(60)
@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 31)))
def test_get_usage_report__at_any_moment__says_when_day_and_month_end(arena: Arena, moment: datetime) -> None:
    arena.net.now = moment.replace(tzinfo=UTC)
    report = json.loads(arena.net.view(BILLING, "get_usage_report", ALICE))
    next_day = moment.date() + timedelta(days=1)
    last = calendar.monthrange(moment.year, moment.month)[1]
    next_month = date(moment.year, moment.month, last) + timedelta(days=1)
    shown = (report["day_id"], report["resets_at"], report["month_resets_at"])
    assert shown == (
        (moment.date() - EPOCH).days,
        calendar.timegm(next_day.timetuple()),
        calendar.timegm(next_month.timetuple()),
    )
