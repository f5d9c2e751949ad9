"""``@metered`` and ``exempt`` on all that views can be: each works, or says what is wrong where it is written."""

from __future__ import annotations

import asyncio
import functools
import gc
import types
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from flask.views import MethodView
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api_billing.metering.meter import Meter
from api_billing.metering.web import django, fastapi, starlette
from api_billing.metering.web import flask as flask_adapter

from .django_apps import MIDDLEWARE
from .subjects import Reply, by_async_django, by_django, by_starlette, by_werkzeug

WEI = 7
TERMS: dict[str, Any] = {"api": "demo", "estimate_wei": WEI}
OUTER: dict[str, Any] = {"api": "demo", "estimate_wei": 100}
Decorate = Callable[[Any], Any]


def get(app: Any, by: Callable[[Any], Any], where: str = "/it", method: str = "GET") -> Reply:
    with by(app) as (send, _):
        reply: Reply = send(method, where, {"X-Consumer": "ann"}, b"")
        assert reply.status == 200, reply
        return reply


def charged(meter: Meter) -> int:
    balance = meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


# --- FastAPI and Starlette


@pytest.fixture
def metered(meter: Meter) -> Decorate:
    return fastapi.metered(meter, **TERMS)


@pytest.mark.parametrize("kind", [fastapi, starlette])
@pytest.mark.parametrize("router", [FastAPI, APIRouter])
def test_metered__above_the_route__is_refused(meter: Meter, kind: Any, router: Any) -> None:
    with pytest.raises(TypeError, match="below the decorator of the route"):

        @kind.metered(meter, **TERMS)
        @router().get("/it")
        async def it(request: Request) -> str:
            return "it"


def test_metered__of_a_function_that_is_served_already_under_its_name__works(meter: Meter, metered: Decorate) -> None:
    async def it() -> str:
        return "it"

    app = FastAPI()
    app.get("/free")(it)
    app.get("/it")(metered(it))
    get(app, by_starlette, "/free")
    assert charged(meter) == 0
    get(app, by_starlette)
    assert charged(meter) == WEI


