"""The one thread that works on the node: requests get their turns in order, and the server goes on answering others.

While a transaction waits for the network (a contract fetches a page) the page is fetched in another thread, and this
one reads for others: on a real network too, an API that is fetched can read the chain. What they read is what is
accepted.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from genlayer_localnet.rpc.errors import NotYet
from genlayer_localnet.rpc.node import Node

_STACK_BYTES = 64 * 1024 * 1024
"""Contracts that call each other nest deep."""
_GROUP_SECONDS = 0.004
"""How long work is collected before it is saved, and answered, together; saving takes about as long."""
_PATIENCE_SECONDS = 1.0
"""How long a transaction waits for those before it: a client's requests overtake each other on the way."""
_logger = logging.getLogger(__name__)


class Saver(Protocol):
    @property
    def has_unsaved(self) -> bool: ...

    def save(self) -> None:
        """Make everything durable that changed since the last time."""

    def discard(self) -> None:
        """Forget what could not be saved."""


@dataclass(slots=True)
class _Job:
    work: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[object]
    only_reads: bool = False
    result: object = None
    error: BaseException | None = None
    patient_until: float = field(default_factory=lambda: time.monotonic() + _PATIENCE_SECONDS)

    def do(self, run: Callable[[Callable[[], object]], object]) -> None:
        self.error = None
        try:
            self.result = run(self.work)
        except Exception as error:
            self.error = error
        except BaseException as error:  # whatever it is, the thread goes on for the others
            self.error = RuntimeError(f"{type(error).__name__} in the chain's thread")
            self.error.__cause__ = error

    def settle(self) -> None:
        """In the event loop."""
        if self.answer.done():  # the client has gone
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


def _tell(jobs: list[_Job]) -> None:
    """Wake each event loop once."""
    for loop in {job.loop for job in jobs}:
        answered = [job for job in jobs if job.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, answered)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _logger.debug("an answer came after the server had stopped")


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()


class _Fetch(threading.Thread):
    """A call that waits for the network; it puts itself into the queue when it has ended."""

    def __init__(self, call: Callable[[], Any], ended: queue.SimpleQueue[Any]) -> None:
        super().__init__(name="genlayer-localnet fetch", daemon=True)
        self._call = call
        self._ended = ended
        self._answer: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.put(self)

    def result(self) -> Any:
        """Raises what the call raised."""
        if self._error is not None:
            raise self._error
        return self._answer


class ChainWorker:
    """``run`` can be called from any event loop. With a ``saver`` nothing is answered before it is durable."""

    def __init__(self, node: Node, saver: Saver | None = None) -> None:
        self._node = node
        self._saver = saver
        self._jobs: queue.SimpleQueue[_Job | _Fetch | None] = queue.SimpleQueue()
        self._postponed: deque[_Job | None] = deque()
        """What came while a transaction waited for the network, and has to wait for its end."""
        self._done: list[_Job] = []
        """What is to be answered once it is saved."""
        self._early: deque[_Job] = deque()
        """What is to be tried again when others have been done."""
        node.chain.wait_beside = self._wait_beside
        self._thread = threading.Thread(target=self.work, name="genlayer-localnet chain", daemon=True)
        self._ended = threading.Event()
        self._unsaved: str | None = None

    def start(self) -> None:
        """Work in a thread; instead of ``work``."""
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread.start()
        finally:
            threading.stack_size(before)

    def stop(self, timeout_seconds: float) -> bool:
        """Finish what is queued. False when a contract still runs after that time."""
        self.end()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def end(self) -> None:
        """The same without waiting."""
        self._jobs.put(None)

    @property
    def trouble(self) -> str | None:
        """Why nothing that is asked can be done, None while it can."""
        return "the chain has ended" if self._ended.is_set() else self._unsaved

    async def run[T](self, work: Callable[[], T]) -> T:
        """Do ``work`` in its turn and wait for it. Raises what it raises."""
        return cast(T, await self._put(work, only_reads=False))

    async def read[T](self, work: Callable[[], T]) -> T:
        """The same for ``work`` that leaves nothing changed: also while a transaction waits for the network."""
        return cast(T, await self._put(work, only_reads=True))

    def _put(self, work: Callable[[], object], *, only_reads: bool) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future(), only_reads)
        self._jobs.put(job)
        return job.answer

    def _next(self, *, block: bool) -> _Job | None:
        """Raises: queue.Empty."""
        if self._postponed:
            return self._postponed.popleft()
        patience = max(self._early[0].patient_until - time.monotonic(), 0.0) if self._early else None
        try:
            # A fetch is ended where it is waited for.
            return cast(_Job | None, self._jobs.get(block, patience))
        except queue.Empty:
            if block:
                return self._early.popleft()
            raise

    def work(self) -> None:
        """Do what is asked until the end."""
        try:
            while (job := self._next(block=True)) is not None:
                going_on = self._do_group(job)
                if not self._save(self._done) and self._saver is not None:
                    self._saver.discard()
                self._tell_done()
                if not going_on:
                    break
            _tell(list(self._early))
        finally:
            self._ended.set()

    def _tell_done(self) -> None:
        _tell(self._done)
        self._done = []

    def _do_group(self, job: _Job) -> bool:
        """Do this job and, where they are saved together, those that came in the meantime; False at the end."""
        self._do(job)
        began = time.monotonic()
        # What is all saved is answered at once. What saves by itself (a snapshot) is answered with those before it.
        while self._saver is not None and self._saver.has_unsaved and time.monotonic() - began < _GROUP_SECONDS:
            try:
                following = self._next(block=False)
            except queue.Empty:
                break
            if following is None:
                return False
            self._do(following)
        return True

    def _do(self, job: _Job) -> None:
        job.do(self._node.run)
        if isinstance(job.error, NotYet) and time.monotonic() < job.patient_until:
            self._early.append(job)
            return
        self._done.append(job)
        if not job.only_reads:
            self._postponed.extendleft(reversed(self._early))
            self._early.clear()

    def _wait_beside(self, call: Callable[[], Any], set_aside: Callable[[], AbstractContextManager[None]]) -> Any:
        """Make a call that waits for the network, and read for others meanwhile. In the worker's thread."""
        fetch = _Fetch(call, self._jobs)
        fetch.start()
        of_others: list[_Fetch] = []  # what was read for others may wait as well
        while (job := self._jobs.get()) is not fetch:
            if isinstance(job, _Job) and job.only_reads:
                with set_aside():
                    job.do(self._node.beside)
                    if self._save([job]):
                        self._tell_done()
                _tell([job])
            elif isinstance(job, _Fetch):
                of_others.append(job)
            else:
                self._postponed.append(job)
        for other in of_others:
            self._jobs.put(other)
        return fetch.result()

    def _save(self, done: list[_Job]) -> bool:
        """Whether nothing is left to be saved; otherwise ``done`` has failed."""
        if self._saver is None or not self._saver.has_unsaved:
            return True
        try:
            self._saver.save()
            self._unsaved = None
        except Exception as error:
            _logger.exception("the state could not be saved")
            self._unsaved = f"the state could not be saved: {error}"
            for one in done:
                one.error = one.error or error
            return False
        return True
