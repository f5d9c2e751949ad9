"""The same service for Django: sync and async views, decorated or within the middleware."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import django
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web.django import metered

from .terms import OWN_COST_WEI, PLAIN, TERMS, Boom, chunks, same

if not settings.configured:
    settings.configure(
        SECRET_KEY="of tests",
        ALLOWED_HOSTS=["*"],
        DATABASES={},
        ROOT_URLCONF=types.ModuleType("no_urls"),
        LOGGING=None,
        DATA_UPLOAD_MAX_MEMORY_SIZE=2**20,
    )
    django.setup()

MIDDLEWARE = "api_billing.metering.web.django.meter_middleware"


async def pieces(torn: bool) -> AsyncIterator[bytes]:
    for chunk in chunks(torn):
        yield chunk


def answer(request: HttpRequest, seen: list[str], *, is_async: bool) -> HttpResponse | StreamingHttpResponse:
    """What the views answer, by path."""
    if request.path in ("/stream", "/torn"):
        torn = request.path == "/torn"
        return StreamingHttpResponse(pieces(torn) if is_async else chunks(torn))
    if request.path == "/boom":
        raise Boom("before anything")
    if request.path == "/missing":
        seen.append(request.path)
        raise Http404("not here")
    if request.path == "/fail":
        return HttpResponse("broken", status=503)
    if request.path == "/echo":
        return HttpResponse(request.body)
    if request.path == "/cost":
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(OWN_COST_WEI)
    seen.append(request.path)
    length = {"Content-Length": str(len(PLAIN) + 1)} if request.path == "/short" else None
    return HttpResponse(PLAIN, content_type="application/json", headers=length)


def urls(terms: Callable[..., Any], seen: list[str], *, is_async: bool) -> types.ModuleType:
    """A URL configuration."""

    def sync_view(request: HttpRequest) -> Any:
        return answer(request, seen, is_async=False)

    async def async_view(request: HttpRequest) -> Any:
        return answer(request, seen, is_async=True)

    view = terms(async_view if is_async else sync_view)
    names = ("plain", "stream", "torn", "boom", "missing", "fail", "echo", "cost", "short")
    module = types.ModuleType("urls")
    module.urlpatterns = [path(name, view) for name in names]  # type: ignore[attr-defined]
    return module


def decorated(meter: Meter, seen: list[str], *, is_async: bool) -> dict[str, Any]:
    """Settings: decorated views."""
    return {"ROOT_URLCONF": urls(metered(meter, **TERMS), seen, is_async=is_async), "MIDDLEWARE": []}


def within_middleware(meter: Meter, seen: list[str], *, is_async: bool) -> dict[str, Any]:
    """Settings: the middleware around all views."""
    return {
        "ROOT_URLCONF": urls(same, seen, is_async=is_async),
        "MIDDLEWARE": [MIDDLEWARE],
        "API_BILLING": {"meter": meter, **TERMS},
    }
