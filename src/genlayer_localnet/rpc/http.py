"""The server's HTTP: an ASGI application around the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from genlayer_localnet.rpc.errors import INVALID_REQUEST, RpcError
from genlayer_localnet.rpc.protocol import Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 32 * 1024 * 1024
_PATHS = ("/", "/api")
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


class TooLarge(Exception):
    """The body of a request is above the limit."""


class Disconnected(Exception):
    """The client has gone before its request was complete."""


class Application:
    """``tick`` is called a few times a second while the server runs; ``page`` is what people see."""

    def __init__(self, protocol: Protocol, tick: Callable[[], Awaitable[None]], page: str, tick_seconds: float) -> None:
        self._protocol = protocol
        self._tick = tick
        self._page = page.encode("utf-8")
        self._tick_seconds = tick_seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        ticking = asyncio.create_task(self._ticking())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        await send({"type": "lifespan.shutdown.complete"})

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            await self._tick()

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        verb, path = scope["method"], scope["path"]
        known = path in _PATHS or path.rstrip("/") in _PATHS
        if verb == "OPTIONS":
            await _respond(send, 204, None)
        elif verb in ("GET", "HEAD") and path == "/health":
            await _respond(send, 200, b'{"status":"ok"}')
        elif verb in ("GET", "HEAD") and known:
            await _respond(send, 200, self._page, b"text/html; charset=utf-8")
        elif verb == "POST" and known:
            await self._post(receive, send)
        else:
            status = 405 if known else 404
            await _respond(send, status, _error(RpcError(INVALID_REQUEST, "POST JSON-RPC requests to /api")))

    async def _post(self, receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
        except Disconnected:
            return
        except TooLarge:
            text = f"the request is larger than {MAX_BODY_BYTES} bytes"
            await _respond(send, 413, _error(RpcError(INVALID_REQUEST, text)), close=True)
            return
        reply = await self._protocol.reply(body)
        await _respond(send, reply.status, reply.body)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _respond(
    send: Send, status: int, body: bytes | None, kind: bytes = b"application/json", *, close: bool = False
) -> None:
    headers = list(_CORS)
    if body is not None:
        headers += [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body or b""})


def _error(error: RpcError) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": error.as_json()}).encode()
