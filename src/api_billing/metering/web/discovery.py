"""What an application sells, and at what price, for machines: ``discovery(app, meter)``, for FastAPI and Starlette.

``/openapi.json`` says it of each metered operation in ``x-payment-info`` (MPP), ``/.well-known/x402`` lists the metered
routes. Both where the meter takes such payments; free of charge also where a middleware meters the whole application.
Other frameworks serve ``manifest`` and ``payment_info`` themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from api_billing.metering.meter import Meter
from api_billing.metering.request.http import AsgiHeaders
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer
from api_billing.metering.web.asgi_messages import AsgiApp, Receive, Scope, Send, send_answer
from api_billing.metering.web.decorated import METERING
from api_billing.payments.mpp import CURRENCY, INTENT, METHOD
from api_billing.payments.x402 import VERSION

if TYPE_CHECKING:
    from starlette.applications import Starlette

WELL_KNOWN: Final = "/.well-known/x402"
_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")  # of an endpoint that is a class
_UNSOLD: Final = frozenset({"HEAD", "OPTIONS"})  # they come with others


class Resource(NamedTuple):
    """What can be paid for: the pattern of a route's path, from the origin on, and one of its methods."""

    path: str
    method: str


def manifest(origin: str, resources: Iterable[Resource]) -> dict[str, Any]:
    """The document at ``/.well-known/x402`` of an origin (``https://api.example.com``)."""
    found = sorted(set(resources))
    return {
        "x402Version": VERSION,
        "resources": [{"url": origin + path} for path in dict.fromkeys(path for path, _ in found)],
        "routes": [{"endpoint": path, "method": method} for path, method in found],
    }


def payment_info(metering: Metering) -> dict[str, Any]:
    """The ``x-payment-info`` of an operation. Its amount is None where it depends on the request."""
    estimate = metering.estimate_wei
    offer = {
        "intent": INTENT,
        "method": METHOD,
        "amount": str(max(estimate, 1)) if isinstance(estimate, int) else None,
        "currency": CURRENCY,
        "description": f"One request to {metering.api}: the most that it costs, in wei",
    }
    return {"offers": [offer]}


def discovery(app: Starlette, meter: Meter) -> None:
    """Add both documents to an application, as far as its meter takes payments over these protocols.

    After all other middleware: what is metered as a whole is told by whoever is not asked to pay for it.
    """
    if "x402" in meter.settings.payments:
        app.add_middleware(_Discovery, routes=lambda: _metered(app))
    if "mpp" in meter.settings.payments and hasattr(app, "openapi"):
        app.openapi = _described(app, app.openapi)


class _Discovery:
    def __init__(self, app: AsgiApp, routes: Callable[[], Iterable[tuple[Resource, Metering]]]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Below any path, as some look for it below the resource that they know.
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not scope["path"].endswith(WELL_KNOWN):
            await self._app(scope, receive, send)
            return
        host = AsgiHeaders(scope["headers"]).first("host") or "localhost"
        root = scope.get("root_path", "")
        resources = [Resource(root + path, method) for (path, method), _ in self._routes()]
        body = json.dumps(manifest(f"{scope.get('scheme', 'http')}://{host}", resources)).encode()
        fields = (("content-type", "application/json"), ("content-length", str(len(body))), ("vary", "host"))
        await send_answer(Answer(200, fields, body), send, head=scope["method"] == "HEAD")


def _described(app: Any, describe: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()  # which FastAPI keeps, and so what is added to it
            for resource, metering in _metered(app):
                operation = schema.get("paths", {}).get(resource.path, {}).get(resource.method.lower())
                if operation is not None:
                    operation["x-payment-info"] = payment_info(metering)
                    operation["responses"].setdefault("402", {"description": "Payment required"})
        return describe()

    return openapi


def _metered(app: Any) -> Iterator[tuple[Resource, Metering]]:
    """Each metered route and method of an application, and its terms: those outside, as they are who charges."""
    outside = next((each.kwargs["metering"] for each in app.user_middleware if "metering" in each.kwargs), None)
    for path, method, endpoint, dependant in _routes(app.routes, ""):
        metering = outside or getattr(endpoint, METERING, None) or _of_dependencies(dependant)
        if metering is not None and (metering.covers(method, path) if outside else metering.takes(method)):
            yield Resource(path, method), metering


def _routes(routes: Iterable[Any], prefix: str) -> Iterator[tuple[str, str, Any, Any]]:
    """Path, method, endpoint and dependencies of all that is in the schema."""
    for route in routes:
        endpoint = getattr(route, "endpoint", None)
        if (included := getattr(route, "effective_route_contexts", None)) is not None:  # see ``asgi_routes``
            yield from _routes(included(), prefix)
        elif (below := getattr(route, "routes", None)) is not None:
            yield from _routes(below, prefix + getattr(route, "path", ""))
        elif endpoint is not None and getattr(route, "include_in_schema", True):
            for method in sorted(set(getattr(route, "methods", None) or _METHODS) - _UNSOLD):
                serving = getattr(endpoint, method.lower(), None) if isinstance(endpoint, type) else endpoint
                if serving is not None:
                    yield prefix + route.path_format, method, serving, getattr(route, "dependant", None)


def _of_dependencies(dependant: Any) -> Metering | None:
    for each in getattr(dependant, "dependencies", ()):
        found = getattr(each.call, "metering", None) or _of_dependencies(each)
        if isinstance(found, Metering):
            return found
    return None
