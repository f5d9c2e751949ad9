"""A queue whose event loops do the work of their coroutines themselves.

A coroutine must not block its loop, but handing its operation to a thread takes longer than performing it: the loop
does all but the waiting (``_prepare``) for everybody who asked in the same turn of it, and a worker thread only waits
for the disk (``_finish``).

A reservation need not wait for the disk at all: whoever serves it dies in the crash that it would have to survive. So
it may be answered at once (``_attempt``) and written with the next batch.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

from api_billing.metering.ledger.consumer_operations import FindKey, GetProfile
from api_billing.metering.ledger.operations import (
    Extend,
    FireOnce,
    Grant,
    Note,
    Operation,
    ReadBalance,
    Release,
    Reserve,
    ReserveMore,
    ReserveReply,
    Settle,
)
from api_billing.metering.stores.store import ANSWERED, LOOK_SECONDS, Reply, Store, Waiter, deliver

MAX_IN_LOOP: Final = 128  # operations that a loop does in one go, a few milliseconds of its time
# Those that touch a few rows. Any other may take its time, so that a loop leaves it to the worker.
_SMALL: Final = frozenset(
    {Reserve, ReserveMore, Settle, Release, Note, Extend, Grant, FindKey, GetProfile, ReadBalance, FireOnce}
)
_WATCH_SECONDS: Final = 0.002  # between two looks at what threads were answered, while they are
_QUIET_LOOKS: Final = 50  # with nothing to write, after which they are not


class _Prepared(NamedTuple):
    """A batch that a loop has performed up to the waiting, for the worker; ``replies`` of None: all is left to do."""

    batch: list[Waiter]
    replies: Sequence[Reply] | None
    loop: asyncio.AbstractEventLoop


class LoopStore(Store):
    """A store whose work takes no wait but for one at its end."""

    reads_aside: frozenset[type[Operation[Any]]] = frozenset()
    """What ``_read_aside`` answers."""

    def _set_up(self) -> None:
        super()._set_up()
        self._prepared: _Prepared | None = None  # left to the worker, and the turn with it
        self._watching = False  # the worker looks often
        self._gathering: asyncio.AbstractEventLoop | None = None  # that will look at what is waiting

    @abstractmethod
    def _prepare(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply] | None:
        """Perform the operations as ``_perform`` does, up to what takes a wait, which ``_finish`` does; in a loop's
        thread. None, with nothing changed, when it cannot be done without waiting. Raises: StoreUnavailable.
        """

    @abstractmethod
    def _finish(self) -> None:
        """Make what was prepared durable. Raises: StoreUnavailable; then nothing of it was done."""

    @abstractmethod
    def _attempt(self, operation: Reserve) -> ReserveReply | None:
        """Reserve at once, without anything that waits; it is written with the next batch, before anybody else may
        reserve against the same money. None, with nothing changed: ask in the usual way.
        """

    @abstractmethod
    def _read_aside(self, operation: Operation[Any]) -> tuple[Reply] | None:
        """Answer from what is committed, in the caller's thread, beside whoever writes. None: ask in the usual way."""

    @abstractmethod
    def _pending(self) -> bool:
        """Whether something was answered by ``_attempt`` that is not written yet."""

    def call[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        if not self._closed:
            if type(operation) is Reserve:
                reply = self._attempt(operation)
                if reply is not None:
                    self._watch()
                    return cast(ReplyT, reply)
            elif type(operation) in self.reads_aside:
                aside = self._read_aside(operation)
                if aside is not None:
                    return cast(ReplyT, aside[0])
        return super().call(operation)

    async def acall[ReplyT](self, operation: Operation[ReplyT]) -> ReplyT:
        if type(operation) is Reserve and not self._closed:
            reply = self._attempt(operation)
            if reply is not None:
                self._ask(asyncio.get_running_loop())
                return cast(ReplyT, reply)
        return await super().acall(operation)

    def _has_work(self) -> bool:
        return bool(self._waiting) or self._pending()

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
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
        if not self._has_work() or not self._turn.acquire(blocking=False):
            return
        batch: list[Waiter] = []
        while waiting and len(batch) < MAX_IN_LOOP and type(waiting[0].operation) in _SMALL:
            batch.append(waiting.popleft())
        batch = self._in_time(batch)
        if waiting and not batch:
            self._turn.release()
            self._wake_worker()
            return
        left_to_worker = False
        try:
            replies = self._together(batch, self._prepare)
            left_to_worker = replies is not ANSWERED
            if left_to_worker:
                self._prepared = _Prepared(batch, replies, loop)
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

                deliver(batch, self._together(batch, finish) or ANSWERED, self._seldom)
        finally:
            self._turn.release()
        if not self._has_work() or any(waiter.lock for waiter in self._waiting):
            return False
        try:
            # The coroutines that were just answered come first, so that what they ask next is in the batch.
            loop.call_soon_threadsafe(self._perform_in_loop, loop)
        except RuntimeError:
            return False  # it was closed meanwhile
        return True

    def _watch(self) -> None:
        """Have the worker see to it that what was answered to a thread is written soon, should the thread not come back
        with what it wants to be written.
        """
        if not self._watching:
            self._watching = True
            self._wake_worker()

    def _work(self) -> None:
        quiet = 0
        while not self._closed or self._has_work() or self._prepared is not None:
            # Nobody wakes it for what was answered to a thread, or in a loop that was stopped for ever then.
            woken = self._wake.acquire(timeout=_WATCH_SECONDS if self._watching else LOOK_SECONDS)
            quiet = 0 if woken or self._pending() else quiet + 1
            if quiet > _QUIET_LOOKS:
                self._watching = False
            prepared, self._prepared = self._prepared, None
            if prepared is None or not self._end(prepared):
                self._perform_in_worker()
