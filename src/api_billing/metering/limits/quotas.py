"""Quotas and budgets: how much of what a consumer may use in a window. Pure data; windows are computed in
``windows``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal, get_args

from api_billing.amounts import Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.checks import (
    MAX_LIMIT,
    Amount,
    amount_in,
    check_amount,
    check_name,
    check_one_of,
    check_tuple,
    check_whole,
    in_smallest_units,
)
from api_billing.metering.limits.windows import PERIODS, Period, Unit, Window, window_at

Action = Literal["warn", "throttle", "reject"]
Scope = Literal["consumer", "operation", "model"]
ACTIONS: Final[tuple[str, ...]] = get_args(Action)
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
UNITS: Final[tuple[str, ...]] = get_args(Unit)


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit in calls or in money (``unit="wei"``: smallest units, or a text such as ``"5 usd"``) for each window of a
    period.

    ``anchor`` is the day (UTC) on which windows begin: a month from the 31st ends on the last day of shorter months.
    None anchors at the calendar: months on the 1st, weeks on Monday. Before an anchor in the future nothing is limited.

    Raises: InvalidSetting (a ValueError) for a name that cannot be a header item, or a value that is none of its type.
    """

    name: str
    period: Period
    limit: Amount
    unit: Unit = "calls"
    anchor: date | None = None

    def __post_init__(self) -> None:
        _check_window(self.name, self.period, self.anchor)
        check_one_of("a unit", self.unit, UNITS)
        if self.unit == "wei":
            check_amount(f"the limit of quota {self.name}", self.limit)
        else:
            check_whole(f"the limit of quota {self.name}", self.limit, MAX_LIMIT)

    @property
    def most(self) -> int:
        """The limit, in calls or smallest units. Raises: InvalidSetting when it is a text yet."""
        return in_smallest_units(f"the limit of quota {self.name}", self.limit)

    def in_currency(self, currency: Currency) -> Quota:
        """The same without texts. Raises: InvalidSetting."""
        if type(self.limit) is int:
            return self
        return replace(self, limit=amount_in(currency, f"the limit of quota {self.name}", self.limit))

    def window(self, at_ms: int) -> Window | None:
        """The window that an instant falls into; None before the anchor."""
        return window_at(self.period, at_ms, self.anchor)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens from a share of a budget on: warn, throttle (429) or reject (402)."""

    percent: int
    action: Action

    def __post_init__(self) -> None:
        check_whole("the percent of a step", self.percent, 1000)
        check_one_of("an action", self.action, ACTIONS)


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of money for each window of a period, with what happens at shares of it. ``limit_wei`` is in smallest
    units, or a text such as ``"10 usd"``.

    ``scope`` says what counts together: all of a consumer's requests, those to one operation (the route), or those with
    one model. ``only`` narrows it to one operation or model; empty: each has the budget for itself.
    """

    name: str
    period: Period
    limit_wei: Amount
    steps: tuple[Step, ...] = (Step(80, "warn"), Step(100, "reject"))
    scope: Scope = "consumer"
    only: str = ""
    anchor: date | None = None
    retry_after_seconds: int = 0  # of throttle; 0: until the window ends

    def __post_init__(self) -> None:
        _check_window(self.name, self.period, self.anchor)
        check_amount(f"the limit of budget {self.name}", self.limit_wei)
        check_whole("retry_after_seconds", self.retry_after_seconds, 2**31 - 1)
        check_one_of("a scope", self.scope, SCOPES)
        check_tuple("steps", self.steps, Step)
        if not self.steps:
            raise InvalidSetting(f"budget {self.name}: without steps it would do nothing")
        if not isinstance(self.only, str):
            raise InvalidSetting(f"only names an operation or a model, and is not {self.only!r:.80}")

    @property
    def most_wei(self) -> int:
        """The limit in smallest units. Raises: InvalidSetting when it is a text yet."""
        return in_smallest_units(f"the limit of budget {self.name}", self.limit_wei)

    def in_currency(self, currency: Currency) -> Budget:
        """The same without texts. Raises: InvalidSetting."""
        if type(self.limit_wei) is int:
            return self
        return replace(self, limit_wei=amount_in(currency, f"the limit of budget {self.name}", self.limit_wei))

    def window(self, at_ms: int) -> Window | None:
        """The window that an instant falls into; None before the anchor."""
        return window_at(self.period, at_ms, self.anchor)


def all_in[LimitT: (Quota, Budget)](currency: Currency, limits: Iterable[LimitT]) -> tuple[LimitT, ...]:
    """Quotas or budgets with their amounts in smallest units. Raises: InvalidSetting."""
    return tuple([limit.in_currency(currency) for limit in limits])


def _check_window(name: object, period: object, anchor: object) -> None:
    check_name(name)
    check_one_of("a period", period, PERIODS)
    if anchor is not None and type(anchor) is not date:
        raise InvalidSetting(f"an anchor is a date, not {anchor!r:.80}")
