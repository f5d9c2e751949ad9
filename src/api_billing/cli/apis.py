"""`api-billing api …`: what operators do, and what everyone can look up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import counted, pairs, right, short, table
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import ApiName, Daily, Monthly, Offset, Price, day_text
from api_billing.contract_api import MAX_PAGE
from api_billing.results import Api, ApiDay, ApiDetails, Plan

app = typer.Typer(no_args_is_help=True, help="Register APIs, set plans, pause, hand over; list and show.")

Someone = Annotated[str, typer.Argument(metavar="WHO", help="Address, or an account's name")]


@command(app, "register", writes=True)
def register(
    session: Session,
    api: ApiName,
    price: Price,
    daily: Annotated[int, typer.Option(help="Calls a day; the plan needs a limit.", metavar="CALLS", min=1)],
    monthly: Monthly = 0,
) -> Shown:
    """Register an API with the plan `standard`, or change that plan."""
    with session.printer.waiting(f"registering {api}"):
        written = session.client.register_api(api, price, daily, monthly)
    return shown_write(written, f"{api} costs {format_wei(price, exact=True)} a call, {_limits(daily, monthly)}")


@command(app, "plan", writes=True)
def plan(
    session: Session,
    api: ApiName,
    plan_name: Annotated[str, typer.Argument(metavar="PLAN", help="Name of the plan")],
    price: Price,
    daily: Daily = 0,
    monthly: Monthly = 0,
) -> Shown:
    """Add or change a plan; a price of 0 needs a limit."""
    with session.printer.waiting(f"setting plan {plan_name}"):
        written = session.client.set_plan(api, plan_name, price, daily, monthly)
    cost = f"{format_wei(price, exact=True)} a call, {_limits(daily, monthly)}"
    return shown_write(written, f"plan {plan_name} of {api}: {cost}")


@command(app, "pause", writes=True)
def pause(session: Session, api: ApiName) -> Shown:
    """Stop billing; past usage can be settled all the same."""
    with session.printer.waiting(f"pausing {api}"):
        return shown_write(session.client.set_api_active(api, False), f"{api} is paused")


@command(app, "resume", writes=True)
def resume(session: Session, api: ApiName) -> Shown:
    """Bill again after a pause."""
    with session.printer.waiting(f"resuming {api}"):
        return shown_write(session.client.set_api_active(api, True), f"{api} is active")


@command(app, "meter", writes=True)
def meter(
    session: Session,
    api: ApiName,
    who: Someone,
    forbid: Annotated[bool, typer.Option("--forbid", help="Take the permission back.")] = False,
) -> Shown:
    """Allow an address to report usage of the API; it cannot move money."""
    address = session.address(who)
    with session.printer.waiting("setting the meter"):
        written = session.client.set_meter(api, address, not forbid)
    return shown_write(written, f"{address} {'may no longer' if forbid else 'may'} report usage of {api}")


@command(app, "propose", writes=True)
def propose(session: Session, api: ApiName, who: Someone) -> Shown:
    """Offer the API to another operator, who has to accept it."""
    address = session.address(who)
    with session.printer.waiting("proposing"):
        written = session.client.propose_operator(api, address)
    return shown_write(written, f"{api} is offered to {address}; to take it over: api-billing api accept {api}")


@command(app, "accept", writes=True)
def accept(session: Session, api: ApiName) -> Shown:
    """Take over an API that was offered to you."""
    with session.printer.waiting("accepting"):
        return shown_write(session.client.accept_operator(api), f"{api} is yours; its meters have to be allowed anew")


@command(app, "list")
def list_apis(
    session: Session,
    offset: Offset = 0,
    limit: Annotated[int, typer.Option(help="How many to show.", metavar="N", min=1, max=MAX_PAGE)] = 100,
) -> Shown:
    """All APIs in the order of registration."""
    with session.printer.waiting("reading"):
        page = session.client.list_apis(offset, limit)
    return Shown(page.as_dict(), lambda: _list(page.apis, page.total, offset))


@command(app, "show")
def show(session: Session, api: ApiName) -> Shown:
    """One API with its plans, meters and promise."""
    with session.printer.waiting("reading"):
        found = session.client.get_api(api)
    return Shown(found.as_dict(), lambda: _show(found))


@command(app, "days")
def days(session: Session, api: ApiName) -> Shown:
    """What an API earned on each of its last 64 days, and until when that waits under a promise."""
    with session.printer.waiting("reading"):
        found = session.client.get_api_days(api)
    return Shown([each.as_dict() for each in found], lambda: _days(found))


def _days(found: Sequence[ApiDay]) -> RenderableType:
    if not found:
        return Text("no calls on the last 64 days")
    scale = Scale.of(each.earned_wei for each in found)
    rows = [
        (
            day_text(each.day_id),
            f"{each.calls:,}",
            scale.number(each.earned_wei),
            # A day has matured when it and the days for which its earnings wait are over.
            day_text(each.day_id + each.payout_days + 1) if each.payout_days else "-",
        )
        for each in found
    ]
    return table("day (UTC)", right("calls"), right(f"earned {scale.unit.name}"), "waits until", rows=rows)


def _list(apis: tuple[Api, ...], total: int, offset: int) -> RenderableType:
    if not apis:
        return Text("no API is registered" if not offset else f"there are {total} APIs")
    rows = (
        (
            each.api_name,
            format_wei(each.plans[0].cost_per_call_wei),
            _limit(each.plans[0].daily_limit_calls),
            str(len(each.plans)),
            "active" if each.active else "paused",
            short(each.operator),
        )
        for each in apis
    )
    drawn = table("API", right("a call"), right("a day"), right("plans"), "status", "operator", rows=rows)
    shown = offset + len(apis)
    return drawn if shown >= total else Group(drawn, Text(f"{shown} of {total}; go on with --offset {shown}"))


def _show(api: ApiDetails) -> RenderableType:
    facts = [("operator", api.operator), ("status", "active" if api.active else "paused")]
    if api.proposed_operator:
        facts.append(("offered to", api.proposed_operator))
    facts.append(("meters", "\n".join(api.meters) or "none"))
    facts.append(("next settlement", str(api.next_sequence)))
    if api.promise:
        wait = f"earnings wait {counted(api.promise.payout_days, 'day')}"
        facts.append(("promise", f"{wait}, a court may refund {api.promise.max_refund_percent}%"))
        facts.append(("court", api.promise.court))
    rows = ((each.plan_name, format_wei(each.cost_per_call_wei, exact=True), *_plan_limits(each)) for each in api.plans)
    plans = table("plan", right("a call"), right("calls a day"), right("calls a month"), rows=rows)
    return Group(Text(api.api_name, style="bold"), pairs(facts), Text(""), plans)


def _plan_limits(plan: Plan) -> tuple[str, str]:
    return _limit(plan.daily_limit_calls), _limit(plan.monthly_limit_calls)


def _limit(calls: int) -> str:
    return f"{calls:,}" if calls else "no limit"


def _limits(daily: int, monthly: int) -> str:
    return f"{_limit(daily)} a day, {_limit(monthly)} a month"
