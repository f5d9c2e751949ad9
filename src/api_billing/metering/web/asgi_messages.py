"""What passes between a server and a metered ASGI application: the request's messages in, the response's out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import AsgiHeaders, MeteredResponse
from api_billing.metering.request.problems import Answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCHANGE_KEY: Final = "api_billing.exchange"

# Whoever goes away within this time of the application's could as well have gone just after the response; only later is
# it worth asking, which costs more than metering does.
_NOTICEABLE_MS: Final = 5
# The server reads the body from a file itself; its length is the declared one.
_WHOLE_FILES: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
_BODIES: Final = _WHOLE_FILES | {"http.response.body"}

_log = logging.getLogger("api_billing.metering.web")
_settling: set[asyncio.Task[Any]] = set()  # asyncio itself keeps only weak references to tasks


class ClientGone(Exception):
    """Nobody waits for the response any more. Only for the record; never raised."""


class Incoming:
    """The request's messages. Reads the body ahead when the meter needs it, and gives it to the application all the
    same; notes when the client goes away.
    """

    __slots__ = ("_ended", "_limit", "_receive", "_replay", "_waiting", "gone", "read_ahead")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._replay: deque[Message] | None = None  # what was read before the application asked for it
        self._ended = False  # the whole body has come in
        self._waiting = 0  # the application waits for a message at this moment
        self.gone = False
        self.read_ahead = False

    async def receive(self) -> Message:
        """The next message, for the application."""
        if self._replay:
            return self._replay.popleft()
        self._waiting += 1
        try:
            return self._noted(await self._receive())
        finally:
            self._waiting -= 1

    async def read(self) -> bytes | None:
        """The whole body, before the application sees it; None when it breaks off or is longer than the limit."""
        self.read_ahead = True
        parts: list[bytes] = []
        size = 0
        while not self._ended:
            try:
                message = self._noted(await self._receive())
            except Exception as error:
                _log.info("the body of a request could not be read: %r", error)
                return None
            self._keep(message)
            if self.gone:
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                return None
            parts.append(part)
        return b"".join(parts)

    async def client_gone(self) -> bool:
        """Whether the client has gone away, without waiting for it. What else comes in is kept for the application."""
        for _ in range(2):  # what is left of the body, and what comes after it
            if self.gone or self._waiting:
                break
            try:
                async with asyncio.timeout(0):
                    message = self._noted(await self._receive())
            except TimeoutError:
                return False
            self._keep(message)
            if not self._ended:
                break
        return self.gone

    def _keep(self, message: Message) -> None:
        if self._replay is None:
            self._replay = deque()
        self._replay.append(message)

    def _noted(self, message: Message) -> Message:
        if message["type"] == "http.request":
            self._ended = self._ended or not message.get("more_body", False)
        elif message["type"] in ("http.disconnect", "websocket.disconnect"):
            self.gone = True
        return message


class Outgoing:
    """The response's messages: counts them, and settles with the last one.

    A response that is complete in one message is held back until it is settled, so that it carries what it cost. A
    streamed one goes out as it comes; only its end waits for the settlement.
    """

    __slots__ = (
        "_bodiless",
        "_bytes",
        "_ended",
        "_exchange",
        "_held",
        "_incoming",
        "_kept",
        "_length",
        "_now_ms",
        "_send",
        "_start",
        "_started_ms",
        "_unsendable",
    )

    def __init__(self, exchange: Exchange, incoming: Incoming, send: Send) -> None:
        self._exchange = exchange
        self._now_ms = exchange.metering.meter.now_ms
        self._incoming = incoming
        self._send = send
        self._start: Message | None = None
        self._held = False  # the start has come from the application, but not gone out
        self._started_ms = 0
        self._length: int | None = None
        self._bodiless = False
        self._bytes = 0
        self._kept = bytearray() if exchange.keeps_body else None
        self._ended = False
        self._unsendable = False

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        # One coroutine for all of it: whatever waits for a settlement is alive in as many requests as are being served.
        start: Message | None = None
        if not self._ended:
            kind = message["type"]
            if kind == "http.response.start":
                if await self._is_unwanted():
                    self._ended = True
                    self._exchange.abort(ClientGone())
                elif self._take_start(message):
                    return
                else:
                    message = self._started(self._exchange.start_fields())
            elif kind in _BODIES:
                is_last = self._take_body(message) if kind == "http.response.body" else self._take_file(message)
                if is_last:
                    self._ended = True
                    fields = await self._exchange.afinish(self._response())
                else:
                    fields = self._exchange.start_fields() if self._held else []
                start = self._started(fields) if self._held else None
        try:
            if start is not None:
                await self._send(start)
            await self._send(message)
        except OSError:
            # How servers from ASGI 2.4 on tell that the client has gone away.
            self._unsendable = True
            raise

    async def returned(self) -> None:
        """The application has returned. A response that it did not end is settled as far as it went."""
        if self._ended:
            return
        self._exchange.is_whole = False
        if self._start is None or (self._held and self._incoming.gone):
            self._ended = True
            self._exchange.abort(ClientGone() if self._incoming.gone else None)
            return
        self._ended = True
        fields = await self._exchange.afinish(self._response())
        if self._held:
            await self._send(self._started(fields))

    def raised(self, error: BaseException) -> None:
        """The application has raised: nothing is charged, unless it did because the client went away in the middle."""
        if self._ended:
            return
        self._ended = True
        self._exchange.is_whole = False
        gone = self._incoming.gone or self._unsendable or isinstance(error, asyncio.CancelledError)
        if gone and self._start is not None and not self._held:
            settle_later(self._exchange, self._response())
        else:
            self._exchange.abort(error)

    async def _is_unwanted(self) -> bool:
        """Whether the client has gone away while the application was at work."""
        served_ms = self._now_ms() - self._exchange.serving_ms
        return served_ms >= _NOTICEABLE_MS and await self._incoming.client_gone()

    def _take_start(self, message: Message) -> bool:
        """Note how the response starts; whether that is held back, as its end may come with its first piece."""
        self._start = message
        self._started_ms = self._now_ms()
        status = message["status"]
        self._bodiless = self._exchange.request.method == "HEAD" or status in (204, 304)
        self._length = declared_length(message.get("headers", ()))
        self._held = True
        return self._length is not None or self._bodiless

    def _take_body(self, message: Message) -> bool:
        """Count a piece of the body; whether it is the last one."""
        if self._bodiless:
            return True
        part = message.get("body", b"")
        self._bytes += len(part)
        if self._kept is not None and (room := self._exchange.keeps_body - len(self._kept)) > 0:
            self._kept += part[:room]
        return not message.get("more_body", False) or (self._length is not None and self._bytes >= self._length)

    def _take_file(self, message: Message) -> bool:
        """Count what the server sends from a file itself; whether that is the last of it."""
        self._kept = None
        if message["type"] == "http.response.zerocopysend" and message.get("count") is not None:
            self._bytes += 0 if self._bodiless else message["count"]
        elif not self._bodiless:
            self._bytes = self._length or 0
        return not message.get("more_body", False)

    def _response(self) -> MeteredResponse:
        assert self._start is not None
        return MeteredResponse(
            self._start["status"],
            AsgiHeaders(self._start.get("headers", ())),
            body_bytes=self._bytes,
            body=bytes(self._kept) if self._kept is not None else None,
            started_ms=self._started_ms,
            duration_ms=self._exchange.duration_ms(),
        )

    def _started(self, fields: Iterable[tuple[str, str]]) -> Message:
        """The start of the response, with our fields, on its way now."""
        assert self._start is not None
        self._held = False
        return {**self._start, "headers": [*self._start.get("headers", ()), *encoded(fields)]}


def settle_later(exchange: Exchange, response: MeteredResponse) -> None:
    """Settle in a task of its own, as whoever calls is being cancelled and must not wait."""
    task = asyncio.get_running_loop().create_task(exchange.afinish(response))
    _settling.add(task)
    task.add_done_callback(_settling.discard)


async def send_answer(answer: Answer, send: Send, *, head: bool = False) -> None:
    """Send a whole response of the meter's own."""
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded(answer.headers)})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def encoded(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The Content-Length of a response, None when it declares none."""
    for name, value in headers:
        if name == b"content-length" or (len(name) == 14 and name.lower() == b"content-length"):
            return int(value) if value.isdigit() else None
    return None
