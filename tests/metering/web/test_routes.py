"""The route that a scope will match, told before it is routed, and remembered by path."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.web import fastapi, starlette
from api_billing.metering.web.asgi_routes import MatchedRoute

from .terms import CONSUMER, open_meter


async def endpoint() -> str:
    return "served"


async def served(*_: Any) -> None:
    """An ASGI application or an endpoint that is never called."""


def scope(app: Any, path: str, **given: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "app": app, **given}


class CountedRoute(Route):
    """Counts how often it is asked."""

    asked = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "path_regex":
            type(self).asked += 1
        return super().__getattribute__(name)


@pytest.fixture
def counted() -> type[CountedRoute]:
    return type("Counted", (CountedRoute,), {"asked": 0})


def test_route__of_paths_with_one_pattern__is_the_pattern() -> None:
    app = Starlette(routes=[Route("/users/{id}", served), Mount("/static", served, name="static")])
    tell = MatchedRoute()

    found = [tell(scope(app, path)) for path in ("/users/1", "/users/2", "/users/1", "/static/a.css", "/none")]

    assert found == ["/users/{id}", "/users/{id}", "/users/{id}", "/static/*", "(no route)"]


def test_route__of_an_application_without_routes__is_empty() -> None:
    assert MatchedRoute()(scope(SimpleNamespace(), "/it")) == ""
    assert MatchedRoute()({"type": "http", "method": "GET", "path": "/it"}) == ""


def test_route__of_a_path_that_was_asked_before__is_not_searched_again(counted: type[CountedRoute]) -> None:
    app = Starlette(routes=[counted("/it", served)])
    tell = MatchedRoute()

    assert [tell(scope(app, "/it")) for _ in range(3)] == ["/it"] * 3
    assert counted.asked == 1


def test_route__of_other_methods_and_root_paths__is_searched_for_each() -> None:
    app = Starlette(routes=[Route("/it", served, methods=["POST"]), Route("/root/it", served)])
    tell = MatchedRoute()

    assert tell(scope(app, "/root/it")) == "/root/it"
    assert tell(scope(app, "/root/it", method="POST", root_path="/root")) == "/it"
    assert tell(scope(app, "/it")) == "(no route)"
    assert tell(scope(app, "/it", method="POST")) == "/it"


def test_route__that_is_added_later__is_found() -> None:
    app = FastAPI()
    tell = MatchedRoute()
    assert tell(scope(app, "/it")) == "(no route)"

    app.get("/it")(endpoint)

    assert tell(scope(app, "/it")) == "/it"


def test_route__that_takes_the_place_of_another__is_found() -> None:
    app = Starlette(routes=[Route("/{any}", served)])
    tell = MatchedRoute()
    assert tell(scope(app, "/it")) == "/{any}"

    app.router.routes[0] = Route("/it", served)

    assert tell(scope(app, "/it")) == "/it"


def test_route__that_is_added_to_an_included_router__is_found_with_its_prefix() -> None:
    app, router, inner = FastAPI(), APIRouter(), APIRouter()
    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/in")
    tell = MatchedRoute()
    assert tell(scope(app, "/in/inner/it")) == "(no route)"

    inner.get("/it")(endpoint)

    assert tell(scope(app, "/in/inner/it")) == "/in/inner/it"


def test_route__that_goes_by_the_host__is_told_for_each_request() -> None:
    app = Starlette(routes=[Host("api.example.org", Router([Route("/it", served)])), Route("/it", served)])
    tell = MatchedRoute()

    assert tell(scope(app, "/it", headers=[(b"host", b"www.example.org")])) == "/it"
    assert tell(scope(app, "/it", headers=[(b"host", b"api.example.org")])) == "/*"


def test_route__of_a_kind_of_their_own__is_asked_for_each_request() -> None:
    class ByHeader(BaseRoute):
        path = "/by-header"

        def matches(self, scope: Any) -> tuple[Match, Any]:
            return (Match.FULL if scope["headers"] else Match.NONE), {}

    app = Starlette(routes=[ByHeader(), Route("/it", served)])
    tell = MatchedRoute()

    assert tell(scope(app, "/it")) == "/it"
    assert tell(scope(app, "/it", headers=[(b"x-beta", b"1")])) == "/by-header"


def test_route__of_a_websocket__is_not_that_of_a_request_for_the_same_path() -> None:
    app = Starlette(routes=[Route("/{page}", served), WebSocketRoute("/live", served)])
    tell = MatchedRoute()

    assert tell(scope(app, "/live")) == "/{page}"
    assert tell({"type": "websocket", "path": "/live", "headers": [], "app": app}) == "/live"


def test_paths__of_a_clients_choice__are_remembered_up_to_a_bound(counted: type[CountedRoute]) -> None:
    app = Starlette(routes=[counted("/{number}", served)])
    tell = MatchedRoute()

    for number in range(5_000):
        assert tell(scope(app, f"/{number}")) == "/{number}"
    assert tell(scope(app, "/" + "x" * 5_000)) == "/{number}"

    assert 0 < len(tell._paths) <= 1_000
    assert max(len(path) for _, path, _ in tell._paths) < 1_000


async def by_name(request: Any) -> PlainTextResponse:
    return PlainTextResponse("served")


def routes_mounted(meter: Meter) -> Any:
    routes = [Route("/it/{id}", starlette.metered(meter, api="demo", limits="1/day")(by_name))]
    return Starlette(routes=[Mount(where, routes=routes) for where in ("/v1", "/v2", "/of/{tenant}")])


def applications_mounted(meter: Meter) -> Any:
    app = FastAPI()
    for where in ("/v1", "/v2", "/of/{tenant}"):
        inner = FastAPI()
        inner.get("/it/{id}")(fastapi.metered(meter, api="demo", limits="1/day")(endpoint))
        app.mount(where, inner)
    return app


def middleware_mounted(meter: Meter) -> Any:
    within = [Middleware(starlette.MeterMiddleware, metering=meter.metering("demo", limits="1/day"))]
    return Starlette(
        routes=[
            Mount(where, Starlette(routes=[Route("/it/{id}", by_name)], middleware=within))
            for where in ("/v1", "/v2", "/of/{tenant}")
        ]
    )


@pytest.mark.parametrize("root_path", ["", "/behind"])
@pytest.mark.parametrize("make", [routes_mounted, applications_mounted, middleware_mounted])
def test_route__of_a_mounted_application__is_nobody_elses_of_its_pattern(make: Any, root_path: str) -> None:
    with open_meter() as meter:
        client = TestClient(make(meter), root_path=root_path)
        paths = ("/v1/it/1", "/v2/it/1", "/v2/it/2", "/of/ann/it/1", "/of/bob/it/1")
        # What clients choose is no other route.
        asked = [client.get(f"{root_path}{path}", headers=CONSUMER).status_code for path in paths]
        assert asked == [200, 200, 429, 200, 429]
        routes = {record.route for record in meter.store.call(ListRecords())}
        assert routes >= {"/v1/it/{id}", "/v2/it/{id}"}
