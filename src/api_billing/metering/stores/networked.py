"""What stores over a network have in common: batches, connections that break, operations that cannot be stored.

When the connection broke before the answers came, a batch is sent a second time. Operations with an id of the caller's
change nothing then and get the first answer; those that write one given value end with the same rows, and reads change
nothing. AddToBatch says the second time that somebody has added to the batch, whereupon its caller looks where it is.
The rest would answer differently, or do more, if the first sending had been executed: of them only the caller can know
what to do, so it is told that the outcome is unknown.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from api_billing.metering.clock import system_clock_ms
from api_billing.metering.errors import CannotBeStored, StoreUnavailable, StoreUnusable
from api_billing.metering.ledger import rules
from api_billing.metering.ledger.consumer_operations import RevokeKey
from api_billing.metering.ledger.operations import Extend, FireOnce, Operation, Prune, ResetCounts, Sweep
from api_billing.metering.ledger.settlement_operations import Renumber, ReopenEnded, RetryRefused, WriteOff
from api_billing.metering.stores.store import Reply, Store
from api_billing.showing import redacted

# FireOnce would say that somebody else fired, ReopenEnded, Renumber, RetryRefused
# and WriteOff that nothing is left to do, and the others give another number.
_ONCE: Final[frozenset[type[Operation[Any]]]] = frozenset(
    {FireOnce, Extend, RevokeKey, ResetCounts, Sweep, Prune, ReopenEnded, Renumber, RetryRefused, WriteOff}
)
_LONGEST_SECONDS: Final = 5.0  # for as long nobody tries to connect again
LOOK_SECONDS: Final = 1.0  # between two looks at a server that is in use

Transact = Callable[[Sequence[Operation[Any]], bool], list[Reply]]
"""Performs operations, until nobody is in the way; ``True``: ids that were made just now are trusted to be new."""


class ConnectionLost(Exception):
    """No answer came. ``sent``: what was asked for may have been done."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class NotStorable(Exception):
    """One of the operations cannot be stored, and nothing was done."""


class NetworkedStore(Store):
    """A store over a network. Thread-safe, as every store."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._no_try_before = 0.0
        self._looked_at = 0.0
        self._was_there = False  # the store was seen: nobody makes it again
        self._ahead_ns: int | None = None  # the server's time, less the monotonic clock's

    def connect(self) -> None:
        """Connect now, rather than with the first operation. Raises: StoreUnavailable."""
        with self._turn:
            self._connected()

    def now_ms(self) -> int:
        """The server's time, as it was asked for last and has gone on since."""
        ahead_ns = self._ahead_ns
        return system_clock_ms() if ahead_ns is None else (time.monotonic_ns() + ahead_ns) // 1_000_000

    def _is_at(self, server_us: int) -> None:
        """The server's time now, in microseconds."""
        self._looked_at = time.monotonic()
        self._ahead_ns = server_us * 1000 - time.monotonic_ns()

    def _check_not_lost(self) -> None:
        """The server has no store of ours. Raises: StoreUnusable, when it had: an empty one would refuse everybody."""
        if self._was_there:
            raise StoreUnusable(
                f"{redacted(self.url)}: the store is gone: the server was emptied, or is another one",
                hint="restore a backup; or, to begin with an empty store, restart all that use it",
            )

    @abstractmethod
    def _connected(self) -> Any:
        """Connect, if need be, and look at the server now and then. Raises: StoreUnavailable."""

    @abstractmethod
    def _perform_together(self, operations: Sequence[Operation[Any]]) -> list[Reply]:
        """Perform a batch of operations that name the rows they touch, or one that does not."""

    def _perform(self, operations: Sequence[Operation[Any]]) -> Sequence[Reply]:
        replies: list[Reply] = []
        for together in _batches(operations):
            try:
                self._connected()
                replies += self._perform_together(together)
            except StoreUnavailable as error:
                replies += [error] * len(together)
        return replies

    def _surely(self, operations: Sequence[Operation[Any]], transact: Transact) -> list[Reply]:
        """Perform operations, again if the connection breaks, and one by one if one of them cannot be stored."""
        try:
            return transact(operations, True)
        except ConnectionLost as lost:
            self._disconnect()
            is_unknown = [lost.sent and type(operation) in _ONCE for operation in operations]
            again = [operation for operation, unknown in zip(operations, is_unknown, strict=True) if not unknown]
            try:
                self._connected()
                replies = iter(transact(again, False) if again else ())
            except ConnectionLost as second:
                self._disconnect()
                raise self._failure(second.__cause__) from second
            return [
                self._unknown(operation, lost.__cause__) if unknown else next(replies)
                for operation, unknown in zip(operations, is_unknown, strict=True)
            ]
        except NotStorable as error:
            if len(operations) == 1:
                why = self._failure(f"{type(operations[0]).__name__} cannot be stored: {error.__cause__}")
                return [CannotBeStored(str(why))]
            return [reply for operation in operations for reply in self._surely([operation], transact)]
        except StoreUnavailable:
            raise
        except BaseException:
            # Interrupted: answers that were not read must not become those of the next batch.
            self._disconnect()
            raise

    def _reached[ConnectionT](self, connect: Callable[[], ConnectionT], *errors: type[Exception]) -> ConnectionT:
        """A new connection. As long as an attempt took in vain, others are told at once: a server that does not answer
        holds up few callers. Raises: StoreUnavailable.
        """
        started = time.monotonic()
        if started < self._no_try_before:
            raise self._failure("could not be reached a moment ago")
        try:
            return connect()
        except errors as error:
            now = time.monotonic()
            self._no_try_before = now + min(now - started, _LONGEST_SECONDS)
            raise self._failure(error) from error

    def _failure(self, error: object) -> StoreUnavailable:
        return StoreUnavailable(f"{redacted(self.url)}: {str(error).strip().partition('\n')[0]}")

    def _unknown(self, operation: Operation[Any], cause: BaseException | None) -> StoreUnavailable:
        name = type(operation).__name__
        return StoreUnavailable(f"the connection broke: it is not known whether {name} was executed ({cause})")


def _batches(operations: Sequence[Operation[Any]]) -> Iterator[list[Operation[Any]]]:
    """Neighbours that name the rows they touch go together; whatever looks for some goes alone. The order stays."""
    for by_key, group in groupby(operations, lambda operation: type(operation) in rules.BY_KEY):
        if by_key:
            yield list(group)
        else:
            yield from ([operation] for operation in group)
