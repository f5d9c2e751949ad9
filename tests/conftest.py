"""Settings for all tests. Hypothesis has no deadline: a busy machine is no bug. In CI it repeats the same examples."""

import os

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have recorded as lists of lines: how often each action of a state machine ran."""
    for report in (report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)):
        for title, lines in report.user_properties:
            if report.when == "call" and isinstance(lines, list):
                terminalreporter.section(title)
                for line in lines:
                    terminalreporter.write_line(line)
