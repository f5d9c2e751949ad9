"""What a log asks for, before anything is billed: how many calls of whom, to which API, on which day."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from demo.log_line import Request
from demo.terms import parts_of


class Pair(NamedTuple):
    """One client as the caller of one API."""

    client: str
    api: str


@dataclass(slots=True)
class PairDemand:
    """The calls of one pair by UTC day, and by what a meter takes them for, see `parts_of`."""

    calls_by_day: Counter[int] = field(default_factory=Counter)
    calls_by_day_and_parts: Counter[tuple[int, int]] = field(default_factory=Counter)

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
    first_at, last_at = 2**63, -1
    for entry in entries:
        pair = pairs[Pair(entry.client, entry.api)]
        pair.calls_by_day[entry.day_id] += 1
        pair.calls_by_day_and_parts[entry.day_id, parts_of(entry.size_bytes)] += 1
        by_api[entry.api] += 1
        by_client[entry.client] += 1
        first_at, last_at = min(first_at, entry.at), max(last_at, entry.at)
    if last_at < 0:
        raise ValueError("there is no request")
    return Demand(dict(pairs), _ranked(by_api), _ranked(by_client), first_at, last_at)


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
