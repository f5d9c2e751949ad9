"""A request that was served on a reservation that the store has lost is charged all the same, once.

SQLite answers a reservation before it is on disk. When the commit that would have written it fails, its settlement
finds it unknown: at once or, when it was in the commit that failed, when the keeper sends it again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from api_billing.metering.ledger.operations import NotReserved, Refused, Reserve, Settle, Settled
from api_billing.metering.stores.steps import Steps

_log: Final = logging.getLogger("api_billing.metering")


def settled(settle: Settle, reserve: Reserve) -> Steps[Settled | NotReserved]:
    """Settle, and reserve again before it when the reservation is unknown; both may be repeated with their id.

    Raises: StoreUnavailable, StoreBusy, MeterClosed; nothing is lost then, and the whole is to be repeated.
    """
    reply: Settled | NotReserved = yield settle
    if isinstance(reply, NotReserved) and reply.state == "unknown":
        _log.warning("%s is reserved again", settle.reservation_id)
        yield from _reserve_again(reserve)
        reply = yield settle
    return reply


def _reserve_again(reserve: Reserve) -> Steps[None]:
    # It was admitted and served: neither a limit nor a profile that others have reached or changed since refuses it.
    checks = tuple([check._replace(limit=None) for check in reserve.checks])
    again = replace(reserve, checks=checks, profile_version=-1, fresh=False, durable=True)
    if isinstance((yield again), Refused):
        # Others have taken the credit: it is charged what there is, and the rest is reported as uncollected.
        yield replace(again, estimate_wei=0)
