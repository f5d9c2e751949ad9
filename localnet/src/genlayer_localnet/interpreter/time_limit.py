"""Ends contract code that runs too long, whatever it catches.

A run costs two clock readings. One thread of the process waits for the earliest moment at which a limit can be over;
then it has ``sys.monitoring`` call ``_interrupt`` before every instruction, which raises in the contract's code and
nowhere else. As no instruction of the contract is executed any more, handlers and ``finally`` blocks cannot hold it:
each is left when it is entered. What does not execute Python instructions cannot be ended: one long call into C
(``pow`` of huge numbers, a regular expression, a lock), until it returns.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from threading import get_ident
from time import monotonic
from types import CodeType, FrameType
from typing import Final, cast

from genlayer_localnet.interpreter.contract_code import is_contract_code
from genlayer_localnet.state.results import TIMEOUT, Terminated

DEFAULT_SECONDS: Final = 600.0
"""For a call or a read, as in Studio."""
SCHEMA_SECONDS: Final = 30.0
"""For asking a contract for its schema, as in Studio."""
_REST_SECONDS: Final = 60.0
_SOON_SECONDS: Final = 1e-3
_EVENT: Final = sys.monitoring.events.INSTRUCTION
_TOOLS: Final = (4, 3, 5, 2, 1, 0)
"""Ids of ``sys.monitoring``; those that have no purpose of their own first."""
_logger = logging.getLogger(__name__)


class TimedOut(Terminated):
    """Raised in contract code whose time is over, before each of its instructions."""

    def __init__(self, seconds: float) -> None:
        super().__init__(TIMEOUT)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the contract ran longer than its limit of {self.seconds:g} seconds"


class TimeLimit:
    """Context manager: contract code that this thread runs in it has ``seconds``, or any time for None.

    Can be nested: while an inner one runs, the time of the outer one stands still.
    """

    __slots__ = ("_began", "_outer", "_seconds", "deadline", "expired", "fired", "thread")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self.fired = False
        """The time was over while it ran."""
        self.expired = False
        """Contract code was interrupted."""

    def __enter__(self) -> TimeLimit:
        watchdog = _watchdog
        self.thread = get_ident()
        self._outer = watchdog.limit
        self._began = monotonic()
        self.deadline = self._began + self._seconds
        watchdog.limit = self
        if self.deadline < watchdog.wakes_at:
            watchdog.wake()
        return self

    def __exit__(self, *_: object) -> None:
        outer = self._outer
        if outer is not None:
            outer.deadline += monotonic() - self._began
        _watchdog.limit = outer
        if self.fired or (outer is not None and (outer.fired or outer.deadline < _watchdog.wakes_at)):
            _watchdog.resume(outer)

    def interrupt(self) -> TimedOut:
        self.expired = True
        return TimedOut(self._seconds)


def contained[T](call: Callable[[], T]) -> T:
    """Call, and forget the exceptions that interrupted handlers were handling.

    A handler that is left before each of its instructions does not take its exception off the thread's stack, and every
    later exception would have it as its context. A generator has a stack of its own, which goes with it.
    """
    try:
        next(_steps(call))
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it has no steps")


def _steps[T](call: Callable[[], T]) -> Generator[None, None, T]:
    yield from ()
    return call()


class _Watchdog:
    """The thread that waits, and what it waits for. ``limit`` is set by the one thread that runs contracts."""

    def __init__(self) -> None:
        self.limit: TimeLimit | None = None
        self.wakes_at = math.inf
        """When it looks again by itself; whoever needs it earlier has to wake it."""
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._tool: int | None = None

    def wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="genlayer-localnet time limit", daemon=True)
            self._thread.start()
        self._woken.set()

    def _watch(self) -> None:
        while True:
            self.wakes_at = math.inf  # a limit that begins from here on sets the event again
            self._woken.clear()
            limit, now = self.limit, monotonic()
            until = now + _REST_SECONDS
            if limit is not None and not limit.fired:
                until = min(until, limit.deadline)
                if until <= now:
                    self._fire(limit)
                    continue
            self.wakes_at = until
            self._woken.wait(until - now)

    def _fire(self, limit: TimeLimit) -> None:
        with self._lock:
            limit.fired = True
            self._listen()
            if self.limit is not limit:  # it ended just now, or an inner one began
                self._stop_listening()

    def resume(self, limit: TimeLimit | None) -> None:
        """Go on with an outer limit, or with none."""
        with self._lock:
            self._stop_listening()
            if limit is not None and limit.fired:
                self._listen()
        if limit is not None and not limit.fired and limit.deadline < self.wakes_at:
            self.wake()

    def _listen(self) -> None:
        monitoring = sys.monitoring
        if self._tool is None:
            free = next((tool for tool in _TOOLS if monitoring.get_tool(tool) is None), None)
            if free is None:
                _logger.error("a contract runs too long, but no tool id of sys.monitoring is free to end it")
                return
            monitoring.use_tool_id(free, "genlayer-localnet")
            monitoring.register_callback(free, _EVENT, _interrupt)
            self._tool = free
        monitoring.set_events(self._tool, _EVENT)

    def _stop_listening(self) -> None:
        monitoring = sys.monitoring
        if self._tool is not None:
            monitoring.set_events(self._tool, 0)
            monitoring.register_callback(self._tool, _EVENT, None)
            monitoring.free_tool_id(self._tool)
            self._tool = None


_watchdog = _Watchdog()


def _after_fork() -> None:
    """A forked process has no other thread: it starts its own when it needs one."""
    global _watchdog
    _watchdog = _Watchdog()


class _Alarm(_Watchdog):
    """The same by a signal, where contracts run in the main thread: it also ends what in C looks for signals."""

    def __init__(self) -> None:
        super().__init__()
        signal.signal(signal.SIGALRM, self._ring)

    def wake(self) -> None:
        limit = self.limit
        if limit is not None:
            self.wakes_at = limit.deadline
            signal.setitimer(signal.ITIMER_REAL, max(limit.deadline - monotonic(), _SOON_SECONDS))

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        limit = self.limit
        self.wakes_at = math.inf
        if limit is None or limit.fired:
            return
        # Whoever has the lock is this thread: it was interrupted.
        if limit.deadline > monotonic() or self._lock.locked():
            self.wake()
            return
        self._fire(limit)
        if frame is not None and is_contract_code(frame):
            raise limit.interrupt()


def use_signals() -> None:
    """For a process of which the main thread alone runs contracts, and which has SIGALRM to itself."""
    global _watchdog
    _watchdog = _Alarm()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _interrupt(_code: CodeType, _offset: int) -> None:
    limit = _watchdog.limit
    if (
        limit is not None
        and limit.fired
        and limit.thread == get_ident()
        and is_contract_code(sys._getframe(1))  # the frame that is about to execute the instruction
    ):
        raise limit.interrupt()


def overdue_seconds() -> float:
    """How long ago the time of the contract of now was over; 0 where it has some left."""
    limit = _watchdog.limit
    return monotonic() - limit.deadline if limit is not None and limit.fired else 0.0


def is_over() -> bool:
    """Whether the contract of now has no time left."""
    limit = _watchdog.limit
    return limit is not None and limit.fired
