"""``fail_open`` at the start: a meter opens without its store, and serves; not with one that cannot be used."""

import logging

import pytest

from api_billing.metering import Meter
from api_billing.metering.errors import InvalidSetting, StoreUnavailable, StoreUnusable
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.ledger.operations import Grant, ListRecords
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.stores import open_store

AWAY = {
    "sqlite": "sqlite:///{folder}/nothing/meter.db",
    "postgresql": "postgresql:///postgres?host={folder}&user=meter",
    "redis": "redis://127.0.0.1:1/0",
}


def terms(meter):
    return meter.metering("weather", estimate_wei=0, identify=from_header("x-consumer"))


def served(meter, metering=None):
    metering = metering or terms(meter)
    request = MeteredRequest("GET", "/", TextHeaders([("x-consumer", "acme")]), at_ms=meter.now_ms())
    return Exchange(metering, request).begin()


@pytest.mark.parametrize("kind", AWAY)
def test_open__store_is_away__is_refused(kind, folder):
    pytest.importorskip({"postgresql": "psycopg", "redis": "redis"}.get(kind, "sqlite3"))
    with pytest.raises(StoreUnavailable):
        Meter.open(AWAY[kind].format(folder=folder))


@pytest.mark.parametrize("kind", AWAY)
def test_open__store_is_away_and_fail_open_is_set__serves_and_logs(kind, folder, caplog):
    pytest.importorskip({"postgresql": "psycopg", "redis": "redis"}.get(kind, "sqlite3"))
    with caplog.at_level(logging.ERROR), Meter.open(AWAY[kind].format(folder=folder), fail_open=True) as meter:
        assert served(meter) is None
    assert "opened without its store" in caplog.text


def test_open__store_that_was_away_comes_back__meters_from_then_on(folder):
    with Meter.open(AWAY["sqlite"].format(folder=folder), fail_open=True, new_consumers="free") as meter:
        served(meter)
        (folder / "nothing").mkdir()
        assert served(meter) is None
        assert [record.state for record in meter.store.call(ListRecords())] == ["reserved"]


def test_open__store_that_was_away_counts_in_another_currency__is_refused_when_it_comes_back(folder):
    url = AWAY["sqlite"].format(folder=folder)
    with Meter.open(url, fail_open=True, currency="USD", new_consumers="free") as meter:
        metering = terms(meter)
        assert served(meter, metering) is None
        (folder / "nothing").mkdir()
        with Meter.open(url, currency="EUR") as other:
            other.check_currency()
        with pytest.raises(InvalidSetting, match="counts money in EUR"):
            served(meter, metering)


def test_open__store_that_was_away_and_is_empty__counts_in_the_currency_of_the_first_request(folder):
    url = AWAY["sqlite"].format(folder=folder)
    with Meter.open(url, fail_open=True, currency="USD", new_consumers="free") as meter:
        metering = terms(meter)
        (folder / "nothing").mkdir()
        assert served(meter, metering) is None
    with pytest.raises(InvalidSetting, match="counts money in USD"):
        Meter.open(url, currency="EUR")


def test_open__store_of_another_version_and_fail_open_is_set__is_refused(folder):
    url = f"sqlite:///{folder}/meter.db"
    with open_store(url) as store:
        store.call(Grant("g", "a", 1, 1))
        store._connection.execute("pragma user_version = 99")
    with pytest.raises(StoreUnusable):
        Meter.open(url, fail_open=True)
