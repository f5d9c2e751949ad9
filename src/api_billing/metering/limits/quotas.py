"""Quotas and budgets: how much of what a consumer may use in a window. Pure data; windows are computed in
``windows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from api_billing.metering.limits.windows import Period, Window, window_at

Action = Literal["warn", "throttle", "reject"]
Scope = Literal["consumer", "operation", "model"]


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit in calls or in wei for each window of a period.

    ``anchor`` is the day (UTC) on which windows begin: a month from the 31st ends on the last day of shorter months.
    None anchors at the calendar: months on the 1st, weeks on Monday. Before an anchor in the future nothing is limited.

    Raises: ValueError for a name that cannot be a header item, or a negative limit.
    """

    name: str
    period: Period
    limit: int
    unit: Literal["calls", "wei"] = "calls"
    anchor: date | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.limit < 0:
            raise ValueError(f"quota {self.name}: the limit is at least 0, not {self.limit}")

    def window(self, at_ms: int) -> Window | None:
        """The window that an instant falls into; None before the anchor."""
        return window_at(self.period, at_ms, self.anchor)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens from a share of a budget on: warn, throttle (429) or reject (402)."""

    percent: int
    action: Action

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 1000:
            raise ValueError(f"a step is at 0 to 1000 percent, not {self.percent}")


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of wei for each window of a period, with what happens at shares of it.

    ``scope`` says what counts together: all of a consumer's requests, those to one operation (the route), or those with
    one model. ``only`` narrows it to one operation or model; empty: each has the budget for itself.
    """

    name: str
    period: Period
    limit_wei: int
    steps: tuple[Step, ...] = (Step(80, "warn"), Step(100, "reject"))
    scope: Scope = "consumer"
    only: str = ""
    anchor: date | None = None
    retry_after_seconds: int = 0  # of throttle; 0: until the window ends

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.limit_wei < 0:
            raise ValueError(f"budget {self.name}: the limit is at least 0 wei, not {self.limit_wei}")
        if not self.steps:
            raise ValueError(f"budget {self.name}: without steps it would do nothing")

    def window(self, at_ms: int) -> Window | None:
        """The window that an instant falls into; None before the anchor."""
        return window_at(self.period, at_ms, self.anchor)


def _check_name(name: str) -> None:
    # Names stand as quoted strings in structured header fields, and in the keys of counts.
    if not name or len(name) > 64 or not name.isascii() or not name.isprintable() or set(name) & set('"\\/'):
        raise ValueError(f"a name has 1 to 64 printable ASCII characters without quotes, backslash or slash: {name!r}")
