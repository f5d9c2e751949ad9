"""What a request leaves behind: nothing that waits for the garbage collector, as its memory would be cold by then."""

from __future__ import annotations

import asyncio
import gc
import io
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api_billing.metering.meter import Meter

from . import asgi_apps, wsgi_apps
from .terms import CONSUMER, open_meter


@pytest.fixture
def meter() -> Iterator[Meter]:
    with open_meter() as meter:
        yield meter


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Scope(dict[str, Any]):
    """A scope or environ whose end can be seen."""


ASGI = [
    asgi_apps.starlette_decorated,
    asgi_apps.starlette_middleware,
    asgi_apps.fastapi_decorated,
    asgi_apps.fastapi_middleware,
]


class Cycle:
    """Serves one request as uvicorn does: the messages come from an object that has the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def asgi_scope() -> Scope:
    headers = [(name.lower().encode(), value.encode()) for name, value in CONSUMER.items()]
    return Scope(
        type="http", method="GET", path="/plain", raw_path=b"/plain", root_path="", query_string=b"", headers=headers,
        http_version="1.1", scheme="http", server=("test", 80), client=("127.0.0.1", 1), asgi={"version": "3.0"},
    )  # fmt: skip


@pytest.mark.parametrize("make", ASGI, ids=lambda make: make.__name__)
def test_asgi__request_served__is_freed_at_once(make: Callable[..., Any], meter: Meter) -> None:
    app = make(meter, [])

    async def serve() -> weakref.ref[Scope]:
        cycle = Cycle(asgi_scope())
        await app(cycle.scope, cycle.receive, cycle.send)
        assert cycle.sent[0]["status"] == 200
        return weakref.ref(cycle.scope)

    async def served_twice() -> weakref.ref[Scope]:
        await serve()
        return await serve()

    assert asyncio.run(served_twice())() is None


@pytest.mark.parametrize("make", [wsgi_apps.bare], ids=lambda make: make.__name__)
def test_wsgi__request_served__is_freed_at_once(make: Callable[..., Any], meter: Meter) -> None:
    app = make(meter, [])

    def serve() -> weakref.ref[Scope]:
        environ = Scope(
            REQUEST_METHOD="GET", PATH_INFO="/plain", SCRIPT_NAME="", QUERY_STRING="", HTTP_X_CONSUMER="ann",
            REMOTE_ADDR="127.0.0.1", **{"wsgi.input": io.BytesIO()},
        )  # fmt: skip
        statuses: list[str] = []
        body = app(environ, lambda status, headers, exc_info=None: statuses.append(status))
        assert b"".join(body)
        body.close()
        assert statuses == ["200 OK"]
        return weakref.ref(environ)

    serve()
    assert serve()() is None
