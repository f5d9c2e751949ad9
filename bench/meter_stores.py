"""Reserve and settle against each store, and what the same disk does with one commit an operation and with few commits.

Part of ``bench/meter.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop
from meter_trips import round_trips

from api_billing.metering.ledger import rules
from api_billing.metering.ledger.consumer_operations import PutProfile, PutTier
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Grant, Outcome, Reserve, Reserved, Settle, Settled
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.plan import make_plan
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.stores import Store, open_store
from tools.private_servers import NotInstalled, private_postgresql, private_redis

CALLERS = (1, 32, 256)
CONSUMERS = 100
GWEI = 10**9
TIER = Tier("bench", 10**12, 30, (Quota("daily", "day", 10**12),))
OPS_A_COMMIT = 100
PAGE = 4096

SCHEMA = """
create table accounts (account text primary key, free integer not null) without rowid;
create table counts (counter text primary key, used integer not null) without rowid;
create table requests (
    record_id text primary key, at_ms integer, account text, method text, route text, state text, cost integer
) without rowid;
"""


@dataclass(frozen=True, slots=True)
class StoreFigure:
    """Reserve and settle together are a pair; the time of a pair is that of both, in milliseconds."""

    store: str
    callers: int
    pairs_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips between the meter and a server, seen from outside, for one caller; and the rows that a batch of many
    pairs reads and writes, for each pair: what another engine will have to do.
    """

    store: str
    reserve: float
    settle: float
    rows_read: float
    rows_written: float


Report = Callable[[str], None]


