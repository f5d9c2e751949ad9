"""The message: what the host says about the call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ("read_message",)

# Keys that libraries themselves use; a host may send more.
_NEEDED = ("contract_address", "sender_address", "origin_address", "value", "chain_id")


def read_message(decode: Callable[[bytes], Any]) -> dict[str, Any] | None:
    """Read the message from file descriptor 0, once and up to its end; None when there is none to be read."""
    # Tools that only look at a contract's classes set GENERATING_DOCS; at a terminal nobody types calldata.
    if os.environ.get("GENERATING_DOCS") == "true" or _is_terminal():
        return None
    try:
        raw = decode(_read_all())
    except (OSError, ValueError):
        return None
    return raw if isinstance(raw, dict) and all(key in raw for key in _NEEDED) else None


def _is_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def _read_all() -> bytes:
    parts = []
    while part := os.read(0, 1 << 16):
        parts.append(part)
    return b"".join(parts)
