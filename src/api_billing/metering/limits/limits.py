"""Limits of requests: how many calls, or how much money, in which time, of whom and where. Pure data.

As objects (``Limit("sliding", 10, minutes=5, per="address")``), and as the texts that users of other limiters know
(``"10 per 5 minutes; per=address; window=sliding"``). Windows are computed in ``windows``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from api_billing.amounts import GEN, Currency
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.checks import MAX_LIMIT, check_name, check_one_of, check_whole
from api_billing.metering.limits.windows import FIXED_MS, PERIODS, Counting, Period, Unit, Window, window_at

Kind = Literal["fixed", "anchored", "sliding", "moving", "bucket"]
Per = Literal["consumer", "key", "address", "all"]
On = Literal["route", "method", "api", "group"]

_KINDS: Final[tuple[str, ...]] = get_args(Kind)
_PERS: Final[tuple[str, ...]] = get_args(Per)
_ONS: Final[tuple[str, ...]] = get_args(On)
_UNITS: Final[tuple[str, ...]] = get_args(Unit)
_MAX_YEARS: Final = 100
_MAX_NAME: Final = 64
MAX_LIMITS: Final = 16  # of one request: each is a count to keep
_MAX_TEXT: Final = 2_000
_MAX_DIGITS: Final = 78
_PERIODS: Final[dict[str, Period]] = {
    "second": "second", "minute": "minute", "hour": "hour", "day": "day", "week": "week", "month": "month",
    "year": "year",
    "s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week",
}  # fmt: skip
_CALLS: Final = frozenset({"", "call", "calls", "request", "requests"})
_RATE: Final = re.compile(
    r"(?P<amount>[0-9][0-9.]*)\s*(?P<unit>[a-z]*?)\s*(?:/|per)\s*(?P<count>0*[1-9][0-9]*|)\s*(?P<period>[a-z]+)",
    re.IGNORECASE,
)
_FORMS: Final = "write it as 100/minute, 100 per 5 minutes, 5/second; burst=10, or 0.5 gen/day; per=address; on=api"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many calls, or so much money, in each window of time.

    ``window`` is ``fixed`` (of the calendar, UTC), ``anchored`` (fixed, and beginning on the day ``anchor``),
    ``sliding`` or ``moving`` (the time just past), or ``bucket``: the amount flows back evenly, and up to ``burst`` (by
    default the amount) can be used at once. Its length is one of ``seconds`` to ``years``.

    ``per`` says whose requests count together: each consumer's, those with each API key, those from each address, or
    all. ``on`` says where: at each route, at each route and method, at the whole API, or at the routes that share a
    ``group``. ``by_tier`` has other amounts for tiers by their names; None there: no limit.

    Header fields show ``name``; without one it is called after what it is (``100-per-minute``). What is counted stays
    when the limit of a name changes.

    Raises: InvalidSetting for what is no limit.
    """

    window: Kind
    amount: int
    _: KW_ONLY
    seconds: int = 0
    minutes: int = 0
    hours: int = 0
    days: int = 0
    weeks: int = 0
    months: int = 0
    years: int = 0
    unit: Unit = "calls"
    burst: int = 0
    anchor: date | None = None
    name: str = ""
    per: Per = "consumer"
    on: On = "route"
    group: str = ""
    by_tier: Mapping[str, int | None] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_one_of("the window of a limit", self.window, _KINDS)
        check_one_of("the unit of a limit", self.unit, _UNITS)
        check_one_of("per of a limit", self.per, _PERS)
        if self.window == "moving":
            object.__setattr__(self, "window", "sliding")
        check_whole("the amount of a limit", self.amount, MAX_LIMIT)
        check_whole("the burst of a limit", self.burst, MAX_LIMIT)
        self._check_length()
        self._check_start()
        self._check_group()
        if not isinstance(self.by_tier, Mapping) or not all(isinstance(tier, str) for tier in self.by_tier):
            raise InvalidSetting(f'by_tier has amounts by names of tiers, {{"pro": 1000}}, not {self.by_tier!r:.80}')
        for tier, amount in self.by_tier.items():
            if amount is not None:
                check_whole(f"the amount for tier {tier}, or None for no limit,", amount, MAX_LIMIT)
        object.__setattr__(self, "by_tier", dict(self.by_tier))  # nobody else's to change
        if not self.name:
            object.__setattr__(
                self, "name", self.called(f"{self.amount} wei" if self.unit == "wei" else f"{self.amount}")
            )
        check_name(self.name)

    def _check_length(self) -> None:
        given = [period for period in PERIODS if getattr(self, f"{period}s") != 0]
        if len(given) != 1:
            raise InvalidSetting("the length of a limit's window is one of seconds, minutes … years: minutes=5")
        period, count = given[0], getattr(self, f"{given[0]}s")
        longest_ms = _MAX_YEARS * 366 * FIXED_MS["day"]
        most = longest_ms // FIXED_MS[period] if period in FIXED_MS else _MAX_YEARS * (12 if period == "month" else 1)
        check_whole(f"{period}s of a limit", count, most)

    def _check_start(self) -> None:
        if self.anchor is not None and type(self.anchor) is not date:
            raise InvalidSetting(f"an anchor is a date, not {self.anchor!r:.80}")
        if (self.window == "anchored") != (self.anchor is not None):
            raise InvalidSetting("an anchored window, and no other one, has an anchor: the day that windows begin on")
        if self.window in ("sliding", "bucket") and self.every[0] not in FIXED_MS:
            raise InvalidSetting(f"a {self.window} window is as long at any time: write 30 days instead of a month")
        if self.burst and self.window != "bucket":
            raise InvalidSetting("a burst is that of a bucket: no other window has one")

    def _check_group(self) -> None:
        if self.group and self.on == "route":
            object.__setattr__(self, "on", "group")
        check_one_of("on of a limit", self.on, _ONS)
        if (self.on == "group") != bool(self.group):
            raise InvalidSetting("a limit on a group, and no other one, names it: group='search'")
        if self.group:
            check_name(self.group)

    @property
    def every(self) -> tuple[Period, int]:
        """The length of its windows: a period, and how many of it."""
        period: Period
        for period in ("second", "minute", "hour", "day", "week", "month"):
            if count := getattr(self, f"{period}s"):
                return period, count
        return "year", self.years

    @property
    def length(self) -> str:
        """The same as a text: ``minute``, ``5 minutes``."""
        period, count = self.every
        return period if count == 1 else f"{count} {period}s"

    @property
    def counting(self) -> Counting:
        """How it is counted."""
        return "sliding" if self.window == "sliding" else "bucket" if self.window == "bucket" else "fixed"

    def amount_for(self, tier: str) -> int | None:
        """How much requests of a tier may have; None: they have no such limit."""
        return self.by_tier.get(tier, self.amount)

    def at(self, at_ms: int) -> Window | None:
        """Its window at an instant, as a ``WindowCheck`` has it; None before its anchor."""
        period, count = self.every
        if self.counting != "fixed":
            return Window(0, FIXED_MS[period] * count)
        return window_at(period, at_ms, self.anchor, count)

    def called(self, amount: str) -> str:
        """What it is called without a name, with its amount as a text. Raises: InvalidSetting when that is too long."""
        parts = [f"{amount} per {self.length}"]
        if self.window != "fixed":
            parts.append(self.window if self.anchor is None else f"from {self.anchor}")
        parts += [f"burst {self.burst}"] if self.burst else []
        parts += [f"per {self.per}"] if self.per != "consumer" else []
        parts += [f"in {self.group}" if self.group else f"on {self.on}"] if self.on != "route" else []
        name = " ".join(parts).replace(" ", "-")
        if len(name) > _MAX_NAME:
            raise InvalidSetting("this limit needs a name: what it is called without one is too long")
        return name


