"""How the report is laid out: tables, pairs, bars, counts and times."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

_BAR_WIDTH: Final = 10
_INDENT: Final = (0, 0, 0, 2)
_SHOWN_RESULT_LENGTH: Final = 160
_NARROWEST: Final = 40


def is_ascii_only(console: Console) -> bool:
    """Return whether the output can show no more than ASCII."""
    return console.options.ascii_only or console.legacy_windows


def print_sections(sections: Iterable[RenderableType], console: Console) -> None:
    """Print one after the other, without the spaces that pad cells, which nobody wants in a file."""
    with console.capture() as capture:
        for section in sections:
            console.print(section, width=max(console.width, _NARROWEST))
    console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def safe_text(text: str, style: str = "", *, ascii_only: bool) -> Text:
    """Return text from outside without what could disturb a terminal, or what the output cannot encode."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    if ascii_only:
        shown = shown.encode("ascii", "backslashreplace").decode("ascii")
    return Text(shown, style=style, overflow="fold")


def bar(part: int, whole: int, label: str = "", *, ascii_only: bool) -> Text:
    """Return a bar as full as ``part`` is of ``whole``; it is empty and full only when the share is 0 and 1."""
    part = min(max(part, 0), whole)
    cells = part * _BAR_WIDTH // whole if whole else 0
    if part and not cells:
        cells = 1
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    style = "red" if part * 10 < whole or not part else "yellow" if part * 5 < whole * 2 else "green"
    drawn = Text(full * cells, style=style).append(empty * (_BAR_WIDTH - cells), style="dim")
    return drawn.append(f" {label or f'{part * 100 // whole if whole else 0:>3}%'}", style="default")


def heading(title: str, style: str, *, ascii_only: bool) -> RenderableType:
    """Return a line across the page with the title at its start."""
    line = Rule(Text(title, style=style), align="left", style="dim", characters="-" if ascii_only else "─")
    return Padding(line, (1, 0, 0, 0))


def new_table(*columns: str | Column) -> Table:
    """Return an empty table whose text columns fold what is too long, so that nothing is cut."""
    named = (Column(column, overflow="fold") if isinstance(column, str) else column for column in columns)
    return Table(*named, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1))


def number_columns(*headers: str) -> list[Column]:
    """Return right-aligned columns; a header has each word on a line of its own, but for those an underscore joins."""
    named = (header.replace(" ", "\n").replace("_", " ") for header in headers)
    return [Column(header, justify="right", no_wrap=True) for header in named]


def pairs_table(rows: Iterable[tuple[str, Text]]) -> RenderableType:
    """Return labels with their values."""
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for label, value in rows:
        table.add_row(Text(label, style="dim"), value)
    return indented(table)


def amounts_table(amounts: Mapping[str, str]) -> RenderableType:
    """Return amounts below each other, aligned at the right."""
    table = Table.grid(Column(), Column(justify="right"), padding=(0, 2))
    for label, amount in amounts.items():
        table.add_row(label, amount)
    return indented(table)


def indented(content: RenderableType) -> RenderableType:
    """Return the content set in from its heading."""
    return Padding(content, _INDENT, expand=False)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun: ``1 call``, ``1,632 calls``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def moment(at: int) -> str:
    """Return unix seconds as date and time, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def start_of(text: str) -> str:
    """Return so much of a text from outside as is worth showing."""
    return text if len(text) <= _SHOWN_RESULT_LENGTH else f"{text[:_SHOWN_RESULT_LENGTH]}..."
