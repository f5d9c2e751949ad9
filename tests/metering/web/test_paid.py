"""Payment at the door, under every adapter: what is asked for, what is served for it, and what it costs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.sse import EventSourceResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from api_billing.metering import first_of, from_header
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import Settle
from api_billing.metering.stores import steps
from api_billing.metering.web import fastapi
from api_billing.payments import mpp, x402

from .paying import HOLD_WEI, Shop, open_shop
from .subjects import ADAPTERS, DECORATED, Reply, Subject, subject_of
from .terms import BASE_WEI, CHUNKS, ESTIMATE_WEI, EVENT_STREAM, EVENTS, MORE_WEI, OWN_FIELDS, PLAIN, TERMS, Boom
from .test_asgi import CONNECT, SOCKET, START, Wire, app_sending, body, play, scope

PROTOCOLS = ("x402", "mpp")
EXPOSED = {"payment-required", "payment-response", "www-authenticate", "payment-receipt"}
BODY = b"".join(CHUNKS)
DOOR: dict[str, Any] = {"payments": "x402,mpp", "exclude_paths": ("/short",)}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop(first_of(from_header("X-Key")), **DOOR) as shop:
        yield shop


@pytest.fixture(params=ADAPTERS)
def subject(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Subject]:
    with subject_of(request.param, shop.meter) as subject:
        yield subject


def send(subject: Subject, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Reply:
    return subject.send(method, path, headers or {}, b"")


def pay(
    shop: Shop, subject: Subject, protocol: str, path: str, *, method: str = "GET", content: bytes = b"", **headers: str
) -> Reply:
    """Ask, and pay what is asked for, in one channel."""
    asked = subject.send(method, path, headers, content)
    assert asked.status == 402, asked
    if protocol == "x402":
        paid = shop.by_x402(asked.fields["payment-required"], shop.charged_wei)
    else:
        paid = shop.by_mpp(asked.fields["www-authenticate"], shop.charged_wei + ESTIMATE_WEI)
    return subject.send(method, path, headers | paid, content)


def told_wei(protocol: str, reply: Reply) -> int:
    """What a reply says that was charged; over MPP, in all."""
    if protocol == "mpp":
        return int(mpp.read_receipt(reply.fields["payment-receipt"])["spent"])
    return int(x402.read_response(reply.fields["payment-response"])["extra"]["chargedAmount"])


def is_private(reply: Reply) -> bool:
    exposed = {name.strip().lower() for name in reply.fields["access-control-expose-headers"].split(",")}
    return exposed >= EXPOSED and bool({"private", "no-store"} & set(reply.fields["cache-control"].split(", ")))


# --- what is asked for


def test_unpaid__request__is_asked_for_payment_by_both_protocols(shop: Shop, subject: Subject) -> None:
    reply = send(subject, "/plain")
    assert (reply.status, json.loads(reply.body)["code"]) == (402, "payment_required")
    ((offer, _),), message = x402.offers_in(reply.fields["payment-required"])
    scheme, _, rest = message["resource"]["url"].partition("://")
    assert (scheme, rest.partition("/")[2]) == ("http", "plain")
    (challenge,) = mpp.challenges_in([reply.fields["www-authenticate"]])
    assert offer.amount_wei == mpp.offer_of(challenge).amount_wei == ESTIMATE_WEI
    assert is_private(reply)
    assert (subject.seen, shop.records) == ([], ())


@pytest.mark.parametrize("path", ["/plain", "/stream", "/events", "/moved", "/fail"])
def test_unpaid__request_of_any_kind__never_runs_the_handler(subject: Subject, path: str) -> None:
    assert send(subject, path).status == 402
    assert subject.seen == []


def test_unpaid__head__never_runs_the_handler(subject: Subject) -> None:
    reply = send(subject, "/plain", method="HEAD")
    assert (reply.status, reply.body, subject.seen) == (402, b"", [])
    assert {"payment-required", "www-authenticate"} <= reply.fields.keys()


def test_unpaid__route_that_is_not_metered__is_served_without_a_challenge(
    subject: Subject, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["subject"] in DECORATED:
        assert (send(subject, "/short").status, subject.seen) == (402, [])
        return
    with suppress(RuntimeError):  # a client may notice that the body is shorter than it should be
        reply = send(subject, "/short")
        assert not {"payment-required", "www-authenticate", "x-cost-wei"} & reply.fields.keys()
    assert subject.seen == ["/short"]


def test_unpaid__options__is_asked_for_payment(subject: Subject) -> None:
    assert (send(subject, "/plain", method="OPTIONS").status, subject.seen) == (402, [])


# --- what is served for it


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__request__is_served_with_its_receipt(shop: Shop, subject: Subject, protocol: str) -> None:
    for number in (1, 2):
        reply = pay(shop, subject, protocol, "/plain")
        cost_wei = BASE_WEI + len(PLAIN)
        assert (reply.status, reply.body, reply.cost_wei) == (200, PLAIN, cost_wei)
        assert told_wei(protocol, reply) == (cost_wei if protocol == "x402" else number * cost_wei)
        assert shop.channel.charged_wei == number * cost_wei
        assert is_private(reply)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__body_of_the_request__reaches_the_handler(shop: Shop, subject: Subject, protocol: str) -> None:
    reply = pay(shop, subject, protocol, "/echo", method="POST", content=bytes(range(256)))
    assert (reply.status, reply.body) == (200, bytes(range(256)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__redirect__is_charged_and_receipted_as_any_response(shop: Shop, subject: Subject, protocol: str) -> None:
    # A client that follows it comes without a payment, to a route that asks for its own.
    reply = pay(shop, subject, protocol, "/moved")
    assert (reply.status, reply.fields["location"]) == (303, "/plain")
    assert shop.channel.charged_wei == reply.cost_wei >= BASE_WEI
    assert ("payment-response" in reply.fields, "payment-receipt" in reply.fields) == (protocol == "x402", False)


def test_paid__error_of_the_client__is_charged_and_x402_is_told(shop: Shop, subject: Subject) -> None:
    reply = pay(shop, subject, "x402", "/missing")
    assert (reply.status, told_wei("x402", reply)) == (404, shop.channel.charged_wei)
    assert shop.channel.charged_wei >= BASE_WEI
    reply = pay(shop, subject, "mpp", "/missing")
    assert (reply.status, "payment-receipt" in reply.fields) == (404, False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__handler_raises__costs_nothing_and_the_same_voucher_pays_again(
    shop: Shop, subject: Subject, protocol: str
) -> None:
    with pytest.raises(Boom):
        pay(shop, subject, protocol, "/boom")
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (0, 0)
    assert pay(shop, subject, protocol, "/plain").status == 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__response_of_a_failing_server__costs_nothing_and_has_no_receipt(
    shop: Shop, subject: Subject, protocol: str
) -> None:
    reply = pay(shop, subject, protocol, "/fail")
    assert (reply.status, reply.cost_wei, shop.channel.charged_wei) == (503, 0, 0)
    assert not {"payment-receipt", "payment-response"} & reply.fields.keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__fields_of_the_application__are_joined_with_ours(shop: Shop, subject: Subject, protocol: str) -> None:
    reply = pay(shop, subject, protocol, "/own")
    assert is_private(reply)
    assert reply.fields["cache-control"] == "private, max-age=60"
    assert OWN_FIELDS["Access-Control-Expose-Headers"] in reply.fields["access-control-expose-headers"].split(", ")


@pytest.mark.parametrize("path", ["/plain", "/stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paid__sent_again_with_its_key__gets_the_same_response_and_costs_nothing(
    shop: Shop, subject: Subject, protocol: str, path: str
) -> None:
    asked = send(subject, path).fields
    paid = shop.by_x402(asked["payment-required"]) if protocol == "x402" else shop.by_mpp(asked["www-authenticate"])
    first = send(subject, path, paid | {"Idempotency-Key": "one"})
    seen, charged_wei = list(subject.seen), shop.channel.charged_wei
    again = send(subject, path, paid | {"Idempotency-Key": "one"})
    assert (again.status, again.body, again.fields["idempotency-replayed"]) == (200, first.body, "true")
    assert (subject.seen, shop.channel.charged_wei, shop.channel.reserved_wei) == (seen, charged_wei, 0)
    assert {"x402": "payment-response", "mpp": "payment-receipt"}[protocol] in again.fields
    assert is_private(again)


def test_paid__beside_an_identity__comes_in_a_field_of_its_own(shop: Shop, subject: Subject) -> None:
    key = {"Authorization": "Bearer somebody"}
    asked = send(subject, "/plain", key)
    (challenge,) = mpp.challenges_in([asked.fields["www-authenticate"]])
    assert challenge.header == mpp.OWN_FIELD
    reply = send(subject, "/plain", key | shop.by_mpp(asked.fields["www-authenticate"]))
    assert (reply.status, reply.body) == (200, PLAIN)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", ["", "!", "Payment !", "eyJ", "é" * 9])
def test_payment__that_cannot_be_read__is_refused_before_the_handler(
    subject: Subject, protocol: str, value: str
) -> None:
    name = {"x402": x402.SIGNATURE_FIELD, "mpp": mpp.OWN_FIELD}[protocol]
    with suppress(UnicodeEncodeError):  # some clients of tests send no such thing
        assert send(subject, "/plain", {name: value}).status in (400, 402)
    assert subject.seen == []


def test_voucher__brought_by_head__is_kept_without_the_handler(shop: Shop, subject: Subject) -> None:
    asked = send(subject, "/plain", method="HEAD")
    reply = send(subject, "/plain", shop.by_mpp(asked.fields["www-authenticate"], 7), method="HEAD")
    assert (reply.status, reply.body, subject.seen, shop.channel.signed_wei) == (204, b"", [], 7)


def test_voucher__brought_by_topping_up__is_kept_without_the_handler(shop: Shop, subject: Subject) -> None:
    asked = send(subject, "/stream")  # where there is no HEAD, as on FastAPI's routes
    reply = send(subject, "/stream", shop.by_mpp(asked.fields["www-authenticate"], 7, "topUp"))
    assert (reply.status, reply.body, shop.channel.signed_wei, shop.records) == (204, b"", 7, ())


# --- a settlement that fails after the response was made


@pytest.mark.parametrize("path", ["/plain", "/stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_settlement__that_fails__is_made_up_for_and_the_response_and_its_receipt_go_out(
    shop: Shop, subject: Subject, protocol: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform, fails = shop.world.store._perform, [True]

    def away(operations: Any) -> Any:
        if any(isinstance(operation, Settle) for operation in operations) and fails:
            raise StoreUnavailable("it is away")
        return perform(operations)

    monkeypatch.setattr(shop.world.store, "_perform", away)
    reply = pay(shop, subject, protocol, path)
    assert (reply.status, shop.channel.charged_wei) == (200, 0)
    assert ("payment-response" in reply.fields) if protocol == "x402" else ("payment-receipt" in reply.fields)
    fails.clear()
    shop.meter.keeper.tick(shop.world.now_ms, sweeps=False)
    assert shop.channel.charged_wei > 0
    if protocol == "x402":
        assert told_wei(protocol, reply) == shop.channel.charged_wei


# --- streams


def test_stream__over_x402__costs_what_is_told_before_it_begins(shop: Shop, subject: Subject) -> None:
    reply = pay(shop, subject, "x402", "/stream")
    assert (reply.body, told_wei("x402", reply)) == (BODY, ESTIMATE_WEI)
    assert shop.channel.charged_wei == ESTIMATE_WEI
    assert pay(shop, subject, "x402", "/plain").status == 200  # the next voucher goes on from there


async def test_stream__over_x402_of_a_known_length__costs_what_that_does(shop: Shop) -> None:
    known = {**START, "headers": [(b"content-length", b"6")]}
    wire = Wire()
    messages = known, body(b"one", more=True), body(b"two")
    await play(shop.meter, app_sending(*messages), wire, paid_scope(shop, "x402"))
    told = x402.read_response(wire.fields()["payment-response"])["extra"]["chargedAmount"]
    assert int(told) == shop.channel.charged_wei == BASE_WEI + 6


def test_stream__over_mpp__has_a_receipt_before_and_costs_what_it_costs(shop: Shop, subject: Subject) -> None:
    reply = pay(shop, subject, "mpp", "/stream")
    assert (reply.body, told_wei("mpp", reply)) == (BODY, 0)
    assert shop.channel.charged_wei == BASE_WEI + len(BODY)
    assert is_private(reply)


def test_events__over_mpp__end_with_the_receipt(shop: Shop, subject: Subject) -> None:
    reply = pay(shop, subject, "mpp", "/events")
    events = b"".join(EVENTS)
    assert reply.body.startswith(events + b"event: payment-receipt\ndata: {")
    receipt = json.loads(reply.body[len(events) :].partition(b"data: ")[2])
    assert receipt["spent"] == str(BASE_WEI + len(events)) == str(shop.channel.charged_wei)
    assert receipt["channelId"] == shop.channel.channel_id


def test_events__over_x402__are_left_as_they_are(shop: Shop, subject: Subject) -> None:
    assert pay(shop, subject, "x402", "/events").body == b"".join(EVENTS)


@pytest.mark.parametrize(("protocol", "cost_wei"), [("x402", ESTIMATE_WEI), ("mpp", 0)])
def test_stream__whose_handler_fails_midway__costs_nothing_or_what_was_told(
    shop: Shop, subject: Subject, protocol: str, cost_wei: int
) -> None:
    with pytest.raises(Boom):
        pay(shop, subject, protocol, "/torn")
    assert (shop.channel.charged_wei, shop.channel.reserved_wei) == (cost_wei, 0)
    assert pay(shop, subject, protocol, "/plain").status == 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stream__client_gone_after_a_piece__got_it_while_the_rest_was_made(
    shop: Shop, subject: Subject, protocol: str
) -> None:
    asked = send(subject, "/stream")
    paid = (
        shop.by_x402(asked.fields["payment-required"])
        if protocol == "x402"
        else shop.by_mpp(asked.fields["www-authenticate"])
    )
    subject.cut("/stream", paid)
    (record,) = shop.records
    assert record.outcome.response_bytes < len(BODY)
    charged_wei = ESTIMATE_WEI if protocol == "x402" else BASE_WEI + record.outcome.response_bytes
    assert (record.charged_wei, shop.channel.charged_wei) == (charged_wei, charged_wei)


# --- a stream of events that runs out of what is signed

ROOM_WEI = BASE_WEI + len(EVENTS[0])


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose estimate is for the first event of a stream."""
    monkeypatch.setitem(TERMS, "estimate_wei", ROOM_WEI)
    with open_shop(first_of(from_header("X-Key")), **DOOR) as shop:
        yield shop


