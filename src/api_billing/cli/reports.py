"""What there is to read: the usage report, history, notices, solvency; and `watch`, the report as it changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import counted, pairs, right, sparkline, table, usage_bar
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.cli.values import After, ApiName, Consumer, Whose, WhoseReport, day_text, either, moment_text
from api_billing.contract_api import DAY_SECONDS, HISTORY_DAYS, KEPT, MAX_PAGE, NoticeKind, in_words
from api_billing.results import ApiUsage, DayUsage, Notice, Solvency, UsageReport

SPARKLINE_DAYS: Final = 30
_FASTEST_WATCH_SECONDS: Final = 2.0

History = Mapping[str, Sequence[DayUsage]]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "report")(report)
    command(app, "history")(history)
    command(app, "notices")(notices)
    command(app, "solvency")(solvency)
    command(app, "watch")(watch)


def report(session: Session, consumer: WhoseReport = None) -> Shown:
    """A consumer's credit and usage: what is used of every limit, and the last 30 days."""
    address = session.address(consumer)
    with session.printer.waiting("reading"):
        found = session.client.get_whole_usage_report(address)
        days = _histories(session, found)
    data = {**found.as_dict(), "history": {name: [day.as_dict() for day in used] for name, used in days.items()}}
    return Shown(data, lambda: draw_report(found, days, ascii_only=session.printer.ascii_only))


def history(
    session: Session,
    api: ApiName,
    consumer: Consumer = None,
    days: Annotated[
        int, typer.Option(metavar="N", help="How many days, today included.", min=1, max=HISTORY_DAYS)
    ] = 30,
) -> Shown:
    """What a consumer used of an API, day by day."""
    address = session.address(consumer)
    with session.printer.waiting("reading"):
        today = session.client.connection.now() // DAY_SECONDS
        used = session.client.get_usage_history(address, api, today - days + 1, today)
    return Shown([day.as_dict() for day in used], lambda: _history(used, session.printer.ascii_only))


def notices(
    session: Session,
    who: Whose = None,
    consumer: Consumer = None,
    after: After = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="How many, the oldest first.", min=1, max=KEPT)] = KEPT,
) -> Shown:
    """Refusals, price changes and low credit that a consumer was told of."""
    address = session.address(either(who, consumer))
    with session.printer.waiting("reading"):
        found = session.client.list_notices(address, after, limit)
    return Shown([each.as_dict() for each in found], lambda: _notices(found))


def solvency(session: Session) -> Shown:
    """What the contract holds and owes."""
    with session.printer.waiting("reading"):
        found = session.client.get_solvency()
    return Shown(found.as_dict(), lambda: _solvency(found))


def watch(
    session: Session,
    consumer: WhoseReport = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Pause between two looks.", min=_FASTEST_WATCH_SECONDS)
    ] = 3.0,
    count: Annotated[int, typer.Option(metavar="N", help="End after so many looks; 0: with Ctrl-C.", min=0)] = 0,
) -> None:
    """The usage report as it changes, and new notices; with --json a line for every look."""
    address = session.address(consumer)
    watcher = _Watcher(session, address)
    if session.printer.as_json or not session.printer.out.is_terminal:
        watcher.print_looks(interval, count)
    else:
        watcher.draw_looks(interval, count)


class _Watcher:
    """Two reads a look: with the shortest pause that is 10 in 10 seconds, half of what hosted nodes allow."""

    def __init__(self, session: Session, address: str) -> None:
        self._session, self._address = session, address
        self._notices: list[Notice] = []
        self._seen: dict[str, Any] = {}
        self.looks = 0

    def draw_looks(self, interval: float, count: int) -> None:
        """Draw every look in place of the one before."""
        from rich.live import Live

        printer = self._session.printer
        with Live(console=printer.out, auto_refresh=False, screen=False) as live:
            for _ in self._each(interval, count):
                live.update(self._drawn(printer.ascii_only), refresh=True)

    def print_looks(self, interval: float, count: int) -> None:
        """Print every look as JSON, or as text when something has changed."""
        printer = self._session.printer
        for data, changed in self._each(interval, count):
            if printer.as_json:
                printer.json(data)
            elif changed:
                printer.text(self._drawn(printer.ascii_only))

    def _each(self, interval: float, count: int) -> Any:
        while True:
            report = self._session.client.get_whole_usage_report(self._address)
            last = self._notices[-1].number if self._notices else max(report.notices - 5, 0)
            new = self._session.client.list_notices(self._address, last) if report.notices > last else ()
            self._notices = [*self._notices, *new][-5:]
            self._report, self.looks = report, self.looks + 1
            data = {**report.as_dict(), "new_notices": [each.as_dict() for each in new]}
            yield data, report.as_dict() != self._seen
            self._seen = report.as_dict()
            if count and self.looks >= count:
                return
            time.sleep(interval)

    def _drawn(self, ascii_only: bool) -> RenderableType:
        drawn = draw_report(self._report, {}, ascii_only=ascii_only)
        return Group(drawn, Text(""), _notices(tuple(self._notices))) if self._notices else drawn


def draw_report(found: UsageReport, days: History, *, ascii_only: bool) -> RenderableType:
    """The report for a person."""
    credit = Text(f"{format_wei(found.credit_balance_wei)} free, {format_wei(found.held_wei)} held")
    if found.low_credit:
        credit.append("  LOW: top up", style="bold red")
    facts = [("consumer", Text(found.consumer)), ("credit", credit)]
    facts += [("day", Text(f"{day_text(found.day_id)}, until midnight UTC")), ("notices", Text(f"{found.notices:,}"))]
    parts: list[RenderableType] = [Text("Usage report", style="bold"), pairs(facts)]
    for usage in found.apis:
        parts += [Text(""), *_draw_api(usage, days.get(usage.api_name), found.day_id, ascii_only)]
    if not found.apis:
        parts += [Text(""), Text("no subscriptions yet; see: api-billing api list")]
    return Group(*parts)


