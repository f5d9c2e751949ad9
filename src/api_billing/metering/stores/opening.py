"""From a URL to a store."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from api_billing.extras import needed_by
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.stores.store import Store

# Scheme: module, function.
_STORES: Final = {
    "memory": ("memory", "open_memory"),
    "sqlite": ("sqlite", "open_sqlite"),
    "postgresql": ("postgresql", "open_postgresql"),
    "postgres": ("postgresql", "open_postgresql"),
    "redis": ("redis", "open_redis"),
    "rediss": ("redis", "open_redis"),
}
FORMS: Final = "sqlite:///meter.db, postgresql://user@host/database, redis://host:6379/0 or memory://"


def open_store(url: str) -> Store:
    """Open the store of a URL, and make its tables when it is new.

    ``sqlite:///meter.db`` is relative to the working directory, ``sqlite:////var/lib/meter.db`` absolute.

    Raises: InvalidSetting for another kind of URL; MissingExtra when its driver is not installed; StoreUnavailable when
    it cannot be reached or belongs to a newer version.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _STORES:
        raise InvalidSetting(f"not the URL of a store: {redacted(url)!r}", hint=f"write it as {FORMS}")
    module, function = _STORES[scheme]
    with needed_by(f"a store at {scheme}://"):
        opener: Callable[[str], Store] = getattr(import_module(f"api_billing.metering.stores.{module}.store"), function)
    return opener(url)


def redacted(url: str) -> str:
    """A URL without its password, for messages and logs."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if not (separator and at):
        return url
    name, colon, _ = credentials.partition(":")
    return f"{scheme}://{name}{':…' if colon else ''}@{place}"
