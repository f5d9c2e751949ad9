"""Operations on a store of several shards: ids that somebody chose, and one reply of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from api_billing.metering.errors import MeterError
from api_billing.metering.ledger.operations import (
    Extend,
    Grant,
    Operation,
    Prune,
    Pruned,
    ReadCounts,
    Reserve,
    ResetCounts,
    Sweep,
)
from api_billing.metering.stores.store import Reply

_IDS_SECONDS: Final = 86_400


def chosen_id(operation: Any) -> tuple[Any, ...] | None:
    """The id that somebody chose for an operation, whose it is, and for how long that is kept."""
    if type(operation) is Grant:
        name, *expiry = (f"grant:{operation.grant_id}",)
    elif type(operation) is Reserve and not operation.fresh:
        # Ids of reservations are of a time, and nobody makes one of yesterday.
        name, *expiry = f"request:{operation.reservation_id}", "EX", _IDS_SECONDS
    else:
        return None
    return name.encode(errors="surrogatepass"), operation.account.encode(errors="surrogatepass"), *expiry


def merged(operation: Operation[Any], replies: Sequence[Reply]) -> Reply:
    """One reply of those of all shards that an operation was about."""
    error = next((reply for reply in replies if isinstance(reply, MeterError)), None)
    if error is not None or len(replies) == 1:
        return error or replies[0]
    if isinstance(operation, Extend | Sweep):
        return sum(replies)
    if isinstance(operation, ReadCounts | ResetCounts):
        return tuple(map(sum, zip(*replies, strict=True)))
    if isinstance(operation, Prune):
        records, counts, responses, more = zip(*replies, strict=True)
        return Pruned(sum(records), sum(counts), sum(responses), any(more))
    return next((reply for reply in replies if reply is not None), None)
