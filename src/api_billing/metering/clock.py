"""Time as the meter counts it: milliseconds since 1970-01-01 UTC, and days of it. A clock is a callable of these."""

from __future__ import annotations

import time
from datetime import date
from typing import Final

DAY_MS: Final = 86_400_000
EVER_MS: Final = 2**62
EPOCH: Final = date(1970, 1, 1)


def system_clock_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def date_of(day: int) -> date:
    """The date of a day since 1970-01-01."""
    return date.fromordinal(EPOCH.toordinal() + day)


def day_of(when: date) -> int:
    """Days from 1970-01-01 to a date."""
    return when.toordinal() - EPOCH.toordinal()
