"""Tables made by an older program, brought to today's schema, in one transaction.

Who migrates at the same time waits for the first, and finds nothing left to do. Whoever opens the store waits as well.
Sessions of processes that run are ended, once nobody else can begin one: those processes find the new version when they
come back. Not so behind a pooler in transaction mode, whose sessions are not theirs: there they have to be stopped.
"""

from __future__ import annotations

from typing import Final

import psycopg

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
from api_billing.metering.stores.postgresql.schema import statements, version_of
from api_billing.metering.stores.postgresql.store import parameters_of
from api_billing.metering.stores.postgresql.tables import PREFIX, Connection
from api_billing.metering.stores.sql import columns_wanted
from api_billing.showing import redacted

_NAME: Final = "api-billing meter migrate"
_SETTINGS: Final = "set local lock_timeout = '60s'; set local statement_timeout = 0"
_END_SESSIONS: Final = (
    "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity"
    " where datname = current_database() and usename = current_user and application_name = %s"
    " and pid <> pg_backend_pid()"
)
_COLUMNS: Final = (
    "select t.name, a.attname from unnest(%s::text[]) as t (name)"
    " join pg_attribute a on a.attrelid = to_regclass(t.name) where a.attnum > 0 and not a.attisdropped"
)


def migrate_postgresql(url: str, tell: Tell, *, check: bool = False) -> Migrated:
    """Migrate the tables at a URL, unless they have today's schema; ``check`` only looks.

    Raises: InvalidSetting, StoreUnavailable, StoreUnusable.
    """
    parameters = parameters_of(url)
    what = redacted(url)
    try:
        with psycopg.connect(**{**parameters, "application_name": _NAME}, prepare_threshold=None) as connection:
            was = version_of(connection)
            if was is None:
                found = _columns(connection)
                if found and f"{PREFIX}numbers" not in found:  # else somebody has just made them
                    raise StoreUnusable(
                        f"{what}: the table {PREFIX}numbers is missing, and there is {', '.join(found)}",
                        hint="restore a backup, or use a database or a schema of its own",
                    )
                return NOTHING_THERE
            if check:
                check_version(was, what)
            check_can_migrate(was, what)
            if was == SCHEMA_VERSION:
                return Migrated(was)
            connection.rollback()
            return _migrate(connection, str(parameters["application_name"]), what, tell)
    except psycopg.Error as error:
        raise StoreUnavailable(f"{what}: {str(error).strip().partition('\n')[0]}") from error


def _migrate(connection: Connection, name: str, what: str, tell: Tell) -> Migrated:
    """Leaves the transaction to be committed."""
    connection.execute(_SETTINGS)
    connection.execute(f"lock table {PREFIX}numbers in access exclusive mode".encode())
    was = version_of(connection)
    if was == SCHEMA_VERSION:
        return Migrated(was)  # somebody else has done it meanwhile
    assert was is not None
    check_tables(_columns(connection), _wanted(was), was, what)
    ((ended,),) = connection.execute(_END_SESSIONS, (name,)).fetchall()
    todo = list(statements(_columns(connection)))
    for number, statement in enumerate(todo):
        tell("changing tables", number, len(todo))
        connection.execute(statement.encode())
    check_tables(_columns(connection), _wanted(), SCHEMA_VERSION, what)
    connection.execute(f"update {PREFIX}numbers set value = {SCHEMA_VERSION} where name = 'schema'".encode())
    tell("changing tables", len(todo), len(todo))
    return Migrated(was, ended=ended)


def _wanted(version: int = SCHEMA_VERSION) -> dict[str, list[str]]:
    return {**columns_wanted(PREFIX, version), f"{PREFIX}names": ["name", "whole"]}


def _columns(connection: Connection) -> dict[str, list[str]]:
    """Those of the tables that have names of ours."""
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(_COLUMNS, (list(_wanted()),)):
        found.setdefault(table, []).append(column)
    return found
