"""A server killed in the middle of load, a disk that is full, a clock that is put back: all goes on after it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Balance,
    Grant,
    Granted,
    ListRecords,
    Operation,
    ReadBalance,
    ReadCounts,
    Reserve,
    Settle,
    Settled,
    SumUsage,
    Sweep,
)
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.keeper import settled_again
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.sqlite import store as sqlite_store
from api_billing.metering.stores.steps import arun
from api_billing.metering.web.fastapi import metered
from tools.private_servers import (
    NotInstalled,
    PrivateServer,
    memory_folder,
    private_postgresql_server,
    private_redis_server,
)

NOW_MS = 1_773_576_000_000
CALLERS = 4
EACH = 25
HOUR_MS = 3_600_000
CALLS = WindowCheck("acme/day", NOW_MS // DAY_MS * DAY_MS, (NOW_MS // DAY_MS + 1) * DAY_MS, "calls", None)


# --- a server that is killed


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    pytest.importorskip({"postgresql": "psycopg"}.get(request.param, request.param))
    servers: dict[str, Callable[[], AbstractContextManager[PrivateServer]]] = {
        "postgresql": lambda: private_postgresql_server(memory_folder(), durable=True),
        "redis": lambda: private_redis_server(memory_folder()),
    }
    try:
        with servers[request.param]() as server:
            yield server
    except NotInstalled as error:
        pytest.skip(str(error))


def start(server: PrivateServer) -> None:
    """Start it again; what is left of the one before may be in its way for a moment."""
    for _ in range(100):
        try:
            return server.start()
        except RuntimeError:
            pass
    raise AssertionError("it does not start again")


class Load:
    """Callers who serve one request after the other, and ask for each step until they are told what became of it."""

    def __init__(self, store: Store, consumer: str) -> None:
        self.store, self.consumer = store, consumer
        self.refused, self.enough = threading.Event(), threading.Event()
        self.served = threading.Semaphore(0)

    def surely[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        while True:
            try:
                return self.store.call(operation)
            except StoreUnavailable:
                self.refused.set()

    def run(self) -> int:
        """Serve until it is enough; how many there were."""
        served = 0
        while not self.enough.is_set():
            made = Reserve(
                new_id(NOW_MS), NOW_MS, NOW_MS + 60_000, self.consumer, "weather", self.consumer, 10,
                checks=(CALLS._replace(counter=self.consumer),), fresh=True,
            )  # fmt: skip
            self.surely(made)
            assert isinstance(self.surely(Settle(made.reservation_id, self.consumer, NOW_MS, 7)), Settled)
            served += 1
            self.served.release()
        return served

    def has_served(self, number: int) -> bool:
        """Wait for so many more."""
        return all(self.served.acquire(timeout=30) for _ in range(number))


@pytest.mark.parametrize("at", ["idle", "loaded"])
def test_server__killed_and_started_again__charges_each_request_once(server: PrivateServer, at: str) -> None:
    with open_store(server.url) as store, ThreadPoolExecutor(CALLERS) as pool:
        load = Load(store, at)
        store.call(Grant(at, at, 10**6, NOW_MS))
        try:
            if at == "idle":
                server.kill()
            running = [pool.submit(load.run) for _ in range(CALLERS)]
            if at == "loaded":
                assert load.has_served(EACH)
                server.kill()
            assert load.refused.wait(30), "nobody noticed that it was away"
            start(server)
            assert load.has_served(EACH + CALLERS), "it does not go on"
        finally:
            load.enough.set()
        served = sum(each.result(30) for each in running)
        (day,) = store.call(SumUsage(at))
        balance = store.call(ReadBalance(at))
        counts = store.call(ReadCounts((CALLS._replace(counter=at),)))
        assert (balance.reserved_wei, balance.charged_wei, day.calls, counts) == (0, 7 * served, served, (served,))


# --- a disk that is full


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """SQLite files on a disk that is full, as long as it says so."""
    disk = {"full": False}
    begin = sqlite_store._begin

    def begin_on_it(connection: sqlite3.Connection, busy_seconds: float) -> None:
        # Never fewer than there are already.
        connection.execute(f"pragma max_page_count = {1 if disk['full'] else 2**30}")
        begin(connection, busy_seconds)

    monkeypatch.setattr(sqlite_store, "_begin", begin_on_it)
    return disk


NOTE = "x" * 10_000  # needs new pages


def test_disk__full_for_a_thread__is_unavailable_and_then_goes_on(disk: dict[str, bool], folder: Path) -> None:
    with open_store(f"sqlite:///{folder}/meter.db") as store:
        store.call(Grant("first", "acme", 1, NOW_MS))
        disk["full"] = True
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="full") as caught:
                store.call(Grant("second", "acme", 1, NOW_MS, NOTE))
        assert "look at the disk" in caught.value.hint
        disk["full"] = False
        assert store.call(Grant("second", "acme", 1, NOW_MS, NOTE)) == Granted(Balance(2, 0, 0, 2, 2))


def test_disk__full_for_a_loop__is_unavailable_and_then_goes_on(disk: dict[str, bool], folder: Path) -> None:
    async def ask(store: Store) -> Any:
        await store.acall(Grant("first", "acme", 100, NOW_MS))
        made = Reserve(new_id(NOW_MS), NOW_MS, NOW_MS + 60_000, "acme", "weather", "acme", 10, route=NOTE, fresh=True)
        await store.acall(made)  # answered before it is written
        disk["full"] = True
        settle = Settle(made.reservation_id, "acme", NOW_MS, 7)
        with pytest.raises(StoreUnavailable, match="full"):
            await store.acall(settle)
        disk["full"] = False
        return await arun(settled_again(settle, made, await store.acall(settle)), store.acall)

    with open_store(f"sqlite:///{folder}/meter.db") as store:
        assert asyncio.run(ask(store)).charged_wei == 7
        assert store.call(ReadBalance("acme"))[:3] == (100, 0, 7)


def test_disk__full_while_a_request_is_served__is_settled_later_and_others_get_503(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, disk = sqlite_store._begin, {"full": False}

    def begin_on_it(*values: Any) -> None:
        if disk["full"]:
            raise sqlite3.OperationalError("database or disk is full")
        begin(*values)

    monkeypatch.setattr(sqlite_store, "_begin", begin_on_it)
    with Meter.open(f"sqlite:///{folder}/meter.db", identify=from_header("X-Consumer"), new_consumers="free") as meter:
        meter.keeper.start = lambda: None  # type: ignore[method-assign]  # its rounds are those of the test
        app = FastAPI()

        @app.get("/")
        @metered(meter, api="weather", estimate_wei=10)
        async def served() -> None:
            disk["full"] = True

        with TestClient(app) as client:
            meter.add_consumer("ann")
            meter.grant("ann", 100, grant_id="g")
            first, second = (client.get("/", headers={"X-Consumer": "ann"}) for _ in range(2))
            assert (first.status_code, "x-cost-wei" in first.headers) == (200, False)
            assert (second.status_code, "retry-after" in second.headers) == (503, True)
            disk["full"] = False
            meter.keeper.tick(meter.now_ms())
            assert meter.balance("ann")[:3] == (100, 0, 10)


# --- a clock that is put back


class Clock:
    """A clock that is put where it is told."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """A meter on SQLite, whose time is the machine's."""
    monkeypatch.setattr("api_billing.metering.stores.store.system_clock_ms", clock)
    with Meter.open(f"sqlite:///{folder}/meter.db", identify=from_header("X-Consumer")) as meter:
        meter.keeper.start = lambda: None  # type: ignore[method-assign]
        yield meter


