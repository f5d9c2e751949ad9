"""``postgresql://user@host/database``: one database for many machines, durable at each answer.

What waits for the store together is one transaction (see ``tables``); the rules are the ledger's. A transaction that
another process got in the way of is done again.

Nothing is waited for without an end: not for a lock that a process holds which was stopped, nor for a server that says
nothing. Behind a pooler (PgBouncer, ``pool_mode = transaction``) settings are those of each transaction, and nothing is
prepared, as the next transaction may have another session.

The URL is libpq's: its parameters (``sslmode``, ``connect_timeout``, ``options=-csearch_path%3Dmeter`` …) apply. Tables
are made by whoever opens an empty schema first; the role needs the right to create there once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Sequence
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api_billing.metering.errors import InvalidSetting, StoreUnusable
from api_billing.metering.ledger import rules
from api_billing.metering.ledger.operations import Operation, Release, Reserve, Reserved, Settle
from api_billing.metering.stores.migrations import check_version
from api_billing.metering.stores.networked import LOOK_SECONDS, ConnectionLost, NetworkedStore, NotStorable
from api_billing.metering.stores.postgresql.schema import VERSION, make_tables, version_of
from api_billing.metering.stores.postgresql.tables import Connection, PostgresqlTables
from api_billing.metering.stores.store import Reply, Store
from api_billing.showing import redacted

_WHAT: Final = "the meter's tables"
# Deadlock, serialization, a row that somebody else was first to insert: undone, and done again.
_LOCK_TIMEOUT: Final = "55P03"
_STOPPED_SECONDS: Final = 4.0  # in the middle of a batch: less than others wait for its locks
_CONFLICTS: Final = frozenset({"40P01", "40001", "23505"})
_MADE_MEANWHILE: Final = frozenset({"42P07", "42710", "23505"})  # tables, by somebody else
_TRY_SECONDS: Final = 15.0
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05
_MAX_KNOWN: Final = 100_000
# Classes of errors that are about one operation's values; others (disk full, shutdown, read-only) are about the server.
_OF_ONE: Final = ("21", "22", "23", "54")
_OLDEST: Final = 120_000  # server version: 12
# Longer than the server's own limits, which say what was in the way.
_ANSWER_SECONDS: Final = 12.0
_LISTING_SECONDS: Final = 35.0
_LOOK_SECONDS: Final = 5.0
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "application_name": "api-billing",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "client_encoding": "UTF8",
}
_SETTINGS: Final = {
    "statement_timeout": "'30s'",
    "lock_timeout": "'5s'",
    "idle_in_transaction_session_timeout": "'30s'",
    # Rows are found by their keys: statistics of a table that was empty a moment ago must not say otherwise.
    "enable_seqscan": "'off'",
    "enable_hashjoin": "'off'",
    "enable_mergejoin": "'off'",
    # A commit that was answered survives a crash, whatever the server's default is; a stronger setting stays.
    "synchronous_commit": "case when current_setting('synchronous_commit') in ('off', 'local') then 'on'"
    " else current_setting('synchronous_commit') end",
}
_SET: Final = "select " + ", ".join(f"set_config('{name}', {value}, {{}})" for name, value in _SETTINGS.items())
_SET_FOR_SESSION: Final = _SET.replace("{}", "false")
_SET_FOR_TRANSACTION: Final = _SET.replace("{}", "true")

_LOOK: Final = "select pg_backend_pid(), (extract(epoch from clock_timestamp()) * 1000000)::bigint"
_LOOK_AGAIN: Final = f"{_LOOK}, ({VERSION})"

_OF_PARENTS: Final[list[Connection]] = []  # after a fork: kept from being collected, and so from being closed


def open_postgresql(url: str) -> Store:
    """The store at a URL; it connects later. Raises: InvalidSetting."""
    return PostgresqlStore(url, parameters_of(url))


def parameters_of(url: str) -> dict[str, Any]:
    """What to connect with. Raises: InvalidSetting."""
    try:
        return {**_DEFAULTS, **conninfo_to_dict(url)}
    except psycopg.Error:
        # libpq's message may quote the URL with its password.
        raise InvalidSetting(f"not a PostgreSQL URL: {redacted(url)!r}") from None


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when an answer takes too long: a server that was stopped says nothing, and the
    system's timeouts are about networks.
    """

    seconds = _LOOK_SECONDS

    def wait(self, gen: Generator[Any, Any, Any], *values: Any, **options: Any) -> Any:
        try:
            return super().wait(_until(time.monotonic() + self.seconds, gen), *values, **options)
        except _NoAnswer:
            self.close()
            raise


class _NoAnswer(psycopg.OperationalError):
    """The server has not answered in time."""


