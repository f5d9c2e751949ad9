"""Answers of nondeterministic requests."""

from __future__ import annotations

from typing import Any

from genlayer_localnet.std.shared.lazy import Lazy

from .. import calldata
from .._requests import ask

__all__ = ("NondetException", "ask_nondet", "exec_template")


class NondetException(Exception):
    """A nondeterministic request failed outside of the contract. It is no ``UserError``: uncaught it is a VM error."""

    def __init__(self, causes: list[str], ctx: dict[str, Any]) -> None:
        super().__init__(causes, ctx)
        self.causes = causes
        """What went wrong, in the host's words for it."""
        self.ctx = ctx


def ask_nondet(request: dict[str, Any]) -> Lazy[Any]:
    """Send a request whose answer is ``{"ok": value}`` or ``{"error": …}``."""
    answer = ask(request)
    return Lazy(lambda: _unpack(calldata.decode(answer)))


def _unpack(answer: Any) -> Any:
    if "ok" in answer:
        return answer["ok"]
    raise NondetException(**answer["error"])


def exec_template(payload: dict[str, Any]) -> Any:
    """Run one of the node's own prompts."""
    return ask_nondet({"ExecPromptTemplate": payload}).get()
