"""The bound on request bodies. Pure ASGI: no task of its own, nothing in the way of a response."""

from __future__ import annotations

from api_billing.metering.request.http import AsgiHeaders
from api_billing.metering.service.problems import ServiceProblem, response_of
from api_billing.metering.web.asgi_messages import AsgiApp, Incoming, Receive, Scope, Send


class BodyLimit:
    """Reads a request's body before the application does, up to a size; a larger one is refused unread."""

    def __init__(self, app: AsgiApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        incoming = Incoming(receive, self._max_bytes)
        declared = AsgiHeaders(scope["headers"]).content_length() or 0
        if declared <= self._max_bytes and await incoming.read() is not None:
            await self._app(scope, incoming.receive, send)
        elif not incoming.gone:
            detail = f"The body of a request has at most {self._max_bytes:,} bytes."
            problem = ServiceProblem("request_too_large", detail, {"connection": "close"})
            await response_of(problem.answer())(scope, receive, send)
