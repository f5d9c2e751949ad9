"""How a store is asked, from threads and from coroutines, and how many callers share one step.

Callers put operations into a queue and wait for their answers. Whoever finds nobody at work takes all that is waiting
and performs it as one batch: one transaction, one commit. While a batch is being written the next one
gathers, so that the number of commits follows what the disk or the network can do, and not the number of callers.

A thread performs the batch of its own operation itself, as handing it to another thread would take longer than the
work; for coroutines a worker thread does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, cast

from api_billing.metering.clock import system_clock_ms
from api_billing.metering.errors import MeterClosed, MeterError, StoreBusy, StoreUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.seldom import Seldom

Reply = Any  # of one of the operations, or the exception that it raises

MAX_BATCH: Final = 512
MAX_WAITING: Final = 20_000
MAX_WAIT_SECONDS: Final = 10.0  # in the queue; a batch has bounds of its own
LOOK_SECONDS: Final = 0.25
FORK_SECONDS: Final = 10.0

ANSWERED: Final[tuple[Reply, ...]] = ()  # in the place of the replies of a batch: everybody knows already

_log = logging.getLogger(__name__)


class Waiter:
    """Somebody's operation and, when ``done``, its reply. ``loop`` and ``future`` are those of a waiting coroutine."""

    __slots__ = ("done", "future", "lock", "loop", "operation", "reply", "since")

    def __init__(self, operation: Operation[Any]):
        self.operation = operation
        self.since = time.monotonic()
        self.reply: Reply = None
        self.done = False
        self.lock: threading.Lock | None = None  # of a waiting thread: held until the reply is there
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[Any] | None = None


