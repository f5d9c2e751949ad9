"""What a consumer used and paid in some days: pure data, and the flow that reads it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from api_billing.metering.clock import DAY_MS, date_of, day_of
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import Balance, GrantMade, ListGrants, ReadBalance, SumUsage, UsageDay
from api_billing.metering.stores.steps import Steps


class Days(NamedTuple):
    """The first and the last of some days (UTC), since 1970-01-01."""

    first: int
    last: int

    @classmethod
    def of_month(cls, text: str) -> Days:
        """Those of a month, as ``2026-11``. Raises: InvalidSetting."""
        try:
            first = date.fromisoformat(f"{text}-01")
            if first.isoformat() != f"{text}-01" or first.year < 1970:
                raise ValueError
            behind = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        except ValueError:
            raise InvalidSetting(f"{text!r:.40} is no month: write it as 2026-11") from None
        return cls(day_of(first), day_of(behind) - 1)

    def __str__(self) -> str:
        return f"{date_of(self.first)} to {date_of(self.last)}"


class Sums(NamedTuple):
    """Sums of settled requests, of an API or of all."""

    api: str
    calls: int = 0
    units: int = 0
    charged_wei: int = 0
    uncollected_wei: int = 0


class Statement(NamedTuple):
    """What a consumer used and paid. A charge is of the day of its request. ``opening_wei`` and ``closing_wei`` are
    what was granted and not charged at the beginning and the end; None when that is not known: credit is on the chain,
    or an older program granted it.
    """

    consumer: str
    days: Days
    usage: tuple[UsageDay, ...]
    grants: tuple[GrantMade, ...]
    opening_wei: int | None
    closing_wei: int | None

    @property
    def by_api(self) -> list[Sums]:
        """Sums of each API, in the order of their names."""
        return [
            summed([day for day in self.usage if day.api == api], api) for api in sorted({d.api for d in self.usage})
        ]

    @property
    def total(self) -> Sums:
        """Sums of all."""
        return summed(self.usage)

    @property
    def granted_wei(self) -> int:
        """What was granted in these days, less what was taken back."""
        return sum([made.amount_wei for made in self.grants])


def summed(usage: Iterable[UsageDay], api: str = "") -> Sums:
    """The sums of days."""
    days = list(usage)
    names = ("calls", "units", "charged_wei", "uncollected_wei")
    return Sums(api, *(sum([getattr(day, name) for day in days]) for name in names))


def make_statement(consumer: str, account: str, days: Days) -> Steps[Statement]:
    """Read what a consumer used and paid in these days; ``account`` is empty where its credit is on the chain."""
    usage: tuple[UsageDay, ...] = yield SumUsage(consumer, "", 0, days.last)
    within = tuple([day for day in usage if day.day >= days.first])
    grants: tuple[GrantMade, ...] = (yield ListGrants(account)) if account else ()
    balance: Balance | None = (yield ReadBalance(account)) if account else None
    starts_ms, ends_ms = days.first * DAY_MS, (days.last + 1) * DAY_MS
    made = tuple([grant for grant in grants if starts_ms <= grant.at_ms < ends_ms])
    if balance is None or sum([grant.amount_wei for grant in grants]) != balance.granted_wei:
        return Statement(consumer, days, within, made, None, None)
    before = sum([grant.amount_wei for grant in grants if grant.at_ms < starts_ms])
    opening_wei = before - sum([day.charged_wei for day in usage if day.day < days.first])
    closing_wei = opening_wei + sum([grant.amount_wei for grant in made]) - sum([day.charged_wei for day in within])
    return Statement(consumer, days, within, made, opening_wei, closing_wei)
