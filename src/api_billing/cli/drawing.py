"""Bars, sparklines and tables of the reports: readable without colour, at 80 columns, and in plain ASCII.

Tables are loaded when one is drawn: ``--help`` need not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from api_billing.showing import printable

if TYPE_CHECKING:
    from rich.table import Column, Table

_NARROWEST: Final = 40

_BAR_CELLS: Final = 20
_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_SPARKS: Final = " .:-=+*#@"


class PlainConsole(Console):
    """A console that lets no text through that could disturb a terminal, whatever it was printed in.

    What is drawn here has escapes in the place of such characters; this is for what was forgotten.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As the base class does, with a question mark for each character that is not printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.replace("\n", "").isprintable():
                yield segment
            else:
                text = "".join(c if c.isprintable() or c == "\n" else "?" for c in segment.text)
                yield Segment(text, segment.style)


def is_ascii_only(console: Console) -> bool:
    """Whether the output can show no more than ASCII."""
    return console.options.ascii_only or console.legacy_windows


def print_trimmed(console: Console, contents: Iterable[RenderableType]) -> None:
    """Print one after the other, without the spaces that pad cells, which nobody wants in a file."""
    with console.capture() as capture:
        for each in contents:
            console.print(each, width=max(console.width, _NARROWEST))
    # Where a cell is cut, rich has the sign for that whatever the output can show.
    text = capture.get().replace("…", "~") if is_ascii_only(console) else capture.get()
    console.file.writelines(f"{line.rstrip()}\n" for line in text.splitlines())
    console.file.flush()


def usage_bar(used: int, limit: int, *, ascii_only: bool) -> Text:
    """A bar as full as ``used`` is of ``limit``: empty only when nothing is used, full only when nothing is left."""
    cells = min(used * _BAR_CELLS // limit, _BAR_CELLS) if limit else _BAR_CELLS
    if used > 0 and not cells:
        cells = 1
    if used < limit and cells == _BAR_CELLS:
        cells -= 1
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    style = "red" if used >= limit else "yellow" if used * 5 >= limit * 4 else "green"
    return Text.assemble((full * cells, style), (empty * (_BAR_CELLS - cells), "dim"))


def sparkline(values: Sequence[int], *, ascii_only: bool) -> str:
    """One character a value, as high as the value is of the largest; 0 is a blank, and only 0."""
    sparks = _ASCII_SPARKS if ascii_only else _SPARKS
    largest, steps = max(values, default=0), len(sparks) - 1
    return "".join(sparks[-(-value * steps // largest)] if value > 0 else sparks[0] for value in values)


def table(*columns: str | Column, rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table whose text columns fold what is too long, so that nothing is cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    named = (Column(column, overflow="fold") if isinstance(column, str) else column for column in columns)
    drawn = Table(*named, box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1))
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return drawn


def right(header: str) -> Column:
    """A column of numbers."""
    from rich.table import Column

    return Column(header, justify="right", no_wrap=True)


def pairs(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Labels with their values, set in a little."""
    from rich.table import Column, Table

    drawn = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2), pad_edge=False)
    for label, value in rows:
        shown = value if isinstance(value, Text) else Text(printable(value, keep="\n"))
        drawn.add_row(Text(f"  {label}", style="dim"), shown)
    return drawn


def short(address: str) -> str:
    """The ends of an address, where its whole is not needed."""
    return f"{address[:8]}..{address[-6:]}" if len(address) == 42 else address


def counted(number: int, noun: str, plural: str = "") -> str:
    """The number with its noun: ``1 call``, ``1,632 calls``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
