"""The ledger's tables over PostgreSQL: a batch is one transaction, and two round trips.

The first begins it and locks what the batch touches: all rows of a kind in one statement, kinds and keys in one order,
so that two processes never wait for each other. The second writes what the rules have changed, and commits. What has
no row yet cannot be locked: whoever inserts it second is refused, and does the batch again.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar, Final

import psycopg

from api_billing.metering.clock import system_clock_ms
from api_billing.metering.ledger.kinds import Key, Kind, Row
from api_billing.metering.ledger.operations import Reserve
from api_billing.metering.ledger.rows import (
    API_KEYS,
    CONSUMERS,
    FIRED,
    GRANTS,
    KINDS,
    NUMBERS,
    REQUESTS,
    TIERS,
    reserve_of,
)
from api_billing.metering.ledger.tables import dirty
from api_billing.metering.stores.postgresql.texts import SHORT_NAME, is_short, received, sent, shortened
from api_billing.metering.stores.sql import SqlTables

Connection = psycopg.Connection[tuple[Any, ...]]

PREFIX: Final = "meter_"
TYPES: Final[dict[Any, str]] = {
    "name": 'text collate "C"', "text": "text", "int": "bigint", "wei": "numeric", "bytes": "bytea",
}  # fmt: skip
# A value within a JSON array: as it is sent, and as it is received.
_SENT: Final[dict[Any, str]] = {
    "name": "(w.v->>{})", "text": "(w.v->>{})", "int": "(w.v->>{})::bigint", "wei": "(w.v->>{})::numeric",
    "bytes": "decode(w.v->>{}, 'base64')",
}  # fmt: skip
_RECEIVED: Final = {"wei": "t.{}::text", "bytes": "encode(t.{}, 'base64')"}
# Requests only look at consumers, whose versions tell of changes; and what is only inserted is found out by inserting.
_LOOKED_AT: Final = frozenset({NUMBERS, TIERS, CONSUMERS, API_KEYS, GRANTS, FIRED})


class _Statements:
    """How rows of a kind are read and written, all at once. They come and go as JSON arrays: so those of all kinds can
    be the answer to one statement, and there is one value to send for each kind.
    """

    def __init__(self, kind: Kind) -> None:
        table = PREFIX + kind.name
        names = [column.name for column in kind.columns]
        values = [_SENT[column.type].format(place) for place, column in enumerate(kind.columns)]
        wanted = "jsonb_array_elements(%s::jsonb) as w (v)"
        same = " and ".join(f"t.{column.name} = {value}" for column, value in zip(kind.key, values, strict=False))
        order = ", ".join(f"t.{column.name}" for column in kind.key)
        columns = ", ".join(_RECEIVED.get(column.type, "t.{}").format(column.name) for column in kind.columns)
        self.look = f"select json_build_array({columns})::text as r from {wanted} join {table} t on {same}"
        self.lock = f"{self.look} order by {order} for update of t"
        self.insert = f"insert into {table} ({', '.join(names)}) select {', '.join(values)} from {wanted}"
        self.delete = f"delete from {table} t using {wanted} where {same}"
        changing = [f"{name} = {value}" for name, value in zip(names, values, strict=True)][kind.fixed :]
        self.update = f"update {table} t set {', '.join(changing)} from {wanted} where {same}"
        self.names = frozenset(index for index, column in enumerate(kind.columns) if column.type == "name")
        self.texts = frozenset(index for index, column in enumerate(kind.columns) if column.type in ("name", "text"))
        self.bytes = tuple(index for index, column in enumerate(kind.columns) if column.type == "bytes")


def columns_of(kind: Kind, of: str = "") -> str:
    """The columns of a table, to be selected; amounts as texts."""
    return ", ".join(f"{of}{column.name}{'::text' if column.type == 'wei' else ''}" for column in kind.columns)


_STATEMENTS: Final = {kind: _Statements(kind) for kind in KINDS}
_NAMES: Final = f"insert into {PREFIX}names select * from unnest(%s::text[], %s::text[]) on conflict do nothing"
_FIXED: Final = ", ".join(columns_of(REQUESTS).split(", ")[: REQUESTS.fixed])
_RESERVES: Final = f"select {_FIXED} from {PREFIX}requests where record_id = any(%s)"


@lru_cache(maxsize=1000)
def _together(selects: tuple[str, ...]) -> bytes:
    """One statement whose rows are those of several, each with the place of its own."""
    parts = ", ".join(f"s{place} as ({select})" for place, select in enumerate(selects))
    return f"with {parts} {' union all '.join(f'select {n}, r from s{n}' for n in range(len(selects)))}".encode()


@lru_cache(maxsize=1000)
def _all_of(writes: tuple[str, ...]) -> bytes:
    """One statement that does what several do, to different rows."""
    parts = ", ".join(f"s{place} as ({write})" for place, write in enumerate(writes))
    return f"with {parts} select 1".encode()


@contextmanager
def _round_trip(connection: Connection) -> Iterator[None]:
    """What is executed within goes out at once. The first error is raised after its end, as a pipeline left by an error
    logs those that follow from it.
    """
    failed: psycopg.Error | None = None
    try:
        with connection.pipeline():
            try:
                yield
            except psycopg.Error as error:
                failed = error
    except psycopg.Error as error:
        failed = failed or error
    if failed is not None:
        raise failed


class PostgresqlTables(SqlTables):
    """Rows of one transaction. ``known`` are reservations that this process knows, as they were asked for; ``settings``
    is a statement that the transaction begins with.
    """

    prefix: ClassVar[str] = PREFIX
    skip_locked: ClassVar[str] = " for update skip locked"

    def __init__(
        self,
        connection: Connection,
        known: Mapping[str, Reserve],
        *,
        trusts_fresh: bool = True,
        by_key: bool = True,
        settling: bool = False,
        settings: str = "",
        now_ms: Callable[[], int] = system_clock_ms,
    ) -> None:
        super().__init__(now_ms)
        self.trusts_fresh = trusts_fresh
        self._connection = connection
        self._known = known
        self._looked_at = _LOOKED_AT if by_key else frozenset()
        self._settling = settling
        self._settings = settings
        self._begun = False
        self._long: dict[str, str] = {}  # whole names by the short ones that stand for them

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._connection.execute("begin")
            if self._settings:
                self._connection.execute(self._settings.encode())
            if self._settling:
                # What settlement reads belongs together: one process at a time. Requests never take this lock.
                self._connection.execute(f"select value from {PREFIX}numbers where name = 'settling' for update")

    def load(self, wanted: Mapping[Kind, Sequence[Key]], *, lock: bool = True) -> Iterable[tuple[Kind, Key, Row]]:
        kinds = [kind for kind in KINDS if kind in wanted]
        known = [_STATEMENTS[kind] for kind in kinds]
        selects = [
            each.lock if lock and kind not in self._looked_at else each.look
            for kind, each in zip(kinds, known, strict=True)
        ]
        values = [self._json(kind, wanted[kind]) for kind in kinds]
        with _round_trip(self._connection):
            self._begin()
            cursor = self._connection.execute(_together(tuple(selects)), values)
        for place, text in cursor:
            kind = kinds[place]
            row = self._row(kind, json.loads(text))
            yield kind, row.key, row

    def _row(self, kind: Kind, values: list[Any]) -> Row:
        for index in _STATEMENTS[kind].bytes:
            if values[index] is not None:
                values[index] = b64decode(values[index])
        return self.made(kind, values)  # type: ignore[no-any-return]

    def reserves(self, reservation_ids: Iterable[str]) -> Sequence[Reserve]:
        known = self._known
        reserves = []
        unknown = []
        for reservation_id in reservation_ids:
            if reservation_id in known:
                reserves.append(known[reservation_id])
            else:
                unknown.append(self.name(reservation_id))
        if unknown:
            for values in self._connection.execute(_RESERVES.encode(), (unknown,)):
                reserves.append(reserve_of(self._texts(REQUESTS, values)))
        return reserves

    def flush(self) -> None:
        self._begin()
        writes: list[str] = []
        values: list[Any] = []
        for kind, touched in self.touched.items():
            if not touched:
                continue
            known, keys = _STATEMENTS[kind], len(kind.key)
            deleted, inserted, updated = dirty(touched)
            if deleted:
                # Apart from the rest, as another row may take the place.
                self._connection.execute(known.delete.encode(), [self._json(kind, [row.key for row in deleted])])
            if inserted:
                # In the order of keys, as who inserts the same waits for the other.
                writes.append(known.insert)
                rows = sorted([row.values() for row in inserted], key=lambda values: values[:keys])
                values.append(self._json(kind, rows))
            if updated:
                between = (None,) * (kind.fixed - keys)
                writes.append(known.update)
                values.append(self._json(kind, [(*row.key, *between, *row.changing()) for row in updated]))
            touched.clear()
        if self._long:
            writes.append(_NAMES)
            values += [list(self._long), list(self._long.values())]
        if writes:
            self._connection.execute(_all_of(tuple(writes)), values)

    def commit(self) -> None:
        """Write what was touched, durably: one round trip."""
        with _round_trip(self._connection):
            self.flush()
            self._connection.execute("commit")

    def _json(self, kind: Kind, rows: Sequence[Sequence[Any]]) -> str:
        """The values of rows, as far as these go."""
        known = _STATEMENTS[kind]
        if not known.bytes:
            text = json.dumps(rows, ensure_ascii=False)
            names = [place for place in known.names if place < len(rows[0])]
            if "\\u00" not in text and all(len(row[place] or "") <= SHORT_NAME for row in rows for place in names):
                return text  # nothing to escape, and no name is long
        return json.dumps([[self._sent(known, *each) for each in enumerate(row)] for row in rows], ensure_ascii=False)

    def _sent(self, known: _Statements, place: int, value: Any) -> Any:
        if value is None or place not in known.texts:
            return b64encode(value).decode() if isinstance(value, bytes) else value
        return self.name(value) if place in known.names else sent(value)

    # --- what listings use

    def all(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        self._begin()
        return self._connection.execute(sql.replace("?", "%s").encode(), values).fetchall()

    def run(self, sql: str, *values: Any) -> int:
        self._begin()
        return self._connection.execute(sql.replace("?", "%s").encode(), values).rowcount

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Any]:
        return f"{column} = any(?)", list(values)

    def name(self, text: str) -> str:
        whole = sent(text)
        name = shortened(whole)
        if name is not whole:
            self._long[name] = whole
        return name

    def whole(self, text: str) -> str:
        return sent(text)

    def text(self, name: str) -> str:
        if is_short(name):
            if name not in self._long:
                sql = f"select whole from {PREFIX}names where name = %s"
                row = self._connection.execute(sql.encode(), (name,)).fetchone()
                assert row is not None  # it was written with the first row that has it
                self._long[name] = row[0]
            name = self._long[name]
        return received(name)

    def made(self, kind: Kind, values: Sequence[Any]) -> Any:
        return kind.make(self._texts(kind, values))

    def columns(self, kind: Kind, of: str = "") -> str:
        return columns_of(kind, of)

    def _texts(self, kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
        """Values with their texts as they were; as many as there are."""
        odd = [index for index, value in enumerate(values) if isinstance(value, str) and "\x1b" in value]
        if not odd:
            return values
        texts = list(values)
        for index in odd:
            texts[index] = self.text(texts[index])
        return texts
