"""A request and a response as the meter sees them, whatever the framework. Nothing is parsed before it is asked for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import parse_qs, quote, unquote_plus

from api_billing.metering.addresses import TrustedProxies, spelled
from api_billing.metering.observing.logs import safe_request_id
from api_billing.metering.stores.steps import Steps, is_waiting

MAX_QUERY_FIELDS: Final = 1000
BODILESS: Final = frozenset({204, 304})  # statuses of responses that have no body
_MAX_DIGITS: Final = 20
_MAX_URL: Final = 2_048
_IN_PATHS: Final = "/:@!$&'()*+,;=~"


class BodyWanted(BaseException):
    """A callable of the terms asks for a body that has not been read: the flow reads it, and calls again. No Exception,
    so that what catches those in the callable lets it pass.
    """


class BodyTooLarge(Exception):
    """A body is longer than is read of one. What came of it is still there for the application, where it can be."""


def within(limit: int, body: bytes) -> bytes:
    """A body of at most so many bytes. Raises: BodyTooLarge."""
    if len(body) > limit:
        raise BodyTooLarge
    return body


# Reads the whole body: None when it cannot be read (the client went away, consumed by somebody else). Raises:
# BodyTooLarge.
BodySource = Callable[[], "bytes | Awaitable[bytes | None] | None"]


class Headers:
    """A case-insensitive multi-map of header fields. Ask with lower-case names."""

    __slots__ = ()

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        raise NotImplementedError

    def pairs(self) -> list[tuple[str, str]]:
        """All fields in order, names in lower case."""
        raise NotImplementedError

    def first(self, name: str) -> str | None:
        """The first value of a field, None when there is none."""
        values = self.all(name)
        return values[0] if values else None

    def content_length(self) -> int | None:
        """The Content-Length; None when there is none, or none that is a number."""
        text = self.first("content-length")
        return int(text) if text and len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit() else None

    def let_go(self) -> None:
        """Forget what refers back to the request."""


class AsgiHeaders(Headers):
    """Byte pairs as ASGI has them: names in lower case, values in Latin-1."""

    __slots__ = ("_last", "_pairs")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs if isinstance(pairs, list | tuple) else list(pairs)
        # The last value of each field: most that is asked for is not there.
        self._last: dict[bytes, bytes] | None = None

    def all(self, name: str) -> list[str]:
        field = name.encode("latin-1")
        if self._last is None:
            self._last = dict(self._pairs)
        if field not in self._last:
            return []
        return [value.decode("latin-1") for key, value in self._pairs if key == field]

    def first(self, name: str) -> str | None:
        field = name.encode("latin-1")
        for key, value in self._pairs:
            # Applications may not care about the case of what they send.
            if key == field or (len(key) == len(field) and key.lower() == field):
                return value.decode("latin-1")
        return None

    def pairs(self) -> list[tuple[str, str]]:
        return [(key.decode("latin-1").lower(), value.decode("latin-1")) for key, value in self._pairs]


class WsgiHeaders(Headers):
    """A WSGI environ. A server has joined fields of one name with commas, and cannot tell ``X_Y`` from ``X-Y``.

    (gunicorn, uWSGI and mod_wsgi drop names with underscores; a server that does not must not be trusted with identity
    in a header that a proxy sets.)
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def all(self, name: str) -> list[str]:
        value = self._environ.get(_environ_key(name))
        return [] if value is None or value == "" else [str(value)]

    def pairs(self) -> list[tuple[str, str]]:
        fields = []
        for key, value in self._environ.items():
            if key.startswith("HTTP_"):
                fields.append((key[5:].replace("_", "-").lower(), str(value)))
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
                fields.append((key.replace("_", "-").lower(), str(value)))
        return fields

    def let_go(self) -> None:
        self._environ = {}


@lru_cache(256)  # names come from code and settings, never from clients
def _environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


