"""Whether a Redis forgets what it has answered."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import redis
from redis.exceptions import BusyLoadingError, ResponseError

from api_billing.metering.errors import StoreUnusable

WAIT_MS: Final = 4_000  # for the disk or a replica: less than what an answer is waited for


class Durability(NamedTuple):
    """What a server does for the answers it gives."""

    wait: bool  # each batch has to end with WAITAOF
    warning: str  # empty: an answer that was given survives a crash


def durability_of(info: dict[str, Any], append_fsync: str | None, wanted: bool | None) -> Durability:
    """What the server does for its answers, from INFO and its setting appendfsync (None: it does not tell).

    Raises: StoreUnusable, when durability is ``wanted`` and the server cannot give it; BusyLoadingError, while it reads
    what it has kept and so does not tell, as after a crash.
    """
    if info.get("loading"):
        raise BusyLoadingError("Redis is loading the dataset in memory")
    if not info.get("aof_enabled"):
        warning = "appendonly is off: what was answered may be lost in a crash; set appendonly yes, appendfsync always"
    elif append_fsync == "always":
        return Durability(False, "")
    elif wanted is False:
        return Durability(False, "with durable=0 the last second may be lost in a crash")
    elif _version(info) >= (7, 2):
        return Durability(True, "")
    else:
        warning = "appendfsync is not always: the last second may be lost in a crash; set it, or use Redis 7.2 or newer"
    if wanted:
        raise StoreUnusable(f"the server cannot do what durable=1 asks for: {warning}")
    return Durability(False, warning)


def append_fsync(client: redis.Redis) -> str | None:
    """The setting appendfsync; None when the server does not tell."""
    try:
        setting: dict[Any, Any] = client.config_get("appendfsync")
    except ResponseError:  # renamed or forbidden, as with hosted servers
        return None
    return next((value for value in setting.values() if isinstance(value, str)), None)


def _version(info: dict[str, Any]) -> tuple[int, ...]:
    parts = str(info.get("redis_version", "0")).split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
