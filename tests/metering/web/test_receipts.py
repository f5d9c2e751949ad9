"""Receipts under every adapter, and many requests with one receipt in one event loop."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from fastapi import FastAPI

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import ClaimInProgress, ListRecords, ReadBalance, Reserve, SumUsage
from api_billing.metering.meter import Meter
from api_billing.metering.settlement.receipts import ReceiptChecks
from api_billing.metering.web.asgi import MeteredASGI
from api_billing.metering.web.fastapi import metered
from api_billing.metering.web.wsgi import MeteredWSGI

from .subjects import ADAPTERS, Subject, subject_of
from .terms import CHUNKS, ESTIMATE_WEI, PLAIN, TERMS, Boom, open_meter

WHO = "0x" + "ab" * 20
WAITING = 5
NOW_MS = 1_800_000_000_000


class OneCall:
    """A chain that has billed one call of today."""

    contract = "0x" + "c0" * 20

    def __init__(self) -> None:
        self.receipt = f"demo:{WHO}:{NOW_MS // DAY_MS}:1"

    def get_receipt(self, receipt_id: str) -> Any:
        return SimpleNamespace(valid=receipt_id == self.receipt)

    def get_usage_history(self, *_: Any) -> tuple[()]:
        return ()

    @property
    def final(self) -> Any:
        return self


@pytest.fixture
def chain() -> OneCall:
    return OneCall()


@pytest.fixture
def meter(chain: OneCall) -> Iterator[Meter]:
    """A meter that has credit in its store, and asks the chain about receipts. Its clock stands still."""
    with open_meter(clock_ms=lambda: NOW_MS) as meter:
        checks = ReceiptChecks(
            chain, meter.store.call, now_ms=meter.now_ms, reads_per_10_seconds=20, accepted_up_to_wei=10**18
        )  # type: ignore[arg-type]
        meter.on_chain = SimpleNamespace(receipts=checks, close=lambda: None)  # type: ignore[assignment]
        yield meter


@pytest.fixture(params=ADAPTERS)
def subject(request: pytest.FixtureRequest, meter: Meter) -> Iterator[Subject]:
    with subject_of(request.param, meter) as subject:
        yield subject


def code_of(reply: Any) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["code"]


@pytest.mark.parametrize(("path", "body"), [("/plain", PLAIN), ("/stream", b"".join(CHUNKS))])
def test_receipt__from_five_nodes__runs_the_handler_once(
    subject: Subject, chain: OneCall, path: str, body: bytes
) -> None:
    replies = [subject.send("GET", f"{path}?receipt={chain.receipt}", {}, b"") for _ in range(5)]
    assert [(reply.status, reply.body) for reply in replies] == [(200, body)] * 5
    assert len({reply.fields.get("content-type") for reply in replies}) == 1
    assert subject.seen == ([path] if path in subject.seen else [])
    (record,) = subject.meter.store.call(ListRecords())
    assert (record.state, record.consumer, record.charged_wei) == ("redeemed", WHO, 0)
    assert subject.meter.store.call(SumUsage()) == ()


def test_receipt__in_a_header__is_the_credential_whoever_else_is_named(subject: Subject, chain: OneCall) -> None:
    reply = subject.get("/plain", {"X-Receipt-Id": chain.receipt})
    assert (reply.status, reply.cost_wei) == (200, 0)
    assert subject.meter.balance("ann").charged_wei == 0
    assert subject.meter.store.call(ReadBalance(WHO)).charged_wei == 0


def test_receipt__not_genuine_or_of_another_request__never_reaches_the_handler(
    subject: Subject, chain: OneCall
) -> None:
    assert code_of(subject.get("/plain", {"X-Receipt-Id": chain.receipt[:-1] + "2"})) == (402, "invalid_receipt")
    assert code_of(subject.get("/plain?receipt=17")) == (402, "invalid_receipt")
    subject.get(f"/plain?receipt={chain.receipt}")
    assert code_of(subject.get(f"/stream?receipt={chain.receipt}")) == (422, "receipt_mismatch")
    assert subject.seen == ["/plain"]


@pytest.mark.parametrize("path", ["/boom", "/torn"])
def test_receipt__handler_raises__can_be_used_again(subject: Subject, chain: OneCall, path: str) -> None:
    with pytest.raises(Boom):
        subject.get(path, {"X-Receipt-Id": chain.receipt})
    assert subject.get("/plain", {"X-Receipt-Id": chain.receipt}).body == PLAIN


def test_receipt__many_in_one_event_loop__wait_for_the_first_and_get_its_response(
    meter: Meter, chain: OneCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler ends only when all others were told that it is in progress: it could not, if one blocked the loop."""
    told: set[str] = set()
    perform = meter.store._perform

    def counting(operations: Any) -> Any:
        replies = perform(operations)
        for operation, reply in zip(operations, replies, strict=True):
            if isinstance(operation, Reserve) and isinstance(reply, ClaimInProgress):
                told.add(operation.request_id)
        return replies

    monkeypatch.setattr(meter.store, "_perform", counting)
    app = FastAPI()
    runs: list[None] = []

    @app.get("/forecast")
    @metered(meter, api="demo", estimate_wei=ESTIMATE_WEI)
    async def forecast() -> dict[str, int]:
        runs.append(None)
        while len(told) < WAITING:
            await asyncio.sleep(0)
        return {"run": len(runs)}

    async def ask_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            requests = [
                client.get("/forecast", params={"receipt": chain.receipt}, headers={"X-Request-Id": f"r{number}"})
                for number in range(WAITING + 1)
            ]
            return await asyncio.gather(*requests)

    replies = asyncio.run(ask_all())
    assert [(reply.status_code, reply.json()) for reply in replies] == [(200, {"run": 1})] * (WAITING + 1)
    assert len(runs) == 1


# --- a client that goes away in the middle


def test_asgi__client_gone_within_a_stream__uses_the_receipt_up(meter: Meter, chain: OneCall) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    sent: list[Any] = []

    async def request() -> None:
        incoming = deque([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return incoming.popleft()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"x-receipt-id", chain.receipt.encode())]
        scope = {"type": "http", "method": "GET", "path": "/it", "query_string": b"", "headers": headers}
        await MeteredASGI(app, meter.metering(**TERMS))(scope, receive, send)

    asyncio.run(request())
    asyncio.run(request())
    assert [message["status"] for message in sent if "status" in message] == [200, 410]


def test_wsgi__stream_closed_by_the_server__uses_the_receipt_up(meter: Meter, chain: OneCall) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"some", b"more"])

    statuses: list[str] = []

    def request() -> None:
        environ: dict[str, Any] = {"HTTP_X_RECEIPT_ID": chain.receipt, "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        metered = MeteredWSGI(app, meter.metering(**TERMS))
        result = metered(environ, lambda status, headers, exc_info=None: statuses.append(status))
        next(iter(result))
        if hasattr(result, "close"):
            result.close()

    request()
    request()
    assert [status[:3] for status in statuses] == ["200", "410"]