class TextHeaders(Headers):
    """Pairs of text in any case, as WSGI responses and most frameworks have them."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = pairs if isinstance(pairs, list | tuple) else list(pairs)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key.lower() == name]

    def pairs(self) -> list[tuple[str, str]]:
        return [(key.lower(), value) for key, value in self._pairs]


def query_without(query: bytes, name: str) -> bytes:
    """The query as it is without the parameter of this name: what says who asks, and not for what."""
    if not name:
        return query
    parts = [part for part in query.split(b"&") if unquote_plus(part.partition(b"=")[0].decode("latin-1")) != name]
    return b"&".join(parts)


class MeteredRequest:
    """What is known of a request before it is served.

    ``path`` is decoded, ``route`` the pattern it matched (``/users/{id}``; the path when nothing matched), ``query``
    raw, ``client`` the peer's address (``address`` is the client's), ``at_ms`` when it came in, ``scheme`` that of its
    URL as the server knows it. ``native`` is the framework's own request, for own callables.

    Callables of the terms ask for the body with ``content`` and ``json``, sync and async ones alike. One that is the
    first to ask is called a second time, when the body has been read.
    """

    __slots__ = (
        "_address",
        "_body",
        "_fields",
        "_parsed",
        "at_ms",
        "body_read",
        "client",
        "headers",
        "is_begun",
        "is_too_large",
        "lacks_body",
        "method",
        "native",
        "path",
        "proxies",
        "query",
        "route",
        "scheme",
    )

    def __init__(
        self,
        method: str,
        path: str,
        headers: Headers,
        *,
        route: str = "",
        query: bytes = b"",
        client: str = "",
        at_ms: int = 0,
        body: bytes | BodySource | None = None,
        native: Any = None,
        scheme: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.route = route or path
        self.query = query
        self.client = client
        self.at_ms = at_ms
        self.native = native
        self.scheme = scheme or "http"
        self._body: bytes | BodySource | None = body
        self._fields: dict[str, list[str]] | None = None
        self.proxies: TrustedProxies | None = None  # who may say for whom they ask; the meter knows
        self._address: str | None = None
        self._parsed: Any = BodyWanted  # the body's JSON, once it was asked for
        self.body_read = not callable(body)
        self.is_begun = False  # nothing more is read before serving
        self.is_too_large = False  # its body, as reading it has shown
        self.lacks_body = False  # the callable that is being asked has asked for it, whatever it made of that

    @property
    def request_id(self) -> str:
        """The client's or gateway's ``X-Request-ID`` when it can do no harm; else empty: records have an id anyway."""
        values = self.headers.all("x-request-id")
        return safe_request_id(values, str) if values else ""

    @property
    def address(self) -> str:
        """The address that the request is from, as the meter believes it: the peer's, or what a trusted proxy says.
        Empty when there is none.
        """
        if self._address is None:
            proxies = self.proxies
            if proxies is None:
                self._address = spelled(self.client)
            else:
                self._address = proxies.client(self.client, self.headers.all(proxies.field))
        return self._address

    def url(self, without: str = "") -> str:
        """As the client wrote it, as far as that is known, and as long as it is no joke: the host is what it says.
        ``without`` the query parameter of this name, as one that has a key.
        """
        query = query_without(self.query, without).decode("latin-1")
        query = f"?{query}" if query else ""
        host = self.headers.first("host") or "localhost"
        return f"{self.scheme}://{host}{quote(self.path, safe=_IN_PATHS, errors='replace')}{query}"[:_MAX_URL]

    def query_values(self, name: str) -> list[str]:
        """Every value of a query parameter. Raises: ValueError for what is not UTF-8, and for too many parameters.

        Bytes that are no UTF-8 are not replaced: two names of consumers must not become one.
        """
        if self._fields is None:
            text = self.query.decode("ascii")
            self._fields = (
                parse_qs(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict") if text else {}
            )
        return self._fields.get(name, [])

    def content(self) -> bytes:
        """The whole body, for callables of the terms. A form that a framework has parsed before has its names and
        values in place of that (``native`` has the form). One that cannot be read, or is too long, is refused.

        Raises: RuntimeError once the request is being served, if nothing has read it before (``reads_body``).
        """
        body = self.body
        if body is None:
            if self.is_begun:
                raise RuntimeError("the body was not read before serving: set reads_body=True in the terms")
            self.lacks_body = True
            raise BodyWanted
        return body

    def json(self) -> Any:
        """The body's JSON, parsed once. Raises: ValueError for what is none; RuntimeError as ``content``."""
        if self._parsed is BodyWanted:
            self._parsed = json.loads(self.content())
        return self._parsed

    @property
    def body(self) -> bytes | None:
        """The body when it was read (``body_read``) and could be; see ``read_body``."""
        return cast("bytes | None", self._body) if self.body_read else None

    def read_body(self) -> Steps[bytes | None]:
        """Read the body once and keep it; None when it cannot be read. A flow: ``body = yield from …``."""
        if not self.body_read:
            try:
                got = cast(BodySource, self._body)()
                read = (yield cast("Awaitable[bytes | None]", got)) if is_waiting(got) else got
            except BodyTooLarge:
                read, self.is_too_large = None, True
            self._body = cast("bytes | None", read)
            self.body_read = True
        return self.body

    def let_go(self) -> None:
        """Forget the framework's objects and the body that was not read: nobody asks for them any more.

        They lead to the scope or environ, and that leads here: a circle that only the garbage collector could free,
        with all that a request has, so that each next one would work in memory that no cache knows.
        """
        self.native = None
        self.headers.let_go()
        if not self.body_read:
            self._body, self.body_read = None, True


