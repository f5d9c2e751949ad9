"""``redis://host:6379/0``: one Redis for many machines. Not Redis Cluster: a step touches keys of several slots.

What waits for the store together goes as one pipeline: one round trip. The steps themselves are a script in the server
(``redis_ledger.lua``), so that a reservation needs no second question. ``?prefix=`` sets what all keys begin with
(``api-billing:``); redis-py's parameters (``socket_timeout=``, ``ssl_cert_reqs=`` …) apply.

As durable as the server is set to be. With ``appendonly yes`` and ``appendfsync always`` an answer that was given
survives a crash of the machine. Redis 7.2 and newer with ``appendonly yes`` alone do as well: each batch ends with
``WAITAOF 1 0`` (``?durable=0`` leaves that out, ``?durable=1`` refuses a server that cannot). Otherwise the last
second, or everything, may be lost in a crash; a warning says so when it is opened. ``maxmemory-policy`` has to be
``noeviction``: a server that may drop keys to make room is refused, as money is not a cache.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from api_billing.metering.errors import InvalidSetting, MeterError, StoreUnavailable
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.limits.tiers import DEFAULT_TIERS
from api_billing.metering.stores.opening import redacted
from api_billing.metering.stores.redis.listings import LISTINGS
from api_billing.metering.stores.redis.settlement import SETTLEMENT_LISTINGS
from api_billing.metering.stores.redis.steps import COMMANDS, Value, tier_to_text
from api_billing.metering.stores.repeating import is_repeatable, outcome_unknown
from api_billing.metering.stores.store import Reply, Store

SCHEMA_VERSION: Final = 1

_SCRIPT: Final = Path(__file__).with_name("ledger.lua").read_bytes()
_SHA: Final = sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_DEFAULT_PREFIX: Final = "api-billing:"
_SECONDS: Final = 5.0  # to connect, and to answer
_FSYNC_MS: Final = 5_000
_LOST: Final = (redis.ConnectionError, RedisTimeout, OSError)

Words = list[Value]

_log = logging.getLogger(__name__)
_OF_PARENTS: Final[list[Any]] = []  # after a fork: kept from being collected, and so from being closed


class Durability(NamedTuple):
    """What a server does for the answers it gives."""

    wait: bool  # each batch has to end with WAITAOF
    warning: str  # empty: an answer that was given survives a crash


def open_redis(url: str) -> Store:
    """Connect, and check that the server does not forget. Raises: InvalidSetting, StoreUnavailable."""
    place, prefix, durable = _parsed(url)
    store = RedisStore(place, prefix, durable)
    store.connect()
    return store


class RedisStore(Store):
    """Asks a script in Redis, over one connection. Thread-safe, as every store.

    ``durable``: whether batches end with WAITAOF; None: when the server can and has to.
    """

    def __init__(self, url: str, prefix: str = _DEFAULT_PREFIX, durable: bool | None = None):
        super().__init__(url)
        self._prefix = prefix
        self._durable = durable
        self._client: redis.Redis | None = None
        self._wait = False
        self._warned = False
        self._no_try_before = 0.0

    def connect(self) -> None:
        """Connect now, rather than with the first operation. Raises: StoreUnavailable."""
        with self._turn:
            self._connected()

    # --- a batch

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        replies: list[Reply] = []
        for together in _pipelines(operations):
            try:
                replies += self._do(together)
            except StoreUnavailable as error:
                replies += [error] * len(together)
        return replies

    def _do(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        try:
            return self._try(operations)
        except _LOST as error:
            # It may have been executed and only the answers lost. Ids make a repetition of most operations safe: what
            # was done is found by its id, and answered as before.
            self._disconnect()
            again = [operation for operation in operations if is_repeatable(operation)]
            try:
                replies = iter(self._try(again) if again else ())
            except _LOST as second:
                self._disconnect()
                raise self._failure(second) from second
            return [
                next(replies) if is_repeatable(operation) else outcome_unknown(operation, error)
                for operation in operations
            ]
        except BaseException:
            # Interrupted: answers that were not read must not become those of the next batch.
            self._disconnect()
            raise

    def _try(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        client = self._connected()
        listing = LISTINGS.get(type(operations[0])) or SETTLEMENT_LISTINGS.get(type(operations[0]))
        if listing is None:
            return self._pipeline(client, operations)
        try:
            reply = listing(self, operations[0])
            self._wait_for_disk(client.pipeline(transaction=False))
        except (ResponseError, UnicodeError) as error:
            return [self._refusal(operations[0], error)]
        return [reply]

    def _pipeline(self, client: redis.Redis, operations: Sequence[Operation[Any]]) -> list[Reply]:
        replies: list[Reply] = [None] * len(operations)
        asked: list[tuple[int, Words]] = []
        for index, operation in enumerate(operations):
            try:
                asked.append((index, self._words(operation)))
            except UnicodeError as error:
                replies[index] = self._refusal(operation, error)
        answers = self._send(client, [words for _, words in asked])
        for (index, _), answer in zip(asked, answers, strict=True):
            operation = operations[index]
            if isinstance(answer, Exception):
                replies[index] = self._refusal(operation, answer)
            else:
                replies[index] = COMMANDS[type(operation)].answer(operation, answer)
        return replies

    def _words(self, operation: Operation[Any]) -> Words:
        command = COMMANDS[type(operation)]
        if command.key is None:
            return self._step_words(command.step, command.values(operation))
        key = (self._prefix + command.key(operation)).encode()
        return [command.command, key, *map(_encoded, command.values(operation))]

    def _step_words(self, step: str, values: Sequence[Value]) -> Words:
        return ["EVALSHA", _SHA, 0, self._prefix, step, *map(_encoded, values)]

    def _send(self, client: redis.Redis, commands: Sequence[Words], *, wait: bool = True) -> list[Any]:
        """Send commands in one pipeline; a ResponseError stands in the place of a reply."""
        pipeline = client.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
        answers: list[Any] = self._wait_for_disk(pipeline) if wait else pipeline.execute(raise_on_error=False)
        missing = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            # The server forgot its scripts (restarted, or SCRIPT FLUSH): none of these was executed.
            client.script_load(_SCRIPT)
            again = self._send(client, [commands[index] for index in missing], wait=wait)
            for index, answer in zip(missing, again, strict=True):
                answers[index] = answer
        return answers

    def _wait_for_disk(self, pipeline: Any) -> list[Any]:
        """Execute a pipeline and, when the server does not do so by itself, have it on disk before answers count."""
        if not self._wait:
            return cast(list[Any], pipeline.execute(raise_on_error=False))
        pipeline.execute_command("WAITAOF", 1, 0, _FSYNC_MS)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        synced = answers.pop()
        if isinstance(synced, Exception) or not synced[0]:
            raise StoreUnavailable(f"{redacted(self.url)}: the server did not confirm that it wrote to disk: {synced}")
        return answers

    # --- what listings ask

    def ask(self, command: str, key: str, *values: Value) -> Any:
        """The reply to one command on a key under the prefix."""
        return self.ask_all([(command, key, values)])[0]

    def ask_all(self, commands: list[tuple[str, str, tuple[Value, ...]]]) -> list[Any]:
        """The replies to several commands on keys under the prefix, in one round trip."""
        words: list[Words] = [
            [command, (self._prefix + key).encode(), *map(_encoded, values)] for command, key, values in commands
        ]
        return self._answered(words)

    def step(self, step: str, *values: Value) -> Any:
        """The reply of a step of the script."""
        return self._answered([self._step_words(step, values)])[0]

    def _answered(self, commands: list[Words]) -> list[Any]:
        if not commands:
            return []
        answers = self._send(self._connected(), commands, wait=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    # --- the connection

    def _connected(self) -> redis.Redis:
        if self._client is None:
            started = time.monotonic()
            if started < self._no_try_before:
                raise StoreUnavailable(f"{redacted(self.url)} could not be reached a moment ago")
            try:
                self._client = self._connect()
            except (RedisError, OSError) as error:
                # As long as the attempt took, others are told at once: a server that does not answer holds up few.
                now = time.monotonic()
                self._no_try_before = now + min(now - started, _SECONDS)
                raise self._failure(error) from error
        return self._client

    def _connect(self) -> redis.Redis:
        client = redis.Redis.from_url(self.url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, **_CLIENT)
        try:
            self._check(client)
            client.script_load(_SCRIPT)
            self._make(client)
        except BaseException:
            client.close()
            raise
        return client

    def _check(self, client: redis.Redis) -> None:
        info: dict[str, Any] = client.info("all")
        if info.get("cluster_enabled"):
            raise StoreUnavailable(f"{redacted(self.url)}: Redis Cluster is not supported; use one server")
        if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
            raise StoreUnavailable(
                f"{redacted(self.url)}: maxmemory-policy is {policy}, with which money would be dropped to make room",
                hint="set it to noeviction",
            )
        durability = durability_of(info, _append_fsync(client), self._durable)
        self._wait = durability.wait
        if durability.warning and not self._warned:
            self._warned = True
            _log.warning("%s: %s", redacted(self.url), durability.warning)

    def _make(self, client: redis.Redis) -> None:
        state = self._prefix + "state"
        if client.hsetnx(state, "schema", str(SCHEMA_VERSION)):
            for tier in DEFAULT_TIERS:
                client.hset(self._prefix + "tiers", tier.name, tier_to_text(tier))
        version = int(client.hget(state, "schema") or 0)
        if version != SCHEMA_VERSION:
            raise StoreUnavailable(f"the keys are of version {version}; this program knows version {SCHEMA_VERSION}")

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _abandon(self) -> None:
        if self._client is not None:
            _OF_PARENTS.append(self._client)
            self._client = None

    def _failure(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{redacted(self.url)}: {error}")

    def _refusal(self, operation: Operation[Any], error: Exception) -> MeterError:
        return StoreUnavailable(f"{redacted(self.url)}: {type(operation).__name__} failed: {error}")


# Retrying is this module's business, as it knows what may be repeated.
_CLIENT: Final[dict[str, Any]] = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}


def durability_of(info: dict[str, Any], append_fsync: str | None, wanted: bool | None) -> Durability:
    """What the server does for its answers, from INFO and its setting appendfsync (None: it does not tell).

    Raises: StoreUnavailable, when durability is ``wanted`` and the server cannot give it.
    """
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
        raise StoreUnavailable(f"the server cannot do what durable=1 asks for: {warning}")
    return Durability(False, warning)


def _version(info: dict[str, Any]) -> tuple[int, ...]:
    parts = str(info.get("redis_version", "0")).split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _append_fsync(client: redis.Redis) -> str | None:
    try:
        setting: dict[Any, Any] = client.config_get("appendfsync")
    except ResponseError:  # renamed or forbidden, as with hosted servers
        return None
    return next((value for value in setting.values() if isinstance(value, str)), None)


def _encoded(value: Value) -> bytes | int:
    return value.encode() if isinstance(value, str) else value


def _pipelines(operations: Sequence[Operation[Any]]) -> Iterator[list[Operation[Any]]]:
    """Neighbours that are one command each go together; whatever takes several goes alone. The order stays."""
    together: list[Operation[Any]] = []
    for operation in operations:
        if type(operation) in COMMANDS:
            together.append(operation)
            continue
        if together:
            yield together
            together = []
        yield [operation]
    if together:
        yield together


def _parsed(url: str) -> tuple[str, str, bool | None]:
    """The URL without our own parameters, the prefix, and whether durability is wanted."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = query.pop("prefix", _DEFAULT_PREFIX)
        durable = {None: None, "0": False, "1": True}[query.pop("durable", None)]
        place = urlunsplit(parts._replace(query=urlencode(query)))
        redis.ConnectionPool.from_url(place)
    except (ValueError, KeyError, TypeError) as error:
        hint = "write it as redis://host:6379/0?prefix=meter:&durable=1"
        raise InvalidSetting(f"not a Redis URL: {redacted(url)!r}", hint=hint) from error
    return place, prefix, durable
