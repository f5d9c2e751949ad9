"""Short turns of Python's threads while one of them works beside a loop that serves requests.

Python lets a thread that computes go on for 5 ms before another one gets its turn. A loop that serves requests gives
its turn away with each statement that SQLite runs for it, and would wait so long for it each time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SECONDS: Final = 0.00005

_lock = threading.Lock()
_inside = 0
_usual_seconds = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """All threads of the process take short turns within the block; as before once nobody is within one any more."""
    global _inside, _usual_seconds
    with _lock:
        if not _inside:
            _usual_seconds = sys.getswitchinterval()
            sys.setswitchinterval(min(SECONDS, _usual_seconds))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                sys.setswitchinterval(_usual_seconds)
