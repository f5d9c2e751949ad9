"""What SQLite does beside requests: settlement reads without the writer's lock, and its writing is not felt."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.batch_operations import Batch
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Grant, Operation, ReadBalance, Reserve, Settle
from api_billing.metering.ledger.settlement_operations import (
    NEVER_READ,
    BeginPosting,
    EndPosting,
    ListToSettle,
    NextOutgoing,
    OpenBook,
    Part,
    ReadCredit,
    SetGranted,
    TakeLease,
)
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.stores import open_store
from api_billing.metering.stores.sqlite.store import SqliteStore
from api_billing.metering.stores.steps import run

NOW_MS = 1_773_576_000_000
ACCOUNT = API = "weather"


@pytest.fixture
def url(folder: Path) -> str:
    return f"sqlite:///{folder}/meter.db"


def opened(url: str) -> Iterator[SqliteStore]:
    with open_store(url) as store:
        assert isinstance(store, SqliteStore)
        yield store


@pytest.fixture
def store(url: str) -> Iterator[SqliteStore]:
    """That of an API: it has 100 wei for its account, whose row is in memory."""
    for made in opened(url):
        made.call(Grant("first", ACCOUNT, 100, NOW_MS))
        served(made, 5)
        yield made


@pytest.fixture
def settler(url: str, store: SqliteStore) -> Iterator[SqliteStore]:
    """Another one on the same file, as another process has it."""
    yield from opened(url)


def reservation(estimate_wei: int = 1) -> Reserve:
    return Reserve(new_id(NOW_MS), NOW_MS, NOW_MS + 60_000, ACCOUNT, API, "acme", estimate_wei, fresh=True)


def served(store: SqliteStore, amount_wei: int) -> None:
    made = reservation(amount_wei)
    store.call(made)
    store.call(Settle(made.reservation_id, ACCOUNT, NOW_MS, amount_wei))


def remembers(store: SqliteStore) -> bool:
    """Whether a reservation is answered from memory, after a look at what other processes did."""
    made = reservation(0)
    if store._attempt(made) is None:
        return False
    store.call(Settle(made.reservation_id, ACCOUNT, NOW_MS, 0))
    return True


def settled(store: SqliteStore, *parts: Part) -> list[Operation[Any]]:
    """The operations of a settlement, done one by one; all of it is billed, or what the parts say."""
    done: list[Operation[Any]] = []

    def call(operation: Operation[Any]) -> Any:
        done.append(operation)
        return store.call(operation)

    call(TakeLease("settle", "s", NOW_MS, NOW_MS + 1))
    call(OpenBook(API, "0xc", 1))
    added = run(Cutter(API).step(NOW_MS), call)
    assert added is not None
    batch = added.batch
    assert isinstance(batch, Batch)
    call(BeginPosting(API, 1, NOW_MS))
    all_billed = tuple(Part(line.calls, line.amount_wei) for line in batch.lines)
    call(EndPosting(API, 1, NOW_MS, parts or all_billed))
    return done


def test_settled_by_another_process__what_is_in_memory__stays(store: SqliteStore, settler: SqliteStore) -> None:
    assert remembers(store)
    assert len(settled(settler)) > 5
    assert remembers(store)


CHANGES = {
    "granted": (lambda store: store.call(Grant("second", ACCOUNT, 7, NOW_MS)), 102),
    "charged": (lambda store: served(store, 30), 65),
    "reserved": (lambda store: store.call(reservation(20)) and store.close(), 75),
    "a part was refused": (lambda store: settled(store, Part(0, 0, "not_subscribed")), 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_by_another_process__what_is_in_memory__is_read_again(
    store: SqliteStore, settler: SqliteStore, change: str
) -> None:
    act, free_wei = CHANGES[change]
    for _ in range(2):
        assert remembers(store)
    act(settler)
    assert not remembers(store)
    assert store.call(ReadBalance(ACCOUNT)).free_wei == free_wei
    assert remembers(store)


def test_credit_from_the_chain__changed_by_another_process__is_seen(store: SqliteStore, settler: SqliteStore) -> None:
    assert remembers(store)
    settler.call(SetGranted(ACCOUNT, 0, 0, 500, 500, NEVER_READ))
    assert store.call(ReadBalance(ACCOUNT)).granted_wei == 500


def test_change__that_was_undone__does_not_hide_that_of_another_process(
    store: SqliteStore, settler: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(store, 1)
    tables = store._tables
    assert tables is not None
    connection = tables.connection

    class Failing:
        """A connection whose commits fail, as on a full disk."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def execute(self, sql: str, *values: Any) -> Any:
            if sql == "commit":
                raise sqlite3.OperationalError("database or disk is full")
            return connection.execute(sql, *values)

    monkeypatch.setattr(store, "_failed", lambda error: StoreUnavailable(str(error)))  # keeps what it has open
    with monkeypatch.context() as patched:
        patched.setattr(tables, "connection", Failing())
        with pytest.raises(StoreUnavailable, match="full"):
            store.call(Grant("lost", ACCOUNT, 1000, NOW_MS))
    # Which has the row in memory again, and counts no change of its own.
    assert store.call(ReadCredit(ACCOUNT)).balance.free_wei == 94
    settler.call(Grant("second", ACCOUNT, 7, NOW_MS))
    assert store.call(ReadBalance(ACCOUNT)).free_wei == 101


def test_read__of_settlement__does_not_wait_for_who_writes(store: SqliteStore) -> None:
    with open(f"{store.path}.lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found: list[Any] = []
        reading = threading.Thread(target=lambda: found.append(store.call(ListToSettle(API))), daemon=True)
        reading.start()
        reading.join(20)
        assert [line.charged_wei for line in found[0]] == [5]


def test_read__of_settlement__has_all_that_was_settled_before(store: SqliteStore) -> None:
    for number in range(20):
        served(store, number % 3)
        assert len(store.call(ListToSettle(API))) == number + 2


def test_read__of_a_store_that_was_not_opened_yet__opens_it(url: str, store: SqliteStore) -> None:
    with SqliteStore(url, store.path) as late:
        assert late.call(NextOutgoing(API)) is None
        assert len(late.call(ListToSettle(API))) == 1


def test_read__of_a_file_that_is_gone__says_so(url: str, folder: Path) -> None:
    with (
        SqliteStore(url, folder / "nothing.db", create=False) as late,
        pytest.raises(StoreUnavailable, match="does not exist"),
    ):
        late.call(ListToSettle(API))


def test_forked__while_another_thread_reads__the_child_reads_and_writes(store: SqliteStore) -> None:
    for _ in range(300):
        served(store, 0)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            store.call(ListToSettle(API, limit=1000))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    served(store, 0)
                    code = 0 if len(store.call(ListToSettle(API, limit=1000))) > 300 else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
