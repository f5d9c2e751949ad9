"""`api-billing meter quota|budget …`: what consumers may use in a window of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.cli.drawing import right, table, usage_bar
from api_billing.cli.meter_consumers import shown_tier
from api_billing.cli.meter_session import MONEY_HELP, ConsumerName, Desk, instant_text, meter_command, plain
from api_billing.cli.output import Shown
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api_billing.amounts import Currency
    from api_billing.metering.ledger.consumer_operations import PutProfile
    from api_billing.metering.limits.profile import Profile
    from api_billing.metering.limits.quotas import Budget, Quota
    from api_billing.metering.limits.windows import WindowCheck

quotas = typer.Typer(no_args_is_help=True, help="Limit the calls or the spending of a consumer in a window of time.")
budgets = typer.Typer(no_args_is_help=True, help="Warn, throttle or reject at shares of an amount of spending.")

LimitName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the limit, as header fields show it")]
PeriodName = Annotated[
    str, typer.Option("--per", metavar="PERIOD", help="second, minute, hour, day, week, month or year (UTC).")
]
Anchor = Annotated[
    str, typer.Option("--from", metavar="DAY", help="Day that windows begin on, as 2026-01-31; else the calendar's.")
]
OfTier = Annotated[bool, typer.Option("--tier", help="Of the tier of this name, so of all its consumers.")]
Spending = Annotated[str | None, typer.Option(metavar="AMOUNT", help=f"At most this is spent: {MONEY_HELP}.")]


@meter_command(quotas, "set")
def set_quota(
    desk: Desk,
    consumer: ConsumerName,
    name: LimitName,
    per: PeriodName,
    calls: Annotated[int | None, typer.Option(metavar="N", help="At most so many calls.", min=0)] = None,
    spending: Spending = None,
    start: Anchor = "",
    of_tier: OfTier = False,
) -> Shown:
    """Set a quota of a consumer, or change the one of this name; what is counted already stays counted."""
    from api_billing.metering.limits.quotas import Quota

    if (calls is None) == (spending is None):
        raise InvalidInput("a quota needs --calls N or --spending AMOUNT, and not both")
    limit, unit = (desk.amount(spending), "wei") if spending is not None else (calls, "calls")
    quota = _made(Quota, name, per, limit, unit=unit, anchor=_anchor(start))
    return _revised(desk, consumer, lambda was: (*_without(was, name), quota), of_tier)


@meter_command(quotas, "show")
def show_quotas(desk: Desk, consumer: ConsumerName) -> Shown:
    """What a consumer has used of every quota, its tier's included, and of budgets; not of those that each model or
    operation has its own of.
    """
    return _shown(desk, desk.meter.profile(consumer))


@meter_command(quotas, "remove")
def remove_quota(desk: Desk, consumer: ConsumerName, name: LimitName, of_tier: OfTier = False) -> Shown:
    """Remove a quota of a consumer; those of its tier stay."""

    def revise(was: tuple[Quota, ...]) -> tuple[Quota, ...]:
        left = _without(was, name)
        if len(left) == len(was):
            raise InvalidInput(f"{plain(consumer)} has no own quota {name!r}")
        return left

    return _revised(desk, consumer, revise, of_tier)


def _revised(desk: Desk, named: str, revise: Callable[[tuple[Quota, ...]], tuple[Quota, ...]], of_tier: bool) -> Shown:
    """Replace the quotas of a consumer, or a tier."""
    if not of_tier:
        profile = desk.meter.revise_consumer(named, lambda was: replace(was, quotas=revise(was.quotas)))
        return _shown(desk, profile)
    tier = next((each for each in desk.meter.tiers() if each.name == named), None)
    if tier is None:
        raise InvalidInput(f"no tier is called {named!r}", hint="see: api-billing meter tier list")
    tier = replace(tier, quotas=revise(tier.quotas))
    desk.meter.set_tier(tier)
    return shown_tier(tier)


@meter_command(budgets, "set")
def set_budget(
    desk: Desk,
    consumer: ConsumerName,
    name: LimitName,
    per: PeriodName,
    spending: Spending = None,
    warn: Annotated[list[int] | None, typer.Option(metavar="PERCENT", help="Send an alert at this share.")] = None,
    throttle: Annotated[int | None, typer.Option(metavar="PERCENT", help="Answer 429 from this share on.")] = None,
    reject: Annotated[
        int | None, typer.Option(metavar="PERCENT", help="Answer 402 from this share on; by default from 100.")
    ] = None,
    no_reject: Annotated[bool, typer.Option("--no-reject", help="Answer 402 at no share.")] = False,
    scope: Annotated[str, typer.Option(metavar="SCOPE", help="consumer, operation or model.")] = "consumer",
    only: Annotated[str, typer.Option(metavar="NAME", help="Only this operation or model; else each its own.")] = "",
    retry_after: Annotated[
        int, typer.Option(metavar="SECONDS", help="Retry-After of throttle; 0: the window's end.", min=0)
    ] = 0,
    start: Anchor = "",
) -> Shown:
    """Set a budget of a consumer, or change the one of this name. It rejects at 100 percent, and without shares warns
    at 80.
    """
    from api_billing.metering.limits.quotas import Budget, Step

    if spending is None:
        raise InvalidInput("a budget needs --spending AMOUNT")
    if no_reject and reject is not None:
        raise InvalidInput("--reject PERCENT or --no-reject, not both")
    is_default = not warn and throttle is None and reject is None and not no_reject
    shares = [(percent, "warn") for percent in warn or ([80] if is_default else [])]
    shares += [(throttle, "throttle")] if throttle is not None else []
    shares += [(100 if reject is None else reject, "reject")] if not no_reject else []
    steps = tuple(_made(Step, percent, action) for percent, action in shares)
    budget = _made(
        Budget,
        name,
        per,
        desk.amount(spending),
        steps,
        scope,
        only,
        anchor=_anchor(start),
        retry_after_seconds=retry_after,
    )
    return _shown_budgets(
        desk,
        desk.meter.revise_consumer(consumer, lambda was: replace(was, budgets=(*_without(was.budgets, name), budget))),
    )


@meter_command(budgets, "show")
def show_budgets(desk: Desk, consumer: ConsumerName) -> Shown:
    """The budgets of a consumer and what happens at their shares; `quota show` says what is used of the
    whole consumer's.
    """
    return _shown_budgets(desk, desk.meter.profile(consumer))


@meter_command(budgets, "remove")
def remove_budget(desk: Desk, consumer: ConsumerName, name: LimitName) -> Shown:
    """Remove a budget of a consumer."""

    def revise(was: PutProfile) -> PutProfile:
        left = _without(was.budgets, name)
        if len(left) == len(was.budgets):
            raise InvalidInput(f"{plain(consumer)} has no budget {name!r}")
        return replace(was, budgets=left)

    return _shown_budgets(desk, desk.meter.revise_consumer(consumer, revise))


def _without[LimitT: Quota | Budget](limits: Sequence[LimitT], name: str) -> tuple[LimitT, ...]:
    return tuple(each for each in limits if each.name != name)


def _made(kind: Any, *values: Any, **named: Any) -> Any:
    """A quota, budget or step of what the line says. Raises: InvalidSetting."""
    return kind(*values, **named)


def _anchor(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidInput(f"{text!r} is no day: write it as 2026-01-31") from None


def _shown(desk: Desk, profile: Profile) -> Shown:
    from api_billing.metering.ledger.operations import ReadCounts
    from api_billing.metering.limits.plan import make_plan

    plan = make_plan(profile, desk.meter.now_ms())
    counts = desk.store.call(ReadCounts(plan.checks))
    rows = list(zip(plan.checks, counts, strict=True))
    data = [
        {
            "name": check.name,
            "unit": check.unit,
            "limit": check.limit,
            "used": used,
            "remaining": None if check.limit is None else max(check.limit - used, 0),
            "starts_ms": check.starts_ms,
            "renews_ms": check.ends_ms,
        }
        for check, used in rows
    ]
    apart = [f"budget {each.name} is for each {each.scope}" for each in profile.budgets if each.scope != "consumer"]
    return Shown(data, lambda: _windows(rows, apart, desk.currency, ascii_only=desk.printer.ascii_only))


def _windows(
    rows: Sequence[tuple[WindowCheck, int]], apart: Sequence[str], currency: Currency, *, ascii_only: bool
) -> RenderableType:
    from rich.console import Group

    if not rows:
        return "\n".join(apart) or "nothing is limited"
    drawn = []
    for check, used in rows:
        limit = "no limit" if check.limit is None else _amount(check.limit, check.unit, currency)
        bar = Text("") if check.limit is None else usage_bar(used, check.limit, ascii_only=ascii_only)
        drawn.append((check.name, _amount(used, check.unit, currency), limit, bar, instant_text(check.ends_ms)))
    return Group(table("limit", right("used"), right("of"), "", "renews", rows=drawn), *map(Text, apart))


def _amount(value: int, unit: str, currency: Currency) -> str:
    return currency.text(value) if unit == "wei" else f"{value:,} calls"


def _shown_budgets(desk: Desk, profile: Profile) -> Shown:
    data = [
        {
            "name": each.name,
            "period": each.period,
            "limit_wei": each.most_wei,
            "steps": [{"percent": step.percent, "action": step.action} for step in each.steps],
            "scope": each.scope,
            "only": each.only,
            "from": each.anchor.isoformat() if each.anchor else None,
            "retry_after_seconds": each.retry_after_seconds,
        }
        for each in profile.budgets
    ]
    return Shown(data, lambda: _budgets(profile.budgets, desk.currency))


def _budgets(found: Sequence[Budget], currency: Currency) -> RenderableType:
    if not found:
        return "no budgets"
    rows = [
        (
            each.name,
            f"{currency.text(each.most_wei, exact=True)} a {each.period}",
            ", ".join(f"{step.action} at {step.percent} %" for step in each.steps),
            f"{each.scope} {plain(each.only)}".strip(),
        )
        for each in found
    ]
    return table("budget", "amount", "shares", "for each", rows=rows)
