"""Filters that the node remembers for a client, which asks again and again what is new."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from genlayer_localnet.rpc.errors import refused
from genlayer_localnet.rpc.logs import LogFilter, find_logs
from genlayer_localnet.rpc.parameters import shown
from genlayer_localnet.state.world import World

MAX_FILTERS: Final = 1_000
IDLE_SECONDS: Final = 300
"""After so long without a question a filter is forgotten, as by other nodes."""

Numbers = Callable[[World], list[str]]


@dataclass(slots=True)
class Filter:
    """``wanted`` None: of the ids that ``ids`` gives. ``seen``: how many of them, or blocks, have been told."""

    ids: Numbers
    seen: int
    asked_at: float
    wanted: LogFilter | None = None


def blocks(world: World) -> list[str]:
    """Hashes of the blocks, in order."""
    return world.blocks


def transactions(world: World) -> list[str]:
    """Hashes of the transactions, in the order of their arrival."""
    return list(world.transactions)


class Filters:
    """All that were made and are in use. Used under the localnet's lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._filters: dict[str, Filter] = {}
        """Whose question is the longest ago comes first."""

    def add(self, world: World, ids: Numbers = blocks, wanted: LogFilter | None = None) -> str:
        """What comes from now on; its id. Raises: RpcError, when there are too many."""
        now = self._clock()
        while self._filters and next(iter(self._filters.values())).asked_at + IDLE_SECONDS < now:
            del self._filters[next(iter(self._filters))]
        if len(self._filters) >= MAX_FILTERS:
            raise refused(f"there are {MAX_FILTERS} filters already: uninstall those that are not needed")
        key = hex(next(self._numbers))
        self._filters[key] = Filter(ids, len(ids(world)), now, wanted)
        return key

    def changes(self, world: World, key: Any) -> list[Any]:
        """Logs, or ids, that are new since the last time. Raises: RpcError."""
        asked = self._asked(key)
        ids = asked.ids(world)
        seen, asked.seen = min(asked.seen, len(ids)), len(ids)  # a snapshot may have brought a shorter chain back
        if asked.wanted is None:
            return ids[seen:]
        return find_logs(world, replace(asked.wanted, first=max(asked.wanted.first, seen + 1)))

    def logs(self, world: World, key: Any) -> list[dict[str, Any]]:
        """All logs, also those that were told. Raises: RpcError."""
        asked = self._asked(key)
        if asked.wanted is None:
            raise refused("filter not found: this one is not of logs")
        return find_logs(world, asked.wanted)

    def remove(self, key: Any) -> bool:
        """Whether there was such a filter."""
        return self._filters.pop(str(key), None) is not None

    def _asked(self, key: Any) -> Filter:
        found = self._filters.pop(str(key), None)
        now = self._clock()
        if found is None or found.asked_at + IDLE_SECONDS < now:
            raise refused(f"filter not found: {shown(key)}")
        found.asked_at = now
        self._filters[str(key)] = found
        return found
