"""Which requests the server answers: those of programs, and of web pages of this machine.

A browser sends what any page tells it to, also to 127.0.0.1, and a name that belongs to the page's owner can lead there
(DNS rebinding). A page that could ask could spend from every test account, and where contracts run with the rights of
the server do anything on this machine. What gives it away is what a page cannot choose: ``Host``, ``Origin``, and that
it cannot send JSON to another origin without asking first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from genlayer_localnet.errors import InvalidArgument

Headers = Iterable[tuple[bytes, bytes]]

_NAME: Final = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)"
_HOST: Final = re.compile(f"{_NAME}(?::[0-9]{{1,5}})?")
_ORIGIN: Final = re.compile(f"[a-z][a-z0-9+.-]*://{_NAME}(?::[0-9]{{1,5}})?")
_WEB: Final = ("http://", "https://")


class WebGuard:
    """For a server that listens on the address ``bound_to``.

    ``hosts``: names by which it is reached, besides its addresses. ``origins``: of pages elsewhere that may ask it.
    """

    def __init__(self, bound_to: str, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Raises: InvalidArgument."""
        self._only_loopback = is_loopback(bound_to)
        self._hosts = {_checked(host, re.compile(_NAME), "--allow-host", "box.lan") for host in hosts}
        self._origins = {_checked(origin, _ORIGIN, "--allow-origin", "https://studio.example") for origin in origins}

    def refusal(self, verb: str, headers: Headers) -> tuple[int, str] | None:
        """Status and reason, or None where the request may be answered. Its body is not needed."""
        hosts, origins, kinds = (_values(headers, name) for name in (b"host", b"origin", b"content-type"))
        if len(hosts) != 1 or not self._is_host(hosts[0].lower()):
            return 403, f"host {', '.join(hosts)[:100]!r} is not this server: start it with --allow-host if it is"
        if origins and (len(origins) > 1 or not self._is_allowed(origins[0].lower(), hosts[0].lower())):
            return 403, f"pages of {', '.join(origins)[:100]!r} may not ask this server: see --allow-origin"
        if verb == "POST" and [kind.partition(";")[0].strip().lower() for kind in kinds] != ["application/json"]:
            return 415, "the content type of a request is application/json"
        return None

    def _is_host(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]")
        return is_loopback(name) or name in self._hosts or (not self._only_loopback and _address(name) is not None)

    def _is_allowed(self, origin: str, host: str) -> bool:
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            return False
        is_local = origin.startswith(_WEB) and is_loopback(match[1].strip("[]"))
        return is_local or origin == f"http://{host}" or origin in self._origins


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address."""
    if host in ("localhost", "127.0.0.1"):  # as nearly always: to read an address takes 10 microseconds
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _values(headers: Headers, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _checked(text: str, form: re.Pattern[str], option: str, example: str) -> str:
    if form.fullmatch(text.lower()) is None:
        raise InvalidArgument(f"{option} {text}: one is like this: {example}")
    return text.lower()
