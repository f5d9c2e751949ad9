"""Stores of the meter: where credit, counts, reservations and records are kept. ``open_store(url)`` opens one."""

from api_billing.metering.stores.opening import migrate_store, open_store
from api_billing.metering.stores.store import Store

__all__ = ["Store", "migrate_store", "open_store"]
