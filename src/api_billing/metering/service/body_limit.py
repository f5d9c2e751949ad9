"""The bound on request bodies. Pure ASGI: no task of its own, nothing in the way of a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from api_billing.metering.service.problems import ServiceProblem, response_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class _ClientGone(Exception):
    """Nobody waits for a response any more, and what came of the body is not all of it."""


class BodyLimit:
    """Reads a request's body before the application does, up to a size; a larger one is refused unread."""

    def __init__(self, app: App, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except _ClientGone:
            return
        if body is None:
            detail = f"The body of a request has at most {self._max_bytes:,} bytes."
            await response_of(ServiceProblem("request_too_large", detail, {"connection": "close"}).answer())(
                scope, receive, send
            )
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        """The body; None when it is too large."""
        if any(
            name == b"content-length" and value.isdigit() and int(value) > self._max_bytes
            for name, value in scope["headers"]
            if len(value) < 30
        ):
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_bytes:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
