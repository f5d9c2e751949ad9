"""All writes in any order, by everybody, under both rules for the value of a failed call: the invariants hold, on the
two editions of the contract.
"""

from collections.abc import Callable

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from ..forms import Form
from .arena import Arena, FailedValue
from .machine import WRITES, BillingMachine
from .play import Play
from .profiles import THOROUGH, machine_settings
from .tally import TALLIES, Tally

STEPS = 30
# At least so many rounds, and more while there is a write that was never done or never refused.
ROUNDS = range(44 if THOROUGH else 2, 160 if THOROUGH else 9)
# Each rule with one of the editions, which are compared with each other in `test_editions.py`.
RUNS: tuple[tuple[FailedValue, Form], ...] = (("keep", "v0.2"), ("return", "v0.3"))


@pytest.mark.parametrize(("rule", "form"), RUNS)
def test_billing__any_course_of_events__keeps_the_invariants(
    rule: FailedValue, form: Form, record_property: Callable[[str, object], None]
) -> None:
    opening = Play.opened(Arena(rule, form))
    tally = TALLIES[f"failed value: {rule}, {form}"] = Tally()
    # Hypothesis also tries constants of the modules that are loaded: how many rounds it takes is not always the same.
    try:
        for number in range(ROUNDS.stop):
            if number >= ROUNDS.start and missing() == ([], []):
                break
            machine = seed(number + RUNS.index((rule, form)) * ROUNDS.stop)(lambda: BillingMachine(opening, tally))
            run_state_machine_as_test(machine, settings=machine_settings(STEPS))
    finally:
        record_property(f"actions of the billing machine, failed value: {rule}, {form}", list(tally.lines()))


def missing() -> tuple[list[str], list[str]]:
    """Writes that were never done, and that were never refused, in all runs so far."""
    runs = TALLIES.values()
    return (
        [write for write in WRITES if not any(run.succeeded(write) for run in runs)],
        [write for write in WRITES if not any(run.refused(write) for run in runs)],
    )


def test_billing_machine__over_all_runs__every_write_has_succeeded_and_been_refused() -> None:
    """Otherwise the runs prove too little: raise their budget, or make the machine's arguments more plausible."""
    if len(TALLIES) < len(RUNS):
        pytest.skip("the machine did not run under both rules in this session")
    assert missing() == ([], [])
