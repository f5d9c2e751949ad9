"""Log records that clients can cause at will, one with each request: of each kind one in a while, and a count."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Hashable
from typing import Any, Final

from api_billing.metering.clock import system_clock_ms

_EVERY_MS: Final = 10_000


class Seldom:
    """Logs a message once in 10 seconds, whatever its arguments, and says how often it was left out since.

    Messages, kinds and places where exceptions are raised are those of the source, of which there are few. Thread-safe.
    """

    def __init__(self, now_ms: Callable[[], int] = system_clock_ms) -> None:
        self._now_ms = now_ms
        self._told: dict[Hashable, tuple[int, int]] = {}  # when it was logged last, how often it was left out since

    def log(
        self,
        logger: logging.Logger,
        level: int,
        message: str,
        *values: Any,
        exc_info: Any = None,
        kind: Hashable | BaseException = None,
    ) -> None:
        """Log a record, unless one of the same message and kind was logged a moment ago. A kind that is an exception,
        such as one that is logged itself, is its class and where it was raised.
        """
        if kind is None:
            kind = sys.exception() if exc_info is True else exc_info
        key = (message, _place_of(kind) if isinstance(kind, BaseException) else kind)
        now_ms = self._now_ms()
        # Without a lock: two threads at once may tell both, or count one too few.
        told_ms, left_out = self._told.get(key, (now_ms - _EVERY_MS, 0))
        if 0 <= now_ms - told_ms < _EVERY_MS:  # a clock that was set back does not keep it quiet
            self._told[key] = (told_ms, left_out + 1)
            return
        self._told[key] = (now_ms, 0)
        if left_out:
            message, values = message + " (and %d more of these)", (*values, left_out)
        logger.log(level, message, *values, exc_info=exc_info, stacklevel=2)


def _place_of(error: BaseException) -> Hashable:
    trace = error.__traceback__
    if trace is None:
        return (type(error),)
    while trace.tb_next is not None:
        trace = trace.tb_next
    return type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno
