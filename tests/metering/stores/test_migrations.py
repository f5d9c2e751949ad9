"""Stores that an older program has left, as ``schema_4`` has them: refused, migrated, and used again."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from api_billing.metering.errors import StoreUnavailable, StoreUnusable
from api_billing.metering.ledger.consumer_operations import FindKey
from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    Grant,
    ListGrants,
    ReadBalance,
    Refused,
    Release,
    Replay,
    Reserved,
    Settle,
    Settled,
    Summarize,
    Sweep,
)
from api_billing.metering.ledger.rows import COUNTS, KINDS
from api_billing.metering.stores import migrate_store, open_store
from api_billing.metering.stores.migrations import ADDED, OLDEST, SCHEMA_VERSION, columns_at
from api_billing.metering.stores.sqlite.tables import TYPES
from tests.metering.stores import old_ledger
from tests.metering.stores.old_ledger import ACME, CALLS, CLAIM, HELD, NOW_MS, OPEN, OPEN_OF_SESSION, PAYER, RESPONSE

FOLDER = Path(__file__).with_name("schema_4")
ANSWERS = json.loads((FOLDER / "reads.json").read_text())
PREFIX = "an [old]\\ *?{one}:"


class Broken(Exception):
    """A migration is broken off."""


def old_text(name):
    return (FOLDER / name).read_text()


@pytest.fixture(params=["sqlite", "postgresql", "redis", "redis with a prefix", "redis cluster"])
def old(request, folder):
    """The URL of each kind of store, as it was in schema 4, with something of every kind in it."""
    if request.param == "sqlite":
        old_ledger.restore_sqlite(old_text("sqlite.sql"), folder / "meter.db")
        yield f"sqlite:///{folder}/meter.db"
    elif request.param == "postgresql":
        yield from postgresql_schema(request.getfixturevalue("postgresql_url"), old_text("postgresql.sql"))
    else:
        yield old_redis(request, request.param.removeprefix("redis"))


def old_redis(request, which):
    import redis

    empty, text = request.getfixturevalue("emptied"), old_text("redis.jsonl")
    if which == " cluster":
        (url, *_) = [empty(url) for url in request.getfixturevalue("redis_cluster_urls")]
        with redis.RedisCluster.from_url(url) as client:
            old_ledger.restore_redis(text, client)
        return url
    url = empty(request.getfixturevalue("redis_url"))
    if which:
        text = text.replace('"api-billing:{', json.dumps(PREFIX)[:-1] + "{")
    with redis.Redis.from_url(url) as client:
        old_ledger.restore_redis(text, client)
    return f"{url}?prefix=an%20%5Bold%5D%5C%20*?%7Bone%7D:" if which else url


def postgresql_schema(url, text):
    """The URL of a schema of its own, with what these statements make."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("create schema old")
        try:
            of_it = f"{url}&options=-csearch_path%3Dold"
            old_ledger.restore_postgresql(text, of_it)
            yield of_it
        finally:
            admin.execute("drop schema old cascade")


def kept(now, was):
    """What was answered before, of what is now: there may be more."""
    if isinstance(was, dict):
        return {name: kept(now[name], value) for name, value in was.items()}
    if isinstance(was, list) and len(was) == len(now):
        return [kept(*each) for each in zip(now, was, strict=True)]
    return now


def assert_whole(url):
    with open_store(url) as store:
        assert kept(old_ledger.reads(store), ANSWERS) == ANSWERS


# --- the table of migrations


def test_columns__of_the_oldest_version__are_those_that_its_program_made():
    # Fails when a column of a kind is added, taken away, moved or made otherwise, without a migration.
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(old_text("sqlite.sql"))
        for kind in KINDS:
            made = connection.execute(f"pragma table_info({kind.name})").fetchall()
            key = [column.name for column in kind.key]
            columns = [
                (
                    place,
                    column.name,
                    TYPES[column.type],
                    int(not column.optional),
                    None,
                    place + 1 if column.name in key else 0,
                )
                for place, column in enumerate(columns_at(kind, OLDEST))
            ]
            assert not made or [(place, name, type_.lower(), *rest) for place, name, type_, *rest in made] == columns


def test_versions__that_add_columns__are_those_after_the_oldest():
    assert list(ADDED) == list(range(OLDEST + 1, SCHEMA_VERSION + 1))


def columns_of_postgresql(connection, schema):
    sql = "select table_name, column_name, data_type, is_nullable, collation_name, column_default"
    return set(connection.execute(f"{sql} from information_schema.columns where table_schema = %s", (schema,)))


