"""What a log asks for, before anything is billed: how many calls of whom, to which API, on which day."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from demo.log_line import Request


class Pair(NamedTuple):
    """One client as the caller of one API."""

    client: str
    api: str


@dataclass(slots=True)
class PairDemand:
    """The calls of one pair by UTC day, and the bodies they were answered with by size."""

    calls_by_day: Counter[int] = field(default_factory=Counter)
    calls_by_day_and_size: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def peak_day_calls(self) -> int:
        """The calls on the busiest day."""
        return max(self.calls_by_day.values())


@dataclass(frozen=True, slots=True)
class Demand:
    """The demand of a whole log. ``calls_by_api`` and ``calls_by_client`` have the busiest first, then by name."""

    pairs: Mapping[Pair, PairDemand]
    calls_by_api: Mapping[str, int]
    calls_by_client: Mapping[str, int]
    first_at: int
    last_at: int


def demand_of(entries: Iterable[Request]) -> Demand:
    """Count the requests of a log; there is at least one.

    Raises: ValueError, when there is none.
    """
    pairs: defaultdict[Pair, PairDemand] = defaultdict(PairDemand)
    by_api: Counter[str] = Counter()
    by_client: Counter[str] = Counter()
    times = []
    for entry in entries:
        pair = pairs[Pair(entry.client, entry.api)]
        pair.calls_by_day[entry.day_id] += 1
        pair.calls_by_day_and_size[entry.day_id, entry.size_bytes or 0] += 1
        by_api[entry.api] += 1
        by_client[entry.client] += 1
        times.append(entry.at)
    return Demand(dict(pairs), _ranked(by_api), _ranked(by_client), min(times), max(times))


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
