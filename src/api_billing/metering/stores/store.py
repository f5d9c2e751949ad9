"""How a store is asked, from threads and from coroutines, and how many callers share one step.

Callers put operations into a queue and wait for their answers. Whoever finds nobody at work takes all that is waiting
and performs it as one batch: one transaction, one commit, one round trip. While a batch is being written the next one
gathers, so that the number of commits follows what the disk or the network can do, and not the number of callers.

A thread performs the batch of its own operation itself, as handing it to another thread would take longer than the
work. A coroutine must not block its loop, but handing over costs as much as the work there, too: where a store can do
all but the waiting (``_prepare``), the loop itself does that for everybody who asked in the same turn of it, and a
worker thread only waits for the disk (``_finish``). Else the worker thread performs the whole batch.

A reservation need not wait for the disk at all: whoever serves it dies in the crash that it would have to survive. So a
store may answer it at once (``_attempt``) and write it with the next batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

from api_billing.metering.errors import MeterClosed, MeterError, StoreBusy, StoreUnavailable
from api_billing.metering.ledger.operations import (
    Extend,
    FindKey,
    FireOnce,
    GetProfile,
    Grant,
    Note,
    Operation,
    ReadBalance,
    Release,
    Reserve,
    ReserveReply,
    Settle,
)

Reply = Any  # of one of the operations, or the exception that it raises

MAX_BATCH: Final = 512
MAX_IN_LOOP: Final = 128  # operations that a loop does in one go, a few milliseconds of its time
# Those that touch a few rows. Any other may take its time, so that a loop leaves it to the worker.
_SMALL: Final = frozenset({Reserve, Settle, Release, Note, Extend, Grant, FindKey, GetProfile, ReadBalance, FireOnce})
MAX_WAITING: Final = 20_000
_LOOK_SECONDS: Final = 0.25
_WATCH_SECONDS: Final = 0.002  # between two looks at what threads were answered, while they are
_QUIET_LOOKS: Final = 50  # with nothing to write, after which they are not
FORK_SECONDS: Final = 10.0

_ANSWERED: Final[tuple[Reply, ...]] = ()  # in the place of the replies of a batch: everybody knows already

_log = logging.getLogger(__name__)


class _Waiter:
    """Somebody's operation and, when ``done``, its reply. ``loop`` and ``future`` are those of a waiting coroutine."""

    __slots__ = ("done", "future", "lock", "loop", "operation", "reply")

    def __init__(self, operation: Operation[Any]):
        self.operation = operation
        self.reply: Reply = None
        self.done = False
        self.lock: threading.Lock | None = None  # of a waiting thread: held until the reply is there
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[Any] | None = None


class _Prepared(NamedTuple):
    """A batch that a loop has performed up to the waiting, for the worker; ``replies`` of None: all is left to do."""

    batch: list[_Waiter]
    replies: Sequence[Reply] | None
    loop: asyncio.AbstractEventLoop


