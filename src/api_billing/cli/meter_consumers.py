"""`api-billing meter consumers|tier …`: who may ask, and which limits they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from api_billing.cli.drawing import right, table
from api_billing.cli.meter_session import ConsumerName, Desk, meter_command, paged, plain
from api_billing.cli.output import Shown
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api_billing.metering.limits.profile import Profile
    from api_billing.metering.limits.tiers import Tier

app = typer.Typer(no_args_is_help=True, help="Make, list and switch off consumers.")
tiers = typer.Typer(no_args_is_help=True, help="Define tiers, and put consumers into them.")

TierName = Annotated[
    str, typer.Option("--tier", metavar="TIER", help="free (the default), pro, premium, enterprise or an own one.")
]
_MAX_PAGE = 1_000


@meter_command(app, "add", makes=True)
def add(desk: Desk, consumer: ConsumerName, tier: TierName = "") -> Shown:
    """Make a consumer; one that exists stays as it is, and is refused with another tier."""
    from api_billing.metering.errors import IdConflict

    profile = desk.meter.add_consumer(consumer, tier=tier or "free")
    if tier not in ("", profile.tier.name):
        hint = f"see: api-billing meter tier assign {consumer} {tier}"
        raise IdConflict(f"{plain(consumer)} exists, with the tier {profile.tier.name}", hint=hint)
    return _shown(profile)


@meter_command(app, "list")
def list_(
    desk: Desk,
    after: Annotated[str, typer.Option(metavar="NAME", help="Only those behind this name.")] = "",
    limit: Annotated[int, typer.Option(metavar="N", help="How many.", min=1, max=_MAX_PAGE)] = 100,
) -> Shown:
    """Consumers in the order of their names."""
    from api_billing.metering.ledger.consumer_operations import ListProfiles

    found = desk.store.call(ListProfiles(after, limit))
    last = found[-1].consumer if len(found) == limit else None
    return Shown([_profile_data(each) for each in found], lambda: paged(_profiles(found), last))


@meter_command(app, "disable")
def disable(desk: Desk, consumer: ConsumerName) -> Shown:
    """Refuse a consumer's requests from now on; its keys, credit and usage stay."""
    return _shown(desk.meter.change_consumer(consumer, disabled=True))


@meter_command(app, "reset")
def reset(
    desk: Desk,
    consumer: ConsumerName,
    window: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a quota, budget or limit, as refusals tell it, or, with its --api, the text of a limit in"
            " code; month: the calls of the tier's month",
        ),
    ] = "month",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit log.")] = "",
    api: Annotated[str, typer.Option(metavar="API", help="Of requests to this API.")] = "",
    operation: Annotated[str, typer.Option(metavar="NAME", help="Of this operation; of limits: this route.")] = "",
    method: Annotated[str, typer.Option(metavar="METHOD", help="Of this method.")] = "",
    model: Annotated[str, typer.Option(metavar="NAME", help="Of this model.")] = "",
    key: Annotated[str, typer.Option(metavar="KEY", help="Of the API key of this id.")] = "",
    address: Annotated[str, typer.Option(metavar="IP", help="Of this address.")] = "",
) -> Shown:
    """Let what a consumer has used in the present window of a limit count no more; it is in the audit log.

    An anonymous client is called as there: ip:203.0.113.7. A limit in code that has no window now is not found.
    """
    given = {"api": api, "operation": operation, "method": method, "model": model, "key_id": key, "address": address}
    where: Any = {name: value for name, value in given.items() if value}
    was = desk.meter.reset_window(consumer, window, note=note, **where)
    text = f"{plain(window)} of {plain(consumer)} begins anew; it was {was:,}"
    return Shown({"consumer": consumer, "window": window, "was": was}, text)


@meter_command(app, "enable")
def enable(desk: Desk, consumer: ConsumerName) -> Shown:
    """Serve a consumer again that was disabled."""
    return _shown(desk.meter.change_consumer(consumer, disabled=False))


@meter_command(tiers, "set", makes=True)
def set_(
    desk: Desk,
    name: Annotated[str, typer.Argument(metavar="TIER", help="Name of the tier")],
    monthly_calls: Annotated[int | None, typer.Option(metavar="N", help="Calls a month.", min=0)] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Any number of calls a month.")] = False,
    retention_days: Annotated[
        int | None, typer.Option(metavar="N", help="How long audit records are kept (7, or as before).", min=0)
    ] = None,
) -> Shown:
    """Define a tier, or change what is given of it; it holds from its consumers' next requests on."""
    from api_billing.metering.ledger.consumer_operations import ListTiers, PutTier
    from api_billing.metering.limits.tiers import Tier

    if unlimited and monthly_calls is not None:
        raise InvalidInput("--monthly-calls or --unlimited, not both")
    was = next((each for each in desk.store.call(ListTiers()) if each.name == name), None)
    if was is None and not unlimited and monthly_calls is None:
        raise InvalidInput("a new tier needs --monthly-calls N or --unlimited")
    calls = None if unlimited else monthly_calls if monthly_calls is not None else was.monthly_calls if was else None
    days = retention_days if retention_days is not None else was.retention_days if was else 7
    try:
        tier = Tier(name, calls, days, was.quotas if was else ())
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    desk.store.call(PutTier(tier))
    return shown_tier(tier)


@meter_command(tiers, "list")
def list_tiers(desk: Desk) -> Shown:
    """All tiers."""
    from api_billing.metering.ledger.consumer_operations import ListTiers

    found = desk.store.call(ListTiers())
    return Shown([_tier_data(each) for each in found], lambda: _tiers(found))


@meter_command(tiers, "assign")
def assign(
    desk: Desk,
    consumer: ConsumerName,
    tier: Annotated[str, typer.Argument(metavar="TIER", help="Name of the tier")],
) -> Shown:
    """Put a consumer into a tier, from its next request on; what it used this month stays counted."""
    return _shown(desk.meter.change_consumer(consumer, tier=tier))


def _shown(profile: Profile) -> Shown:
    return Shown(_profile_data(profile), lambda: _profiles([profile]))


def _profile_data(profile: Profile) -> dict[str, Any]:
    return {
        "consumer": profile.consumer,
        "tier": profile.tier.name,
        "disabled": profile.disabled,
        "quotas": [quota.name for quota in profile.quotas],
        "budgets": [budget.name for budget in profile.budgets],
    }


def _profiles(found: Sequence[Profile]) -> RenderableType:
    if not found:
        return "no consumers; make one with: api-billing meter consumers add NAME"
    rows = [
        (
            plain(each.consumer),
            each.tier.name,
            "disabled" if each.disabled else "served",
            ", ".join([*(quota.name for quota in each.quotas), *(budget.name for budget in each.budgets)]) or "-",
        )
        for each in found
    ]
    return table("consumer", "tier", "state", "own limits", rows=rows)


def shown_tier(tier: Tier) -> Shown:
    """A tier, as it is now."""
    return Shown(_tier_data(tier), lambda: _tiers([tier]))


def _tier_data(tier: Tier) -> dict[str, Any]:
    return {
        "tier": tier.name,
        "monthly_calls": tier.monthly_calls,
        "retention_days": tier.retention_days,
        "quotas": [quota.name for quota in tier.quotas],
    }


def _tiers(found: Sequence[Tier]) -> RenderableType:
    rows = [
        (
            each.name,
            "unlimited" if each.monthly_calls is None else f"{each.monthly_calls:,}",
            f"{each.retention_days:,} days",
            ", ".join([quota.name for quota in each.quotas]) or "-",
        )
        for each in found
    ]
    return table("tier", right("calls a month"), right("records kept"), "quotas", rows=rows)