def _draw_api(usage: ApiUsage, days: Sequence[DayUsage] | None, today: int, ascii_only: bool) -> list[RenderableType]:
    price = format_wei(usage.accepted_price_wei, exact=True)
    title = Text.assemble((usage.api_name, "bold"), f"  plan {usage.plan_name}, {price} a call")
    for warning in _warnings(usage):
        title.append(f"  {warning}", style="bold yellow")
    rows = [
        ("calls today", _used(usage.calls_today, usage.api_daily_limit_calls, ascii_only)),
        ("calls this month", _used(usage.calls_month, usage.api_monthly_limit_calls, ascii_only)),
        ("spent today", _spent(usage, ascii_only)),
    ]
    if usage.hold_wei:
        held = f"{format_wei(usage.hold_wei)} until {moment_text(usage.hold_expires_at)}"
        rows.append(("held", Text(f"{held}, for a session" if usage.signer else held)))
    if days is not None:
        rows.append((f"last {SPARKLINE_DAYS} days", _sparkline(days, today, ascii_only)))
    return [title, pairs(rows)]


def _warnings(usage: ApiUsage) -> list[str]:
    found = [] if usage.active else ["PAUSED"]
    if not usage.subscribed:
        found.append("ENDED")
    elif usage.cost_per_call_wei > usage.accepted_price_wei:
        found.append(f"PRICE ROSE to {format_wei(usage.cost_per_call_wei, exact=True)}: subscribe again")
    return found


def _used(calls: int, limit: int, ascii_only: bool) -> Text:
    if not limit:
        return Text(f"{calls:,}, no limit")
    return usage_bar(calls, limit, ascii_only=ascii_only).append(f"  {calls:,} of {limit:,}")


def _spent(usage: ApiUsage, ascii_only: bool) -> Text:
    cap = usage.consumer_max_daily_spend_wei
    scale = Scale.of([usage.spend_today_wei, cap])
    bar = usage_bar(usage.spend_today_wei, cap, ascii_only=ascii_only)
    return bar.append(f"  {scale.number(usage.spend_today_wei)} of {scale.text(cap)}")


def _sparkline(days: Sequence[DayUsage], today: int, ascii_only: bool) -> Text:
    calls = {day.day_id: day.calls for day in days}
    line = sparkline([calls.get(day, 0) for day in range(today - SPARKLINE_DAYS + 1, today + 1)], ascii_only=ascii_only)
    spend = format_wei(sum(day.spend_wei for day in days))
    edge = "|" if ascii_only else "▏"
    return Text(f"{edge}{line}{edge}  {counted(sum(calls.values()), 'call')}, {spend}")


def _histories(session: Session, found: UsageReport) -> dict[str, tuple[DayUsage, ...]]:
    """Of all subscriptions, which come in the order of the report, read page by page."""
    days: dict[str, tuple[DayUsage, ...]] = {usage.api_name: () for usage in found.apis}
    for offset in range(0, len(found.apis), MAX_PAGE):
        span = found.day_id - SPARKLINE_DAYS + 1, found.day_id
        for day in session.client.get_usage_history(found.consumer, "", *span, offset):
            days[day.api_name] = (*days.get(day.api_name, ()), day)
    return days


def _history(used: Sequence[DayUsage], ascii_only: bool) -> RenderableType:
    if not used:
        return Text("no usage on these days")
    scale, most = Scale.of(day.spend_wei for day in used), max(day.calls for day in used)
    rows = [
        (
            Text(day_text(day.day_id)),
            Text(f"{day.calls:,}"),
            Text(scale.number(day.spend_wei)),
            Text(("#" if ascii_only else "█") * max(day.calls * 30 // most, 1)),
        )
        for day in used
    ]
    total = f"{counted(sum(day.calls for day in used), 'call')}, {scale.text(sum(day.spend_wei for day in used))}"
    drawn = table("day (UTC)", right("calls"), right(f"spent {scale.unit.name}"), "", rows=rows)
    return Group(drawn, Text(f"\n{total} on {counted(len(used), 'day')}"))


def _notices(found: Sequence[Notice]) -> RenderableType:
    if not found:
        return Text("no notices")
    rows = [(str(each.number), moment_text(each.at), each.api_name or "-", _notice(each)) for each in found]
    return table(right("no"), "when", "API", "what", rows=rows)


def _notice(each: Notice) -> str:
    if each.kind == NoticeKind.LOW_CREDIT:
        return f"credit is low: {format_wei(each.amount_wei)} left"
    if each.kind == NoticeKind.REFUND:
        return f"{format_wei(each.amount_wei)} refunded"
    what = f"{counted(each.calls, 'call')} refused: {in_words(each.code)}"
    return f"{what}; {format_wei(each.amount_wei)} not billed" if each.kind == NoticeKind.SETTLEMENT else what


def _solvency(found: Solvency) -> RenderableType:
    amounts = found.as_dict()
    labels = {
        "balance_wei": "balance",
        "owed_wei": "owed",
        "surplus_wei": "surplus",
        "credit_wei": "of it credit",
        "held_wei": "of it held",
        "earnings_wei": "of it earnings",
        "deposited_wei": "ever deposited",
        "withdrawn_wei": "ever withdrawn",
        "refunded_wei": "ever refunded",
    }
    scale = Scale.of(amounts.values(), exact=True)
    rows = [(f"  {label}", scale.text(amounts[name])) for name, label in labels.items()]
    verdict = Text("solvent", style="green") if found.surplus_wei >= 0 else Text("INSOLVENT", style="bold red")
    return Group(verdict, table("", right("amount"), rows=rows))
