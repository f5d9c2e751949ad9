"""Amounts of money as a person writes and reads them: ``0.5gen``, ``0.002 USD``, ``3 credits``. No floats.

A program counts in the smallest unit of a currency, as an int, and says so with ``_wei`` at the end of a name, whatever
the currency: for GEN it is a wei, for a currency of 9 decimals a billionth.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of money: its name and how many decimal places above the smallest one it is."""

    name: str
    decimals: int

    @property
    def singular(self) -> str:
        """What one of it is called: a credit, of credits; money has no plural."""
        is_plural = self.name.islower() and self.name.endswith("s") and not self.name.endswith(("ss", "us"))
        return self.name[:-1] if is_plural else self.name


MAX_AMOUNT: Final = 2**256 - 1
MAX_DECIMALS: Final = 18
_GEN: Final = "GEN"
_GEN_DECIMALS: Final = 18
_MONEY_DECIMALS: Final = 9
_MAX_WEI: Final = 2**128 - 1
_CODE: Final = re.compile("[A-Za-z]{3,16}")
# What amounts and limits are written with beside currencies.
_TAKEN: Final = frozenset({"wei", "gwei", "call", "calls", "request", "requests", "per"})
_MAX_SHOWN_DECIMALS: Final = 6
_MAX_DIGITS: Final = 80
_WRITTEN: Final = re.compile(r"(?P<whole>[0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.(?P<fraction>[0-9]+))? ?(?P<unit>[a-z]*)")


