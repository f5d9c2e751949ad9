"""The frame of both reports: sections with headings, tables, pairs, bars, and solvency at the end.

Readable at 80 columns, without colour (NO_COLOR, not a terminal) and in plain ASCII where the output can do no more.
Text from outside is only ever printed as text: no markup, no control characters.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.drawing import PlainConsole, is_ascii_only, print_trimmed
from api_billing.results import Solvency as SolvencyView
from api_billing.showing import printable
from demo.summary import Solvency

TOP: Final = 10
"""Rows of a table that could have a row for everyone."""

_BAR_WIDTH: Final = 10
_SHOWN_RESULT_LENGTH: Final = 160


def make_console(file: IO[str] | None = None, width: int | None = None) -> Console:
    """Return a console on standard output (or ``file``), as wide as the terminal, 80 columns where there is none."""
    return PlainConsole(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


class Report:
    """What is printed on one console, section by section; sections without content are left out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.ascii_only = is_ascii_only(console)

    def sections(self) -> Iterator[RenderableType]:
        """What stands below each other."""
        raise NotImplementedError

    def print(self) -> None:
        """Print all of it."""
        print_trimmed(self._console, self.sections())

    def heading(self, title: str, style: str = "bold cyan") -> RenderableType:
        """Return a line across the page with the title at its start."""
        characters = "-" if self.ascii_only else "─"
        return Padding(Rule(Text(title, style=style), align="left", style="dim", characters=characters), (1, 0, 0, 0))

    def text(self, text: str, style: str = "") -> Text:
        """Return text from outside without what could disturb a terminal, or what the output cannot encode."""
        shown = printable(text)
        if self.ascii_only:
            shown = shown.encode("ascii", "backslashreplace").decode("ascii")
        return Text(shown, style=style, overflow="fold")

    def bar(self, part: int, whole: int, label: str = "") -> Text:
        """Return a bar as full as ``part`` is of ``whole``; it is empty and full only when the share is 0 and 1."""
        part = min(max(part, 0), whole)
        cells = part * _BAR_WIDTH // whole if whole else 0
        if part and not cells:
            cells = 1
        full, empty = ("#", ".") if self.ascii_only else ("█", "░")
        style = "red" if part * 10 < whole or not part else "yellow" if part * 5 < whole * 2 else "green"
        drawn = Text(full * cells, style=style).append(empty * (_BAR_WIDTH - cells), style="dim")
        return drawn.append(f" {label or f'{part * 100 // whole if whole else 0:>3}%'}", style="default")

    def solvency(self, solvency: Solvency | SolvencyView) -> Iterator[RenderableType]:
        """Yield what the contract holds beside what it owes, and the verdict."""
        yield self.heading("Solvency")
        amounts = {
            "the contract holds": solvency.balance_wei,
            "it owes": solvency.owed_wei,
            "  credit of consumers": solvency.credit_wei,
            "  on hold": solvency.held_wei,
            "  earnings of operators": solvency.earnings_wei,
        }
        yield amounts_table(amounts)
        surplus_wei = solvency.surplus_wei
        if surplus_wei < 0:
            verdict = Text(f"NOT SOLVENT: {format_wei(-surplus_wei, exact=True)} are missing", style="bold red")
        elif surplus_wei:
            verdict = Text(f"solvent, and {format_wei(surplus_wei, exact=True)} more than it owes", style="bold green")
        else:
            verdict = Text("solvent: it holds exactly what it owes", style="bold green")
        yield indented(verdict)


def number_columns(*headers: str) -> list[Column]:
    """Return right-aligned columns; a header has each word on a line of its own, but for those an underscore joins."""
    named = (header.replace(" ", "\n").replace("_", " ") for header in headers)
    return [Column(header, justify="right", no_wrap=True) for header in named]


def amounts_table(amounts_wei: Mapping[str, int]) -> RenderableType:
    """Return amounts below each other, aligned at the right, exact and in one unit."""
    scale = Scale.of(amounts_wei.values(), exact=True)
    drawn = Table.grid(Column(), Column(justify="right"), padding=(0, 2))
    for label, amount_wei in amounts_wei.items():
        drawn.add_row(label, scale.text(amount_wei))
    return indented(drawn)


def more(number: int, what: str) -> Iterator[RenderableType]:
    """Yield how many rows are left out of a table that has the first of so many."""
    if number > TOP:
        yield indented(Text(f"and {number - TOP:,} more {what}", style="dim"))


def indented(content: RenderableType) -> RenderableType:
    """Return the content set in from its heading."""
    return Padding(content, (0, 0, 0, 2), expand=False)


def moment(at: int) -> str:
    """Return unix seconds as date and time, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def start_of(text: str) -> str:
    """Return so much of a text from outside as is worth showing."""
    return text if len(text) <= _SHOWN_RESULT_LENGTH else f"{text[:_SHOWN_RESULT_LENGTH]}..."
