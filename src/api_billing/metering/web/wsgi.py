"""Any WSGI application, metered: ``MeteredWSGI(app, metering)``.

The status line waits for the first piece of the body. A response that is complete with it is settled first and carries
what it cost; a streamed one goes out as it comes, and is settled at its end, or when the server closes it early.

A request is metered once, on the terms nearest to its handler. A server's file wrapper is read piece by piece.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, MutableMapping
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, Final

from api_billing.metering.errors import NotAllowed
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import BodyTooLarge, TextHeaders, WsgiHeaders, wsgi_request
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.delivery import EXCHANGE_KEY, Delivery, StreamCut, is_metered, metered_pieces
from api_billing.metering.web.fields import merged
from api_billing.metering.web.preflights import bare, is_preflight

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_CHUNK: Final = 65_536
_MAX_DIGITS: Final = 20

_log = logging.getLogger("api_billing.metering.web")


class MeteredWSGI:
    """A WSGI application in front of another one, each of whose requests is metered.

    ``route`` tells the route of an environ for budgets and the audit log; the path when it is not given.
    """

    def __init__(self, app: WsgiApp, metering: Metering, *, route: Callable[[Environ], str] | None = None) -> None:
        self.app = app
        self.metering = metering
        self._route = route

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        metering = self.metering
        place = environ.get("PATH_INFO", ""), environ.get("SCRIPT_NAME", "")
        if not metering.covers(environ["REQUEST_METHOD"], *place) or is_metered(environ, metering):
            return self.app(environ, start_response)
        if is_preflight(metering, environ["REQUEST_METHOD"], lambda: WsgiHeaders(environ)):
            return _without_body(self.app, environ, start_response)
        meter = metering.meter
        route = self._route(environ) if self._route is not None else ""
        limit = meter.settings.max_fingerprint_bytes
        request = wsgi_request(environ, at_ms=meter.now_ms(), route=route, body=lambda: read_input(environ, limit))
        exchange = Exchange(metering, request)
        answer = exchange.begin()
        if answer is not None:
            return send_answer(answer, start_response, head=request.method == "HEAD")
        environ[EXCHANGE_KEY] = exchange
        response = _Response(exchange, start_response)
        try:
            return response.pieces(self.app(environ, response.begin))
        except BaseException as error:
            response.fail(error)
            if isinstance(error, NotAllowed) and not response.is_passed:
                return send_answer(Answer(*error.answer), start_response, head=request.method == "HEAD")
            if response.cut and isinstance(error, Exception):
                return []
            raise


class _Response(Delivery):
    """What the application says of its response, until its body is handed to the server piece by piece."""

    __slots__ = ("_fields", "_result", "_start_response", "_status_line", "_write")

    def __init__(self, exchange: Exchange, start_response: StartResponse) -> None:
        super().__init__(exchange)
        self._start_response = start_response
        self._status_line = ""
        self._fields: Fields = []
        self._write: Callable[[bytes], object] | None = None  # the status line has gone to the server
        self._result: Iterable[bytes] = ()

    @property
    def is_passed(self) -> bool:
        """Whether the server has the status line."""
        return self._write is not None

    def begin(self, status: str, headers: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
        """``start_response`` (PEP 3333), for the application."""
        if self._write is not None:
            # The server raises the error again, as the status line is out; without one it says that this is wrong.
            return self._start_response(status, headers, exc_info)
        try:
            if self._status_line and exc_info is None:
                raise AssertionError("start_response was called twice without exc_info")
            self._status_line, self._fields = status, list(headers)
            self.start(int(status[:3]), TextHeaders(self._fields))
        finally:
            exc_info = None  # or it would keep its frames alive, and with them itself
        return self._write_piece

    def _write_piece(self, piece: bytes) -> object:
        write = self._write or self._pass_start(self.exchange.start_fields(self.status, self.length))
        if self.exchange.is_bounded and not self.pays(piece):
            self.cut_off()
            self.finish()
            write(self.receipt_event())
        if self.cut:
            raise StreamCut("nothing more of this response is paid for")
        self.count(piece)
        return write(piece)

    def pieces(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """What the application returned, for the server; taken up to the first piece of its body."""
        self._result = result
        rest = iter(result)
        ahead = list(islice((piece for piece in rest if piece), 1))
        if not self._status_line:
            raise AssertionError("the application did not call start_response before its body")
        if self._write is None:
            if not ahead or self._is_whole(ahead[0]):
                self.count(b"".join(ahead))
                self._pass_start(self.finish())
            else:
                self._pass_start(self.exchange.start_fields(self.status, self.length))
        return metered_pieces(chain(ahead, rest), self, result)

    def _is_whole(self, piece: bytes) -> bool:
        if self.bodiless:
            return True
        if self.length is not None:
            return len(piece) >= self.length
        return isinstance(self._result, list | tuple) and len(self._result) == 1

    def fail(self, error: BaseException) -> None:
        """The application raised before the server had anything; nobody but us can close what it returned."""
        try:
            self.abort(error)
        finally:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()

    def _pass_start(self, fields: Fields) -> Callable[[bytes], object]:
        self._write = self._start_response(self._status_line, merged(self._fields, fields))
        return self._write


def _without_body(app: WsgiApp, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """What the application answers, without its body."""

    def begin(status: str, headers: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
        start_response(status, bare(int(status[:3]), headers), exc_info)
        return lambda piece: None

    result = app(environ, begin)
    try:
        next(iter(result), None)  # some begin with their first piece
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    return []


def send_answer(answer: Answer, start_response: StartResponse, *, head: bool = False) -> list[bytes]:
    """Send a whole response of the meter's own."""
    start_response(status_line(answer.status), list(answer.headers))
    return [] if head else [answer.body]


def status_line(status: int) -> str:
    """The status with its phrase; one that has none is still a valid line."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Status"


def read_input(environ: Environ, limit: int) -> bytes | None:
    """Read the request's body and put it back for the application; None when it breaks off. Raises: BodyTooLarge."""
    length = environ.get("CONTENT_LENGTH") or ""
    source = environ["wsgi.input"]
    if not length and not environ.get("wsgi.input_terminated") and not environ.get("HTTP_TRANSFER_ENCODING"):
        return b""
    if length and not length.isdecimal():
        return None
    size = int(length[:_MAX_DIGITS]) if length else limit + 1
    if length and size > limit:
        raise BodyTooLarge
    try:
        body = _read(source, size)
    except Exception as error:
        _log.debug("the body of a request could not be read: %r", error)
        return None
    if len(body) > limit:
        environ["wsgi.input"] = io.BufferedReader(_Begun(io.BytesIO(body), source))
        raise BodyTooLarge
    environ["wsgi.input"] = io.BytesIO(body)
    return body if len(body) == size or not length else None


class _Begun(io.RawIOBase):
    """A body of which something was read, from its beginning."""

    def __init__(self, *sources: Any) -> None:
        self._sources = list(sources)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = b""
        while self._sources and not (piece := self._sources[0].read(len(buffer))):
            del self._sources[0]
        buffer[: len(piece)] = piece
        return len(piece)


def _read(source: Any, size: int) -> bytes:
    parts: list[bytes] = []
    missing = size
    while missing > 0:
        part = source.read(min(missing, _CHUNK))
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
