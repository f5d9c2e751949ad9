"""Which route of a Starlette or FastAPI application a scope will match, before it is routed.

So that ``/users/17`` and ``/users/18`` are one route in the audit log and in the metrics. Nothing is imported: routes
are asked in the way that Starlette's router asks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from api_billing.metering.web.asgi_messages import Scope

UNMATCHED: Final = "(no route)"


def matched_route(scope: Scope) -> str:
    """The path pattern of the route; ``(no route)`` when none matches, empty when the application has no routes."""
    routes = getattr(scope.get("app"), "routes", None)
    return "" if routes is None else _search(routes, scope) or UNMATCHED


def _search(routes: Iterable[Any], scope: Scope) -> str:
    for route in routes:
        # FastAPI keeps an included router as one route that can list what it holds, with its prefixes.
        included = getattr(route, "effective_route_contexts", None)
        if included is not None:
            if found := _search(included(), scope):
                return found
        elif route.matches(scope)[0].name == "FULL":
            path: str = getattr(route, "path", "")
            return f"{path}/*" if getattr(route, "routes", None) is not None else path
    return ""
