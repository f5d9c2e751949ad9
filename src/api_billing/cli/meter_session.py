"""What every `api-billing meter` command has: a store, and what is drawn of its answers."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from api_billing.amounts import has_unit
from api_billing.cli.command import command
from api_billing.cli.output import Printer, Shown
from api_billing.cli.session import Session
from api_billing.cli.values import moment_text
from api_billing.errors import InvalidInput
from api_billing.networks import canonical_name
from api_billing.showing import redacted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from api_billing.metering.meter import Meter

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="sqlite:///FILE, postgresql://… or redis://…; by default API_BILLING_STORE_URL, else sqlite:///meter.db.",
    ),
]
MONEY_HELP: Final = "0.5gen, 5usd, 300credits: in the meter's currency"
ConsumerName = Annotated[
    str,
    typer.Argument(
        metavar="CONSUMER",
        help="Name of the consumer; its address, where it pays on the chain",
        callback=canonical_name,
    ),
]


class Desk:
    """One run of a meter command: its session, and the meter on the store."""

    def __init__(self, session: Session, meter: Meter) -> None:
        self.printer = session.printer
        self.meter = meter
        self.store = meter.store
        self.currency = meter.currency

    @property
    def counted(self) -> dict[str, Any]:
        """What amounts are in, for JSON: those in smallest units are shifted by so many decimal places."""
        return {"currency": self.currency.code, "currency_decimals": self.currency.decimals}

    def consumer(self, named: str) -> str:
        """A consumer as named, however an address is spelled; where credit is on the chain an account has one, too."""
        if named and self.meter.settings.contract and not named.startswith("0x"):
            from api_billing.keys import address_of

            named = address_of(named) or named
        return canonical_name(named)

    def amount(self, text: str) -> int:
        """What an amount on the line names, in the meter's currency. Raises: InvalidInput."""
        try:
            return self.currency.amount(text)
        except ValueError as error:
            hint = "to count in another currency set API_BILLING_CURRENCY" if has_unit(text) else ""
            raise InvalidInput(str(error), hint=hint) from None

    @contextmanager
    def progress(self, message: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """As the function of this name."""
        with progress(self.printer, message, total) as done:
            yield done


@contextmanager
def progress(printer: Printer, message: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar while something takes its time; nothing where nobody looks. Yields what says how much is done."""
    if not printer.err.is_terminal or printer.as_json:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=printer.err, transient=True) as bar:
        task = bar.add_task(message, total=total)
        yield lambda done: bar.update(task, completed=done)


def meter_command(
    app: typer.Typer, name: str, *, makes: bool = False
) -> Callable[[Callable[..., Shown | None]], Callable[..., None]]:
    """Make a command of a function that takes a ``Desk`` first; its store is opened before, and closed after it. One
    that begins with something ``makes`` the store where there is none.
    """

    def register(function: Callable[..., Shown | None]) -> Callable[..., None]:
        def run(session: Session, *, store: str | None, **given: Any) -> Shown | None:
            with opened(store, makes=makes) as meter:
                return function(Desk(session, meter), **given)

        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        parameters = [
            inspect.Parameter("session", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Session),
            *[each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in own],
            inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Store),
        ]
        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command(app, name, of_chain=False)(run)

    return register


def opened(store: str | None, *, serves: bool = False, makes: bool = False) -> Meter:
    """The meter on a store; but of one that ``serves`` its settings for requests do not count, as what a command is
    about may stand in its options instead, and it counts in the store's currency where none is set. One that neither
    serves nor ``makes`` a store needs one.

    Raises: InvalidInput, InvalidSetting, MissingExtra, StoreUnavailable.
    """
    from api_billing.metering.meter import Meter  # takes a second, which --help need not

    of_requests: dict[str, Any] = {"payments": (), "settle_apis": (), "enabled": True}
    if serves:
        of_requests = {"fail_open": False}  # the HTTP meter begins with its store
    elif not makes:
        _check_is_there(store_url(store))
    return Meter.open(store or "", checks_pepper=False, takes_currency=not serves, **of_requests)


def store_url(store: str | None) -> str:
    """The URL of the store that is meant. Raises: InvalidSetting."""
    from api_billing.metering.settings import MeterSettings

    given = {"store_url": store} if store else {}
    return MeterSettings.load(payments=(), settle_apis=(), **given).store_url.get_secret_value()


def _check_is_there(url: str) -> None:
    from api_billing.metering.stores import migrate_store

    if not migrate_store(url, check=True).was:
        raise InvalidInput(
            f"{redacted(url)} has no store of the meter",
            hint="name another with --store or API_BILLING_STORE_URL; applications make theirs, as does: "
            "api-billing meter consumers add NAME",
        )


def opened_in_gen(store: str | None, *, makes: bool = False) -> Meter:
    """The same, for what goes to the contract. Raises also: InvalidInput when the store counts in another currency."""
    meter = opened(store, makes=makes)
    if meter.currency.is_gen:
        return meter
    meter.close()
    raise InvalidInput(f"only GEN is settled on the chain, and this store counts money in {meter.currency.code}")


def instant_text(at_ms: int) -> str:
    """Milliseconds as 2026-01-15 12:00 UTC."""
    return moment_text(at_ms // 1000)


def plain(text: str) -> str:
    """Text that services have sent cannot move the cursor or forge lines."""
    return "".join([letter if letter.isprintable() else "?" for letter in text])


def paged(drawn: RenderableType, cursor: object) -> RenderableType:
    """What is drawn of a page, and below it how to ask for the one behind it, unless there is no cursor."""
    from rich.console import Group
    from rich.text import Text

    return drawn if cursor is None else Group(drawn, Text(f"\nmore: --after {shlex.quote(plain(str(cursor)))}"))
