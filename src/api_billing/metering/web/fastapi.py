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
from typing import Annotated, Any, Final, Unpack, cast

from api_billing.extras import needed_by

with needed_by(__name__):
    from fastapi import Request, Response
    from fastapi.dependencies.utils import get_typed_return_annotation, get_typed_signature
    from fastapi.sse import EventSourceResponse
    from starlette.concurrency import run_in_threadpool

from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Metering, Terms
from api_billing.metering.request.problems import CONTENT_TYPE, KINDS
from api_billing.metering.web import starlette
from api_billing.metering.web.asgi import MeteredASGI, MeterMiddleware
from api_billing.metering.web.decorated import MARK, METERING, OWN, name_of
from api_billing.metering.web.fastapi_dependency import Charge, Identified, MeterDependency, MeterRefusal, install
from api_billing.metering.web.fastapi_serializing import Serializer, effective_route
from api_billing.metering.web.starlette_endpoints import endpoint_of, serve_endpoint

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
    or the middleware. Raises: InvalidSetting for a name or amount that is none, TypeError for what is no function, or
    has a route already.
    """
    metering = meter.metering(**terms)

    def decorate(endpoint: EndpointT) -> EndpointT:
        return cast(EndpointT, _wrapped(metering, endpoint_of(endpoint)))

    return decorate


def _wrapped(metering: Metering, endpoint: Callable[..., Any]) -> Callable[..., Any]:
    parameters = list(get_typed_signature(endpoint).parameters.values())
    returns = get_typed_return_annotation(endpoint)
    serializer = Serializer(endpoint, returns)
    request_name = _name_of(Request, parameters, _REQUEST)
    response_name = _name_of(Response, parameters, _RESPONSE)

    by_request = starlette.wrapped(metering, endpoint)

    @functools.wraps(endpoint)
    async def metered_endpoint(*args: Any, **arguments: Any) -> Response:
        if args and isinstance(args[-1], Request):
            return await by_request(*args)  # on a route of Starlette's, which FastAPI has, too
        request: Request = arguments[request_name] if request_name != _REQUEST else arguments.pop(_REQUEST)
        injected: Response = arguments[response_name] if response_name != _RESPONSE else arguments.pop(_RESPONSE)
        route = effective_route(request)
        if (dependant := getattr(route, "dependant", None)) is not None and _has_metered_dependency(dependant):
            raise TypeError(f"@metered is on {name_of(endpoint)}, which is a dependency: use MeterDependency there")

        async def call(request: Request) -> Response:
            if request_name in arguments:
                arguments[request_name] = request
            value = await _value(endpoint, args, arguments)
            return value if isinstance(value, Response) else await serializer.response(route, request, value, injected)

        return await serve_endpoint(metering, request, getattr(route, "path", ""), call)

    wrapped: Any = metered_endpoint
    if serializer.streams:
        wrapped, returns = _of_generator(metered_endpoint, endpoint, request_name), Response
    setattr(wrapped, MARK, OWN)
    setattr(wrapped, METERING, metering)
    wrapped.__signature__ = inspect.Signature(parameters, return_annotation=returns)
    return cast("Callable[..., Any]", wrapped)


def _has_metered_dependency(dependant: Any) -> bool:
    return any(getattr(one.call, MARK, None) == OWN or _has_metered_dependency(one) for one in dependant.dependencies)


def _of_generator(
    metered_endpoint: Callable[..., Any], endpoint: Callable[..., Any], request_name: str
) -> Callable[..., Any]:
    """What FastAPI takes for a coroutine function and not, as it does with what wraps a generator, for a generator."""

    def metered_generator(*args: Any, **arguments: Any) -> Any:
        response_class = getattr(effective_route(arguments[request_name]), "response_class", None)
        if isinstance(response_class, type) and issubclass(response_class, EventSourceResponse):
            raise TypeError(
                "@metered cannot be on a generator with response_class=EventSourceResponse, which FastAPI iterates"
                " itself: use MeterDependency or MeterMiddleware"
            )
        return metered_endpoint(*args, **arguments)

    functools.update_wrapper(metered_generator, endpoint)
    del metered_generator.__dict__["__wrapped__"]
    return inspect.markcoroutinefunction(metered_generator)


async def _value(endpoint: Callable[..., Any], args: tuple[Any, ...], arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(endpoint):
        return await endpoint(*args, **arguments)
    if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
        return endpoint(*args, **arguments)
    return await run_in_threadpool(endpoint, *args, **arguments)


def _name_of(kind: type, parameters: list[inspect.Parameter], added: str) -> str:
    """The name of the parameter that FastAPI fills with the request or response; one is added when there is none."""
    for parameter in parameters:
        annotation = parameter.annotation
        if typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, kind):
            return parameter.name
    parameters.append(inspect.Parameter(added, inspect.Parameter.KEYWORD_ONLY, annotation=kind))
    return added
