"""When the chain was read last, and since when it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api_billing.errors import BillingError
from api_billing.metering.request.health import Wrong


class ChainReads:
    """Of one process. Thread-safe: each value is written whole."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.read_ms = 0  # the last one that succeeded; 0: none has
        self.tried_ms = 0
        self._failure = ""  # of the last one, when it failed

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A read is made in this block."""
        self.tried_ms = self._now_ms()
        try:
            yield
        except BillingError as error:
            self._failure = str(error)
            raise
        self.read_ms, self._failure = self._now_ms(), ""

    def trouble(self, grace_ms: int | None) -> Wrong | None:
        """What is wrong; it stops requests when the chain was never read, or not for ``grace_ms`` (None: for ever)."""
        if not self._failure:
            return None
        ago_ms = self._now_ms() - self.read_ms
        stops = grace_ms is not None and (not self.read_ms or ago_ms > grace_ms)
        since = f"for {ago_ms // 1000} s" if self.read_ms else "yet"
        return Wrong("chain", f"the contract could not be read {since}: {self._failure}", stops)
