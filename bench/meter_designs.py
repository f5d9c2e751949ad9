"""The two usual ways to bill an API, as good as they get with ordinary means; factories as in ``meter_apps.py``.

``separate_commits``: the request's own thread takes the credit, counts and logs, each in a commit of its own.

``remote_service``: before and after every request, a credit service is called over HTTP: lock, unlock. The service
keeps locks and credit in the same kind of file, one commit each. ``…_new_client`` opens a client for each call, as is
often seen; ``…_kept_client`` keeps one with its connections, which is the best that this design can do.
"""

import os
import sqlite3
import threading
import time
import uuid
from typing import Any

from meter_apps import FORECAST
from meter_stores import CONSUMERS

LIMIT = 10**12
SCHEMA = """
create table if not exists credit (consumer text primary key, wei integer not null);
create table if not exists counts (consumer text, day integer, calls integer, primary key (consumer, day));
create table if not exists log (id text primary key, at real, consumer text, method text, path text, status integer,
    cost integer);
create table if not exists locks (id text primary key, consumer text, wei integer, at real);
"""


class Ledger:
    """One file, one connection for each thread; a commit for each step, on disk when it returns."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._own = threading.local()
        with self._connection() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(SCHEMA)
            rows = [(f"consumer-{number}", 10**15) for number in range(CONSUMERS)]
            connection.executemany("insert or replace into credit values (?,?)", rows)

    def take(self, consumer: str, wei: int) -> bool:
        """Check the limit and take the credit."""
        with self._connection() as connection:
            counted = connection.execute(
                "select calls from counts where consumer = ? and day = ?", (consumer, _today())
            ).fetchone()
            if counted is not None and counted[0] >= LIMIT:
                return False
            sql = "update credit set wei = wei - ? where consumer = ? and wei >= ?"
            return connection.execute(sql, (wei, consumer, wei)).rowcount == 1

    def count(self, consumer: str) -> None:
        with self._connection() as connection:
            connection.execute(
                "insert into counts values (?,?,1) on conflict (consumer, day) do update set calls = calls + 1",
                (consumer, _today()),
            )

    def log(self, consumer: str, method: str, path: str, status: int, wei: int) -> None:
        with self._connection() as connection:
            values = (uuid.uuid4().hex, time.time(), consumer, method, path, status, wei)
            connection.execute("insert into log values (?,?,?,?,?,?,?)", values)

    def lock(self, consumer: str, wei: int) -> str:
        """Set credit aside; the id of the lock, empty when there is too little."""
        with self._connection() as connection:
            sql = "update credit set wei = wei - ? where consumer = ? and wei >= ?"
            if connection.execute(sql, (wei, consumer, wei)).rowcount != 1:
                return ""
            lock_id = uuid.uuid4().hex
            connection.execute("insert into locks values (?,?,?,?)", (lock_id, consumer, wei, time.time()))
            return lock_id

    def unlock(self, lock_id: str, cost: int) -> None:
        """Charge what it cost and give back the rest."""
        with self._connection() as connection:
            sql = "delete from locks where id = ? returning consumer, wei"
            consumer, wei = connection.execute(sql, (lock_id,)).fetchone()
            connection.execute("update credit set wei = wei + ? where consumer = ?", (wei - cost, consumer))
            values = (lock_id, time.time(), consumer, "", "", 200, cost)
            connection.execute("insert into log values (?,?,?,?,?,?,?)", values)

    def _connection(self) -> sqlite3.Connection:
        """A connection that begins a transaction with the first change, and commits when its block ends."""
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(self._path, timeout=30)
            self._own.connection.execute("pragma synchronous = full")
        connection: sqlite3.Connection = self._own.connection
        return connection


def separate_commits() -> Any:
    from fastapi import FastAPI, HTTPException, Request

    ledger = Ledger(os.environ["LEDGER_FILE"])
    app = FastAPI()

    @app.get("/forecast")
    def forecast(request: Request) -> dict[str, Any]:
        consumer = request.headers["x-consumer"]
        if not ledger.take(consumer, 5):
            raise HTTPException(402)
        ledger.count(consumer)
        answer = FORECAST
        ledger.log(consumer, request.method, request.url.path, 200, 5)
        return answer

    return app


def credit_service() -> Any:
    from fastapi import FastAPI

    ledger = Ledger(os.environ["LEDGER_FILE"])
    app = FastAPI()

    @app.post("/lock")
    def lock(consumer: str, wei: int) -> dict[str, str]:
        return {"lock": ledger.lock(consumer, wei)}

    @app.post("/unlock")
    def unlock(lock: str, cost: int) -> dict[str, bool]:
        ledger.unlock(lock, cost)
        return {"ok": True}

    return app


def remote_service_new_client() -> Any:
    import httpx

    async def post(path: str, **values: Any) -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.post(os.environ["SERVICE_URL"] + path, params=values)).json()

    return _remote(post)


def remote_service_kept_client() -> Any:
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=100, max_keepalive_connections=100))

    async def post(path: str, **values: Any) -> Any:
        return (await client.post(os.environ["SERVICE_URL"] + path, params=values)).json()

    return _remote(post)


def _remote(post: Any) -> Any:
    from fastapi import FastAPI, HTTPException, Request

    app = FastAPI()

    @app.get("/forecast")
    async def forecast(request: Request) -> dict[str, Any]:
        locked = await post("/lock", consumer=request.headers["x-consumer"], wei=5)
        if not locked["lock"]:
            raise HTTPException(402)
        answer = FORECAST
        await post("/unlock", lock=locked["lock"], cost=3)
        return answer

    return app


def _today() -> int:
    return int(time.time() // 86_400)
