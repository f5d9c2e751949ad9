"""For those who know what they do."""

from __future__ import annotations

from typing import NoReturn

from genlayer_localnet.std.shared.events import emit_raw as emit_raw_event
from genlayer_localnet.std.shared.requests import tell, unreachable

__all__ = ("emit_raw_event", "user_error_immediate")


def user_error_immediate(reason: str) -> NoReturn:
    """End the call with a user error at once: no ``except`` and no ``finally`` of the contract runs."""
    tell({"Rollback": reason})
    unreachable("Rollback")