def indexes_of_postgresql(connection, schema):
    rows = connection.execute("select indexdef from pg_indexes where schemaname = %s", (schema,)).fetchall()
    return {row[0].replace(f"{schema}.", "") for row in rows}


def checks_of_postgresql(connection, schema):
    sql = "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint"
    rows = connection.execute(f"{sql} where connamespace = %s::regnamespace", (schema,))
    return {(table.rpartition(".")[2], text) for table, text in rows}


def test_tables__migrated__are_those_of_a_new_store_in_postgresql(postgresql_url, emptied):
    import psycopg

    open_store(emptied(postgresql_url)).close()
    for url in postgresql_schema(postgresql_url, old_text("postgresql.sql")):
        migrate_store(url)
        with psycopg.connect(postgresql_url) as admin:
            for what in (columns_of_postgresql, indexes_of_postgresql, checks_of_postgresql):
                assert what(admin, "old") == what(admin, "public")


def tables_of_sqlite(path):
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("select name, type from sqlite_schema where name not like 'sqlite_%'").fetchall()
        # Values of columns that were added stay.
        return {
            name: [row[:4] + row[5:] for row in connection.execute(f"pragma {type_}_xinfo({name})")]
            for name, type_ in names
        }


def test_tables__migrated__are_those_of_a_new_store_in_sqlite(folder):
    old_ledger.restore_sqlite(old_text("sqlite.sql"), folder / "meter.db")
    migrate_store(f"sqlite:///{folder}/meter.db")
    open_store(f"sqlite:///{folder}/new.db").close()
    assert tables_of_sqlite(folder / "meter.db") == tables_of_sqlite(folder / "new.db")


# --- a store of before


def test_open__of_an_older_version__is_refused_with_what_to_do(old):
    with pytest.raises(StoreUnusable, match="version 4") as caught:
        open_store(old)
    assert "api-billing meter migrate" in caught.value.hint


def test_open__migrated__answers_as_the_older_program_did(old):
    assert migrate_store(old).was == OLDEST
    assert_whole(old)


def test_migrate__twice__has_nothing_left_to_do(old):
    migrate_store(old)
    assert migrate_store(old).was == SCHEMA_VERSION
    assert_whole(old)


def test_migrated__requests_that_were_open__are_settled_released_and_swept(old):
    migrate_store(old)
    with open_store(old) as store:
        before = store.call(ReadBalance(ACME))
        assert isinstance(store.call(Settle(OPEN, ACME, NOW_MS, 40)), Settled)
        after = store.call(ReadBalance(ACME))
        assert (before.reserved_wei - after.reserved_wei, after.charged_wei - before.charged_wei) == (100, 40)
        assert store.call(Release(OPEN_OF_SESSION, PAYER, NOW_MS)).balance.reserved_wei == 0
        assert store.call(Sweep(NOW_MS + 10**9)) == 0


def test_migrated__windows_that_were_open__count_on(old):
    migrate_store(old)
    with open_store(old) as store:
        full = store.call(old_ledger.reserve(20, 1, CALLS))
        assert isinstance(full, Refused)
        assert full.violated == (0,)
        store.call(Release(OPEN, ACME, NOW_MS))
        assert store.call(old_ledger.reserve(21, 1, CALLS)).counts == (5,)
        other = CALLS._replace(counter="acme/new")
        assert isinstance(store.call(old_ledger.reserve(22, 1, other)), Reserved)
        assert isinstance(store.call(Settle(old_ledger.record_id(22), ACME, NOW_MS, 1)), Settled)


def test_migrated__idempotency_keys__are_replayed_and_in_progress(old):
    migrate_store(old)
    with open_store(old) as store:
        assert store.call(old_ledger.reserve(20, 1, claim=CLAIM)) == Replay(RESPONSE, old_ledger.record_id(1))
        assert isinstance(store.call(old_ledger.reserve(21, 1, claim=HELD)), ClaimInProgress)
        assert isinstance(store.call(old_ledger.reserve(22, 1, claim=Claim("new", "GET /"))), Reserved)


def test_migrated__rows_of_redis__are_in_all_lists_that_new_ones_are_put_into(request):
    # Fails when rows of a kind are listed in a new way, and its migration does not list those that there are.
    import redis

    from api_billing.metering.stores.redis.rows import TOKEN_BYTES, key_of, letter_of, members, row_of

    url, kinds, prefix = old_redis(request, ""), {letter_of(kind): kind for kind in KINDS}, "api-billing:{0}"
    migrate_store(url)
    with redis.Redis.from_url(url) as client:
        names = [key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}[^/]*")]
        seen = set()
        for name in names:
            kind = kinds[name[0]]
            row = row_of(kind, key_of(kind, name), client.get(prefix + name)[TOKEN_BYTES:])
            row.stored = False
            listed = [(f"{prefix}/{index}", member) for is_in, index, _, member in members(row) if is_in]
            assert all(client.zscore(*each) is not None for each in listed), listed
            seen.update(kind for _ in listed)
    assert len(seen) > 5


