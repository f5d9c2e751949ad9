"""The usage report of a run, for a person at a terminal or in a file."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console, RenderableType
from rich.table import Column
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.drawing import counted, pairs, table
from api_billing.contract_api import in_words
from demo.layout import TOP, Report, indented, moment, more, number_columns, start_of
from demo.summary import ContractRequest, RunSummary, Usage

_SHOWN_BAD_LINES: Final = 5


def print_report(summary: RunSummary, console: Console, *, is_brief: bool = False) -> None:
    """Print the report of a run. ``is_brief``: what was billed and whether the books are right, no more."""
    _Report(summary, console, is_brief).print()


class _Report(Report):
    def __init__(self, summary: RunSummary, console: Console, is_brief: bool) -> None:
        super().__init__(console)
        self.summary, self.is_brief = summary, is_brief

    def sections(self) -> Iterator[RenderableType]:
        yield from self._totals()
        if not self.is_brief:
            yield from self._details()
        yield from self.solvency(self.summary.solvency)
        if self.summary.checked:
            yield indented(self.text(f"checked against the contract's own views: {self.summary.checked}"))

    def _details(self) -> Iterator[RenderableType]:
        yield from self._days()
        yield from self._consumers()
        yield from self._apis()
        yield from self._refusals()
        yield from self._low_credit()
        yield from self._operators()
        yield from self._contract_story()

    def _totals(self) -> Iterator[RenderableType]:
        summary, total = self.summary, self.summary.total
        yield self.heading("API usage", style="bold")
        rows: list[tuple[str, str | Text]] = [
            ("log", self.text(summary.log_name)),
            ("time", f"{moment(summary.first_at)} to {moment(summary.last_at)} UTC"),
            (
                "requests",
                f"{total.requests:,} from {counted(len(summary.per_consumer), 'client')} "
                f"to {counted(len(summary.per_api), 'API')} in {counted(summary.lines, 'line')}",
            ),
            ("billed", Text(f"{counted(total.billed_calls, 'call')} for {format_wei(total.spend_wei)}", style="bold")),
            ("refused", counted(total.refused_calls, "call")),
            ("bad lines", self._bad_lines()),
        ]
        if summary.late_entries:
            late = f"{counted(summary.late_entries, 'request')} stood after a later one; billed in the order of time"
            rows.append(("order", late))
        if summary.environment:
            rows.append(("runs on", self.text(summary.environment)))
        yield pairs(rows)

    def _bad_lines(self) -> str | Text:
        count, kept = self.summary.bad_line_count, self.summary.bad_lines
        if not count:
            return "none"
        text = Text(f"{count:,} skipped", style="yellow")
        for line_no, reason in kept[:_SHOWN_BAD_LINES]:
            text.append("\n").append_text(self.text(f"line {line_no:,}: {reason}"))
        if count > _SHOWN_BAD_LINES:
            text.append(f"\nand {count - _SHOWN_BAD_LINES:,} more")
        return text

    def _days(self) -> Iterator[RenderableType]:
        per_day = self.summary.per_day
        if len(per_day) < 2:
            return
        yield self.heading("Days (UTC)")
        scale = Scale.of(usage.spend_wei for usage in per_day.values())
        days = sorted(per_day)
        rows = ((day, *_usage_cells(per_day[day], scale)) for day in days[:TOP])
        numbers = number_columns("requests", "billed", "refused", f"spent {scale.unit.name}")
        yield indented(table("day", *numbers, rows=rows))
        yield from more(len(days), "days")

    def _consumers(self) -> Iterator[RenderableType]:
        ranked, standings = _ranked(self.summary.per_consumer), self.summary.consumers
        if not ranked:
            return
        yield self.heading("Top consumers")
        spend_scale = Scale.of(usage.spend_wei for _, usage in ranked)
        left = {client: standing.credit_wei + standing.held_wei for client, standing in standings.items()}
        left_scale = Scale.of(left.get(client, 0) for client, _ in ranked)
        rows = []
        for client, usage in ranked:
            standing = standings.get(client)
            rows.append([self.text(client), *_usage_cells(usage, spend_scale)[1:]])
            if standing:
                share = self.bar(left[client], standing.deposited_wei)
                taken_out = Text("taken out", style="dim")
                rows[-1] += [left_scale.number(left[client]), taken_out if standing.withdrawn_wei else share]
        units = f"spent {spend_scale.unit.name}", f"left {left_scale.unit.name}"
        numbers = number_columns("billed", "refused", *units)
        yield indented(table("client", *numbers, Column("credit left", no_wrap=True), rows=rows))
        yield from more(len(self.summary.per_consumer), "consumers")
        for client, standing in standings.items():
            if standing.withdrawn_wei:
                taken = f"{client} took out {format_wei(standing.withdrawn_wei)} of unused credit"
                yield indented(self.text(taken))

    def _apis(self) -> Iterator[RenderableType]:
        ranked, standings = _ranked(self.summary.per_api), self.summary.apis
        if not ranked:
            return
        yield self.heading("Top APIs")
        spend_scale = Scale.of(usage.spend_wei for _, usage in ranked)
        price_scale = Scale.of(standings[api].cost_per_call_wei for api, _ in ranked if api in standings)
        sign = "<=" if self.ascii_only else "≤"
        rows = []
        for api, usage in ranked:
            rows.append([self.text(api), *_usage_cells(usage, spend_scale)[1:]])
            standing = standings.get(api)
            if standing:
                price = price_scale.number(standing.cost_per_call_wei)
                left = standing.daily_limit_calls - standing.peak_day_calls
                bar = self.bar(left, standing.daily_limit_calls, f"{left:,} of {standing.daily_limit_calls:,}")
                limit = bar if standing.daily_limit_calls else "no limit"
                rows[-1] += [f"{sign} {price}" if standing.is_metered else price, limit]
        units = f"spent {spend_scale.unit.name}", f"price {price_scale.unit.name}"
        numbers = number_columns("billed", "refused", *units)
        yield indented(table("API", *numbers, Column("left of the\nday's calls*", no_wrap=True), rows=rows))
        yield from more(len(self.summary.per_api), "APIs")
        yield indented(Text("* for the client that made the most calls on one day", style="dim"))
        if any(standing.is_metered for standing in standings.values()):
            others = "by the day, but for low credit" if self.summary.settles_ample else "call by call"
            note = f"{sign} settled in batches, for what was served; the others {others}"
            yield indented(Text(note, style="dim"))

    def _refusals(self) -> Iterator[RenderableType]:
        refused = sorted(self.summary.refused.items(), key=lambda item: (-item[1], item[0]))
        if not refused:
            return
        yield self.heading("Refused calls")
        rows = ((f"{calls:,}", self.text(in_words(code)), self.text(code, style="dim")) for code, calls in refused)
        yield indented(table(*number_columns("calls"), "why", "code", rows=rows))

    def _low_credit(self) -> Iterator[RenderableType]:
        notices = self.summary.low_credit
        if not notices:
            return
        yield self.heading("Low-credit notices")
        scale = Scale.of(notice.credit_wei for notice in notices[:TOP])
        rows = []
        for notice in notices[:TOP]:
            answer = f"paid in {format_wei(notice.topped_up_wei)}" if notice.topped_up_wei else "nothing"
            rows.append((moment(notice.at), self.text(notice.client), scale.number(notice.credit_wei), answer))
        left = number_columns(f"left {scale.unit.name}")
        yield indented(table("time (UTC)", "client", *left, "what the client did", rows=rows))
        yield from more(len(notices), "notices")

    def _operators(self) -> Iterator[RenderableType]:
        operators = sorted(self.summary.operators, key=lambda operator: (-operator.earned_wei, operator.name))
        if not operators:
            return
        yield self.heading("Operators' earnings")
        scale = Scale.of(amount for operator in operators for amount in (operator.earned_wei, operator.withdrawn_wei))
        amounts_of = (f"{amount} {scale.unit.name}" for amount in ("earned", "withdrawn", "left"))
        rows: list[list[str | Text]] = []
        for operator in operators[:TOP]:
            counts = (operator.apis, operator.settlements, operator.settled_calls)
            amounts = (operator.earned_wei, operator.withdrawn_wei, operator.earned_wei - operator.withdrawn_wei)
            rows.append([self.text(operator.name), *(f"{count:,}" for count in counts), *map(scale.number, amounts)])
        numbers = number_columns("APIs", "batches", "calls in_batches", *amounts_of)
        yield indented(table("operator", *numbers, rows=rows))
        yield from more(len(operators), "operators")
        for operator in operators:
            if operator.withdrawn_wei:
                paid = f"{operator.name} withdrew {format_wei(operator.withdrawn_wei)} to {operator.account}"
                yield indented(self.text(paid))

    def _contract_story(self) -> Iterator[RenderableType]:
        story = self.summary.contract_story
        if story is None:
            return
        yield self.heading("A contract that pays for its calls")
        rows: list[tuple[str, str | Text]] = [
            ("contract", self.text(story.account)),
            ("asks", self.text(f"the API {story.api} for {urlsplit(story.url).path} on a local HTTP server")),
            ("paid in", format_wei(story.deposited_wei)),
        ]
        rows += [
            (f"call {number}", self._story_line(request)) for number, request in enumerate(story.requests, start=1)
        ]
        yield pairs([*rows, ("left", f"{format_wei(story.credit_wei)} of credit")])

    def _story_line(self, request: ContractRequest) -> Text:
        if request.code:
            refused = self.text(f"{request.request_id}: refused: {in_words(request.code)}", style="yellow")
            return refused.append("\nnothing was billed, nothing was fetched")
        lines = [
            self.text(f"{request.request_id}: billed {format_wei(request.cost_wei)}"),
            self.text(f"receipt {request.receipt_id}", style="dim"),
            Text(f"leader and validators sent {counted(request.http_requests, 'HTTP request')} for this one bill"),
        ]
        if request.result:
            lines.append(self.text(f"and agreed on: {start_of(request.result)}"))
        return Text("\n").join(lines)


def _usage_cells(usage: Usage, scale: Scale) -> list[str | Text]:
    numbers = (usage.requests, usage.billed_calls, usage.refused_calls)
    return [*(f"{number:,}" for number in numbers), scale.number(usage.spend_wei)]


def _ranked(usages: Mapping[str, Usage]) -> list[tuple[str, Usage]]:
    """Return those with the highest spend, then the most requests, then by name."""
    return sorted(usages.items(), key=lambda item: (-item[1].spend_wei, -item[1].requests, item[0]))[:TOP]
