"""What is Django's own."""

from __future__ import annotations

import asyncio
import io
import json
import types
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIHandler
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.meter import Meter
from api_billing.metering.web.django import exempt, metered
from api_billing.metering.web.django_configuration import configured_meter

from .django_apps import MIDDLEWARE
from .terms import BASE_WEI, CONSUMER, CREDIT_WEI, TERMS, Boom

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]


def charged(meter: Meter) -> int:
    balance = meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


def site(view: Any, *middleware: str, **settings: Any) -> Any:
    """Settings of a site with one view at /it/<number>."""
    urls = types.ModuleType("urls")
    urls.urlpatterns = [path("it/<int:number>", view)]  # type: ignore[attr-defined]
    return override_settings(ROOT_URLCONF=urls, MIDDLEWARE=list(middleware), **settings)


def get(view: Any, *middleware: str, **settings: Any) -> Any:
    with site(view, *middleware, **settings):
        return Client(headers=CONSUMER).get("/it/17")


def billing(meter: Meter) -> dict[str, Any]:
    return {"API_BILLING": {"meter": meter, **TERMS}}


def test_view__exempt_that_charges_what_is_not_allowed__is_its_problem(meter: Meter) -> None:
    @exempt
    def view(request: HttpRequest, number: int) -> HttpResponse:
        meter.charge("ann", 2 * CREDIT_WEI, api="jobs")
        return HttpResponse()

    refused = get(view, MIDDLEWARE, **billing(meter))
    assert (refused.status_code, json.loads(refused.content)["code"]) == (402, "insufficient_credit")


def test_view__with_a_pattern__is_recorded_by_it(meter: Meter) -> None:
    get(metered(meter, **TERMS)(lambda request, number: HttpResponse(str(number))))
    (record,) = meter.store.call(ListRecords())
    assert record.route == "/it/<int:number>"


@pytest.mark.parametrize("is_async", [False, True])
def test_method_of_a_class__decorated__is_metered(meter: Meter, is_async: bool) -> None:
    decorated = method_decorator(metered(meter, **TERMS))

    class Sync(View):
        @decorated
        def get(self, request: HttpRequest, number: int) -> HttpResponse:
            return HttpResponse("four")

    class Async(View):
        @decorated
        async def get(self, request: HttpRequest, number: int) -> HttpResponse:
            return HttpResponse("four")

    assert get((Async if is_async else Sync).as_view())["X-Cost-Wei"] == str(BASE_WEI + 4)
    assert charged(meter) == BASE_WEI + 4


def test_template__rendered_after_the_view__is_charged_by_its_length(meter: Meter) -> None:
    @metered(meter, **TERMS)
    def view(request: HttpRequest, number: int) -> TemplateResponse:
        return TemplateResponse(request, engines["django"].from_string("number {{ number }}"), {"number": number})

    with override_settings(TEMPLATES=TEMPLATES):
        reply = get(view)
    assert (reply.content, reply["X-Cost-Wei"]) == (b"number 17", str(BASE_WEI + 9))
    assert charged(meter) == BASE_WEI + 9


def test_template__that_fails__costs_nothing(meter: Meter) -> None:
    @metered(meter, **TERMS)
    def view(request: HttpRequest, number: int) -> TemplateResponse:
        return TemplateResponse(request, "no such template")

    with override_settings(TEMPLATES=TEMPLATES), site(view):
        client = Client(headers=CONSUMER, raise_request_exception=False)
        assert client.get("/it/17").status_code == 500
    assert charged(meter) == 0


def test_file__sent__is_charged_by_its_length(meter: Meter) -> None:
    reply = get(metered(meter, **TERMS)(lambda request, number: FileResponse(io.BytesIO(b"x" * 5000))))
    assert len(reply.getvalue()) == 5000
    reply.close()
    assert charged(meter) == BASE_WEI + 5000
    assert reply.file_to_stream is None, "a server would read the file past the meter"


def test_stream__closed_in_the_middle__is_charged_as_far_as_it_went(meter: Meter) -> None:
    reply = get(metered(meter, **TERMS)(lambda request, number: StreamingHttpResponse(iter([b"four", b"more"]))))
    assert next(iter(reply)) == b"four"
    reply.close()
    assert charged(meter) == BASE_WEI + 4


