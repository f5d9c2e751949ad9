"""The same service for Django: sync and async views, decorated or within the middleware."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import django
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path

from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web.django import metered

from .terms import EVENT_STREAM, EVENTS, OWN_COST_WEI, OWN_FIELDS, PLAIN, TERMS, Boom, chunks, growing, same

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


async def each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


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
    if request.path == "/moved":
        return HttpResponseRedirect("/plain", status=303)
    if request.path == "/own":
        return HttpResponse(PLAIN, headers=OWN_FIELDS)
    if request.path in ("/events", "/growing"):
        parts = iter(EVENTS) if request.path == "/events" else growing()
        kind = EVENT_STREAM if request.path == "/events" else None
        return StreamingHttpResponse(each(parts) if is_async else parts, content_type=kind)
    length = {"Content-Length": str(len(PLAIN) + 1)} if request.path == "/short" else None
    return HttpResponse(PLAIN, content_type="application/json", headers=length)


def urls(terms: Callable[..., Any], seen: list[str], *, is_async: bool) -> types.ModuleType:
    """A URL configuration."""

    def sync_view(request: HttpRequest) -> Any:
        return answer(request, seen, is_async=False)

    async def async_view(request: HttpRequest) -> Any:
        return answer(request, seen, is_async=True)

    view = terms(async_view if is_async else sync_view)
    names = (
        "plain",
        "stream",
        "torn",
        "boom",
        "missing",
        "fail",
        "echo",
        "cost",
        "short",
        "events",
        "growing",
        "moved",
        "own",
    )
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