@lru_cache(1_000)
def parse_limits(text: str, currency: Currency = GEN) -> tuple[Limit, ...]:
    """The limits of a text: ``100/minute``, ``100 per 5 minutes; 1000/hour``, ``5/s``, ``0.5 gen/day``.

    Several are separated by a semicolon, a comma or a bar, and so are options, which are about the limit before them;
    those before the first limit are about all: ``burst=10`` (a bucket), ``window=sliding``, ``from=2026-01-31``,
    ``per=address``, ``on=api``, ``group=search``, ``name=reads``, ``tier.pro=1000``, ``tier.enterprise=none``.

    Raises: InvalidSetting, which says how to write it.
    """
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise InvalidSetting(f"a limit is a text of at most {_MAX_TEXT:,} characters: {_FORMS}")
    of_all: dict[str, str] = {}
    found: list[tuple[str, dict[str, str]]] = []
    for part in re.split(r"[;,|]", text):
        if not (part := part.strip()):
            continue
        name, is_option, value = (piece.strip() for piece in part.partition("="))
        if not is_option:
            found.append((part, {}))
            continue
        options = found[-1][1] if found else of_all
        if not value or name in options:
            raise InvalidSetting(f"{name!r:.80} is given {'twice' if value else 'nothing'}: {_FORMS}")
        options[name] = value
    if not found:
        raise InvalidSetting(f"{text!r:.80} has no limit: {_FORMS}")
    return tuple([_limit(rate, of_all | options, currency) for rate, options in found])


