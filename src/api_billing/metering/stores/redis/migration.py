"""Keys written by an older program, brought to today's schema, row by row.

Writers of the older version are shut out first, and for ever: it is never their turn again (see ``write.lua``), so that
what they answered stays, and they answer nothing more. Then rows are rewritten that have the columns of before, each if
nobody else has meanwhile. So it can be broken off and repeated, and two may do it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis.exceptions import RedisError

from api_billing.metering.errors import StoreUnusable
from api_billing.metering.ledger.kinds import Kind
from api_billing.metering.stores.migrations import (
    ADDED,
    LISTED,
    NOTHING_THERE,
    OLDEST,
    SCHEMA_VERSION,
    Migrated,
    Tell,
    check_can_migrate,
    check_version,
    columns_at,
)
from api_billing.metering.stores.redis.place import parsed
from api_billing.metering.stores.redis.rows import TOKEN_BYTES, key_of, letter_of, members, with_columns
from api_billing.metering.stores.redis.store import _LOST, RedisStore
from api_billing.metering.stores.redis.tables import Read, RedisTables
from api_billing.showing import redacted

_PAGE: Final = 500
_SHUT_OUT: Final = "of a newer version"
# Unless somebody else has brought it further.
_RAISE: Final = "if redis.call('HGET',KEYS[1],'schema')==ARGV[1] then redis.call('HSET',KEYS[1],'schema',ARGV[2]) end"


def migrate_redis(url: str, tell: Tell, *, check: bool = False) -> Migrated:
    """Migrate the keys at a URL, unless they have today's schema; ``check`` only looks.

    Raises: InvalidSetting, StoreUnavailable, StoreUnusable.
    """
    store = _Migrating(parsed(url))
    try:
        store.connect()
        return store.migrate(redacted(url), tell, check=check)
    except (*_LOST, RedisError) as error:
        raise store._failure(error) from error
    finally:
        store.close()


class _Migrating(RedisStore):
    """The connection, and scripts, of a store that nobody can ask."""

    def _make(self) -> None:
        """It is there, or it is not."""

    def _check_version(self, version: bytes | None) -> None:
        """An older one is what it is for."""

    def migrate(self, what: str, tell: Tell, *, check: bool) -> Migrated:
        state = self.key(0, "/state")
        version, shards = self.ask("HMGET", state, "schema", "shards")
        if version is None:
            return NOTHING_THERE
        was, self.shards = int(version), int(shards)
        if check:
            check_version(was, what)
        check_can_migrate(was, what)
        for last in range(was, SCHEMA_VERSION):
            for shard in range(self.shards):
                self.ask("SET", self.key(shard, _turn_of(last)), _SHUT_OUT)
            while self._rewrite_all(last, tell):
                pass  # what was rewritten is looked at again
            self.ask("EVAL", _RAISE, 1, state, last, last + 1)
        return Migrated(was)

    def _rewrite_all(self, last: int, tell: Tell) -> int:
        """Rewrite rows of a version as those of the next; how many there were."""
        kinds = {letter_of(kind).encode(): kind for kind in ADDED[last + 1].keys() | LISTED[last + 1]}
        prefix = self.key(0, "").removesuffix(b"{0}")
        pattern = re.sub(rb"([*?\[\]\\])", rb"\\\1", prefix) + b"{*}[" + b"".join(kinds) + b"]*"
        place = re.compile(re.escape(prefix) + rb"\{(\d+)\}(.)", re.DOTALL)
        rewritten = seen = 0
        for server in self._servers():
            total = seen + server.dbsize()
            for keys in _pages(server, pattern):
                found: dict[tuple[int, Kind], list[bytes]] = {}
                for key in keys:
                    if (parts := place.match(key)) is not None:
                        found.setdefault((int(parts[1]), kinds[parts[2]]), []).append(key)
                for (shard, kind), of_kind in found.items():
                    try:
                        rewritten += self._rewrite(shard, kind, of_kind, last)
                        if kind in LISTED[last + 1]:
                            self._list(shard, kind, of_kind)
                    except (TypeError, ValueError) as error:
                        keys_of_it = self.key(shard, letter_of(kind)).decode()
                        raise StoreUnusable(
                            f"a key that begins with {keys_of_it} has no row of {kind.name} of schema version {last}",
                            hint="restore a backup, or delete the key if it is none of the meter's, and repeat this",
                        ) from error
                seen += _PAGE
                tell("looking at keys", min(seen, total), total)
        return rewritten

    def _rewrite(self, shard: int, kind: Kind, keys: Sequence[bytes], last: int) -> int:
        was, now = (columns_at(kind, version)[len(kind.key) :] for version in (last, last + 1))
        reads: list[Read] = []
        values: list[bytes] = []
        token = self._token()
        for key, value in zip(keys, self.ask("MGET", *keys), strict=True):
            kept = value and with_columns(value[TOKEN_BYTES:], was, now, ADDED[last + 1].get(kind, {}))
            if kept:
                reads.append((key, value[:TOKEN_BYTES]))
                values.append(token + kept)
        if reads:
            self.write(shard, reads, values, [])  # if not, somebody else has changed them
        return len(reads)

    def _list(self, shard: int, kind: Kind, keys: Sequence[bytes]) -> None:
        """Put rows into all lists that new ones would be put into."""
        start = len(self.key(shard, ""))
        tables = RedisTables(self, shard)
        tables.fetch(kind, [key_of(kind, key[start:].decode()) for key in keys])
        pipeline = self._client.pipeline(transaction=False)
        for row in [row for row in tables.rows[kind].values() if row is not None]:
            row.stored = False
            for is_in, name, score, member in members(row):
                if is_in:
                    pipeline.execute_command("ZADD", self.key(shard, f"/{name}"), score, member)
        pipeline.execute()


def _turn_of(version: int) -> str:
    """Where it says whose turn it is, among the processes of a version."""
    return "/turn" if version == OLDEST else f"/turn:{version}"


def _pages(server: Any, pattern: bytes) -> Iterator[list[bytes]]:
    cursor = None
    while cursor != 0:
        cursor, keys = server.scan(cursor or 0, match=pattern, count=_PAGE)
        yield keys
