"""`api-billing localnet …`: a network on this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import right, table
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.cli.values import Amount
from api_billing.contract_source import contract_path
from api_billing.networks import deployments_dir

app = typer.Typer(no_args_is_help=True, help="Run a GenLayer network on this machine; its accounts and its faucet.")

_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("up", context_settings=_PASSED_ON, add_help_option=False)
def up(context: typer.Context) -> None:
    """Start the network: the same as `genlayer-localnet up`, with its options; a checkout has the web page at /app."""
    from genlayer_localnet.cli import main

    raise typer.Exit(main(["up", *_web_page(context.args), *context.args]))


def _web_page(given: list[str]) -> list[str]:
    """The options that serve the page of this checkout, unless another is named; none where there is no checkout."""
    page = contract_path().parents[1] / "dapp"
    if not (page / "package.json").is_file() or any(each == "--app" or each.startswith("--app=") for each in given):
        return []
    return ["--app", str(page / "dist"), "--app-folder", f"deployments={deployments_dir()}"]


@command(app, "accounts")
def accounts(session: Session) -> Shown:
    """The open accounts, which everybody can use as localnet:N, with what they have."""
    with session.printer.waiting("reading"):
        connection = session.connection()
        found = [str(each) for each in connection.provider.result("eth_accounts")]
        rows = [(f"localnet:{i}", each, connection.balance_wei(each)) for i, each in enumerate(found)]
    data = [{"account": name, "address": address, "balance_wei": wei} for name, address, wei in rows]
    return Shown(data, lambda: _accounts(rows))


@command(app, "fund")
def fund(
    session: Session,
    amount: Amount,
    who: Annotated[str | None, typer.Argument(metavar="[WHO]", help="Address or account; yours unless named")] = None,
) -> Shown:
    """Have the faucet give an account GEN; on the localnet and on Studio."""
    address = session.address(who)
    with session.printer.waiting("funding"):
        connection = session.connection()
        tx = connection.fund(address, amount)
        balance = connection.balance_wei(address)
    data = {"tx": tx, "address": address, "balance_wei": balance}
    return Shown(data, f"{address} has {format_wei(balance, exact=True)}")


def _accounts(rows: list[tuple[str, str, int]]) -> RenderableType:
    return table(
        "account", "address", right("balance"), rows=[(name, each, format_wei(wei)) for name, each, wei in rows]
    )
