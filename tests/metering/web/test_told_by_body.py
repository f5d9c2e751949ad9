"""Terms that are told by the request's body, on every adapter; each under its framework's own test client."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from api_billing.metering import MeteredRequest, MeteredResponse, first_of, from_header, from_json_field
from api_billing.metering.ledger.operations import ListRecords, Record

from .subjects import ADAPTERS, CHUNKED, OF_CHUNKS, Subject, by_starlette, subject_of
from .terms import TERMS, open_meter

ASKED = {"model": "large", "wei": 300, "of": "ann"}
BODY = json.dumps(ASKED).encode()
LONG = BODY + bytes(100_000)
IN_CHUNKS = {CHUNKED: "chunked"}


def sync_told(name: str) -> Callable[[MeteredRequest], Any]:
    return lambda request: request.json()[name]


def async_told(name: str) -> Callable[[MeteredRequest], Any]:
    async def told(request: MeteredRequest) -> Any:
        return json.loads(request.content())[name]

    return told


def record_of(subject: Subject) -> Record:
    record: Record = subject.meter.store.call(ListRecords())[-1]
    return record


@pytest.fixture(params=[sync_told, async_told])
def told(request: pytest.FixtureRequest) -> Callable[[str], Callable[[MeteredRequest], Any]]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def test_terms__told_by_the_body__are_reserved_and_recorded(
    adapter: str, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"estimate_wei": told("wei"), "model": told("model"), "operation": told("of"), "price": 7}
    for name, term in terms.items():
        monkeypatch.setitem(TERMS, name, term)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        reply = subject.post("/echo", BODY)
        assert (reply.status, reply.body, reply.cost_wei) == (200, BODY, 7)
        record = record_of(subject)
        found = (record.estimate_wei, record.route, json.loads(record.outcome.tags))
        assert found == (300, "ann", {"model": "large"})


def test_identity__told_by_the_body__is_who_pays(adapter: str, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TERMS, "identify", told("of"))
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.send("POST", "/echo", {}, BODY).body == BODY
        assert record_of(subject).consumer == "ann"


def test_price__that_reads_the_body__charges_by_it(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def price(request: MeteredRequest, response: MeteredResponse) -> int:
        return len(request.content()) + response.body_bytes

    monkeypatch.setitem(TERMS, "price", price)
    monkeypatch.setitem(TERMS, "reads_body", True)
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.post("/echo", BODY).cost_wei == 2 * len(BODY)


def catches_all(request: MeteredRequest) -> Any:
    try:
        return request.json()
    except:  # noqa: E722
        return {"wei": 1, "of": "bob"}


def makes_an_error_of_it(request: MeteredRequest) -> Any:
    try:
        return request.json()
    except BaseException as error:
        raise ValueError("no JSON") from error


async def asks_in_a_group(request: MeteredRequest) -> Any:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(asyncio.to_thread(request.json))
    return asked.result()


@pytest.mark.parametrize("ask", [catches_all, makes_an_error_of_it, asks_in_a_group])
@pytest.mark.parametrize("name", ["asgi", "wsgi"])
def test_body__asked_for_where_all_is_caught__is_read_all_the_same(
    name: str, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(field: str) -> Callable[[MeteredRequest], Any]:
        async def awaited(request: MeteredRequest) -> Any:
            return (await ask(request))[field]

        return awaited if ask is asks_in_a_group else lambda request: ask(request)[field]

    monkeypatch.setitem(TERMS, "estimate_wei", of("wei"))
    for identify in (TERMS.get("identify"), of("of")):
        monkeypatch.setitem(TERMS, "identify", identify)
        with open_meter() as meter, subject_of(name, meter) as subject:
            assert subject.post("/echo", BODY).body == BODY
            record = record_of(subject)
            assert (record.estimate_wei, record.consumer) == (300, "ann")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"", 400, "not_estimable"), (b'{"wei":', 400, "not_estimable"), (BODY + 100 * b" ", 413, "body_too_large")],
)
def test_body__that_tells_nothing__is_refused_before_the_handler(
    adapter: str, told: Any, body: bytes, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TERMS, "estimate_wei", told("wei"))
    with open_meter(max_fingerprint_bytes=len(BODY) + 99) as meter, subject_of(adapter, meter) as subject:
        reply = subject.post("/echo", body)
        assert (reply.status, json.loads(reply.body)["code"]) == (status, code)
        assert subject.seen == []


def test_body__in_chunks_and_too_long__is_refused(adapter: str, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TERMS, "estimate_wei", told("wei"))
    with open_meter(max_fingerprint_bytes=len(BODY) + 99) as meter, subject_of(adapter, meter, OF_CHUNKS) as subject:
        reply = subject.post("/echo", BODY + 100 * b" ", IN_CHUNKS)
        assert (reply.status, json.loads(reply.body)["code"]) == (413, "body_too_large")
        assert subject.seen == []
        assert subject.post("/echo", BODY + 99 * b" ", IN_CHUNKS).status == 200


def test_body__in_chunks_and_too_long_to_say_who__reaches_the_handler(
    adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TERMS, "identify", first_of(from_json_field("of"), from_header("X-Consumer")))
    with open_meter(max_fingerprint_bytes=9) as meter, subject_of(adapter, meter, OF_CHUNKS) as subject:
        assert subject.post("/echo", LONG, IN_CHUNKS).body == LONG


@pytest.mark.parametrize("adapter", [name for name in ADAPTERS if name.startswith(("asgi", "starlette", "fastapi"))])
def test_body__beyond_a_bound_of_the_frameworks__is_too_large(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bounded(app: Any) -> Any:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            async def receive_some() -> Any:
                message = await receive()
                if message.get("body"):
                    raise HTTPException(413)  # as RequestBodyLimitMiddleware does
                return message

            await app(scope, receive_some, send)

        return by_starlette(outside)

    monkeypatch.setitem(TERMS, "estimate_wei", sync_told("wei"))
    with open_meter() as meter, subject_of(adapter, meter, {adapter: (ADAPTERS[adapter][0], bounded)}) as subject:
        reply = subject.post("/echo", BODY, IN_CHUNKS)
        assert (reply.status, json.loads(reply.body)["code"], subject.seen) == (413, "body_too_large", [])
