"""What FastAPI would make of an endpoint's value, as a response that can be metered.

FastAPI serializes what an endpoint returns after the endpoint, where a decorator cannot see it. So a decorated endpoint
has a hidden route with the settings of its own one (response model, fields included and excluded, class, status), whose
endpoint just returns the value; its handler is FastAPI's own, and filters and encodes as FastAPI does.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

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

Handler = Callable[[Request], Awaitable[Response]]


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
        self._handlers: dict[int, tuple[Any, Handler]] = {}

    async def response(self, route: Any, request: Request, value: Any, injected: Response) -> Response:
        """Serialize a value; ``injected`` has the status, header fields and cookies that were set beside it."""
        if not isinstance(route, APIRoute) and not hasattr(route, "original_route"):
            return JSONResponse(value)
        known = self._handlers.get(id(route))
        if known is None:
            known = self._handlers[id(route)] = (route, self._handler(route))
        # The request itself, as it has its headers and parameters at hand by now.
        request.scope[_VALUE_KEY] = (value, injected)
        return await known[1](request)

    def _handler(self, route: Any) -> Handler:
        relay = _relay(self._endpoint, self._returns, validates=route.response_field is not None)
        settings = {name: getattr(route, name) for name in _SAME}
        if not self.streams:
            settings["response_model"] = route.response_model
        hidden = APIRoute(route.path, relay, **settings)
        return hidden.get_route_handler()


def _relay(endpoint: Callable[..., Any], returns: Any, *, validates: bool) -> Callable[..., Any]:
    """An endpoint that returns the value that is in the scope, of the same kind as the real one."""
    if inspect.isasyncgenfunction(endpoint):

        async def relay_async_items(request: Request, response: Response) -> AsyncIterator[Any]:
            async with aclosing(_take(request, response)) as items:
                async for item in items:
                    yield item

        return _named(relay_async_items, endpoint, returns)
    if inspect.isgeneratorfunction(endpoint):

        def relay_items(request: Request, response: Response) -> Iterator[Any]:
            with closing(_take(request, response)) as items:
                yield from items

        return _named(relay_items, endpoint, returns)
    if validates and not inspect.iscoroutinefunction(endpoint):

        def relay_in_thread(request: Request, response: Response) -> Any:
            # Reading what a sync endpoint returns may wait (a row that loads more): FastAPI does it in a thread.
            return _take(request, response)

        return _named(relay_in_thread, endpoint)

    async def relay(request: Request, response: Response) -> Any:
        return _take(request, response)

    return _named(relay, endpoint)


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
