"""Several worker processes behind one socket: uvicorn's on each store, and gunicorn's while they are replaced."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering import Meter
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.ledger.operations import ListRecords, SumUsage
from api_billing.metering.limits.quotas import Quota

from .served import ESTIMATE_WEI
from .test_servers import GUNICORN, HERE, LONG_SECONDS, Gate, eventually

WORKERS = 4
CLIENTS = 8
ALLOWED = 60
ASKED = 100


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server at a socket that is open already: its port, and its first process."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        words = [word.format(fd=listening.fileno()) for word in arguments]
        with subprocess.Popen(
            [sys.executable, *words], cwd=HERE, env={**os.environ, **environment}, pass_fds=[listening.fileno()]
        ) as process:
            try:
                yield listening.getsockname()[1], process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_SECONDS)


def get(port: int, path: str, consumer: str = "ann") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LONG_SECONDS)) as connection:
        connection.request("GET", path, headers={"X-Consumer": consumer, "Connection": "close"})
        reply = connection.getresponse()
        return reply.status, reply.read()


# --- uvicorn


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, postgresql_url: str, redis_url: str, emptied: Any) -> dict[str, str]:
    return {
        "sqlite": f"sqlite:///{tmp_path_factory.mktemp('workers')}/meter.db",
        "postgresql": emptied(postgresql_url),
        "redis": emptied(redis_url),
    }


@pytest.fixture(scope="module")
def port(urls: dict[str, str]) -> Iterator[int]:
    command = ["-m", "uvicorn", "--fd", "{fd}", "--workers", str(WORKERS), "--log-level", "critical"]
    with started(*command, "--factory", "served:stores_app", METER_URLS=json.dumps(urls)) as (port, _):
        seen: set[bytes] = set()
        eventually(lambda: len(seen) == WORKERS or seen.add(get(port, "/")[1]))
        yield port


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "redis"])
def test_workers__of_uvicorn_on_one_store__count_and_charge_as_one(urls: dict[str, str], port: int, kind: str) -> None:
    with Meter.open(urls[kind]) as meter:
        meter.add_consumer("ann", tier="enterprise")
        meter.change_consumer("ann", quotas=(Quota("year", "year", ALLOWED),))
        meter.grant("ann", 10**6, grant_id="ann")
        with ThreadPoolExecutor(CLIENTS) as pool:
            replies = list(pool.map(lambda _: get(port, f"/{kind}"), range(ASKED)))
        statuses = [status for status, _ in replies]
        assert (statuses.count(200), statuses.count(429)) == (ALLOWED, ASKED - ALLOWED)
        assert len({body for status, body in replies if status == 200}) > 1, "one worker has served all"
        assert meter.balance("ann")[:3] == (10**6, 0, ALLOWED * ESTIMATE_WEI)
        (day,) = meter.store.call(SumUsage("ann"))
        assert (day.calls, day.charged_wei) == (ALLOWED, ALLOWED * ESTIMATE_WEI)
        records = meter.store.call(ListRecords("ann", limit=1000))
        assert [record.state for record in records].count("settled") == ALLOWED


# --- gunicorn


@pytest.fixture
def reloading(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], Meter]]:
    url = f"sqlite:///{folder}/meter.db"
    arguments = [*GUNICORN, "--graceful-timeout", str(LONG_SECONDS), "--workers", "2", "served:flask_app()"]
    with (
        started(*arguments, METER_URL=url) as (port, process),
        Meter.open(url, identify=from_header("X-Consumer")) as meter,
    ):
        meter.add_consumer("ann", tier="enterprise")
        meter.grant("ann", 10**9, grant_id="ann")
        yield port, process, meter


def test_reload__of_gunicorn_under_load__loses_no_request_and_charges_each_once(reloading: Any, folder: Path) -> None:
    port, process, meter = reloading
    replies: list[tuple[int, bytes]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            replies.append(get(port, "/pid"))

    with ThreadPoolExecutor(4) as pool, closing(Gate(folder / "gate")) as gate:
        held = pool.submit(get, port, f"/held?gate={gate.path}")
        eventually(lambda: meter.balance("ann").reserved_wei or None)
        asking = [pool.submit(ask) for _ in range(3)]
        eventually(lambda: len(replies) > 10 or None)
        old = {body for _, body in replies}
        process.send_signal(signal.SIGHUP)
        # The worker that is in the middle of a request goes on until it has answered.
        eventually(lambda: len({body for _, body in replies[-20:]} - old) == 2 or None)
        gate.open()
        status, worker = held.result(LONG_SECONDS)
        done.set()
        for each in asking:
            each.result(LONG_SECONDS)
    assert {status for status, _ in replies} | {status} == {200}
    assert worker not in {body for _, body in replies}, "the worker of before could not have been held"
    served = len(replies) + 1
    assert meter.balance("ann")[:3] == (10**9, 0, served * ESTIMATE_WEI)
    assert sum(day.calls for day in meter.store.call(SumUsage("ann"))) == served


# --- a process that ends

ENDING = """
import sys
from api_billing.metering import Meter
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import Grant, Reserve, Settle

meter = Meter.open(sys.argv[1])
now_ms = meter.now_ms()
meter.store.call(Grant("g", "acme", 100, now_ms))
meter.store.call(Reserve("0" * 26, now_ms, now_ms + 60_000, "acme", "weather", "acme", 60))
meter.keeper._round_seconds = 3600
meter.keeper.repeat(Settle("0" * 26, "acme", now_ms, 40))
"""


def test_process__that_ends_without_closing_its_meter__settles_what_it_could_not_before(folder: Path) -> None:
    url = f"sqlite:///{folder}/meter.db"
    subprocess.run([sys.executable, "-c", ENDING, url], check=True)
    with Meter.open(url) as meter:
        assert meter.balance("acme")[:3] == (100, 0, 40)
