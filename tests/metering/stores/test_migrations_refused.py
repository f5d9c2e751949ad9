"""Stores that are not what schema 4 was: what was lost or is another's is named, and nothing is changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api_billing.metering.errors import StoreUnusable
from api_billing.metering.ledger.rows import COUNTS, GRANTS, KINDS
from api_billing.metering.stores import migrate_store
from api_billing.metering.stores.migrations import OLDEST, kinds_at
from tests.metering.stores import old_ledger
from tests.metering.stores.test_migrations import Broken, broken_off_after, old_redis, old_text, postgresql_schema

OLD_TABLES = [*[kind.name for kind in kinds_at(OLDEST)], "leaves"]


@pytest.fixture
def path(folder):
    """An SQLite file of schema 4."""
    old_ledger.restore_sqlite(old_text("sqlite.sql"), folder / "meter.db")
    return folder / "meter.db"


@pytest.fixture
def old_postgresql(postgresql_url):
    yield from postgresql_schema(postgresql_url, old_text("postgresql.sql"))


def assert_refused(url, text, change):
    """Once it is changed so it is refused, saying that, and not changed."""
    change(url)
    before = dumped(url)
    for _ in range(2):
        with pytest.raises(StoreUnusable) as caught:
            migrate_store(url)
        assert text in str(caught.value)
        assert "restore a backup" in caught.value.hint
    assert dumped(url) == before


def execute(statement):
    """What executes a statement in the database of a URL."""

    def change(url):
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                connection.executescript(statement)
        else:
            import psycopg

            with psycopg.connect(url) as connection:
                connection.execute(statement)

    return change


def dumped(url):
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return old_ledger.dump_sqlite(path), [each.name for each in path.parent.glob("*.schema-*")]
    import psycopg

    sql = "select table_name, column_name from information_schema.columns where table_schema = 'old' order by 1, 2"
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


# --- what was lost


def test_tables__of_the_oldest_version__are_those_that_its_program_made(path):
    # Fails when a kind is added without saying in which version.
    with closing(sqlite3.connect(path)) as connection:
        made = {name for (name,) in connection.execute("select name from sqlite_schema where type = 'table'")}
    assert made == set(OLD_TABLES)
    assert len(kinds_at(OLDEST)) < len(KINDS)


@pytest.mark.parametrize("table", OLD_TABLES)
def test_migrate__of_sqlite_that_has_lost_a_table__is_refused_with_its_name(path, table):
    assert_refused(f"sqlite:///{path}", f"the table {table} is missing", execute(f"drop table {table}"))


def test_migrate__of_postgresql_that_has_lost_a_table__is_refused_with_its_name(old_postgresql):
    for table in [f"meter_{table}" for table in (*OLD_TABLES, "names")]:
        away, back = f"alter table {table} rename to away", f"alter table away rename to {table}"
        assert_refused(old_postgresql, f"the table {table} is missing", execute(away))
        execute(back)(old_postgresql)
    assert migrate_store(old_postgresql).was == OLDEST


def test_migrate__of_postgresql_that_has_lost_a_table__ends_no_sessions(old_postgresql):
    import psycopg

    with psycopg.connect(old_postgresql, application_name="api-billing", autocommit=True) as running:
        running.execute("drop table meter_accounts")
        with pytest.raises(StoreUnusable, match="meter_accounts"):
            migrate_store(old_postgresql)
        assert running.execute("select 1").fetchall() == [(1,)]


def test_migrate__of_sqlite_that_has_lost_several_tables__names_them_all(path):
    text = "the table grants is missing; the table accounts is missing"
    assert_refused(f"sqlite:///{path}", text, execute("drop table accounts; drop table grants"))


# --- what is another's


def test_migrate__of_sqlite_with_a_table_of_another__is_refused_with_its_name(path):
    text = "the table limits is none of schema version 4"
    assert_refused(f"sqlite:///{path}", text, execute("create table limits (x)"))


def test_migrate__of_postgresql_with_a_table_of_another__is_refused_with_its_name(old_postgresql):
    text = "the table meter_limits is none of schema version 4"
    assert_refused(old_postgresql, text, execute("create table meter_limits (x int)"))


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("alter table counts add column x", "the table counts has the column x"),
        ("alter table counts add column state text", "the table counts has the column state"),
        ("alter table grants drop column note", "the table grants lacks the column note"),
    ],
)
def test_migrate__of_sqlite_with_other_columns__is_refused_with_their_names(path, statement, text):
    assert_refused(f"sqlite:///{path}", text, execute(statement))


def test_migrate__of_postgresql_with_another_column__is_refused_with_its_name(old_postgresql):
    text = "the table meter_counts has the column x"
    assert_refused(old_postgresql, text, execute("alter table meter_counts add column x int"))


@pytest.mark.parametrize("kind", [COUNTS, GRANTS])
@pytest.mark.parametrize("value", [b"another's", b"[1]", b"[1,2,3,4,5,6,7]", b"7", b"\xff"])
def test_migrate__of_redis_with_a_row_of_another__is_refused_with_its_kind(request, kind, value):
    import redis

    from api_billing.metering.stores.redis.rows import TOKEN_BYTES, letter_of

    url, key = old_redis(request, ""), f"api-billing:{{0}}{letter_of(kind)}1:a2"
    with redis.Redis.from_url(url) as client:
        client.set(key, b" " * TOKEN_BYTES + value)
        with pytest.raises(StoreUnusable, match=f"no row of {kind.name} of schema version 4"):
            migrate_store(url)
        client.delete(key)
    assert migrate_store(url).was == OLDEST


# --- the copy of before


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_backup__where_there_is_one__has_another_name(path, mode):
    names = ["meter.db.schema-4", "meter.db.schema-4-2", "meter.db.schema-4-3"]
    for place, name in enumerate(names):
        backup = Path(migrate_store(f"sqlite:///{path}").backup)
        assert backup == path.with_name(name)
        assert old_ledger.dump_sqlite(backup) == old_text("sqlite.sql")
        backup.write_text(f"the copy {place}")
        backup.chmod(mode)
        path.unlink()
        old_ledger.restore_sqlite(old_text("sqlite.sql"), path)
    assert [path.with_name(name).read_text() for name in names] == ["the copy 0", "the copy 1", "the copy 2"]


def test_backup__where_a_link_leads_nowhere__has_another_name(path):
    path.with_name("meter.db.schema-4").symlink_to("nowhere")
    assert migrate_store(f"sqlite:///{path}").backup == f"{path}.schema-4-2"
    assert path.with_name("meter.db.schema-4").is_symlink()


def test_backup__of_a_migration_that_failed__is_not_left(path):
    # A program that tries again and again must not fill the disk.
    for steps in range(100):
        try:
            migrate_store(f"sqlite:///{path}", tell=broken_off_after(steps))
            break
        except Broken:
            assert list(path.parent.glob("*.schema-*")) == []
            assert old_ledger.dump_sqlite(path) == old_text("sqlite.sql")
    assert 1 < steps < 99
