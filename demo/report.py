"""The usage report of a run, for a person at a terminal or in a file.

Readable at 80 columns, without colour (NO_COLOR, not a terminal) and in plain ASCII where the output can do no more.
Text from outside is only ever printed as text: no markup, no control characters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final
from urllib.parse import urlsplit

from rich.console import Console, RenderableType
from rich.table import Column
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.contract_api import in_words
from demo.layout import (
    bar,
    counted,
    heading,
    indented,
    is_ascii_only,
    moment,
    new_table,
    number_columns,
    pairs_table,
    print_sections,
    safe_text,
    start_of,
)
from demo.solvency import solvency_lines
from demo.summary import ContractRequest, RunSummary, Usage

TOP: Final = 10
"""Rows of a table that could have a row for everyone."""

_SHOWN_BAD_LINES: Final = 5


def make_console(file: IO[str] | None = None, width: int | None = None) -> Console:
    """Return a console on standard output (or ``file``), as wide as the terminal, 80 columns where there is none."""
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_report(summary: RunSummary, console: Console) -> None:
    """Print the report, section by section; sections without content are left out."""
    print_sections(_Report(summary, ascii_only=is_ascii_only(console)).sections(), console)


@dataclass(frozen=True, slots=True)
class _Report:
    summary: RunSummary
    ascii_only: bool

    def sections(self) -> Iterator[RenderableType]:
        yield from self._totals()
        yield from self._days()
        yield from self._consumers()
        yield from self._apis()
        yield from self._refusals()
        yield from self._low_credit()
        yield from self._operators()
        yield from self._contract_story()
        yield from self._solvency()

    def _totals(self) -> Iterator[RenderableType]:
        summary, total = self.summary, self.summary.total
        yield self._heading("API usage", style="bold")
        rows = [
            ("log", self._text(summary.log_name)),
            ("time", Text(f"{moment(summary.first_at)} to {moment(summary.last_at)} UTC")),
            (
                "requests",
                Text(
                    f"{total.requests:,} from {counted(len(summary.per_consumer), 'client')} "
                    f"to {counted(len(summary.per_api), 'API')} in {counted(summary.lines, 'line')}"
                ),
            ),
            ("billed", Text(f"{counted(total.billed_calls, 'call')} for {format_wei(total.spend_wei)}", style="bold")),
            ("refused", Text(counted(total.refused_calls, "call"))),
            ("bad lines", self._bad_lines()),
        ]
        if summary.late_entries:
            late = f"{counted(summary.late_entries, 'request')} stood after a later one; billed in the order of time"
            rows.append(("order", Text(late)))
        if summary.environment:
            rows.append(("runs on", self._text(summary.environment)))
        yield pairs_table(rows)

    def _bad_lines(self) -> Text:
        count, kept = self.summary.bad_line_count, self.summary.bad_lines
        if not count:
            return Text("none")
        text = Text(f"{count:,} skipped", style="yellow")
        for line_no, reason in kept[:_SHOWN_BAD_LINES]:
            text.append("\n").append_text(self._text(f"line {line_no:,}: {reason}"))
        if count > _SHOWN_BAD_LINES:
            text.append(f"\nand {count - _SHOWN_BAD_LINES:,} more")
        return text

    def _days(self) -> Iterator[RenderableType]:
        per_day = self.summary.per_day
        if len(per_day) < 2:
            return
        yield self._heading("Days (UTC)")
        scale = Scale.of(usage.spend_wei for usage in per_day.values())
        days = sorted(per_day)
        table = new_table("day", *number_columns("requests", "billed", "refused", f"spent {scale.unit.name}"))
        for day in days[:TOP]:
            table.add_row(Text(day), *_usage_cells(per_day[day], scale))
        yield indented(table)
        yield from _more(len(days), "days")

    def _consumers(self) -> Iterator[RenderableType]:
        ranked, standings = _ranked(self.summary.per_consumer), self.summary.consumers
        if not ranked:
            return
        yield self._heading("Top consumers")
        spend_scale = Scale.of(usage.spend_wei for _, usage in ranked)
        left = {client: standing.credit_wei + standing.held_wei for client, standing in standings.items()}
        left_scale = Scale.of(left.get(client, 0) for client, _ in ranked)
        table = new_table(
            "client",
            *number_columns("billed", "refused", f"spent {spend_scale.unit.name}", f"left {left_scale.unit.name}"),
            Column("credit left", no_wrap=True),
        )
        for client, usage in ranked:
            standing = standings.get(client)
            cells = [self._text(client), *_usage_cells(usage, spend_scale)[1:]]
            if standing:
                share = self._bar(left[client], standing.deposited_wei)
                cells += [
                    Text(left_scale.number(left[client])),
                    Text("taken out", style="dim") if standing.withdrawn_wei else share,
                ]
            table.add_row(*cells)
        yield indented(table)
        yield from _more(len(self.summary.per_consumer), "consumers")
        for client, standing in standings.items():
            if standing.withdrawn_wei:
                taken = f"{client} took out {format_wei(standing.withdrawn_wei)} of unused credit"
                yield indented(self._text(taken))

    def _apis(self) -> Iterator[RenderableType]:
        ranked, standings = _ranked(self.summary.per_api), self.summary.apis
        if not ranked:
            return
        yield self._heading("Top APIs")
        spend_scale = Scale.of(usage.spend_wei for _, usage in ranked)
        price_scale = Scale.of(standings[api].cost_per_call_wei for api, _ in ranked if api in standings)
        table = new_table(
            "API",
            *number_columns("billed", "refused", f"spent {spend_scale.unit.name}", f"price {price_scale.unit.name}"),
            Column("left of the\nday's calls*", no_wrap=True),
        )
        for api, usage in ranked:
            cells = [self._text(api), *_usage_cells(usage, spend_scale)[1:]]
            standing = standings.get(api)
            if standing:
                at_most = ("<= " if self.ascii_only else "≤ ") if standing.is_metered else ""
                cells.append(Text(at_most + price_scale.number(standing.cost_per_call_wei)))
                left = standing.daily_limit_calls - standing.peak_day_calls
                bar = self._bar(left, standing.daily_limit_calls, f"{left:,} of {standing.daily_limit_calls:,}")
                cells.append(bar if standing.daily_limit_calls else Text("no limit"))
            table.add_row(*cells)
        yield indented(table)
        yield from _more(len(self.summary.per_api), "APIs")
        yield indented(Text("* for the client that made the most calls on one day", style="dim"))
        if any(standing.is_metered for standing in standings.values()):
            sign = "<=" if self.ascii_only else "≤"
            note = f"{sign} settled in batches, for what was served; the others call by call"
            yield indented(Text(note, style="dim"))

    def _refusals(self) -> Iterator[RenderableType]:
        refused = sorted(self.summary.refused.items(), key=lambda item: (-item[1], item[0]))
        if not refused:
            return
        yield self._heading("Refused calls")
        table = new_table(*number_columns("calls"), "why", "code")
        for code, calls in refused:
            table.add_row(Text(f"{calls:,}"), self._text(in_words(code)), self._text(code, style="dim"))
        yield indented(table)

    def _low_credit(self) -> Iterator[RenderableType]:
        notices = self.summary.low_credit
        if not notices:
            return
        yield self._heading("Low-credit notices")
        scale = Scale.of(notice.credit_wei for notice in notices[:TOP])
        table = new_table("time (UTC)", "client", *number_columns(f"left {scale.unit.name}"), "what the client did")
        for notice in notices[:TOP]:
            answer = f"paid in {format_wei(notice.topped_up_wei)}" if notice.topped_up_wei else "nothing"
            left = Text(scale.number(notice.credit_wei))
            table.add_row(Text(moment(notice.at)), self._text(notice.client), left, Text(answer))
        yield indented(table)
        yield from _more(len(notices), "notices")

    def _operators(self) -> Iterator[RenderableType]:
        operators = sorted(self.summary.operators, key=lambda operator: (-operator.earned_wei, operator.name))
        if not operators:
            return
        yield self._heading("Operators' earnings")
        scale = Scale.of(amount for operator in operators for amount in (operator.earned_wei, operator.withdrawn_wei))
        amounts_of = (f"{amount} {scale.unit.name}" for amount in ("earned", "withdrawn", "left"))
        table = new_table("operator", *number_columns("APIs", "batches", "calls in_batches", *amounts_of))
        for operator in operators[:TOP]:
            left_wei = operator.earned_wei - operator.withdrawn_wei
            amounts = (operator.earned_wei, operator.withdrawn_wei, left_wei)
            figures = (operator.apis, operator.settlements, operator.settled_calls)
            counts = [Text(f"{figure:,}") for figure in figures]
            table.add_row(self._text(operator.name), *counts, *(Text(scale.number(amount)) for amount in amounts))
        yield indented(table)
        yield from _more(len(operators), "operators")
        for operator in operators:
            if operator.withdrawn_wei:
                paid = f"{operator.name} withdrew {format_wei(operator.withdrawn_wei)} to {operator.account}"
                yield indented(self._text(paid))

    def _contract_story(self) -> Iterator[RenderableType]:
        story = self.summary.contract_story
        if story is None:
            return
        yield self._heading("A contract that pays for its calls")
        rows = [
            ("contract", self._text(story.account)),
            ("asks", self._text(f"the API {story.api} for {urlsplit(story.url).path} on a local HTTP server")),
            ("paid in", Text(format_wei(story.deposited_wei))),
        ]
        rows += [
            (f"call {number}", self._story_line(request)) for number, request in enumerate(story.requests, start=1)
        ]
        yield pairs_table([*rows, ("left", Text(f"{format_wei(story.credit_wei)} of credit"))])

    def _story_line(self, request: ContractRequest) -> Text:
        if request.code:
            refused = self._text(f"{request.request_id}: refused: {in_words(request.code)}", style="yellow")
            return refused.append("\nnothing was billed, nothing was fetched")
        lines = [
            self._text(f"{request.request_id}: billed {format_wei(request.cost_wei)}"),
            self._text(f"receipt {request.receipt_id}", style="dim"),
            Text(f"leader and validators sent {counted(request.http_requests, 'HTTP request')} for this one bill"),
        ]
        if request.result:
            lines.append(self._text(f"and agreed on: {start_of(request.result)}"))
        return Text("\n").join(lines)

    def _solvency(self) -> Iterator[RenderableType]:
        yield self._heading("Solvency")
        yield from solvency_lines(self.summary.solvency)
        if self.summary.checked:
            yield indented(self._text(f"checked against the contract's own views: {self.summary.checked}"))

    def _heading(self, title: str, style: str = "bold cyan") -> RenderableType:
        return heading(title, style, ascii_only=self.ascii_only)

    def _bar(self, part: int, whole: int, label: str = "") -> Text:
        return bar(part, whole, label, ascii_only=self.ascii_only)

    def _text(self, text: str, style: str = "") -> Text:
        """Return text from outside as ``safe_text`` does."""
        return safe_text(text, style, ascii_only=self.ascii_only)


def _usage_cells(usage: Usage, scale: Scale) -> list[Text]:
    numbers = (usage.requests, usage.billed_calls, usage.refused_calls)
    return [*(Text(f"{number:,}") for number in numbers), Text(scale.number(usage.spend_wei))]


def _ranked(usages: Mapping[str, Usage]) -> list[tuple[str, Usage]]:
    """Return those with the highest spend, then the most requests, then by name."""
    return sorted(usages.items(), key=lambda item: (-item[1].spend_wei, -item[1].requests, item[0]))[:TOP]


def _more(number: int, what: str) -> Iterator[RenderableType]:
    if number > TOP:
        yield indented(Text(f"and {number - TOP:,} more {what}", style="dim"))
