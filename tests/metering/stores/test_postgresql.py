"""What is particular to PostgreSQL: first opening, conflicts, lost connections, settings."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

psycopg = pytest.importorskip("psycopg")

from api_billing.metering.errors import CannotBeStored, InvalidSetting, StoreUnavailable  # noqa: E402
from api_billing.metering.ledger import (  # noqa: E402
    batch_operations,
    consumer_operations,
    limit_operations,
    operations,
    session_operations,
    settlement_operations,
)
from api_billing.metering.ledger.consumer_operations import ListTiers  # noqa: E402
from api_billing.metering.ledger.operations import (  # noqa: E402
    Claim,
    FireOnce,
    Grant,
    Granted,
    Operation,
    ReadBalance,
    Reserve,
    Reserved,
    Settle,
    Settled,
)
from api_billing.metering.ledger.rules import RULES, perform  # noqa: E402
from api_billing.metering.stores import open_store  # noqa: E402
from api_billing.metering.stores.postgresql import store as postgresql  # noqa: E402
from api_billing.metering.stores.postgresql.store import PostgresqlStore  # noqa: E402
from api_billing.metering.stores.postgresql.tables import PostgresqlTables, _round_trip  # noqa: E402


@pytest.fixture
def url(postgresql_url, emptied):
    return emptied(postgresql_url)


@pytest.fixture
def store(url):
    with open_store(url) as store:
        yield store


@pytest.fixture
def admin(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def new_schema(admin, url):
    """The URL of a schema without tables."""
    admin.execute("drop schema if exists fresh cascade")
    admin.execute("create schema fresh")
    yield f"{url}&options=-csearch_path%3Dfresh"
    admin.execute("drop schema fresh cascade")


def lost_answers(monkeypatch, times=1):
    """Have the connection break after the next transactions were committed, before their answers came."""
    transact = PostgresqlStore._transact
    left = [times]

    def losing(self, operations, **options):
        replies = transact(self, operations, **options)
        if left[0]:
            left[0] -= 1
            self._connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return replies

    monkeypatch.setattr(PostgresqlStore, "_transact", losing)


def test_operations__all__are_known():
    others = consumer_operations, batch_operations, limit_operations, session_operations, settlement_operations
    named = [value for module in (operations, *others) for value in vars(module).values()]
    kinds = {kind for kind in named if isinstance(kind, type) and issubclass(kind, Operation)}
    assert RULES.keys() == kinds - {Operation}


def test_open__empty_schema_by_many_at_once__makes_the_tables_once(new_schema):
    def ask(_):
        with open_store(new_schema) as store:
            return len(store.call(ListTiers()))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [4] * 4


def test_open__tables_of_a_newer_version__is_refused(new_schema, admin):
    open_store(new_schema).close()
    admin.execute("update fresh.meter_numbers set value = 99 where name = 'schema'")
    with pytest.raises(StoreUnavailable, match="version 99"):
        open_store(new_schema)


def test_database__that_lost_its_tables__is_refused_and_none_are_made_in_their_place(new_schema, admin, desk_of):
    with open_store(new_schema) as store:
        desk_of(store).grant(5)
        schema = new_schema.rpartition("%3D")[2]
        admin.execute(f"drop schema {schema} cascade; create schema {schema}")
        store._disconnect()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="emptied"):
                desk_of(store).free()
    open_store(new_schema).close()  # as whoever wants to begin anew


def test_open__not_a_url__is_refused_without_showing_the_password():
    with pytest.raises(InvalidSetting) as caught:
        open_store("postgresql://me:secret@host:port/x?nonsense=1")
    assert "secret" not in str(caught.value)


def test_open__nobody_there__is_unavailable_without_showing_the_password(tmp_path):
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"postgresql://me:secret@/x?host={tmp_path}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("contested", ["idempotency key", "window"])
def test_reserve__while_another_process_commits_what_they_share__waits_for_it(
    store, url, admin, desk_of, calls, contested
):
    # Neither the claim nor the window has a row yet, and their accounts do not keep them apart.
    desk = desk_of(store)
    claim, checks = (Claim("key", ""), ()) if contested == "idempotency key" else (None, (calls(1),))
    first, second = (desk.reserve_op(0, *checks, account=account, claim=claim) for account in ("one", "two"))
    with psycopg.connect(url, autocommit=True) as other, ThreadPoolExecutor(1) as thread:
        tables = PostgresqlTables(other, {})
        assert isinstance(perform(tables, [first])[0], Reserved)
        tables.flush()
        waiting = thread.submit(desk.call, second)
        blocked = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        while not waiting.done() and admin.execute(blocked).fetchone() is None:
            pass
        tables.commit()
        assert not isinstance(waiting.result(), Reserved)


def test_session__of_a_server_that_does_not_wait_for_the_disk__waits_for_it(url):
    with open_store(f"{url}&options=-csynchronous_commit%3Doff") as store:
        assert store._connection.execute("show synchronous_commit").fetchone() == ("on",)


def test_session__of_a_server_that_waits_for_its_replica__still_does(url):
    with open_store(f"{url}&options=-csynchronous_commit%3Dremote_apply") as store:
        assert store._connection.execute("show synchronous_commit").fetchone() == ("remote_apply",)


def test_batch__of_many_operations__is_one_transaction(store, admin, desk_of):
    desk = desk_of(store)
    grants = [Grant(desk.new_id(), f"a{number}", 1, desk.now_ms) for number in range(20)]
    before = admin.execute("select pg_current_xact_id()::text::bigint").fetchone()[0]
    store._perform(grants)
    after = admin.execute("select pg_current_xact_id()::text::bigint").fetchone()[0]
    assert after - before == 2  # the batch's, and this question's own


def test_batch__with_a_number_too_large_for_its_column__performs_the_others(store, desk_of):
    desk = desk_of(store)
    made = desk.reserve_op(0)
    replies = store._perform([made, replace(made, reservation_id="x", units=2**70), replace(made, reservation_id="y")])
    assert [type(reply) for reply in replies] == [Reserved, CannotBeStored, Reserved]


def test_round_trip__refused_before_all_is_sent__raises_that_and_logs_nothing(admin, caplog):
    def refused():
        with _round_trip(admin):
            first = admin.execute("select 1 / 0")
            admin.execute("select 1")
            first.fetchone()

    with pytest.raises(psycopg.errors.DivisionByZero):
        refused()
    assert not caplog.records  # a conflict is nothing to tell an operator of


@pytest.mark.parametrize("conflict", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_batch__in_conflict_with_another_process__is_tried_again(store, desk_of, monkeypatch, conflict):
    transact = PostgresqlStore._transact
    conflicts = [conflict("again"), conflict("again")]

    def conflicting(self, operations, **options):
        if conflicts:
            raise conflicts.pop()
        return transact(self, operations, **options)

    monkeypatch.setattr(PostgresqlStore, "_transact", conflicting)
    assert isinstance(desk_of(store).grant(5), Granted)


def test_batch__always_in_conflict__is_unavailable(store, desk_of, monkeypatch):
    def conflicting(self, operations, **options):
        raise psycopg.errors.DeadlockDetected("again")

    monkeypatch.setattr(PostgresqlStore, "_transact", conflicting)
    monkeypatch.setattr(postgresql, "_TRY_SECONDS", 0.02)
    with pytest.raises(StoreUnavailable, match="conflicts"):
        desk_of(store).grant(5)


def test_connection__closed_by_the_server_while_idle__is_opened_anew(store, admin, desk_of, monkeypatch):
    monkeypatch.setattr(postgresql, "LOOK_SECONDS", -1)
    pid = store._connection.info.backend_pid
    # With a timeout it returns when the other process has ended.
    assert admin.execute("select pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)
    assert store.call(FireOnce("a", 1, 2))


def test_connection__broken_after_the_commit__repeats_what_has_ids_and_changes_nothing(store, desk_of, monkeypatch):
    desk = desk_of(store)
    made = desk.reserve_op(60)
    settle = Settle(made.reservation_id, desk.account, desk.now_ms, 40)
    lost_answers(monkeypatch)
    replies = store._perform([Grant("g1", desk.account, 100, desk.now_ms), made, settle])
    assert [type(reply) for reply in replies][::2] == [Granted, Settled]
    assert (replies[2].charged_wei, replies[2].repeated) == (40, True)
    assert desk.balance()[:3] == (100, 0, 40)


def test_connection__broken_after_the_commit__leaves_the_rest_unknown(store, desk_of, monkeypatch):
    desk = desk_of(store)
    lost_answers(monkeypatch)
    replies = store._perform(
        [Grant("g1", desk.account, 7, desk.now_ms), FireOnce("a", 1, 2), ReadBalance(desk.account)]
    )
    assert isinstance(replies[1], StoreUnavailable)
    assert "not known" in str(replies[1])
    assert (replies[0].repeated, replies[2].granted_wei) == (True, 7)


def test_connection__broken_twice__is_unavailable_and_then_works_again(store, desk_of, monkeypatch):
    desk = desk_of(store)
    lost_answers(monkeypatch, times=2)
    with pytest.raises(StoreUnavailable):
        desk.grant(7, grant_id="g1")
    assert desk.grant(7, grant_id="g1").repeated


def test_reserve__prepared_once__serves_numbers_of_every_size(store, desk_of):
    desk = desk_of(store)
    desk.grant(2**255)
    for estimate_wei in (1, 2, 2**40, 2**70, 2**200):  # of 0 no account is written
        desk.reserve(estimate_wei)
    prepared = "select count(*) from pg_prepared_statements where statement like '%insert into meter_requests%'"
    assert store._connection.execute(prepared, prepare=False).fetchone() == (1,)
    assert isinstance(desk.call(Reserve("z", 1, 2, "a", "b", "c", 0)), Reserved)


def test_batch__interrupted__leaves_no_answers_for_the_next(store, desk_of, monkeypatch):
    desk = desk_of(store)
    desk.grant(7)

    def interrupted(self, operations, **options):
        self._connection.execute("begin")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgresqlStore, "_transact", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.grant(5)
    assert desk.balance().granted_wei == 7
