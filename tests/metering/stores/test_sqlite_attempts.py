"""Reservations that SQLite answers before they are on disk: when, and what becomes of them when something fails."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import (
    Claim,
    GetRecord,
    Grant,
    ListRecords,
    NotReserved,
    ReadBalance,
    Refused,
    Release,
    Reserve,
    Reserved,
    Settle,
    Settled,
)
from api_billing.metering.ledger.vouchers import BySession
from api_billing.metering.stores import open_store
from api_billing.metering.stores.sqlite.store import SqliteStore

NOW_MS = 1_773_576_000_000
ACCOUNT = "acme"


def reservation(estimate_wei: int = 10, **changes: object) -> Reserve:
    made = Reserve(new_id(NOW_MS), NOW_MS, NOW_MS + 60_000, ACCOUNT, "weather", "acme", estimate_wei, fresh=True)
    return replace(made, **changes)


def settlement(made: Reserve, actual_wei: int = 10) -> Settle:
    return Settle(made.reservation_id, ACCOUNT, NOW_MS, actual_wei)


class GatedStore(SqliteStore):
    """Its commits of what a loop has prepared wait for a gate, or fail when told so."""

    gate: threading.Event
    fails = False

    def _finish(self) -> None:
        if self._committing:
            assert self.gate.wait(20)
            if self.fails:
                self.fails = False
                tables = self._tables
                assert tables is not None
                self._undo(tables)
                raise StoreUnavailable("the disk is full")
        super()._finish()


@pytest.fixture
def url(folder: Path) -> str:
    return f"sqlite:///{folder}/meter.db"


@pytest.fixture
def store(url: str, folder: Path) -> Iterator[GatedStore]:
    """With 100 wei of credit, whose account is in memory."""
    with GatedStore(url, folder / "meter.db") as made:
        made.gate = threading.Event()
        made.gate.set()
        made.connect()
        made.call(Grant("first", ACCOUNT, 100, NOW_MS))
        yield made


async def first_batch(store: GatedStore) -> asyncio.Task[object]:
    """A settlement on its way to the disk, behind the closed gate."""
    while True:
        made = reservation(durable=True)
        assert isinstance(await store.acall(made), Reserved)
        while store._committing or store._prepared is not None:
            await asyncio.sleep(0)
        store.gate.clear()
        task: asyncio.Task[object] = asyncio.ensure_future(store.acall(settlement(made, 0)))
        while not (store._committing or task.done()):
            await asyncio.sleep(0)
        if store._committing:
            return task
        store.gate.set()  # the worker, which looks now and then, was faster than the loop


def test_reservation__while_a_commit_runs__is_answered_and_its_settlement_waits(store: GatedStore) -> None:
    async def main() -> None:
        committing = await first_batch(store)
        made = reservation(30)
        reply = await store.acall(made)
        assert isinstance(reply, Reserved)
        assert (reply.balance.free_wei, reply.balance.reserved_wei) == (70, 30)
        settling = asyncio.ensure_future(store.acall(settlement(made, 30)))
        await asyncio.sleep(0)
        assert not settling.done()
        assert not committing.done()
        store.gate.set()
        assert isinstance(await settling, Settled)
        assert isinstance(await committing, Settled)

    asyncio.run(main())
    assert store.call(ReadBalance(ACCOUNT)) == (100, 0, 30, 100, 1)


def test_reservation__beyond_what_is_reserved_but_not_on_disk__is_refused(store: GatedStore) -> None:
    async def main() -> None:
        committing = await first_batch(store)
        replies = [await store.acall(reservation(45)) for _ in range(3)]
        assert [type(reply) for reply in replies] == [Reserved, Reserved, Refused]
        store.gate.set()
        await committing

    asyncio.run(main())
    assert store.call(ReadBalance(ACCOUNT)).reserved_wei == 90


@pytest.mark.parametrize(
    "changes",
    [
        {"durable": True},
        {"fresh": False},
        {"claim": Claim("key", "GET /")},
        {"account": "somebody who is not in memory"},
        {"route": "/wetter/zürich"},
        {"profile_version": 3},
        {"session": BySession("0x" + "5e" * 20)},
    ],
)
def test_reservation__that_needs_the_disk__waits_for_it(store: GatedStore, changes: dict[str, object]) -> None:
    async def main() -> None:
        committing = await first_batch(store)
        waiting = asyncio.ensure_future(store.acall(reservation(**changes)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        store.gate.set()
        await committing
        await waiting

    asyncio.run(main())


def test_answered__and_released_at_once__gives_the_credit_back(store: GatedStore) -> None:
    async def main() -> None:
        committing = await first_batch(store)
        made = reservation(30)
        assert isinstance(await store.acall(made), Reserved)
        store.post(Release(made.reservation_id, ACCOUNT, NOW_MS))
        store.gate.set()
        await committing

    asyncio.run(main())
    assert store.call(ReadBalance(ACCOUNT)).free_wei == 100


def test_commit_fails__what_was_answered_meanwhile__is_unknown_and_reserved_nowhere(store: GatedStore) -> None:
    async def main() -> None:
        committing = await first_batch(store)
        made = reservation(30)
        assert isinstance(await store.acall(made), Reserved)
        store.fails = True
        store.gate.set()
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await committing
        assert await store.acall(settlement(made, 30)) == NotReserved("unknown")
        # Whoever served it reserves it again, and settles it.
        assert isinstance(await store.acall(replace(made, fresh=False, durable=True)), Reserved)
        assert isinstance(await store.acall(settlement(made, 30)), Settled)

    asyncio.run(main())
    balance = store.call(ReadBalance(ACCOUNT))
    # The first one was on disk before, and its settlement failed: it is still reserved.
    assert (balance.charged_wei, balance.free_wei + balance.reserved_wei) == (30, 70)


def test_answered__then_closed__is_written(url: str, store: GatedStore) -> None:
    made = reservation(30)

    async def main() -> None:
        committing = await first_batch(store)
        assert isinstance(await store.acall(made), Reserved)
        store.gate.set()
        await committing

    asyncio.run(main())
    store.close()
    with open_store(url) as other:
        record = other.call(GetRecord(made.reservation_id))
        assert record is not None
        assert (record.state, other.call(ReadBalance(ACCOUNT)).reserved_wei) == ("reserved", 30)


def test_answered__by_a_loop_that_stops_for_ever__is_written_and_others_get_their_turn(
    url: str, store: GatedStore
) -> None:
    loop = asyncio.new_event_loop()
    made = reservation(30)
    assert isinstance(loop.run_until_complete(store.acall(made)), Reserved)
    # The loop never gets to write it, and this store has the lock: its worker looks after that.
    with open_store(url) as other:
        assert other.call(ReadBalance(ACCOUNT)).reserved_wei == 30
    loop.close()


def test_answered__to_a_thread_that_does_not_come_back__is_written_and_others_get_their_turn(
    url: str, store: GatedStore
) -> None:
    made = reservation(30)
    assert isinstance(store.call(made), Reserved)
    with open_store(url) as other:
        assert other.call(ReadBalance(ACCOUNT)).reserved_wei == 30
        record = other.call(GetRecord(made.reservation_id))
    assert record is not None
    assert record.state == "reserved"


def test_answered__to_a_thread_that_settles_at_once__is_one_commit(store: GatedStore) -> None:
    commits: list[str] = []
    assert store._connection is not None
    store._connection.set_trace_callback(commits.append)
    made = reservation(30)
    while store._attempt(made) is None:
        store.call(ReadBalance(ACCOUNT))
    commits.clear()
    assert store.call(settlement(made, 30)) == Settled(30, 0, store.call(ReadBalance(ACCOUNT)), ())
    assert len([sql for sql in commits if sql.startswith("insert into requests")]) == 1
    assert not [sql for sql in commits if sql.startswith("update requests")]


def test_two_stores_on_one_file__taking_turns_in_their_loops__admit_exactly_what_there_is(
    url: str, store: GatedStore
) -> None:
    async def serve(of: SqliteStore) -> int:
        admitted = 0
        for _ in range(40):
            made = reservation(1)
            if isinstance(await of.acall(made), Reserved):
                admitted += 1
                await of.acall(settlement(made, 1))
        return admitted

    async def main(of: SqliteStore) -> int:
        return sum(await asyncio.gather(*(serve(of) for _ in range(4))))

    admitted: list[int] = []
    with open_store(url) as other:
        assert isinstance(other, SqliteStore)
        threads = [
            threading.Thread(target=lambda of=of: admitted.append(asyncio.run(main(of)))) for of in (store, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(admitted) == 100
        assert other.call(ReadBalance(ACCOUNT)) == (100, 0, 100, 100, 1)
        assert len(other.call(ListRecords(states=("settled",), limit=1000))) == 100


def test_record__reserved_and_settled_in_one_commit__is_as_if_in_two(store: GatedStore) -> None:
    async def main() -> list[str]:
        apart, together = reservation(), reservation()
        store.call(replace(apart, durable=True))
        store.call(settlement(apart, 7))
        assert isinstance(await store.acall(together), Reserved)
        await store.acall(settlement(together, 7))
        return [apart.reservation_id, together.reservation_id]

    records = [store.call(GetRecord(record_id)) for record_id in asyncio.run(main())]
    assert records[0] is not None
    assert replace(records[0], record_id="") == replace(records[1], record_id="")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked__after_an_answer__the_child_has_nothing_of_it(store: GatedStore, url: str) -> None:
    loop = asyncio.new_event_loop()
    made = reservation(30)
    assert isinstance(loop.run_until_complete(store.acall(made)), Reserved)
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            # It waits for the parent's turn to end, and then sees what that has written.
            status = 0 if store.call(ReadBalance(ACCOUNT)).reserved_wei == 30 else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    loop.close()
