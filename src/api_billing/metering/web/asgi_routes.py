"""Which route of a Starlette or FastAPI application a scope will match, before it is routed.

So that ``/users/17`` and ``/users/18`` are one route in the audit log and in the metrics. Nothing is imported: routes
are asked in the way that Starlette's router asks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from api_billing.metering.web.asgi_messages import Scope

UNMATCHED: Final = "(no route)"
REDIRECTED: Final = "(other slash)"  # the router only says that the path is one with, or without, a slash at its end

_MAX_REMEMBERED: Final = 1_000
_MAX_PATH: Final = 200
# Routes of these kinds look at nothing but type, method and path of a scope; one of another kind (``Host``) may.
_BY_PATH: Final = frozenset(
    {
        ("starlette.routing", "Route.matches"),
        ("starlette.routing", "WebSocketRoute.matches"),
        ("starlette.routing", "Mount.matches"),
        ("fastapi.routing", "APIRoute.matches"),
        ("fastapi.routing", "APIWebSocketRoute.matches"),
    }
)


class MatchedRoute:
    """The path pattern of a scope's route; ``(no route)`` when none matches, ``REDIRECTED`` when it will be, empty when
    the application has no routes.

    Asking every route costs more than the rest of metering. So what the last paths have matched is remembered, as long
    as the application has the same routes and all of them go by the path.
    """

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str, str], str] = {}
        self._lists: list[tuple[list[Any], list[Any]]] = []  # of routes: as the application has it, and as it was
        self._remembers = False

    def __call__(self, scope: Scope) -> str:
        routes = getattr(scope.get("app"), "routes", None)
        if routes is None:
            return ""
        if not self._is_as_it_was(routes):
            self._paths = {}
            self._lists = [(each, list(each)) for each in _lists(routes)]
            self._remembers = all(_goes_by_path(route) for _, then in self._lists for route in then)
        path: str = scope["path"]
        if not self._remembers or scope["type"] != "http" or len(path) > _MAX_PATH:
            return _search(routes, scope) or _unmatched(scope)
        key = (scope["method"], path, scope.get("root_path", ""))
        pattern = self._paths.get(key)
        if pattern is None:
            if len(self._paths) >= _MAX_REMEMBERED:
                self._paths = {}
            pattern = self._paths[key] = _search(routes, scope) or _unmatched(scope)
        return pattern

    def _is_as_it_was(self, routes: list[Any]) -> bool:
        for now, then in self._lists:
            if now != then:
                return False
        return bool(self._lists) and self._lists[0][0] is routes


def _lists(routes: list[Any]) -> Iterator[list[Any]]:
    """The list of routes and those of included routers, which can grow later."""
    yield routes
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from _lists(router.routes)


def _goes_by_path(route: Any) -> bool:
    matches = type(route).matches
    return hasattr(route, "original_router") or (matches.__module__, matches.__qualname__) in _BY_PATH


def _search(routes: Iterable[Any], scope: Scope) -> str:
    for route in routes:
        # FastAPI keeps an included router as one route that can list what it holds, with its prefixes.
        included = getattr(route, "effective_route_contexts", None)
        if included is not None:
            if pattern := _search(included(), scope):
                return pattern
        else:
            match, child = route.matches(scope)
            if match.name == "FULL":
                path: str = getattr(route, "path", "")
                if getattr(route, "routes", None) is None:
                    return path
                return REDIRECTED if _is_redirected(route.app, {**scope, **child}) else f"{path}/*"
    return ""


def _unmatched(scope: Scope) -> str:
    return REDIRECTED if _is_redirected(scope["app"], scope) else UNMATCHED


def _is_redirected(app: Any, scope: Scope) -> bool:
    """Whether an application has no route for a path, but one for the path with another end, to which it redirects."""
    router, path = getattr(app, "router", app), scope["path"]
    if scope["type"] != "http" or not hasattr(router, "redirect_slashes"):
        return False
    is_allowed = True
    for route in router.routes:
        match, child = route.matches(scope)
        if match.name == "FULL":
            return hasattr(route, "app") and _is_redirected(route.app, {**scope, **child})
        is_allowed = is_allowed and match.name == "NONE"  # otherwise it is told which methods are
    if not (is_allowed and router.redirect_slashes) or path == f"{scope.get('root_path', '')}/":
        return False
    other = {**scope, "path": path.rstrip("/") if path.endswith("/") else f"{path}/"}
    return any(route.matches(other)[0].name != "NONE" for route in router.routes)
