"""What machines are told of what an application sells."""

from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from api_billing.metering.meter import Meter
from api_billing.metering.web import fastapi, starlette
from api_billing.metering.web.discovery import Resource, discovery, manifest

BOTH = ("x402", "mpp")
OFFER = {"intent": "session", "method": "genlayer", "amount": "5", "currency": "GEN"}


def taking(*protocols: str) -> Any:
    """A meter as far as discovery asks it."""
    return SimpleNamespace(settings=SimpleNamespace(payments=protocols))


def service(meter: Meter, *protocols: str) -> FastAPI:
    """Routes that are metered in each of FastAPI's ways, and some that are not."""
    app, router = FastAPI(), APIRouter(prefix="/v1")
    by_call = fastapi.MeterDependency(meter.metering("tides", estimate_wei=9))

    @app.get("/forecast/{city}")
    @fastapi.metered(meter, api="weather", estimate_wei=5)
    def forecast(city: str) -> str:
        return city

    @app.post("/asked")
    @fastapi.metered(meter, api="weather", estimate_wei=lambda request: 5, price=1)
    def asked() -> str:
        return ""

    @app.get("/free")
    def free() -> str:
        return ""

    @router.get("/tides")
    def tides(charge: Annotated[fastapi.Charge, Depends(by_call)]) -> str:
        return ""

    app.include_router(router)
    fastapi.install(app)
    discovery(app, taking(*protocols))
    return app


def listed(client: TestClient, path: str = "/.well-known/x402") -> list[str]:
    return [each["url"] for each in client.get(path).json()["resources"]]


def offers(app: FastAPI) -> dict[str, Any]:
    return {
        f"{method} {path}": operation["x-payment-info"]["offers"]
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "x-payment-info" in operation
    }


def test_openapi__of_metered_operations__says_what_they_cost(meter: Meter) -> None:
    found = offers(service(meter, *BOTH))
    assert sorted(found) == ["get /forecast/{city}", "get /v1/tides", "post /asked"]
    assert [{name: found["get /forecast/{city}"][0][name] for name in OFFER}] == [OFFER]
    assert [found[name][0]["amount"] for name in ("get /v1/tides", "post /asked")] == ["9", None]


def test_openapi__of_metered_operations__has_the_402(meter: Meter) -> None:
    paths = service(meter, *BOTH).openapi()["paths"]
    assert "402" in paths["/forecast/{city}"]["get"]["responses"]
    assert "402" not in paths["/free"]["get"]["responses"]


def test_openapi__asked_again__is_the_same_document(meter: Meter) -> None:
    app = service(meter, *BOTH)
    assert app.openapi() is app.openapi()


def test_well_known__of_an_application__lists_its_metered_routes(meter: Meter) -> None:
    client = TestClient(service(meter, *BOTH), base_url="https://api.example.com:8443")
    assert listed(client) == [
        "https://api.example.com:8443/asked",
        "https://api.example.com:8443/forecast/{city}",
        "https://api.example.com:8443/v1/tides",
    ]
    routes = client.get("/.well-known/x402").json()["routes"]
    assert {"endpoint": "/asked", "method": "POST"} in routes


def test_well_known__below_a_resource__is_the_same(meter: Meter) -> None:
    client = TestClient(service(meter, *BOTH))
    assert listed(client, "/forecast/paris/.well-known/x402") == listed(client)


def test_well_known__asked_by_head__has_no_body(meter: Meter) -> None:
    answer = TestClient(service(meter, *BOTH)).head("/.well-known/x402")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(("protocol", "has_list", "has_offers"), [("x402", True, False), ("mpp", False, True)])
def test_discovery__of_one_protocol__has_its_document_only(
    meter: Meter, protocol: str, has_list: bool, has_offers: bool
) -> None:
    app = service(meter, protocol)
    assert (TestClient(app).get("/.well-known/x402").status_code == 200) is has_list
    assert bool(offers(app)) is has_offers


def test_discovery__of_a_meter_that_takes_no_payments__adds_nothing(meter: Meter) -> None:
    app = service(meter)
    assert TestClient(app).get("/.well-known/x402").status_code == 404
    assert offers(app) == {}


def test_well_known__of_an_application_metered_as_a_whole__is_free_and_lists_all(meter: Meter) -> None:
    app = FastAPI()
    app.get("/it")(lambda: None)
    app.add_middleware(fastapi.MeterMiddleware, metering=meter.metering("weather", estimate_wei=5))
    discovery(app, taking(*BOTH))
    with TestClient(app) as client:
        assert listed(client) == ["http://testserver/it"]
        assert client.get("/it").status_code == 401
    assert list(offers(app)) == ["get /it"]


def test_well_known__of_starlette__has_functions_methods_and_mounts(meter: Meter) -> None:
    metered = starlette.metered(meter, api="weather", estimate_wei=5)

    @metered
    async def function(request: Request) -> Response:
        return Response()

    class Both(HTTPEndpoint):
        @metered
        async def get(self, request: Request) -> Response:
            return Response()

        async def post(self, request: Request) -> Response:
            return Response()

    app = Starlette(routes=[Route("/a", function), Mount("/b", routes=[Route("/c", Both)])])
    discovery(app, taking(*BOTH))
    answer = TestClient(app).get("/.well-known/x402").json()
    assert answer["routes"] == [{"endpoint": "/a", "method": "GET"}, {"endpoint": "/b/c", "method": "GET"}]


def test_well_known__with_a_host_that_is_hostile__is_a_document_all_the_same(meter: Meter) -> None:
    client = TestClient(service(meter, *BOTH))
    answer = client.get("/.well-known/x402", headers={b"host": b'a"b\\\xe9<script>'})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_manifest__of_the_same_path_twice__names_it_once() -> None:
    found = manifest("http://a", [Resource("/x", "POST"), Resource("/x", "GET"), Resource("/x", "GET")])
    assert found["resources"] == [{"url": "http://a/x"}]
    assert [each["method"] for each in found["routes"]] == ["GET", "POST"]
