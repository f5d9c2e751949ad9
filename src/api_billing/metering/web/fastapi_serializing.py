"""What FastAPI would make of an endpoint's value, as a response that can be metered.

FastAPI serializes what an endpoint returns after the endpoint, where a decorator cannot see it. So its own functions
are called here, with what the matched route says: response model, fields included and excluded, class, status.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from fastapi import Request, Response
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_stream_item_type
from fastapi.exceptions import EndpointContext
from fastapi.responses import JSONResponse
from fastapi.routing import get_request_handler, serialize_response
from fastapi.utils import create_model_field, is_body_allowed_for_status_code
from starlette.concurrency import iterate_in_threadpool

_ITEMS_KEY: Final = "api_billing.items"


def effective_route(request: Request) -> Any:
    """The route that was matched, with the prefix and defaults of the routers it was included through."""
    route = request.scope.get("route")
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    return context if getattr(context, "original_route", None) is route and context is not None else route


class Serializer:
    """Makes responses of one endpoint's values. One endpoint may be on several routes."""

    def __init__(self, endpoint: Callable[..., Any], returns: Any) -> None:
        self.streams = inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint)
        # Reading what a sync endpoint returns may wait (a row that loads more): FastAPI does it in a thread.
        self._is_coroutine = inspect.iscoroutinefunction(endpoint)
        self._where = _context(endpoint)
        item = get_stream_item_type(returns) if self.streams else None
        self._item_field = create_model_field("item", item, mode="serialization") if item is not None else None

    async def response(self, route: Any, request: Request, value: Any, injected: Response) -> Response:
        """Serialize a value; ``injected`` has the status, header fields and cookies that were set beside it."""
        if not hasattr(route, "response_field"):
            return JSONResponse(value)
        respond = self._of_items if self.streams else self._of_value
        response = await respond(route, request, value, injected.status_code or route.status_code)
        response.headers.raw.extend(injected.headers.raw)
        return response

    async def _of_value(self, route: Any, request: Request, value: Any, status: int | None) -> Response:
        """As FastAPI does it after an endpoint. Its handler as a whole would ask for parameters again."""
        kind, field = route.response_class, route.response_field
        is_default = isinstance(kind, DefaultPlaceholder)
        is_json = is_default and field is not None  # which FastAPI writes without a response class
        path = f"{request.method} {request.scope.get('root_path', '').rstrip('/')}{route.path}"
        content = await serialize_response(
            field=field,
            response_content=value,
            include=route.response_model_include,
            exclude=route.response_model_exclude,
            by_alias=route.response_model_by_alias,
            exclude_unset=route.response_model_exclude_unset,
            exclude_defaults=route.response_model_exclude_defaults,
            exclude_none=route.response_model_exclude_none,
            is_coroutine=self._is_coroutine,
            endpoint_ctx={**self._where, "path": path},
            dump_json=is_json,
        )
        options: dict[str, Any] = {"status_code": status} if status else {}
        if is_json:
            response = Response(content, media_type="application/json", **options)
        else:
            response = (kind.value if is_default else kind)(content, **options)
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        return response

    async def _of_items(self, route: Any, request: Request, items: Any, status: int | None) -> Response:
        """By FastAPI's own handler of a generator, which just yields the items: how it streams is its business."""
        handler = get_request_handler(
            Dependant(call=_relay, path=route.path, request_param_name="request"),
            status_code=status,
            response_class=route.response_class,
            response_model_include=route.response_model_include,
            response_model_exclude=route.response_model_exclude,
            response_model_by_alias=route.response_model_by_alias,
            response_model_exclude_unset=route.response_model_exclude_unset,
            response_model_exclude_defaults=route.response_model_exclude_defaults,
            response_model_exclude_none=route.response_model_exclude_none,
            stream_item_field=self._item_field,
            is_json_stream=isinstance(route.response_class, DefaultPlaceholder),
        )
        request.scope[_ITEMS_KEY] = items if inspect.isasyncgen(items) else iterate_in_threadpool(items)
        return await handler(request)


async def _relay(request: Request) -> AsyncIterator[Any]:
    async with aclosing(request.scope.pop(_ITEMS_KEY)) as items:
        async for item in items:
            yield item


def _context(endpoint: Callable[..., Any]) -> EndpointContext:
    """Where an endpoint stands, for FastAPI's messages about values that do not fit."""
    context = EndpointContext(function=getattr(endpoint, "__name__", "endpoint"))
    code = getattr(inspect.unwrap(endpoint), "__code__", None)
    if code is not None:
        context["file"], context["line"] = code.co_filename, code.co_firstlineno
    return context
