"""What a URL says of a Redis, and how it is asked."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from api_billing.metering.errors import InvalidSetting
from api_billing.showing import redacted

_DEFAULT_PREFIX: Final = "api-billing:"
_MAX_SHARDS: Final = 1024
_SECONDS: Final = 5.0  # to connect, and to answer
CLIENT: Final[dict[str, Any]] = {"protocol": 2, "socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}


class Place(NamedTuple):
    """What a URL says: the URL without our own parameters, and these. None: it does not say."""

    url: str
    prefix: str
    durable: bool | None
    shards: int | None
    replicas: int = 0


def client_options() -> dict[str, Any]:
    """The driver's options. Retrying is this module's business, as it knows what may be repeated, and for how long."""
    return {**CLIENT, "retry": Retry(NoBackoff(), 0)}


def parsed(url: str) -> Place:
    """Take a URL apart. Raises: InvalidSetting."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = query.pop("prefix", _DEFAULT_PREFIX)
        durable = {None: None, "0": False, "1": True}[query.pop("durable", None)]
        shards = int(query.pop("shards")) if "shards" in query else None
        if shards is not None and not 1 <= shards <= _MAX_SHARDS:
            raise ValueError(f"from 1 to {_MAX_SHARDS} shards")
        replicas = int(query.pop("replicas", "0"))
        if replicas < 0:
            raise ValueError("so many replicas there cannot be")
        place = urlunsplit(parts._replace(query=urlencode(query)))
        redis.ConnectionPool.from_url(place, **client_options()).make_connection()  # which does not connect yet
    except (ValueError, KeyError, TypeError, redis.RedisError):  # whose text may quote the password
        hint = "write it as redis://host:6379/0?prefix=meter:&durable=1"
        raise InvalidSetting(f"not a Redis URL: {redacted(url)!r}", hint=hint) from None
    return Place(place, prefix, durable, shards, replicas)
