"""`api-billing meter limits …`: limits of requests, changed while they are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from api_billing.cli.drawing import table
from api_billing.cli.meter_session import Desk, meter_command, plain
from api_billing.cli.output import Shown
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api_billing.amounts import Currency
    from api_billing.metering.limits.limits import Limit

app = typer.Typer(
    no_args_is_help=True, help="Limit requests to an API while it is served, in place of what its code says."
)

Api = Annotated[str, typer.Argument(metavar="API", help="Name of the API")]


@meter_command(app, "list")
def list_(desk: Desk, api: Annotated[str, typer.Option(metavar="API", help="Only of this API.")] = "") -> Shown:
    """Limits that were set; those in an API's code are not among them."""
    from api_billing.metering.ledger.limit_operations import ListLimits

    return _shown(desk, desk.store.call(ListLimits(api)).by_api)


@meter_command(app, "set", makes=True)
def set_(
    desk: Desk,
    api: Api,
    limit: Annotated[
        str, typer.Argument(metavar="LIMIT", help="Such as '100/minute; per=address; on=api' or '0.5 gen/day'")
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What it is called, such as the name of one in code to replace.")
    ] = "",
) -> Shown:
    """Set a limit of an API from the next request on, in the place of the one of its name, or beside the others.

    It takes nothing over of the one whose place it has: window=, per=, on= and tier. are to be given again.
    """
    from api_billing.metering.ledger.operations import ListRecords

    desk.meter.set_limit(api, limit, name=name)
    if not desk.store.call(ListRecords(api=api, limit=1)):
        desk.printer.note(f"there was no request to {plain(api)} yet: is that its name in the code?")
    return _shown(desk, {api: desk.meter.limits(api)})


@meter_command(app, "remove")
def remove(
    desk: Desk, api: Api, name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the limit")]
) -> Shown:
    """Take back a limit that was set; one of its name in code holds again."""
    if not desk.meter.remove_limit(api, name):
        raise InvalidInput(f"no limit {name!r} was set for {plain(api)}", hint="see: api-billing meter limits list")
    return _shown(desk, {api: desk.meter.limits(api)})


def _shown(desk: Desk, by_api: Mapping[str, Sequence[Limit]]) -> Shown:
    from api_billing.metering.ledger.documents import limit_to_object

    found = [(api, limit) for api, limits in by_api.items() for limit in limits]
    data: list[dict[str, Any]] = [{"api": api, **limit_to_object(limit)} for api, limit in found]
    return Shown(data, lambda: _drawn(found, desk.meter.currency))


def _drawn(found: Sequence[tuple[str, Limit]], currency: Currency) -> RenderableType:
    if not found:
        return "no limits were set; those in code hold"
    return table(
        "api", "limit", "at most", "window", "of each", "on", "tiers",
        rows=[
            (
                plain(api),
                limit.name,
                f"{_amount(limit.amount, limit, currency)} per {limit.length}",
                f"{limit.window}, burst {_amount(limit.burst, limit, currency)}" if limit.burst else limit.window,
                limit.per,
                limit.group or limit.on,
                ", ".join(
                    f"{plain(tier)} {'no limit' if amount is None else _amount(amount, limit, currency)}"
                    for tier, amount in limit.by_tier.items()
                ) or "-",
            )
            for api, limit in found
        ],
    )  # fmt: skip


def _amount(value: int, limit: Limit, currency: Currency) -> str:
    return currency.text(value, exact=True) if limit.unit == "wei" else f"{value:,}"
