"""PostgreSQL behind a pooler that gives each transaction another session: PgBouncer in transaction mode."""

from concurrent.futures import ThreadPoolExecutor

import pytest

psycopg = pytest.importorskip("psycopg")

from api_billing.metering.errors import StoreUnavailable  # noqa: E402
from api_billing.metering.ledger.consumer_operations import ListTiers  # noqa: E402
from api_billing.metering.ledger.operations import Reserved, Settled  # noqa: E402
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.postgresql import store as postgresql  # noqa: E402
from tools.private_servers import NotInstalled, memory_folder, private_pgbouncer  # noqa: E402


@pytest.fixture
def url(pgbouncer_url, postgresql_url, emptied):
    emptied(postgresql_url)
    return pgbouncer_url


def sessions(url, sql):
    """What a statement answers in each session of the pool."""
    with psycopg.connect(url, prepare_threshold=None) as one, psycopg.connect(url, prepare_threshold=None) as other:
        return [connection.execute(sql).fetchone() for connection in (one, other)]


def test_stores__more_than_there_are_sessions__serve_every_round(url, desk_of):
    def work(number):
        with open_store(url) as store:
            desk = desk_of(store, account=f"a{number}", consumer=f"a{number}")
            desk.grant(1000, grant_id=f"g{number}")
            replies = []
            for round_ in range(40):
                reservation_id, reply = desk.reserve(10, reservation_id=f"{number:03d}{round_:023d}", fresh=True)
                replies += [reply, desk.settle(reservation_id, 7)]
            return replies, desk.balance()[:3]

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(work, range(6)))
    assert [type(reply) for replies, _ in found for reply in replies] == [Reserved, Settled] * 240
    assert {balance for _, balance in found} == {(1000, 0, 280)}


def test_session__that_a_store_has_used__has_its_own_settings_and_nothing_prepared(url, desk_of):
    names = ", ".join(f"current_setting('{name}')" for name in postgresql._SETTINGS)
    prepared = "(select count(*) from pg_prepared_statements)"
    before = sessions(url, f"select {names}, {prepared}")
    with open_store(url) as store:
        desk_of(store).grant(5)
        desk_of(store).served()
        assert len(store.call(ListTiers())) == 4
    assert sessions(url, f"select {names}, {prepared}") == before


def test_transaction__of_a_store__has_the_settings_of_the_store(url):
    with open_store(url) as store, store._connection.transaction():
        store._connection.execute(store._settings)
        assert store._connection.execute("show lock_timeout").fetchone() == ("5s",)
        assert store._connection.execute("show enable_seqscan").fetchone() == ("off",)


def test_open__an_empty_schema_behind_it__makes_the_tables(postgresql_url, folder):
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("create database fresh")
        try:
            with (
                private_pgbouncer(folder.parent, postgresql_url) as url,
                open_store(url.replace("/postgres?", "/fresh?")) as store,
            ):
                assert len(store.call(ListTiers())) == 4
        except NotInstalled as error:
            pytest.skip(str(error))
        finally:
            admin.execute("drop database fresh with (force)")


def test_pool__that_is_full__is_unavailable_in_time(postgresql_url, emptied, desk_of, monkeypatch):
    emptied(postgresql_url)
    with private_pgbouncer(memory_folder(), postgresql_url, "default_pool_size = 1") as url, open_store(url) as store:
        monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 0.3)
        monkeypatch.setattr(postgresql, "_LOOK_SECONDS", 0.3)
        store._parameters["connect_timeout"] = "1"
        with psycopg.connect(url, prepare_threshold=None) as other:
            other.execute("select 1")  # has the one session, until its transaction ends
            with pytest.raises(StoreUnavailable):
                desk_of(store).grant(5, grant_id="g")
        store._no_try_before = 0
        assert desk_of(store).grant(5, grant_id="g").balance.granted_wei == 5
