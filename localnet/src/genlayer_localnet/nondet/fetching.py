"""Real HTTP for contracts, and where it may lead.

A contract, and every page that redirects it, chooses addresses; what only this machine or its network reaches is not
theirs to ask. So the address is looked at that was really connected to, before anything is sent, at each redirect anew.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from genlayer_localnet.errors import InvalidArgument

CONNECT_TIMEOUT_SECONDS: Final = 10
READ_TIMEOUT_SECONDS: Final = 30
WHOLE_TIMEOUT_SECONDS: Final = 60
_HOST: Final = re.compile(r"(\*|\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_GIVEN_OUT: Final = ipaddress.ip_network("2000::/3")
"""Where IPv6 addresses of the internet are; ``is_global`` has the rest too, as site-local ones."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""Leads to the IPv4 address in its last 32 bits."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Forbidden(Exception):
    """The address is none that contracts may ask."""


class Reach:
    """Where contracts' requests may go: the public internet and ``hosts`` (``name``, ``name:port``; ``*`` is all)."""

    def __init__(self, hosts: Collection[str]) -> None:
        """Raises: InvalidArgument."""
        self._hosts = {_parsed(host) for host in hosts}

    def allows(self, host: str, port: int, address: str) -> bool:
        named = {(name, each) for name in (host.lower(), "*") for each in (None, port)}
        return not named.isdisjoint(self._hosts) or is_public(address)


class Unbounded(Reach):
    """Anywhere, where the contract says so itself; redirects only to the internet, and from loopback to loopback."""

    def __init__(self) -> None:
        super().__init__(())
        self._is_first = True
        self._from_loopback = False

    def allows(self, host: str, port: int, address: str) -> bool:
        is_loopback = _address(address).is_loopback
        allowed = self._is_first or super().allows(host, port, address) or (self._from_loopback and is_loopback)
        self._is_first, self._from_loopback = False, is_loopback
        return allowed


def is_public(address: str) -> bool:
    """Whether anybody in the internet can reach it, too."""
    found = _address(address)
    return found.is_global and not found.is_multicast and (found.version == 4 or found in _GIVEN_OUT)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text)
    if isinstance(found, ipaddress.IPv4Address):
        return found
    translated = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None
    return translated or found.ipv4_mapped or found.sixtofour or found


def _parsed(host: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(host.lower())
    if match is None:
        raise InvalidArgument(f"--allow-web {host}: one is like this: localhost:8000")
    return match[1].strip("[]"), None if match[2] is None else int(match[2])


class Fetch(requests.Session):
    """Makes one request, with its redirects, that is over in a minute; used with ``with``.

    Nothing of the user's goes with it: no cookies, no passwords from ``.netrc``.
    """

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._open: list[HTTPConnection] = []
        self.adapters.clear()
        self.mount("http://", _Adapter(reach, self._open))
        self.mount("https://", _Adapter(reach, self._open))
        self._timer = threading.Timer(WHOLE_TIMEOUT_SECONDS, self._end)
        self._timer.daemon = True
        self.auth = lambda request: request

    def __enter__(self) -> Fetch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.close()

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Without what ``.netrc`` has for the next host."""
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)

    def _end(self) -> None:
        for connection in self._open:
            with suppress(OSError, AttributeError):  # it is closed
                connection.sock.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    def __init__(self, reach: Reach, opened: list[HTTPConnection]) -> None:
        self._reach = reach
        self._opened = opened
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        reach, opened = self._reach, self._opened

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _checked(super()._new_conn(), self, reach, opened)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _checked(super()._new_conn(), self, reach, opened)

        pools: dict[str, Any] = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": Plain}),
            "https": type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": Secure}),
        }
        self.poolmanager.pool_classes_by_scheme = pools

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Where a proxy connects, the address is looked at where it stands in the URL."""
        parts = urlsplit(request.url or "")
        if any(dict(kwargs.get("proxies") or {}).values()):
            host = parts.hostname or ""
            with suppress(ValueError):
                _allow(self._reach, host, parts.port or _DEFAULT_PORTS[parts.scheme], str(ipaddress.ip_address(host)))
        return super().send(request, *args, **kwargs)


def _checked(
    connected: socket.socket, connection: HTTPConnection, reach: Reach, opened: list[HTTPConnection]
) -> socket.socket:
    """Raises: Forbidden."""
    opened.append(connection)
    try:
        _allow(reach, connection.host, connection.port, connected.getpeername()[0])
    except Forbidden:
        connected.close()
        raise
    return connected


def _allow(reach: Reach, host: str, port: int, address: str) -> None:
    if not reach.allows(host.strip("[]"), port, address):
        raise Forbidden(f"{address} is no public address: see --allow-web {host}:{port}")
