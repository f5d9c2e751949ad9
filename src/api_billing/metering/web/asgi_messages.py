"""What passes between a server and a metered ASGI application: the request's messages in, the response's out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from inspect import isfunction
from typing import Any, Final

from api_billing.metering.errors import NotAllowed
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import AsgiHeaders, BodyTooLarge
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.delivery import Delivery, StreamCut
from api_billing.metering.web.fields import is_plain, merged

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Whoever goes away within this time of the application's could as well have gone just after the response; only later is
# it worth asking, which costs more than metering does.
_NOTICEABLE_MS: Final = 5
# A server has a message at once or not at all. Middleware with a function of its own for it may take some rounds of the
# event loop to hand it on: each of Starlette's BaseHTTPMiddleware two, and the first one five.
_ROUNDS_OF_MIDDLEWARE: Final = 25
# The server reads the body from a file itself; its length is the declared one.
_WHOLE_FILES: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
_TOO_LARGE: Final = 413
_TRAILED: Final = ("payment-receipt", "x-cost-wei")
_TRAILER: Final = (b"trailer", ", ".join(_TRAILED).encode())
_BODIES: Final = _WHOLE_FILES | {"http.response.body"}

_log = logging.getLogger("api_billing.metering.web")


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
            return await self._next()
        finally:
            self._waiting -= 1

    async def read(self) -> bytes | None:
        """The whole body, before the application sees it; None when it breaks off. Raises: BodyTooLarge."""
        self.read_ahead = True
        parts: list[bytes] = []
        size = 0
        while not self._ended:
            try:
                message = await self._next()
            except Exception as error:
                if getattr(error, "status_code", 0) == _TOO_LARGE:  # for a bound of the framework's own
                    raise BodyTooLarge from None
                _log.debug("the body of a request could not be read: %r", error)
                return None
            self._keep(message)
            if self.gone:
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise BodyTooLarge
            parts.append(part)
        return b"".join(parts)

    async def client_gone(self) -> bool:
        """Whether the client has gone away, without waiting for it. What else comes in is kept for the application."""
        for _ in range(2):  # what is left of the body, and what comes after it
            if self.gone or self._waiting:
                break
            message = await self._at_hand()
            if message is None:
                return False
            self._keep(message)
            if not self._ended:
                break
        return self.gone

    async def _at_hand(self) -> Message | None:
        """The next message, when it is there already."""
        task = asyncio.Task(self._next(), loop=asyncio.get_running_loop(), eager_start=True)
        try:
            for _ in range(_ROUNDS_OF_MIDDLEWARE if isfunction(self._receive) else 0):
                if task.done():
                    break
                await asyncio.sleep(0)
        finally:
            task.cancel()
        if not task.done():
            await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    async def _next(self) -> Message:
        return self._noted(await self._receive())

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


class Outgoing(Delivery):
    """The response's messages: counts them, and settles with the last one.

    A response that is complete in one message is held back until it is settled, so that it carries what it cost. A
    streamed one goes out as it comes; only its end waits for the settlement.
    """

    __slots__ = ("_held", "_incoming", "_send", "_start", "_trails", "_unsendable")

    def __init__(self, exchange: Exchange, incoming: Incoming) -> None:
        super().__init__(exchange)
        self._incoming = incoming
        self._trails = False  # what a stream has cost comes in trailers
        self._start: Message | None = None
        self._held = False  # the start has come from the application, but not gone out
        self._unsendable = False

    async def serve(self, app: AsgiApp, scope: Scope, send: Send) -> None:
        """Run what sends the response, and end the exchange with it."""
        self.send_by(send, scope)
        try:
            await app(scope, self._incoming.receive, self.send)
        except BaseException as error:
            if isinstance(error, NotAllowed) and self._start is None:
                self.abort(error)
                await send_answer(Answer(*error.answer), send, head=self.exchange.request.method == "HEAD")
                return
            if self.raised(error):
                return
            raise
        if not self.ended:
            await self.returned()

    def send_by(self, send: Send, scope: Scope) -> None:
        """What sends messages to the client of this request."""
        self._send = send
        if self.exchange.tells_in_events and "http.response.trailers" in (scope.get("extensions") or ()):
            said = ",".join(self.exchange.request.headers.all("te")).lower()
            self._trails = "trailers" in [part.partition(";")[0].strip() for part in said.split(",")]

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        # One coroutine for all of it: whatever waits for a settlement is alive in as many requests as are being served.
        start: Message | None = None
        trailers: Message | None = None
        if not self.ended:
            kind = message["type"]
            if kind == "http.response.start":
                self.start(message["status"], AsgiHeaders(message.get("headers", ())))
                served_ms = self.started_ms - self.exchange.serving_ms
                if served_ms >= _NOTICEABLE_MS and await self._incoming.client_gone():
                    self.abort(ClientGone())
                else:
                    self._start = message
                    self._held = True
                    if self.length is not None or self.bodiless:
                        return  # its end may come with its first piece
                    self._trails = self._trails and not message.get("trailers")  # else it has some of its own
                    message = self._started(self.exchange.start_fields(self.status, self.length))
                    if self._trails:
                        message = {**message, "trailers": True, "headers": [*message["headers"], _TRAILER]}
            elif kind in _BODIES:
                if kind == "http.response.body":
                    piece, is_last = message.get("body", b""), not message.get("more_body", False)
                    if self.exchange.is_bounded:
                        await self._pay(piece)
                    is_last = self.count(piece) or is_last
                else:
                    is_last = self._count_file(message)
                if is_last and self._incoming.gone and self.body_bytes != self.length:
                    # Middleware that ends a stream properly whatever becomes of its source has done so.
                    self.exchange.is_whole = False
                fields = (
                    await self.afinish()
                    if is_last
                    else self.exchange.start_fields(self.status, self.length)
                    if self._held
                    else []
                )
                start = self._started(fields) if self._held else None
                if is_last:
                    trailers = self._trailers(fields)
                    if event := self.receipt_event():
                        message = {**message, "body": message.get("body", b"") + event}
        elif self.cut:
            raise StreamCut("nothing more of this response is paid for")
        try:
            if start is not None:
                await self._send(start)
            await self._send(message)
            if trailers is not None:
                await self._send(trailers)
        except OSError:
            # How servers from ASGI 2.4 on tell that the client has gone away.
            self._unsendable = True
            self.begun = self.taken  # a start that could not be sent has not gone out
            self._held = not self.taken
            raise

    async def returned(self) -> None:
        """The application has returned. A response that it did not end is settled as far as it went."""
        if self.ended:
            return
        self.exchange.is_whole = False
        if self._start is None or (self._held and self._incoming.gone):
            self.abort(ClientGone() if self._incoming.gone else None)
            return
        fields = await self.afinish()
        if self._held:
            await self._send(self._started(fields))

    def raised(self, error: BaseException) -> bool:
        """The application has raised: nothing is charged, unless it did because the client went away in the middle.

        True: it did because we have ended the response, and nobody else need know.
        """
        if self.cut and isinstance(error, Exception):
            return True
        self.exchange.is_whole = False
        gone = self._incoming.gone or self._unsendable or isinstance(error, asyncio.CancelledError)
        if gone and self._start is not None and not self._held:
            self.finish_later()
        else:
            self.abort(error)
        return False

    async def _pay(self, piece: bytes) -> None:
        """Have a piece of a stream paid for before it goes out. Raises: StreamCut."""
        if await self.apays(piece):
            return
        try:
            if event := self.need_voucher():
                await self._send({"type": "http.response.body", "body": event, "more_body": True})
                if await self.apays(piece, waits=True, gone=self._incoming.client_gone):
                    return
            self.cut_off()
            fields = await self.afinish()
            await self._send({"type": "http.response.body", "body": self.receipt_event(), "more_body": False})
            if (trailers := self._trailers(fields)) is not None:
                await self._send(trailers)
        except OSError:
            self._unsendable = True
            raise
        raise StreamCut("nothing more of this response is paid for")

    def _trailers(self, fields: Fields) -> Message | None:
        """The message after the last one of a stream, of which these are the header fields that came too late."""
        if not self._trails or self.length is not None or self.bodiless:
            return None
        told = [field for field in fields if field[0] in _TRAILED]
        return {"type": "http.response.trailers", "headers": encoded(told), "more_trailers": False}

    def _count_file(self, message: Message) -> bool:
        """Count what the server sends from a file itself; whether that is the last of it."""
        self.lose_body()
        if not self.bodiless:
            part = message.get("count") if message["type"] == "http.response.zerocopysend" else None
            self.body_bytes = self.body_bytes + part if part is not None else self.length or 0
        return not message.get("more_body", False)

    def _started(self, fields: Fields) -> Message:
        """The start of the response, with our fields, on its way now."""
        assert self._start is not None
        self._held, self.begun = False, True
        return {**self._start, "headers": with_fields(self._start.get("headers", ()), fields)}


async def send_answer(answer: Answer, send: Send, *, head: bool = False) -> None:
    """Send a whole response of the meter's own."""
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded(answer.headers)})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def with_fields(own: Iterable[tuple[bytes, bytes]], fields: Fields) -> list[tuple[bytes, bytes]]:
    """Header fields of the application and ours beside them."""
    if is_plain(fields):
        return [*own, *encoded(fields)]
    return encoded(merged([(name.decode("latin-1"), value.decode("latin-1")) for name, value in own], fields))


def encoded(fields: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
