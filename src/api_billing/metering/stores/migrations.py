"""Versions of the stores' schema, and what has to be done to a store of an older one.

A store knows its version, and only programs of that version use it. Its tables are those of the kinds of today; written
down here is how these differ from earlier ones. Whoever adds a column to a kind, raises ``SCHEMA_VERSION``, unless it
was not released yet, and puts the column here, with the value that it has in rows that there are; so with a kind whose
rows are listed in a new way, and with a new kind: only tables that a version adds are made, as others that are missing
were lost. ``api-billing meter migrate`` does it; how, is each store's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from api_billing.metering.errors import StoreUnusable
from api_billing.metering.ledger.kinds import Column, Kind
from api_billing.metering.ledger.rows import API_KEYS, COUNTS, GRANTS, KINDS, LIMITS

Value = str | int | None

SCHEMA_VERSION: Final = 5
OLDEST: Final = 4
ADDED: Final[Mapping[int, Mapping[Kind, Mapping[str, Value]]]] = {
    5: {COUNTS: {"state": ""}, API_KEYS: {"expires_ms": None, "apis": "[]", "quotas": "[]", "first": ""}},
}
"""By version: columns that it has and the one before had not, with what they are in rows of before."""
MADE: Final[Mapping[int, frozenset[Kind]]] = {5: frozenset({LIMITS})}
"""By version: kinds that it has and the one before had not."""
LISTED: Final[Mapping[int, frozenset[Kind]]] = {5: frozenset({GRANTS})}
"""By version: kinds whose rows are in lists that there were not before, where a store keeps such lists (Redis)."""

Tell = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is, and of how much (None: nobody knows)."""


class Migrated(NamedTuple):
    """The version that a store had, 0 where there is none yet; ``backup`` is what was kept of it, ``ended`` how many
    running processes it was taken from.
    """

    was: int
    backup: str = ""
    ended: int = 0


NOTHING_THERE: Final = Migrated(0)


def kinds_at(version: int) -> list[Kind]:
    """The kinds that there were in a version."""
    later = {kind for each, kinds in MADE.items() if each > version for kind in kinds}
    return [kind for kind in KINDS if kind not in later]


def columns_at(kind: Kind, version: int) -> tuple[Column, ...]:
    """The columns of a kind as they were in a version."""
    later = {name for each, kinds in ADDED.items() if each > version for name in kinds.get(kind, ())}
    return tuple([column for column in kind.columns if column.name not in later])


def value_of(kind: Kind, column: str) -> Value:
    """What a column that was added is in rows of before. Raises: KeyError, for one that never was."""
    added = {name: value for kinds in ADDED.values() for name, value in kinds.get(kind, {}).items()}
    return added[column]


def check_version(version: int, what: str) -> None:
    """Raises: StoreUnusable, saying what to do, unless ``what`` has today's version."""
    if version == SCHEMA_VERSION:
        return
    check_can_migrate(version, what)
    raise StoreUnusable(
        f"{what}: schema version {version}, of an older program; this one needs version {SCHEMA_VERSION}",
        hint="back it up, stop what uses it, and: api-billing meter migrate --store URL",
    )


def check_can_migrate(version: int, what: str) -> None:
    """Raises: StoreUnusable, for a version that cannot be brought to today's."""
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            f"{what}: schema version {version}, of a newer program; this one knows version {SCHEMA_VERSION}",
            hint="use a newer api-billing, or restore a backup of before",
        )
    if version < OLDEST:
        raise StoreUnusable(
            f"{what}: schema version {version}, which is too old to be migrated: versions from {OLDEST} on can be",
            hint="begin with an empty store",
        )


def check_tables(
    found: Mapping[str, Collection[str]], wanted: Mapping[str, Collection[str]], version: int, what: str
) -> None:
    """Raises: StoreUnusable, naming what was lost or is another's, unless the tables ``found``, with their columns, are
    those ``wanted`` of a version.
    """
    wrong = [f"the table {table} is missing" for table in wanted if table not in found]
    wrong += [f"the table {table} is none of schema version {version}" for table in found if table not in wanted]
    for table in [table for table in wanted if table in found]:
        wrong += [f"the table {table} lacks the column {name}" for name in wanted[table] if name not in found[table]]
        wrong += [f"the table {table} has the column {name}" for name in found[table] if name not in wanted[table]]
    if wrong:
        raise StoreUnusable(
            f"{what}: its tables are not those of schema version {version}: {'; '.join(wrong)}",
            hint="nothing was changed: restore a backup, or make the tables by hand what they were",
        )
