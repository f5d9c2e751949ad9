"""Starlette: ``@metered(meter, api=…, …)`` under ``Route`` and in ``HTTPEndpoint`` classes, sync and async.

``MeterMiddleware`` (see ``web.asgi``) meters a whole application instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Unpack, cast

from api_billing.extras import needed_by

with needed_by(__name__):
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response

from api_billing.metering.meter import Meter
from api_billing.metering.request.metering import Metering, Terms
from api_billing.metering.web.asgi import MeteredASGI, MeterMiddleware
from api_billing.metering.web.decorated import MARK, METERING, OWN, name_of
from api_billing.metering.web.starlette_endpoints import endpoint_of, serve_endpoint

__all__ = ["MeterMiddleware", "MeteredASGI", "metered"]


def metered[EndpointT: Callable[..., Any]](
    meter: Meter,
    **terms: Unpack[Terms],
) -> Callable[[EndpointT], EndpointT]:
    """Meter an endpoint; what the arguments mean stands at ``Metering``. Nothing else has to be installed.

    Raises: InvalidSetting for a name or amount that is none, TypeError for what is no function, or has a route already.
    """
    metering = meter.metering(**terms)

    def decorate(endpoint: EndpointT) -> EndpointT:
        return cast(EndpointT, wrapped(metering, endpoint_of(endpoint)))

    return decorate


def wrapped(metering: Metering, endpoint: Callable[..., Any]) -> Callable[..., Awaitable[Response]]:
    """An endpoint, metered: a function of a request, or a method of one."""
    is_async = inspect.iscoroutinefunction(endpoint)

    @functools.wraps(endpoint)
    async def metered_endpoint(*args: Any) -> Response:
        # The request is the last one: a method has the endpoint's instance before it.
        request = args[-1]
        if not isinstance(request, Request):
            raise TypeError(f"{name_of(endpoint)} is @metered, so that it is called with a request")

        async def call(request: Request) -> Response:
            arguments = (*args[:-1], request)
            response = await endpoint(*arguments) if is_async else await run_in_threadpool(endpoint, *arguments)
            return cast(Response, response)

        return await serve_endpoint(metering, request, route_path(request), call)

    setattr(metered_endpoint, MARK, OWN)
    setattr(metered_endpoint, METERING, metering)
    return metered_endpoint


def route_path(request: Request) -> str:
    """The pattern of the route that was matched, empty when it is not known."""
    return getattr(request.scope.get("route"), "path", "")
