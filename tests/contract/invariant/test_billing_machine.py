"""All writes in any order, by everybody, under both rules for the value of a failed call: the six invariants hold."""

from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis.stateful import run_state_machine_as_test

from .arena import Arena, FailedValue
from .machine import WRITES, BillingMachine
from .play import Play
from .profiles import machine_settings
from .tally import TALLIES, Tally

EXAMPLES, STEPS = 18, 40
RULES: tuple[FailedValue, ...] = get_args(FailedValue)


@pytest.mark.parametrize("rule", RULES)
def test_billing__any_course_of_events__keeps_the_invariants(
    rule: FailedValue, record_property: Callable[[str, object], None]
) -> None:
    opening = Play.opened(Arena(rule))
    tally = TALLIES[f"failed value: {rule}"] = Tally()
    try:
        run_state_machine_as_test(lambda: BillingMachine(opening, tally), settings=machine_settings(EXAMPLES, STEPS))
    finally:
        record_property(f"actions of the billing machine, failed value: {rule}", list(tally.lines()))


def test_billing_machine__over_both_runs__every_write_has_succeeded_and_been_refused() -> None:
    """Otherwise the runs prove too little: raise their budget, or make the machine's arguments more plausible."""
    if len(TALLIES) < len(RULES):
        pytest.skip("the machine did not run under both rules in this session")
    runs = TALLIES.values()
    never_done = [write for write in WRITES if not any(run.succeeded(write) for run in runs)]
    never_refused = [write for write in WRITES if not any(run.refused(write) for run in runs)]
    assert (never_done, never_refused) == ([], [])