@dataclass(slots=True)
class MeteredResponse:
    """What is known of a response once it has been sent.

    ``body_bytes`` counts what was sent, ``body`` has it only when it was buffered. ``started_ms`` is when the first
    byte went out, ``duration_ms`` how long serving took from the request's arrival to the last byte.
    ``watcher`` is what a price that wants to see the body had it shown to (``prices.Watching``).
    """

    status: int
    headers: Headers
    body_bytes: int = 0
    body: bytes | None = None
    started_ms: int = 0
    duration_ms: int = 0
    watcher: Any = None


def asgi_request(
    scope: Mapping[str, Any], *, at_ms: int, route: str = "", body: bytes | BodySource | None = None, native: Any = None
) -> MeteredRequest:
    """Wrap an ASGI HTTP scope."""
    peer = scope.get("client")
    return MeteredRequest(
        scope["method"],
        scope["path"],
        AsgiHeaders(scope["headers"]),
        route=_with_mount(scope, route) if "app_root_path" in scope else route,
        query=scope.get("query_string", b""),
        client=peer[0] if peer else "",
        at_ms=at_ms,
        body=body,
        native=native,
        scheme=scope.get("scheme", ""),
    )


def _with_mount(scope: Mapping[str, Any], pattern: str) -> str:
    """A pattern behind the path that its application is mounted at within another: others have the same pattern. Not
    behind one with parameters, as clients choose these.
    """
    mount: str = scope["root_path"][len(scope["app_root_path"]) :]
    is_fixed = all(f"{{{name}}}" in pattern or f"{{{name}:" in pattern for name in scope.get("path_params", ()))
    return f"{mount}{pattern}" if pattern.startswith("/") and is_fixed else pattern


def wsgi_request(
    environ: Mapping[str, Any],
    *,
    at_ms: int,
    route: str = "",
    body: bytes | BodySource | None = None,
    native: Any = None,
) -> MeteredRequest:
    """Wrap a WSGI environ (PEP 3333: its text is bytes as Latin-1)."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return MeteredRequest(
        environ["REQUEST_METHOD"],
        path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace"),
        WsgiHeaders(environ),
        route=route,
        query=environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
        client=environ.get("REMOTE_ADDR", ""),
        at_ms=at_ms,
        body=body,
        native=native,
        scheme=environ.get("wsgi.url_scheme", ""),
    )


def cost_field(charged_wei: int) -> tuple[str, str]:
    """What the request cost (or, before a streamed body, at most costs): ``X-Cost-Wei``."""
    return ("x-cost-wei", str(charged_wei))


def renamed(fields: Iterable[tuple[str, str]], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Header fields under the names that a meter's settings give them."""
    return [(names.get(name, name), value) for name, value in fields if names.get(name, name)]


REPLAYED: Final = ("idempotency-replayed", "true")