@pytest.mark.parametrize("kind", [fastapi, starlette, flask_adapter])
def test_metered__of_a_new_function__looks_for_nobody(meter: Meter, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_referrers", lambda *objects: pytest.fail("this takes milliseconds"))

    @kind.metered(meter, **TERMS)
    def it(request: Request) -> str:
        return "it"

    assert it.__name__ == "it"


@pytest.mark.parametrize("kind", [fastapi, starlette, flask_adapter, django])
def test_metered__twice_on_a_function__is_refused(meter: Meter, kind: Any) -> None:
    def other(view: Any) -> Any:
        return functools.wraps(view)(lambda *args, **kwargs: view(*args, **kwargs))

    with pytest.raises(TypeError, match="twice"):

        @kind.metered(meter, **TERMS)
        @other
        @kind.metered(meter, **OUTER)
        def it(request: Request) -> str:
            return "it"


@pytest.mark.parametrize("kind", [fastapi, starlette, flask_adapter, django])
@pytest.mark.parametrize(
    ("what", "hint"),
    [
        (Starlette(), "MeteredASGI"),
        (flask.Flask("it"), "MeteredWSGI"),
        (classmethod(lambda cls: "it"), "below such a decorator"),
        (HTTPEndpoint, "the class HTTPEndpoint"),
        ("it", "for functions"),
    ],
)
def test_metered__of_what_is_no_view__is_refused(meter: Meter, kind: Any, what: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        kind.metered(meter, **TERMS)(what)


@pytest.mark.parametrize("kind", [fastapi, starlette])
def test_metered__of_a_websocket__points_to_the_middleware(meter: Meter, kind: Any) -> None:
    def named(websocket: Any) -> None: ...
    def annotated(connection: WebSocket) -> None: ...

    for endpoint in (named, annotated):
        with pytest.raises(TypeError, match="websockets=True"):
            kind.metered(meter, **TERMS)(endpoint)


def test_metered__method_of_an_object__is_charged(meter: Meter, metered: Decorate) -> None:
    class Forecasts:
        def __init__(self) -> None:
            self.router = APIRouter()
            self.router.add_api_route("/it", self.one)
            self.router.add_api_route("/sync", self.two)
            self.router.add_api_route("/lines", self.three)

        @metered
        async def one(self, n: int = 1) -> dict[str, int]:
            return {"n": n}

        @metered
        def two(self, request: Request) -> str:
            return request.url.path

        @metered
        def three(self) -> Iterator[int]:
            yield 3

    app = FastAPI()
    app.include_router(Forecasts().router)
    assert get(app, by_starlette, "/it?n=3").body == b'{"n":3}'
    assert get(app, by_starlette, "/sync").body == b'"/sync"'
    assert get(app, by_starlette, "/lines").body.strip() == b"3"
    assert charged(meter) == 3 * WEI


def test_metered__dependency__says_so_with_every_request(meter: Meter, metered: Decorate) -> None:
    app = FastAPI()

    @app.get("/it")
    def it(paid: int = Depends(metered(lambda: 1))) -> int:
        return paid

    with by_starlette(app) as (send, _), pytest.raises(TypeError, match="MeterDependency"):
        send("GET", "/it", {"X-Consumer": "ann"}, b"")


def test_metered__method_whose_object_is_a_dependency__is_charged(meter: Meter, metered: Decorate) -> None:
    app = FastAPI()

    class Forecasts:
        @metered
        async def it(self, n: int = 1) -> int:
            return n

    # As the class-based views of libraries do it: ``self`` is made by a dependency.
    endpoint: Any = Forecasts.it
    first, *others = endpoint.__signature__.parameters.values()
    own = first.replace(default=Depends(Forecasts), kind=first.KEYWORD_ONLY)
    endpoint.__signature__ = endpoint.__signature__.replace(
        parameters=[own, *(other.replace(kind=other.KEYWORD_ONLY) for other in others)]
    )
    app.get("/it")(endpoint)
    assert get(app, by_starlette, "/it?n=5").body == b"5"
    assert charged(meter) == WEI


def test_metered__endpoint_of_starlette_in_fastapi__is_charged(meter: Meter, metered: Decorate) -> None:
    class Endpoint(HTTPEndpoint):
        @metered
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("it")

    @metered
    def function(request: Request) -> PlainTextResponse:
        return PlainTextResponse("it")

    app = FastAPI()
    app.add_route("/it", Endpoint)
    app.add_route("/function", function)
    get(app, by_starlette)
    get(app, by_starlette, "/function")
    assert charged(meter) == 2 * WEI


class Saying:
    """An object that serves."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def __call__(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(self.text)


def with_a_text(text: str, request: Request) -> PlainTextResponse:
    return PlainTextResponse(text)


@pytest.mark.parametrize("what", [Saying("it"), functools.partial(with_a_text, "it")], ids=["object", "partial"])
@pytest.mark.parametrize("kind", [fastapi, starlette])
def test_metered__callable_that_is_no_function__is_charged(meter: Meter, kind: Any, what: Any) -> None:
    endpoint = kind.metered(meter, **TERMS)(what)
    app: Any
    if kind is fastapi:
        app = FastAPI()
        app.get("/it")(endpoint)
    else:
        app = Starlette(routes=[Route("/it", endpoint)])
    assert get(app, by_starlette).body == b"it"
    assert charged(meter) == WEI


# --- Flask


@pytest.mark.parametrize("owner", [flask.Flask("it"), flask.Blueprint("it", "it")], ids=["app", "blueprint"])
def test_metered__above_the_route_of_flask__is_refused(meter: Meter, owner: Any) -> None:
    with pytest.raises(TypeError, match="below the decorator of the route"):

        @flask_adapter.metered(meter, **TERMS)
        @owner.get("/it")
        def it() -> str:
            return "it"


def flask_app(meter: Meter, view: Any) -> flask.Flask:
    """All of it metered on other terms."""
    app = flask.Flask("views")
    flask_adapter.ApiBilling(app, meter, **OUTER)
    app.add_url_rule("/it", view_func=view.as_view("it") if isinstance(view, type) else view)
    return app


@pytest.mark.parametrize("on", ["class", "method", "decorators"])
def test_metered__class_of_views_of_flask__has_its_own_terms(meter: Meter, on: str) -> None:
    own = flask_adapter.metered(meter, **TERMS)

    class It(MethodView):
        decorators = [own] if on == "decorators" else []

        def get(self) -> str:
            return "it"

    if on == "method":
        It.get = own(It.get)  # type: ignore[method-assign]
    get(flask_app(meter, own(It) if on == "class" else It), by_werkzeug)
    assert charged(meter) == WEI


@pytest.mark.parametrize("on", ["class", "method", "view"])
def test_exempt__class_of_views_of_flask__costs_nothing(meter: Meter, on: str) -> None:
    exempt = flask_adapter.ApiBilling().exempt

    class It(MethodView):
        def get(self) -> str:
            return "it"

    view: Any = It
    if on == "class":
        exempt(It)
    elif on == "method":
        exempt(It.get)
    else:
        view = exempt(It.as_view("it"))
    get(flask_app(meter, view), by_werkzeug)
    assert charged(meter) == 0


@pytest.mark.parametrize("nested", [False, True])
def test_exempt__blueprint__costs_nothing(meter: Meter, nested: bool) -> None:
    app = flask.Flask("blueprints")
    billing = flask_adapter.ApiBilling(app, meter, **OUTER)
    free = flask.Blueprint("free", "free")
    free.get("/it", endpoint="it")(lambda: "it")
    outer = flask.Blueprint("outer", "outer")
    if nested:
        outer.register_blueprint(free)
    assert billing.exempt(outer if nested else free) in (outer, free)
    app.register_blueprint(outer if nested else free)
    get(app, by_werkzeug)
    assert charged(meter) == 0


@pytest.mark.parametrize("exempt", [flask_adapter.ApiBilling().exempt, django.exempt])
def test_exempt__of_what_cannot_be__is_refused(meter: Meter, exempt: Any) -> None:
    with pytest.raises(TypeError, match="views"):
        exempt("static")
    with pytest.raises(TypeError, match="cannot be exempt"):
        exempt(django.metered(meter, **TERMS)(lambda request: None))


# --- Django


def serve_django(meter: Meter, view: Any, *, is_async: bool, middleware: bool = False, method: str = "GET") -> None:
    urls = types.ModuleType("urls_of_views")
    urls.urlpatterns = [path("it", view)]  # type: ignore[attr-defined]
    settings: dict[str, Any] = {"ROOT_URLCONF": urls, "MIDDLEWARE": [MIDDLEWARE] if middleware else []}
    settings["API_BILLING"] = {"meter": meter, **OUTER}
    get(settings, by_async_django if is_async else by_django, method=method)


def views_of(*, is_async: bool) -> type[View]:
    class Sync(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("it")

    class Async(View):
        async def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("it")

    return Async if is_async else Sync


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("on", ["class", "dispatch", "method", "view"])
def test_metered__class_of_views_of_django__is_charged(meter: Meter, on: str, is_async: bool, middleware: bool) -> None:
    own, kind = django.metered(meter, **TERMS), views_of(is_async=is_async)
    if on == "class":
        view = own(kind).as_view()
    elif on == "view":
        view = own(kind.as_view())
    else:
        view = method_decorator(own, name="dispatch" if on == "dispatch" else "get")(kind).as_view()
    serve_django(meter, view, is_async=is_async, middleware=middleware)
    serve_django(meter, view, is_async=is_async, middleware=middleware, method="HEAD")
    assert charged(meter) == 2 * WEI


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("on", ["class", "dispatch", "method", "view"])
def test_exempt__class_of_views_of_django__costs_nothing(meter: Meter, on: str, is_async: bool) -> None:
    kind = views_of(is_async=is_async)
    if on == "class":
        view = django.exempt(kind).as_view()
    elif on == "view":
        view = django.exempt(kind.as_view())
    else:
        view = method_decorator(django.exempt, name="dispatch" if on == "dispatch" else "get")(kind).as_view()
    serve_django(meter, view, is_async=is_async, middleware=True)
    assert charged(meter) == 0


@pytest.mark.parametrize("decorate", [django.identified(), django.metered(**TERMS)])
def test_decorator__straight_on_a_method_of_a_django_view__is_refused(decorate: Decorate) -> None:
    def get(self: Any, request: Any) -> None: ...

    with pytest.raises(TypeError, match="method_decorator"):
        decorate(get)


def test_metered__dispatch_that_is_decorated_in_a_subclass__has_its_terms(meter: Meter) -> None:
    base = method_decorator(django.metered(meter, **OUTER), name="dispatch")(views_of(is_async=True))
    view = method_decorator(django.metered(meter, **TERMS), name="dispatch")(type("Sub", (base,), {})).as_view()
    serve_django(meter, view, is_async=True)
    assert charged(meter) == WEI


def test_metered__dispatch_of_coroutines_that_answers_itself__is_charged(meter: Meter) -> None:
    class Own(views_of(is_async=True)):  # type: ignore[misc]
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return HttpResponse("itself") if request.method == "HEAD" else super().dispatch(request, *args, **kwargs)

    kind = method_decorator(django.metered(meter, **TERMS), name="dispatch")(Own)
    request = HttpRequest()
    request.method, request.META = "HEAD", {"HTTP_X_CONSUMER": "ann"}
    view = kind.as_view()

    async def answered() -> HttpResponse:
        return await view(request)  # type: ignore[no-any-return, misc]

    assert asyncio.run(answered()).content == b"itself"
    assert charged(meter) == WEI


@pytest.mark.parametrize("is_async", [False, True])
def test_metered__object_that_is_a_view_of_django__is_charged(meter: Meter, is_async: bool) -> None:
    class Sync:
        def __call__(self, request: HttpRequest) -> StreamingHttpResponse:
            return StreamingHttpResponse(iter([b"it"]))

    class Async:
        async def __call__(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("it")

    view = django.metered(meter, **TERMS)(Async() if is_async else Sync())
    serve_django(meter, view, is_async=is_async)
    assert charged(meter) == WEI


@pytest.mark.parametrize("is_async", [False, True])
def test_view__that_answers_nothing__is_told_so_by_django_and_costs_nothing(meter: Meter, is_async: bool) -> None:
    async def async_view(request: HttpRequest) -> None: ...
    def sync_view(request: HttpRequest) -> None: ...

    view = django.metered(meter, **TERMS)(async_view if is_async else sync_view)
    with pytest.raises(ValueError, match="returned None"):
        serve_django(meter, view, is_async=is_async)
    assert charged(meter) == 0
