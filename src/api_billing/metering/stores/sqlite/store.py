"""``sqlite:///meter.db``: the default store, one file, durable at each answer.

One writer a process commits what all its callers wait for together (see ``store``); a loop runs the statements of its
coroutines itself, and only the commit, which waits for the disk, is the worker's. Processes take turns (see ``lock``).
Write-ahead log with ``synchronous=FULL``: an answer that was given survives a crash of the process and of the machine.
But for one: a loop's reservation is answered before it is on disk, as it has no use without the process that serves it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from api_billing.metering.errors import CannotBeStored, InvalidSetting, StoreUnavailable, StoreUnusable
from api_billing.metering.ledger import money, rules
from api_billing.metering.ledger.batch_operations import ListBatches, ReadCut, ReadLeaves
from api_billing.metering.ledger.operations import Operation, Reserve, ReserveReply
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ListToSettle, NextOutgoing, ReadBook
from api_billing.metering.stores.migrations import SCHEMA_VERSION, check_version
from api_billing.metering.stores.sql import first_rows, schema
from api_billing.metering.stores.sqlite.lock import ProcessLock
from api_billing.metering.stores.sqlite.queue import LoopStore
from api_billing.metering.stores.sqlite.tables import TYPES, SqliteTables
from api_billing.metering.stores.store import FORK_SECONDS, Reply, Store
from api_billing.showing import redacted

_BUSY_SECONDS: Final = 10.0  # for somebody who keeps the file, or the lock
_BRIEFLY_SECONDS: Final = 0.1  # for a lock that was waited for in vain
_BUSY_POLL_SECONDS: Final = 0.01
# A text that is no Unicode, a number beyond 64 bits, an id that is there already.
_OF_ONE: Final = (UnicodeError, OverflowError, sqlite3.DataError, sqlite3.IntegrityError)
_WAL_PAGES: Final = 4000  # 16 MB of log between two checkpoints
_PAGE_BYTES: Final = 4096
_LOOK_SECONDS: Final = 1.0  # between two looks at whether the file is in its place
# What settlement reads is committed, or is none of its business yet.
_READ_ASIDE: Final[frozenset[type[Operation[Any]]]] = frozenset(
    {ListToSettle, ReadCut, ReadBook, NextOutgoing, ListOutgoing, ListBatches, ReadLeaves}
)


def open_sqlite(url: str) -> Store:
    """The store in a file, which is made later; ``?create=0`` refuses to make one. Raises: InvalidSetting."""
    path, create = parsed(url)
    return SqliteStore(url, path, create=create)


class SqliteStore(LoopStore):
    """Runs the ledger on one SQLite file."""

    reads_aside = _READ_ASIDE

    def __init__(self, url: str, path: Path, *, create: bool = True):
        super().__init__(url)
        self.path = path
        self._create = create
        self._connection: sqlite3.Connection | None = None
        self._looked_at = 0.0
        self._file: tuple[int, int] | None = None  # which one is open
        self._tables: SqliteTables | None = None
        self._lock: ProcessLock | None = None  # from opening to closing
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()  # who uses the reader
        self._forking_reader = False  # it is kept while the process forks
        self._data_version = -1
        self._changes = -1  # as far as what is in memory has followed them
        self._applying = threading.Lock()  # who applies beside a commit, and the end of the commit
        self._locked = False  # this process has the lock
        self._patience = _BUSY_SECONDS
        self._committing = False  # the worker waits for the disk: what is in memory holds, and may be added to
        self._resting = False  # the lock is about to be given up: nothing is added

    def connect(self) -> None:
        """Open the file now, rather than with the first operation. Raises: StoreUnavailable."""
        with self._turn:
            self._opened()

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        try:
            return self._perform_together(operations)
        except _OF_ONE as error:
            # What one of them brought along cannot be stored: the others must not suffer from it.
            if len(operations) == 1:
                return [CannotBeStored(f"{type(operations[0]).__name__} cannot be stored: {error}")]
            return [self._perform([operation])[0] for operation in operations]

    def _perform_together(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        tables = self._opened()
        try:
            self._acquire(wait=True)
            replies = self._written(tables, operations, _BUSY_SECONDS)
        except _OF_ONE:
            raise
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error
        self._finish()
        return replies

    def _prepare(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply] | None:
        tables = self._tables
        if tables is None:
            return None  # opening waits
        try:
            if not self._acquire(wait=False):
                return None
            replies = self._written(tables, operations, 0)
        except _OF_ONE:
            return None  # the worker tries them one by one
        except (sqlite3.Error, OSError) as error:
            if _is_busy(error):
                return None
            raise self._failed(error) from error
        self._committing = True
        return replies

    def _read_aside(self, operation: Operation[Any]) -> tuple[Reply] | None:
        with self._reading:
            try:
                reader = self._reader
                if reader is None:
                    if self._connection is None:
                        return None
                    reader = self._reader = self._open_reader()
                # One transaction, so that all of it is of one instant.
                reader.execute("begin")
                try:
                    return (rules.RULES[type(operation)](SqliteTables(reader), operation),)
                finally:
                    reader.execute("rollback")
            except (sqlite3.Error, OSError):
                self._close_reader()
                return None  # the writer's way says what is wrong, if anything is

    def _attempt(self, operation: Reserve) -> ReserveReply | None:
        if operation.durable or operation.claim is not None or not operation.fresh or not _storable(operation):
            return None
        if operation.session is not None:
            return None  # a voucher is on disk before anybody relies on it
        if self._committing:
            with self._applying:
                return self._applied(operation) if self._committing and not self._resting else None
        if self._resting or not self._turn.acquire(blocking=False):
            return None
        try:
            tables = self._tables
            if tables is None or not self._acquire(wait=False):
                return None
            try:
                self._forget_if_changed(tables)
                return self._applied(operation)
            finally:
                if not tables.unwritten():
                    self._unlock()
        except (sqlite3.Error, OSError) as error:
            self._wake_worker()  # for who has tried to get the turn meanwhile
            raise self._failed(error) from error
        finally:
            self._turn.release()

    def _applied(self, operation: Reserve) -> ReserveReply | None:
        tables = self._tables
        if tables is None or not tables.has(operation):
            return None
        return money.reserve(tables, operation)

    def _pending(self) -> bool:
        tables = self._tables
        return self._locked and not self._committing and tables is not None and tables.unwritten()

    def _acquire(self, *, wait: bool) -> bool:
        """Get the lock among processes, unless this one has it from an attempt. False: it is another process' turn.

        Raises: StoreUnavailable, when it waits in vain.
        """
        assert self._lock is not None  # opened
        if not self._locked:
            self._locked = self._lock.acquire(self._patience if wait else 0.0)
            if wait:
                self._patience = _BUSY_SECONDS if self._locked else _BRIEFLY_SECONDS
                if not self._locked:
                    raise StoreUnavailable(
                        f"{self.path}: another process keeps the lock", hint="was it stopped? see: fuser FILE.lock"
                    )
        return self._locked

    def _unlock(self) -> None:
        self._locked = False
        self._resting = False
        if self._lock is not None:
            self._lock.release()

    def _written(
        self, tables: SqliteTables, operations: Sequence[Operation[Any]], busy_seconds: float
    ) -> Sequence[Reply]:
        """The replies, with everything written but not committed; with the lock, which is given back when it fails."""
        connection = tables.connection
        try:
            _begin(connection, busy_seconds)
            self._forget_if_changed(tables)
            tables.has_written = False
            replies = rules.perform(tables, operations)
            tables.flush()
            if tables.has_written:
                assert self._lock is not None  # it is this process' turn
                self._changes = self._lock.count_change()
        except BaseException:
            self._undo(tables)
            raise
        return replies

    def _finish(self) -> None:
        tables = self._tables
        assert tables is not None  # nothing was prepared without
        try:
            tables.connection.execute("commit")
        except BaseException as error:
            self._undo(tables)
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from error
            raise
        with self._applying:
            self._committing = False
            tables.end_batch()
            if tables.unwritten():
                # Reserved meanwhile: the next batch has it, and the lock is kept until then; if another process waits
                # for it, nothing more is added, so that it gets its turn after that batch.
                self._resting = self._lock is not None and self._lock.others_wait()
                return
            self._unlock()

    def _undo(self, tables: SqliteTables) -> None:
        """Take back what is not committed, and what was answered meanwhile: a settlement of that reserves it again."""
        with self._applying:
            self._committing = False
            tables.forget()
            self._data_version = self._changes = -1  # what was counted did not happen
            try:
                if tables.connection.in_transaction:
                    tables.connection.execute("rollback")
            finally:
                self._unlock()

    def _failed(self, error: Exception) -> StoreUnavailable:
        """What callers are told; the file is opened anew with the next operation."""
        self._disconnect()
        return StoreUnavailable(f"{self.path}: {error}", hint=hint_of(error))

    def _look(self) -> None:
        """See now and then whether the open file is in its place. Raises: StoreUnusable."""
        if (now := time.monotonic()) - self._looked_at < _LOOK_SECONDS:
            return
        if _file_at(self.path) != self._file:
            raise StoreUnusable(
                f"{self.path} was removed or replaced while it was open",
                hint="stop all that use it, restore a backup, and start them again",
            )
        self._looked_at = now

    def _forget_if_changed(self, tables: SqliteTables) -> None:
        self._look()
        # Differs when another connection has committed, and not with our own commits. Whether that was about anything
        # that is in memory, its count says.
        (version,) = tables.connection.execute("pragma data_version").fetchone()
        if version != self._data_version:
            assert self._lock is not None
            changes = self._lock.changes
            if changes != self._changes:
                tables.forget()
            self._data_version, self._changes = version, changes

    def _opened(self) -> SqliteTables:
        if self._tables is None:
            try:
                self._tables = SqliteTables(self._open())
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                raise StoreUnavailable(f"{self.path}: {error}", hint=hint_of(error)) from error
            except BaseException:
                self._disconnect()
                raise
        return self._tables

    def _open(self) -> sqlite3.Connection:
        if not self._create and not self.path.exists():
            raise StoreUnavailable(f"{self.path} does not exist")
        self._lock = ProcessLock(self.path)
        if not self.path.exists():
            # Keys' hashes and people's usage: nobody else's to read.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = self._connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._acquire(wait=True)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma wal_autocheckpoint = {_WAL_PAGES}")
            # What it grew by while somebody read for long is given back.
            connection.execute(f"pragma journal_size_limit = {_WAL_PAGES * _PAGE_BYTES}")
            connection.execute("pragma foreign_keys = off")
            self._make_tables(connection)
            # From here on a loop may be the one to wait; see ``_begin``.
            connection.execute("pragma busy_timeout = 0")
        finally:
            self._unlock()
        self._create = False  # nobody makes again what was lost
        self._file = _file_at(self.path)
        self._data_version = self._changes = -1
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        reader = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        reader.execute("pragma query_only = on")
        return reader

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("pragma user_version").fetchone()
        if version:
            check_version(version, str(self.path))
            return
        if connection.execute("select count(*) from sqlite_schema").fetchone()[0]:
            raise StoreUnusable(f"{self.path} is an SQLite file of something else")
        connection.execute("begin immediate")
        for statement in statements({}):
            connection.execute(statement)
        tables = SqliteTables(connection)
        for row in first_rows():
            tables.put(row)
        tables.flush()
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
        connection.execute("commit")

    def _disconnect(self) -> None:
        self._locked = self._committing = self._resting = False
        connection, self._connection, self._tables = self._connection, None, None
        if connection is not None:
            connection.close()
        with self._reading:
            self._close_reader()
        self._close_lock()

    def _close_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _before_fork(self) -> None:
        super()._before_fork()
        # Nor in the middle of a read: what it holds within SQLite would be held in the child for ever.
        self._forking_reader = self._reading.acquire(timeout=FORK_SECONDS)

    def _after_fork_in_parent(self) -> None:
        if self._forking_reader:
            self._forking_reader = False
            self._reading.release()
        super()._after_fork_in_parent()

    def _abandon(self) -> None:
        self._applying = threading.Lock()
        self._reading = threading.Lock()
        self._forking_reader = False
        self._locked = self._committing = self._resting = False
        # SQLite must not touch a connection that was opened before the fork, closing it included. The lock file's
        # descriptor shares its lock with the parent's, so it is only closed.
        _OF_PARENTS.extend(each for each in (self._connection, self._reader) if each is not None)
        self._connection = self._reader = self._tables = None
        self._close_lock()


_OF_PARENTS: Final[list[sqlite3.Connection]] = []  # kept from being collected, and so from being closed


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file that is; None: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _storable(operation: Reserve) -> bool:
    """Whether its row can be written for sure: one that cannot would take others with it, when they are answered."""
    return (
        operation.units < 2**31
        and operation.account.isascii()
        and operation.consumer.isascii()
        and operation.route.isascii()
        and operation.request_id.isascii()
        and operation.api.isascii()
        and operation.tier.isascii()
        and operation.method.isascii()
    )


def _begin(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Begin to write; a program that is not one of ours may keep the file for so long."""
    until = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("begin immediate")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= until:
                raise
            time.sleep(_BUSY_POLL_SECONDS)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def statements(found: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What makes the tables, or those and the columns that were not ``found``."""
    return schema(TYPES, found, without=" without rowid")


def parsed(url: str) -> tuple[Path, bool]:
    """The path in a URL, and whether a file may be made there. Raises: InvalidSetting."""
    place, _, query = url.removeprefix("sqlite://").partition("?")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    create = options.pop("create", "1")
    if not place.startswith("/") or place == "/" or options or create not in ("0", "1"):
        raise InvalidSetting(
            f"not an SQLite URL: {redacted(url)!r}",
            hint="write it as sqlite:///meter.db or sqlite:////var/lib/meter.db",
        )
    return Path(unquote(place[1:])), create == "1"


def hint_of(error: Exception) -> str:
    """What may be wrong with a file."""
    text = str(error)
    if any(word in text for word in ("disk I/O", "full", "No space")):
        return "look at the disk: is it full, or read-only?"
    if "unable to open" in text or isinstance(error, OSError):
        return "does the folder exist, and may this user write to it?"
    return ""
