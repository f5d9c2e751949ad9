"""Pages for operators within an application, on each framework."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from starlette.testclient import TestClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client as WsgiClient

from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.meter import Meter
from api_billing.metering.web.operating import operating_asgi, operating_view, operating_wsgi

from . import django_apps  # noqa: F401 - configures Django

TOKEN = "token of whoever operates it"
Get = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def meter() -> Iterator[Meter]:
    with Meter.open("memory://", metrics=True) as meter:
        yield meter


def by_fastapi(meter: Meter, token: str | None) -> Get:
    app = FastAPI()
    app.mount("/ops", operating_asgi(meter, token=token))
    client = TestClient(app)

    def get(page: str, method: str = "GET", **fields: str) -> Any:
        reply = client.request(method, f"/ops/{page}", headers=fields)
        return reply.status_code, dict(reply.headers), reply.content

    return get


def by_flask(meter: Meter, token: str | None) -> Get:
    app = Flask("app")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/ops": operating_wsgi(meter, token=token)})  # type: ignore[method-assign,arg-type]
    client = WsgiClient(app)

    def get(page: str, method: str = "GET", **fields: str) -> Any:
        reply = client.open(f"/ops/{page}", method=method, headers=fields)
        return reply.status_code, {name.lower(): value for name, value in reply.headers}, reply.data

    return get


def by_django(meter: Meter, token: str | None) -> Get:
    urls = types.ModuleType("operating_urls")
    urls.urlpatterns = [path("ops/<page>", operating_view(meter, token=token))]  # type: ignore[attr-defined]

    def get(page: str, method: str = "GET", **fields: str) -> Any:
        with override_settings(ROOT_URLCONF=urls):
            reply = Client().generic(method, f"/ops/{page}", headers=fields)
        return reply.status_code, {name.lower(): value for name, value in reply.items()}, reply.content

    return get


@pytest.fixture(params=[by_fastapi, by_flask, by_django])
def mounted(request: pytest.FixtureRequest, meter: Meter) -> Callable[[str | None], Get]:
    """Makes an application with the pages."""
    return lambda token: request.param(meter, token)


def broken(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(operations: Any) -> Any:
        raise StoreUnavailable("server db-7 is away")

    monkeypatch.setattr(meter.store, "_perform", fail)


def test_readyz__all_well__is_200(mounted: Callable[[str | None], Get]) -> None:
    status, fields, body = mounted(TOKEN)("readyz")
    assert (status, fields["cache-control"], body) == (200, "no-store", b'{"status":"ok"}')


def test_readyz__store_away__is_503_and_tells_strangers_nothing(
    mounted: Callable[[str | None], Get], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(meter, monkeypatch)
    get = mounted(TOKEN)
    status, fields, body = get("readyz")
    assert (status, fields["content-type"], b"db-7" in body) == (503, "application/problem+json", False)
    assert b"db-7" in get("readyz", authorization=f"Bearer {TOKEN}")[2]


def test_readyz__without_a_token_set__tells_nobody_what_is_wrong(
    mounted: Callable[[str | None], Get], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(meter, monkeypatch)
    status, _, body = mounted(None)("readyz")
    assert (status, b"db-7" in body) == (503, False)


def test_healthz__store_away__is_200(
    mounted: Callable[[str | None], Get], meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(meter, monkeypatch)
    assert mounted(TOKEN)("healthz")[0] == 200


def test_metrics__with_the_token__are_told(mounted: Callable[[str | None], Get]) -> None:
    status, fields, body = mounted(TOKEN)("metrics", authorization=f"Bearer {TOKEN}")
    assert (status, fields["content-type"][:10], b"api_billing_" in body) == (200, "text/plain", True)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}"])
def test_metrics__without_the_token__are_refused(mounted: Callable[[str | None], Get], given: str) -> None:
    status, fields, body = mounted(TOKEN)("metrics", authorization=given)
    assert (status, fields["www-authenticate"], b"api_billing_" in body) == (401, "Bearer", False)


def test_metrics__for_everybody__are_told(mounted: Callable[[str | None], Get]) -> None:
    assert mounted(None)("metrics")[0] == 200


def test_page__that_there_is_not__is_404(mounted: Callable[[str | None], Get]) -> None:
    assert mounted(None)("other")[0] == 404


def test_page__head__has_no_body(mounted: Callable[[str | None], Get]) -> None:
    status, fields, body = mounted(TOKEN)("readyz", method="HEAD")
    assert (status, fields["content-length"], body) == (200, "15", b"")


def test_metrics__switched_off__are_404() -> None:
    with Meter.open("memory://") as meter:
        assert by_fastapi(meter, None)("metrics")[0] == 404


def test_token__that_can_be_guessed__is_refused(meter: Meter) -> None:
    with pytest.raises(InvalidSetting, match="16 bytes"):
        operating_asgi(meter, token="short")
