"""Whose turn it is among the processes that write one file, and how often they changed what others have in memory.

A second file is the turnstile: whoever waits for the lock keeps it shut, so that nobody who has just given the lock
back can take it again before, and whoever has the lock sees that somebody waits. The system ends no wait for a lock, so
that it is looked for again and again: whoever has it may have been stopped.

The count lies in the lock's file, which all of them have mapped. It is raised under the lock and before a commit, so
that a crash between the two makes others forget in vain, and never keep what is no longer so.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from pathlib import Path
from typing import Final

_BYTES: Final = 8
_PAUSE_SECONDS: Final = 0.0001


class ProcessLock:
    """A lock among processes, with a count that they share. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._turnstile = os.open(f"{path}.wait", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _BYTES:
            os.posix_fallocate(self._file, 0, _BYTES)
        self._count = mmap.mmap(self._file, _BYTES)

    def acquire(self, seconds: float = 0.0) -> bool:
        """Get the lock, within so many seconds. False: it is another process' turn."""
        until = time.monotonic() + seconds
        if not _locked(self._turnstile, until):
            return False
        try:
            return _locked(self._file, until)
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def others_wait(self) -> bool:
        """Whether another process waits for the lock."""
        if not _locked(self._turnstile, 0.0):
            return True
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        return False

    @property
    def changes(self) -> int:
        """How often rows were changed that processes keep in memory."""
        return int.from_bytes(self._count[:], "little")

    def count_change(self) -> int:
        """Tell other processes, with the lock, that such rows are about to be changed; the count."""
        changes = self.changes + 1
        self._count[:] = changes.to_bytes(_BYTES, "little")
        return changes

    def close(self) -> None:
        """Let go of the files; the lock goes with the last process that shares them."""
        self._count.close()
        os.close(self._file)
        os.close(self._turnstile)


def _locked(file: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_SECONDS)
