"""Streams in a session, under every adapter: nothing goes out that is not signed for, and what went out is charged."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api_billing.metering.web.asgi import MeterMiddleware
from api_billing.metering.web.delivery import StreamCut

from .paying import Shop, open_shop
from .subjects import ADAPTERS, Subject, subject_of
from .terms import BASE_WEI, CHUNKS, MORE_WEI, TERMS
from .test_asgi import CONNECT, SOCKET, START, Wire, app_sending, body, play, scope
from .test_wsgi import Server

FIRST_WEI = BASE_WEI + len(CHUNKS[0])
TWO_WEI = FIRST_WEI + len(CHUNKS[1])
ALL_WEI = BASE_WEI + len(b"".join(CHUNKS))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Its estimate is for the first piece of a stream."""
    monkeypatch.setitem(TERMS, "estimate_wei", FIRST_WEI)
    with open_shop() as shop:
        yield shop


@pytest.fixture(params=ADAPTERS)
def subject(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Subject]:
    with subject_of(request.param, shop.meter) as subject:
        yield subject


@pytest.mark.parametrize(
    ("signed_wei", "pieces", "cost_wei"),
    [(FIRST_WEI, 1, FIRST_WEI), (TWO_WEI, 2, TWO_WEI), (ALL_WEI - 1, 2, TWO_WEI), (ALL_WEI, 3, ALL_WEI)],
)
def test_stream__that_outgrows_its_estimate__goes_as_far_as_is_signed(
    shop: Shop, subject: Subject, signed_wei: int, pieces: int, cost_wei: int
) -> None:
    reply = subject.get("/stream", shop.by_voucher(signed_wei))
    assert (reply.status, reply.body) == (200, b"".join(CHUNKS[:pieces]))
    (record,) = shop.records
    assert (record.state, record.charged_wei, record.uncollected_wei) == ("settled", cost_wei, 0)
    assert record.outcome.error == ("unpaid" if pieces < len(CHUNKS) else "")
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (cost_wei, 0)


def test_stream__of_an_application_that_finds_out__goes_as_far_as_is_signed(shop: Shop, subject: Subject) -> None:
    reply = subject.get("/growing", shop.by_voucher(TWO_WEI + 2 * MORE_WEI))
    assert reply.body == b"".join(CHUNKS[:2])
    assert shop.channel.charged_wei == TWO_WEI + 2 * MORE_WEI


# --- message by message, and piece by piece


def asked(shop: Shop, signed_wei: int, **given: Any) -> dict[str, Any]:
    """A scope with a voucher."""
    headers = [(name.lower().encode(), value.encode()) for name, value in shop.by_voucher(signed_wei).items()]
    return {**scope(), "headers": headers, **given}


async def test_asgi__piece_that_is_not_paid_for__ends_the_response_and_tells_the_sender(shop: Shop) -> None:
    wire, told = Wire(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for chunk in CHUNKS:
            try:
                await send(body(chunk, more=True))
            except OSError as error:
                told.append(type(error))

    await play(shop.meter, app, wire, asked(shop, FIRST_WEI))
    assert wire.sent[1:] == [body(CHUNKS[0], more=True), body(b"")]
    assert told == [StreamCut, StreamCut]
    assert shop.channel.charged_wei == FIRST_WEI


async def test_asgi__application_that_falls_by_the_end__is_no_failure(shop: Shop) -> None:
    wire = Wire()
    await play(
        shop.meter, app_sending(START, *[body(chunk, more=True) for chunk in CHUNKS]), wire, asked(shop, TWO_WEI)
    )
    assert wire.sent[1:] == [*[body(chunk, more=True) for chunk in CHUNKS[:2]], body(b"")]


@pytest.mark.parametrize("within", [False, True])
def test_middleware_of_starlette__around_or_within__lets_a_stream_end_where_it_is_paid_to(
    shop: Shop, within: bool
) -> None:
    class Other(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    async def stream(request: Any) -> StreamingResponse:
        return StreamingResponse(iter(CHUNKS))

    metered = Middleware(MeterMiddleware, metering=shop.meter.metering(**TERMS))
    middleware = [metered, Middleware(Other)] if within else [Middleware(Other), metered]
    app = Starlette(routes=[Route("/it", stream)], middleware=middleware)
    assert TestClient(app).get("/it", headers=shop.by_voucher(TWO_WEI)).content == b"".join(CHUNKS[:2])
    assert shop.channel.charged_wei == TWO_WEI


async def test_asgi__first_piece_that_is_not_paid_for__ends_a_response_that_has_begun(shop: Shop) -> None:
    wire = Wire()
    await play(shop.meter, app_sending(START, body(b"x" * 500, more=True)), wire, asked(shop, FIRST_WEI))
    assert wire.sent[1:] == [body(b"")]
    assert shop.channel.charged_wei == BASE_WEI


@pytest.mark.parametrize("pieces", [[body(b"x" * 50)], [body(b"x" * 25, more=True), body(b"x" * 25)]])
async def test_asgi__response_of_a_known_length__is_whole_and_costs_at_most_its_estimate(
    shop: Shop, pieces: list[Any]
) -> None:
    known = {**START, "headers": [(b"content-length", b"50")]}
    wire = Wire()
    await play(shop.meter, app_sending(known, *pieces), wire, asked(shop, 1000))
    assert wire.sent[1:] == pieces
    assert shop.channel.charged_wei == FIRST_WEI


async def test_websocket__message_that_is_not_paid_for__closes_the_connection(shop: Shop) -> None:
    wire = Wire([CONNECT])
    given = {**asked(shop, TWO_WEI), **SOCKET, "headers": asked(shop, TWO_WEI)["headers"]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        for chunk in CHUNKS:
            await send({"type": "websocket.send", "bytes": chunk})

    await play(shop.meter, app, wire, given, websockets=True)
    assert [message["type"] for message in wire.sent[1:]] == ["websocket.send", "websocket.send", "websocket.close"]
    assert wire.sent[-1]["code"] == 1008
    assert shop.channel.charged_wei == TWO_WEI


def test_wsgi__piece_written_that_is_not_paid_for__ends_the_response(shop: Shop) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        for chunk in CHUNKS:
            write(chunk)
        return []

    (voucher,) = shop.by_voucher(FIRST_WEI).values()
    server = Server(shop.meter, app, HTTP_PAYMENT_VOUCHER=voucher)
    assert server.run() == CHUNKS[0]
    assert shop.channel.charged_wei == FIRST_WEI


def test_wsgi__stream_that_ends_early__closes_what_made_it(shop: Shop) -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield from CHUNKS
        finally:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()

    (voucher,) = shop.by_voucher(FIRST_WEI).values()
    server = Server(shop.meter, app, HTTP_PAYMENT_VOUCHER=voucher)
    assert (server.run(), closed) == (CHUNKS[0], [True])
