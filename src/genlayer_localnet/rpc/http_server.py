"""The server's HTTP: uvicorn, and an ASGI application that brings requests to the node and its responses back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

import uvicorn

from genlayer_localnet.rpc import http
from genlayer_localnet.rpc.http import Request, Response, refusal
from genlayer_localnet.rpc.web_guard import WebGuard

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Responder = Callable[[Request], Awaitable[Response]]

_VARY: Final = (b"vary", b"origin")
_PREFLIGHT: Final = (
    "access-control-allow-methods: GET, POST, OPTIONS\r\n"
    "access-control-allow-headers: *\r\n"
    "access-control-max-age: 86400\r\n"
)
_IDLE_SECONDS: Final = 75
_GRACE_SECONDS: Final = 2
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_logger = logging.getLogger(__name__)


class _Disconnected(Exception):
    """The client has gone before its request was complete."""


class _TooLarge(Exception):
    """The body of a request is above the limit."""


class _Application:
    """The ASGI application. ``tick`` is called every ``tick_seconds``; its errors are logged."""

    def __init__(
        self, respond: Responder, guard: WebGuard, tick: Callable[[], Awaitable[None]], tick_seconds: float
    ) -> None:
        self._respond = respond
        self._guard = guard
        self._tick = tick
        self._tick_seconds = tick_seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        verb, headers = scope["method"], scope["headers"]
        refused = self._guard.refusal(verb, headers)
        if refused is not None:
            _logger.warning("refused %s %s: %s", verb, scope["path"][:100], refused[1])
            await _send(send, refusal(*refused))
            return
        origin = next((value for name, value in headers if name == b"origin"), None)
        if verb == "OPTIONS" and origin is not None:
            await _send(send, Response(204, None, headers=_PREFLIGHT), origin)
            return
        try:
            body = await _body(receive)
        except _Disconnected:
            return
        except _TooLarge:
            await _send(
                send, refusal(413, f"the request is larger than {http.MAX_BODY_BYTES} bytes"), origin, close=True
            )
            return
        match = next((value for name, value in headers if name == b"if-none-match"), b"")
        request = Request(verb, scope["path"], body, match.decode("latin-1"))
        await _send(send, await self._respond(request), origin)

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
            try:
                await self._tick()
            except Exception:
                _logger.exception("what is due could not be done")


class _Uvicorn(uvicorn.Server):
    """uvicorn that ends on a signal without raising it again: the command says itself how it ended."""

    interrupted = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        # Another Ctrl-C does not wait.
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


class HttpServer:
    """Serves once, on a socket that listens. ``tick`` is called every ``tick_seconds``; its errors are logged."""

    def __init__(
        self, respond: Responder, guard: WebGuard, tick: Callable[[], Awaitable[None]], tick_seconds: float
    ) -> None:
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                _Application(respond, guard, tick, tick_seconds),
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=_logger.isEnabledFor(logging.DEBUG),
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def run(self, listening: socket.socket) -> None:
        """Serve until ``stop``; in the main thread also until SIGTERM, and until SIGINT, which it raises then.

        Raises: KeyboardInterrupt.
        """
        self._uvicorn.run(sockets=[listening])
        if self._uvicorn.interrupted:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Let what is being answered end, within two seconds. From any thread."""
        self._uvicorn.should_exit = True


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > http.MAX_BODY_BYTES:
            raise _TooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _send(send: Send, response: Response, origin: bytes | None = None, *, close: bool = False) -> None:
    """``origin``: of the page that may read the response."""
    headers = [_VARY] if origin is None else [_VARY, (b"access-control-allow-origin", origin)]
    for line in response.headers.splitlines():
        name, _, value = line.partition(": ")
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    if response.body is not None:
        headers += [(b"content-type", response.kind.encode()), (b"content-length", str(len(response.body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body or b""})
