"""What consumers do with their credit: subscribe, top up, withdraw, hold."""

from __future__ import annotations

from typing import Annotated

import typer

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import (
    AMOUNT_HELP,
    Amount,
    ApiName,
    Consumer,
    amount_parser,
    moment_text,
    seconds_parser,
    unix_parser,
)
from api_billing.contract_api import STANDARD_PLAN
from api_billing.errors import InvalidInput

holds = typer.Typer(no_args_is_help=True, help="Set credit aside for the settlements of one API.")


def add_to(app: typer.Typer) -> None:
    """Add the commands that stand for themselves."""
    for name, function in (
        ("subscribe", subscribe),
        ("unsubscribe", unsubscribe),
        ("top-up", top_up),
        ("withdraw", withdraw),
        ("alert", alert),
    ):
        command(app, name, writes=True)(function)


def subscribe(
    session: Session,
    api: ApiName,
    max_daily_spend: Annotated[
        int, typer.Option(metavar="AMOUNT", parser=amount_parser, help=f"Cap on a day's spend: {AMOUNT_HELP}.")
    ],
    deposit: Annotated[
        int, typer.Option(metavar="AMOUNT", parser=amount_parser, help="GEN to send along as credit.")
    ] = 0,
    plan: Annotated[str, typer.Option(metavar="PLAN", help="Plan of the API.")] = STANDARD_PLAN,
) -> Shown:
    """Subscribe, or change plan and cap, and accept the present price."""
    with session.printer.waiting(f"subscribing to {api}"):
        written = session.client.subscribe(api, max_daily_spend, deposit, plan)
    accepted = written.result
    text = (
        f"subscribed to {api}, plan {accepted.plan_name}, at {format_wei(accepted.accepted_price_wei, exact=True)} "
        f"a call, at most {format_wei(accepted.max_daily_spend_wei, exact=True)} a day\n"
        f"credit {format_wei(accepted.credit_wei, exact=True)}"
    )
    return shown_write(written, text)


def unsubscribe(session: Session, api: ApiName) -> Shown:
    """End a subscription; a hold in force stays."""
    with session.printer.waiting("unsubscribing"):
        return shown_write(session.client.unsubscribe(api), f"no longer subscribed to {api}")


def top_up(
    session: Session,
    amount: Amount,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="WHO", help="Whose credit: an address or account; yours unless named."),
    ] = None,
) -> Shown:
    """Send GEN to your credit, or to somebody else's."""
    client = session.client
    with session.printer.waiting("topping up"):
        written = client.top_up_for(session.address(for_), amount) if for_ else client.top_up_credit(amount)
    done = written.result
    whose = f" of {for_}" if for_ else ""
    credit = format_wei(done.credit_wei, exact=True)
    return shown_write(written, f"{format_wei(done.credited_wei, exact=True)} credited; credit{whose} is {credit}")


def withdraw(session: Session, amount: Amount) -> Shown:
    """Take free credit back; it arrives when the transaction is final."""
    with session.printer.waiting("withdrawing"):
        written = session.client.withdraw_credit(amount)
    return shown_write(written, f"{format_wei(amount, exact=True)} withdrawn{_arrival(written.status)}")


def alert(
    session: Session,
    percent: Annotated[int, typer.Argument(min=0, max=100, help="0 turns the alert off")],
) -> Shown:
    """Be told when credit falls to a percentage of what it was after the last top-up."""
    with session.printer.waiting("setting the alert"):
        written = session.client.set_low_credit_alert(percent)
    return shown_write(written, f"low-credit alert at {percent}%" if percent else "low-credit alert is off")


@command(holds, "place", writes=True)
def place(
    session: Session,
    api: ApiName,
    amount: Amount,
    for_: Annotated[
        int | None,
        typer.Option("--for", metavar="DURATION", parser=seconds_parser, help="How long from now: 30m, 12h, 7d, 2w."),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(metavar="TIME", parser=unix_parser, help="Until when, UTC: 2026-12-31 or 2026-12-31T18:00:00Z."),
    ] = None,
) -> Shown:
    """Set more credit aside for one API; an amount of 0 only prolongs the hold."""
    if (for_ is None) == (until is None):
        raise InvalidInput("a hold needs its end", hint="say either --for 7d or --until 2026-12-31")
    client = session.client
    expires_at = client.connection.now() + for_ if for_ is not None else until or 0
    with session.printer.waiting("placing the hold"):
        written = client.place_hold(api, amount, expires_at)
    text = f"{format_wei(amount, exact=True)} more held for {api} until {moment_text(expires_at)}"
    return shown_write(written, text)


@command(holds, "release", writes=True)
def release(session: Session, api: ApiName, consumer: Consumer = None) -> Shown:
    """Turn a hold into free credit: yours once it has expired, or as operator a consumer's at any time."""
    address = session.address(consumer) if consumer else ""
    with session.printer.waiting("releasing the hold"):
        return shown_write(session.client.release_hold(api, address), f"hold for {api} released")


def _arrival(status: str) -> str:
    return "" if status == "FINALIZED" else "; it arrives when the transaction is final"
