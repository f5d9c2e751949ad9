"""Counts the requests of one API off chain, until a batch of them is settled."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import batched
from typing import Final

from api_billing.merkle import leaf_hash, merkle_root
from demo.log_line import Request
from demo.terms import ApiTerms

SETTLE_EVERY_SECONDS: Final = 3_600
SETTLE_AFTER_MIDNIGHT_SECONDS: Final = 60
MAX_BATCH_ENTRIES: Final = 256
"""Both are the contract's: an entry is the usage of one consumer on one day, and a day is closed a day later."""

MAX_LINES: Final = 20_000

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """What one client used on one UTC day."""

    client: str
    day_id: int
    calls: int
    spend_wei: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Usage that is posted in one transaction. ``usage_root``: 32 bytes in hex, the Merkle root of its usage lines."""

    sequence: int
    entries: tuple[BatchEntry, ...]
    usage_root: str


def usage_line(api: ApiTerms, entry: Request) -> bytes:
    """Return the line that stands for one request in the usage root: JSON with sorted keys and no spaces."""
    fields = {
        "api": api.name,
        "at": entry.at,
        "client": entry.client,
        "cost_wei": api.cost_wei(entry.size_bytes),
        "line_no": entry.line_no,
    }
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


@dataclass(slots=True)
class _Used:
    calls: int = 0
    spend_wei: int = 0
    leaves: list[bytes] = field(default_factory=list)


class UsageMeter:
    """The meter of one API. Not thread-safe."""

    def __init__(self, api: ApiTerms) -> None:
        self.api = api
        self.batches = 0
        self._used: defaultdict[tuple[str, int], _Used] = defaultdict(_Used)
        self._lines = 0
        self._due_at: int | None = None

    @property
    def due_at(self) -> int | None:
        """When what was counted has to be settled, in unix seconds; None while there is nothing.

        That is soon after midnight so that the day before is closed. A metered API takes from what consumers have set
        aside, and settles an hour after its first request.
        """
        return self._due_at

    @property
    def is_full(self) -> bool:
        """Whether it should be settled for the memory it takes."""
        return self._lines >= MAX_LINES

    def has(self, client: str, day_id: int) -> bool:
        """Whether there is something of the client to settle, of that day or the one before."""
        return (client, day_id) in self._used or (client, day_id - 1) in self._used

    def record(self, entry: Request) -> None:
        """Count one request at its cost."""
        used = self._used[entry.client, entry.day_id]
        used.calls += 1
        used.spend_wei += self.api.cost_wei(entry.size_bytes)
        used.leaves.append(leaf_hash(usage_line(self.api, entry)))
        self._lines += 1
        if self._due_at is None:
            self._due_at = (entry.day_id + 1) * _DAY_SECONDS + SETTLE_AFTER_MIDNIGHT_SECONDS
            if self.api.is_metered:
                self._due_at = min(self._due_at, entry.at + SETTLE_EVERY_SECONDS)

    def take_batches(self) -> list[Batch]:
        """Return what was counted, in as few batches as can hold it, and begin anew; none, when that is nothing."""
        batches = []
        for some in batched(self._used.items(), MAX_BATCH_ENTRIES):
            entries = tuple(BatchEntry(*key, used.calls, used.spend_wei) for key, used in some)
            root = merkle_root([leaf for _, used in some for leaf in used.leaves])
            self.batches += 1
            batches.append(Batch(self.batches, entries, root.hex()))
        self._used.clear()
        self._lines, self._due_at = 0, None
        return batches
