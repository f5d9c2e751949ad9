"""Counts the requests of one API off chain, until a batch of them is settled."""

import json
from dataclasses import dataclass
from typing import Final

from api_billing.merkle import root_of_lines
from demo.log_line import Request
from demo.terms import ApiTerms

SETTLE_EVERY_SECONDS: Final = 3_600
SETTLE_AFTER_MIDNIGHT_SECONDS: Final = 60
MAX_BATCH_ENTRIES: Final = 256
"""Both are the contract's: an entry is the usage of one consumer on one day, and a day is closed a day later."""

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


class UsageMeter:
    """The meter of one API. Not thread-safe."""

    def __init__(self, api: ApiTerms) -> None:
        self.api = api
        self.batches = 0
        self._used: dict[tuple[str, int], tuple[int, int]] = {}
        self._lines: list[bytes] = []
        self._due_at: int | None = None

    @property
    def due_at(self) -> int | None:
        """When what was counted has to be settled, in unix seconds; None while there is nothing.

        That is an hour after its first request, and soon after midnight so that the day before is closed.
        """
        return self._due_at

    @property
    def is_full(self) -> bool:
        """Whether another client might not fit into the batch."""
        return len(self._used) >= MAX_BATCH_ENTRIES

    def record(self, entry: Request) -> None:
        """Count one request at its cost."""
        key = (entry.client, entry.day_id)
        calls, spend_wei = self._used.get(key, (0, 0))
        self._used[key] = (calls + 1, spend_wei + self.api.cost_wei(entry.size_bytes))
        self._lines.append(usage_line(self.api, entry))
        if self._due_at is None:
            midnight = (entry.day_id + 1) * _DAY_SECONDS
            self._due_at = min(entry.at + SETTLE_EVERY_SECONDS, midnight + SETTLE_AFTER_MIDNIGHT_SECONDS)

    def take_batch(self) -> Batch:
        """Return what was counted, and begin anew. Raises: ValueError, when that is nothing."""
        root = root_of_lines(self._lines).hex()
        entries = tuple(BatchEntry(*key, *used) for key, used in self._used.items())
        self.batches += 1
        self._used, self._lines, self._due_at = {}, [], None
        return Batch(self.batches, entries, root)
