"""How operations of many callers share a step: no store, only the queue in front of one."""

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from api_billing.metering.errors import MeterClosed, StoreBusy, StoreUnavailable, UnknownTier
from api_billing.metering.ledger.operations import FireOnce, Operation
from api_billing.metering.stores import store as queue
from api_billing.metering.stores.store import MAX_BATCH, Store


class GatedStore(Store):
    """Answers each operation with its key; a batch waits until the gate is open."""

    def __init__(self) -> None:
        super().__init__("gated://")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []
        self.failure: BaseException | None = None

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Any]:
        keys = [operation.key for operation in operations if isinstance(operation, FireOnce)]
        self.entered.set()
        assert self.gate.wait(20)
        self.batches.append(keys)
        if self.failure is not None:
            raise self.failure
        return [UnknownTier(key) if key == "bad" else key for key in keys]

    def _disconnect(self) -> None:
        self.batches.append(["closed"])


def ask(key: str) -> FireOnce:
    return FireOnce(key, 0, 0)


def test_call__nobody_else__is_performed_in_the_callers_thread() -> None:
    with GatedStore() as store:
        assert store.call(ask("a")) == "a"
        assert store._worker is None


def test_call__many_threads_during_a_batch__share_the_next_one() -> None:
    with GatedStore() as store:
        store.gate.clear()
        replies: list[Any] = []
        threads = [threading.Thread(target=lambda i=i: replies.append(store.call(ask(str(i))))) for i in range(20)]
        threads[0].start()
        assert store.entered.wait(20)
        for thread in threads[1:]:
            thread.start()
        while len(store._waiting) < 19:
            threading.Event().wait(0.001)
        store.gate.set()
        for thread in threads:
            thread.join()
        assert sorted(replies, key=int) == [str(i) for i in range(20)]
        assert [len(batch) for batch in store.batches] == [1, 19]


def test_acall__many_coroutines__get_their_own_replies_in_few_batches() -> None:
    async def main(store: GatedStore) -> list[Any]:
        return await asyncio.gather(*(store.acall(ask(str(i))) for i in range(2 * MAX_BATCH)))

    with GatedStore() as store:
        assert asyncio.run(main(store)) == [str(i) for i in range(2 * MAX_BATCH)]
        assert all(len(batch) <= MAX_BATCH for batch in store.batches)


def test_acall__one_operation_refused__the_others_of_its_batch_are_answered() -> None:
    async def main(store: GatedStore) -> list[Any]:
        return await asyncio.gather(*(store.acall(ask(key)) for key in ("a", "bad", "b")), return_exceptions=True)

    with GatedStore() as store:
        first, refused, last = asyncio.run(main(store))
        assert (first, last) == ("a", "b")
        assert isinstance(refused, UnknownTier)


def test_acall__wait_cancelled__the_operation_is_performed_all_the_same() -> None:
    async def main(store: GatedStore) -> None:
        store.gate.clear()
        task = asyncio.create_task(store.acall(ask("a")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.gate.set()
        assert await store.acall(ask("b")) == "b"

    with GatedStore() as store:
        asyncio.run(main(store))
        assert [key for batch in store.batches for key in batch] == ["a", "b"]


def test_post__then_call__are_performed_in_this_order() -> None:
    with GatedStore() as store:
        store.post(ask("first"))
        store.call(ask("second"))
    assert [key for batch in store.batches for key in batch] == ["first", "second", "closed"]


def test_call__batch_fails_unexpectedly__is_store_unavailable_and_the_next_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with GatedStore() as store:
        store.failure = RuntimeError("boom")
        with pytest.raises(StoreUnavailable, match="boom"):
            store.call(ask("a"))
        store.failure = None
        assert store.call(ask("b")) == "b"
    assert "failed in a way it should not" in caplog.text


def test_call__interrupted_while_performing__waiters_fail_and_the_turn_is_free() -> None:
    with GatedStore() as store:
        store.failure = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            store.call(ask("a"))
        store.failure = None
        assert store.call(ask("b")) == "b"


def test_call__too_many_waiting__is_store_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAITING", 0)
    with GatedStore() as store, pytest.raises(StoreBusy):
        store.call(ask("a"))


def test_close__with_operations_waiting__performs_them_first() -> None:
    store = GatedStore()
    store.gate.clear()
    store.post(ask("a"))
    assert store.entered.wait(20)
    store.post(ask("b"))
    store.gate.set()
    store.close()
    store.close()
    assert [key for batch in store.batches for key in batch] == ["a", "b", "closed"]
    with pytest.raises(MeterClosed):
        store.call(ask("c"))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_call__in_a_forked_child__has_a_queue_and_a_worker_of_its_own() -> None:
    with GatedStore() as store:
        asyncio.run(store.acall(ask("a")))
        child = os.fork()
        if child == 0:
            answered = asyncio.run(store.acall(ask("b"))) == "b"
            os._exit(0 if answered else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_call__has_waited_too_long__is_told_that_nothing_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAIT_SECONDS", -1)
    with GatedStore() as store:
        with pytest.raises(StoreBusy):
            store.call(ask("a"))
        with pytest.raises(StoreBusy):
            asyncio.run(store.acall(ask("b")))
    assert not any({"a", "b"} & set(batch) for batch in store.batches)


def test_post__has_waited_too_long__is_performed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAIT_SECONDS", -1)
    with GatedStore() as store:
        store.post(ask("a"))
    assert ["a"] in store.batches
