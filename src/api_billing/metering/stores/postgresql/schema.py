"""The meter's tables in a PostgreSQL database: which version they have, and what makes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from api_billing.metering.ledger.rows import NumberRow
from api_billing.metering.stores.migrations import SCHEMA_VERSION
from api_billing.metering.stores.postgresql.tables import PREFIX, TYPES, Connection, PostgresqlTables
from api_billing.metering.stores.sql import first_rows, schema

VERSION: Final = f"select value from {PREFIX}numbers where name = 'schema'"
_CHECKS: Final = {
    "accounts": "reserved_wei >= 0 and charged_wei >= 0 and reserved_wei + charged_wei <= granted_wei",
    "channels": "reserved_wei >= 0 and charged_wei >= batched_wei and reserved_wei + charged_wei <= signed_wei"
    " and posted_wei <= signed_wei",
}
_FURTHER: Final = (
    f"create table if not exists {PREFIX}names (name text primary key, whole text not null)",
    f"create index if not exists {PREFIX}requests_of_tier on {PREFIX}requests (tier, at_ms)",
    f"create index if not exists {PREFIX}claims_by_expiry on {PREFIX}claims (expires_ms) where status is not null",
    f"create index if not exists {PREFIX}fired_by_expiry on {PREFIX}fired (expires_ms)",
    f"create index if not exists {PREFIX}api_keys_of_consumer on {PREFIX}api_keys (consumer)",
)


def statements(found: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What makes the tables, or those and the columns that were not ``found``."""
    for statement in schema(TYPES, found, prefix=PREFIX):
        yield statement
        if statement.startswith("alter table"):
            # The value is for rows that there are.
            table, column = statement.split()[2], statement.split()[5]
            yield f"alter table {table} alter column {column} drop default"
    for name, condition in _CHECKS.items():
        if PREFIX + name not in found:
            yield f"alter table {PREFIX}{name} add check ({condition})"
    yield from _FURTHER


def version_of(connection: Connection) -> int | None:
    """The version that the tables have; None when there are none."""
    row = connection.execute(f"select to_regclass('{PREFIX}numbers') is not null").fetchone()
    if row != (True,):
        return None
    row = connection.execute(VERSION.encode()).fetchone()
    return 0 if row is None else int(row[0])


def make_tables(connection: Connection, settings: str) -> None:
    """Make them, in one transaction that begins with ``settings``."""
    tables = PostgresqlTables(connection, {}, settings=settings)
    for statement in statements({}):
        tables.run(statement)
    for row in (*first_rows(), NumberRow("settling"), NumberRow("schema", SCHEMA_VERSION)):
        tables.put(row)
    tables.commit()
