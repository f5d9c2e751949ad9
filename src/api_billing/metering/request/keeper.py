"""What has to happen beside the requests: keep open reservations alive, release those whose process died, settle again
what the store did not take, prune. None of these waits for another that fails, and no settlement for one that the store
will never take: that one is set aside, and an operator is told.

A thread that is started with the first reservation does it every few seconds; ``tick`` is one round of it, to be called
with any clock. Several processes do it at once without harm, as each step is atomic in the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from api_billing.metering.alerts.alert import Alert
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import CannotBeStored, IdConflict, MeterError, StoreUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.ledger.consumer_operations import ListTiers
from api_billing.metering.ledger.operations import (
    Extend,
    NotReserved,
    Operation,
    Prune,
    Pruned,
    Refused,
    Release,
    Reserve,
    Settle,
    Settled,
    Sweep,
)
from api_billing.metering.observing.metrics import Metrics
from api_billing.metering.request.health import Wrong
from api_billing.metering.seldom import Seldom
from api_billing.metering.stores import Store
from api_billing.metering.stores.steps import Steps, run

_SWEEP_LIMIT: Final = 1000
_EXTEND_LIMIT: Final = 1000
_PRUNE_LIMIT: Final = 1000
_PRUNE_STEPS: Final = 20  # of a round: what is being served has to be extended meanwhile
_MAX_UNSETTLED: Final = 100_000
_LONG_ROUND_SECONDS: Final = 60.0
_SHARE_OF_PAUSES: Final = 4  # of so many requests one may wait for a voucher in its thread

_log = logging.getLogger("api_billing.metering.keeper")


class Keeper:
    """Knows this process' open reservations and failed settlements. Thread-safe; forgets them in a forked child."""

    def __init__(
        self,
        store: Store,
        now_ms: Callable[[], int],
        metrics: Metrics,
        *,
        alert: Callable[[Alert], None],
        reservation_ms: int,
        round_seconds: float,
        prune_every_ms: int,
        keep_unbatched: bool,
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._metrics = metrics
        self._alert = alert
        self._seldom = Seldom(now_ms)
        self._reservation_ms = reservation_ms
        self._prune_every_ms = prune_every_ms
        self._keep_unbatched = keep_unbatched
        self._round_seconds = min(round_seconds, reservation_ms / 4000)
        self._pruned_ms = 0
        self._ahead_ms: int | None = None  # the clock, less the monotonic one
        self._steady_ms = 0  # from when on the clock is believed, by the monotonic one
        self.forget()
        at_fork(in_child=self.forget)

    def forget(self) -> None:
        """Forget what is open and what failed, as in a forked child: what the parent serves is the parent's."""
        self._open: dict[str, int] = {}
        self._pausing: set[str] = set()
        self._pausing_lock = threading.Lock()
        self._failed: deque[tuple[Settle | Release, Reserve | None]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._began = 0.0  # this round, or this pause

    def opened(self, reservation_id: str, expires_ms: int) -> None:
        """A reservation of this process is being served."""
        self._open[reservation_id] = expires_ms
        if self._thread is None:
            self.start()

    def ended(self, reservation_id: str) -> None:
        """It is served, and its settlement or release is on its way."""
        self._open.pop(reservation_id, None)

    def may_pause(self, reservation_id: str) -> bool:
        """Whether a stream may keep its thread from others while it waits for a voucher: one may, and of many that are
        being served here a quarter. Until it ``goes_on``.
        """
        with self._pausing_lock:
            if self._pausing and _SHARE_OF_PAUSES * len(self._pausing) >= len(self._open):
                return False
            self._pausing.add(reservation_id)
            return True

    def goes_on(self, reservation_id: str) -> None:
        """It waits no longer."""
        with self._pausing_lock:
            self._pausing.discard(reservation_id)

    def repeat(self, operation: Settle | Release, reserve: Reserve | None = None) -> None:
        """Perform an operation later that the store did not take now. Its id keeps it from being done twice.

        ``reserve`` of a settlement: what is reserved again if the store has lost it with the same commit.
        """
        if len(self._failed) >= _MAX_UNSETTLED:
            _log.error("%d settlements wait for the store; one is lost: %s", _MAX_UNSETTLED, operation.reservation_id)
            return
        self._failed.append((operation, reserve))
        if self._thread is None:
            self.start()

    def missed(self, operation: Operation[Any], error: MeterError) -> None:
        """An operation that nobody waits for was not even taken: settle and release later, let the rest go."""
        if isinstance(operation, Settle | Release):
            self.repeat(operation)
        else:
            self._seldom.log(_log, logging.WARNING, "%s is lost: %s", type(operation).__name__, error)

    @property
    def unsettled(self) -> int:
        """How many settlements and releases wait for the store."""
        return len(self._failed)

    def wrong(self, monotonic: float) -> list[Wrong]:
        """What is not as it should be."""
        found, thread = [], self._thread
        if thread is not None and not self._stop.is_set():
            if not thread.is_alive():
                found.append(Wrong("keeper", "its thread has ended: what is being served may be released", True))
            elif (seconds := monotonic - self._began) > self._round_seconds + _LONG_ROUND_SECONDS:
                found.append(Wrong("keeper", f"a round takes long: {seconds:.0f} s so far", False))
        if unsettled := self.unsettled:
            found.append(Wrong("settlements", f"{unsettled} settlements and releases wait for the store", False))
        return found

    def tick(self, now_ms: int, *, sweeps: bool = True) -> None:
        """One round: all of it is tried, whatever fails; nobody else's reservations are released unless it ``sweeps``.

        Raises: what failed first, such as StoreUnavailable.
        """
        failures: list[Exception] = []
        for part in (self._repeat_failed, self._extend, *((self._sweep, self._prune) if sweeps else ())):
            try:
                part(now_ms)
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Stop the thread, and try once more what failed. What still fails is logged, with its reservation."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._repeat_failed(self._now_ms())
        except MeterError:
            for operation, _ in self._failed:
                _log.error("not settled before closing: %s of %s", type(operation).__name__, operation.reservation_id)

    def _repeat_failed(self, now_ms: int) -> None:
        for _ in range(len(self._failed)):
            operation, reserve = self._failed[0]
            self._metrics.retried(type(operation).__name__)
            try:
                if isinstance(operation, Settle):
                    self._settle(operation, reserve)
                else:
                    self._store.call(operation)
            except (CannotBeStored, IdConflict) as error:
                self._set_aside(operation, error, now_ms)
            except Exception:
                self._failed.rotate(-1)  # another one begins the next round, should this one be what is wrong
                raise
            self._failed.popleft()

    def _set_aside(self, operation: Settle | Release, error: MeterError, now_ms: int) -> None:
        """Give up an operation that the store will never take: whoever operates this can charge it by hand."""
        kind = type(operation).__name__
        # Without bodies, which are in no log.
        told = replace(operation, outcome=operation.outcome._replace(request_body=None, response_body=None))
        if isinstance(told, Settle):
            told.response = None
        _log.error("set aside, as it can never be done: %s: %.2000r", error, told)
        self._metrics.set_aside(kind)
        cost_wei = operation.actual_wei if isinstance(operation, Settle) else 0
        details = (("operation", kind), ("reservation", operation.reservation_id), ("cost_wei", str(cost_wei)))
        message = f"{kind} of {operation.reservation_id} was set aside, as it can never be done: {error}"
        self._alert(Alert("settlement", operation.account, now_ms, message, details=details))

    def _settle(self, settle: Settle, reserve: Reserve | None) -> None:
        reply = self._store.call(settle)
        if reserve is not None:
            reply = run(settled_again(settle, reserve, reply), self._store.call)
        if isinstance(reply, NotReserved):
            _log.error("%s was served, but could not be settled: it is %s", settle.reservation_id, reply.state)

    def _extend(self, now_ms: int) -> None:
        # Below half of its time: so that two rounds may fail before a reservation that is being served expires.
        due = [key for key, expires_ms in list(self._open.items()) if expires_ms - now_ms < self._reservation_ms // 2]
        expires_ms = now_ms + self._reservation_ms
        for start in range(0, len(due), _EXTEND_LIMIT):
            part = due[start : start + _EXTEND_LIMIT]
            self._store.call(Extend(tuple(part), expires_ms))
            for key in part:
                if key in self._open:
                    self._open[key] = expires_ms

    def _sweep(self, now_ms: int) -> None:
        swept = _SWEEP_LIMIT
        while swept == _SWEEP_LIMIT:
            swept = self._store.call(Sweep(now_ms, _SWEEP_LIMIT))
            self._metrics.swept(swept)

    def _prune(self, now_ms: int) -> None:
        if self._prune_every_ms and now_ms - self._pruned_ms >= self._prune_every_ms:
            if prune(self._store, now_ms, keep_unbatched=self._keep_unbatched, steps=_PRUNE_STEPS).more:
                return  # the next round goes on
            self._pruned_ms = now_ms

    def start(self) -> None:
        """Do the rounds in a thread from now on, also in a process that serves no requests itself. Idempotent."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="api-billing-keeper", daemon=True)
                self._thread.start()

    def _is_steady(self, now_ms: int, monotonic_ms: int) -> bool:
        """False after the clock was put forward, until everybody had the time to extend what they serve."""
        ahead_ms = now_ms - monotonic_ms
        if self._ahead_ms is not None and ahead_ms - self._ahead_ms > self._reservation_ms // 4:
            _log.warning("the clock was put forward by %d s", (ahead_ms - self._ahead_ms) // 1000)
            self._steady_ms = monotonic_ms + self._reservation_ms
        self._ahead_ms = ahead_ms
        return monotonic_ms >= self._steady_ms

    def _run(self) -> None:
        while not self._stop.wait(self._round_seconds):
            self._began = time.monotonic()
            try:
                self._metrics.look()
                now_ms = self._now_ms()
                self.tick(now_ms, sweeps=self._is_steady(now_ms, time.monotonic_ns() // 1_000_000))
            except StoreUnavailable as error:
                _log.warning("the meter's store is not available: %s", error)
            except Exception:
                _log.exception("a round of the keeper failed")


def settled_again(settle: Settle, reserve: Reserve, reply: Settled | NotReserved) -> Steps[Settled | NotReserved]:
    """Reserve and settle again what the store has lost; both may be repeated with their id.

    SQLite answers a reservation before it is on disk. When the commit that would have written it fails, its settlement
    finds it unknown: at once or, when it was in the commit that failed, when the keeper sends it again.

    Raises: StoreUnavailable, StoreBusy, MeterClosed; nothing is lost then, and the whole is to be repeated.
    """
    if not isinstance(reply, NotReserved) or reply.state != "unknown":
        return reply
    _log.warning("%s is reserved again", settle.reservation_id)
    # It was admitted and served: neither a limit nor a profile that others reached or changed since refuses it.
    checks = tuple([check._replace(limit=None) for check in reserve.checks])
    again = replace(reserve, checks=checks, profile_version=-1, fresh=False, durable=True)
    if isinstance((yield again), Refused):
        # Others have taken the credit: it is charged what there is, and the rest is reported as uncollected.
        yield replace(again, estimate_wei=0)
    return (yield settle)  # type: ignore[no-any-return]  # a step's answer has no type


def prune(
    store: Store,
    now_ms: int,
    *,
    keep_unbatched: bool,
    retention_ms: dict[str, int] | None = None,
    progress: Callable[[int], Any] | None = None,
    steps: int = 2**62,
) -> Pruned:
    """Delete what is past its retention, in ``steps`` that do not keep requests waiting; how many records it were."""
    if retention_ms is None:
        retention_ms = {tier.name: tier.retention_days * DAY_MS for tier in store.call(ListTiers())}
    records = 0
    while True:
        pruned = store.call(Prune(now_ms, retention_ms, keep_unbatched=keep_unbatched, limit=_PRUNE_LIMIT))
        records += pruned.records
        steps -= 1
        if progress is not None:
            progress(records)
        if not pruned.more or not steps:
            return pruned._replace(records=records)
