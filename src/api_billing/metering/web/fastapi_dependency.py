"""FastAPI's way of dependencies: ``charge: Charge = Depends(MeterDependency(metering))``, after ``install(app)``.

A dependency runs before the response exists, so ``install`` puts a pure ASGI middleware around the application, which
meters the messages of those requests for which a dependency has reserved, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from fastapi import Request
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api_billing.metering.errors import NotAllowed
from api_billing.metering.limits.checks import Amount
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import asgi_request
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.asgi_messages import (
    AsgiApp,
    Incoming,
    Message,
    Outgoing,
    Receive,
    Scope,
    Send,
)
from api_billing.metering.web.delivery import EXCHANGE_KEY, is_metered
from api_billing.metering.web.fastapi_serializing import effective_route
from api_billing.metering.web.identified import aconsumer_of
from api_billing.metering.web.starlette_endpoints import AnswerResponse, read_body

_DEFERRED_KEY: Final = "api_billing.deferred"


class MeterRefusal(Exception):
    """The meter does not let a request be served, or has its stored response: ``answer`` is what to send.

    No ``HTTPException``: an application's handlers for statuses are not meant for it.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered by the meter with status {answer.status}")
        self.answer = answer


class Charge:
    """A request that is being served, for its endpoint."""

    def __init__(self, exchange: Exchange | None) -> None:
        self._exchange = exchange

    @property
    def consumer(self) -> str:
        """Who is asking; empty when requests of this method and path are not metered."""
        return self._exchange.consumer if self._exchange is not None else ""

    @property
    def refusal(self) -> NotAllowed | None:
        """Why it ought not to be served, with ``on_refusal="pass"``: to be answered, or raised."""
        return self._exchange.refusal if self._exchange is not None else None

    def set_cost_wei(self, cost_wei: Amount) -> None:
        """Charge this, instead of what the price says. Raises: InvalidSetting for an amount that is none."""
        if self._exchange is not None:
            self._exchange.set_cost_wei(cost_wei)

    def extend(self, more_wei: Amount) -> None:
        """It costs so much more than its price says: see ``Exchange.extend``. Raises: InvalidSetting for no amount."""
        if self._exchange is not None:
            self._exchange.extend(more_wei)

    def tag(self, **values: str | int | bool | None) -> None:
        """Keep something with the request's record: ``charge.tag(model="small", tokens=12)``."""
        if self._exchange is not None:
            self._exchange.tag(**values)


class MeterDependency:
    """Reserves before the endpoint and yields a ``Charge``. A refusal is raised as ``MeterRefusal``."""

    def __init__(self, metering: Metering) -> None:
        self.metering = metering

    async def __call__(self, request: Request) -> AsyncIterator[Charge]:
        scope = request.scope
        deferred = _installed(request)
        if not self.metering.takes(request.method) or is_metered(scope, self.metering):
            yield Charge(scope.get(EXCHANGE_KEY))
            return
        outgoing = await deferred.begin(self.metering, request)
        try:
            yield Charge(outgoing.exchange)
        except HTTPException:
            raise  # becomes a response, of which the middleware sees all
        except BaseException as error:
            outgoing.raised(error)  # the middleware sees it, too
            raise


class Identified:
    """Tells who asks, for routes that cost nothing: ``consumer: str = Depends(Identified(meter))``, after ``install``.

    A refusal is raised as ``MeterRefusal``.
    """

    def __init__(self, meter: Meter, identify: Extractor | None = None) -> None:
        self.meter = meter
        self.identify = identify

    async def __call__(self, request: Request) -> str:
        _installed(request)  # said to everybody, not only to whom it would refuse
        limit = self.meter.settings.max_fingerprint_bytes
        body = partial(read_body, request, Incoming(request.receive, limit), limit)
        metered_request = asgi_request(request.scope, at_ms=self.meter.now_ms(), body=body, native=request)
        consumer = await aconsumer_of(self.meter, metered_request, self.identify)
        if isinstance(consumer, Answer):
            raise MeterRefusal(consumer)
        return consumer


class Deferred:
    """A request's messages, metered from the moment on that a dependency has reserved for it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._incoming: Incoming | None = None
        self.outgoing: Outgoing | None = None

    async def begin(self, metering: Metering, request: Request) -> Outgoing:
        meter = metering.meter
        limit = meter.settings.max_fingerprint_bytes
        if self._incoming is None:
            self._incoming = Incoming(self._receive, limit)  # further dependencies go on with what it has read
        incoming = self._incoming
        exchange = Exchange(
            metering,
            asgi_request(
                request.scope,
                at_ms=meter.now_ms(),
                route=getattr(effective_route(request), "path", ""),
                body=partial(read_body, request, incoming, limit),
                native=request,
            ),
        )
        answer = await exchange.abegin()
        if answer is not None:
            raise MeterRefusal(answer)
        request.scope[EXCHANGE_KEY] = exchange
        self.outgoing = Outgoing(exchange, incoming)
        self.outgoing.send_by(self._send, request.scope)
        return self.outgoing

    async def receive(self) -> Message:
        return await (self._receive() if self._incoming is None else self._incoming.receive())

    async def send(self, message: Message) -> None:
        await (self._send(message) if self.outgoing is None else self.outgoing.send(message))


class DeferredMetering:
    """The middleware that ``install`` adds."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _DEFERRED_KEY in scope:
            await self.app(scope, receive, send)
            return
        deferred = scope[_DEFERRED_KEY] = Deferred(receive, send)
        try:
            await self.app(scope, deferred.receive, deferred.send)
        except BaseException as error:
            if deferred.outgoing is None or not deferred.outgoing.raised(error):
                raise
            return
        if deferred.outgoing is not None:
            await deferred.outgoing.returned()


def _installed(request: Request) -> Deferred:
    deferred: Deferred | None = request.scope.get(_DEFERRED_KEY)
    if deferred is None or MeterRefusal not in request.app.exception_handlers:
        # A mounted application has handlers of its own.
        raise RuntimeError("the application of this route needs api_billing.metering.web.fastapi.install(app)")
    return deferred


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeterRefusal)
    return AnswerResponse(error.answer)


async def _answer_not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotAllowed)
    exchange: Exchange | None = request.scope.get(EXCHANGE_KEY)
    if exchange is not None:
        exchange.abort(error)
    return AnswerResponse(Answer(*error.answer))


def install(app: Starlette) -> None:
    """Prepare an application for ``MeterDependency``: its middleware, and refusals as problem details, also of what its
    handlers, and those of one of Starlette's, charge themselves (``NotAllowed``).
    """
    app.add_exception_handler(MeterRefusal, _answer)
    app.add_exception_handler(NotAllowed, _answer_not_allowed)
    app.add_middleware(DeferredMetering)
