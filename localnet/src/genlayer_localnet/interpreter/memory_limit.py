"""Ends contracts that take too much memory, where the process has a limit: ``MemoryError``, as on the network.

The limit is the process's, the host's part included. So that the host can go on where a contract has taken all, it has
a little more, which it opens then and closes before the next one runs.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

_SPARE_BYTES: Final = 256 * 1024 * 1024
_usual_bytes: int | None = None
_is_spare_open = False


def limit(size_bytes: int) -> None:
    """From now on and for good: addresses that this process may take besides those that it has."""
    global _usual_bytes
    usual = size_bytes + _present_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (usual, usual + _SPARE_BYTES))
    _usual_bytes = usual


def open_spare() -> None:
    """A contract has taken all that it may have: let the host clear up behind it."""
    _set(_SPARE_BYTES)


def close_spare() -> None:
    """Before the next contract runs."""
    if _is_spare_open:
        _set(0)


def _set(spare_bytes: int) -> None:
    global _is_spare_open
    if _usual_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_usual_bytes + spare_bytes, _usual_bytes + _SPARE_BYTES))
        _is_spare_open = spare_bytes > 0


def _present_bytes() -> int:
    """0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0
