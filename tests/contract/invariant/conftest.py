"""Shows, after the tests, how often each action of the state machines ran and how often it was refused, by code."""

import pytest

from .tally import TALLIES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for run, tally in TALLIES.items():
        terminalreporter.section(f"actions of the billing machine, {run}")
        for line in tally.lines():
            terminalreporter.write_line(line)
