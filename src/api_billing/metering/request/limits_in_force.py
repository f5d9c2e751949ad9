"""Limits of requests as they are in force: those of the terms, and those that were set at run time, which come first.

What was set is remembered as profiles are: each change gives these another version, so that a process that still has
the old ones learns of it by the answer to its next reservation. Clients without a profile have what was read last, for
a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from api_billing.metering.ledger.limit_operations import ListLimits, SetLimits
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.scopes import Limits, limits_at
from api_billing.metering.stores.steps import Steps

_MAX_MADE: Final = 1_000
_NOT_MADE: Final = Limits("", ())
_NONE: Final[Mapping[str, tuple[Limit, ...]]] = {}


class _Read(NamedTuple):
    version: int
    at_ms: int
    by_api: Mapping[str, tuple[Limit, ...]]
    made: dict[tuple[str, Limits | None], Limits | None]  # of the terms' own ones


class LimitsInForce:
    """What this process knows of limits that were set. Thread-safe."""

    def __init__(self, max_age_ms: int) -> None:
        self._max_age_ms = max_age_ms
        self._read = _Read(-2, 0, _NONE, {})

    def are_known(self, version: int, now_ms: int) -> bool:
        """Whether those are known that a profile of this version comes with; -1 is that of clients without one."""
        read = self._read
        if version >= 0:
            return version <= read.version
        return read.version >= 0 and 0 <= now_ms - read.at_ms < self._max_age_ms

    def read(self, now_ms: int) -> Steps[None]:
        """Read them. Raises: StoreUnavailable."""
        found: SetLimits = yield ListLimits()
        self._read = _Read(found.version, now_ms, found.by_api, {})

    def over(self, api: str, own: Limits | None) -> Limits | None:
        """The limits of requests whose terms have their ``own``: one that is set is in the place of that of its name,
        or one more. That of a group is for routes which have a limit of this group.
        """
        read = self._read
        if not read.by_api or not (changed := read.by_api.get(api)):
            return own
        found = read.made.get((api, own), _NOT_MADE)
        if found is _NOT_MADE:
            limits = {limit.name: limit for limit in own.given} if own is not None else {}
            groups = {limit.group for limit in limits.values() if limit.group}
            limits |= {limit.name: limit for limit in changed if not limit.group or limit.group in groups}
            found = limits_at(api, tuple(limits.values()))
            if len(read.made) >= _MAX_MADE:
                read.made.clear()
            read.made[api, own] = found
        return found
