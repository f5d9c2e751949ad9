"""What the server answers to HTTP requests, as one ASGI application: JSON-RPC, a page for people, a site's files."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from genlayer_localnet.rpc.engine import Engine
from genlayer_localnet.rpc.errors import INVALID_REQUEST, RpcError
from genlayer_localnet.rpc.web_guard import WebGuard

MAX_BODY_BYTES = 32 * 1024 * 1024
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

SAFE_PAGE: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
)
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET, POST, OPTIONS"),
    ("access-control-allow-headers", "*"),
    ("access-control-max-age", "86400"),
)
_PATHS: Final = ("", "/api")
_ETHEREUM_AGENTS: Final = ("ethers/", "web3.py/")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` None: without one. ``headers``: besides those that every response has."""

    status: int
    body: bytes | None
    kind: str = JSON
    headers: Headers = ()


class Site(Protocol):
    """Files beside JSON-RPC: the answer to a verb, a path and what of the header counts; None for paths not its own."""

    def answer(self, verb: str, path: str, if_none_match: str = "", accept_encoding: str = "") -> Response | None: ...


class _Disconnected(Exception):
    """The client has gone before its request was complete."""


class Application:
    """``page`` is what people see."""

    def __init__(self, engine: Engine, page: str, guard: WebGuard, site: Site | None = None) -> None:
        self._engine = engine
        self._page = page.encode("utf-8")
        self._guard = guard
        self._site = site

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        verb, path, headers = scope["method"], scope["path"], scope["headers"]
        refused = self._guard.refusal(verb, headers)
        if refused is not None:
            _logger.warning("refused %s %s: %s", verb, path[:100], refused[1])
            await _send(send, _refusal(*refused))
            return
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        try:
            response = await self._answer(verb, path, given, receive)
        except _Disconnected:
            return
        # The guard has let the origin pass, so its pages may read the answer.
        cors = (("access-control-allow-origin", given["origin"]),) if "origin" in given else ()
        await _send(send, response, cors)

    async def _answer(self, verb: str, path: str, given: dict[str, str], receive: Receive) -> Response:
        if verb == "OPTIONS" and "origin" in given:
            return Response(204, None, headers=_PREFLIGHT)
        wanted = given.get("if-none-match", ""), given.get("accept-encoding", "")
        found = self._site and self._site.answer(verb, path, *wanted)
        if found:
            return found
        known = path.rstrip("/") in _PATHS
        if verb == "POST" and known:
            body = await _body(receive)
            if body is None:
                return _refusal(413, f"the request is larger than {MAX_BODY_BYTES} bytes", ("connection", "close"))
            reply = await self._engine.reply(body, of_ethereum=_is_of_ethereum(given))
            return Response(reply.status, reply.body)
        if verb in ("GET", "HEAD") and path == "/health":
            trouble = await self._engine.trouble()
            health = {"status": "ok"} if trouble is None else {"status": "failing", "reason": trouble}
            return Response(200 if trouble is None else 503, json.dumps(health, separators=(",", ":")).encode())
        if verb in ("GET", "HEAD") and known:
            return Response(200, self._page, HTML, SAFE_PAGE)
        return _refusal(405 if known else 404, "POST JSON-RPC requests to /api")


def _is_of_ethereum(given: dict[str, str]) -> bool:
    """Whether a client says that it is made for Ethereum: a library by its name, a wallet by being an extension."""
    is_extension = "extension://" in given.get("origin", "")
    return is_extension or given.get("user-agent", "").startswith(_ETHEREUM_AGENTS)


def _refusal(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """An answer to what is no JSON-RPC request."""
    answer = {"jsonrpc": "2.0", "id": None, "error": RpcError(INVALID_REQUEST, text).as_json()}
    return Response(status, json.dumps(answer).encode(), headers=headers)


async def _body(receive: Receive) -> bytes | None:
    """None where it is too large."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return bytes(body)


async def _send(send: Send, response: Response, cors: Headers = ()) -> None:
    headers = (("vary", "origin"), *cors, *response.headers, *_about(response))
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body or b""})


def _about(response: Response) -> Iterator[tuple[str, str]]:
    if response.body is not None:
        yield "content-type", response.kind
        yield "content-length", str(len(response.body))