def limits_of(given: str | Limit | Iterable[str | Limit], currency: Currency = GEN) -> tuple[Limit, ...]:
    """The limits of texts and limits, of which no two have one name. Raises: InvalidSetting."""
    if isinstance(given, str | Limit):
        given = [given]
    parts: list[Any] = list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(each, str | Limit) for each in parts):
        raise InvalidSetting(f"limits are texts and Limits, in a list, and not {given!r:.80}")
    found: dict[str, Limit] = {}
    for each in parts:
        for limit in parse_limits(each, currency) if isinstance(each, str) else (each,):
            if limit.name in found:
                raise InvalidSetting(f"two limits are called {limit.name!r}: give one another name=")
            found[limit.name] = limit
    if len(found) > MAX_LIMITS:
        raise InvalidSetting(f"a request counts in at most {MAX_LIMITS} limits, not in {len(found)}")
    return tuple(found.values())


def _limit(text: str, options: dict[str, str], currency: Currency) -> Limit:
    rate = _RATE.fullmatch(text)
    written = "" if rate is None else rate["period"].lower()
    period = _PERIODS.get(written) or _PERIODS.get(written.removesuffix("s"))
    if rate is None or period is None:
        raise InvalidSetting(f"{text!r:.80} is no limit: {_FORMS}")
    money = "" if rate["unit"].lower() in _CALLS else rate["unit"]
    if money and money.lower() not in {name.lower() for unit in currency.units for name in (unit.name, unit.singular)}:
        raise InvalidSetting(
            f"{text!r:.80} is no limit: {money!r:.20} is neither calls, which have no unit (10000/day), nor money, and"
            f" money is counted in {currency.code} here ({currency.example}/day)"
        )

    def amount_of(number: str) -> int:
        return _money(f"{number} {money}", currency, text) if money else _calls(number)

    unit: Unit = "wei" if money else "calls"
    given: dict[str, Any] = {f"{period}s": int(rate["count"][:10] or 1), "unit": unit, "by_tier": {}}
    kind: Any = "bucket" if "burst" in options else "anchored" if "from" in options else "fixed"
    for name, value in options.items():
        if name == "window":
            kind = value
        elif name == "burst":
            given["burst"] = amount_of(value)
        elif name == "from":
            given["anchor"] = _day(value)
        elif name.startswith("tier.") and name != "tier.":
            is_free = value in ("none", "unlimited")
            given["by_tier"][name.removeprefix("tier.")] = None if is_free else amount_of(value)
        elif name in ("per", "on", "group", "name"):
            given[name] = value
        else:
            raise InvalidSetting(f"{name!r:.80} is no option of a limit: {_FORMS}")
    limit = Limit(kind, amount_of(rate["amount"]), **given)
    if not money or "name" in given:
        return limit
    return replace(limit, name=limit.called(currency.text(limit.amount, exact=True).lower().replace(",", "")))


def _money(text: str, currency: Currency, limit: str) -> int:
    try:
        return currency.amount(text)
    except ValueError as error:
        raise InvalidSetting(f"{limit!r:.80} is no limit: {error}") from None


def _calls(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise InvalidSetting(f"{text!r:.80} is no number of calls: {_FORMS}")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidSetting(f"{text!r:.80} is no day: write it as from=2026-01-31") from None
