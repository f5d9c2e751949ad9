"""Django's responses and errors, settled: as a whole, when they are rendered, or piece by piece."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException, UnreadablePostError
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import get_resolver, get_urlconf

from api_billing.metering.request.exchange import Exchange
from api_billing.metering.web.forms import form_bytes
from api_billing.metering.web.settlement import Fields, MeteredPieces, Settlement

# As in django.core.handlers.exception; the first that fits.
_STATUSES: Final = (
    (Http404, 404),
    (PermissionDenied, 403),
    (RequestDataTooBig, 413),
    ((MultiPartParserError, BadRequest, SuspiciousOperation), 400),
)

_log = logging.getLogger("api_billing.metering.web")


def settle_response(
    settlement: Settlement, exchange: Exchange, request: HttpRequest, response: HttpResponseBase
) -> HttpResponseBase:
    """Settle a response that is complete, or have it settled when it is."""
    if _is_unrendered(response):
        _settle_rendered(settlement, exchange, request, cast(SimpleTemplateResponse, response))
    elif _begin(settlement, request, response):
        _add(response, settlement.finish())
    else:
        _stream(settlement, exchange, response)
    return response


async def asettle_response(
    settlement: Settlement, exchange: Exchange, request: HttpRequest, response: HttpResponseBase
) -> HttpResponseBase:
    """The same in a coroutine."""
    if _is_unrendered(response):
        # Templates are rendered in a thread.
        return settle_response(settlement, exchange, request, response)
    if _begin(settlement, request, response):
        _add(response, await settlement.afinish())
    else:
        _stream(settlement, exchange, response)
    return response


def _is_unrendered(response: HttpResponseBase) -> bool:
    return getattr(response, "is_rendered", True) is False


def _settle_rendered(
    settlement: Settlement, exchange: Exchange, request: HttpRequest, response: SimpleTemplateResponse
) -> None:
    def render() -> SimpleTemplateResponse:
        del response.render  # a response that goes into a cache is pickled
        try:
            return response.render()
        except BaseException as error:
            settlement.abort(error)
            raise

    response.add_post_render_callback(lambda rendered: settle_response(settlement, exchange, request, rendered))
    response.render = render  # type: ignore[method-assign]


def _begin(settlement: Settlement, request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell the settlement what is known; whether that is all of the response."""
    settlement.started(response.status_code, list(response.items()), bodiless=request.method == "HEAD")
    if isinstance(response, StreamingHttpResponse):
        return settlement.bodiless
    settlement.sent(cast(HttpResponse, response).content)
    return True


def _add(response: HttpResponseBase, fields: Fields) -> None:
    for name, value in fields:
        response.headers[name] = value


def _stream(settlement: Settlement, exchange: Exchange, response: HttpResponseBase) -> None:
    assert isinstance(response, StreamingHttpResponse)
    _add(response, exchange.start_fields())
    content = response.streaming_content
    if response.is_async:
        response.streaming_content = cast(Any, _AsyncPieces(cast("AsyncIterator[bytes]", content), settlement))
    else:
        # Without ``read``: so that Django does not hand a file to the server past us.
        response.streaming_content = cast(Any, MeteredPieces(cast("Iterator[bytes]", content), settlement))


class _AsyncPieces:
    """The same for an asynchronous body."""

    def __init__(self, pieces: AsyncIterator[bytes], settlement: Settlement) -> None:
        self._pieces = pieces
        self._settlement = settlement
        self._taken = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await self._settlement.afinish()
            raise
        except asyncio.CancelledError as error:
            # The client went away: what it got was served.
            if self._taken:
                self._settlement.finish_later()
            else:
                self._settlement.abort(error)
            raise
        except BaseException as error:
            self._settlement.abort(error)
            raise
        self._taken = True
        self._settlement.sent(piece)
        return piece

    def close(self) -> None:
        self._settlement.close(served=self._taken)


def status_of(error: BaseException) -> int | None:
    """The status with which Django answers an exception; None for what it takes for an error of the server."""
    return next((status for kinds, status in _STATUSES if isinstance(error, cast(Any, kinds))), None)


def rendered_error(request: HttpRequest, error: BaseException, status: int) -> HttpResponse | None:
    """What the error view of the URL configuration makes of it; None when that fails."""
    try:
        view = cast(Any, get_resolver(get_urlconf())).resolve_error_handler(status)
        response = view(request, exception=error)
    except Exception:
        _log.exception("the error view for status %d failed", status)
        return None
    return response if isinstance(response, HttpResponse) else None


def read_body(request: HttpRequest, limit: int) -> bytes | None:
    """The request's body, which views can read as before; None when it cannot be had, or is too long."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length and (not length.isdecimal() or int(length) > limit):
        return None
    try:
        body = request.body
    except RawPostDataException:
        # Parsed as a form before us: the check for CSRF does that.
        pieces: list[str | bytes] = []
        for name, values in request.POST.lists():
            pieces += ["text", name, *[str(value) for value in values]]
        for name, files in request.FILES.lists():
            for file in files:
                pieces += ["file", name, file.name or "", file.read()]
                file.seek(0)
        return form_bytes(pieces, limit)
    except (UnreadablePostError, RequestDataTooBig, OSError) as error:
        _log.info("the body of a request could not be read: %r", error)
        return None
    # Django does not mind a body that breaks off.
    return body if len(body) <= limit and (not length or len(body) == int(length)) else None
