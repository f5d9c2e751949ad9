"""``redis://host:6379/0``: one Redis, or a Redis Cluster, for many machines.

The rules run here, on the rows that a batch of operations touches (see ``tables``). They are read in one round trip and
written in another, by a script that writes nothing if one of them has been changed between: then the batch is done
again. Rows that nobody else uses are kept, so that most batches of a lone process are one round trip. Whoever is in
others' way again and again takes a turn, for which they wait.

``?prefix=`` sets what all keys begin with (``api-billing:``); redis-py's parameters (``ssl_cert_reqs=`` …) apply.
``?shards=`` sets, for a store that is being made, over how many parts of a cluster its accounts are spread (1). A
consumer's account is in one of them, with its requests, windows and idempotency keys; what belongs to no account is in
the first. With more than one, usage cannot be settled on the chain, as that is about many accounts at once, nor can
limits count requests of several consumers together.

As durable as the server is set to be. With ``appendonly yes`` and ``appendfsync always`` an answer that was given
survives a crash of the machine. Redis 7.2 and newer with ``appendonly yes`` alone do as well: each batch ends with
``WAITAOF 1 0`` (``?durable=0`` leaves that out, ``?durable=1`` refuses a server that cannot). Otherwise the last
second, or everything, may be lost in a crash; a warning says so when it is opened. ``maxmemory-policy`` has to be
``noeviction``: a server that may drop keys to make room is refused, as money is not a cache. It is looked at every
second; when keys were dropped meanwhile, the store is refused for good, as nobody knows what its books lack.

Replicas follow a little later: a failover loses what was answered last, a grant included. ``?replicas=1`` has each
batch end with ``WAIT 1``, so that what was answered is on so many of them. A server that has become a replica, or is
loading, is asked for on a new connection.
"""

from __future__ import annotations

import logging
import random
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import redis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from api_billing.metering.errors import IdConflict, MeterError, StoreUnavailable, StoreUnusable
from api_billing.metering.ledger import rules
from api_billing.metering.ledger.operations import (
    Extend,
    GetRecord,
    Note,
    Operation,
    Prune,
    ReadCounts,
    ResetCounts,
    Sweep,
)
from api_billing.metering.ledger.rows import NUMBERS, TIERS
from api_billing.metering.ledger.settlement_operations import ReleaseLease, TakeLease, TakeRead
from api_billing.metering.stores.migrations import SCHEMA_VERSION, check_version
from api_billing.metering.stores.networked import LOOK_SECONDS, ConnectionLost, NetworkedStore, NotStorable
from api_billing.metering.stores.redis.durability import WAIT_MS, append_fsync, durability_of
from api_billing.metering.stores.redis.place import Place, client_options, parsed
from api_billing.metering.stores.redis.rows import TOKEN_BYTES
from api_billing.metering.stores.redis.sharding import chosen_id, merged
from api_billing.metering.stores.redis.tables import Kept, Read, RedisTables, Words
from api_billing.metering.stores.sql import first_rows
from api_billing.metering.stores.store import Reply, Store
from api_billing.showing import redacted

_SCRIPT: Final = Path(__file__).with_name("write.lua").read_bytes()
_SHA: Final = sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_LOST: Final = (redis.ConnectionError, RedisTimeout, RedisClusterException, OSError)
# Begins what is said of the server: nobody can store anything there now (READONLY, MISCONF, UNBLOCKED …).
_OF_SERVER: Final = re.compile(r"(?:^|-)(?!ERR |WRONGTYPE )[A-Z]{3,} ")

_LOOK_AT_CLUSTER_SECONDS: Final = 30.0
_TRY_SECONDS: Final = 10.0
# Operations that are soon done again; more are in vain for so long that others are faster all the time.
_FEW: Final = 16
_TRIES_OF_FEW: Final = 10  # before they take a turn
_TURN_MS: Final = 1_000  # after which others go on, should whoever has the turn have died
_TURNS_SECONDS: Final = 1.0  # for as long large batches take turns at once, after one that was in vain
_PAUSE_SECONDS: Final = 0.0005
_MAX_KEPT: Final = 50_000

# They do not say whose account they are about; and what settlement asks of no account.
_OF_ALL: Final = frozenset({ReadCounts, ResetCounts, GetRecord, Extend})
_ANYWHERE: Final = frozenset({TakeLease, ReleaseLease, TakeRead})

_TURN: Final = f"/turn:{SCHEMA_VERSION}"

_log = logging.getLogger(__name__)
_OF_PARENTS: Final[list[Any]] = []  # after a fork: kept from being collected, and so from being closed


