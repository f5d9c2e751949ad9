"""Answers of nondeterministic requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...py import calldata
from ...py.types import Lazy
from .._requests import ask
from ..vm import UserError

__all__ = ("Image", "NondetException", "ask_nondet", "exec_template")


class NondetException(UserError):
    """A nondeterministic request failed outside of the contract; the message is what the host says of it."""


@dataclass(frozen=True)
class Image:
    """An image as it came, usually PNG."""

    raw: bytes

    @property
    def pil(self) -> Any:
        """The image for Pillow, which must be installed."""
        import io

        from PIL import Image as PillowImage  # type: ignore[import-not-found, unused-ignore]  # optional

        return PillowImage.open(io.BytesIO(self.raw))


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
