"""Whether a store can be written to is found out by writing, on every kind of store."""

from contextlib import contextmanager

import pytest

from api_billing.metering import Meter
from api_billing.metering.ledger.operations import ReadBalance
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores import open_store

from .conftest import url_of


def meter_on(store):
    return Meter(store, MeterSettings.load(key_pepper="pepper of the tests"), clock_ms=store.now_ms)


def test_healthy__on_a_store__writes_every_time(store):
    assert [meter_on(store).healthy().wrong for _ in range(2)] == [(), ()]


@contextmanager
def only_readable(store, kind):
    store.call(ReadBalance("acme"))  # it is connected
    if kind == "sqlite":
        store._connection.execute("pragma query_only = on")
        yield
    elif kind == "postgresql":
        store._connection.execute("set default_transaction_read_only = on")
        yield
    else:
        import redis

        with redis.Redis.from_url(store.url) as server:
            server.config_set("min-replicas-to-write", 1)
            try:
                yield
            finally:
                server.config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_healthy__store_that_can_only_be_read__is_told(kind, request, folder):
    with open_store(url_of(kind, request, folder)) as store, only_readable(store, kind):
        assert [(each.part, each.stops) for each in meter_on(store).healthy().wrong] == [("store", True)]