class Store(ABC):
    """A store that performs operations in batches. Thread-safe; usable after a fork, which opens it anew in the
    child.
    """

    prepares = False
    """Whether ``_prepare`` is implemented, so that loops do the work of their coroutines."""
    reads_aside: frozenset[type[Operation[Any]]] = frozenset()
    """What ``_read_aside`` answers."""
    finishes = True
    """Whether what was prepared needs ``_finish``."""

    def __init__(self, url: str):
        self.url = url
        self._closed = False
        self._set_up()
        ref = weakref.ref(self)
        os.register_at_fork(
            before=lambda: None if (store := ref()) is None else store._before_fork(),
            after_in_parent=lambda: None if (store := ref()) is None else store._after_fork_in_parent(),
            after_in_child=lambda: None if (store := ref()) is None else store._after_fork(),
        )

    def _set_up(self) -> None:
        self._waiting: deque[_Waiter] = deque()
        self._turn = threading.Lock()  # held by whoever performs
        self._wake = threading.Lock()  # released to wake the worker
        self._wake.acquire()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        self._prepared: _Prepared | None = None  # left to the worker, and the turn with it
        self._watching = False  # the worker looks often
        self._forking = False  # the turn is taken while the process forks
        self._gathering: asyncio.AbstractEventLoop | None = None  # that will look at what is waiting

    # --- what a kind of store implements

    @abstractmethod
    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        """Perform the operations in their order, durably, and answer each; an exception in a reply's place is raised.

        Never called by two threads at once. Raises: StoreUnavailable, when all of them failed.
        """

    def _prepare(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply] | None:
        """Perform the operations as ``_perform`` does, up to what takes a wait, which ``_finish`` does; in a loop's
        thread. None, with nothing changed, when it cannot be done without waiting. Raises: StoreUnavailable.
        """
        return None

    def _attempt(self, operation: Reserve) -> ReserveReply | None:
        """Reserve at once, without anything that waits; it is written with the next batch, before anybody else may
        reserve against the same money. None, with nothing changed: ask in the usual way.
        """
        return None

    def _read_aside(self, operation: Operation[Any]) -> tuple[Reply] | None:
        """Answer from what is committed, in the caller's thread, beside whoever writes. None: ask in the usual way."""
        return None

    def _pending(self) -> bool:
        """Whether something was answered by ``_attempt`` that is not written yet."""
        return False

    def _finish(self) -> None:
        """Make what was prepared durable. Raises: StoreUnavailable; then nothing of it was done."""
        raise NotImplementedError

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
        if self.prepares and type(operation) is Reserve and not self._closed:
            reply = self._attempt(operation)
            if reply is not None:
                self._watch()
                return cast(ReplyT, reply)
        elif type(operation) in self.reads_aside and not self._closed:
            seen = self._read_aside(operation)
            if seen is not None:
                return cast(ReplyT, seen[0])
        waiter = _Waiter(operation)
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
        if self.prepares and type(operation) is Reserve and not self._closed:
            reply = self._attempt(operation)
            if reply is not None:
                self._gather(loop)
                return cast(ReplyT, reply)
        waiter = _Waiter(operation)
        waiter.loop = loop
        future = waiter.future = loop.create_future()
        self._put(waiter)
        if self.prepares:
            self._gather(loop)
        else:
            self._wake_worker()
        return cast(ReplyT, await future)

    def post(self, operation: Operation[Any]) -> None:
        """Perform an operation some time soon, after all that was asked for before; a failure is only logged.

        Raises: StoreBusy, MeterClosed.
        """
        self._put(_Waiter(operation))
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
        while self._waiting or self._pending():
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

    def _put(self, waiter: _Waiter) -> None:
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

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a loop look at what is waiting, after everybody whose turn it is in this round: they share the batch."""
        if self._gathering is not loop:
            self._gathering = loop
            if self._worker is None:
                self._start_worker()
            loop.call_soon(self._perform_in_loop, loop)

    def _perform_in_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do for all that is waiting what takes no wait; whoever has the turn calls again when it is free."""
        self._gathering = None
        waiting = self._waiting
        if not (waiting or self._pending()) or not self._turn.acquire(blocking=False):
            return
        batch: list[_Waiter] = []
        while waiting and len(batch) < MAX_IN_LOOP and type(waiting[0].operation) in _SMALL:
            batch.append(waiting.popleft())
        if waiting and not batch:
            self._turn.release()
            self._wake_worker()
            return
        left_to_worker = False
        try:
            replies = self._together(batch, self._prepare)
            left_to_worker = replies is not _ANSWERED and (replies is None or self.finishes)
            if left_to_worker:
                self._prepared = _Prepared(batch, replies, loop)
            else:
                _deliver(batch, replies or _ANSWERED)
        finally:
            # The turn is the worker's when something is left to it.
            if not left_to_worker:
                self._turn.release()
            if left_to_worker or waiting:
                self._wake_worker()

    def _end(self, prepared: _Prepared) -> bool:
        """Wait for what a loop has prepared, deliver it, and give the turn back; whether the loop goes on."""
        batch, replies, loop = prepared
        try:
            if replies is None:
                self._perform_all(batch)
            else:
                made = replies

                def finish(_: object) -> Sequence[Reply]:
                    self._finish()
                    return made

                _deliver(batch, self._together(batch, finish) or _ANSWERED)
        finally:
            self._turn.release()
        if not (self._waiting or self._pending()) or any(waiter.lock for waiter in self._waiting):
            return False
        try:
            # The coroutines that were just answered come first, so that what they ask next is in the batch.
            loop.call_soon_threadsafe(self._perform_in_loop, loop)
        except RuntimeError:
            return False  # it was closed meanwhile
        return True

    def _perform_batch(self) -> None:
        waiting = self._waiting
        batch: list[_Waiter] = []
        while waiting and len(batch) < MAX_BATCH:
            batch.append(waiting.popleft())
        if batch or self._pending():
            self._perform_all(batch)

    def _perform_all(self, batch: list[_Waiter]) -> None:
        _deliver(batch, self._together(batch, self._perform) or _ANSWERED)

    def _together(
        self, batch: list[_Waiter], perform: Callable[[Sequence[Operation[Any]]], Sequence[Reply] | None]
    ) -> Sequence[Reply] | None:
        """The replies to a batch, as ``perform`` has them; ``_ANSWERED`` when it failed in a way it should not."""
        try:
            return perform([waiter.operation for waiter in batch])
        except MeterError as error:
            return [error] * len(batch)
        except BaseException as error:
            failure = StoreUnavailable(f"the store failed: {error!r}")
            failure.__cause__ = error
            _deliver(batch, [failure] * len(batch))
            if isinstance(error, Exception):
                _log.exception("a store failed in a way it should not: %s", type(self).__name__)
                return _ANSWERED
            raise

    def _watch(self) -> None:
        """Have the worker see to it that what was answered to a thread is written soon, should the thread not come back
        with what it wants to be written.
        """
        if not self._watching:
            self._watching = True
            self._wake_worker()

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

    def _work(self) -> None:
        quiet = 0
        while not self._closed or self._waiting or self._prepared is not None:
            # Nobody wakes it for what was answered to a thread, or in a loop that was stopped for ever then.
            woken = self._wake.acquire(timeout=_WATCH_SECONDS if self._watching else _LOOK_SECONDS)
            quiet = 0 if woken or self._pending() else quiet + 1
            if quiet > _QUIET_LOOKS:
                self._watching = False
            prepared, self._prepared = self._prepared, None
            if prepared is not None and self._end(prepared):
                continue
            # Whoever else has the turn wakes this thread again, or hands the turn to it: it must not wait for that.
            while (self._waiting or self._pending()) and self._turn.acquire(blocking=False):
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


def _deliver(batch: list[_Waiter], replies: Sequence[Reply]) -> None:
    """Give everybody their reply; each loop is woken once for all of its coroutines."""
    if replies is _ANSWERED:
        return
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
    for waiter, reply in zip(batch, replies, strict=True):
        waiter.reply = reply
        waiter.done = True
        if waiter.lock is not None:
            waiter.lock.release()
        elif waiter.loop is not None:
            by_loop.setdefault(waiter.loop, []).append(waiter)
        elif isinstance(reply, BaseException):
            _log.error("an operation that nobody waits for failed: %s: %s", type(waiter.operation).__name__, reply)
    for loop, waiters in by_loop.items():
        # A loop that was closed meanwhile has nobody waiting any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, waiters)


def _resolve(waiters: list[_Waiter]) -> None:
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
