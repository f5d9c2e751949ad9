"""Ids of reservations: 26 characters that sort by time (ULID: 48 bits of milliseconds, 80 random bits, Crockford's
base 32).

Rows with such ids are appended to an index rather than spread over it, and a page of the audit log is a range of ids.
Thread-safe. Two ids of one process and millisecond are in no particular order.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from api_billing.metering.forks import at_fork

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_DIGIT: Final = (_DIGITS * 8).encode()  # of a random byte, by its lowest five bits
_RANDOM_DIGITS: Final = 16
_BLOCK_BYTES: Final = 4096
LENGTH: Final = 26


class IdSource:
    """Makes ids; random bytes are fetched from the system in blocks, and never shared by a forked process."""

    _noise: str
    _next: int
    _time_ms: int
    _time: str

    def __init__(self) -> None:
        self._forget()
        at_fork(in_child=self._forget)

    def new(self, now_ms: int) -> str:
        """Return a new id for an instant."""
        with self._lock:
            start = self._next
            if start == len(self._noise):
                self._noise = os.urandom(_BLOCK_BYTES).translate(_TO_DIGIT).decode()
                start = 0
            self._next = start + _RANDOM_DIGITS
            noise = self._noise[start : self._next]
            if now_ms != self._time_ms:
                self._time_ms, self._time = now_ms, _time_digits(now_ms)
            return self._time + noise

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._noise = ""
        self._next = 0
        self._time_ms = -1
        self._time = ""


def first_id(at_ms: int) -> str:
    """Return the smallest id of an instant: where a page that begins at a time begins."""
    return _time_digits(at_ms) + _DIGITS[0] * _RANDOM_DIGITS


def _time_digits(at_ms: int) -> str:
    return "".join([_DIGITS[at_ms >> shift & 31] for shift in range(45, -1, -5)])


new_id: Final = IdSource().new
