"""What the server answers to HTTP requests: JSON-RPC, and a page for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from genlayer_localnet.rpc.errors import INVALID_REQUEST, RpcError
from genlayer_localnet.rpc.protocol import Protocol

MAX_BODY_BYTES = 32 * 1024 * 1024
JSON: Final = "application/json"
_PATHS = ("/", "/api")
SAFE_PAGE = (
    "x-content-type-options: nosniff\r\n"
    "referrer-policy: no-referrer\r\n"
    "content-security-policy: frame-ancestors 'none'\r\n"
    "x-frame-options: DENY\r\n"
)


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    path: str
    """Without the query."""
    body: bytes
    if_none_match: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` None: without one. ``headers``: besides those that every response has, each with its line end."""

    status: int
    body: bytes | None
    kind: str = JSON
    headers: str = ""


class Application:
    """``page`` is what people see."""

    def __init__(self, protocol: Protocol, page: str) -> None:
        self._protocol = protocol
        self._page = page.encode("utf-8")

    async def respond(self, request: Request) -> Response:
        verb, path = request.verb, request.path
        known = path in _PATHS or path.rstrip("/") in _PATHS
        if verb == "POST" and known:
            reply = await self._protocol.reply(request.body)
            return Response(reply.status, reply.body)
        if verb in ("GET", "HEAD") and path == "/health":
            return Response(200, b'{"status":"ok"}')
        if verb in ("GET", "HEAD") and known:
            return Response(200, self._page, "text/html; charset=utf-8", SAFE_PAGE)
        return refusal(405 if known else 404, "POST JSON-RPC requests to /api")


def refusal(status: int, text: str) -> Response:
    """An answer to what is no JSON-RPC request."""
    answer = {"jsonrpc": "2.0", "id": None, "error": RpcError(INVALID_REQUEST, text).as_json()}
    return Response(status, json.dumps(answer).encode())
