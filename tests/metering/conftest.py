"""Private servers for the stores that need one, started at the first test that asks; and the express.js example.

Their data lies in memory (/dev/shm) where there is some: the tests are about what is right, not about the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tools.private_servers import (
    NotInstalled,
    memory_folder,
    private_pgbouncer,
    private_postgresql,
    private_redis,
    private_redis_cluster,
)

ROOT = Path(__file__).parents[2]
EXPRESS = ROOT / "examples" / "express"
INSTALL_SECONDS = 600


@pytest.fixture(scope="session")
def express() -> Path:
    """The express.js example with its packages, which are installed once for each lock."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed, which the express example needs")
    lock = hashlib.sha256((EXPRESS / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".cache" / f"express-example-{lock}"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "express-example.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # workers that run side by side install it once
        if not (folder / "node_modules").is_dir():
            fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
            fresh.mkdir()
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(EXPRESS / name, fresh / name)
            done = subprocess.run(
                ["npm", "ci"], cwd=fresh, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
            if done.returncode:
                shutil.rmtree(fresh)
                pytest.skip(f"npm cannot install express: {done.stderr[-500:]}")
            fresh.rename(folder)
        for source in EXPRESS.glob("*.js"):
            shutil.copy(source, folder / source.name)
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for files of a test, in memory where there is some."""
    with tempfile.TemporaryDirectory(prefix="meter-", dir=memory_folder()) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of an empty database on a server of this test session's own."""
    pytest.importorskip("psycopg")
    yield from _url_of(private_postgresql(memory_folder()))


@pytest.fixture(scope="session")
def pgbouncer_url(postgresql_url: str) -> Iterator[str]:
    """The URL of a PgBouncer of this test session's own, in transaction mode, in front of that server."""
    yield from _url_of(private_pgbouncer(memory_folder(), postgresql_url))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis of this test session's own, durable at each answer."""
    pytest.importorskip("redis")
    yield from _url_of(private_redis(memory_folder()))


@pytest.fixture(scope="session")
def redis_cluster_urls() -> Iterator[list[str]]:
    """The URLs of the three servers of an empty Redis Cluster of this test session's own."""
    pytest.importorskip("redis")
    yield from _url_of(private_redis_cluster(memory_folder()))


@pytest.fixture(scope="module")
def emptied() -> Iterator[Any]:
    """Empties what a URL of PostgreSQL or Redis names: a store opened on it is new, and the next module finds it so."""
    with ExitStack() as stack:
        connections: dict[str, Any] = {}

        def empty(url: str) -> str:
            if url.startswith("redis"):
                import redis

                if url not in connections:
                    connections[url] = stack.enter_context(redis.Redis.from_url(url))
                connections[url].flushdb()
            else:
                import psycopg

                if url not in connections:
                    connections[url] = stack.enter_context(psycopg.connect(url, autocommit=True))
                _empty_tables(connections[url])
            return url

        yield empty
        for url in connections:
            empty(url)


def _empty_tables(connection: Any) -> None:
    names = [row[0] for row in connection.execute("select tablename from pg_tables where tablename like 'meter_%'")]
    if names:
        emptied = [f"delete from {name}" for name in names if name not in ("meter_numbers", "meter_tiers")]
        emptied.append("update meter_numbers set value = 0 where name <> 'schema'")
        emptied.append("delete from meter_tiers where name not in ('free', 'pro', 'premium', 'enterprise')")
        connection.execute(";".join(emptied))


def _url_of[UrlT](server: AbstractContextManager[UrlT]) -> Iterator[UrlT]:
    try:
        url = server.__enter__()
    except NotInstalled as error:
        pytest.skip(str(error))
    try:
        yield url
    finally:
        server.__exit__(None, None, None)
