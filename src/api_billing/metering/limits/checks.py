"""What limits may be made of: said where they are written, as a wrong one would fail with the requests it limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from api_billing.amounts import MAX_AMOUNT, Currency, has_unit
from api_billing.metering.errors import InvalidSetting

MAX_LIMIT: Final = MAX_AMOUNT

Amount = int | str  # of smallest units, or such as "0.002 usd"


def check_whole(what: str, value: object, most: int) -> None:
    """Raises: InvalidSetting unless it is a whole number from 0 to ``most``, and no bool."""
    if type(value) is not int or not 0 <= value <= most:
        shown = "2^256 - 1" if most == MAX_LIMIT else f"{most:,}"
        raise InvalidSetting(f"{what} is a whole number, at least 0 and at most {shown}, not {value!r:.80}")


def check_amount(what: str, value: object) -> None:
    """Raises: InvalidSetting unless it is a whole number of smallest units, or a text that is an amount."""
    if type(value) is not str:
        check_whole(what, value, MAX_LIMIT)
    elif not has_unit(value):
        raise InvalidSetting(f"{what} is an int of smallest units, or a text such as '0.002 usd', not {value!r:.80}")


def amount_in(currency: Currency, what: str, value: Amount) -> int:
    """The smallest units of an amount, which may be a text in that currency. Raises: InvalidSetting."""
    check_amount(what, value)
    try:
        return currency.amount(value) if type(value) is str else cast(int, value)
    except ValueError as error:
        raise InvalidSetting(f"{what}: {error}") from None


def in_smallest_units(what: str, value: Amount) -> int:
    """An amount that is no text any more. Raises: InvalidSetting."""
    if type(value) is int:
        return value
    raise InvalidSetting(f"{what} is {value!r:.80}: only a meter knows its currency; give it to one, or write an int")


def check_one_of(what: str, value: object, values: Sequence[str]) -> None:
    """Raises: InvalidSetting unless it is one of these."""
    if value not in values:
        raise InvalidSetting(f"{what} is one of {', '.join(values)}, not {value!r:.80}")


def check_tuple(what: str, values: object, kind: type) -> None:
    """Raises: InvalidSetting unless it is a tuple of these."""
    if not isinstance(values, tuple) or not all(isinstance(each, kind) for each in values):
        raise InvalidSetting(f"{what} are each a {kind.__name__}, in a tuple, and not {values!r:.80}")


def check_name(name: object) -> None:
    """Raises: InvalidSetting unless it can stand as a quoted string in a structured header field, and in the keys of
    counts.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= 64
        or not (name.isascii() and name.isprintable())
        or set(name) & set('"\\/')
    ):
        raise InvalidSetting(
            f"a name has 1 to 64 printable ASCII characters without quotes, backslash or slash: {name!r:.80}"
        )
