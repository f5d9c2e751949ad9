"""What operators look after: earnings, refunds, subscribers, settlements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.command import command
from api_billing.cli.consumer import arrival
from api_billing.cli.drawing import counted, pairs, right, short, table
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import (
    After,
    Amount,
    ApiName,
    Offset,
    To,
    Whose,
    day_parser,
    day_text,
    either,
    moment_text,
    require_wei,
)
from api_billing.errors import InvalidInput
from api_billing.results import Earnings, SettlementHead, SubscriberPage, WaitingEarnings


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "earnings", writes=True)(earnings)
    command(app, "collect", writes=True)(collect)
    command(app, "refund", writes=True)(refund)
    command(app, "subscribers")(subscribers)
    command(app, "settlements")(settlements)


def earnings(
    session: Session,
    who: Whose = None,
    operator: Annotated[
        str | None, typer.Option(metavar="WHO", help="Address or account of the operator; yours unless named.")
    ] = None,
    withdraw: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Pay out so much, or `all`; it arrives when final.")
    ] = None,
    to: To = None,
) -> Shown:
    """What an operator has earned, and what waits; with --withdraw pay it out."""
    if withdraw is None:
        if to:
            raise InvalidInput("--to says who is paid", hint="say how much with --withdraw")
        session.writes = False
    elif who or operator:
        hint = "name who signs with --account, and who is paid with --to"
        raise InvalidInput("only one's own earnings can be withdrawn", hint=hint)
    client, address = session.client, session.address(either(who, operator))
    with session.printer.waiting("reading"):
        found = client.get_earnings(address)
    if withdraw is None:
        return Shown(found.as_dict(), lambda: _earnings(found))
    amount = found.earnings_wei if withdraw.strip().lower() == "all" else require_wei(withdraw)
    payee = session.payee(to)
    with session.printer.waiting("withdrawing"):
        written = client.withdraw_earnings(amount, payee)
    where = f" to {payee}" if payee else ""
    text = f"{format_wei(amount, exact=True)} of earnings withdrawn{where}{arrival(written.status)}"
    return shown_write(written, text)


def collect(session: Session, api: ApiName) -> Shown:
    """Make earnings of an API that have waited long enough the operator's, to be withdrawn. Anyone may."""
    with session.printer.waiting("collecting"):
        written = session.client.collect_earnings(api)
    done = written.result
    through = f", of days up to {day_text(done.collected_through)}" if done.collected_through else ""
    return shown_write(written, f"{format_wei(done.collected_wei, exact=True)} collected{through}")


def refund(
    session: Session,
    api: ApiName,
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="Address or account of the consumer")],
    amount: Amount,
    day: Annotated[
        int, typer.Option(metavar="DAY", parser=day_parser, help="Of the earnings of that day, which still wait.")
    ] = 0,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the consumer; at most 200 characters.")] = "",
) -> Shown:
    """Give earnings back to a consumer, as credit: those you could withdraw, or with --day those that wait.

    Example: api-billing refund weather 0x1234... 0.2gen --reason "the outage of Monday"
    """
    address = session.address(consumer)
    with session.printer.waiting("refunding"):
        written = session.client.refund(api, address, amount, reason, day)
    return shown_write(written, f"{format_wei(amount, exact=True)} refunded to {address}")


def subscribers(session: Session, api: ApiName, offset: Offset = 0) -> Shown:
    """Who has subscribed to an API, with what each used today and this month; at most 100."""
    with session.printer.waiting("reading"):
        page = session.client.list_subscribers(api, offset)
    return Shown(page.as_dict(), lambda: _subscribers(page, offset))


def settlements(session: Session, api: ApiName, after: After = 0) -> Shown:
    """The last 64 settlements of an API: what was billed, and in how many entries something was refused."""
    with session.printer.waiting("reading"):
        found = session.client.list_settlements(api, after)
    return Shown([each.as_dict() for each in found], lambda: _settlements(found))


def _earnings(found: Earnings) -> RenderableType:
    return pairs(
        [
            ("operator", found.operator),
            ("can be withdrawn", format_wei(found.earnings_wei, exact=True)),
            ("withdrawn so far", format_wei(found.withdrawn_wei, exact=True)),
            ("refunded so far", format_wei(found.refunded_wei, exact=True)),
            *(
                (f"of {each.api_name}", f"{format_wei(each.pending_wei, exact=True)} pending{_frozen(each)}")
                for each in found.apis
            ),
        ]
    )


def _frozen(waiting: WaitingEarnings) -> str:
    return f", {format_wei(waiting.frozen_wei, exact=True)} is frozen" if waiting.frozen_wei else ""


def _subscribers(page: SubscriberPage, offset: int) -> RenderableType:
    if not page.subscribers:
        return Text(f"{counted(page.total, 'subscriber')} in all")
    scale = Scale.of(each.spend_month_wei for each in page.subscribers)
    rows = [
        (
            short(each.consumer),
            each.plan_name if each.active else "ended",
            f"{each.calls_today:,}",
            f"{each.calls_month:,}",
            scale.number(each.spend_month_wei),
            f"{format_wei(each.hold_wei)}{', session' if each.signer else ''}" if each.hold_wei else "-",
        )
        for each in page.subscribers
    ]
    columns = "consumer", "plan", right("today"), right("month"), right(f"spent {scale.unit.name}"), "held"
    drawn, shown = table(*columns, rows=rows), offset + len(page.subscribers)
    return drawn if shown >= page.total else Group(drawn, Text(f"{shown} of {page.total}; go on with --offset {shown}"))


def _settlements(found: Sequence[SettlementHead]) -> RenderableType:
    if not found:
        return Text("no settlements")
    scale = Scale.of(each.billed_wei for each in found)
    rows = [
        (
            str(each.sequence),
            moment_text(each.settled_at),
            f"{each.billed_calls:,}",
            scale.number(each.billed_wei),
            f"{each.refused_entries:,}",
        )
        for each in found
    ]
    columns = right("no"), "when", right("calls"), right(f"billed {scale.unit.name}"), right("refused entries")
    return table(*columns, rows=rows)
