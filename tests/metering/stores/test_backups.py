"""Backups as docs/stores.md has them: taken while a process has the store open, and restored when none has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from api_billing.metering.ledger.operations import Grant, ReadBalance
from api_billing.metering.stores import open_store
from tools.private_servers import NotInstalled, memory_folder, private_postgresql_server, private_redis_server

NOW_MS = 1_773_576_000_000


def run(*words: str | Path, **environment: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    ran = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def granted_around(url: str, back_up: Callable[[], object]) -> None:
    """Grant 7 before a backup, and 100 after it."""
    with open_store(url) as store:
        store.call(Grant("first", "acme", 7, NOW_MS))
        back_up()
        store.call(Grant("second", "acme", 100, NOW_MS))


def granted_wei(url: str) -> int:
    with open_store(url) as store:
        return store.call(ReadBalance("acme")).granted_wei


def test_backup__of_sqlite_put_in_its_place__is_the_store_of_that_moment(folder: Path) -> None:
    file, copy = folder / "meter.db", folder / "copy.db"
    granted_around(f"sqlite:///{file}", lambda: run("sqlite3", file, f"vacuum into '{copy}'"))
    shutil.move(copy, file)
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    assert granted_wei(f"sqlite:///{file}") == 7


def test_backup__of_postgresql_restored__is_the_store_of_that_moment(folder: Path) -> None:
    try:
        with private_postgresql_server(memory_folder()) as server:
            host = {"PGHOST": dict(parse_qsl(urlsplit(server.url).query))["host"], "PGUSER": "meter"}
            dump = ("--format=custom", "--dbname", "postgres", "--file", folder / "copy")
            granted_around(server.url, lambda: run("pg_dump", *dump, **host))
            run("pg_restore", "--clean", "--if-exists", "--dbname", "postgres", folder / "copy", **host)
            assert granted_wei(server.url) == 7
    except NotInstalled as error:
        pytest.skip(str(error))


def test_backup__of_redis_put_in_its_place__is_the_store_of_that_moment(folder: Path) -> None:
    pytest.importorskip("redis")
    try:
        with private_redis_server(memory_folder()) as server:
            copy = folder / "copy.rdb"
            granted_around(server.url, lambda: run("redis-cli", "-u", server.url, "--rdb", copy))
            at = Path(run("redis-cli", "-u", server.url, "config", "get", "dir").split()[1])
            server.kill()
            shutil.rmtree(at / "appendonlydir")
            shutil.copy(copy, at / "dump.rdb")
            (at / "dump.rdb").chmod(0o644)
            with private_redis_server(None, "--dir", str(at), "--appendonly", "no") as once:
                run("redis-cli", "-u", once.url, "config", "set", "appendonly", "yes")
                while "aof_rewrite_in_progress:0" not in run("redis-cli", "-u", once.url, "info", "persistence"):
                    pass
            server.start()
            assert granted_wei(server.url) == 7
    except NotInstalled as error:
        pytest.skip(str(error))
