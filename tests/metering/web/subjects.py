"""One way to send requests to all of the adapters, each under its framework's own test client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient, Client, override_settings
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient

from api_billing.metering.meter import Meter
from api_billing.metering.web.delivery import _settling

from . import asgi_apps, django_apps, wsgi_apps

CHUNKED = "Transfer-Encoding"  # of a request with this field nobody knows how long its body is


@dataclass(frozen=True)
class Reply:
    """A response; names of header fields are in lower case."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def cost_wei(self) -> int:
        return int(self.fields["x-cost-wei"])


Send = Callable[[str, str, dict[str, str], bytes], Reply]
Cut = Callable[[str, dict[str, str]], None]


@dataclass
class Subject:
    """A metered service: ``send`` sends it a request, ``seen`` has the paths whose handler ran. ``cut`` asks for a
    stream, and goes away after its first piece.
    """

    meter: Meter
    seen: list[str]
    send: Send
    cut: Cut
    extra: dict[str, Any] = field(default_factory=dict)

    def get(self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> Reply:
        return self.send(method, path, {"X-Consumer": "ann"} | (headers or {}), b"")

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        return self.send("POST", path, {"X-Consumer": "ann"} | (headers or {}), body)


@contextmanager
def by_starlette(app: Any) -> Iterator[tuple[Send, Cut]]:
    client = TestClient(app, follow_redirects=False, client=("127.0.0.1", 50_000))

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        got = client.request(method, path, headers=headers, content=iter([body]) if CHUNKED in headers else body)
        return Reply(got.status_code, {name.lower(): value for name, value in got.headers.items()}, got.content)

    async def acut(path: str, headers: dict[str, str]) -> None:
        sent: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def take_one(message: Any) -> None:
            if sent:
                raise OSError("as servers from ASGI 2.4 on tell that the client is gone")
            sent.extend([message["body"]] if message.get("body") else [])

        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"}
        scope |= {"method": "GET", "path": path, "query_string": b"", "root_path": "", "headers": fields}
        with suppress(OSError, ClientDisconnect):
            await app(scope, receive, take_one)
        await asyncio.gather(*_settling)

    yield send, lambda *request: asyncio.run(acut(*request))


@contextmanager
def by_werkzeug(app: Any) -> Iterator[tuple[Send, Cut]]:
    client = app.test_client() if hasattr(app, "test_client") else WsgiClient(app)

    def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        environ = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True} if CHUNKED in headers else {}
        sent = None if environ else body or None
        got = client.open(path, method=method, headers=headers, data=sent, environ_overrides=environ)
        with got:
            return Reply(got.status_code, {name.lower(): value for name, value in got.headers}, got.get_data())

    def cut(path: str, headers: dict[str, str]) -> None:
        with client.open(path, headers=headers, buffered=False) as got:
            next(iter(got.response))

    yield send, cut


@contextmanager
def by_django(settings: dict[str, Any]) -> Iterator[tuple[Send, Cut]]:
    with override_settings(**settings):
        client = Client()

        def send(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
            got = client.generic(method, path, body, headers=headers)
            try:
                return _of_django(got, got.getvalue())
            finally:
                got.close()

        def cut(path: str, headers: dict[str, str]) -> None:
            got: Any = client.get(path, headers=headers)
            next(got.streaming_content)
            got.close()

        yield send, cut


@contextmanager
def by_asgi_django(settings: dict[str, Any]) -> Iterator[tuple[Send, Cut]]:
    """As a server has it, which may not know how long a body is."""
    with override_settings(**settings), by_starlette(ASGIHandler()) as client:
        yield client


@contextmanager
def by_async_django(settings: dict[str, Any]) -> Iterator[tuple[Send, Cut]]:
    with override_settings(**settings):
        client = AsyncClient()

        async def asend(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
            got = await client.generic(method, path, body, headers=headers)
            try:
                content = b"".join([part async for part in got]) if got.streaming else got.content
                return _of_django(got, content)
            finally:
                await asyncio.to_thread(got.close)

        async def acut(path: str, headers: dict[str, str]) -> None:
            pieces = (await client.get(path, headers=headers)).streaming_content
            await anext(pieces)
            await pieces.aclose()

        yield lambda *request: asyncio.run(asend(*request)), lambda *request: asyncio.run(acut(*request))


def _of_django(got: Any, body: bytes) -> Reply:
    return Reply(got.status_code, {name.lower(): value for name, value in got.headers.items()}, body)


# name: how the service is made of a meter, and how requests are sent to it
ADAPTERS: dict[str, tuple[Callable[[Meter, list[str]], Any], Callable[[Any], Any]]] = {
    "asgi": (asgi_apps.bare, by_starlette),
    "starlette-decorator": (asgi_apps.starlette_decorated, by_starlette),
    "starlette-middleware": (asgi_apps.starlette_middleware, by_starlette),
    "fastapi-decorator": (asgi_apps.fastapi_decorated, by_starlette),
    "fastapi-dependency": (asgi_apps.fastapi_dependency, by_starlette),
    "fastapi-middleware": (asgi_apps.fastapi_middleware, by_starlette),
    "wsgi": (wsgi_apps.bare, by_werkzeug),
    "flask-decorator": (wsgi_apps.flask_decorated, by_werkzeug),
    "flask-extension": (wsgi_apps.flask_extension, by_werkzeug),
    "django-decorator": (lambda *of: django_apps.decorated(*of, is_async=False), by_django),
    "django-decorator-async": (lambda *of: django_apps.decorated(*of, is_async=True), by_async_django),
    "django-middleware": (lambda *of: django_apps.within_middleware(*of, is_async=False), by_django),
    "django-middleware-async": (lambda *of: django_apps.within_middleware(*of, is_async=True), by_async_django),
}

# What stands at the routes themselves, whatever paths middleware lets pass.
DECORATED = [name for name in ADAPTERS if name.partition("-")[2].startswith(("decorator", "dependency"))]

# Where bodies come in chunks: Django's own way through WSGI takes them for empty.
OF_CHUNKS = {name: made for name, made in ADAPTERS.items() if not name.startswith("django")}
OF_CHUNKS |= {name: (ADAPTERS[name][0], by_asgi_django) for name in ADAPTERS if name.startswith("django")}


@contextmanager
def subject_of(adapter: str, meter: Meter, adapters: Mapping[str, Any] = ADAPTERS) -> Iterator[Subject]:
    """The service metered by an adapter."""
    make, client = adapters[adapter]
    seen: list[str] = []
    with client(make(meter, seen)) as (send, cut):
        yield Subject(meter, seen, send, cut)