def test_migrated__grants__are_listed(old):
    migrate_store(old)
    with open_store(old) as store:
        made = store.call(ListGrants(ACME))
        assert [(each.grant_id, each.amount_wei, each.note) for each in made] == [
            ("first", 10**23, "a note"),
            ("second", -(10**20), ""),
        ]
        assert store.call(Summarize())[:2] == (3, 3)


def test_migrated__keys__are_good_for_everything_and_for_ever(old):
    migrate_store(old)
    with open_store(old) as store:
        key = store.call(FindKey("aaaaaaaa"))
        assert (key.expires_ms, key.apis, key.quotas) == (None, (), ())


# --- looking, and what cannot be migrated


def test_check__of_an_older_version__is_refused_and_changes_nothing(old):
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="version 4"):
            migrate_store(old, check=True)
    migrate_store(old)
    assert migrate_store(old, check=True).was == SCHEMA_VERSION


def test_migrate__of_a_newer_version__is_refused(shared_url):
    if "serializable" in shared_url:
        pytest.skip("it is the same tables")
    open_store(shared_url).close()
    set_version(shared_url, SCHEMA_VERSION + 1)
    try:
        with pytest.raises(StoreUnusable, match="newer program") as caught:
            migrate_store(shared_url)
        assert "newer api-billing" in caught.value.hint
    finally:
        set_version(shared_url, SCHEMA_VERSION)


@pytest.mark.parametrize("version", [1, 3])
def test_migrate__of_a_version_that_is_too_old__is_refused(folder, version):
    url = f"sqlite:///{folder}/meter.db"
    open_store(url).close()
    set_version(url, version)
    with pytest.raises(StoreUnusable, match="too old"):
        migrate_store(url)


def set_version(url, version):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute(f"pragma user_version = {version}")
    elif url.startswith("redis"):
        import redis

        with redis.Redis.from_url(url) as client:
            client.hset("api-billing:{0}/state", "schema", version)
    else:
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("update meter_numbers set value = %s where name = 'schema'", (version,))


@pytest.mark.parametrize("check", [False, True])
def test_migrate__where_there_is_no_store_yet__has_nothing_to_do(
    folder, emptied, redis_url, new_postgresql_schema, check
):
    for url in (f"sqlite:///{folder}/none.db", emptied(redis_url), new_postgresql_schema):
        assert migrate_store(url, check=check).was == 0
        assert migrate_store(url, check=check).was == 0, "none was made"
    assert not (folder / "none.db").exists()


def test_migrate__of_a_file_of_something_else__is_refused(folder):
    (folder / "other.db").touch()
    with pytest.raises(StoreUnavailable, match="is no store of the meter"):
        migrate_store(f"sqlite:///{folder}/other.db")


@pytest.fixture
def new_postgresql_schema(postgresql_url):
    yield from postgresql_schema(postgresql_url, "")


def test_migrate__of_memory__has_nothing_to_do():
    assert migrate_store("memory://").was == SCHEMA_VERSION


# --- broken off, at once, and while others run


def broken_off_after(steps):
    """What is told of so many steps, and then breaks the migration off."""
    told = []

    def tell(*step):
        told.append(step)
        if len(told) > steps:
            raise Broken

    return tell


def test_migrate__broken_off_at_each_step__is_refused_until_it_is_repeated(old, monkeypatch):
    monkeypatch.setattr("api_billing.metering.stores.redis.migration._PAGE", 5)
    for steps in range(100):
        try:
            migrate_store(old, tell=broken_off_after(steps))
            break
        except Broken:
            with pytest.raises(StoreUnusable, match="version 4"):
                open_store(old)
    assert 1 < steps < 99
    assert_whole(old)


def test_migrate__of_redis_broken_off_before_each_command__is_whole_when_it_is_repeated(request, monkeypatch):
    from api_billing.metering.stores.redis.store import RedisStore

    ask, write, left = RedisStore.ask, RedisStore.write, [0]

    def breaking(function):
        def call(*values):
            left[0] -= 1
            if left[0] < 0:
                raise Broken
            return function(*values)

        return call

    for commands in range(100):
        url = old_redis(request, "")
        left[0] = commands
        with monkeypatch.context() as patch:
            patch.setattr(RedisStore, "ask", breaking(ask))
            patch.setattr(RedisStore, "write", breaking(write))
            try:
                migrate_store(url)
                break
            except Broken:
                pass
        migrate_store(url)
        assert_whole(url)
    assert commands > 5