def open_redis(url: str) -> Store:
    """The store at a URL; it connects later. Raises: InvalidSetting."""
    return RedisStore(parsed(url))


class RedisStore(NetworkedStore):
    """Runs the ledger on rows in Redis."""

    def __init__(self, place: Place):
        super().__init__(place.url)
        self.shards = place.shards or 1
        self._place = place
        self._client: Any = None  # of redis-py, for one server or for a cluster
        self._is_cluster = False
        self._wait = False
        self._warned = False
        self._evicted: dict[str, int] = {}  # by server: how many keys it had dropped when it was opened
        self._forget()

    @property
    def counts_across(self) -> bool:
        return self.shards == 1

    def _forget(self) -> None:
        self._who = secrets.token_hex(4)  # begins the tokens of this process
        self._writes = 0
        self._sent = False  # what is being done may have been written
        self._kept: defaultdict[int, Kept] = defaultdict(dict)
        self._turns_until: defaultdict[int, float] = defaultdict(float)

    # --- a batch

    def _perform_together(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        """The replies to operations, each in the shards that it is about."""
        if self.shards == 1:
            return self._in_shard(0, operations)
        if isinstance(operations[0], Sweep | Prune):
            return [self._up_to_limit(operations[0])]
        replies: list[list[Reply]] = [[] for _ in operations]
        places_in: defaultdict[int, list[int]] = defaultdict(list)
        taken = self._taken_by_others(operations)
        for place, operation in enumerate(operations):
            for shard in () if place in taken else self._shards_of(operation):
                places_in[shard].append(place)
        for shard, places in sorted(places_in.items()):
            try:
                self._connected()
                answers = self._in_shard(shard, [operations[place] for place in places])
            except StoreUnavailable as error:  # which the others are not to suffer from
                answers = [error] * len(places)
            for place, answer in zip(places, answers, strict=True):
                replies[place].append(answer)
        for place in taken:
            replies[place].append(IdConflict("this id was used before, for another account"))
        return [merged(operation, each) for operation, each in zip(operations, replies, strict=True)]

    def _taken_by_others(self, operations: Sequence[Operation[Any]]) -> set[int]:
        """The places of those whose id an account in whatever shard has for itself.

        A shard only knows the ids of its own accounts. So an id that somebody chose belongs to the account that it came
        with first, also when nothing came of that. Raises: StoreUnavailable.
        """
        chosen = {place: found for place, each in enumerate(operations) if (found := chosen_id(each)) is not None}
        if not chosen:
            return set()
        try:
            pipeline = self._client.pipeline(transaction=False)
            for name, account, *expiry in chosen.values():
                key = self.key(0, "/") + name
                pipeline.execute_command("SET", key, account, "NX", *expiry)
                pipeline.execute_command("GET", key)
            owners = pipeline.execute()[1::2]
        except (*_LOST, RedisError) as error:
            self._disconnect()
            raise self._failure(error) from error
        return {place for (place, found), owner in zip(chosen.items(), owners, strict=True) if owner != found[1]}

    def _up_to_limit(self, operation: Sweep | Prune) -> Reply:
        replies: list[Reply] = []
        for shard in range(self.shards):
            (reply,) = self._in_shard(shard, [operation])
            if isinstance(reply, MeterError):
                return reply
            replies.append(reply)
            done = reply if isinstance(operation, Sweep) else reply.records
            operation = replace(operation, limit=operation.limit - done)
        return merged(operation, replies)

    def _in_shard(self, shard: int, operations: Sequence[Operation[Any]]) -> list[Reply]:
        def transact(operations: Sequence[Operation[Any]], trusts_fresh: bool) -> list[Reply]:
            self._sent = False
            try:
                return self._do(shard, operations, trusts_fresh=trusts_fresh)
            except _LOST as error:
                raise ConnectionLost(sent=self._sent) from error
            except (UnicodeError, ResponseError) as error:
                if _is_of_server(error):
                    raise ConnectionLost(sent=False) from error
                raise NotStorable from error

        return self._surely(operations, transact)

    def _do(self, shard: int, operations: Sequence[Operation[Any]], *, trusts_fresh: bool) -> list[Reply]:
        """Read, compute and write, until nobody was in the way."""
        until = time.monotonic() + _TRY_SECONDS
        tries = 0
        while True:
            is_large = len(operations) > _FEW
            takes_turn = tries >= _TRIES_OF_FEW or (is_large and time.monotonic() < self._turns_until[shard])
            if takes_turn:
                self._take_turn(shard, until)
            if tries or takes_turn or len(self._kept[shard]) > _MAX_KEPT:
                self._kept[shard].clear()
            tables = RedisTables(self, shard, self._kept[shard], by_key=type(operations[0]) in rules.BY_KEY)
            tables.trusts_fresh = trusts_fresh
            rules.fetch(tables, operations)
            replies = rules.perform(tables, operations)
            if tables.commit(self._token()):
                return replies
            if time.monotonic() > until:
                raise self._failure("others change the same rows all the time")
            tries += 1
            trusts_fresh = False
            if is_large:
                self._turns_until[shard] = time.monotonic() + _TURNS_SECONDS
            else:
                time.sleep(random.uniform(0, tries * _PAUSE_SECONDS))

    def _token(self) -> bytes:
        """Of another write."""
        self._writes += 1
        return f"{self._who}{self._writes:08x}".encode()[:TOKEN_BYTES]

    def _take_turn(self, shard: int, until: float) -> None:
        """Wait until nobody else has the turn, and have it until the next write."""
        while not self.ask("SET", self.key(shard, _TURN), self._who, "NX", "PX", _TURN_MS):
            if time.monotonic() > until:
                raise self._failure("others change the same rows all the time")
            # Whoever has waited longest is told first; and all look again, should who has the turn have died.
            self.ask("BLPOP", self.key(shard, "/next"), _TURN_MS / 4000)

    # --- what tables ask

    def key(self, shard: int, name: str) -> bytes:
        return f"{self._place.prefix}{{{shard}}}{name}".encode()

    def ask(self, *words: Any) -> Any:
        return self._client.execute_command(*words)

    def write(self, shard: int, rows: Sequence[Read], values: Sequence[bytes], commands: Sequence[Words]) -> bool:
        keys = [self.key(shard, _TURN), self.key(shard, "/next"), *[place for place, _ in rows]]
        arguments = [self._who.encode(), b"".join([token for _, token in rows]), b"%d" % len(values), *values]
        for command in commands:
            arguments.append(b"%d" % len(command))
            arguments += command
        self._sent = True
        try:
            return self._run(keys, arguments) == 0
        except NoScriptError:
            # The server forgot its scripts (restarted, or SCRIPT FLUSH): it was not executed.
            self._client.script_load(_SCRIPT)
            return self._run(keys, arguments) == 0

    def _run(self, keys: Words, arguments: Words) -> int:
        words = ["EVALSHA", _SHA, len(keys), *keys, *arguments]
        waits: list[tuple[Any, ...]] = [("WAIT", self._place.replicas, WAIT_MS)] if self._place.replicas else []
        if self._wait:
            waits.append(_WAIT_FOR_DISK)
        if not waits:
            return int(self._client.execute_command(*words))
        if self._is_cluster:
            node = {"target_nodes": self._client.get_node_from_key(keys[0])}
            replies = [self._client.execute_command(*each, **node) for each in (words, *waits)]
        else:
            pipeline = self._client.pipeline(transaction=False)
            for each in (words, *waits):
                pipeline.execute_command(*each)
            replies = pipeline.execute(raise_on_error=False)
        done, *safe = replies
        if isinstance(done, Exception):
            raise done
        for (command, least, *_), reached in zip(waits, safe, strict=True):
            found = reached[0] if isinstance(reached, list) else reached
            if isinstance(found, Exception) or found < least:
                raise self._failure(f"the server did not confirm {command} {least}: {reached}")
        return int(done)

    # --- shards

    def _shards_of(self, operation: Any) -> Sequence[int]:
        kind = type(operation)
        if kind in _OF_ALL:
            return range(self.shards)
        if kind in rules.SETTLEMENT and kind not in _ANYWHERE:
            raise StoreUnavailable(
                f"usage in a store of {self.shards} shards cannot be settled on the chain",
                hint="make the store with ?shards=1",
            )
        account = operation.record.account if kind is Note else getattr(operation, "account", None)
        if account is None:
            return (0,)
        # An account is named as its consumer or, on the chain, with the API before it.
        consumer = account.rpartition("/")[2]
        return (crc32(consumer.encode(errors="surrogatepass")) % self.shards,)

    # --- the connection

    def _connected(self) -> None:
        # A server of a cluster that was stopped holds the others up as long as it is looked at.
        seconds = _LOOK_AT_CLUSTER_SECONDS if self._is_cluster else LOOK_SECONDS
        if self._client is not None and time.monotonic() - self._looked_at > seconds:
            try:
                self._look()
            except (*_LOST, ResponseError):
                self._disconnect()
        if self._client is None:
            self._reached(self._connect, RedisError, RedisClusterException, OSError)

    def _connect(self) -> None:
        try:
            self._client = self._opened()
            self._look()
            self._make()
        except BaseException:
            self._disconnect()
            raise

    def _look(self) -> None:
        """See whether the server is still one to write to. Raises: StoreUnavailable, ResponseError."""
        state, now_us = self.key(0, "/state"), 0
        for server in self._servers():
            pipeline = server.pipeline(transaction=False)
            for section in ("server", "memory", "stats", "replication"):
                pipeline.info(section)
            pipeline.time()
            try:
                *sections, (seconds, microseconds) = pipeline.execute()
            except _LOST:
                if self._is_cluster:
                    continue  # the accounts of the others are not to suffer from it
                raise
            info: dict[str, Any] = {name: value for section in sections for name, value in section.items()}
            if info.get("role", "master") != "master":
                raise ResponseError("READONLY it is a replica")
            if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
                raise StoreUnusable(
                    f"{redacted(self.url)}: maxmemory-policy is {policy}, with which money would be dropped",
                    hint="set it to noeviction",
                )
            evicted = info.get("evicted_keys", 0)
            if evicted > self._evicted.setdefault(info.get("run_id", ""), evicted):
                self.ask("HSET", state, "evicted", evicted)
            now_us = max(now_us, seconds * 1_000_000 + microseconds)
        evicted, version = self.ask("HMGET", state, "evicted", "schema")
        if evicted:
            raise StoreUnusable(
                f"{redacted(self.url)}: the server dropped {int(evicted)} keys to make room: its books are not whole",
                hint=f"restore a backup; or, when you know that it is, HDEL {state.decode()} evicted",
            )
        self._check_version(version)
        self._is_at(now_us)

    def _check_version(self, version: bytes | None) -> None:
        """None: it is not made yet. Raises: StoreUnusable."""
        if version is None:
            self._check_not_lost()
        else:
            check_version(int(version), redacted(self.url))

    def _servers(self) -> list[Any]:
        if self._is_cluster:
            return [node.redis_connection for node in self._client.get_primaries()]
        return [self._client]

    def _opened(self) -> Any:
        self._wait = False
        client = redis.Redis.from_url(self.url, **client_options())
        try:
            self._is_cluster = bool(client.info("cluster").get("cluster_enabled"))
            if not self._is_cluster:
                self._check(client)
                return client
        except BaseException:
            client.close()
            raise
        client.close()
        cluster = redis.RedisCluster.from_url(self.url, **client_options())
        for node in cluster.get_primaries():  # type: ignore[no-untyped-call]
            self._check(node.redis_connection)
        return cluster

    def _check(self, client: Any) -> None:
        durability = durability_of(client.info("all"), append_fsync(client), self._place.durable)
        self._wait = self._wait or durability.wait
        if durability.warning and not self._warned:
            self._warned = True
            _log.warning("%s: %s", redacted(self.url), durability.warning)

    def _make(self) -> None:
        """Make the store, if nobody has, and see how it was made."""
        self._client.script_load(_SCRIPT)
        state = self.key(0, "/state")
        self.ask("HSETNX", state, "schema", SCHEMA_VERSION)
        self._check_version(self.ask("HGET", state, "schema"))
        self.ask("HSETNX", state, "shards", self._place.shards or 1)
        self.shards = int(self.ask("HGET", state, "shards"))
        if self._place.shards not in (None, self.shards):
            raise StoreUnusable(
                f"{redacted(self.url)} was made with {self.shards} shards, which cannot be changed",
                hint="leave out shards=",
            )
        tables = RedisTables(self, by_key=False)
        rows = [row for row in first_rows() if row.kind in (TIERS, NUMBERS)]
        tables.fetch_all([(row.kind, row.key) for row in rows])
        for row in rows:
            if tables.rows[row.kind][row.key] is None:
                tables.put(row)
        tables.commit(self._who.encode() + b"00000000")  # or somebody else has put them
        self._was_there = True

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._kept.clear()
        if client is not None:
            client.close()

    def _abandon(self) -> None:
        _OF_PARENTS.append(self._client)
        self._client = None
        self._forget()


_WAIT_FOR_DISK: Final[tuple[Any, ...]] = ("WAITAOF", 1, 0, WAIT_MS)


def _is_of_server(error: Exception) -> bool:
    """Whether an error is about the server as it is now, and not about what it was asked."""
    return isinstance(error, ResponseError) and (
        type(error) is not ResponseError or bool(_OF_SERVER.search(str(error)))
    )
