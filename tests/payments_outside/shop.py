"""A metered API on a localnet that takes payments, served to clients of other processes, and what it earned."""

from __future__ import annotations

import threading
import types
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, StreamingResponse

from api_billing.metering import current_exchange
from api_billing.metering.meter import Meter
from api_billing.metering.service.serving import listen, url_of
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.web.fastapi import metered
from tests.metering.settlement.places import PRICE, SessionPlace

WAIT_SECONDS = 60
PIECES = [b"one ", b"two ", b"three"]
EVENTS = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
CHEAP = PRICE // 20


class Shop:
    """``place`` is its chain, its consumer and its store; the routes are at ``url``."""

    def __init__(self, place: SessionPlace, protocols: str = "x402,mpp") -> None:
        given = {"payments": protocols, "holds_from": "accepted", "credit_refresh_seconds": 1, "key_pepper": "p" * 32}
        settings = MeterSettings.load(store_url="memory://", contract=place.contract, url=place.network.url, **given)
        self.place, self.url = place, ""
        self.streams = threading.Event()  # a stream of events has begun
        self.serves = threading.Event()  # a request for `/slow` is being served
        self.gate = threading.Event()  # lets it end
        self.meter = Meter(place.store, settings, clock_ms=place.now_ms)
        self.meter.on_chain = OnChain(place.operator, place.store, settings, place.now_ms, place.alerts.append)
        self.meter.on_chain.start = lambda: None  # type: ignore[method-assign]

    def key(self, role: str) -> str:
        return "0x" + self.place.key(role).hex()

    @property
    def charged_wei(self) -> int:
        return sum(each.charged_wei for each in self.place.sums().values())

    def is_billed(self, charged_wei: int) -> None:
        """So much was charged, and after a settlement exactly that is billed, earned and reported."""
        place = self.place
        assert self.charged_wei == charged_wei
        place.served_wei = charged_wei
        assert place.settle().status == "done"
        place.is_billed_once()
        (api,) = (each for each in place.consumer.get_usage_report(place.who).apis if each.api_name == place.api)
        assert api.spend_today_wei == charged_wei


def application(shop: Shop) -> FastAPI:
    """A call costs a price; `/half` turns out to cost half of it, `/free` nothing, `/cheap` is asked less for."""
    app, terms = FastAPI(), {"api": shop.place.api, "estimate_wei": PRICE}

    @app.get("/forecast")
    @metered(shop.meter, **terms)
    async def forecast() -> dict[str, str]:
        return {"id": uuid.uuid4().hex}

    @app.get("/half")
    @metered(shop.meter, **terms, price=PRICE // 2)
    async def half() -> str:
        return "half"

    @app.get("/free")
    @metered(shop.meter, **terms)
    def free() -> str:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(0)
        return "free"

    @app.get("/cheap")
    @metered(shop.meter, api=shop.place.api, estimate_wei=CHEAP)
    async def cheap() -> str:
        return "cheap"

    @app.get("/slow")
    @metered(shop.meter, **terms)
    def slow() -> str:
        shop.serves.set()
        assert shop.gate.wait(WAIT_SECONDS)
        return "slow"

    @app.post("/summary")
    @metered(shop.meter, **terms)
    async def summary(request: Request) -> Any:
        return {"id": uuid.uuid4().hex, "body": await request.json()}

    @app.get("/stream")
    @metered(shop.meter, **terms)
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece

        return StreamingResponse(pieces())

    @app.api_route("/events", methods=["GET", "HEAD"])
    @metered(shop.meter, api=shop.place.api, estimate_wei=CHEAP)
    async def events() -> StreamingResponse:
        """Each of them costs the same."""
        exchange = current_exchange()
        assert exchange is not None

        async def each() -> AsyncIterator[bytes]:
            yield EVENTS[0]
            for event in EVENTS[1:]:
                shop.streams.set()
                exchange.extend(CHEAP)
                yield event

        return StreamingResponse(each(), media_type="text/event-stream")

    @app.get("/missing")
    @metered(shop.meter, **terms)
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/moved")
    @metered(shop.meter, **terms)
    async def moved() -> RedirectResponse:
        return RedirectResponse("/forecast")

    @app.get("/boom")
    @metered(shop.meter, **terms)
    async def boom() -> None:
        raise RuntimeError("boom")

    return app


def flask_application(shop: Shop) -> Any:
    """A call and a stream."""
    from flask import Flask, Response

    from api_billing.metering.web.flask import metered

    app, metered_here = Flask("shop"), metered(shop.meter, api=shop.place.api, estimate_wei=PRICE)
    app.get("/forecast", endpoint="forecast")(metered_here(lambda: {"id": uuid.uuid4().hex}))
    app.get("/stream", endpoint="stream")(metered_here(lambda: Response(iter(PIECES))))
    return app


@contextmanager
def django_application(shop: Shop) -> Iterator[Any]:
    """The same, of Django; its settings are those of the process while this runs."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import JsonResponse, StreamingHttpResponse
    from django.test import override_settings
    from django.urls import path

    from api_billing.metering.web.django import metered
    from tests.metering.web import django_apps  # which configures Django

    metered_here = metered(shop.meter, api=shop.place.api, estimate_wei=PRICE)
    urls = types.ModuleType("urls_of_the_shop")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("forecast", metered_here(lambda _: JsonResponse({"id": uuid.uuid4().hex}))),
        path("stream", metered_here(lambda _: StreamingHttpResponse(iter(PIECES)))),
    ]
    assert django_apps
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=[]):
        yield WSGIHandler()


@contextmanager
def served_by_wsgi(app: Any) -> Iterator[str]:
    """Where a WSGI application is served, on loopback."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(WAIT_SECONDS)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Where an ASGI application is served, on loopback."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join(WAIT_SECONDS)
