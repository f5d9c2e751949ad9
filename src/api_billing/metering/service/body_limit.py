"""The bound on request bodies, and who may send one. Pure ASGI: no task of its own, a response goes straight out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Request

from api_billing.metering.request.http import AsgiHeaders, BodyTooLarge
from api_billing.metering.service.access import Access
from api_billing.metering.service.problems import ServiceProblem, response_of
from api_billing.metering.web.asgi_messages import AsgiApp, Incoming, Receive, Scope, Send

RESERVATIONS: Final = "/v1/reservations"
PAYMENTS: Final = "/v1/payments"
CONSUMERS: Final = "/v1/consumers"
KEYS: Final = "/v1/keys"
CREDIT: Final = "/v1/credit"
TIERS: Final = "/v1/tiers"
LIMITS: Final = "/v1/limits"
SUMMARY: Final = "/v1/summary"
STATEMENTS: Final = "/v1/statements"

_OF_SERVICES: Final = (RESERVATIONS, PAYMENTS)
_OF_ADMINS: Final = (CONSUMERS, KEYS, CREDIT, TIERS, LIMITS)
_WITH_BODIES: Final = ("POST", "PUT", "PATCH")


class BodyLimit:
    """Reads a request's body before the application does, up to a size; a larger one is refused unread, and so is what
    comes without the token of a service, or of who administers: all that have a body need one of them.
    """

    def __init__(self, app: AsgiApp, access: Access, max_bytes: int) -> None:
        self._app = app
        self._access = access
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        require = self._guard(scope) if scope["type"] == "http" and scope["method"] in _WITH_BODIES else None
        if require is None:
            await self._app(scope, receive, send)
            return
        incoming = Incoming(receive, self._max_bytes)
        try:
            if (AsgiHeaders(scope["headers"]).content_length() or 0) > self._max_bytes:
                raise BodyTooLarge
            require(Request(scope))
            await incoming.read()
        except (ServiceProblem, BodyTooLarge) as error:
            problem = error if isinstance(error, ServiceProblem) else self._too_large()
            problem.headers = {"connection": "close"}
            await response_of(problem.answer())(scope, receive, send)
            return
        if not incoming.gone:
            await self._app(scope, incoming.receive, send)

    def _guard(self, scope: Scope) -> Callable[[Request], None] | None:
        """What checks who sends a body there; None where nothing takes one."""
        if scope["path"].startswith(_OF_SERVICES):
            return self._access.require_service
        if scope["path"].startswith(_OF_ADMINS) and self._access.has_admin:
            return self._access.require_admin
        return None

    def _too_large(self) -> ServiceProblem:
        return ServiceProblem("request_too_large", f"The body of a request has at most {self._max_bytes:,} bytes.")
