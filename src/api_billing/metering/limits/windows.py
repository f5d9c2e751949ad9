"""Windows of time that usage is counted in: seconds to years, of the calendar or from a start day. UTC, half open.

Pure integer arithmetic on milliseconds since 1970-01-01 and proleptic Gregorian days; no time zones, no floats.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

from api_billing.metering.clock import DAY_MS, EPOCH, date_of, day_of

Period = Literal["second", "minute", "hour", "day", "week", "month", "year"]
Unit = Literal["calls", "wei"]
Counting = Literal["fixed", "sliding", "bucket"]
PERIODS: Final[tuple[str, ...]] = get_args(Period)

FIXED_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": DAY_MS, "week": 7 * DAY_MS}
_MONTHS: Final = {"month": 1, "year": 12}
# Weeks of the calendar begin on Monday; 1970-01-05 was one.
_FIRST_MONDAY: Final = date(1970, 1, 5)


class Window(NamedTuple):
    """From its start up to, and without, its end."""

    starts_ms: int
    ends_ms: int


class WindowCheck(NamedTuple):
    """One window that a request counts in; refused when the count would exceed the limit.

    A quota of 0 units refuses everything; a limit of None only counts. A window that is ``sliding``, and a ``bucket``,
    start at 0 and end at their length: it has one count, which forgets.
    """

    counter: str  # whose and which window; together with its start the key of the count
    starts_ms: int
    ends_ms: int
    unit: Unit
    limit: int | None
    name: str = ""  # of the policy, for header fields and messages
    code: str = "quota_exceeded"  # what a refusal is called: quota_exceeded, throttled, budget_exceeded
    counting: Counting = "fixed"
    weight: int = 1  # how many calls a request counts as
    rate: int = 0  # of a bucket: how much flows out in its length; ``limit`` is what fits in
    binds: bool = False  # of money: what a request costs beyond its estimate is charged as far as this leaves room


def window_at(period: Period, at_ms: int, anchor: date | None = None, count: int = 1) -> Window | None:
    """Return the window of so many periods that an instant falls into; None when it is before the anchor.

    A month or year that is anchored on a day that a month does not have begins on that month's last day: from the
    31st of January windows begin on January 31st, February 28th (or 29th), March 31st, April 30th. Without an anchor
    windows of several periods follow each other from 1970 on, so that three months are a quarter.

    Raises: ValueError for an unknown period.
    """
    length_ms = FIXED_MS.get(period, 0) * count
    if length_ms:
        if anchor is None:
            anchor = _FIRST_MONDAY if period == "week" else EPOCH
            from_ms = _instant(anchor)
        else:
            from_ms = _instant(anchor)
            if at_ms < from_ms:
                return None
        starts_ms = at_ms - (at_ms - from_ms) % length_ms
        return Window(starts_ms, starts_ms + length_ms)
    if period not in _MONTHS:
        raise ValueError(f"a period is one of {', '.join(PERIODS)}, not {period!r}")
    return _calendar_window(_MONTHS[period] * count, at_ms // DAY_MS, anchor)


@lru_cache(maxsize=4096)
def _calendar_window(months: int, day: int, anchor: date | None) -> Window | None:
    today = date_of(day)
    start = anchor or EPOCH
    if anchor is not None and today < anchor:
        return None
    index = ((today.year - start.year) * 12 + today.month - start.month) // months
    if _add_months(start, index * months) > today:
        index -= 1
    return Window(_instant(_add_months(start, index * months)), _instant(_add_months(start, (index + 1) * months)))


def _add_months(start: date, months: int) -> date:
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def _instant(day: date) -> int:
    return day_of(day) * DAY_MS
