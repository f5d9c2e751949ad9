"""Texts from outside as they may be shown: without credentials, and without what could disturb a terminal."""

from __future__ import annotations

import json
import re
from typing import Final

HIDDEN: Final = "…"
# Parameters of a query that say where and how, and never who.
_HARMLESS: Final = re.compile(
    "application_name|connect_timeout|create|db(name)?|durable|host(addr)?|load_balance_hosts|port|prefix|protocol|replicas|"
    "shards|ssl(mode|rootcert|_cert_reqs)|target_session_attrs|user|wait",
    re.IGNORECASE,
)
_STORES: Final = frozenset({"sqlite", "postgresql", "postgres", "redis", "rediss"})
_KEY_IN_PATH: Final = re.compile(r"(?<=/)(?=[^/]*\d)[0-9A-Za-z_-]{20,}(?=/|$)")
_NO_PORT: Final = re.compile(r"(?<=:)(?!\d+(?:,|$))[^,\[\]]+(?=,|$)")  # a password whose @ was forgotten
_DSN_SECRET: Final = re.compile(r"(\bpass\w*\s*=\s*)(?:'(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE)


def printable(text: str, *, keep: str = "") -> str:
    """Return the text so that it cannot move a cursor, forge lines or run backwards; ``keep`` are exceptions.

    Control characters (C0 and C1, so also the start of ANSI sequences) and those of formatting (the bidirectional ones
    among them) become escapes as in Python.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_json(text: str) -> str:
    """Return JSON on one line with escapes for what it lets stand: C1 and the characters of formatting."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def redacted(url: str) -> str:
    """Return the URL of a store or a node without credentials, for messages, files and logs.

    Hidden are passwords (but for stores, user names, too), every parameter but harmless ones, keys in the path, and the
    fragment. Where it is not clear which part of a text is what, more is hidden.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        hidden = _DSN_SECRET.sub(rf"\g<1>{HIDDEN}", url)
        return f"{HIDDEN}@{hidden.rpartition('@')[2]}" if "@" in hidden else hidden
    place, mark, query = rest.partition("?")
    if "@" in query:  # a password with a question mark, or a parameter with an at sign
        return f"{scheme}://{HIDDEN}"
    credentials, at, place = place.rpartition("@")
    place, fragment, _ = place.partition("#")
    server, slash, path = place.partition("/")
    place = f"{_NO_PORT.sub(HIDDEN, server)}{slash}{path}"
    query, fragment_of_query, _ = query.partition("#")
    name, colon, _ = credentials.partition(":")
    who = f"{name}{f':{HIDDEN}' if colon else ''}"
    if scheme.lower() not in _STORES:
        place, who = _KEY_IN_PATH.sub(HIDDEN, place), HIDDEN
    parameters = "&".join(_parameter(each) for each in query.split("&"))
    end = f"#{HIDDEN}" if fragment or fragment_of_query else ""
    return f"{scheme}://{who + at if at else ''}{place}{mark}{parameters}{end}"


def _parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not equals:
        return HIDDEN if text else ""
    return text if _HARMLESS.fullmatch(name) else f"{name}={HIDDEN}"
