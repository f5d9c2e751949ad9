"""Values as they are typed: amounts, days, times, durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Final

import typer

from api_billing.amounts import parse_wei
from api_billing.contract_api import DAY_SECONDS
from api_billing.errors import InvalidInput

_DURATION: Final = re.compile("([0-9]{1,9})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}
_EPOCH: Final = date(1970, 1, 1)


def _checked[T](parse: Callable[[str], T]) -> Callable[[str | T], T]:
    def check(text: str | T) -> T:
        if not isinstance(text, str):
            return text
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return check


def seconds_of(text: str) -> int:
    """Seconds of ``90s``, ``30m``, ``12h``, ``7d``, ``2w``. Raises: ValueError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration: write it as 30m, 12h, 7d or 2w")
    return int(found[1]) * _SECONDS[found[2]]


def unix_of(text: str) -> int:
    """Unix seconds of ISO text, UTC where it names no zone, or of digits. Raises: ValueError."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write it as 2026-12-31 or 2026-12-31T18:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def day_id_of(text: str) -> int:
    """Days since 1970 of ``2026-01-15`` or of digits. Raises: ValueError."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise ValueError(f"{text!r} is no day: write it as 2026-01-15") from None


def day_text(day_id: int) -> str:
    """A day as 2026-01-15."""
    return moment_text(day_id * DAY_SECONDS)[:10]


def moment_text(at: int) -> str:
    """Unix seconds as 2026-01-15 12:00 UTC; a time beyond the calendar as its number."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return str(at)


def require_wei(text: str) -> int:
    """An amount in a file or a word, with the error of this package. Raises: InvalidInput."""
    try:
        return parse_wei(text)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def either(argument: str | None, option: str | None) -> str | None:
    """What may be named in two ways. Raises: InvalidInput, when it is in both."""
    if argument and option:
        raise InvalidInput(f"{argument} and {option}: name one")
    return argument or option


AMOUNT_HELP: Final = "0.5gen, 3gwei, 7wei or whole wei"
Amount = Annotated[int, typer.Argument(metavar="AMOUNT", parser=_checked(parse_wei), help=AMOUNT_HELP.capitalize())]
Price = Annotated[
    int, typer.Option(metavar="AMOUNT", parser=_checked(parse_wei), help=f"Price of a call: {AMOUNT_HELP}.")
]
ApiName = Annotated[str, typer.Argument(metavar="API", help="Name of the API")]
Daily = Annotated[int, typer.Option(help="Calls a day; 0 is no limit.", metavar="CALLS", min=0)]
Monthly = Annotated[int, typer.Option(help="Calls a month; 0 is no limit.", metavar="CALLS", min=0)]
Consumer = Annotated[
    str | None, typer.Option(metavar="WHO", help="Address or account of the consumer; yours unless named.")
]
WhoseReport = Annotated[str | None, typer.Argument(metavar="[CONSUMER]", help="Address or account; yours unless named")]
Whose = Annotated[str | None, typer.Argument(metavar="[WHO]", help="Address or account; yours unless named")]
Calls = Annotated[int, typer.Option(help="How many calls.", metavar="N", min=1)]
amount_parser: Final = _checked(parse_wei)
seconds_parser: Final = _checked(seconds_of)
unix_parser: Final = _checked(unix_of)
day_parser: Final = _checked(day_id_of)
Cap = Annotated[int, typer.Option(metavar="AMOUNT", parser=amount_parser, help=f"Cap on a day's spend: {AMOUNT_HELP}.")]
Deposit = Annotated[int, typer.Option(metavar="AMOUNT", parser=amount_parser, help="GEN to send along as credit.")]
PlanName = Annotated[str, typer.Option(metavar="PLAN", help="Plan of the API.")]
MaxPrice = Annotated[
    int | None,
    typer.Option(
        metavar="AMOUNT", parser=amount_parser, help="Highest price of a call to accept; by default the one shown now."
    ),
]
For = Annotated[
    int | None,
    typer.Option("--for", metavar="DURATION", parser=seconds_parser, help="How long from now: 30m, 12h, 7d, 2w."),
]
Until = Annotated[
    int | None,
    typer.Option(metavar="TIME", parser=unix_parser, help="Until when, UTC: 2026-12-31 or 2026-12-31T18:00:00Z."),
]
To = Annotated[
    str | None, typer.Option(metavar="WHO", help="Account to be paid, by address or name; yours unless named.")
]
Offset = Annotated[int, typer.Option(help="How many to skip.", metavar="N", min=0)]
After = Annotated[int, typer.Option(metavar="N", help="Only those with a higher number.", min=0)]