def measure_stores(
    folder: Path, seconds: float, rounds: int, report: Report, also: Callable[[str, str], None]
) -> tuple[list[StoreFigure], list[Trips]]:
    """All stores that can be started, after the baselines, in rounds of which each figure is the median; ``also`` is
    called with the name and URL of each that processes share.
    """
    trips = []
    with ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{folder}/meter.db", "memory": "memory://"}
        for name, server in _servers(folder).items():
            try:
                urls[name] = stack.enter_context(server())
            except (NotInstalled, ModuleNotFoundError) as error:
                report(f"without {name}: {error}")
        stores = {name: stack.enter_context(open_store(url)) for name, url in urls.items()}
        versions = {name: prepare(store) for name, store in stores.items()}
        found: dict[tuple[str, int], list[StoreFigure]] = {}
        for _ in range(rounds):
            for figure in _round(folder, seconds, stores, versions):
                report(f"{figure.store}, {figure.callers} callers: {figure.pairs_per_second:,.0f} pairs/s")
                found.setdefault((figure.store, figure.callers), []).append(figure)
        for name, url in urls.items():
            if name != "memory":
                also(name, url)
            if name in ("postgresql", "redis"):
                trips.append(_trips(name, url, folder))
    figures = [sorted(each, key=lambda figure: figure.pairs_per_second)[len(each) // 2] for each in found.values()]
    return figures, trips


def _servers(folder: Path) -> dict[str, Callable[[], AbstractContextManager[str]]]:
    return {
        "postgresql": lambda: private_postgresql(folder, durable=True),
        "redis": lambda: private_redis(folder),
    }


def _round(folder: Path, seconds: float, stores: dict[str, Store], versions: dict[str, int]) -> Iterator[StoreFigure]:
    for callers in (1, 8):
        yield separate_commits(folder, seconds, callers)
    yield few_commits(folder, seconds)
    for name, store in stores.items():
        for callers in CALLERS:
            pairs = Pairs(versions[name])
            run = _in_thread if callers == 1 else _in_coroutines
            yield _figure(name, callers, *run(store, pairs, callers, seconds))


# --- ours


def prepare(store: Store) -> int:
    """A tier with two windows, consumers in it, credit; the version of their profiles."""
    store.call(PutTier(TIER))
    for number in range(CONSUMERS):
        profile = store.call(PutProfile(f"consumer-{number}", TIER.name))
        store.call(Grant(f"grant-{number}", f"consumer-{number}", 10**30, 0))
    return profile.version


class Pairs:
    """Makes the operations of requests, as the meter does."""

    def __init__(self, last_version: int) -> None:
        now_ms = _now_ms()
        self._numbers = itertools.count()
        self._consumers = []
        for number in range(CONSUMERS):
            name = f"consumer-{number}"
            profile = Profile(name, TIER, last_version - CONSUMERS + 1 + number)
            self._consumers.append((name, profile.version, make_plan(profile, now_ms).checks))

    def reserve(self) -> Reserve:
        name, version, checks = self._consumers[next(self._numbers) % CONSUMERS]
        now_ms = _now_ms()
        return Reserve(
            new_id(now_ms), now_ms, now_ms + 60_000, name, "weather", name, 5 * GWEI, 1, checks, version,
            tier=TIER.name, method="GET", route="/forecast", fresh=True,
        )  # fmt: skip

    def settle(self, reserve: Reserve) -> Settle:
        return Settle(reserve.reservation_id, reserve.account, _now_ms(), 3 * GWEI, Outcome(200, 2, 512))


def _in_thread(store: Store, pairs: Pairs, callers: int, seconds: float) -> tuple[list[float], float]:
    latencies = []
    began = ended = time.perf_counter()
    while ended - began < seconds:
        reserve = pairs.reserve()
        assert type(store.call(reserve)) is Reserved
        assert type(store.call(pairs.settle(reserve))) is Settled
        started, ended = ended, time.perf_counter()
        latencies.append(ended - started)
    return latencies, ended - began


def _in_coroutines(store: Store, pairs: Pairs, callers: int, seconds: float) -> tuple[list[float], float]:
    latencies: list[float] = []
    stop_at = 0.0

    async def caller() -> None:
        ended = time.perf_counter()
        while ended < stop_at:
            reserve = pairs.reserve()
            assert type(await store.acall(reserve)) is Reserved
            assert type(await store.acall(pairs.settle(reserve))) is Settled
            started, ended = ended, time.perf_counter()
            latencies.append(ended - started)

    async def all_callers() -> float:
        nonlocal stop_at
        began = time.perf_counter()
        stop_at = began + seconds
        await asyncio.gather(*[caller() for _ in range(callers)])
        return time.perf_counter() - began

    elapsed = uvloop.run(all_callers())
    return latencies, elapsed


def _figure(store: str, callers: int, latencies: list[float], elapsed: float) -> StoreFigure:
    cuts = statistics.quantiles(latencies, n=100)
    return StoreFigure(store, callers, len(latencies) / elapsed, cuts[49] * 1e3, cuts[98] * 1e3)


def _trips(name: str, url: str, folder: Path) -> Trips:
    with round_trips(url, folder) as (counted_url, trips), open_store(counted_url) as store:
        pairs = Pairs(prepare(store))
        counts = [0, 0]
        pairs_asked = 100
        for number in range(CONSUMERS + pairs_asked):
            if number == CONSUMERS:
                counts = [0, 0]  # by now it has served each consumer once
            reserve = pairs.reserve()
            for index, operation in enumerate((reserve, pairs.settle(reserve))):
                before = trips()
                store.call(operation)
                counts[index] += trips() - before
        read, written = _rows(store, pairs)
    return Trips(name, counts[0] / pairs_asked, counts[1] / pairs_asked, read, written)


def _rows(store: Store, pairs: Pairs) -> tuple[float, float]:
    """Rows read and written for each pair of a batch of reservations, and one of their settlements."""
    read = written = 0
    perform = rules.perform

    def counted(tables: Tables, operations: Any) -> Any:
        nonlocal read, written
        replies = perform(tables, operations)
        read += sum(row is not None and row.stored for rows in tables.rows.values() for row in rows.values())
        written += sum(len(touched) for touched in tables.touched.values())
        return replies

    many = CALLERS[-1]
    reserves = [pairs.reserve() for _ in range(many)]
    with patch.object(rules, "perform", counted):
        store._perform(reserves)
        store._perform([pairs.settle(reserve) for reserve in reserves])
    return read / many, written / many


# --- the baselines: the least that a reservation and a settlement are, without any rule


def separate_commits(folder: Path, seconds: float, callers: int) -> StoreFigure:
    """Each operation is a transaction of the caller's own thread and connection."""
    path = _baseline_file(folder)
    latencies: list[float] = []
    threads = [threading.Thread(target=_separately, args=(path, seconds, latencies)) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _figure("one commit an operation", callers, latencies, time.perf_counter() - began)


def _separately(path: Path, seconds: float, latencies: list[float]) -> None:
    with _connected(path) as connection:
        began = ended = time.perf_counter()
        while ended - began < seconds:
            record_id = new_id(_now_ms())
            for step in (_reserve, _settle):
                connection.execute("begin immediate")
                step(connection, record_id)
                connection.execute("commit")
            started, ended = ended, time.perf_counter()
            latencies.append(ended - started)


def few_commits(folder: Path, seconds: float) -> StoreFigure:
    """One thread that commits once for many operations: the limit of SQLite on this file system."""
    latencies = []
    with _connected(_baseline_file(folder)) as connection:
        began = ended = time.perf_counter()
        while ended - began < seconds:
            record_ids = [new_id(_now_ms()) for _ in range(OPS_A_COMMIT // 2)]
            connection.execute("begin immediate")
            for step in (_reserve, _settle):
                for record_id in record_ids:
                    step(connection, record_id)
            connection.execute("commit")
            started, ended = ended, time.perf_counter()
            latencies += [(ended - started)] * len(record_ids)
    return _figure(f"{OPS_A_COMMIT} operations a commit, raw SQLite", 1, latencies, ended - began)


def syncs_per_second(folder: Path, seconds: float) -> float:
    """How often this disk takes one page: no commit can be faster, whoever makes it."""
    handle = os.open(folder / "page", os.O_RDWR | os.O_CREAT)
    try:
        syncs = 0
        began = ended = time.perf_counter()
        while ended - began < seconds:
            os.pwrite(handle, bytes([syncs & 255]) * PAGE, syncs % 256 * PAGE)
            os.fdatasync(handle)
            syncs += 1
            ended = time.perf_counter()
        return syncs / (ended - began)
    finally:
        os.close(handle)


def _reserve(connection: sqlite3.Connection, record_id: str) -> None:
    account = "consumer-1"
    taken = connection.execute(
        "update accounts set free = free - 5 where account = ? and free >= 5", (account,)
    ).rowcount
    assert taken == 1
    connection.execute("update counts set used = used + 1 where counter = ?", (account,))
    values = (record_id, _now_ms(), account, "GET", "/forecast", "reserved", 5)
    connection.execute("insert into requests values (?,?,?,?,?,?,?)", values)


def _settle(connection: sqlite3.Connection, record_id: str) -> None:
    connection.execute("update requests set state = 'settled', cost = 3 where record_id = ?", (record_id,))
    connection.execute("update accounts set free = free + 2 where account = ?", ("consumer-1",))


def _baseline_file(folder: Path) -> Path:
    path = folder / f"baseline-{time.monotonic_ns()}.db"
    with _connected(path) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(SCHEMA)
        connection.execute("insert into accounts values ('consumer-1', 1000000000000)")
        connection.execute("insert into counts values ('consumer-1', 0)")
    return path


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    with suppress(sqlite3.OperationalError):
        connection.execute("pragma synchronous = full")
    try:
        yield connection
    finally:
        connection.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