class Store(ABC):
    """A store that performs operations in batches. Thread-safe; usable after a fork, which opens it anew in the
    child.
    """

    def __init__(self, url: str):
        self.url = url
        self._closed = False
        self._seldom = Seldom()
        self._set_up()
        at_fork(before=self._before_fork, in_parent=self._after_fork_in_parent, in_child=self._after_fork)

    def _set_up(self) -> None:
        self._waiting: deque[Waiter] = deque()
        self._turn = threading.Lock()  # held by whoever performs
        self._wake = threading.Lock()  # released to wake the worker
        self._wake.acquire()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._forking = False  # the turn is taken while the process forks

    # --- what a kind of store implements

    @abstractmethod
    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        """Perform the operations in their order, durably, and answer each; an exception in a reply's place is raised.

        Never called by two threads at once. Raises: StoreUnavailable, when all of them failed.
        """

    def now_ms(self) -> int:
        """The store's time, which is the same for all of its processes, in milliseconds since 1970-01-01 UTC."""
        return system_clock_ms()

    @property
    def counts_across(self) -> bool:
        """Whether requests of several consumers can be counted together, in one step with what else they change."""
        return True

    def connect(self) -> None:  # noqa: B027 - where there is nothing to connect to
        """Connect now, rather than with the first operation. Raises: StoreUnavailable."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Let go of files and connections; a later ``_perform`` opens them again."""

    def _abandon(self) -> None:
        """In a forked child: forget the parent's files and connections without touching them."""
        self._disconnect()

    # --- what callers use

    def call[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        """Perform an operation and wait for its reply, in this thread.

        Raises: StoreUnavailable (the outcome may be unknown: repeat it with its id), StoreBusy, MeterClosed.
        """
        waiter = Waiter(operation)
        lock = waiter.lock = threading.Lock()
        lock.acquire()
        self._put(waiter)
        if self._turn.acquire(blocking=False):
            self._perform_waiting()
        if not waiter.done:
            # Whoever has the turn looks at the queue again after giving it back, so that nobody is left behind.
            lock.acquire()
        return cast(ReplyT, _opened(waiter.reply))

    async def acall[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        """Perform an operation without blocking the running loop.

        Cancelling the wait does not cancel the operation. Raises: as ``call``.
        """
        loop = asyncio.get_running_loop()
        waiter = Waiter(operation)
        waiter.loop = loop
        future = waiter.future = loop.create_future()
        self._put(waiter)
        self._ask(loop)
        return cast(ReplyT, await future)

    def post(self, operation: Operation[Any]) -> None:
        """Perform an operation some time soon, after all that was asked for before; a failure is only logged.

        Raises: StoreBusy, MeterClosed.
        """
        self._put(Waiter(operation))
        self._wake_worker()

    @property
    def waiting(self) -> int:
        """How many operations wait to be performed."""
        return len(self._waiting)

    def close(self) -> None:
        """Perform what is waiting and let go of everything. Idempotent."""
        if self._closed:
            return
        self._closed = True
        while self._has_work():
            with self._turn:
                self._perform_batch()
        if self._worker is not None:
            self._wake_worker()
            self._worker.join()
        with self._turn:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the queue

    def _put(self, waiter: Waiter) -> None:
        if self._closed:
            raise MeterClosed("the store was closed")
        if len(self._waiting) >= MAX_WAITING:
            raise StoreBusy(f"{MAX_WAITING:,} operations are waiting for the store")
        self._waiting.append(waiter)

    def _perform_waiting(self) -> None:
        """Perform one batch, as the holder of the turn, and give the turn back."""
        try:
            self._perform_batch()
        finally:
            self._turn.release()
            if self._waiting:
                self._wake_worker()

    def _perform_batch(self) -> None:
        waiting = self._waiting
        batch: list[Waiter] = []
        while waiting and len(batch) < MAX_BATCH:
            batch.append(waiting.popleft())
        self._perform_all(self._in_time(batch))

    def _in_time(self, batch: list[Waiter]) -> list[Waiter]:
        """Those of a batch that are not late. The others are told that nothing was done, and need not wait for a store
        that others have waited for in vain; what nobody waits for is done all the same.
        """
        latest = time.monotonic() - MAX_WAIT_SECONDS
        if not batch or batch[0].since >= latest:
            return batch  # the first has waited longest
        late = [waiter for waiter in batch if waiter.since < latest and (waiter.lock or waiter.loop)]
        error = StoreBusy(f"the store could not be asked for {MAX_WAIT_SECONDS:g} s")
        deliver(late, [error] * len(late), self._seldom)
        return [waiter for waiter in batch if not waiter.done]

    def _perform_all(self, batch: list[Waiter]) -> None:
        deliver(batch, self._together(batch, self._perform) or ANSWERED, self._seldom)

    def _together(
        self, batch: list[Waiter], perform: Callable[[Sequence[Operation[Any]]], Sequence[Reply] | None]
    ) -> Sequence[Reply] | None:
        """The replies to a batch, as ``perform`` has them; ``ANSWERED`` when it failed, which all of it were told."""
        try:
            return perform([waiter.operation for waiter in batch])
        except MeterError as error:
            deliver(batch, [error] * len(batch), self._seldom)
            return ANSWERED
        except BaseException as error:
            failure = StoreUnavailable(f"the store failed: {error!r}")
            failure.__cause__ = error
            deliver(batch, [failure] * len(batch), self._seldom)
            if isinstance(error, Exception):
                what = "a store failed in a way it should not: %s"
                self._seldom.log(_log, logging.ERROR, what, type(self).__name__, exc_info=True)
                return ANSWERED
            raise

    def _wake_worker(self) -> None:
        if self._worker is None:
            self._start_worker()
        if self._wake.locked():
            # Two may try to wake it at once; the second release finds the lock released.
            with suppress(RuntimeError):
                self._wake.release()

    def _start_worker(self) -> None:
        with self._starting:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="api-billing-store", daemon=True)
                self._worker.start()

    def _has_work(self) -> bool:
        """Whether there is anything to perform."""
        return bool(self._waiting)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """A coroutine of this loop waits."""
        self._wake_worker()

    def _work(self) -> None:
        while not self._closed or self._has_work():
            self._wake.acquire(timeout=LOOK_SECONDS)
            self._perform_in_worker()

    def _perform_in_worker(self) -> None:
        # Whoever else has the turn wakes this thread again: it must not wait for that.
        while self._has_work() and self._turn.acquire(blocking=False):
            try:
                self._perform_batch()
            finally:
                self._turn.release()

    def _before_fork(self) -> None:
        # Not in the middle of a batch: a library may not get over a transaction that nobody in the child can end.
        self._forking = self._turn.acquire(timeout=FORK_SECONDS)

    def _after_fork_in_parent(self) -> None:
        if self._forking:
            self._forking = False
            self._turn.release()
            if self._waiting:
                self._wake_worker()

    def _after_fork(self) -> None:
        # The parent's callers wait in the parent; its worker does not exist here.
        self._set_up()
        self._abandon()


def deliver(batch: list[Waiter], replies: Sequence[Reply], seldom: Seldom) -> None:
    """Give everybody their reply; each loop is woken once for all of its coroutines."""
    if replies is ANSWERED:
        return
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiter]] = {}
    for waiter, reply in zip(batch, replies, strict=True):
        waiter.reply = reply
        waiter.done = True
        if waiter.lock is not None:
            waiter.lock.release()
        elif waiter.loop is not None:
            by_loop.setdefault(waiter.loop, []).append(waiter)
        elif isinstance(reply, BaseException):
            what = (type(waiter.operation).__name__, reply)
            seldom.log(_log, logging.ERROR, "an operation that nobody waits for failed: %s: %s", *what)
    for loop, waiters in by_loop.items():
        # A loop that was closed meanwhile has nobody waiting any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, waiters)


def _resolve(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        future = waiter.future
        if future is None or future.done():
            continue  # cancelled
        if isinstance(waiter.reply, BaseException):
            future.set_exception(waiter.reply)
        else:
            future.set_result(waiter.reply)


def _opened(reply: Reply) -> Any:
    if isinstance(reply, BaseException):
        raise reply
    return reply
