"""A websocket connection as one metered request: reserved before it is accepted, settled when it is closed, also by an
exception: a client can cause one, and has what was sent before.
"""

from __future__ import annotations

import asyncio

from api_billing.metering.errors import NotAllowed
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import asgi_request
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.asgi_messages import (
    AsgiApp,
    Incoming,
    Message,
    Receive,
    Scope,
    Send,
    encoded,
    with_fields,
)
from api_billing.metering.web.delivery import EXCHANGE_KEY, Delivery, StreamCut

_POLICY_VIOLATION = 1008
_ACCEPTED = 101
_REJECTED = 403


async def serve_connection(
    app: AsgiApp, metering: Metering, scope: Scope, receive: Receive, send: Send, route: str
) -> None:
    """Reserve for the connection, run it, and settle with the bytes that were sent over it."""
    meter = metering.meter
    request = asgi_request({**scope, "method": "GET"}, at_ms=meter.now_ms(), route=route, body=b"")
    exchange = Exchange(metering, request)
    answer = await exchange.abegin()
    if answer is not None:
        await _reject(answer, scope, receive, send)
        return
    scope[EXCHANGE_KEY] = exchange
    connection = _Connection(exchange, receive, send)
    try:
        await app(scope, connection.incoming.receive, connection.send)
    except BaseException as error:
        if connection.cut and isinstance(error, Exception):
            return
        if isinstance(error, NotAllowed):
            await connection.refuse(error, scope)
            return
        if connection.status == _ACCEPTED and (connection.incoming.gone or isinstance(error, asyncio.CancelledError)):
            connection.finish_later()
        elif connection.status == _ACCEPTED and connection.taken:
            exchange.cut(type(error).__name__)
            await connection.afinish()
        else:
            connection.abort(error)
        raise
    if connection.status:
        await connection.afinish()
    else:
        connection.abort()


class _Connection(Delivery):
    """Counts what goes over a connection."""

    __slots__ = ("_send", "incoming")

    def __init__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        super().__init__(exchange)
        self.incoming = Incoming(receive, 0)
        self._send = send

    async def refuse(self, error: NotAllowed, scope: Scope) -> None:
        """What the application asked for is not allowed: reject the connection, or close it, for what it has cost."""
        if not self.status:
            self.abort(error)
            await _send_rejection(Answer(*error.answer), scope, self._send)
            return
        await self.afinish()
        if not self.incoming.gone:
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.code})

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.status = _ACCEPTED
            message = {**message, "headers": with_fields(message.get("headers", ()), self.exchange.start_fields())}
        elif kind == "websocket.send":
            piece = message.get("bytes") or (message.get("text") or "").encode()
            if self.exchange.is_bounded and not await self.apays(piece):
                self.cut_off()
                await self.afinish()
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "not paid for"})
            if self.cut:
                raise StreamCut("nothing more of this connection is paid for")
            self.count(piece)
        elif not self.status:
            self.status = message.get("status", _REJECTED)
        await self._send(message)


async def _reject(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    await _send_rejection(answer, scope, send)


async def _send_rejection(answer: Answer, scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
        return
    headers = encoded(answer.headers)
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})
