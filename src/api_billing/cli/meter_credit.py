"""`api-billing meter credit …`: what consumers may spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from api_billing.cli.drawing import pairs
from api_billing.cli.meter_session import MONEY_HELP, ConsumerName, Desk, meter_command, plain
from api_billing.cli.output import Shown

if TYPE_CHECKING:
    from api_billing.metering.ledger.operations import Balance

app = typer.Typer(no_args_is_help=True, help="Add, take back and show credit of consumers.")

Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help=MONEY_HELP.capitalize())]
GrantId = Annotated[
    str,
    typer.Option("--id", metavar="ID", help="Name of this grant, which counts once however often it is repeated."),
]
OfApi = Annotated[str, typer.Option("--api", metavar="API", help="At which API, when its credit is on the chain.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")]


@meter_command(app, "add")
def add(desk: Desk, consumer: ConsumerName, amount: Amount, id: GrantId = "", note: Note = "") -> Shown:
    """Add credit. Without --id one is made and printed, also when the outcome is not known: repeat it with that."""
    return _granted(desk, consumer, desk.amount(amount), id, note)


@meter_command(app, "take")
def take(desk: Desk, consumer: ConsumerName, amount: Amount, id: GrantId = "", note: Note = "") -> Shown:
    """Take free credit back."""
    return _granted(desk, consumer, -desk.amount(amount), id, note)


@meter_command(app, "show")
def show(desk: Desk, consumer: ConsumerName, api: OfApi = "") -> Shown:
    """What a consumer was granted, and what of it is free, reserved and charged."""
    desk.meter.profile(consumer)
    balance = desk.meter.balance(consumer, api)
    return Shown({"consumer": consumer, **desk.counted, **_data(balance)}, lambda: _drawn(desk, balance))


def _granted(desk: Desk, consumer: str, amount_wei: int, grant_id: str, note: str) -> Shown:
    from api_billing.metering.errors import StoreUnavailable
    from api_billing.metering.ledger.ids import new_id

    grant_id = grant_id or new_id(desk.meter.now_ms())
    try:
        balance = desk.meter.grant(consumer, amount_wei, grant_id=grant_id, note=note)
    except (StoreUnavailable, KeyboardInterrupt):
        # It may be made: with its id it can be repeated.
        desk.printer.note(f"whether it is made is not known: repeat it with --id {plain(grant_id)}")
        raise
    if not desk.printer.as_json:
        desk.printer.note(f"grant {plain(grant_id)}")
    return Shown(
        {"id": grant_id, "consumer": consumer, **desk.counted, **_data(balance)}, lambda: _drawn(desk, balance)
    )


def _data(balance: Balance) -> dict[str, Any]:
    return {
        "granted_wei": balance.granted_wei,
        "free_wei": balance.free_wei,
        "reserved_wei": balance.reserved_wei,
        "charged_wei": balance.charged_wei,
    }


def _drawn(desk: Desk, balance: Balance) -> RenderableType:
    amounts = _data(balance)
    scale = desk.currency.scale(amounts.values(), exact=True)
    return pairs([(name.removesuffix("_wei"), scale.text(wei)) for name, wei in amounts.items()])
