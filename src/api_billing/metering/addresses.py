"""Whose address a request is from: the peer's, or what proxies that are trusted say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_MAX_FIELD: Final = 4_096
_MAX_HOPS: Final = 32
_MAX_PEER: Final = 64
_SUBNET_BITS: Final = 64
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9]{1,5})?")
# A parameter of RFC 7239 and what ends it. What is quoted may be anything, as a client has said it.
_PARAMETER: Final = re.compile(r'(?:([^\s"=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^"\\\s;]+))\s*)?(?:;\s*|$)')
UNIX: Final = "unix"
FORWARDED: Final = "forwarded"


class TrustedProxies:
    """Who may say for whom they ask, and in which header field: a list in which each proxy adds its peer at the end.

    ``trusted`` are addresses and networks, and ``unix`` for peers on a socket without an address. Raises: ValueError.
    """

    def __init__(self, trusted: Iterable[str], field: str) -> None:
        given = tuple(trusted)
        self._networks = tuple([ip_network(each, strict=False) for each in given if each != UNIX])
        self._has_unix = UNIX in given
        self.field = field.lower()
        self._trusts = lru_cache(4_096)(self.trusts)
        self._reads = lru_cache(4_096)(self._read)

    def client(self, peer: str, values: Sequence[str]) -> str:
        """The address of a request's client: the right-most that is not a trusted proxy's. What cannot be read says
        nothing: then it is the peer's.
        """
        found = address = spelled(peer)
        if not self._trusts(address):
            return address
        said = ",".join(values)[-_MAX_FIELD:]
        for _, each in zip(range(_MAX_HOPS), _hops(said) if said else (), strict=False):
            hop = self._reads(each)
            if hop is None:
                return address
            found = hop
            if not self._trusts(hop):
                return hop
        return found

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a proxy."""
        if not address:
            return self._has_unix
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def _read(self, text: str) -> str | None:
        if self.field == FORWARDED:
            said = _forwarded_for(text)
            if said is None:
                return None
            text = said
        parsed = _parsed(text.strip())
        if parsed is None and (with_port := _WITH_PORT.fullmatch(text.strip())) is not None:
            parsed = _parsed(with_port[1] or with_port[2])
        return None if parsed is None else str(parsed)


def _hops(said: str) -> Iterator[str]:
    """The parts of a list, from the right: there are those of the nearest proxies, whatever a client has written left
    of them. A comma within quotes is none of the list.
    """
    if '"' not in said:
        yield from reversed(said.split(","))
        return
    end, is_quoted = len(said), False
    for place in range(end - 1, -1, -1):
        if said[place] == '"':
            before = said[:place]
            is_escaped = is_quoted and (len(before) - len(before.rstrip("\\"))) % 2 == 1
            is_quoted = is_quoted == is_escaped
        elif said[place] == "," and not is_quoted:
            yield said[place + 1 : end]
            end = place
    yield said[:end]


def _forwarded_for(text: str) -> str | None:
    """The one ``for`` of a hop (RFC 7239); None when it has none, or cannot be read."""
    text, found, place = text.strip(), list[str](), 0
    while place < len(text):
        parameter = _PARAMETER.match(text, place)
        if parameter is None:
            return None
        if (parameter[1] or "").lower() == "for":
            found.append(parameter[2] or parameter[3] or "")
        place = parameter.end()
    return found[0] if len(found) == 1 else None


@lru_cache(4_096)
def spelled(peer: str) -> str:
    """An address in its one spelling; a peer that is named otherwise as it is, and as none what cannot be a name."""
    parsed = _parsed(peer)
    if parsed is not None:
        return str(parsed)
    return peer if len(peer) <= _MAX_PEER and peer.isprintable() and peer == peer.strip() else ""


@lru_cache(4_096)
def counted_as(address: str) -> str:
    """What counts together with an address: of IPv6 its /64, as everybody has one of these at least."""
    parsed = _parsed(address)
    return str(IPv6Network((int(parsed), _SUBNET_BITS), strict=False)) if isinstance(parsed, IPv6Address) else address


@lru_cache(4_096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text.partition("%")[0] if ":" in text else text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