@dataclass(frozen=True, slots=True)
class Currency:
    """What a meter counts money in: its code, and how many decimal places its smallest unit is below it.

    Three letters and words in capitals are money, with 9 decimals unless told otherwise: the price of one call is a
    small part of a cent, and a billionth is small enough for sums of prices per million. GEN has 18, as on the chain.
    Anything else (``credits``, ``tokens``) is counted, with none.

    Raises: ValueError for a code or a number of decimals that there is not.
    """

    code: str
    decimals: int = -1

    def __post_init__(self) -> None:
        code = self.code
        if type(code) is not str or not _CODE.fullmatch(code) or code.lower() in _TAKEN:
            raise ValueError(f"a currency is called by 3 to 16 letters, such as GEN, USD or credits, not {code!r:.40}")
        code = code.upper() if len(code) == 3 else code
        object.__setattr__(self, "code", code)
        if self.decimals == -1:
            usual = _GEN_DECIMALS if code == _GEN else _MONEY_DECIMALS if code.isupper() else 0
            object.__setattr__(self, "decimals", usual)
        if type(self.decimals) is not int or not 0 <= self.decimals <= MAX_DECIMALS:
            raise ValueError(f"a currency has 0 to {MAX_DECIMALS} decimals, not {self.decimals!r:.40}")
        if code == _GEN and self.decimals != _GEN_DECIMALS:
            raise ValueError(f"GEN has {_GEN_DECIMALS} decimals")

    def __str__(self) -> str:
        return f"{self.code} with {self.decimals} decimals"

    @property
    def is_gen(self) -> bool:
        """Whether it is the chain's."""
        return self.code == _GEN

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that amounts are written in, the largest first."""
        return _units(self)

    @property
    def example(self) -> str:
        """An amount as it may be written."""
        return f"{'0.5' if self.decimals else '500'}{self.code.lower()}"

    @property
    def forms(self) -> str:
        """How an amount is written."""
        return f"{self.example}, 3gwei, 7wei or whole wei" if self.is_gen else self.example

    def text(self, amount: int, *, exact: bool = False) -> str:
        """One amount on its own in the unit that suits it: ``1,234.5 GEN``, ``250,000 Gwei``, ``0.002 USD``.

        GEN is shown with at most six decimals unless ``exact``, all else exactly.
        """
        return self.scale([amount], exact=exact).text(amount)

    def scale(self, amounts: Iterable[int], *, exact: bool = False) -> "Scale":
        """How to write a column of amounts: in the unit that suits the largest, with the decimals that they need."""
        known = [abs(amount) for amount in amounts if amount] or [0]
        largest, units = max(known), self.units
        unit = units[0] if not largest else next((unit for unit in units if largest >= _least_shown(unit)), units[-1])
        needed = max(_decimals_needed(amount, unit) for amount in known)
        return Scale(unit, needed if exact or len(units) == 1 else min(needed, _MAX_SHOWN_DECIMALS))

    def amount(self, text: str, *, most: int = MAX_AMOUNT) -> int:
        """The smallest units that a text like ``0.5gen``, ``3 Gwei``, ``0.002 usd`` or ``1 credit`` names, exactly.

        Upper and lower case are the same, and thousands may be set off by commas, so that what ``text`` writes exactly
        is read back. A number alone is one of smallest units, where people know these: wei, or a currency without
        decimals.

        Raises: ValueError when it is no amount, of another currency, has a part of a smallest unit, or is more than
            ``most``. The message says how to write it.
        """
        written = _WRITTEN.fullmatch(text.strip().lower())
        if written is None:
            raise ValueError(f"{text!r:.100} is not an amount: write it as {self.forms}")
        whole, fraction, name = written["whole"].replace(",", ""), written["fraction"] or "", written["unit"]
        unit = self._unit(text, name)
        if len(whole) > _MAX_DIGITS or len(fraction) > _MAX_DIGITS:
            raise ValueError(f"{text!r:.100} has more digits than an amount can have: write it as {self.forms}")
        if fraction.rstrip("0")[unit.decimals :]:
            if self.is_gen:
                raise ValueError(
                    f"{text!r} is not a whole number of wei{'' if name else f': name the unit, as in {self.example}'}"
                )
            raise ValueError(f"{text!r} has more decimals than {self.code} has: {self.decimals}")
        amount = int(whole + fraction[: unit.decimals].ljust(unit.decimals, "0"))
        if amount > most:
            raise ValueError(f"{text!r} is more than {'the contract' if most == _MAX_WEI else 'a meter'} can count")
        return amount

    def _unit(self, text: str, name: str) -> Unit:
        if not name and (self.is_gen or not self.decimals):
            return self.units[-1]
        if not name and text.strip() == "0":
            return self.units[0]
        for unit in self.units:
            if name in (unit.name.lower(), unit.singular.lower()):
                return unit
        if not name:
            raise ValueError(f"{text!r} has no unit: write it as {self.forms}")
        counts = "" if self.is_gen else f", and money is counted in {self.code} here"
        raise ValueError(f"{text!r} has the unknown unit {name!r}{counts}: write it as {self.forms}")


GEN: Final = Currency(_GEN)


@dataclass(frozen=True, slots=True)
class Scale:
    """How the amounts of one column are written, so that they can be compared at a glance: unit and decimal places."""

    unit: Unit
    decimals: int

    @classmethod
    def of(cls, amounts_wei: Iterable[int], *, exact: bool = False) -> "Scale":
        """That of GEN, for what is on the chain."""
        return GEN.scale(amounts_wei, exact=exact)

    def number(self, amount_wei: int) -> str:
        """Return the amount without its unit; what the decimals cannot show is rounded half up."""
        dropped = 10 ** (self.unit.decimals - self.decimals)
        scaled = (abs(amount_wei) + dropped // 2) // dropped
        whole, fraction = divmod(scaled, 10**self.decimals)
        sign = "-" if amount_wei < 0 and scaled else ""
        return f"{sign}{whole:,}" + (f".{fraction:0{self.decimals}d}" if self.decimals else "")

    def text(self, amount_wei: int) -> str:
        """Return the amount with its unit."""
        number = self.number(amount_wei)
        return f"{number} {self.unit.singular if number in ('1', '-1') else self.unit.name}"


def has_unit(text: str) -> bool:
    """Whether a text is an amount of some currency, and says of which."""
    written = _WRITTEN.fullmatch(text.strip().lower())
    return written is not None and bool(written["unit"])


def format_wei(amount_wei: int, *, exact: bool = False) -> str:
    """Return an amount of GEN on its own, as ``Currency.text``."""
    return GEN.text(amount_wei, exact=exact)


def parse_wei(text: str) -> int:
    """Return the wei that a text names, as ``Currency.amount``.

    Raises: ValueError: it is no amount of GEN, or is more than the contract counts (2^128 - 1 wei).
    """
    return GEN.amount(text, most=_MAX_WEI)


@cache
def _units(currency: Currency) -> tuple[Unit, ...]:
    largest = Unit(currency.code, currency.decimals)
    return (largest, Unit("Gwei", 9), Unit("wei", 0)) if currency.is_gen else (largest,)


def _least_shown(unit: Unit) -> int:
    """The least amount that is shown in a unit, where there is a smaller one."""
    return 10**14 if unit.decimals == _GEN_DECIMALS else 10**3 if unit.decimals else 0


def _decimals_needed(amount: int, unit: Unit) -> int:
    fraction = amount % 10**unit.decimals
    decimals = unit.decimals
    while decimals and fraction % 10 == 0:
        fraction //= 10
        decimals -= 1
    return decimals
