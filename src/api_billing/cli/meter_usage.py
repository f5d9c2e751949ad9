"""`api-billing meter usage|batches`: what was used, and what of it is on its way to settlement."""

from __future__ import annotations

import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.cli.drawing import counted, right, sparkline, table
from api_billing.cli.meter_session import Desk, instant_text, meter_command, paged, plain
from api_billing.cli.output import Shown
from api_billing.cli.values import ApiName, day_text
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from api_billing.amounts import Currency, Scale
    from api_billing.metering.ledger.batch_operations import Batch
    from api_billing.metering.ledger.operations import UsageDay

_BAR_CELLS: Final = 30
_MAX_DAYS: Final = 3_660
_PAGE: Final = 50
_RECORDS: Final = 1_000


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    meter_command(app, "usage")(usage)
    meter_command(app, "batches")(batches)


def usage(
    desk: Desk,
    consumer: Annotated[str, typer.Option(metavar="CONSUMER", help="Only this consumer's.")] = "",
    api: Annotated[str, typer.Option(metavar="API", help="Only of this API.")] = "",
    days: Annotated[int, typer.Option(metavar="N", help="How many days, today included.", min=1, max=_MAX_DAYS)] = 30,
    month: Annotated[str, typer.Option(metavar="MONTH", help="Of this month instead: 2026-11 (UTC).")] = "",
    start: Annotated[str, typer.Option("--from", metavar="DAY", help="From this day on: 2026-11-01.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="DAY", help="Up to this day, included.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, with amounts in the currency.")] = False,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="Also count requests served for receipts, in the records that are kept.")
    ] = False,
) -> Shown | None:
    """Settled requests of each API and day, with a chart; every consumer's unless one is named."""
    from api_billing.metering.clock import DAY_MS
    from api_billing.metering.ledger.operations import SumUsage, UsageDay

    consumer = desk.consumer(consumer)
    first, today = _days(desk.meter.now_ms() // DAY_MS, days, month, start, until)
    with desk.printer.waiting("reading"):
        found = desk.store.call(SumUsage(consumer, api, max(first, 0), today))
        redeemed = _redeemed(desk, consumer, api, max(first, 0), today) if receipts else Counter()
    found = (*found, *(UsageDay(*key, 0, 0, 0) for key in redeemed.keys() - {_key(each) for each in found}))
    data = [
        {
            "api": each.api,
            "consumer": each.consumer,
            "day": each.day,
            "calls": each.calls,
            "units": each.units,
            "charged_wei": each.charged_wei,
            "uncollected_wei": each.uncollected_wei,
            **({"receipt_calls": redeemed[_key(each)]} if receipts else {}),
        }
        for each in sorted(found, key=_key)
    ]
    if as_csv:
        if desk.printer.as_json:
            raise InvalidInput("--csv or --json, not both")
        sys.stdout.write(_csv(data, desk.currency, receipts))
        return None
    used = [each for each in found if each.calls]

    def draw() -> RenderableType:
        drawn = draw_usage(used, first, today, desk.currency, ascii_only=desk.printer.ascii_only)
        if not receipts:
            return drawn
        return Group(drawn, Text(f"{counted(redeemed.total(), 'call')} with a receipt, billed by the contract"))

    return Shown(data, draw)


def _days(today: int, days: int, month: str, start: str, until: str) -> tuple[int, int]:
    """The first and the last day that are asked for. Raises: InvalidInput."""
    from api_billing.metering.statements import Days

    if month:
        if start or until:
            raise InvalidInput("--month, or --from and --until")
        return Days.of_month(month)
    last = _day(until) if until else today
    first = _day(start) if start else last - days + 1
    if not 0 <= last - first < _MAX_DAYS:
        raise InvalidInput(f"--from is a day before --until, at most {_MAX_DAYS:,} days")
    return first, last


def _day(text: str) -> int:
    from api_billing.metering.clock import day_of

    try:
        return day_of(date.fromisoformat(text))
    except ValueError:
        raise InvalidInput(f"{text!r} is no day: write it as 2026-11-01") from None


def _csv(data: Sequence[dict[str, Any]], currency: Currency, receipts: bool) -> str:
    """One line a consumer, API and day; what a spreadsheet would take for a formula is a text."""
    out = StringIO()
    lines = csv.writer(out, lineterminator="\n")
    code, last = currency.code, ["calls with a receipt"] if receipts else []
    lines.writerow(["day", "consumer", "api", "calls", "units", f"charged {code}", f"uncollected {code}", *last])
    for each in data:
        names = [f"'{name}" if name[:1] in "=+-@" else name for name in (plain(each["consumer"]), plain(each["api"]))]
        amounts = [_decimal(each[name], currency.decimals) for name in ("charged_wei", "uncollected_wei")]
        redeemed = [each["receipt_calls"] for _ in last]
        lines.writerow([day_text(each["day"]), *names, each["calls"], each["units"], *amounts, *redeemed])
    return out.getvalue()


def _decimal(amount: int, decimals: int) -> str:
    """An amount in the currency, exactly."""
    whole, part = divmod(amount, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0") if part else str(whole)


def _key(day: UsageDay) -> tuple[str, str, int]:
    return day.api, day.consumer, day.day


def _redeemed(desk: Desk, consumer: str, api: str, first: int, last: int) -> Counter[tuple[str, str, int]]:
    """How many requests were served for receipts, by API, consumer and day; pruned records are not among them."""
    from api_billing.metering.clock import DAY_MS
    from api_billing.metering.ledger.operations import ListRecords

    counts: Counter[tuple[str, str, int]] = Counter()
    until_ms = (last + 1) * DAY_MS
    query = ListRecords(consumer, api, first * DAY_MS, until_ms, states=("redeemed",), limit=_RECORDS)
    while page := desk.store.call(query):
        counts.update((record.api, record.consumer, record.at_ms // DAY_MS) for record in page)
        query = replace(query, after=page[-1].record_id)
    return counts


def batches(
    desk: Desk,
    api: ApiName,
    after: Annotated[int, typer.Option(metavar="N", help="Only those with a higher sequence.", min=0)] = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="How many, oldest first.", min=1, max=1_000)] = _PAGE,
) -> Shown:
    """Batches of settled usage that were cut for settlement on the chain: the outbox of an API."""
    from api_billing.metering.ledger.batch_operations import ListBatches

    found = desk.store.call(ListBatches(api, after, limit))
    data = [
        {
            "api": each.api,
            "sequence": each.sequence,
            "created_ms": each.created_ms,
            "records": each.records,
            "root": each.root,
            "lines": [line_data(line) for line in each.lines],
        }
        for each in found
    ]
    last = found[-1].sequence if len(found) == limit else None
    return Shown(data, lambda: paged(_batches(found, desk.currency), last))


def line_data(line: Any) -> dict[str, Any]:
    """A line of a batch for JSON; one of a session with its channel, and what its voucher is for once it has one."""
    told = {
        "account": line.account,
        "consumer": line.consumer,
        "day": line.day,
        "calls": line.calls,
        "amount_wei": line.amount_wei,
    }
    if not line.channel:
        return told
    signed_wei = None if line.voucher is None else line.voucher.cumulative_wei
    return {**told, "channel": line.channel, "signed_wei": signed_wei, "close": line.close}


def draw_usage(
    found: Sequence[UsageDay], first: int, today: int, currency: Currency, *, ascii_only: bool
) -> RenderableType:
    """A table of APIs with a sparkline each, and a chart of the days that were used."""
    if not found:
        return Text("no usage on these days")
    scale = currency.scale([sum(each.charged_wei for each in found)])
    parts: list[RenderableType] = [_by_api(found, first, today, scale, ascii_only), Text("")]
    parts.append(_by_day(found, scale, ascii_only))
    total = f"{counted(sum(each.calls for each in found), 'call')}, {scale.text(sum(e.charged_wei for e in found))}"
    missing = sum(each.uncollected_wei for each in found)
    lost = f"; {scale.text(missing)} more than their credit" if missing else ""
    return Group(*parts, Text(f"\n{total}{lost}, {day_text(first)} to {day_text(today)}"))


def _by_api(found: Sequence[UsageDay], first: int, today: int, scale: Scale, ascii_only: bool) -> RenderableType:
    by_api: dict[str, list[UsageDay]] = defaultdict(list)
    for each in found:
        by_api[each.api].append(each)
    rows = []
    for api, used in by_api.items():
        calls: dict[int, int] = defaultdict(int)
        for each in used:
            calls[each.day] += each.calls
        rows.append(
            (
                plain(api),
                f"{len({each.consumer for each in used}):,}",
                f"{sum(calls.values()):,}",
                scale.number(sum(each.charged_wei for each in used)),
                sparkline(
                    [calls[day] for day in range(max(first, today - _BAR_CELLS + 1), today + 1)], ascii_only=ascii_only
                ),
            )
        )
    return table("API", right("consumers"), right("calls"), right(f"charged {scale.unit.name}"), "lately", rows=rows)


def _by_day(found: Sequence[UsageDay], scale: Scale, ascii_only: bool) -> RenderableType:
    days: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for each in found:
        calls, wei = days[each.day]
        days[each.day] = (calls + each.calls, wei + each.charged_wei)
    most = max(calls for calls, _ in days.values())
    rows = [
        (
            day_text(day),
            f"{calls:,}",
            scale.number(wei),
            ("#" if ascii_only else "█") * max(calls * _BAR_CELLS // most, 1),
        )
        for day, (calls, wei) in sorted(days.items())
    ]
    return table("day (UTC)", right("calls"), right(f"charged {scale.unit.name}"), "", rows=rows)


def _batches(found: Sequence[Batch], currency: Currency) -> RenderableType:
    if not found:
        return "no batches"
    scale = currency.scale(line.amount_wei for each in found for line in each.lines)
    rows = [
        (
            str(each.sequence),
            instant_text(each.created_ms),
            f"{each.records:,}",
            f"{len(each.lines):,}",
            scale.number(sum(line.amount_wei for line in each.lines)),
            f"{each.root[:16]}..",
        )
        for each in found
    ]
    columns = (right("no"), "cut", right("requests"), right("lines"), right(f"amount {scale.unit.name}"), "root")
    return table(*columns, rows=rows)
