"""An SQLite file made by an older program, brought to today's schema: nobody else may have it open meanwhile.

A backup of it is put beside it first. What changes it is one transaction, which a crash undoes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Final

from api_billing.metering.errors import StoreUnavailable, StoreUnusable
from api_billing.metering.stores.migrations import (
    NOTHING_THERE,
    SCHEMA_VERSION,
    Migrated,
    Tell,
    check_can_migrate,
    check_tables,
    check_version,
)
from api_billing.metering.stores.sql import columns_wanted
from api_billing.metering.stores.sqlite.lock import ProcessLock
from api_billing.metering.stores.sqlite.store import hint_of, parsed, statements

_WAIT_SECONDS: Final = 10.0  # for another migration, or whoever else has the lock
_PAGES: Final = 1000  # copied between two looks


def migrate_sqlite(url: str, tell: Tell, *, check: bool = False) -> Migrated:
    """Migrate the file of a URL, unless it has today's schema; ``check`` only looks.

    Raises: InvalidSetting, StoreUnavailable, StoreUnusable.
    """
    path, _ = parsed(url)
    if not path.exists():
        return NOTHING_THERE
    try:
        with _locked(path), closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            (was,) = connection.execute("pragma user_version").fetchone()
            if not was:
                raise StoreUnusable(f"{path} is no store of the meter")
            if check:
                check_version(was, str(path))
            check_can_migrate(was, str(path))
            if was == SCHEMA_VERSION:
                return Migrated(was)
            _make_sure_to_be_alone(connection, path)
            check_tables(_columns(connection), columns_wanted(version=was), was, str(path))
            backup = _backup(connection, path, was, tell)
            try:
                _migrate(connection, path, tell)
            except BaseException:
                if connection.execute("pragma user_version").fetchone() == (was,):
                    backup.unlink()  # who tries again and again must not fill the disk
                raise
            return Migrated(was, str(backup))
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{path}: {error}", hint=hint_of(error)) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = ProcessLock(path)
    try:
        if not lock.acquire(_WAIT_SECONDS):
            raise StoreUnavailable(f"{path}: another process keeps the lock", hint=f"see: fuser {path}.lock")
        yield
    finally:
        lock.close()


def _make_sure_to_be_alone(connection: sqlite3.Connection, path: Path) -> None:
    # SQLite leaves its write-ahead log only when no other connection has the file open, of whatever program.
    try:
        connection.execute("pragma journal_mode = delete")
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(
            f"{path} is open in another process, which knows nothing of the schema it is to have ({error})",
            hint=f"stop the processes that use it, and repeat this; they are told by: fuser {path}",
        ) from error
    connection.execute("pragma synchronous = full")


def _backup(connection: sqlite3.Connection, path: Path, was: int, tell: Tell) -> Path:
    name = f"{path}.schema-{was}"
    unfinished = Path(f"{name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(
                copy, pages=_PAGES, progress=lambda _, left, total: tell("copying the file", total - left, total)
            )
        # What has that name may be the only copy of what there was.
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        backup = next(Path(each) for each in names if not os.path.lexists(each))
        os.replace(unfinished, backup)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        unfinished.unlink(missing_ok=True)
    return backup


def _migrate(connection: sqlite3.Connection, path: Path, tell: Tell) -> None:
    connection.execute("begin exclusive")
    try:
        todo = list(statements(_columns(connection)))
        for number, statement in enumerate(todo):
            tell("changing tables", number, len(todo))
            connection.execute(statement)
        _verify(connection, path)
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
        tell("changing tables", len(todo), len(todo))
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    check_tables(_columns(connection), columns_wanted(), SCHEMA_VERSION, str(path))
    ((answer,), *_) = connection.execute("pragma quick_check").fetchall()
    if answer != "ok":
        raise StoreUnusable(f"{path}: {answer}", hint="the file is damaged: restore a backup")


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Those of the tables that have names of ours."""
    found: dict[str, list[str]] = {}
    ours = columns_wanted().keys()
    sql = "select t.name, c.name from sqlite_schema t join pragma_table_info(t.name) c where t.type = 'table'"
    for table, column in connection.execute(sql):
        if table in ours:
            found.setdefault(table, []).append(column)
    return found
