"""Which paths are metered: those that the settings tell middleware, as routers read them, and all that is decorated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from werkzeug.test import Client

from api_billing.metering import Meter
from api_billing.metering.web.fastapi import MeterMiddleware
from api_billing.metering.web.wsgi import MeteredWSGI

from .subjects import ADAPTERS, DECORATED, subject_of
from .terms import open_meter


@pytest.mark.parametrize("settings", [{"exclude_paths": ("/plain",)}, {"include_paths": ("/other",)}], ids=str)
@pytest.mark.parametrize("name", ADAPTERS)
def test_path__that_middleware_lets_pass__is_metered_where_it_is_decorated(name: str, settings: dict[str, Any]) -> None:
    with open_meter(**settings) as meter, subject_of(name, meter) as subject:
        reply = subject.send("GET", "/plain", {}, b"")
        assert (reply.status, len(subject.seen)) == ((401, 0) if name in DECORATED else (200, 1))


@pytest.fixture
def meter() -> Iterator[Meter]:
    with open_meter(include_paths=("/any", "/*/forecast", "/api/whole"), exclude_paths=("/free",)) as opened:
        yield opened


def app_of(meter: Meter) -> FastAPI:
    app = FastAPI()
    app.add_middleware(MeterMiddleware, metering=meter.metering("weather", estimate_wei=1))
    for path in ("/any", "/{city}/forecast", "/whole", "/free"):
        app.get(path)(lambda: "served")
    return app


@pytest.mark.parametrize("path", ["/any", "/any%0A", "/paris/forecast", "/paris/forecast%0A", "/paris%0A/forecast"])
def test_path__that_a_route_is_found_by__is_metered_as_it_is_written(meter: Meter, path: str) -> None:
    client = TestClient(app_of(meter))
    assert (client.get(path).status_code, client.get("/free").status_code) == (401, 200)


@pytest.mark.parametrize("path", ["/any", "/api/any", "/api/any%0A", "/api/paris/forecast", "/whole", "/api/whole"])
def test_path__behind_a_root_path__is_that_of_its_route(meter: Meter, path: str) -> None:
    client = TestClient(app_of(meter), root_path="/api")
    assert client.get(path).status_code == 401
    assert [client.get(free).status_code for free in ("/free", "/api/free")] == [200, 200]


@pytest.mark.parametrize("place", [("", "/any"), ("/api", "/any"), ("/api", "/whole")])
def test_path__of_a_wsgi_application_that_is_mounted__is_metered_as_its_part_and_as_a_whole(
    meter: Meter, place: tuple[str, str]
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"served"]

    client = Client(MeteredWSGI(app, meter.metering("weather", estimate_wei=1)))
    mount, path = place
    assert client.get(path, base_url=f"http://localhost{mount}").status_code == 401
    assert client.get("/whole", base_url="http://localhost").status_code == 200
