"""`api-billing meter statement`: what a consumer used and paid in a month, to be read or printed."""

from __future__ import annotations

import shlex
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from api_billing.cli.drawing import pairs, right, table
from api_billing.cli.meter_session import ConsumerName, Desk, instant_text, meter_command, plain
from api_billing.cli.output import Shown
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api_billing.amounts import Currency
    from api_billing.metering.statements import Statement

_NOT_KNOWN: Final = "not known"
_PAGES: Final = (".html", ".htm")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    meter_command(app, "statement")(statement)


def statement(
    desk: Desk,
    consumer: ConsumerName,
    month: Annotated[str, typer.Option(metavar="MONTH", help="Which month: 2026-11 (UTC).")],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there: FILE.html is a page to be printed, FILE.txt text."),
    ] = None,
) -> Shown:
    """What a consumer was granted, used and paid in a month."""
    from api_billing.metering.statements import Days, make_statement
    from api_billing.metering.stores.steps import run

    name = desk.meter.profile(desk.consumer(consumer)).consumer
    account = "" if desk.meter.settings.contract else desk.meter.account_of("", name)
    made = run(make_statement(name, account, Days.of_month(month)), desk.store.call)
    data = _data(desk, made, month)
    if output is None:
        return Shown(data, lambda: _drawn(made, month, desk.currency))
    suffix = output.suffix.lower()
    if suffix not in ("", ".txt", *_PAGES):
        raise InvalidInput(
            f"a statement is no {suffix[1:]}: write it to a .html, to be printed, or a .txt",
            hint=f"as CSV: api-billing meter usage --consumer {shlex.quote(name)} --month {month} --csv",
        )
    is_page = suffix in _PAGES
    text = _page(made, month, desk.currency) if is_page else _plain_text(made, month, desk.currency)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{output} cannot be written: {error.strerror}") from error
    return Shown({**data, "output": str(output)}, f"statement of {plain(name)} for {month}: {output}")


def _data(desk: Desk, made: Statement, month: str) -> dict[str, Any]:
    return {
        "consumer": made.consumer,
        "month": month,
        **desk.counted,
        "opening_wei": made.opening_wei,
        "closing_wei": made.closing_wei,
        "grants": [each._asdict() for each in made.grants],
        "usage": [each._asdict() for each in made.by_api],
        "total": made.total._asdict(),
    }


def _sums(made: Statement, currency: Currency) -> list[tuple[str, str]]:
    """What it comes to, from the beginning to the end."""

    def text(amount: int | None) -> str:
        return _NOT_KNOWN if amount is None else currency.text(amount, exact=True)

    return [
        ("credit at the beginning", text(made.opening_wei)),
        ("granted", text(made.granted_wei)),
        ("charged", text(made.total.charged_wei)),
        ("credit at the end", text(made.closing_wei)),
        ("cost more than there was", text(made.total.uncollected_wei)),
    ]


_USAGE: Final = ("API", "calls", "units", "charged", "uncollected")
_GRANTS: Final = ("when", "grant", "amount", "note")


def _usage(made: Statement, currency: Currency) -> list[tuple[str, ...]]:
    return [
        (
            plain(each.api),
            f"{each.calls:,}",
            f"{each.units:,}",
            currency.text(each.charged_wei, exact=True),
            currency.text(each.uncollected_wei, exact=True),
        )
        for each in made.by_api
    ]


def _grants(made: Statement, currency: Currency) -> list[tuple[str, ...]]:
    return [
        (instant_text(each.at_ms), plain(each.grant_id), currency.text(each.amount_wei, exact=True), plain(each.note))
        for each in made.grants
    ]


def _drawn(made: Statement, month: str, currency: Currency) -> RenderableType:
    parts: list[RenderableType] = [Text(f"Statement of {plain(made.consumer)} for {month}, {made.days} (UTC)\n")]
    parts.append(pairs(_sums(made, currency)))
    if made.usage:
        name, *numbers = _USAGE
        parts += [Text(""), table(name, *map(right, numbers), rows=_usage(made, currency))]
    if made.grants:
        parts += [Text(""), table(*_GRANTS, rows=_grants(made, currency))]
    return Group(*parts)


def _plain_text(made: Statement, month: str, currency: Currency) -> str:
    """As lines, whatever the width of a terminal."""
    lines = [f"Statement of {plain(made.consumer)} for {month}, {made.days} (UTC)", ""]
    lines += [f"{name}: {amount}" for name, amount in _sums(made, currency)]
    for head, rows in ((_USAGE, _usage(made, currency)), (_GRANTS, _grants(made, currency))):
        if rows:
            lines += ["", *("  ".join(row).rstrip() for row in _aligned([head, *rows]))]
    return "\n".join(lines) + "\n"


def _aligned(rows: list[tuple[str, ...]]) -> list[list[str]]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#111}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ccc;overflow-wrap:anywhere}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}thead{display:table-header-group}"
    "tr{break-inside:avoid}@page{margin:2cm}@media print{body{margin:0;max-width:none;padding:0}}"
)


def _page(made: Statement, month: str, currency: Currency) -> str:
    """A page on its own: no scripts, nothing loaded from elsewhere."""
    title = escape(f"Statement of {plain(made.consumer)} for {month}")
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1><p>{escape(str(made.days))} (UTC)</p>",
        _html_table((), _sums(made, currency), (1,)),
    ]
    if made.usage:
        parts += ["<h2>Usage</h2>", _html_table(_USAGE, _usage(made, currency), (1, 2, 3, 4))]
    if made.grants:
        parts += ["<h2>Grants</h2>", _html_table(_GRANTS, _grants(made, currency), (2,))]
    return "\n".join([*parts, "</body></html>\n"])


def _html_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right_: tuple[int, ...]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        marked = [f"<{tag}{' class=n' if at in right_ else ''}>{escape(cell)}</{tag}>" for at, cell in enumerate(cells)]
        return f"<tr>{''.join(marked)}</tr>"

    above = f"<thead>{line(head, 'th')}</thead>" if head else ""
    return f"<table>{above}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"
