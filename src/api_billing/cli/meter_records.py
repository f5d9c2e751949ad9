"""`api-billing meter audit|prune`: the audit log, and what of it is past its time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.cli.drawing import counted, table
from api_billing.cli.meter_session import Desk, meter_command, paged, plain
from api_billing.cli.output import Shown
from api_billing.cli.values import unix_parser
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from api_billing.amounts import Currency
    from api_billing.metering.ledger.operations import ListRecords, Record, State

_STATES: Final = ("reserved", "settled", "redeemed", "released", "expired", "refused", "reset")
_PAGE: Final = 1_000
_LAG_MS: Final = 70_000  # how much later than its id's time a record may appear: services' clocks, and commits
_FASTEST_SECONDS: Final = 0.1
_COLUMNS: Final = ("when (UTC)", "consumer", "request", "state", "cost", "ms")
_WHOLE: Final = (0, 3, 4, 5)  # those of the columns whose words are not broken
_GAP: Final = 3

Since = Annotated[
    int | None, typer.Option(metavar="TIME", parser=unix_parser, help="Not before: 2026-01-15 or 2026-01-15T12:00Z.")
]
Until = Annotated[int | None, typer.Option(metavar="TIME", parser=unix_parser, help="Before this time.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    meter_command(app, "audit")(audit)
    meter_command(app, "prune")(prune)


def audit(
    desk: Desk,
    consumer: Annotated[str, typer.Option(metavar="CONSUMER", help="Only this consumer's.")] = "",
    api: Annotated[str, typer.Option(metavar="API", help="Only of this API.")] = "",
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help=f"Only {', '.join(_STATES)}; can be repeated.")
    ] = None,
    since: Since = None,
    until: Until = None,
    after: Annotated[str, typer.Option(metavar="ID", help="Only what is behind this record.")] = "",
    limit: Annotated[int, typer.Option(metavar="N", help="How many.", min=1, max=100_000)] = 100,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="In the order of time backwards.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with requests as they end, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Pause between two looks.", min=_FASTEST_SECONDS)
    ] = 1.0,
) -> Shown | None:
    """Requests, served and refused. With --json --follow one JSON document a line."""
    from api_billing.metering.ledger.operations import ListRecords

    wrong = [each for each in state or () if each not in _STATES]
    if wrong:
        raise InvalidInput(f"a state is one of {', '.join(_STATES)}, not {wrong[0]!r}")
    if follow and newest_first:
        raise InvalidInput("--follow or --newest-first, not both")
    query = ListRecords(
        desk.consumer(consumer),
        api,
        (since or 0) * 1000,
        until * 1000 if until is not None else 2**62,
        cast("tuple[State, ...]", tuple(state or ())),
        after,
        newest_first=newest_first,
    )
    if follow:
        _print_each(desk, query, interval, from_now=since is None and not after)
        return None
    found = list(_pages(desk, query, limit))
    cursor = found[-1].record_id if len(found) == limit else None
    data = {**desk.counted, "records": [record_data(each) for each in found], "next": cursor}
    return Shown(data, lambda: _drawn(found, cursor, desk.currency, desk.printer.out.width))


def prune(
    desk: Desk,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
) -> Shown:
    """Delete records past their tier's retention; those not yet in a batch stay when usage is settled on chain."""
    from api_billing.metering.clock import DAY_MS
    from api_billing.metering.ledger.consumer_operations import ListTiers
    from api_billing.metering.request.keeper import prune as delete

    now_ms = desk.meter.now_ms()
    keep_unbatched = bool(desk.meter.settings.contract)
    retention_ms = {tier.name: tier.retention_days * DAY_MS for tier in desk.store.call(ListTiers())}
    total: int | None = None
    if dry_run or desk.printer.err.is_terminal:
        with desk.progress("looking") as looked:
            total = sum(1 for _ in _past(desk, now_ms, retention_ms, keep_unbatched, looked))
    if dry_run:
        return Shown({"records": total, "dry_run": True}, f"{counted(total or 0, 'record')} would be deleted")
    with desk.progress("deleting", total) as done:
        terms: dict[str, Any] = {"keep_unbatched": keep_unbatched, "retention_ms": retention_ms, "progress": done}
        deleted = delete(desk.store, now_ms, **terms).records
    return Shown({"records": deleted, "dry_run": False}, f"{counted(deleted, 'record')} deleted")


