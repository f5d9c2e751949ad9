"""The one thread that works on the node: requests get their turns in order, and the server goes on answering others."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from genlayer_localnet.rpc.node import Node

_STACK_BYTES = 64 * 1024 * 1024
"""Contracts that call each other nest deep."""
_GROUP_SECONDS = 0.004
"""How long work is collected before it is saved, and answered, together; saving takes about as long."""
_logger = logging.getLogger(__name__)


class Saver(Protocol):
    def save(self) -> None:
        """Make everything durable that changed since the last time."""


@dataclass(slots=True)
class _Job:
    work: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[object]
    result: object = None
    error: BaseException | None = None

    def do(self, node: Node) -> None:
        try:
            self.result = node.run(self.work)
        except Exception as error:
            self.error = error

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


class ChainWorker:
    """``run`` can be called from any event loop. With a ``saver`` nothing is answered before it is durable."""

    def __init__(self, node: Node, saver: Saver | None = None) -> None:
        self._node = node
        self._saver = saver
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="genlayer-localnet chain", daemon=True)

    def start(self) -> None:
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread.start()
        finally:
            threading.stack_size(before)

    def stop(self, timeout_seconds: float) -> bool:
        """Finish what is queued. False when a contract still runs after that time."""
        self._jobs.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    async def run[T](self, work: Callable[[], T]) -> T:
        """Do ``work`` in its turn and wait for it. Raises what it raises."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        return cast(T, await job.answer)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            done, going_on = self._do_group(job)
            self._save(done)
            _tell(done)
            if not going_on:
                return

    def _do_group(self, job: _Job) -> tuple[list[_Job], bool]:
        """Do this job and, where they are saved together, those that came in the meantime; False at the end."""
        job.do(self._node)
        done = [job]
        began = time.monotonic()
        while self._saver is not None and time.monotonic() - began < _GROUP_SECONDS:
            try:
                following = self._jobs.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return done, False
            following.do(self._node)
            done.append(following)
        return done, True

    def _save(self, done: list[_Job]) -> None:
        if self._saver is None:
            return
        try:
            self._saver.save()
        except Exception as error:
            _logger.exception("the state could not be saved")
            for one in done:
                one.error = one.error or error