def ask(meter: Meter) -> Exchange:
    metering = meter.metering("weather", estimate_wei=10)
    request = MeteredRequest("GET", "/", TextHeaders([("x-consumer", "ann")]), at_ms=meter.now_ms())
    return Exchange(metering, request)


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS])
def test_clock__put_elsewhere_while_a_request_is_served__keeps_its_reservation(
    meter: Meter, clock: Clock, ahead_ms: int
) -> None:
    meter.add_consumer("ann")
    meter.grant("ann", 100, grant_id="g")
    exchange = ask(meter)
    assert exchange.begin() is None
    clock.now_ms += ahead_ms
    for _ in range(3):
        # By the thread's reckoning: it does not sweep before everybody had the time to extend.
        meter.keeper.tick(clock.now_ms, sweeps=False)
        meter.keeper.tick(clock.now_ms)
        clock.now_ms += 30_000
    assert meter.balance("ann").reserved_wei == 10
    exchange.finish(MeteredResponse(200, TextHeaders([])))
    assert meter.balance("ann")[:3] == (100, 0, 10)


def test_clock__put_back__counts_in_the_windows_of_its_time(meter: Meter, clock: Clock) -> None:
    meter.add_consumer("ann", quotas=(Quota("minute", "minute", 2),))
    meter.grant("ann", 100, grant_id="g")

    def served() -> int:
        answers = []
        while (answer := (exchange := ask(meter)).begin()) is None:
            exchange.finish(MeteredResponse(200, TextHeaders([])))
            answers.append(answer)
        return len(answers)

    assert served() == 2
    clock.now_ms += HOUR_MS
    assert served() == 2
    clock.now_ms -= HOUR_MS
    assert served() == 0
    clock.now_ms += 60_000
    assert served() == 2


def test_clock__put_back__releases_what_a_process_left_by_the_time_that_it_was_put_back(
    meter: Meter, clock: Clock
) -> None:
    meter.add_consumer("ann")
    meter.grant("ann", 100, grant_id="g")
    clock.now_ms += HOUR_MS
    meter.store.call(Reserve(new_id(clock.now_ms), clock.now_ms, clock.now_ms + 60_000, "ann", "weather", "ann", 10))
    clock.now_ms -= HOUR_MS
    assert meter.store.call(Sweep(clock.now_ms + 60_000)) == 0
    clock.now_ms += HOUR_MS + 60_000
    assert meter.store.call(Sweep(clock.now_ms)) == 1
    assert meter.balance("ann")[:3] == (100, 0, 0)


# --- a backup


def test_backup__of_sqlite_taken_under_load__is_of_one_moment(folder: Path) -> None:
    with open_store(f"sqlite:///{folder}/meter.db") as store, ThreadPoolExecutor(CALLERS) as pool:
        load = Load(store, "acme")
        store.call(Grant("g", "acme", 10**6, NOW_MS))
        running = [pool.submit(load.run) for _ in range(CALLERS)]
        try:
            assert load.has_served(EACH)
            with closing(sqlite3.connect(folder / "meter.db")) as source:
                source.execute("vacuum into ?", (str(folder / "copy.db"),))
        finally:
            load.enough.set()
        served = sum(each.result(30) for each in running)
    with open_store(f"sqlite:///{folder}/copy.db") as restored:
        (day,) = restored.call(SumUsage("acme"))
        states = [record.state for record in restored.call(ListRecords(limit=10**6))]
        balance = restored.call(ReadBalance("acme"))
        assert EACH <= day.calls <= served
        assert (states.count("settled"), balance.charged_wei) == (day.calls, 7 * day.calls)
        assert balance.reserved_wei == 10 * states.count("reserved")
        (counted,) = restored.call(ReadCounts((CALLS._replace(counter="acme"),)))
        assert counted == len(states)
