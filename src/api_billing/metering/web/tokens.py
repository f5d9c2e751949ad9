"""Tokens of operators and services, as ``Authorization: Bearer`` carries them."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

_MIN_BYTES: Final = 16


class Tokens:
    """A token that is known, and never shown again; with commas several, the new and the old one while they change."""

    def __init__(self, text: str) -> None:
        self._digests = [_digest(each) for each in tokens_in(text)]

    def is_shown(self, text: str) -> bool:
        """Whether a text is a token. Digests are compared: the time tells neither how much of it is right nor how long
        it is.
        """
        shown = _digest(text)
        return any(hmac.compare_digest(shown, each) for each in self._digests)

    def shares(self, other: Tokens) -> bool:
        """Whether any of them is one of the other's, too."""
        return not set(self._digests).isdisjoint(other._digests)


def tokens_in(text: str) -> list[str]:
    """The tokens in a text, between commas or lines."""
    return [each.strip() for each in re.split("[,\n]", text) if each.strip()]


def are_long(text: str) -> bool:
    """Whether there are tokens in a text, and none can be guessed."""
    return min((len(each.encode()) for each in tokens_in(text)), default=0) >= _MIN_BYTES


def bearer_of(authorization: str) -> str:
    """What an ``Authorization`` field carries by the scheme Bearer; empty for another one."""
    scheme, _, text = authorization.strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
