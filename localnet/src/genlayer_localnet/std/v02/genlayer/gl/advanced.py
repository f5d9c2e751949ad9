"""For those who know what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ._requests import tell, unreachable

__all__ = ("emit_raw_event", "user_error_immediate")


def user_error_immediate(reason: str) -> NoReturn:
    """End the call with a user error at once: no ``except`` and no ``finally`` of the contract runs."""
    tell({"Rollback": reason})
    unreachable("Rollback")


def emit_raw_event(topics: Sequence[bytes], blob: Mapping[str, Any]) -> None:
    """Announce an event with ready topics: up to four, of 32 bytes each."""
    tell({"EmitEvent": {"topics": list(topics), "blob": blob}})
