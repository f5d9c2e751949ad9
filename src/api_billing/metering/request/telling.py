"""What callables of the terms say of a request, before it is served.

A callable may be async, and may ask for the body (``MeteredRequest.content``): the first that does is called again when
it has been read.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from api_billing.metering.request.callables import name_of
from api_billing.metering.request.http import BodyWanted, MeteredRequest
from api_billing.metering.request.problems import Refusal
from api_billing.metering.seldom import Seldom
from api_billing.metering.stores.steps import Steps, is_waiting
from api_billing.metering.texts import storable

# What reading an input raises that is not what it should be.
_OF_INPUT: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

_MAX_TEXT: Final = 200

_log = logging.getLogger("api_billing.metering")


class NotEstimable(ValueError):
    """Raised by a callable of the terms: this is no request for this API. The client is told why, in these words."""


def told(
    what: str,
    function: Callable[[MeteredRequest], Any],
    request: MeteredRequest,
    limit: int,
    is_right: Callable[[Any], bool],
    seldom: Seldom,
) -> Steps[Any]:
    """What a callable says; a refusal when it fails, says what cannot be, or the body that it asks for cannot be had.

    What it raises over input that it did not expect, and a number that cannot be, are put down to the request, all
    else to the application.
    """
    raised: Exception | None = None
    code = problem = ""
    request.lacks_body = False
    try:
        found = function(request)
        if is_waiting(found):
            found = yield from awaited(found, request)
        if is_right(found) and not request.lacks_body:
            return found
        code = "not_estimable" if type(found) is int or what != "estimate" else "estimate_failed"
        problem = f"it returned {found!r:.80}" if type(found) is int else f"it returned {type(found).__name__}"
    except BodyWanted:
        pass
    except Exception as error:
        code = "not_estimable" if isinstance(error, _OF_INPUT) else "estimate_failed"
        problem, raised = type(error).__name__, error
    if request.lacks_body:
        body = yield from read_bounded(request, limit)
        if isinstance(body, Refusal):
            return body
        return (yield from told(what, function, request, limit, is_right, seldom))
    name, text = name_of(function), "" if raised is None else _text_of(raised)
    where = (request.method, request.route)
    message = f"{code}: %s, which tells the {what} of %.20r %.200r: %s"
    seldom.log(_log, logging.ERROR, message, name, *where, problem, exc_info=raised, kind=raised or name)
    detail = storable(text, _MAX_TEXT) if isinstance(raised, NotEstimable) else ""
    return Refusal(code, detail, why=storable(f"{what}: {problem}" + (f": {text}" if text else ""), _MAX_TEXT))


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def is_text(found: object) -> bool:
    """Whether it is a text, or None for none."""
    return type(found) is str or found is None


def is_bool(found: object) -> bool:
    """Whether it is True or False."""
    return type(found) is bool


def awaited(waiting: Awaitable[Any], request: MeteredRequest) -> Steps[Any]:
    """What an async callable says. Raises: BodyWanted, as a sync one does."""
    found = yield _caught(waiting, request)
    if found is BodyWanted:
        raise BodyWanted
    return found


async def _caught(waiting: Awaitable[Any], request: MeteredRequest) -> Any:
    # What drives the flow takes what is no Exception for the end of it. A group is what becomes of it in a TaskGroup.
    try:
        return await waiting
    except (BodyWanted, BaseExceptionGroup):
        if request.lacks_body:
            return BodyWanted
        raise


def read_bounded(request: MeteredRequest, limit: int) -> Steps[bytes | Refusal]:
    """The request's body, of at most so many bytes; or why it cannot be had."""
    if not request.body_read:
        declared = request.headers.first("content-length") or ""
        if declared.isdecimal() and int(declared[:20]) > limit:
            return Refusal("body_too_large")
        yield from request.read_body()
    body = request.body
    if body is None:
        return Refusal("body_too_large" if request.is_too_large else "unreadable_body")
    return Refusal("body_too_large") if len(body) > limit else body
