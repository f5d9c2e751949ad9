"""Ten thousand calls, of all writes and views, by everybody: the same on the source and on what is deployed for the
other line of GenVM.
"""

from collections.abc import Callable

from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from .editions import Editions, EditionsPlay
from .machine import WRITES, BillingMachine
from .profiles import mutant_settings
from .tally import Tally

CALLS = 10_000
STEPS = 50


def test_editions__any_course_of_events__are_the_same_on_all(
    record_property: Callable[[str, object], None],
) -> None:
    arena, tally = Editions("return"), Tally()
    opening = EditionsPlay.opened(arena)
    number = 0
    while arena.calls["writes"] + arena.calls["views"] < CALLS:
        machine = seed(number)(lambda: BillingMachine(opening, tally))
        run_state_machine_as_test(machine, settings=mutant_settings(STEPS))
        number += 1
    counts = [f"{what:22} {count:5}" for what, count in arena.calls.items()]
    record_property("calls compared on every edition", [*counts, *tally.lines()])
    assert [write for write in WRITES if not (tally.succeeded(write) and tally.refused(write))] == []
    assert sum(map(tally.succeeded, WRITES)) > CALLS // 5
