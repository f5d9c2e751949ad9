"""Pure ASGI, message by message."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.testclient import TestClient

from api_billing.metering.ledger.operations import ListRecords, ReadBalance
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web.asgi import MeteredASGI
from api_billing.metering.web.delivery import _settling

from .subjects import ADAPTERS, by_starlette
from .terms import BASE_WEI, TERMS, Boom, open_meter

Message = dict[str, Any]
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
WHOLE: Message = {**START, "headers": [(b"content-length", b"4")]}
GONE: Message = {"type": "http.disconnect"}


@pytest.fixture
def meter() -> Iterator[Meter]:
    """A meter whose clock stands still: nobody is asked whether they have gone, as no time has passed."""
    with open_meter(clock_ms=lambda: 1_800_000_000_000) as meter:
        yield meter


def body(part: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": part, "more_body": more}


def request_body(part: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": part, "more_body": more}


class Wire:
    """A server: has the messages that come in, and those that went out. When there are no more, it waits."""

    def __init__(self, incoming: Sequence[Message] = ()) -> None:
        self.incoming = deque(incoming)
        self.sent: list[Message] = []
        self.waiting = asyncio.Event()

    async def receive(self) -> Message:
        if not self.incoming:
            self.waiting.set()
            await asyncio.Event().wait()
        return self.incoming.popleft()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def fields(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


def scope(method: str = "GET", **headers: str) -> dict[str, Any]:
    pairs = [(b"x-consumer", b"ann")]
    pairs += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/it", "query_string": b"", "headers": pairs, "client": None}


def app_sending(*messages: Message | BaseException) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return app


async def play(meter: Meter, app: Any, wire: Wire, given: dict[str, Any] | None = None, **options: Any) -> None:
    metered = MeteredASGI(app, meter.metering(**TERMS), **options)
    await metered(given or scope(), wire.receive, wire.send)


def money(meter: Meter) -> tuple[int, int]:
    balance = meter.balance("ann")
    return balance.reserved_wei, balance.charged_wei


async def test_start__of_a_whole_response__waits_for_the_settlement(meter: Meter) -> None:
    wire = Wire()
    charged_at: list[int] = []

    async def send(message: Message) -> None:
        charged_at.append(meter.balance("ann").charged_wei)
        wire.sent.append(message)

    await MeteredASGI(app_sending(WHOLE, body(b"four")), meter.metering(**TERMS))(scope(), wire.receive, send)
    assert charged_at == [BASE_WEI + 4] * 2
    assert wire.fields()["x-cost-wei"] == str(BASE_WEI + 4)


async def test_start__of_a_stream__goes_out_at_once(meter: Meter) -> None:
    wire = Wire()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        assert [message["type"] for message in wire.sent] == ["http.response.start"]
        for number in range(3):
            await send(body(b"x", more=True))
            assert len(wire.sent) == number + 2
        assert money(meter) == (TERMS["estimate_wei"], 0)
        await send(body(b""))

    await play(meter, app, wire)
    assert money(meter) == (0, BASE_WEI + 3)
    assert "x-cost-wei" not in wire.fields(), "it is not known when the start goes out"


async def test_body__as_long_as_declared__is_settled_before_an_empty_end(meter: Meter) -> None:
    wire = Wire()
    await play(meter, app_sending(WHOLE, body(b"four", more=True), body(b"")), wire)
    assert wire.fields()["x-cost-wei"] == str(BASE_WEI + 4)
    assert len(wire.sent) == 3


async def test_response__from_a_file_that_the_server_reads__is_charged_by_its_length(meter: Meter) -> None:
    wire = Wire()
    await play(meter, app_sending(WHOLE, {"type": "http.response.pathsend", "path": "/some/file"}), wire)
    assert money(meter) == (0, BASE_WEI + 4)
    assert wire.sent[1]["path"] == "/some/file"


async def test_response__that_never_ends__is_settled_when_the_application_returns(meter: Meter) -> None:
    await play(meter, app_sending(START, body(b"x", more=True)), Wire())
    assert money(meter) == (0, BASE_WEI + 1)


async def test_application__that_does_not_respond__costs_nothing(meter: Meter) -> None:
    wire = Wire()
    await play(meter, app_sending(), wire)
    assert (wire.sent, money(meter)) == ([], (0, 0))


async def test_start__without_a_body__goes_out_when_the_application_returns(meter: Meter) -> None:
    wire = Wire()
    await play(meter, app_sending(WHOLE), wire)
    assert [message["type"] for message in wire.sent] == ["http.response.start"]


async def test_exception__after_a_held_start__sends_nothing_and_costs_nothing(meter: Meter) -> None:
    wire = Wire()
    with pytest.raises(Boom):
        await play(meter, app_sending(WHOLE, Boom()), wire)
    assert (wire.sent, money(meter)) == ([], (0, 0))


async def test_exception__after_the_response_has_ended__changes_nothing(meter: Meter) -> None:
    with pytest.raises(Boom):
        await play(meter, app_sending(WHOLE, body(b"four"), Boom()), Wire())
    assert money(meter) == (0, BASE_WEI + 4)


@pytest.mark.parametrize("part_read", [False, True])
async def test_client__gone_before_the_response__costs_nothing(part_read: bool) -> None:
    times = iter(range(0, 10**6, 1000))
    with open_meter(clock_ms=lambda: next(times)) as meter:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if part_read:
                await receive()
            await send(WHOLE)
            await send(body(b"four"))

        wire = Wire([request_body(), GONE])
        await play(meter, app, wire)
        assert money(meter) == (0, 0)
        assert len(wire.sent) == 2, "what the application sends is the server's to drop"
        (record,) = meter.store.call(ListRecords())
        assert (record.state, record.outcome.error) == ("released", "ClientGone")


async def pass_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("layers", [0, 1, 4])
@pytest.mark.parametrize("adapter", [name for name, (_, by) in ADAPTERS.items() if by is by_starlette])
async def test_client__gone_before_the_response_within_middleware_of_starlette__costs_nothing(
    adapter: str, layers: int
) -> None:
    times = iter(range(0, 10**6, 1000))
    with open_meter(clock_ms=lambda: next(times)) as meter:
        app = ADAPTERS[adapter][0](meter, [])
        for _ in range(layers):
            app = BaseHTTPMiddleware(app, pass_on)
        given = {**scope(), "path": "/plain", "root_path": "", "asgi": {"spec_version": "2.3"}}
        wire = Wire([request_body(), GONE])
        await app(given, wire.receive, wire.send)
        assert money(meter) == (0, 0)
        (record,) = meter.store.call(ListRecords())
        assert (record.state, record.outcome.error) == ("released", "ClientGone")


@pytest.mark.parametrize("layers", [0, 4])
async def test_client__still_there_within_middleware_of_starlette__pays(layers: int) -> None:
    times = iter(range(0, 10**6, 1000))
    with open_meter(clock_ms=lambda: next(times)) as meter:
        app = ADAPTERS["fastapi-decorator"][0](meter, [])
        for _ in range(layers):
            app = BaseHTTPMiddleware(app, pass_on)
        given = {**scope("POST"), "path": "/echo", "root_path": "", "asgi": {"spec_version": "2.3"}}
        wire = Wire([request_body(b"four")])
        await app(given, wire.receive, wire.send)
        assert money(meter) == (0, BASE_WEI + 4)


async def test_body__not_yet_read_when_the_response_starts__is_still_there_for_the_application() -> None:
    times = iter(range(0, 10**6, 1000))
    with open_meter(clock_ms=lambda: next(times)) as meter:
        read: list[Message] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(WHOLE)
            read.extend([await receive(), await receive()])
            await send(body(b"four"))

        await play(meter, app, Wire([request_body(b"a", more=True), request_body(b"b")]))
        assert read == [request_body(b"a", more=True), request_body(b"b")]
        assert money(meter) == (0, BASE_WEI + 4)


async def test_server__that_repeats_the_request_for_ever__is_not_asked_for_ever() -> None:
    times = iter(range(0, 10**6, 1000))
    with open_meter(clock_ms=lambda: next(times)) as meter:
        wire = Wire([request_body()] * 10)
        await play(meter, app_sending(WHOLE, body(b"four")), wire)
        assert (len(wire.incoming), money(meter)) == (8, (0, BASE_WEI + 4))


async def test_client__gone_within_a_stream__pays_for_what_was_sent(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"some", more=True))
        assert await receive() == GONE

    await play(meter, app, Wire([GONE]))
    assert money(meter) == (0, BASE_WEI + 4)


async def test_send__that_fails_as_the_client_is_gone__pays_for_what_was_sent(meter: Meter) -> None:
    async def send(message: Message) -> None:
        if message.get("body") == b"lost":
            raise OSError("gone")

    app = app_sending(START, body(b"some", more=True), body(b"lost", more=True))
    with pytest.raises(OSError, match="gone"):
        await MeteredASGI(app, meter.metering(**TERMS))(scope(), Wire().receive, send)
    await until_settled(meter)
    assert money(meter) == (0, BASE_WEI + 8)


async def until_settled(meter: Meter) -> None:
    """Wait for what was posted or is settled in a task: a read comes after it."""
    await asyncio.gather(*_settling)
    await meter.store.acall(ReadBalance("ann"))


async def test_start__that_cannot_be_sent_as_the_client_is_gone__costs_nothing(meter: Meter) -> None:
    async def send(message: Message) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await MeteredASGI(app_sending(START), meter.metering(**TERMS))(scope(), Wire().receive, send)
    await until_settled(meter)
    assert money(meter) == (0, 0)


async def test_stream__that_middleware_ends_properly_though_the_client_has_gone__is_not_kept(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"some", more=True))
        assert [await receive(), await receive()] == [request_body(), GONE]
        await send(body(b""))

    given = scope(idempotency_key="k")
    await play(meter, app, Wire([request_body(), GONE]), given)
    await play(meter, app_sending(WHOLE, body(b"four")), wire := Wire([request_body()]), {**given})
    assert wire.sent[1] == body(b"four")
    assert money(meter) == (0, BASE_WEI + 4)


async def test_handler__cancelled_within_a_stream__is_served_anew_for_the_same_key(meter: Meter) -> None:
    given, cut = scope(idempotency_key="k"), Wire([request_body()])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"some", more=True))
        await receive()
        await receive()

    task = asyncio.create_task(play(meter, app, cut, {**given}))
    await cut.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_settled(meter)
    assert money(meter) == (0, BASE_WEI + 4)
    await play(meter, app_sending(WHOLE, body(b"four")), wire := Wire([request_body()]), given)
    assert wire.sent[1] == body(b"four")
    assert money(meter) == (0, BASE_WEI + 4)


@pytest.mark.parametrize(("started", "charged_wei"), [(False, 0), (True, BASE_WEI + 4)])
async def test_handler__cancelled__leaves_nothing_reserved(meter: Meter, started: bool, charged_wei: int) -> None:
    wire = Wire()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send(START)
            await send(body(b"some", more=True))
        await receive()

    task = asyncio.create_task(play(meter, app, wire))
    await wire.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_settled(meter)
    assert money(meter) == (0, charged_wei)


async def test_request__cancelled_while_it_is_reserved__leaves_nothing_reserved(meter: Meter) -> None:
    wire = Wire()
    task = asyncio.create_task(play(meter, app_sending(WHOLE, body(b"four")), wire))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_settled(meter)
    assert (wire.sent, money(meter)) == ([], (0, 0))


async def test_body__that_breaks_off__is_refused_with_a_key(meter: Meter) -> None:
    wire = Wire([request_body(b"half", more=True), GONE])
    await play(meter, app_sending(Boom()), wire, scope("POST", idempotency_key='"k"'))
    assert wire.sent[0]["status"] == 400
    assert money(meter) == (0, 0)


async def test_body__read_ahead__comes_to_the_application_in_the_same_pieces(meter: Meter) -> None:
    pieces = [request_body(b"a", more=True), request_body(b"b", more=True), request_body()]
    got: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.extend([await receive() for _ in pieces])
        await send(WHOLE)
        await send(body(b"four"))

    await play(meter, app, Wire(pieces), scope("POST", idempotency_key='"k"'))
    assert got == pieces


async def test_body__that_no_one_needs__is_not_read_ahead(meter: Meter) -> None:
    wire = Wire([request_body(b"a")])
    await play(meter, app_sending(WHOLE, body(b"four")), wire, scope("POST"))
    assert list(wire.incoming) == [request_body(b"a")]


async def test_metering__within_metering__charges_once(meter: Meter) -> None:
    inner = MeteredASGI(app_sending(WHOLE, body(b"four")), meter.metering(**TERMS))
    await play(meter, inner, Wire())
    assert money(meter) == (0, BASE_WEI + 4)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_scope__of_another_kind__passes_unmetered(meter: Meter, kind: str) -> None:
    passed: list[Any] = []

    async def app(*of: Any) -> None:
        passed.append(of)

    wire = Wire()
    given = {"type": kind, "path": "/it", "headers": []}
    await play(meter, app, wire, given)
    assert passed == [(given, wire.receive, wire.send)]


# --- websockets, when they are metered

SOCKET = {"type": "websocket", "path": "/ws", "query_string": b"", "client": None}
CONNECT = {"type": "websocket.connect"}


def socket(consumer: str = "ann", **more: Any) -> dict[str, Any]:
    return {**SOCKET, "headers": [(b"x-consumer", consumer.encode())], **more}


async def talk(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "häh"})
    await send({"type": "websocket.send", "bytes": b"abc"})


def test_preflight__answered_further_inside__has_the_fields_of_cors(meter: Meter) -> None:
    inside = CORSMiddleware(app_sending(START, body(b"secret")), allow_origins=["*"])
    client = TestClient(MeteredASGI(inside, meter.metering(**TERMS)))
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
    answer = client.options("/a", headers=asked)
    assert (answer.status_code, answer.content, answer.headers["access-control-allow-origin"]) == (200, b"", "*")


async def test_websocket__metered__is_charged_by_the_bytes_sent(meter: Meter) -> None:
    wire = Wire([CONNECT])
    await play(meter, talk, wire, socket(), websockets=True)
    assert money(meter) == (0, BASE_WEI + 7)


async def test_websocket__closed_by_the_client__is_charged(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await talk(scope, receive, send)
        await receive()
        raise Boom("as frameworks do when the client is gone")

    with pytest.raises(Boom):
        await play(meter, app, Wire([CONNECT, {"type": "websocket.disconnect"}]), socket(), websockets=True)
    await until_settled(meter)
    assert money(meter) == (0, BASE_WEI + 7)


async def test_websocket__whose_messages_cost_more__is_charged_for_each(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = current_exchange()
        assert exchange is not None
        await send({"type": "websocket.accept"})
        for text in ("a", "b"):
            exchange.extend(100)
            await send({"type": "websocket.send", "text": text})
        charged = await meter.acharge(exchange.consumer, 30, api="messages", operation="third")
        assert charged.charged_wei == 30

    await play(meter, app, Wire([CONNECT]), socket(), websockets=True)
    assert money(meter) == (0, BASE_WEI + 2 + 200 + 30)


async def test_websocket__whose_message_is_not_allowed__is_closed_and_charged_as_far_as_it_went(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await talk(scope, receive, send)
        await meter.acharge("ann", 10**9, api="messages")

    wire = Wire([CONNECT])
    await play(meter, app, wire, socket(), websockets=True)
    closed = wire.sent[-1]
    assert (closed["type"], closed["code"], closed["reason"]) == ("websocket.close", 1008, "insufficient_credit")
    assert money(meter) == (0, BASE_WEI + 7)


async def test_websocket__not_allowed_before_it_is_accepted__is_rejected_and_costs_nothing(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await meter.acharge("ann", 10**9, api="messages")

    wire = Wire([CONNECT])
    await play(meter, app, wire, socket(extensions={"websocket.http.response": {}}), websockets=True)
    assert (wire.sent[0]["status"], b"insufficient_credit" in wire.sent[1]["body"]) == (402, True)
    assert money(meter) == (0, 0)


async def test_websocket__whose_handler_fails_before_it_has_sent_anything__costs_nothing(meter: Meter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise Boom

    with pytest.raises(Boom):
        await play(meter, app, Wire([CONNECT]), socket(), websockets=True)
    assert money(meter) == (0, 0)


@pytest.mark.parametrize("more_wei", [0, 100])
async def test_websocket__whose_handler_fails_at_what_the_client_sends__is_charged_as_far_as_it_went(
    meter: Meter, more_wei: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await talk(scope, receive, send)
        current_exchange().extend(more_wei)  # type: ignore[union-attr]
        json.loads((await receive())["text"])

    wire = Wire([CONNECT, {"type": "websocket.receive", "text": "{"}])
    with pytest.raises(ValueError, match="Expecting"):
        await play(meter, app, wire, socket(), websockets=True)
    await until_settled(meter)
    assert money(meter) == (0, BASE_WEI + 7 + more_wei)
    assert [record.outcome.error for record in meter.store.call(ListRecords())] == ["JSONDecodeError"]


async def test_websocket__of_nobody__is_closed_before_it_is_accepted(meter: Meter) -> None:
    wire = Wire([CONNECT])
    await play(meter, talk, wire, socket(""), websockets=True)
    assert [(message["type"], message["code"]) for message in wire.sent] == [("websocket.close", 1008)]


async def test_websocket__refused_where_the_server_can_tell_why__gets_the_problem(meter: Meter) -> None:
    wire = Wire([CONNECT])
    given = socket("", extensions={"websocket.http.response": {}})
    await play(meter, talk, wire, given, websockets=True)
    assert wire.sent[0]["status"] == 401
    assert b"missing_identity" in wire.sent[1]["body"]