@pytest.fixture(params=ADAPTERS)
def tight_subject(request: pytest.FixtureRequest, tight: Shop) -> Iterator[Subject]:
    with subject_of(request.param, tight.meter) as subject:
        yield subject


def during_pauses(monkeypatch: pytest.MonkeyPatch, shop: Shop, happens: Callable[[], object]) -> None:
    """Nobody waits in tests: something happens with each pause, and the clock goes on."""

    def pause(seconds: float) -> None:
        if seconds:
            shop.world.at(shop.world.now_ms + round(seconds * 1000))
            happens()

    async def apause(seconds: float) -> None:
        pause(seconds)

    monkeypatch.setattr(steps, "time", SimpleNamespace(sleep=pause))
    monkeypatch.setattr(steps, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": apause}))


def events_of(streamed: bytes) -> list[tuple[str, Any]]:
    """Name and data of each event; those of the application have no name."""
    found = []
    for text in streamed.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in text.split("\n"))
        found.append((fields.get("event", ""), json.loads(fields["data"]) if "event" in fields else fields["data"]))
    return found


def test_events__that_outgrow_what_is_signed__go_on_when_another_request_brings_a_voucher(
    tight: Shop, tight_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = send(tight_subject, "/events")
    paid = tight.by_mpp(asked.fields["www-authenticate"])
    during_pauses(monkeypatch, tight, lambda: tight.put(3 * ROOM_WEI))
    events = events_of(send(tight_subject, "/events", paid).body)
    assert [name for name, _ in events] == ["", "payment-need-voucher", "", "", "payment-receipt"]
    channel = tight.channel
    assert events[1][1] == {
        "channelId": channel.channel_id,
        "requiredCumulative": str(2 * ROOM_WEI),
        "acceptedCumulative": str(ROOM_WEI),
        "deposit": str(HOLD_WEI),
    }
    assert events[-1][1]["spent"] == str(channel.charged_wei) == str(BASE_WEI + len(b"".join(EVENTS)))


def test_events__no_voucher_comes__end_after_a_while_with_the_receipt(
    tight: Shop, tight_subject: Subject, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    adapter = request.node.callspec.params["tight_subject"]
    in_thread = adapter.startswith(("wsgi", "flask", "django")) and not adapter.endswith("async")
    asked = send(tight_subject, "/events")
    pauses: list[None] = []
    during_pauses(monkeypatch, tight, lambda: pauses.append(None))
    began_ms = tight.world.now_ms
    events = events_of(send(tight_subject, "/events", tight.by_mpp(asked.fields["www-authenticate"])).body)
    assert [name for name, _ in events] == ["", "payment-need-voucher", "payment-receipt"]
    assert tight.world.now_ms - began_ms == (10_000 if in_thread else 60_000)
    assert 10 < len(pauses) < 60
    assert (tight.channel.charged_wei, tight.channel.reserved_wei) == (ROOM_WEI, 0)


def test_events__paid_over_x402__end_with_what_was_told(tight: Shop, tight_subject: Subject) -> None:
    asked = send(tight_subject, "/events")
    reply = send(tight_subject, "/events", tight.by_x402(asked.fields["payment-required"]))
    assert reply.body == EVENTS[0]
    assert tight.channel.charged_wei == told_wei("x402", reply) == ROOM_WEI


def test_stream__of_no_events_over_mpp__ends_without_a_pause(tight: Shop, tight_subject: Subject) -> None:
    asked = send(tight_subject, "/stream")
    reply = send(tight_subject, "/stream", tight.by_mpp(asked.fields["www-authenticate"]))
    assert reply.body == b"".join(CHUNKS[:2])
    assert tight.channel.charged_wei == BASE_WEI + len(reply.body)


# --- message by message


def paid_scope(shop: Shop, protocol: str = "mpp", *, te: str = "", **given: Any) -> dict[str, Any]:
    """A scope with a payment, by who was asked for it at another adapter of the same API."""
    with subject_of("wsgi", shop.meter) as subject:
        asked = send(subject, "/plain").fields
    paid = shop.by_mpp(asked["www-authenticate"]) if protocol == "mpp" else shop.by_x402(asked["payment-required"])
    headers = [(name.lower().encode(), value.encode()) for name, value in paid.items()]
    return {**scope(), "headers": [*headers, *([(b"te", te.encode())] if te else [])], **given}


async def test_events__client_gone_while_a_voucher_is_awaited__end_at_once(
    tight: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = {**START, "headers": [(b"content-type", EVENT_STREAM.encode())]}
    app = app_sending(events, *[body(event, more=True) for event in EVENTS])
    pauses: list[None] = []
    during_pauses(monkeypatch, tight, lambda: pauses.append(None))
    wire = Wire([{"type": "http.request"}, {"type": "http.disconnect"}])
    await play(tight.meter, app, wire, paid_scope(tight))
    assert b"payment-need-voucher" in wire.sent[2]["body"]
    assert (len(pauses), tight.channel.charged_wei) == (1, ROOM_WEI)


TRAILERS: dict[str, Any] = {"extensions": {"http.response.trailers": {}}}
STREAM = (START, body(b"one", more=True), body(b"two"))


@pytest.mark.parametrize("te", ["trailers", "gzip, Trailers;q=0.5"])
async def test_trailers__that_client_and_server_take__say_what_a_stream_has_cost(shop: Shop, te: str) -> None:
    wire = Wire()
    await play(shop.meter, app_sending(*STREAM), wire, paid_scope(shop, te=te, **TRAILERS))
    assert wire.sent[0]["trailers"] is True
    assert wire.fields()["trailer"] == "payment-receipt, x-cost-wei"
    assert [message["type"] for message in wire.sent[1:]] == ["http.response.body"] * 2 + ["http.response.trailers"]
    trailers = {name.decode(): value.decode() for name, value in wire.sent[-1]["headers"]}
    assert set(trailers) == {"payment-receipt", "x-cost-wei"}
    assert trailers["x-cost-wei"] == mpp.read_receipt(trailers["payment-receipt"])["spent"] == str(BASE_WEI + 6)


async def test_trailers__of_a_stream_that_is_not_paid_to_its_end__say_what_went_out(tight: Shop) -> None:
    wire = Wire()
    long = body(b"x" * 2 * ROOM_WEI, more=True)
    await play(tight.meter, app_sending(STREAM[0], STREAM[1], long), wire, paid_scope(tight, te="trailers", **TRAILERS))
    assert [message["type"] for message in wire.sent[1:]] == ["http.response.body"] * 2 + ["http.response.trailers"]
    assert (b"x-cost-wei", str(BASE_WEI + 3).encode()) in wire.sent[-1]["headers"]


@pytest.mark.parametrize(
    ("messages", "given"),
    [
        (STREAM, {"te": "trailers"}),  # the server cannot
        (STREAM, TRAILERS),  # the client does not say so
        (STREAM, {**TRAILERS, "te": "trailers", "protocol": "x402"}),  # it was told the cost before
        (({**START, "headers": [(b"content-length", b"6")]}, *STREAM[1:]), {**TRAILERS, "te": "trailers"}),
    ],
)
async def test_trailers__otherwise__are_none(shop: Shop, messages: Any, given: dict[str, Any]) -> None:
    wire = Wire()
    await play(shop.meter, app_sending(*messages), wire, paid_scope(shop, **given))
    assert not any("trailers" in message or message["type"].endswith("trailers") for message in wire.sent)
    assert "trailer" not in wire.fields()


async def test_trailers__of_the_application__pass_as_they_are(shop: Shop) -> None:
    wire = Wire()
    own = {"type": "http.response.trailers", "headers": [(b"x-own", b"1")]}
    messages = ({**START, "trailers": True}, *STREAM[1:], own)
    await play(shop.meter, app_sending(*messages), wire, paid_scope(shop, te="trailers", **TRAILERS))
    assert wire.sent[-1] == own
    assert "trailer" not in wire.fields()


async def test_websocket__not_paid__is_refused_with_the_challenges_where_the_server_can(shop: Shop) -> None:
    wire = Wire([CONNECT])
    given = {**SOCKET, "headers": [], "extensions": {"websocket.http.response": {}}}
    await play(shop.meter, app_sending(), wire, given, websockets=True)
    assert (wire.sent[0]["type"], wire.sent[0]["status"]) == ("websocket.http.response.start", 402)
    assert {"payment-required", "www-authenticate"} <= wire.fields().keys()


async def test_websocket__not_paid__is_closed_where_the_server_cannot(shop: Shop) -> None:
    wire = Wire([CONNECT])
    await play(shop.meter, app_sending(), wire, {**SOCKET, "headers": []}, websockets=True)
    assert [(message["type"], message["code"]) for message in wire.sent] == [("websocket.close", 1008)]


@pytest.mark.parametrize(("protocol", "cost_wei"), [("x402", ESTIMATE_WEI), ("mpp", BASE_WEI + 3)])
async def test_websocket__paid__has_its_receipt_in_the_handshake(shop: Shop, protocol: str, cost_wei: int) -> None:
    wire = Wire([CONNECT])
    given = {**SOCKET, "headers": paid_scope(shop, protocol)["headers"]}
    talk = app_sending({"type": "websocket.accept"}, {"type": "websocket.send", "text": "abc"})
    await play(shop.meter, talk, wire, given, websockets=True)
    assert {"x402": "payment-response", "mpp": "payment-receipt"}[protocol] in wire.fields()
    assert shop.channel.charged_wei == cost_wei


# --- what frameworks have beside adapters


def fastapi_client(app: FastAPI) -> Callable[..., Any]:
    return TestClient(app, follow_redirects=False).get


@pytest.mark.parametrize("way", ["dependency", "middleware"])
def test_events__that_fastapi_makes__end_with_the_receipt(shop: Shop, way: str) -> None:
    async def events() -> AsyncIterator[str]:
        for word in ("one", "two"):
            yield word

    app, metering = FastAPI(), shop.meter.metering(**TERMS)
    fastapi.install(app)
    if way == "middleware":
        app.add_middleware(fastapi.MeterMiddleware, metering=metering)
    dependencies = [Depends(fastapi.MeterDependency(metering))] if way == "dependency" else []
    app.get("/it", response_class=EventSourceResponse, dependencies=dependencies)(events)
    get = fastapi_client(app)
    reply = get("/it", headers=shop.by_mpp(get("/it").headers["www-authenticate"]))
    assert [name for name, _ in events_of(reply.content)] == ["", "", "payment-receipt"]


@pytest.mark.parametrize(("configured", "exposes"), [({}, True), ({"expose_headers": ["X-Own"]}, False)])
def test_cors_middleware__around_a_decorated_route__shows_what_it_is_told_or_ours(
    shop: Shop, configured: dict[str, Any], exposes: bool
) -> None:
    # What it is told replaces all others, so that ours have to be among it.
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], **configured)
    app.get("/it")(fastapi.metered(shop.meter, **TERMS)(lambda: "it"))
    fields = fastapi_client(app)("/it", headers={"Origin": "https://page"}).headers
    assert ("PAYMENT-REQUIRED" in fields["access-control-expose-headers"]) is exposes
    assert fields["access-control-allow-origin"] == "*"


def test_handler_of_exceptions__that_drops_header_fields__loses_no_receipt(shop: Shop) -> None:
    app = FastAPI()
    app.exception_handler(HTTPException)(lambda request, error: JSONResponse({"own": True}, error.status_code))

    @app.get("/it")
    @fastapi.metered(shop.meter, **TERMS)
    def missing() -> None:
        raise HTTPException(404)

    get = fastapi_client(app)
    reply = get("/it", headers=shop.by_x402(get("/it").headers["payment-required"]))
    assert (reply.status_code, reply.json()) == (404, {"own": True})
    told = x402.read_response(reply.headers["payment-response"])["extra"]["chargedAmount"]
    assert int(told) == shop.channel.charged_wei == BASE_WEI + len(reply.content)


def test_charge__extended_by_an_endpoint__costs_so_much_more(shop: Shop) -> None:
    app = FastAPI()
    fastapi.install(app)
    by = fastapi.MeterDependency(shop.meter.metering(**TERMS))

    @app.get("/it")
    def it(charge: fastapi.Charge = Depends(by)) -> str:  # noqa: B008
        charge.extend(MORE_WEI)
        return "it"

    get = fastapi_client(app)
    get("/it", headers=shop.by_mpp(get("/it").headers["www-authenticate"]))
    assert shop.channel.charged_wei == BASE_WEI + len(b'"it"') + MORE_WEI
