"""SQLite when a process that has its lock is stopped, when a reader stays, and when the disk is full."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from api_billing.metering.errors import StoreUnavailable, StoreUnusable
from api_billing.metering.ledger.operations import Grant, ReadBalance
from api_billing.metering.stores import open_store
from api_billing.metering.stores.sqlite import store as sqlite_store
from api_billing.metering.stores.sqlite.lock import ProcessLock


@pytest.fixture
def url(folder):
    return f"sqlite:///{folder}/meter.db"


@pytest.fixture
def store(url, monkeypatch):
    monkeypatch.setattr(sqlite_store, "_BUSY_SECONDS", 0.3)
    with open_store(url) as store:
        yield store


@pytest.fixture
def kept(store):
    """The lock, kept by a process that was stopped."""
    program = (
        "import sys; from pathlib import Path; from api_billing.metering.stores.sqlite.lock import ProcessLock;"
        "lock = ProcessLock(Path(sys.argv[1])); lock.acquire(9); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


def test_lock__kept_by_a_stopped_process__is_unavailable_in_time(kept, desk_of, store):
    with ThreadPoolExecutor(1) as thread:
        assert isinstance(thread.submit(desk_of(store).grant, 5).exception(timeout=30), StoreUnavailable)


def test_lock__kept_by_a_stopped_process__does_not_block_a_loop(kept, desk_of, store):
    desk = desk_of(store)

    async def ask():
        return await asyncio.wait_for(store.acall(Grant("g", desk.account, 5, 1)), 30)

    with pytest.raises(StoreUnavailable, match="lock"):
        asyncio.run(ask())


def test_lock__kept_in_vain_for_one__is_not_waited_for_as_long_by_the_next(kept, store):
    waited = []
    acquire = store._lock.acquire
    store._lock.acquire = lambda seconds: waited.append(seconds) or acquire(seconds)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.call(ReadBalance("a"))
    assert waited == [0.3, 0.1, 0.1]


def test_lock__given_back__is_had_by_those_who_were_refused(kept, desk_of, store):
    desk = desk_of(store)
    with pytest.raises(StoreUnavailable):
        desk.grant(5, grant_id="g")
    kept.kill()
    kept.wait()
    assert desk.grant(5, grant_id="g").balance.granted_wei == 5


def test_open__while_a_stopped_process_keeps_the_lock__is_unavailable_in_time(kept, url):
    with ThreadPoolExecutor(1) as thread:
        assert isinstance(thread.submit(open_store, url).exception(timeout=30), StoreUnavailable)


def test_lock__of_two_who_wait__goes_from_one_to_the_other(folder):
    one, other = ProcessLock(folder / "x"), ProcessLock(folder / "x")
    assert one.acquire()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(other.acquire, 30)
        while not one.others_wait():
            pass
        one.release()
        assert waiting.result()
    assert not one.acquire()
    other.release()
    one.close()
    other.close()


def test_log__that_grew_while_somebody_read__is_cut_back(store, url, desk_of, monkeypatch):
    monkeypatch.setattr(sqlite_store, "_WAL_PAGES", 10)
    desk = desk_of(store)
    desk.grant(10**6)
    with open_store(url) as beside:
        served = desk_of(beside)
        with sqlite3.connect(store.path) as reader:
            reader.execute("begin")
            reader.execute("select * from requests").fetchall()
            for number in range(100):
                served.served(1, reservation_id=f"{number:026d}")
        reader.close()
        log = store.path.with_name("meter.db-wal")
        assert log.stat().st_size > 40 * 4096
        for number in range(100, 120):
            served.served(1, reservation_id=f"{number:026d}")
        assert log.stat().st_size <= 40 * 4096


FULL = """
import json, resource, sys
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import Grant, ReadBalance
from api_billing.metering.stores import open_store

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

url, seen = sys.argv[1], []
limit(4096)
try:
    open_store(url)
except StoreUnavailable:
    seen.append("not opened")
limit(resource.RLIM_INFINITY)
with open_store(url) as store:
    limit(2**18)
    granted = 0
    try:
        for granted in range(10**6):
            store.call(Grant(f"g{granted}", "a", 1, 1, "x" * 1000))
    except StoreUnavailable:
        seen.append("not granted")
    limit(resource.RLIM_INFINITY)
    store.call(Grant(f"g{granted}", "a", 1, 1))
    seen.append(store.call(ReadBalance("a")).granted_wei - granted)
print(json.dumps(seen))
"""


def test_disk__that_is_full__is_unavailable_and_goes_on_when_there_is_room(url):
    # A file of this process cannot grow beyond its limit, as if the disk had no more room.
    ran = subprocess.run([sys.executable, "-c", FULL, url], capture_output=True, check=True, text=True)
    assert json.loads(ran.stdout) == ["not opened", "not granted", 1]


@pytest.mark.parametrize("becomes", ["removed", "replaced"])
def test_file__that_is_not_in_its_place__is_refused_and_not_made_again(folder, url, desk_of, becomes, monkeypatch):
    monkeypatch.setattr(sqlite_store, "_LOOK_SECONDS", 0)
    with open_store(url) as store:
        desk_of(store).grant(5)
        for file in folder.glob("meter.db*"):
            file.rename(folder / f"away-{file.name}")
        if becomes == "replaced":
            open_store(url).close()
        for ask in (desk_of(store).free, lambda: asyncio.run(store.acall(ReadBalance("a"))), desk_of(store).reserve):
            with pytest.raises(StoreUnusable, match="removed or replaced"):
                ask()
        store._disconnect()
        if becomes == "removed":
            with pytest.raises(StoreUnavailable, match="does not exist"):
                desk_of(store).free()
