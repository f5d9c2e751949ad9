"""What ``@metered`` can stand on. Told where it is written: what it does not meter would be served for nothing."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
from collections.abc import Callable, Iterable
from types import CellType
from typing import Any, Final

MARK: Final = "api_billing_terms"  # the attribute of a view that has its own terms, or none
OWN: Final = "own"
EXEMPT: Final = "exempt"
METERING: Final = "api_billing_metering"  # the attribute of a metered endpoint that says on which terms

_SERVERS: Final = {
    ("scope", "receive", "send"): "an ASGI application goes into MeteredASGI",
    ("environ", "start_response"): "a WSGI application goes into MeteredWSGI",
}


def function_of(view: Any) -> Callable[..., Any]:
    """The function that serves: of a callable object its method. Raises: TypeError for what cannot be metered."""
    if isinstance(view, type):
        raise TypeError(
            f"@metered is for functions and methods: put it on those of the class {view.__name__} that serve"
        )
    if not callable(view):
        raise TypeError(f"@metered is for functions, not for a {type(view).__name__}: put it below such a decorator")
    if getattr(view, MARK, None) == OWN:
        raise TypeError(f"@metered is twice on {name_of(view)}, and a request is charged once: take one away")
    function = view if inspect.isroutine(view) or isinstance(view, functools.partial) else view.__call__
    if (hint := _SERVERS.get(tuple(inspect.signature(function).parameters))) is not None:
        raise TypeError(f"@metered is for functions that a framework calls; {hint}")
    return function


def exempted[ViewT](view: ViewT) -> ViewT:
    """The view, marked as one that is not metered. Raises: TypeError for one that is ``@metered``, or no view."""
    if getattr(view, MARK, None) == OWN:
        raise TypeError(f"{name_of(view)} is @metered: it cannot be exempt")
    if isinstance(view, str | bytes | int | None):
        raise TypeError(f"exempt is for views, not for {view!r}")
    setattr(view, MARK, EXEMPT)
    return view


def name_of(view: Any) -> str:
    """What a view is called in messages."""
    return getattr(view, "__qualname__", None) or repr(view)


def _has_a_name(view: Any) -> bool:
    frame = sys._getframe()
    while frame.f_globals["__name__"].startswith(__package__) and frame.f_back is not None:
        frame = frame.f_back
    module = sys.modules.get(getattr(view, "__module__", ""))
    named = getattr(module, getattr(view, "__name__", ""), None)
    return named is view or any(value is view for value in frame.f_locals.values())


def _references(view: object) -> int:
    return sys.getrefcount(view)


def _through(view: object, calls: int) -> int:
    return _through(view, calls - 1) if calls else _references(view)


# Of a function that nobody has but who decorates it: ``refuse_served`` is called by what the decorator calls with it.
_FRESH: Final = _through(lambda: None, 2)


def refuse_served(view: Callable[..., Any], is_served: Callable[[Iterable[Any]], bool]) -> None:
    """Raises: TypeError when the application serves a function already, which it will go on to do unmetered.

    That is what ``@metered`` above ``@app.get(…)`` gets, as the framework's decorator returns the function as it was.
    ``is_served`` looks at who refers to it. A function that is only being decorated has nobody to be looked for; one
    that has its name already is served twice on purpose.
    """
    if _references(view) > _FRESH and not _has_a_name(view) and is_served(gc.get_referrers(view)):
        raise TypeError(
            f"{name_of(view)} is served already, without @metered: it goes below the decorator of the route,"
            " between it and the function"
        )


def fields_of(owner: Any) -> dict[str, Any]:
    """The attributes of what refers to something: an object, or the dictionary that an object keeps them in."""
    return owner if isinstance(owner, dict) else getattr(owner, "__dict__", {})


def functions_around(cells: Iterable[Any]) -> list[Any]:
    """The functions whose closures have one of these cells."""
    closures = [cell for cell in cells if type(cell) is CellType]
    tuples = [one for one in gc.get_referrers(*closures) if type(one) is tuple] if closures else []
    return [one for one in gc.get_referrers(*tuples) if inspect.isfunction(one)] if tuples else []
