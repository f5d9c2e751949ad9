"""From a URL to a store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from api_billing.extras import needed_by
from api_billing.metering.errors import InvalidSetting, StoreUnavailable, StoreUnusable
from api_billing.metering.stores.migrations import SCHEMA_VERSION, Migrated, Tell
from api_billing.metering.stores.store import Store
from api_billing.showing import redacted

# Scheme: kind of store.
_STORES: Final = {
    "memory": "memory",
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
}
_log = logging.getLogger("api_billing.metering.stores")

FORMS: Final = "sqlite:///meter.db, postgresql://user@host/database, redis://host:6379/0 or memory://"


def open_store(url: str, *, may_be_away: bool = False) -> Store:
    """Open the store of a URL, and make its tables when it is new; one that ``may_be_away`` is asked again later.

    ``sqlite:///meter.db`` is relative to the working directory, ``sqlite:////var/lib/meter.db`` absolute.

    Raises: InvalidSetting for another kind of URL; MissingExtra when its driver is not installed; StoreUnavailable when
    it cannot be reached; StoreUnusable when it belongs to another version, or may lose what it is told.
    """
    opener: Callable[[str], Store] = _function(url, "store", "open")
    store = opener(url)
    try:
        store.connect()
    except StoreUnavailable as error:
        if not may_be_away or isinstance(error, StoreUnusable):
            store.close()
            raise
        _log.error("opened without its store, which is asked again with each request: %s", error)
    return store


def migrate_store(url: str, *, check: bool = False, tell: Tell = lambda what, done, total: None) -> Migrated:
    """Bring the store of a URL to today's schema, unless it has it; ``check`` only looks. It can be broken off, and
    repeated. ``tell`` is told what is being done.

    Where there is no store yet nothing has to be done, as whoever opens it makes one.

    Raises: as ``open_store``; StoreUnusable when it cannot be done, and for a ``check`` when it has to be.
    """
    if url.partition("://")[0] == "memory":
        return Migrated(SCHEMA_VERSION)
    migrate: Callable[..., Migrated] = _function(url, "migration", "migrate")
    return migrate(url, tell, check=check)


def _function(url: str, module: str, verb: str) -> Any:
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in _STORES:
        raise InvalidSetting(f"not the URL of a store: {redacted(url)!r}", hint=f"write it as {FORMS}")
    if place.partition("/")[0].count("@") > 1:
        # Half of it would be taken for the host, whose name drivers tell.
        raise InvalidSetting("the URL of the store has an @ in its user or password", hint="write that @ as %40")
    kind = _STORES[scheme]
    with needed_by(f"a store at {scheme}://"):
        return getattr(import_module(f"api_billing.metering.stores.{kind}.{module}"), f"{verb}_{kind}")
