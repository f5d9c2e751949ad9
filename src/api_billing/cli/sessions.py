"""`api-billing session …`: holds that are billed by vouchers only."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.command import command
from api_billing.cli.consumer import accepted_text, consumer_to_release, expiry, price_bound
from api_billing.cli.drawing import pairs, right, table
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
    Until,
    day_text,
    moment_text,
)
from api_billing.contract_api import STANDARD_PLAN
from api_billing.results import Session as SessionState
from api_billing.vouchers import NO_SALT, sign_voucher

app = typer.Typer(
    no_args_is_help=True, help="Be billed by signed vouchers only: no meter can bill more than you signed."
)


@command(app, "open", writes=True)
def open_(
    session: Session,
    api: ApiName,
    amount: Amount,
    signer: Annotated[str, typer.Option(metavar="WHO", help="Address or account of the key that signs the vouchers.")],
    max_daily_spend: Cap,
    deposit: Deposit = 0,
    for_: For = None,
    until: Until = None,
    plan: PlanName = STANDARD_PLAN,
    max_price: MaxPrice = None,
) -> Shown:
    """Deposit, subscribe unless you are subscribed, and hold AMOUNT for a session; later it adds to the hold.

    Make a new key for each session (api-billing keys create): what an old one signed and was not billed could be
    billed from the next.

    Example: api-billing session open weather 2gen --signer june --for 7d --max-daily-spend 1gen --deposit 5gen
    """
    key = session.address(signer)
    bound, expires_at = price_bound(session, api, plan, max_price), expiry(session, for_, until)
    with session.printer.waiting("opening the session"):
        written = session.client.open_session(
            api, max_daily_spend, amount, expires_at, key, plan, bound, deposit_wei=deposit
        )
    done = written.result
    if done.max_daily_spend_wei != max_daily_spend:
        session.printer.note(
            f"you were subscribed already: the cap stays at {format_wei(done.max_daily_spend_wei, exact=True)} a day, "
            f"not {format_wei(max_daily_spend, exact=True)}; to change it: api-billing subscribe"
        )
    held = f"{format_wei(done.hold_wei, exact=True)} held until {moment_text(done.expires_at)}"
    credit = format_wei(done.credit_wei, exact=True)
    text = f"session with {api}: {held}\nfor vouchers of {done.signer}\n{accepted_text(done)}\ncredit {credit}"
    return shown_write(written, text)


@command(app, "status")
def status(session: Session, api: ApiName, consumer: Consumer = None) -> Shown:
    """Hold and signing key of a session, and what was signed and billed of each of its channels."""
    address = session.address(consumer)
    with session.printer.waiting("reading"):
        found = session.client.get_session(address, api)
    return Shown(found.as_dict(), lambda: _status(found))


@command(app, "sign")
def sign(
    session: Session,
    api: ApiName,
    amount: Amount,
    consumer: Consumer = None,
    salt: Annotated[
        str, typer.Option(metavar="HEX", help="Tells channels of a session apart: 0x and 64 digits.")
    ] = NO_SALT,
) -> None:
    """Sign that AMOUNT in all may be billed, since the channel began; print the voucher as JSON. Nothing is sent.

    --account is the session's key, --consumer who opened it. A meter takes the credential in the field Payment-Voucher.

    Example: api-billing session sign weather 0.5gen --account june --consumer alice
    """
    address = session.address(consumer)
    with session.printer.waiting("reading"):
        channel = session.client.get_channel(api, address, salt)
        found = session.client.get_session(address, api, channel.id)
    (known,) = found.channels
    voucher = sign_voucher(session.key(), channel, amount)
    if amount <= known.signed_wei:
        signed = format_wei(known.signed_wei, exact=True)
        session.printer.note(f"the contract knows of {signed} signed already: this voucher lets nobody bill more")
    if not found.in_force:
        session.printer.note("the session is not in force: nothing is billed of this voucher")
    elif amount > found.hold_wei + known.billed_wei:
        held, billed = (format_wei(wei, exact=True) for wei in (found.hold_wei, known.billed_wei))
        session.printer.note(f"more than the session has: {held} held, {billed} of this channel billed")
    signed_by = {"channel_id": channel.id, "signer": channel.signer}
    session.printer.json({**signed_by, "voucher": voucher.as_dict(), "credential": voucher.credential(channel.payer)})


@command(app, "close", writes=True)
def close(session: Session, api: ApiName, consumer: Consumer = None) -> Shown:
    """Turn what is left of a session into free credit: yours once it has expired, or as operator a consumer's.

    As operator use api-billing settle close, which settles first: what is not settled by then cannot be billed any
    more, though it was signed and served.

    Its key stays set; to be billed without vouchers again: api-billing hold place --plain
    """
    address = consumer_to_release(session, api, consumer)
    with session.printer.waiting("closing the session"):
        written = session.client.release_hold(api, address)
    return shown_write(written, f"session with {api} closed; what was left of it is free credit")


def _status(found: SessionState) -> RenderableType:
    state = "in force" if found.in_force else "not in force"
    facts = [("consumer", found.consumer), ("signer", found.signer or "none: billed without vouchers")]
    if found.hold_wei:
        until = f"{format_wei(found.hold_wei, exact=True)} until {moment_text(found.hold_expires_at)}"
        facts.append(("held", f"{until}, {state}; pays from {day_text(found.hold_from_day)} on"))
    else:
        facts.append(("held", "nothing"))
    parts: list[RenderableType] = [Text(found.api_name, style="bold"), pairs(facts)]
    if found.channels:
        scale = Scale.of([each.signed_wei for each in found.channels], exact=True)
        rows = [
            (each.channel_id, scale.number(each.signed_wei), scale.number(each.billed_wei)) for each in found.channels
        ]
        parts += [Text(""), table("channel", right(f"signed {scale.unit.name}"), right("billed"), rows=rows)]
    return Group(*parts)
