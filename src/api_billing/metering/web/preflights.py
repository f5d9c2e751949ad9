"""CORS preflights, which middleware lets pass unmetered, as browsers ask them without an identity. Anybody can write
one, so that the application's answer goes out without its body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.http import BODILESS, AsgiHeaders, Headers
from api_billing.metering.request.metering import Metering
from api_billing.metering.web.asgi_messages import Message, Send, encoded

_OF_A_BODY: Final = ("content-length", "transfer-encoding")
_ENDS_BODY: Final = ("http.response.body", "http.response.zerocopysend", "http.response.pathsend")


def is_preflight(metering: Metering, method: str, headers: Callable[[], Headers]) -> bool:
    """Whether a request is a preflight that the meter's settings let pass."""
    if method != "OPTIONS" or method not in metering.meter.settings.excluded_methods:
        return False
    fields = headers()
    return fields.first("origin") is not None and fields.first("access-control-request-method") is not None


def bare(status: int, fields: Iterable[tuple[str, str]]) -> Fields:
    """The header fields of a response without its body."""
    kept = [(name, value) for name, value in fields if name.lower() not in _OF_A_BODY]
    return kept if status in BODILESS else [*kept, ("content-length", "0")]


def without_bodies(send: Send) -> Send:
    """Sends an ASGI application's response without its body."""

    async def send_bare(message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            fields = bare(message["status"], AsgiHeaders(message.get("headers", ())).pairs())
            await send({**message, "headers": encoded(fields)})
        elif kind not in _ENDS_BODY:
            await send(message)
        elif not message.get("more_body", False):
            await send({"type": "http.response.body", "body": b""})

    return send_bare
