"""``postgresql://user@host/database``: one database for many machines, durable at each answer.

What waits for the store together goes as one pipelined transaction: one round trip, one commit. The steps themselves
are functions in the database (``postgresql_functions.sql``), so that a reservation needs no second question.

The URL is libpq's: its parameters (``sslmode``, ``connect_timeout``, ``options=-csearch_path%3Dmeter`` …) apply. Tables
are made by whoever opens an empty schema first; the role needs the right to create there once.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api_billing.metering.errors import InvalidSetting, MeterError, StoreUnavailable
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.limits.tiers import DEFAULT_TIERS
from api_billing.metering.stores.opening import redacted
from api_billing.metering.stores.postgresql.listings import LISTINGS, Connection
from api_billing.metering.stores.postgresql.steps import LOCK, STATEMENTS, StatementOf
from api_billing.metering.stores.repeating import is_repeatable, outcome_unknown
from api_billing.metering.stores.store import Reply, Store

SCHEMA_VERSION: Final = 1

_OPENING: Final = 1835365492  # advisory lock under which tables are made
_CONFLICTS: Final = frozenset({"40P01", "40001"})  # deadlock, serialization: undone, and may be tried again
_TRIES: Final = 8
# Classes of errors that are about one operation's values; others (disk full, shutdown, read-only) are about the server.
_OF_ONE: Final = ("21", "22", "23", "54")
_OLDEST: Final = 120_000  # server version: 12
_IDLE_SECONDS: Final = 1.0
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "application_name": "api-billing",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "client_encoding": "UTF8",
}
_SESSION: Final = (
    "set statement_timeout = '30s'; set lock_timeout = '10s'; set idle_in_transaction_session_timeout = '30s';"
    # A commit that was answered survives a crash, whatever the server's default is; a stronger setting stays.
    " select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') in"
    " ('off', 'local')"
)

_OF_PARENTS: Final[list[Connection]] = []  # after a fork: kept from being collected, and so from being closed


def open_postgresql(url: str) -> Store:
    """Connect, and make the tables when there are none. Raises: InvalidSetting, StoreUnavailable."""
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error as error:
        # libpq's message may quote the URL with its password.
        raise InvalidSetting(f"not a PostgreSQL URL: {redacted(url)!r}") from error
    store = PostgresqlStore(url, {**_DEFAULTS, **parameters})
    store.connect()
    return store


class PostgresqlStore(Store):
    """Asks the functions in a database, over one connection. Thread-safe, as every store."""

    def __init__(self, url: str, parameters: dict[str, Any]):
        super().__init__(url)
        self._parameters = parameters
        self._connection: Connection | None = None
        self._used_at = 0.0
        self._no_try_before = 0.0

    def connect(self) -> None:
        """Connect now, rather than with the first operation. Raises: StoreUnavailable."""
        with self._turn:
            self._connected()

    # --- a batch

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        replies: list[Reply] = []
        for together in _transactions(operations):
            try:
                replies += self._do(together)
            except StoreUnavailable as error:
                replies += [error] * len(together)
        return replies

    def _do(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        """Perform operations in one transaction, again after a conflict, one by one after an error of one of them."""
        for _ in range(_TRIES):
            connection = self._connected()
            try:
                return _transact(connection, operations)
            except psycopg.Error as error:
                if not _undone(connection):
                    return self._do_again(operations, error)
                if error.sqlstate in _CONFLICTS:
                    continue
                failure = self._failure(error)
                if not (error.sqlstate or "22").startswith(_OF_ONE):
                    self._disconnect()
                    raise failure from error
                if len(operations) == 1:
                    return [failure]
                return [reply for operation in operations for reply in self._do([operation])]
            except BaseException:
                # Interrupted: answers that were not read must not become those of the next batch.
                self._disconnect()
                raise
        raise StoreUnavailable(f"{redacted(self.url)}: {_TRIES} tries ended in conflicts with other processes")

    def _do_again(self, operations: Sequence[Operation[Any]], error: psycopg.Error) -> list[Reply]:
        # The commit may have been made and only its answer lost. Ids make a repetition of most operations safe:
        # what was done is found by its id, and answered as before.
        self._disconnect()
        again = [operation for operation in operations if is_repeatable(operation)]
        replies: Iterator[Reply] = iter(())
        if again:
            connection = self._connected()
            try:
                replies = iter(_transact(connection, again))
            except psycopg.Error as second:
                self._disconnect()
                raise self._failure(second) from second
        return [next(replies) if is_repeatable(operation) else outcome_unknown(operation, error)
                for operation in operations]  # fmt: skip

    # --- the connection

    def _connected(self) -> Connection:
        now = time.monotonic()
        connection = self._connection
        if connection is not None and now - self._used_at > _IDLE_SECONDS and _has_hung_up(connection):
            self._disconnect()
            connection = None
        if connection is None:
            connection = self._connect()
        self._used_at = now
        return connection

    def _connect(self) -> Connection:
        started = time.monotonic()
        if started < self._no_try_before:
            raise StoreUnavailable(f"{redacted(self.url)} could not be reached a moment ago")
        try:
            connection: Connection = psycopg.connect(**self._parameters, autocommit=True, prepare_threshold=0)
            try:
                _prepare(connection)
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            # As long as the attempt took, others are told at once: a server that does not answer holds up few callers.
            now = time.monotonic()
            self._no_try_before = now + min(now - started, 5.0)
            raise self._failure(error) from error
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _abandon(self) -> None:
        if self._connection is not None:
            _OF_PARENTS.append(self._connection)
            self._connection = None

    def _failure(self, error: psycopg.Error) -> StoreUnavailable:
        text = str(error).strip().partition("\n")[0]
        return StoreUnavailable(f"{redacted(self.url)}: {text}")


def _transactions(operations: Sequence[Operation[Any]]) -> Iterator[list[Operation[Any]]]:
    """Neighbours that are one statement each go together; whatever takes several goes alone. The order stays."""
    together: list[Operation[Any]] = []
    for operation in operations:
        if type(operation) in STATEMENTS:
            together.append(operation)
            continue
        if together:
            yield together
            together = []
        yield [operation]
    if together:
        yield together


def _transact(connection: Connection, operations: Sequence[Operation[Any]]) -> list[Reply]:
    listing = LISTINGS.get(type(operations[0]))
    if listing is None:
        return _pipeline(connection, operations)
    try:
        with connection.transaction():
            return [listing(connection, operations[0])]
    except (MeterError, UnicodeError) as error:
        return [_refusal(operations[0], error)]


def _pipeline(connection: Connection, operations: Sequence[Operation[Any]]) -> list[Reply]:
    replies: list[Reply] = [None] * len(operations)
    asked: list[tuple[int, StatementOf, list[Any]]] = []
    stripes: set[str] = set()
    ids: set[str] = set()
    for index, operation in enumerate(operations):
        statement = STATEMENTS[type(operation)]
        try:
            asked.append((index, statement, statement.values(operation)))
            stripes.update(statement.stripes(operation))
            ids.update(statement.ids(operation))
        except UnicodeError as error:
            replies[index] = _refusal(operation, error)
    cursors = []
    with connection.pipeline():
        connection.execute("begin")
        if stripes or ids:
            connection.execute(LOCK, (list(stripes), list(ids)))
        for _, statement, values in asked:
            cursor = connection.cursor()
            cursor.execute(statement.sql, values)
            cursors.append(cursor)
        connection.execute("commit")
    for (index, statement, _), cursor in zip(asked, cursors, strict=True):
        row = None if cursor.description is None else cursor.fetchone()
        replies[index] = statement.answer(operations[index], row)
    return replies


def _undone(connection: Connection) -> bool:
    """Roll back what failed; False when the connection broke, and with it all knowledge of what was done."""
    try:
        if not connection.closed:
            connection.execute("rollback")
    except psycopg.Error:
        connection.close()
    return not connection.closed


def _refusal(operation: Operation[Any], error: Exception) -> MeterError:
    if isinstance(error, MeterError):
        return error
    return StoreUnavailable(f"{type(operation).__name__} cannot be stored: {error}")


def _has_hung_up(connection: Connection) -> bool:
    """Whether the server closed an idle connection, as when it was restarted: found before anything is sent to it."""
    if connection.closed:
        return True
    # Nothing was asked, so that whatever is there to be read is the server's farewell, or the end.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _prepare(connection: Connection) -> None:
    """Set up a new connection, and make the tables when there are none. Raises: StoreUnavailable."""
    info = connection.info
    if info.server_version < _OLDEST:
        raise StoreUnavailable(f"PostgreSQL 12 or newer is needed; this one is {info.server_version // 10_000}")
    if info.parameter_status("server_encoding") != "UTF8":
        raise StoreUnavailable("the database's encoding has to be UTF8")
    connection.execute(_SESSION, prepare=False)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_OPENING,))
        row = connection.execute("select to_regclass('meter_state') is not null").fetchone()
        if row == (False,):
            _make_tables(connection)
        row = connection.execute("select schema_version from meter_state").fetchone()
        if row != (SCHEMA_VERSION,):
            version = "none" if row is None else row[0]
            raise StoreUnavailable(f"the tables are of version {version}; this program knows version {SCHEMA_VERSION}")


def _make_tables(connection: Connection) -> None:
    for name in ("schema.sql", "functions.sql"):
        connection.execute(Path(__file__).with_name(name).read_bytes(), prepare=False)
    connection.execute("insert into meter_state (schema_version) values (%s)", (SCHEMA_VERSION,))
    for tier in DEFAULT_TIERS:
        row = (tier.name, tier.monthly_calls, tier.retention_days, "[]")
        connection.execute("insert into meter_tiers values (%s, %s, %s, %s)", row)
