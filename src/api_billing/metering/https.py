"""Addresses that the meter itself asks or tells: over HTTPS, and nowhere else than they say."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class NoRedirect(HTTPRedirectHandler):
    """Fails for a redirect as for any other status that is no success."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def is_https(url: str) -> bool:
    """Whether it is an https URL that can be asked, without credentials; http is for this machine only."""
    try:
        parts = urlsplit(url)
        known = parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    is_clean = url.isascii() and url.isprintable() and " " not in url
    return bool(
        known and is_clean and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK))
    )
