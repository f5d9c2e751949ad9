"""Amounts of money as a person writes and reads them: GEN, Gwei or wei, with thousands separators. No floats."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of money: its name and how many decimal places above wei it is."""

    name: str
    decimals: int


WEI: Final = Unit("wei", 0)
GWEI: Final = Unit("Gwei", 9)
GEN: Final = Unit("GEN", 18)

_SMALLEST_IN_GEN: Final = 10**14
_SMALLEST_IN_GWEI: Final = 10**3
_MAX_SHOWN_DECIMALS: Final = 6
_MAX_WEI: Final = 2**128 - 1
_WRITTEN: Final = re.compile(r"(?P<whole>[0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.(?P<fraction>[0-9]+))? ?(?P<unit>[a-z]*)")
_UNITS: Final = {unit.name.lower(): unit for unit in (WEI, GWEI, GEN)}
_FORMS: Final = "write it as 0.5gen, 3gwei, 7wei, or whole wei"


@dataclass(frozen=True, slots=True)
class Scale:
    """How the amounts of one column are written, so that they can be compared at a glance: unit and decimal places."""

    unit: Unit
    decimals: int

    @classmethod
    def of(cls, amounts_wei: Iterable[int], *, exact: bool = False) -> "Scale":
        """Choose the unit that suits the largest amount, and as many decimals as the amounts need.

        At most six decimals are shown unless ``exact``.
        """
        amounts = [abs(amount) for amount in amounts_wei if amount] or [0]
        largest = max(amounts)
        unit = GEN if largest >= _SMALLEST_IN_GEN or not largest else GWEI if largest >= _SMALLEST_IN_GWEI else WEI
        needed = max(_decimals_needed(amount, unit) for amount in amounts)
        return cls(unit, needed if exact else min(needed, _MAX_SHOWN_DECIMALS))

    def number(self, amount_wei: int) -> str:
        """Return the amount without its unit; what the decimals cannot show is rounded half up."""
        dropped = 10 ** (self.unit.decimals - self.decimals)
        scaled = (abs(amount_wei) + dropped // 2) // dropped
        whole, fraction = divmod(scaled, 10**self.decimals)
        sign = "-" if amount_wei < 0 and scaled else ""
        return f"{sign}{whole:,}" + (f".{fraction:0{self.decimals}d}" if self.decimals else "")

    def text(self, amount_wei: int) -> str:
        """Return the amount with its unit."""
        return f"{self.number(amount_wei)} {self.unit.name}"


def format_wei(amount_wei: int, *, exact: bool = False) -> str:
    """Return one amount on its own in the unit that suits it: ``1,234.5 GEN``, ``250,000 Gwei``."""
    return Scale.of([amount_wei], exact=exact).text(amount_wei)


def parse_wei(text: str) -> int:
    """Return the wei that a text like ``0.5gen``, ``3 Gwei``, ``7wei`` or ``1000000`` (wei) names, exactly.

    Upper and lower case are the same, and thousands may be set off by commas, so that what ``format_wei`` writes with
    ``exact`` is read back.

    Raises:
        ValueError: it is no amount, has a part of a wei, or is more than the contract counts (2^128 - 1 wei). The
            message says how to write it.
    """
    written = _WRITTEN.fullmatch(text.strip().lower())
    if written is None:
        raise ValueError(f"{text!r} is not an amount: {_FORMS}")
    whole, fraction, name = written["whole"].replace(",", ""), written["fraction"] or "", written["unit"]
    unit = _UNITS.get(name or "wei")
    if unit is None:
        raise ValueError(f"{text!r} has the unknown unit {name!r}: {_FORMS}")
    if len(whole) > 40 or len(fraction) > 40:
        raise ValueError(f"{text!r} has more digits than an amount can have: {_FORMS}")
    if fraction.rstrip("0")[unit.decimals :]:
        missing = "" if name else ": name the unit, as in 0.5gen"
        raise ValueError(f"{text!r} is not a whole number of wei{missing}")
    amount_wei = int(whole + fraction[: unit.decimals].ljust(unit.decimals, "0"))
    if amount_wei > _MAX_WEI:
        raise ValueError(f"{text!r} is more than the contract can count")
    return amount_wei


def _decimals_needed(amount: int, unit: Unit) -> int:
    fraction = amount % 10**unit.decimals
    decimals = unit.decimals
    while decimals and fraction % 10 == 0:
        fraction //= 10
        decimals -= 1
    return decimals
