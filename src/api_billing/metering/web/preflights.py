"""CORS preflights, which middleware lets pass unmetered, as browsers ask them without an identity. Anybody can write
one, so that of the application's answer nothing goes out but what it says of CORS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.http import BODILESS, AsgiHeaders, Headers
from api_billing.metering.request.metering import Metering
from api_billing.metering.web.asgi_messages import Message, Send, encoded

_TOLD: Final = ("allow", "vary")
_ENDS_BODY: Final = ("http.response.body", "http.response.zerocopysend", "http.response.pathsend")


def is_preflight(metering: Metering, method: str, headers: Callable[[], Headers]) -> bool:
    """Whether a request is a preflight that the meter's settings let pass."""
    if method != "OPTIONS" or method not in metering.meter.settings.excluded_methods:
        return False
    fields = headers()
    if fields.first("origin") is None or fields.first("access-control-request-method") is None:
        return False
    return not fields.content_length() and fields.first("transfer-encoding") is None


def bare(status: int, fields: Iterable[tuple[str, str]]) -> Fields:
    """The header fields of a response without its body: those about CORS."""
    kept = [field for field in fields if field[0].lower().startswith("access-control-") or field[0].lower() in _TOLD]
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
