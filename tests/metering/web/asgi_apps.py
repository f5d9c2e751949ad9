"""The same service for ASGI: bare, with Starlette and with FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from fastapi import Depends, FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from fastapi import Response as FastAPIResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import current_exchange
from api_billing.metering.web import fastapi, starlette
from api_billing.metering.web.asgi import MeteredASGI, MeterMiddleware

from .terms import CHUNKS, EVENT_STREAM, EVENTS, OWN_COST_WEI, OWN_FIELDS, PLAIN, TERMS, Boom, chunks, growing, same


async def pieces(torn: bool) -> AsyncIterator[bytes]:
    for chunk in chunks(torn):
        yield chunk
        await asyncio.sleep(0)


async def each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def bare(meter: Meter, seen: list[str]) -> Any:
    """No framework: an application that speaks ASGI itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        seen.append(path)
        if path == "/boom":
            raise Boom("before anything")
        body, status, stream = PLAIN, 200, path in ("/stream", "/torn", "/events", "/growing")
        own: list[tuple[bytes, bytes]] = []
        if path == "/missing":
            body, status = b"not here", 404
        elif path == "/fail":
            body, status = b"broken", 503
        elif path == "/moved":
            body, status, own = b"", 303, [(b"location", b"/plain")]
        elif path == "/own":
            own = [(name.encode(), value.encode()) for name, value in OWN_FIELDS.items()]
        elif path == "/echo":
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        elif path == "/cost":
            exchange = current_exchange()
            assert exchange is not None
            exchange.set_cost_wei(OWN_COST_WEI)
        length = [] if stream else [(b"content-length", str(len(body) + (path == "/short")).encode())]
        kind = EVENT_STREAM if path == "/events" else "application/octet-stream"
        headers = [(b"content-type", kind.encode()), *length, *own]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if stream:
            parts = {"/events": lambda: each(EVENTS), "/growing": lambda: each(growing())}
            async for piece in parts.get(path, lambda: pieces(path == "/torn"))():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": body})

    return MeteredASGI(app, meter.metering(**TERMS))


def starlette_routes(metered: Callable[..., Any], seen: list[str]) -> list[Route]:
    @metered
    async def plain(request: Request) -> Response:
        seen.append(request.url.path)
        return Response(PLAIN, media_type="application/json")

    @metered
    def stream(request: Request) -> Response:
        return StreamingResponse(pieces(request.url.path == "/torn"))

    @metered
    async def boom(request: Request) -> Response:
        raise Boom("before anything")

    @metered
    def missing(request: Request) -> Response:
        seen.append(request.url.path)
        raise HTTPException(404, "not here", {"X-Own": "kept"})

    @metered
    async def fail(request: Request) -> Response:
        return PlainTextResponse("broken", 503)

    @metered
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @metered
    async def short(request: Request) -> Response:
        seen.append("/short")
        return Response(PLAIN, headers={"content-length": str(len(PLAIN) + 1)})

    @metered
    async def events(request: Request) -> Response:
        seen.append(request.url.path)
        return StreamingResponse(each(EVENTS), media_type=EVENT_STREAM)

    @metered
    async def grow(request: Request) -> Response:
        seen.append(request.url.path)
        return StreamingResponse(each(growing()))

    @metered
    async def moved(request: Request) -> Response:
        seen.append(request.url.path)
        return RedirectResponse("/plain", 303)

    @metered
    def own(request: Request) -> Response:
        seen.append(request.url.path)
        return Response(PLAIN, headers=OWN_FIELDS)

    @metered
    def cost(request: Request) -> Response:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(OWN_COST_WEI)
        return Response(PLAIN)

    return [
        Route("/plain", plain, methods=["GET", "HEAD", "OPTIONS", "POST"]),
        Route("/stream", stream),
        Route("/torn", stream),
        Route("/boom", boom),
        Route("/missing", missing, methods=["GET", "POST"]),
        Route("/fail", fail),
        Route("/echo", echo, methods=["POST"]),
        Route("/cost", cost),
        Route("/short", short),
        Route("/events", events),
        Route("/growing", grow),
        Route("/moved", moved),
        Route("/own", own),
    ]


