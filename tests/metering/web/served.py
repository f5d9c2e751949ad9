"""The service that real servers run in these tests: ``served:fastapi_app``, ``flask_app``, ``django_app`` (factories).

Gates are named pipes: a handler waits at one until the test opens it.
"""

import asyncio
import json
import os
import types
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.meter import Meter
from api_billing.metering.request.prices import by_response_size

ESTIMATE_WEI = 500
TERMS: dict[str, Any] = {"api": "demo", "estimate_wei": ESTIMATE_WEI, "price": by_response_size(10, 1024)}
FIXED: dict[str, Any] = {"api": "demo", "estimate_wei": ESTIMATE_WEI}
LARGE = bytes(65_536)
MANY = 2_000


def open_meter() -> Meter:
    return Meter.open(os.environ["METER_URL"], identify=from_header("X-Consumer"))


def pass_gate(path: str) -> None:
    """Wait until somebody lets one through."""
    with open(path, "rb", buffering=0) as gate:
        gate.read(1)


def steps(gate: str) -> Iterator[bytes]:
    """Three pieces, each after the first when the gate was opened again."""
    for number in range(3):
        if number:
            pass_gate(gate)
        yield b"piece"


def endless(gate: str) -> Iterator[bytes]:
    """One piece, and more than any client takes."""
    yield b"piece"
    pass_gate(gate)
    for _ in range(MANY):
        yield LARGE


async def in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(next, pieces, None):
        yield piece


def fastapi_app() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse

    from api_billing.metering.web.fastapi import metered

    app = FastAPI()
    meter = open_meter()

    @app.api_route("/plain", methods=["GET", "HEAD", "OPTIONS"])
    @metered(meter, **FIXED)
    async def plain() -> str:
        return "plain"

    @app.post("/new")
    @metered(meter, **FIXED)
    def new(request: Request) -> str:
        return str(uuid.uuid4())

    @app.post("/size")
    @metered(meter, **TERMS)
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/steps")
    @metered(meter, **TERMS)
    async def stepwise(gate: str) -> StreamingResponse:
        return StreamingResponse(in_thread(steps(gate)))

    @app.get("/endless")
    @metered(meter, **TERMS)
    async def unending(gate: str) -> StreamingResponse:
        return StreamingResponse(in_thread(endless(gate)))

    @app.get("/patient")
    @metered(meter, **TERMS)
    async def patient(request: Request) -> str:
        # Whoever goes away within the first milliseconds could as well have gone just after the response.
        await asyncio.sleep(0.02)
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        return "nobody is there"

    @app.get("/boom")
    @metered(meter, **TERMS)
    async def boom() -> None:
        raise RuntimeError("boom")

    return app


def stores_app() -> Any:
    """Below the name of each store of METER_URLS what is metered into it; each answer says which process it is of."""
    from fastapi import FastAPI

    from api_billing.metering.web.fastapi import metered

    app = FastAPI()
    app.get("/")(os.getpid)
    for name, url in json.loads(os.environ["METER_URLS"]).items():
        meter = Meter.open(url, identify=from_header("X-Consumer"))

        @app.get(f"/{name}")
        @metered(meter, **FIXED)
        async def plain() -> int:
            await asyncio.sleep(0)
            return os.getpid()

    return app


def flask_app() -> Any:
    from flask import Flask, Response, request

    from api_billing.metering.web.flask import metered

    app = Flask("served")
    meter = open_meter()
    app.route("/plain", methods=["GET", "OPTIONS"])(metered(meter, **FIXED)(lambda: '"plain"'))
    app.get("/pid", endpoint="pid")(metered(meter, **FIXED)(lambda: str(os.getpid())))
    app.get("/held", endpoint="held")(
        metered(meter, **FIXED)(lambda: pass_gate(request.args["gate"]) or str(os.getpid()))
    )
    app.post("/new", endpoint="new")(metered(meter, **FIXED)(lambda: str(uuid.uuid4())))
    app.post("/size", endpoint="size")(metered(meter, **TERMS)(lambda: str(len(request.get_data()))))
    app.get("/steps", endpoint="steps")(metered(meter, **TERMS)(lambda: Response(steps(request.args["gate"]))))
    app.get("/endless", endpoint="endless")(metered(meter, **TERMS)(lambda: Response(endless(request.args["gate"]))))
    app.get("/boom", endpoint="boom")(metered(meter, **TERMS)(lambda: 1 / 0))
    return app


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    from api_billing.metering.web.django import metered

    meter = open_meter()
    urls = types.ModuleType("served_urls")
    views = {
        "plain": metered(meter, **FIXED)(lambda request: HttpResponse('"plain"')),
        "new": metered(meter, **FIXED)(lambda request: HttpResponse(str(uuid.uuid4()))),
        "size": metered(meter, **TERMS)(lambda request: HttpResponse(str(len(request.body)))),
        "steps": metered(meter, **TERMS)(lambda request: StreamingHttpResponse(steps(request.GET["gate"]))),
        "endless": metered(meter, **TERMS)(lambda request: StreamingHttpResponse(endless(request.GET["gate"]))),
        "boom": metered(meter, **TERMS)(lambda request: 1 / 0),
    }
    urls.urlpatterns = [path(name, view) for name, view in views.items()]  # type: ignore[attr-defined]
    settings.configure(
        SECRET_KEY="of tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, DATABASES={}, LOGGING_CONFIG=None,
    )  # fmt: skip
    django.setup()
    return get_wsgi_application()
