"""From a URL to a store."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from api_billing.metering.errors import InvalidSetting, StoreMissing
from api_billing.metering.stores.store import Store

# Scheme: module, function, extra that installs the driver.
_STORES: Final = {
    "memory": ("memory", "open_memory", ""),
    "sqlite": ("sqlite", "open_sqlite", ""),
    "postgresql": ("postgresql", "open_postgresql", "postgresql"),
    "postgres": ("postgresql", "open_postgresql", "postgresql"),
    "redis": ("redis", "open_redis", "redis"),
    "rediss": ("redis", "open_redis", "redis"),
}
FORMS: Final = "sqlite:///meter.db, postgresql://user@host/database, redis://host:6379/0 or memory://"


def open_store(url: str) -> Store:
    """Open the store of a URL, and make its tables when it is new.

    ``sqlite:///meter.db`` is relative to the working directory, ``sqlite:////var/lib/meter.db`` absolute.

    Raises: InvalidSetting for another kind of URL; StoreMissing when its driver is not installed; StoreUnavailable when
    it cannot be reached or belongs to a newer version.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _STORES:
        raise InvalidSetting(f"not the URL of a store: {redacted(url)!r}", hint=f"write it as {FORMS}")
    module, function, extra = _STORES[scheme]
    try:
        opener: Callable[[str], Store] = getattr(import_module(f"api_billing.metering.stores.{module}.store"), function)
    except ImportError as error:
        raise StoreMissing(
            f"the driver of {scheme}:// is not installed: {error.name}",
            hint=f"install it with: pip install 'api-billing[{extra}]'",
        ) from error
    return opener(url)


def redacted(url: str) -> str:
    """A URL without its password, for messages and logs."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if not (separator and at):
        return url
    name, colon, _ = credentials.partition(":")
    return f"{scheme}://{name}{':…' if colon else ''}@{place}"
