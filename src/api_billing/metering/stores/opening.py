"""From a URL to a store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Final

from api_billing.extras import needed_by
from api_billing.metering.errors import InvalidSetting, StoreUnavailable, StoreUnusable
from api_billing.metering.stores.store import Store
from api_billing.showing import redacted

# Scheme: module, function.
_STORES: Final = {
    "memory": ("memory", "open_memory"),
    "sqlite": ("sqlite", "open_sqlite"),
    "postgresql": ("postgresql", "open_postgresql"),
    "postgres": ("postgresql", "open_postgresql"),
    "redis": ("redis", "open_redis"),
    "rediss": ("redis", "open_redis"),
}
_log = logging.getLogger("api_billing.metering.stores")

FORMS: Final = "sqlite:///meter.db, postgresql://user@host/database, redis://host:6379/0 or memory://"


def open_store(url: str, *, may_be_away: bool = False) -> Store:
    """Open the store of a URL, and make its tables when it is new; one that ``may_be_away`` is asked again later.

    ``sqlite:///meter.db`` is relative to the working directory, ``sqlite:////var/lib/meter.db`` absolute.

    Raises: InvalidSetting for another kind of URL; MissingExtra when its driver is not installed; StoreUnavailable when
    it cannot be reached; StoreUnusable when it belongs to another version, or may lose what it is told.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _STORES:
        raise InvalidSetting(f"not the URL of a store: {redacted(url)!r}", hint=f"write it as {FORMS}")
    module, function = _STORES[scheme]
    with needed_by(f"a store at {scheme}://"):
        opener: Callable[[str], Store] = getattr(import_module(f"api_billing.metering.stores.{module}.store"), function)
    store = opener(url)
    try:
        store.connect()
    except StoreUnavailable as error:
        if not may_be_away or isinstance(error, StoreUnusable):
            store.close()
            raise
        _log.error("opened without its store, which is asked again with each request: %s", error)
    return store
