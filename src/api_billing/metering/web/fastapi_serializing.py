"""What FastAPI would make of an endpoint's value, as a response that can be metered.

FastAPI serializes what an endpoint returns after the endpoint, where a decorator cannot see it. So a decorated endpoint
has a hidden route with the settings of its own one (response model, fields included and excluded, class, status).
A value is filtered and encoded by FastAPI's own function with the hidden route's settings. A generator is served by the
hidden route's handler, whose endpoint just yields its items: how a stream is made is not to be written again.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, Final

from fastapi import Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.exceptions import EndpointContext
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, serialize_response
from fastapi.utils import is_body_allowed_for_status_code

_VALUE_KEY: Final = "api_billing.value"
_SAME: Final = (
    "status_code",
    "response_class",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_model_exclude_unset",
    "response_model_exclude_defaults",
    "response_model_exclude_none",
)

# Makes a response of a value; the other response has the status, header fields and cookies that were set beside it.
Respond = Callable[[Request, Any, Response], Awaitable[Response]]


def effective_route(request: Request) -> Any:
    """The route that was matched, with the prefix and defaults of the routers it was included through."""
    route = request.scope.get("route")
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    return context if getattr(context, "original_route", None) is route and context is not None else route


class Serializer:
    """Makes responses of one endpoint's values. One endpoint may be on several routes."""

    def __init__(self, endpoint: Callable[..., Any], signature: inspect.Signature) -> None:
        self.streams = inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint)
        self._endpoint = endpoint
        self._returns = signature.return_annotation
        # By identity, as routes have no hash; they are kept with it, so that an identity is never another route's.
        self._known: dict[int, tuple[Any, Respond]] = {}

    async def response(self, route: Any, request: Request, value: Any, injected: Response) -> Response:
        """Serialize a value; ``injected`` has the status, header fields and cookies that were set beside it."""
        if not isinstance(route, APIRoute) and not hasattr(route, "original_route"):
            return JSONResponse(value)
        known = self._known.get(id(route))
        if known is None:
            known = self._known[id(route)] = (route, self._respond(route))
        return await known[1](request, value, injected)

    def _respond(self, route: Any) -> Respond:
        settings = {name: getattr(route, name) for name in _SAME}
        if self.streams:
            return _streams(APIRoute(route.path, _relay(self._endpoint, self._returns), **settings))
        settings["response_model"] = route.response_model
        return _values(APIRoute(route.path, _named(_nothing, self._endpoint), **settings), self._endpoint)


def _values(hidden: APIRoute, endpoint: Callable[..., Any]) -> Respond:
    """As FastAPI does it after an endpoint. Its handler as a whole would ask for parameters and dependencies again."""
    wanted = hidden.response_class
    kind: Any = wanted.value if isinstance(wanted, DefaultPlaceholder) else wanted
    field = hidden.response_field
    is_json = kind is not wanted and field is not None  # which FastAPI writes without a response class
    status = hidden.status_code
    # Reading what a sync endpoint returns may wait (a row that loads more): FastAPI does it in a thread.
    is_coroutine = inspect.iscoroutinefunction(endpoint)
    where = _context(endpoint)

    async def respond(request: Request, value: Any, injected: Response) -> Response:
        path = f"{request.method} {request.scope.get('root_path', '').rstrip('/')}{hidden.path}"
        content = await serialize_response(
            field=field,
            response_content=value,
            include=hidden.response_model_include,
            exclude=hidden.response_model_exclude,
            by_alias=hidden.response_model_by_alias,
            exclude_unset=hidden.response_model_exclude_unset,
            exclude_defaults=hidden.response_model_exclude_defaults,
            exclude_none=hidden.response_model_exclude_none,
            is_coroutine=is_coroutine,
            endpoint_ctx={**where, "path": path},
            dump_json=is_json,
        )
        chosen = injected.status_code or status
        given: dict[str, Any] = {"status_code": chosen} if chosen else {}
        response = Response(content, media_type="application/json", **given) if is_json else kind(content, **given)
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        response.headers.raw.extend(injected.headers.raw)
        return response

    return respond


def _context(endpoint: Callable[..., Any]) -> EndpointContext:
    """Where an endpoint stands, for FastAPI's messages about values that do not fit."""
    function = inspect.unwrap(endpoint)
    found = EndpointContext(function=getattr(endpoint, "__name__", "endpoint"))
    code = getattr(function, "__code__", None)
    if code is not None:
        found["file"], found["line"] = code.co_filename, code.co_firstlineno
    return found


async def _nothing() -> None:
    """The endpoint of a hidden route whose handler is not used."""


def _streams(hidden: APIRoute) -> Respond:
    handler = hidden.get_route_handler()

    async def respond(request: Request, value: Any, injected: Response) -> Response:
        # The request itself, as it has its headers and parameters at hand by now.
        request.scope[_VALUE_KEY] = (value, injected)
        return await handler(request)

    return respond


def _relay(endpoint: Callable[..., Any], returns: Any) -> Callable[..., Any]:
    """An endpoint that yields from the generator that is in the scope, of the same kind as the real one."""
    if inspect.isasyncgenfunction(endpoint):

        async def relay_async_items(request: Request, response: Response) -> AsyncIterator[Any]:
            async with aclosing(_take(request, response)) as items:
                async for item in items:
                    yield item

        return _named(relay_async_items, endpoint, returns)

    def relay_items(request: Request, response: Response) -> Iterator[Any]:
        with closing(_take(request, response)) as items:
            yield from items

    return _named(relay_items, endpoint, returns)


def _named[RelayT: Callable[..., Any]](
    relay: RelayT, endpoint: Callable[..., Any], returns: Any = inspect.Signature.empty
) -> RelayT:
    """Name it as the endpoint, for FastAPI's messages, and say what a generator yields."""
    relay.__name__ = getattr(endpoint, "__name__", relay.__name__)
    signature = inspect.signature(relay, eval_str=True)
    relay.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
    return relay


def _take(request: Request, response: Response) -> Any:
    value, injected = request.scope.pop(_VALUE_KEY)
    if injected.status_code:
        response.status_code = injected.status_code
    response.headers.raw.extend(injected.headers.raw)
    return value
