"""Windows of the calendar and from a start day."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_billing.metering.limits.windows import PERIODS, Period, window_at


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(period: Period, at: str, anchor: str = "") -> str:
    window = window_at(period, ms(at), date.fromisoformat(anchor) if anchor else None)
    assert window is not None
    ends = (datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M") for instant in window)
    return " to ".join(ends)


@pytest.mark.parametrize(
    ("period", "at", "expected"),
    [
        ("minute", "2026-03-01T10:20:30", "2026-03-01 10:20 to 2026-03-01 10:21"),
        ("hour", "2026-03-01T10:20:30", "2026-03-01 10:00 to 2026-03-01 11:00"),
        ("day", "2026-03-01T00:00:00", "2026-03-01 00:00 to 2026-03-02 00:00"),
        ("day", "2026-02-28T23:59:59.999", "2026-02-28 00:00 to 2026-03-01 00:00"),
        ("week", "2026-03-01T10:20:30", "2026-02-23 00:00 to 2026-03-02 00:00"),
        ("month", "2024-02-29T12:00:00", "2024-02-01 00:00 to 2024-03-01 00:00"),
        ("month", "2026-12-31T23:59:59.999", "2026-12-01 00:00 to 2027-01-01 00:00"),
        ("year", "2024-02-29T12:00:00", "2024-01-01 00:00 to 2025-01-01 00:00"),
    ],
)
def test_window_at__of_the_calendar__begins_where_the_calendar_does(period: Period, at: str, expected: str) -> None:
    assert shown(period, at) == expected


@pytest.mark.parametrize(
    ("at", "anchor", "expected"),
    [
        ("2026-01-31T00:00:00", "2026-01-31", "2026-01-31 00:00 to 2026-02-28 00:00"),
        ("2026-02-27T23:59:59.999", "2026-01-31", "2026-01-31 00:00 to 2026-02-28 00:00"),
        ("2026-02-28T00:00:00", "2026-01-31", "2026-02-28 00:00 to 2026-03-31 00:00"),
        ("2024-02-29T00:00:00", "2024-01-31", "2024-02-29 00:00 to 2024-03-31 00:00"),
        ("2026-04-30T00:00:00", "2026-01-31", "2026-04-30 00:00 to 2026-05-31 00:00"),
        ("2026-05-30T23:00:00", "2026-01-31", "2026-04-30 00:00 to 2026-05-31 00:00"),
        ("2026-03-29T05:00:00", "2026-01-30", "2026-02-28 00:00 to 2026-03-30 00:00"),
        ("2026-02-28T05:00:00", "2026-01-29", "2026-02-28 00:00 to 2026-03-29 00:00"),
        ("2027-01-01T00:00:00", "2026-12-31", "2026-12-31 00:00 to 2027-01-31 00:00"),
    ],
)
def test_window_at__month_from_a_late_day__begins_on_the_last_day_of_shorter_months(
    at: str, anchor: str, expected: str
) -> None:
    assert shown("month", at, anchor) == expected


def test_window_at__year_from_a_leap_day__begins_on_the_28th_in_other_years() -> None:
    assert shown("year", "2025-02-28T00:00:00", "2024-02-29") == "2025-02-28 00:00 to 2026-02-28 00:00"
    assert shown("year", "2028-02-28T23:00:00", "2024-02-29") == "2027-02-28 00:00 to 2028-02-29 00:00"


def test_window_at__week_from_a_day__begins_on_that_weekday() -> None:
    assert shown("week", "2026-03-04T10:00:00", "2026-02-25") == "2026-03-04 00:00 to 2026-03-11 00:00"


@pytest.mark.parametrize("period", PERIODS)
def test_window_at__before_the_anchor__is_none(period: Period) -> None:
    assert window_at(period, ms("2026-02-28T23:59:59.999"), date(2026, 3, 1)) is None


def test_window_at__unknown_period__is_a_value_error() -> None:
    with pytest.raises(ValueError, match="a period is one of second, minute"):
        window_at("fortnight", 0)  # type: ignore[arg-type]


@given(
    period=st.sampled_from(PERIODS),
    at=st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)),
    anchor=st.none() | st.dates(min_value=date(1985, 1, 1), max_value=date(2090, 1, 1)),
)
def test_window_at__any_instant__windows_hold_it_and_follow_each_other(
    period: Period, at: datetime, anchor: date | None
) -> None:
    instant = int(at.replace(tzinfo=UTC).timestamp() * 1000)
    window = window_at(period, instant, anchor)
    if window is None:
        assert anchor is not None
        assert at.date() < anchor
        return
    assert window.starts_ms <= instant < window.ends_ms
    following = window_at(period, window.ends_ms, anchor)
    assert following is not None
    assert following.starts_ms == window.ends_ms
    assert window_at(period, window.ends_ms - 1, anchor) == window
    if anchor is not None and period in ("month", "year"):
        start = datetime.fromtimestamp(window.starts_ms / 1000, UTC)
        last_day = (start + timedelta(days=1)).month != start.month
        assert start.day == anchor.day or (start.day < anchor.day and last_day)
