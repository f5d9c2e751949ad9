"""Usage summed day by day, as the summary and the status page show it.

What was used on days before yesterday hardly changes: it is remembered, and read again only now and then.
"""

from __future__ import annotations

import threading
from typing import Final

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import SumUsage, UsageDay
from api_billing.metering.meter import Meter
from api_billing.metering.statements import Sums, summed
from api_billing.metering.stores.steps import Steps

_FRESH_MS: Final = 300_000
_REMEMBERED: Final = 40  # days


class DaySums:
    """Reads them; remembers what it has read. Thread-safe."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._days: dict[int, tuple[int, list[Sums]]] = {}  # when it was read, and its sums by API

    def of(self, day: int) -> Steps[list[Sums]]:
        """What was used on a day, of each API. Raises: StoreUnavailable."""
        now_ms, known = self._meter.now_ms(), self._days.get(day)
        today = now_ms // DAY_MS
        if known is not None and day < today - 1 and 0 <= now_ms - known[0] < _FRESH_MS:
            return known[1]
        usage: tuple[UsageDay, ...] = yield SumUsage(from_day=day, to_day=day)
        sums = [summed([each for each in usage if each.api == api], api) for api in {each.api for each in usage}]
        with self._lock:
            self._days = {each: kept for each, kept in self._days.items() if today - each < _REMEMBERED}
            self._days[day] = (now_ms, sums)
        return sums
