"""Settings for all tests. Hypothesis has no deadline: a busy machine is no bug. In CI it repeats the same examples.

HYPOTHESIS_PROFILE=thorough tries some twenty times as much, and takes as much longer: for the night, or after a change
of the contract.
"""

import os
import signal
import sys

# The tests start dozens of Python processes: without compiled files each would compile all modules anew, and pytest
# would rewrite the assertions of all tests in every worker. They are in folders that git ignores.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what it leaves in the background with Ctrl-C ignored, and so would be all that the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

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
