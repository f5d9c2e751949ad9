"""One endpoint of Starlette or FastAPI, metered from within: without a middleware that would see its messages.

The endpoint's response goes on as one of a class of its own, which meters the messages that it sends. An
``HTTPException`` becomes a response only later, in the application's exception handler: it is settled as one of its
status, and goes on with our header fields.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache, partial
from typing import Any, Final, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api_billing.metering.errors import NotAllowed
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import AsgiHeaders, BodyTooLarge, asgi_request, within
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.seldom import Seldom
from api_billing.metering.stores.steps import is_waiting
from api_billing.metering.web.asgi_messages import Incoming, Outgoing, Receive, Scope, Send, encoded
from api_billing.metering.web.decorated import fields_of, function_of, refuse_served
from api_billing.metering.web.delivery import EXCHANGE_KEY, is_metered
from api_billing.metering.web.fields import merged
from api_billing.metering.web.forms import form_bytes

_log = logging.getLogger("api_billing.metering.web")
_seldom: Final = Seldom()

Call = Callable[[Request], Awaitable[Response]]

_ROUTE: Final = {"endpoint", "path_regex", "param_convertors"}  # attributes of a route


def endpoint_of(endpoint: Any) -> Callable[..., Any]:
    """The function of an endpoint. Raises: TypeError for what cannot be metered there, or is a route already."""
    refuse_served(endpoint, lambda owners: any(fields_of(owner).keys() >= _ROUTE for owner in owners))
    function = function_of(endpoint)
    for parameter in inspect.signature(function).parameters.values():
        kind = getattr(parameter.annotation, "__name__", parameter.annotation)
        if parameter.name == "websocket" or kind == "WebSocket":
            raise TypeError("@metered is for requests; connections are metered by MeterMiddleware(…, websockets=True)")
    return function


async def serve_endpoint(metering: Metering, request: Request, route: str, call: Call) -> Response:
    """Reserve, call the endpoint, and return a response that settles when it is sent; or a refusal."""
    scope = request.scope
    if not metering.takes(request.method) or is_metered(scope, metering):
        return await call(request)
    meter = metering.meter
    incoming = Incoming(request.receive, meter.settings.max_fingerprint_bytes)
    body = partial(read_body, request, incoming, meter.settings.max_fingerprint_bytes)
    exchange = Exchange(metering, asgi_request(scope, at_ms=meter.now_ms(), route=route, body=body, native=request))
    answer = await exchange.abegin()
    if answer is not None:
        return AnswerResponse(answer)
    scope[EXCHANGE_KEY] = exchange
    dependencies = scope.get("fastapi_inner_astack")
    if isinstance(dependencies, AsyncExitStack):
        # FastAPI drops the response when a dependency fails on its way out.
        dependencies.callback(exchange.abort)
    if incoming.read_ahead:
        request = Request(scope, incoming.receive)
    outgoing = Outgoing(exchange, incoming)
    try:
        response = await call(request)
    except HTTPException as error:
        if exchange.speaks and (rendered := await _rendered(request, error)) is not None:
            # With its receipt, also where the application's handler takes no header fields from exceptions.
            return metered_response(rendered, outgoing)
        fields = await settle_exception(outgoing, request, error)
        raise with_fields(error, fields).with_traceback(error.__traceback__) from error.__cause__
    except NotAllowed as error:
        outgoing.abort(error)
        return AnswerResponse(Answer(*error.answer))
    except BaseException as error:
        outgoing.abort(error)
        raise
    return metered_response(response, outgoing)


def metered_response(response: Any, outgoing: Outgoing) -> Response:
    """The same response, metered when it is sent. Dropped unsent, nothing is charged.

    A copy: an application may return one object every time. Starlette takes anything that speaks ASGI for a response.
    """
    if not isinstance(response, Response):
        return cast(Response, lambda scope, receive, send: outgoing.serve(response, scope, send))
    kind: Any = type(response)
    twin: Any = object.__new__(_metered_kind(kind))
    twin.__dict__.update(response.__dict__, api_billing_outgoing=outgoing)
    return cast(Response, twin)


@cache
def _metered_kind(kind: Any) -> type[Response]:
    """The class of responses whose messages are metered; else it is what it was."""
    return type(kind.__name__, (_Metered, kind), {"__module__": kind.__module__})


class _Metered(Response):
    api_billing_outgoing: Outgoing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.api_billing_outgoing.serve(super().__call__, scope, send)


class AnswerResponse(Response):
    """A response of the meter's own: a refusal, or one that is replayed. Background tasks belong to served ones."""

    def __init__(self, answer: Answer) -> None:
        self.status_code, self.body, self.background = answer.status, answer.body, None
        self.raw_headers = encoded(answer.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else self.body})


async def settle_exception(outgoing: Outgoing, request: Request, error: HTTPException) -> Fields:
    """Settle a request whose endpoint raised an ``HTTPException``; the answer is header fields."""
    response: Response | None = None
    if outgoing.exchange.keeps_body:
        # Only for what has to be stored, for replay or audit: the application will call its handler itself.
        response = await _rendered(request, error)
    headers = response.raw_headers if response is not None else encoded((error.headers or {}).items())
    outgoing.start(error.status_code, AsgiHeaders(headers))
    if response is not None:
        outgoing.count(bytes(response.body))
    else:
        outgoing.lose_body()
    return await outgoing.afinish()


def with_fields(error: HTTPException, fields: Fields) -> HTTPException:
    """The same exception with further header fields: a copy, as an application may raise one object every time."""
    kind = type(error)
    twin = kind.__new__(kind, *error.args)
    twin.__dict__.update(error.__dict__)
    twin.headers = dict(merged((error.headers or {}).items(), fields))
    return twin


async def _rendered(request: Request, error: HTTPException) -> Response | None:
    """What the application's exception handler makes of it; None when that cannot be told."""
    by_class, by_status = request.scope.get("starlette.exception_handlers", ({}, {}))
    handler = by_status.get(error.status_code)
    if handler is None:
        handler = next((by_class[kind] for kind in type(error).__mro__ if kind in by_class), None)
    if handler is None:
        return None
    try:
        response = handler(request, error) if _is_async(handler) else await run_in_threadpool(handler, request, error)
        if is_waiting(response):
            response = await response
    except Exception:
        what = "the exception handler for status %d failed"
        _seldom.log(_log, logging.ERROR, what, error.status_code, exc_info=True)
        return None
    return response if isinstance(getattr(response, "body", None), bytes) else None


def _is_async(handler: Any) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


async def read_body(request: Request, incoming: Incoming, limit: int) -> bytes | None:
    """The body of a request that the framework may have read before; None when it cannot be had. Raises:
    BodyTooLarge.
    """
    body: bytes | None = getattr(request, "_body", None)
    if body is not None:
        return within(limit, body)
    form = getattr(request, "_form", None)
    if form is not None:
        return await _of_form(form, limit)
    if getattr(request, "_stream_consumed", False):
        return None
    return await incoming.read()


async def _of_form(form: FormData, limit: int) -> bytes:
    pieces: list[str | bytes] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if (value.size or 0) > limit:
                raise BodyTooLarge
            pieces += ["file", name, value.filename or "", await value.read()]
            await value.seek(0)
        else:
            pieces += ["text", name, value]
    return form_bytes(pieces, limit)
