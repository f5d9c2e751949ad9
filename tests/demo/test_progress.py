"""What a long run says while it works."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from demo.progress import Progress, in_words, progress


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def shown(clock: Clock, written: io.StringIO) -> Progress:
    return Progress(Console(file=written, width=40), None, clock)


def test_phase__that_takes_long__says_now_and_then_how_far_it_is(
    shown: Progress, clock: Clock, written: io.StringIO
) -> None:
    step = shown.phase("billing the log", 40)
    for _ in range(20):
        clock.at += 1
        step()
    assert written.getvalue().splitlines()[:2] == [
        "billing the log: 5 of 40 (12%), about 35 seconds left",
        "billing the log: 10 of 40 (25%), about 30 seconds left",
    ]


def test_phase__that_is_soon_over__says_nothing(shown: Progress, clock: Clock, written: io.StringIO) -> None:
    step = shown.phase("opening accounts", 4)
    for _ in range(4):
        clock.at += 1
        step()
    assert written.getvalue() == ""


def test_shown__without_a_total__says_what_is_done(shown: Progress, clock: Clock, written: io.StringIO) -> None:
    show = shown.shown("reading the log (KiB)", unit=1_024)
    clock.at += 6
    show(2_048_000, None)
    assert written.getvalue() == "reading the log (KiB): 2,000\n"


def test_expect__long_run__is_said_at_the_start(shown: Progress, written: io.StringIO) -> None:
    shown.expect("5 requests", 9)
    shown.expect("100,000 requests", 130)
    assert written.getvalue() == "100,000 requests: about 2 minutes\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 second"), (89, "89 seconds"), (100, "2 minutes")])
def test_in_words__seconds__are_what_somebody_would_say(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


@pytest.fixture
def terminal(written: io.StringIO) -> Iterator[Progress]:
    with progress(Console(file=written, force_terminal=True, width=80)) as shown:
        yield shown


def test_progress__terminal__has_bars(terminal: Progress, written: io.StringIO) -> None:
    terminal.phase("checking the books", 1)()
    assert "checking the books" in written.getvalue()
