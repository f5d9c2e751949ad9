"""What consumers do with their credit: subscribe, top up, withdraw, hold."""

from __future__ import annotations

from typing import Annotated

import typer

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import (
    Amount,
    ApiName,
    Cap,
    Consumer,
    Deposit,
    For,
    MaxPrice,
    PlanName,
    To,
    Until,
    moment_text,
)
from api_billing.contract_api import DAY_SECONDS, MAX_HOLD_DAYS, PLAIN_HOLD, STANDARD_PLAN
from api_billing.errors import InvalidInput
from api_billing.results import Subscription

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
    max_daily_spend: Cap,
    deposit: Deposit = 0,
    plan: PlanName = STANDARD_PLAN,
    max_price: MaxPrice = None,
) -> Shown:
    """Subscribe, or change plan and cap, and accept the price: the one shown, or any up to --max-price.

    Example: api-billing subscribe weather --max-daily-spend 1gen --deposit 5gen --max-price 0.01gen
    """
    bound = price_bound(session, api, plan, max_price)
    with session.printer.waiting(f"subscribing to {api}"):
        written = session.client.subscribe(api, max_daily_spend, deposit, plan, bound)
    accepted = written.result
    text = f"subscribed to {api}, {accepted_text(accepted)}\ncredit {format_wei(accepted.credit_wei, exact=True)}"
    return shown_write(written, text)


def price_bound(session: Session, api: str, plan: str, max_price: int | None) -> int:
    """The highest price that is to be accepted: the operator may raise it before the transaction is there.

    Raises: InvalidInput, when it is higher now: a refused deposit would be kept as credit.
    """
    with session.printer.waiting("reading"):
        plans = {each.plan_name: each.cost_per_call_wei for each in session.client.get_api(api).plans}
    price = plans.get(plan.strip().lower())
    if price is None:
        raise InvalidInput(f"{api} has no plan {plan!r}", hint=f"choose one of {', '.join(plans)}")
    shown = format_wei(price, exact=True)
    if max_price is None:
        session.printer.note(f"{api}, plan {plan}: {shown} a call")
    elif price > max_price:
        raise InvalidInput(f"a call costs {shown}, more than --max-price", hint="nothing was sent")
    # To the contract 0 is no bound: for what is free it is the smallest there is.
    return max(price if max_price is None else max_price, 1)


def accepted_text(accepted: Subscription) -> str:
    """Plan, price and cap of a subscription in words."""
    return (
        f"plan {accepted.plan_name}, at {format_wei(accepted.accepted_price_wei, exact=True)} a call, "
        f"at most {format_wei(accepted.max_daily_spend_wei, exact=True)} a day"
    )


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


def withdraw(session: Session, amount: Amount, to: To = None) -> Shown:
    """Take free credit back, to yourself or to another account; it arrives when the transaction is final."""
    payee = session.payee(to)
    with session.printer.waiting("withdrawing"):
        written = session.client.withdraw_credit(amount, payee)
    where = f" to {payee}" if payee else ""
    return shown_write(written, f"{format_wei(amount, exact=True)} withdrawn{where}{arrival(written.status)}")


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
    for_: For = None,
    until: Until = None,
    plain: Annotated[bool, typer.Option("--plain", help="Be billed without vouchers again after a session.")] = False,
) -> Shown:
    """Set more credit aside for one API; an amount of 0 only prolongs the hold.

    While a session is in force this adds to it; after it, say --plain, or open the next session.

    Example: api-billing hold place weather 0.5gen --for 7d
    """
    expires_at = expiry(session, for_, until)
    with session.printer.waiting("reading"):
        found = session.client.get_session(session.own_address, api)
    if found.signer and not found.in_force and not plain:
        raise InvalidInput(
            f"after your session with {api} it would be held for vouchers of {found.signer}",
            hint="to be billed without vouchers add --plain; with them: api-billing session open",
        )
    with session.printer.waiting("placing the hold"):
        written = session.client.place_hold(api, amount, expires_at, PLAIN_HOLD if plain else "")
    text = f"{format_wei(amount, exact=True)} more held for {api} until {moment_text(expires_at)}"
    return shown_write(written, text if plain or not found.signer else f"{text}\nfor vouchers of {found.signer}")


def expiry(session: Session, for_: int | None, until: int | None) -> int:
    """The end of a hold in unix seconds. Raises: InvalidInput, unless it is said in one way and the contract takes it:
    a refused deposit would be kept as credit.
    """
    if (for_ is None) == (until is None):
        raise InvalidInput("a hold needs its end", hint="say either --for 7d or --until 2026-12-31")
    now = session.client.connection.now()
    expires_at = until if until is not None else now + (for_ or 0)
    if not 0 < expires_at - now <= MAX_HOLD_DAYS * DAY_SECONDS:
        end, shown = moment_text(expires_at), moment_text(now)
        hint = f"nothing was sent; a hold ends in the future, and at most {MAX_HOLD_DAYS} days from now ({shown})"
        raise InvalidInput(f"a hold cannot end at {end}", hint=hint)
    return expires_at


@command(holds, "release", writes=True)
def release(session: Session, api: ApiName, consumer: Consumer = None) -> Shown:
    """Turn a hold into free credit: yours once it has expired, or as operator a consumer's at any time.

    As operator settle first: what is not settled by then cannot be billed from the hold any more. For a plain hold
    api-billing settle once, for a session api-billing settle close, which also releases it.
    """
    address = consumer_to_release(session, api, consumer)
    with session.printer.waiting("releasing the hold"):
        return shown_write(session.client.release_hold(api, address), f"hold for {api} released")


def consumer_to_release(session: Session, api: str, consumer: str | None) -> str:
    """The consumer whose hold an operator releases, who is told what is lost by that; empty for the caller's own."""
    if not consumer:
        return ""
    address = session.address(consumer)
    session.printer.note(
        f"what {address} has used and is not settled cannot be billed from this hold any more\n"
        f"  before: api-billing settle once {api}, or for a session: api-billing settle close {api} {address}"
    )
    return address


def arrival(status: str) -> str:
    """When a payout arrives, of which this is the status."""
    return "" if status == "FINALIZED" else "; it arrives when the transaction is final"
