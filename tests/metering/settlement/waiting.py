"""Waiting for what another process does, and what it has done."""

from __future__ import annotations

import time
from collections.abc import Callable

from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.metering.stores import Store

LONG_SECONDS = 30


def eventually(happened: Callable[[], object]) -> None:
    """Wait for what the other process does in its own time."""
    for _ in range(50 * LONG_SECONDS):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def all_is_recorded(store: Store, api: str) -> bool:
    """Whether something was settled, and nothing is on its way."""
    outgoing = store.call(ListOutgoing(api))
    return bool(outgoing) and all(each.posting.state == "settled" for each in outgoing)
