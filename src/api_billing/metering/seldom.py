"""Log records that clients can cause at will, one with each request: of each kind one in a while, and a count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from api_billing.metering.clock import system_clock_ms

_EVERY_MS: Final = 10_000


class Seldom:
    """Logs a message once in 10 seconds, whatever its arguments, and says how often it was left out since.

    Messages are those of the source, of which there are few. Thread-safe.
    """

    def __init__(self, now_ms: Callable[[], int] = system_clock_ms) -> None:
        self._now_ms = now_ms
        self._told: dict[str, tuple[int, int]] = {}  # when it was logged last, and how often it was left out since

    def log(self, logger: logging.Logger, level: int, message: str, *values: Any, exc_info: Any = None) -> None:
        """Log a record, unless one of the same message was logged a moment ago."""
        now_ms = self._now_ms()
        # Without a lock: two threads at once may tell both, or count one too few.
        told_ms, left_out = self._told.get(message, (now_ms - _EVERY_MS, 0))
        if 0 <= now_ms - told_ms < _EVERY_MS:  # a clock that was set back does not keep it quiet
            self._told[message] = (told_ms, left_out + 1)
            return
        self._told[message] = (now_ms, 0)
        if left_out:
            message, values = message + " (and %d more of these)", (*values, left_out)
        logger.log(level, message, *values, exc_info=exc_info, stacklevel=2)
