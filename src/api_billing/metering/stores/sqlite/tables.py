"""The ledger's tables over SQLite: rows are read once, changed in memory, and written together when a batch ends.

What was read stays valid until another process changes such rows; the store then says ``forget``. Within one batch a
row that many requests touch (an account, a window) is written once. Amounts are decimal text, as SQLite's integers end
at 2^63.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from api_billing.metering.ledger.kinds import Key, Kind, Row
from api_billing.metering.ledger.operations import Prune, Pruned, Reserve
from api_billing.metering.ledger.rows import ACCOUNTS, CONSUMERS, COUNTS, KINDS, NUMBERS, REQUESTS, TIERS, USAGE
from api_billing.metering.ledger.rules import TIERS_VERSION
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS
from api_billing.metering.ledger.tables import dirty
from api_billing.metering.stores.sql import SqlTables

TYPES: Final[dict[Any, str]] = {"name": "text", "text": "text", "int": "integer", "wei": "text", "bytes": "blob"}

_MAX_KEPT: Final = 200_000  # rows of one kind that are kept in memory before all are forgotten
# What is kept from one batch to the next, by other processes, too.
_KEPT: Final = frozenset({ACCOUNTS, COUNTS, USAGE, CONSUMERS, TIERS, NUMBERS, REQUESTS, SESSIONS, CHANNELS})
_PASSING: Final = frozenset(KINDS) - _KEPT


class _Statements:
    """How rows of a kind are read and written."""

    def __init__(self, kind: Kind) -> None:
        names = [column.name for column in kind.columns]
        where = " and ".join(f"{column.name}=?" for column in kind.key)
        self.select = f"select {', '.join(names)} from {kind.name} where {where}"
        self.insert = f"insert into {kind.name} ({', '.join(names)}) values ({','.join('?' * len(names))})"
        self.update = f"update {kind.name} set {', '.join(f'{name}=?' for name in names[kind.fixed :])} where {where}"
        self.delete = f"delete from {kind.name} where {where}"


_STATEMENTS: Final = {kind: _Statements(kind) for kind in KINDS}


class SqliteTables(SqlTables):
    """Rows of one connection. Only used within a transaction, by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection):
        super().__init__()
        self.connection = connection
        self.has_written = False
        """Whether something that others may have in memory was written since this was last set to False."""

    def load(self, wanted: Mapping[Kind, Sequence[Key]], *, lock: bool = True) -> Iterable[tuple[Kind, Key, Row]]:
        for kind, keys in wanted.items():
            select = _STATEMENTS[kind].select
            for key in keys:
                values = self.connection.execute(select, key).fetchone()
                if values is not None:
                    yield kind, key, kind.make(values)

    def flush(self) -> None:
        run = self.connection.executemany
        for kind, touched in self.touched.items():
            if not touched:
                continue
            self.has_written = self.has_written or kind in _KEPT
            statements = _STATEMENTS[kind]
            deleted, inserted, updated = dirty(touched)
            if deleted:
                run(statements.delete, [row.key for row in deleted])
            if inserted:
                run(statements.insert, [row.values() for row in inserted])
            if updated:
                run(statements.update, [(*row.changing(), *row.key) for row in updated])
            if kind is REQUESTS:
                # Nobody asks for a request again once it has ended.
                lines = self.rows[REQUESTS]
                for row in touched:
                    if row.state != "reserved":  # type: ignore[attr-defined]  # these are lines
                        lines.pop(row.key, None)
            touched.clear()

    def end_batch(self) -> None:
        """Forget what is not asked for again and again; and everything, once it has become much and all is written."""
        for kind in _PASSING:
            self.rows[kind].clear()
        if max([len(self.rows[kind]) for kind in _KEPT]) > _MAX_KEPT and not self.unwritten():
            self.forget()

    def has(self, op: Reserve) -> bool:
        """Whether all rows that a reservation without a claim looks at are in memory."""
        rows = self.rows
        if op.profile_version >= 0 and ((op.consumer,) not in rows[CONSUMERS] or TIERS_VERSION not in rows[NUMBERS]):
            return False
        counts = rows[COUNTS]
        return (op.account,) in rows[ACCOUNTS] and all((counter, starts) in counts for counter, starts, *_ in op.checks)

    def unwritten(self) -> bool:
        """Whether requests wait to be written."""
        return bool(self.touched[REQUESTS])

    def prune(self, op: Prune) -> Pruned:
        self.has_written = True
        return super().prune(op)

    # --- what listings use

    def all(self, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> int:
        return self.connection.execute(sql, values).rowcount

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Any]:
        # One statement, not one for each: while SQLite works the threads of a loop do not wait for Python's lock.
        return f"{column} in (select value from json_each(?))", json.dumps(list(values))

    def made(self, kind: Kind, values: Sequence[Any]) -> Any:
        return kind.make(values)

    def columns(self, kind: Kind, of: str = "") -> str:
        return ", ".join(f"{of}{column.name}" for column in kind.columns)
