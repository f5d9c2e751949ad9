"""The figures of the demo for a person, in the form of the other report."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.drawing import counted, pairs, table
from api_billing.contract_api import in_words
from api_billing.metering.request.problems import KINDS
from demo.layout import TOP, Report, amounts_table, indented, more, number_columns, start_of
from demo.metered.contract_consumer import Fetch
from demo.metered.figures import FAILED, OK, ConsumerFigures, MeteredFigures, Used
from demo.metered.plan import AT_THE_DOOR, Role

_SHORT: Final = 10


def print_metered_report(figures: MeteredFigures, console: Console) -> None:
    """Print the report of a run."""
    _Report(figures, console).print()


class _Report(Report):
    def __init__(self, figures: MeteredFigures, console: Console) -> None:
        super().__init__(console)
        self.figures = figures

    def sections(self) -> Iterator[RenderableType]:
        yield from self._totals()
        yield from self._answers()
        yield from self._on_purpose()
        yield from self._at_the_door()
        yield from self._usage()
        yield from self._contract()
        yield from self._settlements()
        yield from self._reconciliation()
        yield from self._operator()
        yield from self._redress()
        yield from self.solvency(self.figures.solvency)

    def _totals(self) -> Iterator[RenderableType]:
        figures = self.figures
        yield self.heading("A metered API, paid from the chain", style="bold")
        spread = f"half of them within {_ms(figures.latency(50))}, 99 of 100 within {_ms(figures.latency(99))}"
        sent = f"{figures.requests:,} of {len(figures.consumers)} accounts in {figures.load_seconds:.1f} s: {spread}"
        billed = f"{counted(figures.billed.calls, 'call')} for {format_wei(figures.billed.wei)} in "
        yield pairs(
            [
                ("runs on", self.text(figures.environment)),
                ("contract", self.text(figures.contract)),
                ("requests", sent),
                ("billed", Text(billed + counted(len(figures.batches), "transaction"), style="bold")),
            ]
        )

    def _answers(self) -> Iterator[RenderableType]:
        yield self.heading("Answers")
        rows = []
        for (status, code), number in sorted(self.figures.answers.items()):
            what = "served" if status == OK else "the handler failed" if status == FAILED else _title(code)
            rows.append((f"{number:,}", str(status), self.text(what), self.text(code, style="dim")))
        yield indented(table(*number_columns("requests", "status"), "what", "code", rows=rows))

    def _on_purpose(self) -> Iterator[RenderableType]:
        """What the consumers with a role met, each from its own answers and from the books."""
        yield self.heading("What went wrong on purpose")
        rows = []
        for each in self.figures.consumers:
            served, charged = each.with_status(OK), f"charged {counted(each.metered.calls, 'call')}"
            match each.role:
                case Role.SHORT_HOLD:
                    told = f"has a hold for {counted(each.allowed, 'call')}: {self._split(each, 402)}"
                case Role.TRIAL:
                    told = f"is on a plan of {counted(each.allowed, 'call')} a day: {self._split(each, 429)}"
                case Role.SESSION:
                    told = f"pays in a session and signs for {counted(each.allowed, 'call')}: {self._split(each, 402)};"
                    told += f" signed {format_wei(each.signed_wei)}, billed {format_wei(each.billed.wei)}"
                case Role.REPEATS:
                    told = f"sends a request again, with its Idempotency-Key: {served:,} served,"
                    told += f" {each.replayed} of them with the answer of before; {charged}"
                case Role.FAILS:
                    failed = each.with_status(FAILED)
                    told = f"meets a handler that fails: {served:,} served, {failed:,} failed with {FAILED}; {charged}"
                case _:
                    continue
            rows.append((self._short(each.address), Text(told, overflow="fold")))
        yield pairs(rows)

    def _at_the_door(self) -> Iterator[RenderableType]:
        """Who has a wallet and no key: what it asked, signed and was billed."""
        yield self.heading("Paid at the door: a wallet, and no key")
        rows = []
        for each in self.figures.consumers:
            if each.role in AT_THE_DOOR:
                told = f"{each.role}: {each.with_status(OK):,} of {counted(each.requests, 'request')} served;"
                told += f" signed {format_wei(each.signed_wei)}, billed {format_wei(each.billed.wei)}"
                rows.append((self._short(each.address), Text(told, overflow="fold")))
        yield pairs(rows)

    def _split(self, consumer: ConsumerFigures, status: int) -> str:
        return f"{consumer.with_status(OK):,} served, {consumer.with_status(status):,} refused with {status}"

    def _usage(self) -> Iterator[RenderableType]:
        """The contract's usage report beside the meter's sums, the largest first."""
        figures = self.figures
        yield self.heading("Usage: what the meter counted, what the contract billed")
        ranked = sorted(figures.consumers, key=lambda each: (-each.billed.wei, each.address))
        spent = Scale.of(used.wei for used in (figures.metered, figures.billed, *(each.billed for each in ranked)))
        columns = ("metered calls", f"metered {spent.unit.name}", "billed calls", f"billed {spent.unit.name}")

        def cells(those: Sequence[ConsumerFigures]) -> Iterator[str]:
            yield f"{sum(each.requests for each in those):,}"
            for used in (each.metered for each in those), (each.billed for each in those):
                all_used = sum(used, Used())
                yield from (f"{all_used.calls:,}", spent.number(all_used.wei))
            yield spent.number(sum(each.hold_left_wei for each in those))

        rows: list[tuple[str | Text, ...]] = [(self._short(each.address), *cells([each])) for each in ranked[:TOP]]
        if others := ranked[TOP:]:
            rows.append((Text(f"{len(others)} more", style="dim"), *cells(others)))
        numbers = number_columns("requests", *columns, f"on_hold {spent.unit.name}")
        drawn = table("consumer", *numbers, rows=rows)
        drawn.add_row("all", *cells(ranked), style="bold")
        yield indented(drawn)

    def _contract(self) -> Iterator[RenderableType]:
        contract = self.figures.contract_consumer
        yield self.heading("A contract among the consumers: it pays call by call, with receipts")
        rows = [("contract", self.text(contract.address)), ("asks", self.text(contract.url))]
        rows += [(fetch.request_id, self._fetched(fetch)) for fetch in contract.fetches]
        billed = f"{counted(contract.billed.calls, 'call')} for {format_wei(contract.billed.wei)} by the contract"
        served = f"{billed}; {counted(contract.redeemed, 'request')} served, for the leader and all validators"
        yield pairs([*rows, ("billed", Text(served, overflow="fold"))])

    def _fetched(self, fetch: Fetch) -> Text:
        if fetch.status == "denied":
            return self.text(f"denied: {in_words(fetch.detail)}; nothing was billed, nothing fetched", style="yellow")
        style = "" if fetch.status == "fetched" else "red"
        text = self.text(f"{fetch.status}: {start_of(fetch.detail)}", style=style)
        return text.append("\n").append_text(self.text(f"receipt {fetch.receipt_id}", style="dim"))

    def _settlements(self) -> Iterator[RenderableType]:
        batches = self.figures.batches
        yield self.heading("Settlements")
        scale = Scale.of(batch.billed.wei for batch in batches)
        columns = ("batch", "after", "lines", "calls", f"billed {scale.unit.name}")
        rows = []
        for batch in batches[:TOP]:
            counts = (str(batch.sequence), f"{batch.after_seconds:.1f} s", str(batch.lines), f"{batch.used.calls:,}")
            rows.append((*counts, scale.number(batch.billed.wei), batch.state, self._short(batch.tx)))
        yield indented(table(*number_columns(*columns), "state", "transaction", rows=rows))
        yield from more(len(batches), "batches")
        running = sum(batch.while_running for batch in batches)
        calls = sum(batch.used.calls for batch in batches)
        each = f"{calls / len(batches):,.0f} calls per transaction, " if batches else ""
        yield indented(
            Text(f"{each}{running} of {counted(len(batches), 'batch', 'batches')} while requests were coming")
        )

    def _reconciliation(self) -> Iterator[RenderableType]:
        figures = self.figures
        yield self.heading("Reconciliation")
        difference = figures.metered - figures.billed
        books = {
            "counted by the meter": figures.metered.wei,
            "billed by the contract": figures.billed.wei,
            "difference": difference.wei,
        }
        yield amounts_table(books)
        if figures.is_zero:
            lines = counted(figures.reconciled_lines, "line")
            yield indented(Text(f"zero, in all of {lines} of consumer and day", style="bold green"))
        else:
            yield indented(Text("NOT ZERO", style="bold red"))
        for reason in figures.reasons:
            yield indented(self.text(reason))

    def _operator(self) -> Iterator[RenderableType]:
        operator = self.figures.operator
        yield self.heading("The operator")
        amounts = {
            "earned": operator.earned_wei,
            "withdrew": operator.withdrawn_wei,
            **({"network's fee": operator.fee_wei} if operator.fee_wei else {}),
            "balance before": operator.balance_before_wei,
            "balance after": operator.balance_after_wei,
        }
        yield amounts_table(amounts)

    def _redress(self) -> Iterator[RenderableType]:
        refund, dispute = self.figures.refund, self.figures.dispute
        yield self.heading("What consumers got back")
        told = f"the operator refunded {format_wei(refund.amount_wei)} for the call that failed"
        rows = [(self._short(refund.consumer), Text(told, overflow="fold"))]
        if dispute is not None:
            told = f"disputed a day for which it had paid {format_wei(dispute.paid_wei)}. The court decided for"
            told += f" {dispute.percent}%: {format_wei(dispute.refund_wei)} are its credit again,"
            told += f" {format_wei(dispute.earnings_grew_wei)} the operator's"
            reason = self.text(f"leader and validators, as this localnet tells them: {dispute.reason}", style="dim")
            rows.append((self._short(dispute.consumer), Text(told, overflow="fold").append("\n").append_text(reason)))
        yield pairs(rows)

    def _short(self, text: str) -> str:
        """An address or a transaction, so that it can be told from the others."""
        dots = "..." if self.ascii_only else "…"
        return f"{text[:_SHORT]}{dots}" if text else "-"


def _title(code: str) -> str:
    kind = KINDS.get(code)
    return kind.title if kind is not None else "refused"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
