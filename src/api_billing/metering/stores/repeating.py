"""Which operations a store over a network may send a second time, when the connection broke before their answers came.

Those with an id of the caller's change nothing the second time and get the first answer; those that write one given
value end with the same rows, and reads change nothing. AddToBatch says the second time that somebody has added to the
batch, whereupon its caller looks where it is. The rest would answer differently, or do more, if the first
sending had been executed: of them only the caller can know what to do, so it is told that the outcome is unknown.
"""

from __future__ import annotations

from typing import Any, Final

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import (
    Extend,
    FireOnce,
    Operation,
    Prune,
    RevokeKey,
    Sweep,
)
from api_billing.metering.ledger.settlement_operations import Renumber, ReopenEnded, RetryRefused, WriteOff

# FireOnce would say that somebody else fired, ReopenEnded, Renumber, RetryRefused
# and WriteOff that nothing is left to do, and the others give another number.
_ONCE: Final[frozenset[type[Operation[Any]]]] = frozenset(
    {FireOnce, Extend, RevokeKey, Sweep, Prune, ReopenEnded, Renumber, RetryRefused, WriteOff}
)


def is_repeatable(operation: Operation[Any]) -> bool:
    """Whether sending it twice does, and answers, the same as sending it once."""
    return type(operation) not in _ONCE


def outcome_unknown(operation: Operation[Any], cause: BaseException) -> StoreUnavailable:
    """What is answered to an operation that may have been executed, and must not be sent again unseen."""
    name = type(operation).__name__
    return StoreUnavailable(f"the connection broke: it is not known whether {name} was executed ({cause})")
