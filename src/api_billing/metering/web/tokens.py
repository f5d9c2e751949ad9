"""Tokens of operators and services, as ``Authorization: Bearer`` carries them."""

from __future__ import annotations

import hashlib
import hmac


class Token:
    """A token that is known, and never shown again."""

    def __init__(self, text: str) -> None:
        self._digest = _digest(text)

    def is_shown(self, text: str) -> bool:
        """Whether a text is the token. Digests are compared: the time tells neither how much of it is right nor how
        long it is.
        """
        return hmac.compare_digest(_digest(text), self._digest)


def bearer_of(authorization: str) -> str:
    """What an ``Authorization`` field carries by the scheme Bearer; empty for another one."""
    scheme, _, text = authorization.strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