def _until(until: float, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """What the driver waits for, until then. It looks up from waiting ten times a second."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if time.monotonic() > until:
                raise _NoAnswer("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class PostgresqlStore(NetworkedStore):
    """Runs the ledger on tables in a database, over one connection."""

    def __init__(self, url: str, parameters: dict[str, Any]):
        super().__init__(url)
        self._parameters = parameters
        self._connection: _Connection | None = None
        self._settings = ""  # that each transaction begins with
        self._known: dict[str, Reserve] = {}  # reservations of this process, until they end

    # --- a batch

    def _perform_together(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        return self._surely(operations, self._until_done)

    def _until_done(self, operations: Sequence[Operation[Any]], trusts_fresh: bool) -> list[Reply]:
        """Perform operations in one transaction, again after a conflict."""
        until = time.monotonic() + _TRY_SECONDS
        pause = 0.0
        while True:
            try:
                return self._transact(operations, trusts_fresh=trusts_fresh and not pause)
            except (psycopg.Error, UnicodeError) as error:
                connection = self._connection
                if connection is None or not _undone(connection):
                    raise ConnectionLost(sent=True) from error
                sqlstate = getattr(error, "sqlstate", None)
                if sqlstate not in _CONFLICTS and not (sqlstate == _LOCK_TIMEOUT and _end_stopped(connection)):
                    if (sqlstate or "22").startswith(_OF_ONE):
                        raise NotStorable from error
                    self._disconnect()
                    raise self._failure(error) from error
                if time.monotonic() > until:
                    raise self._failure(f"conflicts with other processes for {_TRY_SECONDS:g} s") from error
            # The longer it goes on, the further apart: one of those in conflict is always through at once.
            pause = min(2 * pause or _FIRST_PAUSE, _LONGEST_PAUSE)
            time.sleep(random.uniform(0, pause))

    def _transact(self, operations: Sequence[Operation[Any]], *, trusts_fresh: bool) -> list[Reply]:
        kind = type(operations[0])
        by_key = kind in rules.BY_KEY
        connection = self._connected()
        connection.seconds = _ANSWER_SECONDS if by_key else _LISTING_SECONDS
        tables = PostgresqlTables(
            connection,
            self._known,
            trusts_fresh=trusts_fresh,
            by_key=by_key,
            settling=kind in rules.SETTLEMENT,
            settings=self._settings,
            now_ms=self.now_ms,
        )
        rules.fetch(tables, operations)
        replies = rules.perform(tables, operations)
        tables.commit()
        self._remember(operations, replies)
        return replies

    def _remember(self, operations: Sequence[Operation[Any]], replies: Sequence[Reply]) -> None:
        for operation, reply in zip(operations, replies, strict=True):
            if isinstance(operation, Settle | Release):
                self._known.pop(operation.reservation_id, None)
            elif isinstance(operation, Reserve) and isinstance(reply, Reserved):
                self._known[operation.reservation_id] = operation
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]

    # --- the connection

    def _connected(self) -> _Connection:
        if self._connection is not None and time.monotonic() - self._looked_at > LOOK_SECONDS:
            try:
                self._look(self._connection, _LOOK_AGAIN)
            except psycopg.Error:  # found before anything is sent, as when the server was restarted
                self._disconnect()
        if self._connection is None:
            self._connection = self._reached(self._connect, psycopg.Error)
        return self._connection

    def _connect(self) -> _Connection:
        connection = _Connection.connect(**self._parameters, autocommit=True, prepare_threshold=0)
        try:
            # A pooler makes up a process id, as it does not know yet whose sessions there will be.
            is_pooled = self._look(connection) != connection.info.backend_pid
            if is_pooled:
                connection.prepare_threshold = None
            self._settings = _SET_FOR_TRANSACTION if is_pooled else ""
            connection.seconds = _ANSWER_SECONDS
            _set_up(connection, self._settings)
            self._make(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, connection: _Connection) -> None:
        """Make the tables, if nobody has. Raises: StoreUnusable, psycopg.Error."""
        if version_of(connection) is None:
            self._check_not_lost()
            try:
                make_tables(connection, self._settings)
            except psycopg.Error as error:
                if not _undone(connection) or error.sqlstate not in _MADE_MEANWHILE:
                    raise
        check_version(version_of(connection) or 0, _WHAT)
        self._was_there = True

    def _look(self, connection: _Connection, sql: str = _LOOK) -> int:
        """See what time it is there, and whether a newer program has migrated the tables; the id of the process that
        answers. Raises: StoreUnusable.
        """
        connection.seconds = _LOOK_SECONDS
        pid, now_us, *version = connection.execute(sql.encode(), prepare=False).fetchall()[0]
        if version:
            check_version(version[0] or 0, _WHAT)
        self._is_at(now_us)
        return int(pid)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _abandon(self) -> None:
        if self._connection is not None:
            _OF_PARENTS.append(self._connection)
            self._connection = None


def _end_stopped(connection: Connection) -> bool:
    """End sessions of processes that were stopped in the middle of a batch and hold its locks; whether there were any.

    The server's own timeout for that does not see them: it ends with the flush that the driver sends last.
    """
    rows = connection.execute(_END_STOPPED.encode(), (_STOPPED_SECONDS,), prepare=False).fetchall()
    return any(ended for (ended,) in rows)


_END_STOPPED: Final = (
    "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
    " and datname = current_database() and usename = current_user"
    " and application_name = current_setting('application_name')"
    " and state_change < clock_timestamp() - make_interval(secs => %s)"
)


def _undone(connection: Connection) -> bool:
    """Roll back what failed; False when the connection broke, and with it all knowledge of what was done."""
    try:
        if not connection.closed:
            connection.execute("rollback")
    except psycopg.Error:
        connection.close()
    return not connection.closed


def _set_up(connection: Connection, settings: str) -> None:
    """Set up a new connection. Raises: StoreUnusable."""
    info = connection.info
    if info.server_version < _OLDEST:
        raise StoreUnusable(f"PostgreSQL 12 or newer is needed; this one is {info.server_version // 10_000}")
    if info.parameter_status("server_encoding") != "UTF8":
        raise StoreUnusable("the database's encoding has to be UTF8")
    if not settings:
        connection.execute(_SET_FOR_SESSION.encode(), prepare=False)
