"""PostgreSQL that is stopped, out of reach, or held up by a process that was stopped: each wait has an end."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

psycopg = pytest.importorskip("psycopg")

from api_billing.metering.errors import StoreUnavailable  # noqa: E402
from api_billing.metering.ledger import rules  # noqa: E402
from api_billing.metering.ledger.operations import Grant, Granted, Settle, Settled  # noqa: E402
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.postgresql import store as postgresql  # noqa: E402
from api_billing.metering.stores.postgresql.tables import PostgresqlTables  # noqa: E402
from tools.relay import relay_to  # noqa: E402


@pytest.fixture
def url(postgresql_url, emptied):
    return emptied(postgresql_url)


@pytest.fixture
def impatient(monkeypatch):
    """Answers are waited for shortly; a function that has a session wait as shortly for locks."""
    monkeypatch.setattr(postgresql, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(postgresql, "_LOOK_SECONDS", 0.5)
    monkeypatch.setitem(postgresql._DEFAULTS, "connect_timeout", "1")

    monkeypatch.setattr(postgresql, "_STOPPED_SECONDS", 0.0)

    def session(store):
        store._connection.execute("set lock_timeout = '200ms'")

    return session


@contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ended(call, *values, **options):
    """What a call ends with; it fails when it does not end."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *values, **options).exception(timeout=30)


def test_server__that_is_stopped__is_unavailable_in_time(url, desk_of, impatient):
    with open_store(url) as store, psycopg.connect(url) as admin:
        desk = desk_of(store)
        postmaster = int(admin.execute("select pg_read_file('postmaster.pid')").fetchone()[0].split()[0])
        backend = store._connection.info.backend_pid
        with stopped(postmaster), stopped(backend):
            assert isinstance(ended(desk.grant, 5, grant_id="g"), StoreUnavailable)
        store._no_try_before = 0
        assert desk.grant(5, grant_id="g").balance.granted_wei == 5


def test_session__that_is_stopped_alone__is_left_for_another(url, desk_of, impatient):
    with open_store(url) as store:
        desk = desk_of(store)
        with stopped(store._connection.info.backend_pid):
            assert desk.grant(5).balance.granted_wei == 5


def test_lock__held_by_somebody_who_does_not_go_on__is_unavailable_in_time(url, desk_of, impatient):
    with open_store(url) as store, psycopg.connect(url) as other:
        desk = desk_of(store)
        desk.grant(5)
        impatient(store)
        other.execute("select * from meter_accounts for update")
        assert isinstance(ended(desk.grant, 1, grant_id="g"), StoreUnavailable)
        other.rollback()
        assert desk.grant(1, grant_id="g").balance.granted_wei == 6


def test_process__stopped_in_the_middle_of_a_batch__holds_up_nobody_for_long(url, desk_of, impatient):
    with open_store(url) as store, open_store(url) as other:
        desk = desk_of(store)
        desk.grant(5)
        impatient(store)
        begun = PostgresqlTables(other._connection, {})
        rules.fetch(begun, [desk.reserve_op(5)])
        assert desk.grant(1, grant_id="g").balance.granted_wei == 6
        assert desk_of(other).grant(1, grant_id="h").balance.granted_wei == 7


@pytest.fixture
def relay(url):
    with relay_to(f"{psycopg.conninfo.conninfo_to_dict(url)['host']}/.s.PGSQL.5432") as relay:
        yield relay


@pytest.fixture
def far(relay):
    return f"postgresql://meter@127.0.0.1:{relay.port}/postgres"


def test_network__that_passes_nothing_on__is_unavailable_in_time_and_nothing_is_granted_twice(
    far, relay, desk_of, impatient
):
    with open_store(far) as store:
        desk = desk_of(store)
        relay.stall()
        assert isinstance(ended(desk.grant, 5, grant_id="g"), StoreUnavailable)
        relay.go_on()
        store._no_try_before = 0
        assert desk.grant(5, grant_id="g").balance.granted_wei == 5


def test_network__cut_after_each_answer_of_the_server__charges_a_request_once(far, relay, desk_of):
    with open_store(far) as store:
        desk = desk_of(store)
        made = desk.reserve_op(60, fresh=True)
        steps = [Grant("g", desk.account, 100, 1), made, Settle(made.reservation_id, desk.account, desk.now_ms, 40)]
        replies = []
        for step in steps:
            relay.cut()
            replies.append(desk.call(step))
        assert isinstance(replies[0], Granted)
        assert isinstance(replies[2], Settled)
        assert desk.balance()[:3] == (100, 0, 40)
