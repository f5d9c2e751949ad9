"""How often each action of the state machine ran, and what came of it; shown at the end of the test session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .model import Outcome

TALLIES: dict[str, Tally] = {}
"""By name of the run."""


class Tally:
    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {}

    def count(self, action: str, outcome: Outcome | None = None) -> None:
        what = "ok" if outcome is None or not outcome.refused else outcome.code or outcome.kind
        self.outcomes.setdefault(action, Counter())[what] += 1

    def succeeded(self, action: str) -> int:
        return self.outcomes.get(action, Counter())["ok"]

    def refused(self, action: str) -> int:
        return self.outcomes.get(action, Counter()).total() - self.succeeded(action)

    def lines(self) -> Iterator[str]:
        for action in sorted(self.outcomes):
            codes = sorted(
                ((count, code) for code, count in self.outcomes[action].items() if code != "ok"), reverse=True
            )
            listed = " ".join(f"{code}={count}" for count, code in codes)
            yield f"{action:22} ok {self.succeeded(action):5}  refused {self.refused(action):5}  {listed}".rstrip()