def starlette_decorated(meter: Meter, seen: list[str]) -> Any:
    """Starlette with decorated endpoints."""
    return Starlette(routes=starlette_routes(starlette.metered(meter, **TERMS), seen))


def starlette_middleware(meter: Meter, seen: list[str]) -> Any:
    """Starlette within the middleware."""
    metering = meter.metering(**TERMS)
    return Starlette(routes=starlette_routes(same, seen), middleware=[Middleware(MeterMiddleware, metering=metering)])


def fastapi_service(app: FastAPI, metered: Callable[..., Any], seen: list[str]) -> FastAPI:
    @app.api_route("/plain", methods=["GET", "HEAD", "OPTIONS", "POST"])
    @metered
    async def plain() -> dict[str, bool]:
        seen.append("/plain")
        return {"ok": True}

    @app.get("/stream")
    @metered
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(False))

    @app.get("/torn")
    @metered
    def torn() -> StreamingResponse:
        return StreamingResponse(pieces(True))

    @app.get("/boom")
    @metered
    def boom() -> None:
        raise Boom("before anything")

    @app.api_route("/missing", methods=["GET", "POST"])
    @metered
    async def missing() -> None:
        seen.append("/missing")
        raise FastAPIHTTPException(404, "not here", {"X-Own": "kept"})

    @app.get("/fail", status_code=503)
    @metered
    def fail() -> str:
        return "broken"

    @app.post("/echo")
    @metered
    async def echo(request: Request) -> FastAPIResponse:
        return FastAPIResponse(await request.body())

    @app.get("/short")
    @metered
    async def short() -> FastAPIResponse:
        seen.append("/short")
        return FastAPIResponse(PLAIN, headers={"content-length": str(len(PLAIN) + 1)})

    @app.get("/events")
    @metered
    async def events() -> StreamingResponse:
        seen.append("/events")
        return StreamingResponse(each(EVENTS), media_type=EVENT_STREAM)

    @app.get("/growing")
    @metered
    async def grow() -> StreamingResponse:
        seen.append("/growing")
        return StreamingResponse(each(growing()))

    @app.get("/moved")
    @metered
    def moved() -> RedirectResponse:
        seen.append("/moved")
        return RedirectResponse("/plain", 303)

    @app.get("/own")
    @metered
    async def own() -> FastAPIResponse:
        seen.append("/own")
        return FastAPIResponse(PLAIN, headers=OWN_FIELDS)

    @app.get("/cost")
    @metered
    def cost() -> dict[str, bool]:
        exchange = current_exchange()
        assert exchange is not None
        exchange.set_cost_wei(OWN_COST_WEI)
        return {"ok": True}

    return app


def fastapi_decorated(meter: Meter, seen: list[str]) -> Any:
    """FastAPI with decorated endpoints, nothing installed."""
    return fastapi_service(FastAPI(), fastapi.metered(meter, **TERMS), seen)


def fastapi_dependency(meter: Meter, seen: list[str]) -> Any:
    """FastAPI with a dependency for all routes."""
    dependency = fastapi.MeterDependency(meter.metering(**TERMS))
    app = FastAPI(dependencies=[Depends(dependency)])
    fastapi.install(app)
    fastapi_service(app, same, seen)
    app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") != "/cost"]

    @app.get("/cost")
    def cost(charge: fastapi.Charge = Depends(dependency)) -> dict[str, bool]:  # noqa: B008
        charge.set_cost_wei(OWN_COST_WEI)
        return {"ok": True}

    return app


def fastapi_middleware(meter: Meter, seen: list[str]) -> Any:
    """FastAPI within the middleware."""
    app = fastapi_service(FastAPI(), same, seen)
    app.add_middleware(MeterMiddleware, metering=meter.metering(**TERMS))
    return app


STREAMED = b"".join(CHUNKS)
