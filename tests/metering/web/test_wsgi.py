"""Plain WSGI, checked by the standard library's validator on both sides of the meter."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from api_billing.metering.meter import Meter
from api_billing.metering.web.wsgi import MeteredWSGI

from .terms import BASE_WEI, TERMS, Boom

TEXT = [("Content-Type", "text/plain")]


class Server:
    """A WSGI server for one request: what it was told, what it sent."""

    def __init__(self, meter: Meter, app: Any, *, valid: bool = True, **environ: Any) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.starts: list[tuple[str, Any]] = []
        self.environ: dict[str, Any] = {"HTTP_X_CONSUMER": "ann", "QUERY_STRING": "", **environ}
        setup_testing_defaults(self.environ)
        metered = MeteredWSGI(validator(app) if valid else app, meter.metering(**TERMS))
        self.app = validator(metered) if valid else metered

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and self.sent:
            raise exc_info[1]
        self.status, self.headers = status, {name.lower(): value for name, value in headers}
        self.starts.append((status, exc_info))
        return self.sent.append

    def begin(self) -> Any:
        return self.app(self.environ, self.start_response)

    def run(self) -> bytes:
        result = self.begin()
        try:
            for piece in result:
                assert self.status, "the status comes before the body"
                self.sent.append(piece)
        finally:
            if hasattr(result, "close"):
                result.close()
        return b"".join(self.sent)


def money(meter: Meter) -> tuple[int, int]:
    balance = meter.balance("ann")
    return balance.reserved_wei, balance.charged_wei


def app_of(result: Callable[[], Iterable[bytes]], *more: tuple[str, str]) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, *more])
        return result()

    return app


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        (lambda: [b"four"], []),
        (lambda: [b"fo", b"ur"], []),
        (lambda: iter([b"four"]), [("Content-Length", "4")]),
        (lambda: iter([b"", b"fo", b"", b"ur"]), []),
    ],
    ids=["whole", "pieces", "declared", "with empty ones"],
)
def test_body__in_any_form__is_charged_by_its_length(meter: Meter, result: Any, fields: Any) -> None:
    assert Server(meter, app_of(result, *fields)).run() == b"four"
    assert money(meter) == (0, BASE_WEI + 4)


@pytest.mark.parametrize(("fields", "known"), [([("Content-Length", "4")], True), ([], False)])
def test_cost__of_a_response__is_shown_when_it_is_known_in_time(meter: Meter, fields: Any, known: bool) -> None:
    server = Server(meter, app_of(lambda: iter([b"four"]), *fields))
    server.run()
    assert ("x-cost-wei" in server.headers) == known


def test_empty_body__is_charged_the_base_price(meter: Meter) -> None:
    server = Server(meter, app_of(list))
    assert server.run() == b""
    assert (server.headers["x-cost-wei"], money(meter)) == (str(BASE_WEI), (0, BASE_WEI))


def test_stream__with_a_declared_length__is_settled_before_its_last_piece(meter: Meter) -> None:
    result = Server(meter, app_of(lambda: iter([b"fo", b"ur"]), ("Content-Length", "4"))).begin()
    next(pieces := iter(result))
    assert money(meter) == (TERMS["estimate_wei"], 0)
    assert next(pieces) == b"ur"
    assert money(meter) == (0, BASE_WEI + 4)
    result.close()


def test_stream__closed_by_the_server__is_charged_as_far_as_it_went(meter: Meter) -> None:
    closed: list[bool] = []

    def body() -> Iterator[bytes]:
        try:
            yield b"four"
            yield b"more"
        finally:
            closed.append(True)

    result = Server(meter, app_of(body)).begin()
    assert next(iter(result)) == b"four"
    result.close()
    assert (closed, money(meter)) == ([True], (0, BASE_WEI + 4))


def test_stream__closed_before_a_piece_was_taken__costs_nothing(meter: Meter) -> None:
    result = Server(meter, app_of(lambda: iter([b"fo", b"ur"])), valid=False).begin()
    result.close()
    assert money(meter) == (0, 0)


class Breaking:
    """A body that breaks off, and knows whether it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        for piece in self.pieces:
            return piece
        raise Boom

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("pieces", [[], [b"some"]], ids=["at once", "in the middle"])
def test_body__that_breaks_off__costs_nothing_and_is_closed_once(meter: Meter, pieces: list[bytes]) -> None:
    body = Breaking(pieces)
    with pytest.raises(Boom):
        Server(meter, app_of(lambda: body), valid=False).run()
    assert (body.closed, money(meter)) == (1, (0, 0))


