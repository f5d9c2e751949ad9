"""What a long run says while it works, on standard error: bars at a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from api_billing.cli.drawing import counted

SECONDS_BETWEEN_LINES: Final = 5.0
_SECONDS_BETWEEN_BARS: Final = 0.1
_WORTH_SAYING_SECONDS: Final = 10.0

Show = Callable[[int, int | None], None]
"""Called now and then with what is done, and of how much; None where that is not known."""
Clock = Callable[[], float]


class Progress:
    """The phases of a run, one after the other. ``clock`` gives seconds."""

    def __init__(self, console: Console, bars: Bars | None, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._bars = bars
        self._clock = clock
        self._said_at = clock()

    def expect(self, what: str, seconds: float) -> None:
        """Say before a long run what is to be done, and about how long that takes."""
        if seconds >= _WORTH_SAYING_SECONDS:
            self._console.print(f"{what}: about {in_words(seconds)}", markup=False, highlight=False, soft_wrap=True)

    def phase(self, name: str, steps: int) -> Callable[[], None]:
        """Begin a phase of so many steps; what is returned is called after each of them."""
        show, done, next_at = self.shown(name, steps), 0, self._clock() + _SECONDS_BETWEEN_BARS

        def step() -> None:
            nonlocal done, next_at
            done += 1
            now = self._clock()
            if now >= next_at or done == steps:
                next_at = now + _SECONDS_BETWEEN_BARS
                show(done, steps)

        return step

    def shown(self, name: str, total: int | None = None, *, unit: int = 1) -> Show:
        """Begin a phase, and return what shows how far it is; ``unit`` is what a line divides its numbers by."""
        began_at = self._clock()
        task = self._bars.add_task(name, total=total) if self._bars else None

        def show(done: int, whole: int | None) -> None:
            if self._bars and task is not None:
                self._bars.update(task, completed=done, total=whole)
                return
            now = self._clock()
            if now - self._said_at >= SECONDS_BETWEEN_LINES:
                self._said_at = now
                line = _line(name, done // unit, whole and whole // unit, now - began_at)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

        return show


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Show progress on a console until the block ends."""
    if not console.is_terminal:
        yield Progress(console, None)
        return
    columns = (TextColumn("{task.description:<18}", markup=False), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=console) as bars:
        yield Progress(console, bars)


def in_words(seconds: float) -> str:
    """Return a time as somebody would say it who waits for it."""
    if seconds < 90:
        return counted(max(round(seconds), 1), "second")
    return counted(round(seconds / 60), "minute")


def _line(name: str, done: int, whole: int | None, seconds: float) -> str:
    if not whole:
        return f"{name}: {done:,}" if done else f"{name} ..."
    left = f", about {in_words(seconds / done * (whole - done))} left" if 0 < done < whole else ""
    return f"{name}: {done:,} of {whole:,} ({done * 100 // whole}%){left}"