class Follower:
    """Finds requests as they end, each once. A request is listed by when it began, and others end before it: so all
    since the oldest one that is still open is looked at again.
    """

    def __init__(self, desk: Desk, query: ListRecords) -> None:
        self._desk = desk
        self._query = query
        self._after = query.after
        self._seen: set[str] = set()

    def look(self) -> Iterator[Record]:
        """What has ended since the last look."""
        from dataclasses import replace

        from api_billing.metering.ledger.ids import first_id

        settled_by = first_id(max(0, self._desk.meter.now_ms() - _LAG_MS))
        cursor, waiting = self._after, False
        # All states, as one that is open now is to be found when it has ended.
        for record in _pages(self._desk, replace(self._query, states=(), after=self._after), None):
            if record.state == "reserved":
                waiting = True
            elif record.record_id not in self._seen:
                self._seen.add(record.record_id)
                if not self._query.states or record.state in self._query.states:
                    yield record
            if not waiting and record.record_id < settled_by:
                cursor = record.record_id
        self._after = cursor
        self._seen = {each for each in self._seen if each > cursor}


def _print_each(desk: Desk, query: ListRecords, interval: float, *, from_now: bool) -> None:
    from dataclasses import replace

    from api_billing.metering.ledger.ids import first_id

    if from_now:
        now_ms = desk.meter.now_ms()
        query = replace(query, since_ms=now_ms, after=first_id(max(0, now_ms - _LAG_MS)))
    follower = Follower(desk, query)
    while True:
        for record in follower.look():
            if desk.printer.as_json:
                desk.printer.json(record_data(record))
            else:
                desk.printer.text(Text("  ".join(_cells(record, desk.currency))))
        if query.until_ms <= desk.meter.now_ms():
            return
        time.sleep(interval)


def _pages(desk: Desk, query: ListRecords, limit: int | None) -> Iterator[Record]:
    """Records of a query, page by page, at most so many."""
    from dataclasses import replace

    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = desk.store.call(replace(query, limit=size))
        yield from page
        if len(page) < size:
            return
        left = None if left is None else left - len(page)
        query = replace(query, after=page[-1].record_id)


def _past(desk: Desk, now_ms: int, retention_ms: dict[str, int], keep_unbatched: bool, looked: Any) -> Iterator[Record]:
    from api_billing.metering.ledger.operations import ListRecords, Prune

    rule = Prune(now_ms, retention_ms, keep_unbatched=keep_unbatched)
    shortest_ms = min([*retention_ms.values(), rule.default_ms])
    for number, record in enumerate(_pages(desk, ListRecords(until_ms=max(0, now_ms - shortest_ms) + 1), None), 1):
        looked(number)
        if rule.is_past(record):
            yield record


def record_data(record: Record) -> dict[str, Any]:
    """A record for JSON; bodies, when they were kept, as text."""
    outcome = record.outcome
    bodies = {"request_body": outcome.request_body, "response_body": outcome.response_body}
    return {
        "id": record.record_id,
        "at_ms": record.at_ms,
        "ended_ms": record.ended_ms,
        "state": record.state,
        "api": record.api,
        "consumer": record.consumer,
        "account": record.account,
        "tier": record.tier,
        "method": record.method,
        "route": record.route,
        "request_id": record.request_id,
        "units": record.units,
        "estimate_wei": record.estimate_wei,
        "charged_wei": record.charged_wei,
        "uncollected_wei": record.uncollected_wei,
        "late": record.late,
        "code": record.code,
        "reason": record.reason,
        "status": outcome.status,
        "duration_ms": outcome.duration_ms,
        "response_bytes": outcome.response_bytes,
        "error": "" if record.reason else outcome.error,
        "tags": json.loads(outcome.tags) if outcome.tags else {},
        "batch": record.batch,
        **{name: body.decode("utf-8", "replace") for name, body in bodies.items() if body is not None},
    }


def _drawn(found: Sequence[Record], cursor: str | None, currency: Currency, width: int) -> RenderableType:
    from rich.table import Column

    if not found:
        return Text("no records")
    rows = [_cells(each, currency) for each in found]
    is_narrow = sum(max(map(len, cells)) + _GAP for cells in zip(*rows, strict=True)) - _GAP > width
    columns = [Column(name, no_wrap=at in _WHOLE, overflow="fold") for at, name in enumerate(_COLUMNS)]
    # Where it is narrow names and routes are to have room, and nobody is to look for half a code.
    stacked = ([_stacked(cell) if at in _WHOLE else cell for at, cell in enumerate(cells)] for cells in rows)
    drawn = table(*columns, rows=stacked if is_narrow else rows)
    return paged(drawn, cursor)


def _stacked(cell: str) -> Text:
    return Text(cell.replace(" ", "\n"))


def _cells(record: Record, currency: Currency) -> tuple[str, ...]:
    request = f"{record.api} {record.method} {record.route}".strip()
    note = json.loads(record.outcome.tags).get("note", "") if record.state == "reset" else ""
    ended = [record.code or record.state, record.reason, record.outcome.status, plain(note)]
    return (
        _stamp(record.at_ms),
        plain(record.consumer) or "-",
        plain(request),
        " ".join(str(part) for part in ended if part),
        currency.text(record.charged_wei) if record.state == "settled" else "-",
        f"{record.outcome.duration_ms:,}" if record.ended_ms else "-",
    )


def _stamp(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms // 1000))
