"""Settles again and again, in a thread of the application or in a process of its own. Any number may run."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final

from api_billing.metering.alerts.alert import Alert
from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.chain import SettlementChain
from api_billing.metering.settlement.short_turns import short_turns
from api_billing.metering.settlement.worker import Round, Settler
from api_billing.metering.stores.steps import run

_log = logging.getLogger("api_billing.metering.settlement")

SECONDS: Final = 60.0


def holder_name(now_ms: int) -> str:
    """A name for a settler that no other has: its machine, its process, and when it began."""
    return f"{socket.gethostname()}/{os.getpid()}/{new_id(now_ms)}"


def loop_of(
    settings: MeterSettings,
    chain: SettlementChain,
    call: Callable[[Operation[Any]], Any],
    *,
    now_ms: Callable[[], int],
    alert: Callable[[Alert], None],
) -> SettlementLoop:
    """The loop that settles what the settings of a meter say, as often as they say."""
    holder, on = holder_name(now_ms()), settings.settle_on
    budget_wei = settings.settle_fee_budget_wei
    settler = Settler(chain, holder=holder, now_ms=now_ms, alert=alert, call=call, on=on, fee_budget_wei=budget_wei)
    return SettlementLoop(settler, settings.settle_apis, call, every_seconds=settings.settle_seconds)


class SettlementLoop:
    """Runs rounds of a settler for some APIs every so many seconds. ``call`` asks the store; ``tick`` is one round of
    all of them. A transaction takes as long as it takes: the thread waits for it, and requests do not.
    """

    def __init__(
        self,
        settler: Settler,
        apis: Sequence[str],
        call: Callable[[Operation[Any]], Any],
        *,
        every_seconds: float = SECONDS,
        on_round: Callable[[str, Round], None] = lambda api, ended: None,
    ) -> None:
        self._settler = settler
        self._apis = tuple(apis)
        self._call = call
        self._every_seconds = every_seconds
        self._on_round = on_round
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def tick(self) -> dict[str, Round]:
        """One round of every API; trouble with one does not keep the others waiting. Raises: StoreUnavailable."""
        ended: dict[str, Round] = {}
        for api in self._apis:
            if self._stop.is_set():
                break
            ended[api] = run(self._settler.round(api), self._call)
            self._on_round(api, ended[api])
        return ended

    def start(self) -> None:
        """Settle from now on in a thread, beside an application that serves requests in this process. Idempotent."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self.run, args=(short_turns,), name="api-billing-settle", daemon=True
                )
                self._thread.start()

    def run(self, during: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Settle in this thread until ``close`` is called in another, or it is interrupted; each round ``during``."""
        try:
            while not self._stop.is_set():
                try:
                    with during():
                        self.tick()
                except MeterError as error:
                    _log.warning("nothing is settled: %s", error)
                except Exception:
                    _log.exception("a round of settling failed")
                self._stop.wait(self._every_seconds)
        finally:
            for api in self._apis:
                with suppress(MeterError):
                    run(self._settler.give_up(api), self._call)

    def close(self, wait_seconds: float | None = None) -> None:
        """End after the batch that is on its way, or when so much time is over: then it is in the state of a process
        that was killed, and settled by whoever comes next. Idempotent.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_seconds)
