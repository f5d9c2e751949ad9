"""FastAPI: ``@metered(meter, api=…)`` under ``@app.get``, or ``charge: Charge = Depends(MeterDependency(metering))``.

The decorator works alone. It reserves when parameters and dependencies have been found good, so that a 422 costs
nothing, and leaves OpenAPI, ``response_model`` and everything else of the route as they are. The dependency needs
``install(app)`` once. ``MeterMiddleware`` (see ``web.asgi``) meters a whole application instead.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any, Final, Unpack, cast

from fastapi import Request, Response
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Metering, Terms
from api_billing.metering.request.problems import CONTENT_TYPE, KINDS
from api_billing.metering.web.asgi import MeteredASGI, MeterMiddleware
from api_billing.metering.web.fastapi_dependency import Charge, Identified, MeterDependency, MeterRefusal, install
from api_billing.metering.web.fastapi_serializing import Serializer, effective_route
from api_billing.metering.web.starlette_endpoints import serve_endpoint

__all__ = [
    "REFUSALS",
    "Charge",
    "Identified",
    "MeterDependency",
    "MeterMiddleware",
    "MeterRefusal",
    "MeteredASGI",
    "install",
    "metered",
]

_REQUEST: Final = "api_billing_request"
_RESPONSE: Final = "api_billing_response"

# For ``responses=REFUSALS`` of a route or an application: puts what the meter may answer into the OpenAPI page.
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": " or ".join(kind.title for kind in KINDS.values() if kind.status == status),
        "content": {
            CONTENT_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "code"],
                    "properties": {
                        "type": {"type": "string", "format": "uri"},
                        "title": {"type": "string"},
                        "status": {"type": "integer", "const": status},
                        "detail": {"type": "string"},
                        "code": {
                            "type": "string",
                            "enum": [code for code, kind in KINDS.items() if kind.status == status],
                        },
                    },
                }
            }
        },
    }
    for status in sorted({kind.status for kind in KINDS.values()} - {422})
}


def metered[EndpointT: Callable[..., Any]](
    meter: Meter,
    **terms: Unpack[Terms],
) -> Callable[[EndpointT], EndpointT]:
    """Meter an endpoint, sync, async or a generator; what the arguments mean stands at ``Metering``.

    It goes between the endpoint and ``@app.get(…)``. Only a generator of server-sent events has to use the dependency
    or the middleware. Raises: InvalidSetting for a name or amount that is none.
    """
    metering = Metering(meter, **terms)

    def decorate(endpoint: EndpointT) -> EndpointT:
        if not inspect.isroutine(endpoint):
            raise TypeError("@metered is for functions; an ASGI application goes into MeteredASGI")
        return cast(EndpointT, _wrapped(metering, endpoint))

    return decorate


def _wrapped(metering: Metering, endpoint: Callable[..., Any]) -> Callable[..., Any]:
    signature = _resolved(endpoint)
    request_name = _parameter(signature, Request)
    response_name = _parameter(signature, Response)
    serializer = Serializer(endpoint, signature)

    @functools.wraps(endpoint)
    async def metered_endpoint(**arguments: Any) -> Response:
        request: Request = arguments[request_name] if request_name else arguments.pop(_REQUEST)
        injected: Response = arguments[response_name] if response_name else arguments.pop(_RESPONSE)
        route = effective_route(request)

        async def call(request: Request) -> Response:
            given = {**arguments, request_name: request} if request_name else arguments
            value = await _value(endpoint, given)
            if isinstance(value, Response):
                return value
            return await serializer.response(route, request, value, injected)

        return await serve_endpoint(metering, request, getattr(route, "path", ""), call)

    extra = [] if request_name else [inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)]
    if not response_name:
        extra.append(inspect.Parameter(_RESPONSE, inspect.Parameter.KEYWORD_ONLY, annotation=Response))
    signature = signature.replace(parameters=[*signature.parameters.values(), *extra])
    if serializer.streams:
        signature = signature.replace(return_annotation=Response)
        return _of_generator(metered_endpoint, signature, request_name or _REQUEST)
    metered_endpoint.__signature__ = signature  # type: ignore[attr-defined]
    return metered_endpoint


def _of_generator(endpoint: Callable[..., Any], signature: inspect.Signature, request_name: str) -> Callable[..., Any]:
    """What FastAPI takes for a coroutine function and not, as it does with what wraps a generator, for a generator."""

    def metered_endpoint(**arguments: Any) -> Any:
        response_class = getattr(effective_route(arguments[request_name]), "response_class", None)
        if isinstance(response_class, type) and issubclass(response_class, EventSourceResponse):
            raise TypeError(
                "@metered cannot be on a generator with response_class=EventSourceResponse, which FastAPI iterates"
                " itself: use MeterDependency or MeterMiddleware"
            )
        return endpoint(**arguments)

    functools.update_wrapper(metered_endpoint, endpoint)
    del metered_endpoint.__dict__["__wrapped__"]
    metered_endpoint.__signature__ = signature  # type: ignore[attr-defined]
    return inspect.markcoroutinefunction(metered_endpoint)


async def _value(endpoint: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(endpoint):
        return await endpoint(**arguments)
    if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
        return endpoint(**arguments)
    return await run_in_threadpool(endpoint, **arguments)


def _resolved(endpoint: Callable[..., Any]) -> inspect.Signature:
    """The signature with annotations that are text (``from __future__ import annotations``) as what they name."""
    signature = inspect.signature(endpoint)
    names = getattr(inspect.unwrap(endpoint), "__globals__", {})
    parameters = [
        parameter.replace(annotation=_annotation(parameter.annotation, names))
        for parameter in signature.parameters.values()
    ]
    returns = _annotation(signature.return_annotation, names)
    return signature.replace(parameters=parameters, return_annotation=returns)


def _annotation(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        found = typing.get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True)
    except Exception:
        return annotation  # FastAPI reports a name that does not exist better than we could
    return None if found["it"] is type(None) else found["it"]


def _parameter(signature: inspect.Signature, kind: type) -> str:
    """The name of the parameter that FastAPI fills with the request or response; empty when there is none."""
    for parameter in signature.parameters.values():
        annotation = parameter.annotation
        if typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, kind):
            return parameter.name
    return ""
