"""What the meter's flow may wait for, so that threads and coroutines share one flow.

A flow is a generator. It yields steps and is sent what they answer: an operation of the store, an awaitable (an own
async callable), a ``Blocking`` call (fetching signing keys), or a ``Pause``. ``run`` drives a flow in a thread,
``arun`` in a coroutine.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from api_billing.metering.errors import CreditUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.operations import Operation

_THREADS: Final = 8  # for calls that block, of all event loops of the process
_MAX_WAITING: Final = 100  # of such calls, with those that are being made


@dataclass(frozen=True, slots=True)
class Blocking:
    """A call that may wait for the network: made in the caller's thread, or in one of a few of the meter's own, so that
    a network that is slow stops nothing else of an application: its own threads are free. Too many: CreditUnavailable.
    """

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long: a thread sleeps, a coroutine lets its loop go on."""

    seconds: float


type Step = Operation[Any] | Blocking | Pause | Awaitable[Any]
# A flow that ends with a T. What a step answers depends on the step, which a generator's type cannot say.
type Steps[T] = Generator[Step, Any, T]


def run[T](steps: Steps[T], call: Callable[[Operation[Any]], Any]) -> T:
    """Drive a flow in this thread; operations go to ``call``, awaitables to an event loop in a thread of its own."""
    return _drive(steps, lambda step: _perform(step, call))


async def arun[T](steps: Steps[T], acall: Callable[[Operation[Any]], Awaitable[Any]]) -> T:
    """Drive a flow in a coroutine. Cancelled: the flow is closed, and sees ``GeneratorExit``."""
    try:
        answer = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # the flow's own type says what it ends with
            answer, error = None, None
            try:
                if isinstance(step, Operation):
                    answer = await acall(step)
                elif isinstance(step, Blocking):
                    answer = await asyncio.wrap_future(_WORKERS.submit(step.call))
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await step
            except Exception as exc:
                error = exc
    finally:
        steps.close()


def _drive[T](steps: Steps[T], perform: Callable[[Step], Any]) -> T:
    try:
        step = next(steps)
        while True:
            try:
                answer = perform(step)
            except Exception as exc:
                step = steps.throw(exc)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def _perform(step: Step, call: Callable[[Operation[Any]], Any]) -> Any:
    if isinstance(step, Operation):
        return call(step)
    if isinstance(step, Blocking):
        return step.call()
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    return _LOOP.wait_for(step)


class _LoopThread:
    """One event loop for awaitables of flows in threads: clients that an own callable keeps stay on one loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        at_fork(in_child=self._forget)

    def wait_for[T](self, awaitable: Awaitable[T]) -> T:
        future = asyncio.run_coroutine_threadsafe(_coroutine(awaitable), self._running())
        return future.result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="api-billing-await", daemon=True).start()
            return self._loop

    def _forget(self) -> None:
        # The loop's thread does not exist in a forked process.
        self._lock = threading.Lock()
        self._loop = None


class _Workers:
    """The threads that blocking calls of coroutines are made in."""

    def __init__(self) -> None:
        self.forget()
        at_fork(in_child=self.forget)

    def submit[T](self, call: Callable[[], T]) -> Future[T]:
        """Have it called in a thread, in this context. Raises: CreditUnavailable."""
        if not self._room.acquire(blocking=False):
            raise CreditUnavailable("Too many requests are waiting for the network; try again.")
        room = self._room
        future = self._threads.submit(contextvars.copy_context().run, call)
        future.add_done_callback(lambda _: room.release())
        return future

    def forget(self) -> None:
        """Begin anew, as in a forked child, where the threads do not exist."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="api-billing-blocking")
        self._room = threading.Semaphore(_MAX_WAITING)


async def _coroutine[T](awaitable: Awaitable[T]) -> T:
    return await awaitable


_LOOP = _LoopThread()
_WORKERS = _Workers()


def is_waiting(value: object) -> bool:
    """Whether an own callable returned something to wait for."""
    return inspect.isawaitable(value)
