"""Any ASGI application, metered: ``MeteredASGI(app, metering)``. Pure ASGI: streams pass through as they come.

Starlette and FastAPI: ``app.add_middleware(MeterMiddleware, metering=metering)``.

A request is metered once, on the terms nearest to its handler. Lifespan passes, and so do CORS preflights, and
websockets, unless ``websockets`` is set: then a connection is reserved and settled as one request (of status 101, by
the bytes sent).
"""

from __future__ import annotations

from collections.abc import Callable

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import AsgiHeaders, asgi_request
from api_billing.metering.request.metering import Metering
from api_billing.metering.web.asgi_messages import (
    AsgiApp,
    Incoming,
    Outgoing,
    Receive,
    Scope,
    Send,
    send_answer,
)
from api_billing.metering.web.asgi_routes import REDIRECTED, MatchedRoute
from api_billing.metering.web.delivery import EXCHANGE_KEY, is_metered
from api_billing.metering.web.preflights import is_preflight, without_bodies
from api_billing.metering.web.websockets import serve_connection

RouteOf = Callable[[Scope], str]


class MeteredASGI:
    """An ASGI application in front of another one, each of whose requests is metered.

    ``route`` tells the route of a scope for budgets and the audit log; the path when it is not given.
    """

    def __init__(
        self, app: AsgiApp, metering: Metering, *, websockets: bool = False, route: RouteOf | None = None
    ) -> None:
        self.app = app
        self.metering = metering
        self._websockets = websockets
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "websocket" and self._websockets and self._is_covered("GET", scope):
            await serve_connection(self.app, self.metering, scope, receive, send, self._route_of(scope))
            return
        if kind != "http" or not self._is_covered(scope["method"], scope):
            await self.app(scope, receive, send)
            return
        if is_preflight(self.metering, scope["method"], lambda: AsgiHeaders(scope["headers"])):
            await self.app(scope, receive, without_bodies(send))
            return
        route = self._route_of(scope)
        if route == REDIRECTED or is_metered(scope, self.metering):
            # Where it is redirected, the client asks again, and that request is metered.
            await self.app(scope, receive, send)
            return
        meter = self.metering.meter
        incoming = Incoming(receive, meter.settings.max_fingerprint_bytes)
        request = asgi_request(scope, at_ms=meter.now_ms(), route=route, body=incoming.read)
        exchange = Exchange(self.metering, request)
        answer = await exchange.abegin()
        if answer is not None:
            await send_answer(answer, send, head=scope["method"] == "HEAD")
            return
        # In place: servers and middleware outside look at what the application has left in the scope.
        scope[EXCHANGE_KEY] = exchange
        await Outgoing(exchange, incoming).serve(self.app, scope, send)

    def _is_covered(self, method: str, scope: Scope) -> bool:
        path, mount = scope["path"], scope.get("root_path", "")
        # As routers do: the paths of some servers begin with it, and those of others do not.
        if mount and path.startswith(mount) and path[len(mount) : len(mount) + 1] in ("", "/"):
            path = path[len(mount) :] or "/"
        return self.metering.covers(method, path, mount)

    def _route_of(self, scope: Scope) -> str:
        return self._route(scope) if self._route is not None else ""


class MeterMiddleware(MeteredASGI):
    """The same for ``add_middleware`` of Starlette and FastAPI; routes are those of the application."""

    def __init__(
        self, app: AsgiApp, metering: Metering, *, websockets: bool = False, route: RouteOf | None = None
    ) -> None:
        super().__init__(app, metering, websockets=websockets, route=route or MatchedRoute())
