"""`api-billing promise …`: what an API promises, and the court that judges whether it was kept."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.cli.command import command
from api_billing.cli.drawing import counted, pairs
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import ApiName, day_parser, day_text
from api_billing.results import Promise

app = typer.Typer(
    no_args_is_help=True,
    help="Promise what a court may judge: earnings of a day then wait, and can be refunded by it.",
)


@command(app, "set", writes=True)
def set_(
    session: Session,
    api: ApiName,
    court: Annotated[str, typer.Option(metavar="ADDRESS", help="Contract that judges disputes.")],
    payout_days: Annotated[int, typer.Option(metavar="N", help="Days for which earnings wait.", min=3, max=14)],
    max_refund: Annotated[int, typer.Option(metavar="PERCENT", help="Most that a court may refund.", min=1, max=100)],
    terms: Annotated[str, typer.Option(metavar="TEXT", help="What is promised, in at most 2,000 characters.")],
    status_url: Annotated[str, typer.Option(metavar="URL", help="Page with the API's state, https.")] = "",
) -> Shown:
    """Set the promise. The first begins tomorrow, a change when what waits under the present one has matured.

    Example: api-billing promise set weather --court 0x1234... --payout-days 3 --max-refund 50 --terms "$(cat terms)"
    """
    with session.printer.waiting("setting the promise"):
        written = session.client.set_promise(api, session.address(court), payout_days, max_refund, terms, status_url)
        promised = session.client.get_promise(api)
    return shown_write(written, f"{api} has a new promise from {_next(promised)} on")


@command(app, "end", writes=True)
def end(session: Session, api: ApiName) -> Shown:
    """End the promise when what waits under it has matured."""
    with session.printer.waiting("ending the promise"):
        written = session.client.set_promise(api, "", 0, 0, "")
        promised = session.client.get_promise(api)
    return shown_write(written, f"{api} promises nothing from {_next(promised)} on")


@command(app, "show")
def show(
    session: Session,
    api: ApiName,
    day: Annotated[
        int, typer.Option(metavar="DAY", parser=day_parser, help="For which day: 2026-01-15; today unless named.")
    ] = 0,
) -> Shown:
    """What an API promises for a day: court, terms, how long earnings wait, how much can be refunded."""
    with session.printer.waiting("reading"):
        found = session.client.get_promise(api, day)
    return Shown(found.as_dict(), lambda: _show(found))


def _next(promised: Promise) -> str:
    return day_text(promised.next_from_day)


def _show(found: Promise) -> RenderableType:
    ahead = [("changes", f"on {_next(found)}")] if found.next_from_day else []
    title = Text(f"{found.api_name} on {day_text(found.day_id)}", style="bold")
    if not found.court:
        return Group(title, pairs([("promise", "none"), *ahead]))
    facts = [
        ("court", found.court),
        ("in force", f"from {day_text(found.from_day)} on"),
        ("earnings", f"wait {counted(found.payout_days, 'day')}"),
        ("refund", f"at most {found.max_refund_percent}%"),
        ("status page", found.status_url or "none"),
        *ahead,
        ("terms", found.terms),
    ]
    return Group(title, pairs(facts))
