"""Versions of the stores' schema, and what has to be done to a store of an older one.

A store knows its version, and only programs of that version use it. Its tables are those of the kinds of today; written
down here is how these differ from earlier ones. Whoever adds a column to a kind, raises ``SCHEMA_VERSION``, unless it
was not released yet, and puts the column here, with the value that it has in rows that there are; so with a kind whose
rows are listed in a new way. A new kind needs nothing: tables that are missing are made. ``api-billing meter migrate``
does it; how, is each store's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from api_billing.metering.errors import StoreUnusable
from api_billing.metering.ledger.kinds import Column, Kind
from api_billing.metering.ledger.rows import API_KEYS, COUNTS, GRANTS

Value = str | int | None

SCHEMA_VERSION: Final = 5
OLDEST: Final = 4
ADDED: Final[Mapping[int, Mapping[Kind, Mapping[str, Value]]]] = {
    5: {COUNTS: {"state": ""}, API_KEYS: {"expires_ms": None, "apis": "[]", "quotas": "[]", "first": ""}},
}
"""By version: columns that it has and the one before had not, with what they are in rows of before."""
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


def columns_at(kind: Kind, version: int) -> tuple[Column, ...]:
    """The columns of a kind as they were in a version."""
    later = {name for each, kinds in ADDED.items() if each > version for name in kinds.get(kind, ())}
    return tuple([column for column in kind.columns if column.name not in later])


def value_of(kind: Kind, column: str) -> Value:
    """What a column that was added is in rows of before. Raises: KeyError, for one that never was."""
    return next(kinds[kind][column] for kinds in ADDED.values() if column in kinds.get(kind, ()))


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