@pytest.mark.parametrize("started", [False, True])
async def test_async_stream__whose_client_goes_away__is_charged_as_far_as_it_went(meter: Meter, started: bool) -> None:
    gone, waits = asyncio.Event(), asyncio.Event()
    sent: list[Any] = []

    async def body() -> AsyncIterator[bytes]:
        if started:
            yield b"four"
        gone.set()
        await asyncio.Event().wait()

    @metered(meter, **TERMS)
    async def view(request: HttpRequest, number: int) -> StreamingHttpResponse:
        return StreamingHttpResponse(body())

    async def receive() -> Any:
        if not waits.is_set():
            waits.set()
            return {"type": "http.request"}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/it/17",
        "query_string": b"",
        "headers": [(b"x-consumer", b"ann")],
    }
    with site(view):
        await ASGIHandler()(scope, receive, send)
    assert charged(meter) == (BASE_WEI + 4 if started else 0)


@pytest.mark.parametrize("error", [Http404, PermissionDenied])
def test_error__of_the_client__has_our_fields_with_the_middleware(meter: Meter, error: type[Exception]) -> None:
    @metered(meter, **TERMS)
    def view(request: HttpRequest, number: int) -> HttpResponse:
        raise error

    reply = get(view, MIDDLEWARE, **billing(meter))
    assert reply.status_code in (403, 404)
    assert int(reply["X-Cost-Wei"]) == charged(meter) > 0


def test_form__parsed_before_the_view__is_compared_by_its_fields(meter: Meter) -> None:
    @metered(meter, **TERMS)
    def view(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(request.FILES["file"].read())  # type: ignore[union-attr]

    def reads_the_form(request: HttpRequest, number: int) -> Any:
        assert request.POST["name"] == "n"
        return view(request, number)

    def post(content: bytes) -> Any:
        with site(reads_the_form):
            data = {"name": "n", "file": SimpleUploadedFile("f.txt", content)}
            return Client(headers={**CONSUMER, "Idempotency-Key": "k"}).post("/it/17", data)

    assert [post(b"text").content, post(b"text").content] == [b"text", b"text"]
    assert post(b"test").status_code == 422


# --- the middleware and its settings


def test_middleware__with_an_exempt_view__does_not_meter_it(meter: Meter) -> None:
    reply = get(exempt(lambda request, number: HttpResponse("free")), MIDDLEWARE, **billing(meter))
    assert (reply.content, charged(meter)) == (b"free", 0)


def test_middleware__with_a_decorated_view__leaves_it_its_own_terms(meter: Meter) -> None:
    view = metered(meter, api="other", estimate_wei=3)(lambda request, number: HttpResponse("own"))
    assert get(view, MIDDLEWARE, **billing(meter))["X-Cost-Wei"] == "3"
    assert charged(meter) == 3


def test_middleware__for_a_path_without_a_view__is_metered_as_no_route(meter: Meter) -> None:
    with site(lambda request, number: None, MIDDLEWARE, **billing(meter)):
        assert Client(headers=CONSUMER).get("/nowhere").status_code == 404
    (record,) = meter.store.call(ListRecords())
    assert record.route == "(no route)"


def test_middleware__around_a_failing_view__answers_500_and_costs_nothing(meter: Meter) -> None:
    def view(request: HttpRequest, number: int) -> HttpResponse:
        raise Boom

    with site(view, MIDDLEWARE, **billing(meter)):
        assert Client(headers=CONSUMER, raise_request_exception=False).get("/it/17").status_code == 500
    assert charged(meter) == 0


def test_middleware__without_an_api__says_so(meter: Meter) -> None:
    with pytest.raises(InvalidSetting, match="api is missing"):
        get(lambda request, number: None, MIDDLEWARE, API_BILLING={"meter": meter})


def test_meter__of_the_settings__is_the_same_for_all_views() -> None:
    with override_settings(API_BILLING={"store_url": "memory://"}):
        view = metered(api="demo", estimate_wei=5)(lambda request, number: HttpResponse("x"))
        assert get(view).status_code == 401
        with configured_meter() as opened:
            assert configured_meter() is opened


def test_meter__named_by_its_path__is_imported() -> None:
    with override_settings(API_BILLING={"meter": "string.punctuation"}):
        assert configured_meter() == __import__("string").punctuation


async def test_async_view__behind_the_async_middleware__is_metered(meter: Meter) -> None:
    async def view(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse("four")

    with site(view, MIDDLEWARE, **billing(meter)):
        reply = await AsyncClient().get("/it/17", headers=CONSUMER)
    assert reply["X-Cost-Wei"] == str(BASE_WEI + 4)
