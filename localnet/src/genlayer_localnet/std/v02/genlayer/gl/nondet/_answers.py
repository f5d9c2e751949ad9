"""Answers of nondeterministic requests."""

from __future__ import annotations

from typing import Any

from genlayer_localnet.std.shared.lazy import Lazy
from genlayer_localnet.std.shared.requests import ask

from ...py import calldata
from ..vm import UserError

__all__ = ("NondetException", "ask_nondet", "exec_template")


class NondetException(UserError):
    """A nondeterministic request failed outside of the contract; the message is what the host says of it."""


def ask_nondet(request: dict[str, Any]) -> Lazy[Any]:
    """Send a request whose answer is ``{"ok": value}`` or ``{"error": …}``."""
    answer = ask(request)
    return Lazy(lambda: _unpack(calldata.decode(answer)))


def _unpack(answer: Any) -> Any:
    if "ok" in answer:
        return answer["ok"]
    error = answer.get("error", answer)
    raise NondetException(error if isinstance(error, str) else calldata.to_str(error))


def exec_template(payload: dict[str, Any]) -> Any:
    """Run one of the node's own prompts."""
    return ask_nondet({"ExecPromptTemplate": payload}).get()
