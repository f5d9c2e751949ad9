"""Keeps a lease while something takes long, so that it can be short: whoever died is followed soon."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.settlement_operations import TakeLease

_log = logging.getLogger("api_billing.metering.settlement")


@contextmanager
def kept(
    call: Callable[[Operation[Any]], Any], name: str, holder: str, now_ms: Callable[[], int], lease_ms: int
) -> Iterator[None]:
    """Take a lease that one has anew, three times in its duration, until the block has ended.

    When the store does not answer it is tried again; a lease that was lost meanwhile stays with who has it.
    """
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(lease_ms / 3000):
            at_ms = now_ms()
            try:
                call(TakeLease(name, holder, at_ms, at_ms + lease_ms))
            except MeterError as error:
                _log.warning("the lease %s is not kept: %s", name, error)

    thread = threading.Thread(target=keep, name="api-billing-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
