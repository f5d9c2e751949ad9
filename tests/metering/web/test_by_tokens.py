"""Prices by tokens on every adapter: answers as a whole, and streams whose last event has the usage."""

import json

import pytest
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from api_billing.metering import TokenPrice, by_tokens
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.web.fastapi import MeterMiddleware

from . import asgi_apps, django_apps, wsgi_apps
from .subjects import ADAPTERS, Subject, by_starlette, subject_of
from .terms import CONSUMER, ESTIMATE_WEI, TERMS, open_meter

USAGE = {"model": "small", "usage": {"prompt_tokens": 5, "completion_tokens": 2}, "choices": []}
PIECE = b'data: {"choices": [{"delta": {}}], "usage": null}\n\n'
EVENTS = [PIECE, PIECE, b"data: " + json.dumps(USAGE).encode() + b"\n\n"]
COST_WEI = 5 * 3 + 2 * 10


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(TERMS, "price", by_tokens({"small": TokenPrice(3, 10)}, per=1))
    for apps in (asgi_apps, django_apps, wsgi_apps):
        monkeypatch.setattr(apps, "EVENTS", [*EVENTS, b"data: [DONE]\n\n"])
    return request.param  # type: ignore[no-any-return]


def charged(subject: Subject) -> int:
    balance = subject.meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


def test_answer__with_usage__is_charged_by_its_tokens(adapter: str) -> None:
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.post("/echo", json.dumps(USAGE).encode()).cost_wei == COST_WEI


def test_stream__with_usage_at_its_end__is_charged_by_its_tokens(adapter: str) -> None:
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.get("/events").status == 200
        assert charged(subject) == COST_WEI
        (record,) = meter.store.call(ListRecords())
        assert json.loads(record.outcome.tags) == {"input_tokens": 5, "output_tokens": 2, "cached_tokens": 0}


def test_answer__without_usage__is_charged_its_whole_estimate(adapter: str) -> None:
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        assert subject.get("/plain").cost_wei == ESTIMATE_WEI
        (record,) = meter.store.call(ListRecords())
        assert record.outcome.error == "price: no usage"


def test_stream__cut_off_before_its_usage__is_charged_its_whole_estimate(adapter: str) -> None:
    with open_meter() as meter, subject_of(adapter, meter) as subject:
        subject.cut("/events", CONSUMER)
        assert charged(subject) == ESTIMATE_WEI


def test_answer__packed_by_middleware__is_charged_by_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TERMS, "price", by_tokens({"small": TokenPrice(3, 10)}, per=1))
    app = FastAPI()
    app.add_middleware(GZipMiddleware, minimum_size=1)

    @app.get("/chat")
    async def chat() -> dict[str, object]:
        return {**USAGE, "text": "long " * 1000}

    with open_meter() as meter:
        app.add_middleware(MeterMiddleware, metering=meter.metering(**TERMS))
        with by_starlette(app) as (send, _):
            reply = send("GET", "/chat", {**CONSUMER, "Accept-Encoding": "gzip"}, b"")
        assert (reply.fields["content-encoding"], reply.cost_wei) == ("gzip", COST_WEI)
