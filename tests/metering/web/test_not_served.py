"""What a framework answers itself, before the view that the client wanted, or beside all views."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.urls import path
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from api_billing.metering.meter import Meter
from api_billing.metering.web import fastapi
from api_billing.metering.web.asgi import MeterMiddleware
from api_billing.metering.web.flask import ApiBilling

from .django_apps import MIDDLEWARE
from .subjects import Reply, by_async_django, by_django, by_starlette, by_werkzeug

WEI = 7
TERMS: dict[str, Any] = {"api": "demo", "estimate_wei": WEI}


def ask(app: Any, by: Callable[[Any], Any], where: str, consumer: str = "ann", method: str = "GET") -> Reply:
    with by(app) as (send, _):
        reply: Reply = send(method, where, {"X-Consumer": consumer} if consumer else {}, b"")
        return reply


def charged(meter: Meter) -> int:
    balance = meter.balance("ann")
    assert balance.reserved_wei == 0
    return balance.charged_wei


def endpoint(request: Any) -> PlainTextResponse:
    return PlainTextResponse("it")


def starlette_app(meter: Meter) -> Any:
    routes = [Route("/it/", endpoint), Route("/other", endpoint), Mount("/in", Router([Route("/it/", endpoint)]))]
    return Starlette(routes=routes, middleware=[Middleware(MeterMiddleware, metering=meter.metering(**TERMS))])


def fastapi_app(meter: Meter) -> Any:
    app, router, inner = FastAPI(), APIRouter(), FastAPI()
    router.get("/it/")(lambda: "it")
    inner.include_router(router)
    app.include_router(router)
    app.get("/other")(lambda: "other")
    app.mount("/in", inner)
    app.add_middleware(MeterMiddleware, metering=meter.metering(**TERMS))
    return app


def flask_app(meter: Meter) -> Any:
    app = flask.Flask("it")
    for rule in ("/it/", "/in/it/"):
        app.add_url_rule(rule, rule, lambda: "it")
    ApiBilling(app, meter, **TERMS)
    return app


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("it")


def django_app(*middleware: str) -> Callable[[Meter], Any]:
    def make(meter: Meter) -> Any:
        urls = types.ModuleType("urls_with_slashes")
        urls.urlpatterns = [path("it/", view), path("in/it/", view)]  # type: ignore[attr-defined]
        return {"ROOT_URLCONF": urls, "MIDDLEWARE": middleware, "API_BILLING": {"meter": meter, **TERMS}}

    return make


COMMON = "django.middleware.common.CommonMiddleware"
APPS = {
    "starlette": (starlette_app, by_starlette),
    "fastapi": (fastapi_app, by_starlette),
    "flask": (flask_app, by_werkzeug),
    "django": (django_app(MIDDLEWARE, COMMON), by_django),
    "django within": (django_app(COMMON, MIDDLEWARE), by_django),
    "django async": (django_app(COMMON, MIDDLEWARE), by_async_django),
}


@pytest.mark.parametrize("where", ["/it", "/in/it"])
@pytest.mark.parametrize("framework", APPS)
def test_redirect__to_the_path_with_a_slash__costs_nothing(meter: Meter, framework: str, where: str) -> None:
    make, by = APPS[framework]
    app = make(meter)
    with by(app) as (send, _):
        assert send("GET", where, {}, b"").status in (301, 307, 308)
        assert charged(meter) == 0
        assert send("GET", f"{where}/", {"X-Consumer": "ann"}, b"").status == 200
    assert charged(meter) == WEI


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_redirect__to_the_path_without_a_slash__costs_nothing(meter: Meter, framework: str) -> None:
    app = APPS[framework][0](meter)
    assert ask(app, by_starlette, "/other/", consumer="").status == 307
    assert charged(meter) == 0
    assert ask(app, by_starlette, "/other").status == 200
    assert charged(meter) == WEI


@pytest.mark.parametrize("framework", APPS)
@pytest.mark.parametrize("where", ["/none", "/in/none", "/none/"])
def test_path__that_nobody_serves__is_metered(meter: Meter, framework: str, where: str) -> None:
    make, by = APPS[framework]
    assert ask(make(meter), by, where).status == 404
    assert charged(meter) == WEI


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_method__that_is_not_allowed__is_metered(meter: Meter, framework: str) -> None:
    assert ask(APPS[framework][0](meter), by_starlette, "/other", method="DELETE").status == 405
    assert charged(meter) == WEI


@pytest.mark.parametrize("common", [(), (COMMON,)])
def test_redirect__to_the_path_in_a_language__costs_nothing(meter: Meter, common: tuple[str, ...]) -> None:
    settings = django_app("django.middleware.locale.LocaleMiddleware", *common, MIDDLEWARE)(meter)
    settings["ROOT_URLCONF"].urlpatterns = i18n_patterns(path("news/", view))
    for where in ("/news/", "/news"):
        assert ask(settings, by_django, where, consumer="").status == 302
    assert charged(meter) == 0
    assert ask(settings, by_django, "/en/news/").status == 200
    assert charged(meter) == WEI


# --- files of Flask's own


@pytest.mark.parametrize("blueprint", [False, True])
def test_static_file__of_flask__costs_nothing(meter: Meter, tmp_path: Path, blueprint: bool) -> None:
    (tmp_path / "it.css").write_text("it")
    app = flask.Flask("files", static_folder=None if blueprint else str(tmp_path), static_url_path="/static")
    ApiBilling(app, meter, **TERMS)
    if blueprint:
        app.register_blueprint(
            flask.Blueprint("own", "own", static_folder=str(tmp_path), static_url_path="/static", url_prefix="/")
        )
    assert ask(app, by_werkzeug, "/static/it.css", consumer="").status == 200
    assert charged(meter) == 0


def test_view__that_is_called_static__is_metered(meter: Meter) -> None:
    app = flask.Flask("files", static_folder=None)
    ApiBilling(app, meter, **TERMS)
    app.add_url_rule("/it", "static", lambda: "it")
    assert ask(app, by_werkzeug, "/it").status == 200
    assert charged(meter) == WEI


# --- dependencies whose application is not prepared


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("consumer", ["", "ann"])
@pytest.mark.parametrize("which", ["Identified", "MeterDependency"])
def test_dependency__of_an_application_that_is_not_prepared__says_so_to_everybody(
    meter: Meter, which: str, consumer: str, mounted: bool
) -> None:
    of = fastapi.Identified(meter) if which == "Identified" else fastapi.MeterDependency(meter.metering(**TERMS))
    app = FastAPI()
    app.get("/it", dependencies=[Depends(of)])(lambda: "it")
    if mounted:
        outer = FastAPI()
        fastapi.install(outer)
        outer.mount("/in", app)
        app = outer
    with pytest.raises(RuntimeError, match=r"install\(app\)"):
        ask(app, by_starlette, "/in/it" if mounted else "/it", consumer)
    assert charged(meter) == 0
