"""How much is tried.

By default the same examples run every time: what fails can be repeated anywhere, and nothing fails by bad luck.
`HYPOTHESIS_PROFILE=thorough` tries some forty times as much, and each time something else (with CI=true: each time the
same).
"""

import os

from hypothesis import HealthCheck, Phase, settings

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
REPEATABLE = IN_CI or not THOROUGH
# Examples are long on purpose, and some draws depend on the state.
TOLERATED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


# After ten examples Hypothesis tries variations of each for long: many short rounds see more.
EXAMPLES = 9


def machine_settings(steps: int) -> settings:
    """Settings of a round of a state machine, run with a seed; the thorough profile doubles the examples' length."""
    return settings(
        max_examples=EXAMPLES,
        stateful_step_count=steps * (2 if THOROUGH else 1),
        deadline=None,
        # The seed makes it repeatable; derandomized, every round would be the same.
        derandomize=False,
        **({"database": None} if REPEATABLE else {}),
        print_blob=True,
        suppress_health_check=TOLERATED,
    )


def property_settings(examples: int = 100) -> settings:
    """Settings of a property test, to be put above its ``@given``."""
    examples *= 15 if THOROUGH else 1
    return settings(max_examples=examples, deadline=None, derandomize=REPEATABLE, print_blob=True)


def mutant_settings(steps: int) -> settings:
    """Settings of a round that may fail, and then ends."""
    return settings(
        max_examples=EXAMPLES,
        stateful_step_count=steps,
        deadline=None,
        derandomize=False,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=TOLERATED,
    )