def test_start_response__within_a_generator__is_heard(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("201 Created", TEXT)
        yield b"four"

    server = Server(meter, app)
    assert (server.run(), server.status) == (b"four", "201 Created")


def test_write__by_an_old_application__is_counted(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"fo")
        write(b"ur")
        return [b" more"]

    assert Server(meter, app).run() == b"four more"
    assert money(meter) == (0, BASE_WEI + 9)


def test_start__again_with_exc_info_before_the_body__replaces_the_first(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise Boom
        except Boom:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"broken"]

    server = Server(meter, app)
    assert (server.run(), server.status) == (b"broken", "500 Oops")
    assert money(meter) == (0, 0)


def test_start__again_with_exc_info_within_the_body__raises_as_the_server_does(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"some"
        try:
            raise Boom
        except Boom:
            start_response("500 Oops", TEXT, sys.exc_info())

    with pytest.raises(Boom):
        Server(meter, app).run()
    assert money(meter) == (0, 0)


def test_start__again_without_exc_info__is_an_error_of_the_application(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return []

    with pytest.raises(AssertionError, match="exc_info"):
        Server(meter, app, valid=False).run()


def test_application__that_never_starts__is_an_error_and_costs_nothing(meter: Meter) -> None:
    with pytest.raises(AssertionError, match="start_response"):
        Server(meter, lambda environ, start: [b"x"], valid=False).run()
    assert money(meter) == (0, 0)


def test_file__through_the_servers_wrapper__is_charged_by_its_length(meter: Meter) -> None:
    file = io.BytesIO(b"x" * 100_000)
    meter.grant("ann", 10**6, grant_id="more")
    app = app_of(lambda: FileWrapper(file, 4096))
    server = Server(meter, app, valid=False, **{"wsgi.file_wrapper": FileWrapper})
    assert len(server.run()) == 100_000
    assert money(meter) == (0, BASE_WEI + 100_000)
    assert file.closed


class Torn(io.RawIOBase):
    """A connection that breaks while the body is read."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError


@pytest.mark.parametrize(
    "environ",
    [
        {"CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"fo")},
        {"CONTENT_LENGTH": "4", "wsgi.input": Torn()},
        {"CONTENT_LENGTH": "many", "wsgi.input": io.BytesIO(b"fo")},
        {"CONTENT_LENGTH": "-1", "wsgi.input": io.BytesIO(b"fo")},
    ],
    ids=["short", "torn", "no number", "negative"],
)
def test_body__that_cannot_be_read__is_refused_with_a_key(meter: Meter, environ: dict[str, Any]) -> None:
    server = Server(meter, None, valid=False, REQUEST_METHOD="POST", HTTP_IDEMPOTENCY_KEY="k", **environ)
    assert b"unreadable_body" in server.run()
    assert server.status == "400 Bad Request"


def test_body__sent_in_chunks__is_read_and_given_on(meter: Meter) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    server = Server(
        meter, app, valid=False, REQUEST_METHOD="POST", HTTP_IDEMPOTENCY_KEY="k", HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input": io.BytesIO(b"four"), "wsgi.input_terminated": True},
    )  # fmt: skip
    assert server.run() == b"four"


def test_metering__within_metering__charges_once(meter: Meter) -> None:
    inner = MeteredWSGI(app_of(lambda: [b"four"]), meter.metering(**TERMS))
    Server(meter, inner, valid=False).run()
    assert money(meter) == (0, BASE_WEI + 4)
