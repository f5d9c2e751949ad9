"""A service that is paid at the door, for real servers in these tests: a stream of events, each process with a chain of
its own that says the same.
"""

import os
import types
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.meter import Meter

from .paying import open_shop
from .terms import BASE_WEI, EVENT_STREAM, EVENTS, TERMS

ROOM_WEI = BASE_WEI + len(EVENTS[0])
PAID: dict[str, Any] = {**TERMS, "estimate_wei": ROOM_WEI}
_open = ExitStack()


def open_meter() -> Meter:
    settings = {"payments": "x402,mpp", "key_pepper": "that of all processes"}
    url, now_ms = os.environ["METER_URL"], int(os.environ["METER_NOW_MS"])
    return _open.enter_context(open_shop(from_header("X-Key"), url, now_ms=now_ms, **settings)).meter


def fastapi_app() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    from api_billing.metering.web.fastapi import metered

    async def each() -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event

    app = FastAPI()

    @app.api_route("/events", methods=["GET", "HEAD"])  # so that it can be brought a voucher
    @metered(open_meter(), **PAID)
    async def events() -> StreamingResponse:
        return StreamingResponse(each(), media_type=EVENT_STREAM)

    return app


def flask_app() -> Any:
    from flask import Flask, Response

    from api_billing.metering.web.flask import metered

    app = Flask("paid")

    @app.get("/events")
    @metered(open_meter(), **PAID)
    def events() -> Response:
        return Response(iter(EVENTS), mimetype=EVENT_STREAM)

    return app


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import StreamingHttpResponse
    from django.urls import path

    from api_billing.metering.web.django import metered

    def pieces() -> Iterator[bytes]:
        yield from EVENTS

    view = metered(open_meter(), **PAID)(lambda request: StreamingHttpResponse(pieces(), content_type=EVENT_STREAM))
    urls = types.ModuleType("paid_urls")
    urls.urlpatterns = [path("events", view)]  # type: ignore[attr-defined]
    settings.configure(
        SECRET_KEY="of tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, DATABASES={}, LOGGING_CONFIG=None,
    )  # fmt: skip
    django.setup()
    return get_wsgi_application()
