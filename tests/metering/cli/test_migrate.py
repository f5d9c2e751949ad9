"""`api-billing meter migrate`."""

from pathlib import Path

from tests.metering.stores.old_ledger import restore_sqlite

OLD = Path(__file__).parents[1] / "stores" / "schema_4" / "sqlite.sql"


def test_migrate__of_an_older_store__says_what_became_of_it(run, tmp_path):
    restore_sqlite(OLD.read_text(), tmp_path / "meter.db")
    refused = run("credit", "show", "acme", code=3)
    assert "next: back it up, stop what uses it, and: api-billing meter migrate" in refused.err
    assert "version 4" in run("migrate", "--check", code=3).err
    migrated = run("migrate")
    assert "schema version 4 has become 5" in migrated.out
    assert "meter.db.schema-4" in migrated.out
    assert run("consumers", "list", "--json").json[0]["consumer"] == "acme"


def test_migrate__of_a_store_of_today__has_nothing_to_do(acme):
    assert acme("migrate", "--json").json == {"store": "sqlite:///meter.db", "was": 5, "schema": 5, "backup": ""}
    assert "nothing to do" in acme("migrate", "--check").out


def test_migrate__before_the_first_start__has_nothing_to_do(run, tmp_path):
    for options in ((), ("--check",)):
        assert "has no store of the meter yet" in run("migrate", *options).out
    assert not (tmp_path / "meter.db").exists()


def test_migrate__of_an_older_store_with_another_table__is_refused(run, tmp_path):
    restore_sqlite(OLD.read_text() + "create table limits (x);", tmp_path / "meter.db")
    refused = run("migrate", code=3)
    assert "the table limits is none of schema version 4" in refused.err
    assert "next: " in refused.err


def test_migrate__of_an_older_store_that_has_lost_tables__is_refused(run, tmp_path):
    restore_sqlite(OLD.read_text() + "drop table accounts;", tmp_path / "meter.db")
    assert "the table accounts is missing" in run("migrate", code=3).err
