"""Any WSGI application, metered: ``MeteredWSGI(app, metering)``.

The status line waits for the first piece of the body. A response that is complete with it is settled first and carries
what it cost; a streamed one goes out as it comes, and is settled at its end, or when the server closes it early.

A request is metered once: what is metered further inside is left alone. A server's file wrapper is read piece by piece.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import wsgi_request
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.settlement import Fields, Settlement

EXCHANGE_KEY: Final = "api_billing.exchange"

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_CHUNK: Final = 65_536
_END: Final = object()

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
        if EXCHANGE_KEY in environ or not metering.covers(environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")):
            return self.app(environ, start_response)
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
            return response.first(self.app(environ, response.start))
        except BaseException as error:
            response.fail(error)
            raise


class _Response:
    """A response on its way: an iterable for the server, which counts, settles and closes."""

    def __init__(self, exchange: Exchange, start_response: StartResponse) -> None:
        self._exchange = exchange
        self._start_response = start_response
        self._head = exchange.request.method == "HEAD"
        self._settlement = Settlement(exchange)
        self._status = ""
        self._headers: Fields = []
        self._started = False  # the status line has gone to the server
        self._taken = False  # and so has a piece of the body
        self._write: Callable[[bytes], object] | None = None
        self._result: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self._ahead: object = _END
        self._length: int | None = None

    # --- for the application

    def start(self, status: str, headers: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
        """``start_response`` (PEP 3333)."""
        if self._started:
            # The server raises the error again, as the status line is out; without one it says that this is wrong.
            return self._start_response(status, headers, exc_info)
        try:
            if self._status and exc_info is None:
                raise AssertionError("start_response was called twice without exc_info")
            self._status = status
            self._headers = list(headers)
            self._length = declared_length(self._headers)
            self._settlement.started(int(status[:3]), self._headers, bodiless=self._head)
        finally:
            exc_info = None  # or it would keep its frames alive, and with them itself
        return self._write_piece

    def _write_piece(self, piece: bytes) -> object:
        if not self._started:
            self._pass_start(self._exchange.start_fields())
        self._settlement.sent(piece)
        self._taken = True
        assert self._write is not None
        return self._write(piece)

    # --- for the server

    def first(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """Take what the application returned, up to the first piece of its body."""
        self._result = result
        self._pieces = iter(result)
        piece = next(self._pieces, _END)
        while piece == b"":
            piece = next(self._pieces, _END)
        self._ahead = piece
        if not self._status:
            raise AssertionError("the application did not call start_response before its body")
        if not self._started:
            if self._is_whole(piece):
                self._settlement.sent(piece if isinstance(piece, bytes) else b"")
                self._pass_start(self._settlement.finish())
            else:
                self._pass_start(self._exchange.start_fields())
        return self

    def _is_whole(self, piece: object) -> bool:
        if piece is _END or self._settlement.bodiless:
            return True
        assert isinstance(piece, bytes)
        if self._length is not None:
            return len(piece) >= self._length
        return isinstance(self._result, list | tuple) and len(self._result) == 1

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._ahead
        try:
            if piece is _END:
                piece = next(self._pieces, _END)
            self._ahead = _END
        except BaseException as error:
            self._settlement.abort(error)
            raise
        self._taken = True
        if piece is _END:
            self._settlement.finish()
            raise StopIteration
        assert isinstance(piece, bytes)
        self._settlement.sent(piece)
        if self._length is not None and self._settlement.body_bytes >= self._length:
            self._settlement.finish()
        return piece

    def close(self) -> None:
        """The server is done with it: at the end, or as the client has gone away."""
        try:
            self._settlement.close(served=self._taken)
        finally:
            self._close_result()

    def fail(self, error: BaseException) -> None:
        """The application raised before the server had anything; nobody but us can close what it returned."""
        try:
            self._settlement.abort(error)
        finally:
            self._close_result()

    def _close_result(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()

    def _pass_start(self, fields: Fields) -> None:
        self._started = True
        self._write = self._start_response(self._status, [*self._headers, *fields])


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


def declared_length(headers: Iterable[tuple[str, str]]) -> int | None:
    """The Content-Length of a response, None when it declares none."""
    for name, value in headers:
        if name.lower() == "content-length":
            return int(value) if value.isascii() and value.isdigit() else None
    return None


def read_input(environ: Environ, limit: int) -> bytes | None:
    """Read the request's body and put it back for the application; None when it breaks off or is over the limit."""
    length = environ.get("CONTENT_LENGTH") or ""
    source = environ["wsgi.input"]
    if not length and not environ.get("wsgi.input_terminated") and not environ.get("HTTP_TRANSFER_ENCODING"):
        return b""
    try:
        wanted = int(length) if length else limit + 1
        if wanted < 0 or (length and wanted > limit):
            return None
        body = _read(source, wanted)
    except Exception as error:
        _log.info("the body of a request could not be read: %r", error)
        return None
    if len(body) != wanted if length else len(body) > limit:
        return None
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _read(source: Any, wanted: int) -> bytes:
    parts: list[bytes] = []
    missing = wanted
    while missing > 0:
        part = source.read(min(missing, _CHUNK))
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