KILLED = """
import os, sys
from api_billing.metering.stores import migrate_store

def tell(what, done, total):
    if what in ("changing tables", "looking at keys") and done:
        os.kill(os.getpid(), 9)

migrate_store(sys.argv[1], tell=tell)
"""


def test_migrate__killed_in_the_middle__is_refused_until_it_is_repeated(old):
    assert subprocess.run([sys.executable, "-c", KILLED, old], check=False).returncode == -signal.SIGKILL
    with pytest.raises(StoreUnusable, match="version 4"):
        open_store(old)
    assert migrate_store(old).was == OLDEST
    assert_whole(old)


def test_migrate__by_two_at_once__is_whole(old):
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(migrate_store, [old, old]))
    assert {each.was for each in done} <= {OLDEST, SCHEMA_VERSION}
    assert_whole(old)


def test_backup__of_sqlite__is_what_there_was_and_nobody_elses_to_read(folder):
    old_ledger.restore_sqlite(old_text("sqlite.sql"), folder / "meter.db")
    migrated = migrate_store(f"sqlite:///{folder}/meter.db")
    backup = Path(migrated.backup)
    assert backup == folder / "meter.db.schema-4"
    assert backup.stat().st_mode & 0o777 == 0o600
    assert old_ledger.dump_sqlite(backup) == old_text("sqlite.sql")


def test_migrate__of_sqlite_that_another_process_has_open__is_refused_and_changes_nothing(folder):
    path = folder / "meter.db"
    old_ledger.restore_sqlite(old_text("sqlite.sql"), path)
    with closing(sqlite3.connect(path)) as running:
        running.execute("pragma journal_mode = wal")
        running.execute("select * from accounts").fetchall()
        with pytest.raises(StoreUnavailable, match="open in another process"):
            migrate_store(f"sqlite:///{path}")
    assert not (folder / "meter.db.schema-4").exists()
    assert migrate_store(f"sqlite:///{path}").was == OLDEST


def test_migrate__of_postgresql_that_processes_use__ends_their_sessions(postgresql_url, monkeypatch):
    import psycopg

    for url in postgresql_schema(postgresql_url, old_text("postgresql.sql")):
        with psycopg.connect(url, application_name="api-billing", autocommit=True) as running:
            running.execute("select 1")
            assert migrate_store(url).ended == 1
            with pytest.raises(psycopg.OperationalError):
                running.execute("select 1")


def test_migrate__of_redis__shuts_out_writers_of_before_for_ever(request):
    from redis import Redis

    from api_billing.metering.stores.redis import store as redis_store

    url = old_redis(request, "")
    with Redis.from_url(url) as running:
        write = running.register_script(redis_store._SCRIPT)
        keys = ["api-billing:{0}/turn", "api-billing:{0}/next", "api-billing:{0}nsomething"]
        arguments = ["a process of before", " " * 16, 1, "a row"]
        assert write(keys, arguments) == 0
        running.delete(keys[2])
        migrate_store(url)
        assert write(keys, arguments) == -1
        with open_store(url) as store:
            store.call(Grant("g", "a", 1, 1))
        assert write(keys, arguments) == -1


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
def test_process__that_runs_while_a_newer_program_migrates__notices(kind, request, emptied, monkeypatch):
    from api_billing.metering.stores.postgresql import store as postgresql_store
    from api_billing.metering.stores.redis import store as redis_store

    for module in (postgresql_store, redis_store):
        monkeypatch.setattr(module, "LOOK_SECONDS", -1)
    url = emptied(request.getfixturevalue(f"{kind}_url"))
    with open_store(url) as store:
        store.call(ReadBalance("a"))
        set_version(url, SCHEMA_VERSION + 1)
        with pytest.raises(StoreUnusable, match="newer program"):
            store.call(ReadBalance("a"))
        set_version(url, SCHEMA_VERSION)
        store.call(ReadBalance("a"))


def test_rewriting__a_row_of_neither_version__is_refused():
    from api_billing.metering.stores.redis.rows import with_columns

    columns = [columns_at(COUNTS, version)[len(COUNTS.key) :] for version in (4, 5)]
    assert with_columns(b'[7,"1"]', *columns, ADDED[5][COUNTS]) == b'[7,"1",""]'
    assert with_columns(b'[7,"1",""]', *columns, ADDED[5][COUNTS]) is None
    with pytest.raises(ValueError, match=re.escape("zip()")):
        with_columns(b'[7,"1","",4]', *columns, ADDED[5][COUNTS])
