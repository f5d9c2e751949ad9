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

from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.http import BodyTooLarge, TextHeaders, within
from api_billing.metering.seldom import Seldom
from api_billing.metering.web.delivery import Delivery, metered_pieces
from api_billing.metering.web.fields import joined
from api_billing.metering.web.forms import form_bytes

# As in django.core.handlers.exception; the first that fits.
_STATUSES: Final = (
    (Http404, 404),
    (PermissionDenied, 403),
    (RequestDataTooBig, 413),
    ((MultiPartParserError, BadRequest, SuspiciousOperation), 400),
)

_log = logging.getLogger("api_billing.metering.web")
_seldom: Final = Seldom()


def settle_response(delivery: Delivery, response: Any) -> Any:
    """Settle a response that is complete, or have it settled when it is."""
    if not isinstance(response, HttpResponseBase):
        delivery.abort()  # Django will say that it is none
    elif _is_unrendered(response):
        _settle_rendered(delivery, cast(SimpleTemplateResponse, response))
    elif _is_whole(delivery, response):
        add_fields(response, delivery.finish())
    else:
        _stream(delivery, response)
    return response


async def asettle_response(delivery: Delivery, response: Any) -> Any:
    """The same in a coroutine."""
    if not isinstance(response, HttpResponseBase) or _is_unrendered(response):
        # Templates are rendered in a thread.
        return settle_response(delivery, response)
    if _is_whole(delivery, response):
        add_fields(response, await delivery.afinish())
    else:
        _stream(delivery, response)
    return response


def _is_unrendered(response: HttpResponseBase) -> bool:
    return getattr(response, "is_rendered", True) is False


def _settle_rendered(delivery: Delivery, response: SimpleTemplateResponse) -> None:
    def render() -> SimpleTemplateResponse:
        del response.render  # a response that goes into a cache is pickled
        try:
            return response.render()
        except BaseException as error:
            delivery.abort(error)
            raise

    response.add_post_render_callback(lambda rendered: settle_response(delivery, rendered))
    response.render = render  # type: ignore[method-assign]


def _is_whole(delivery: Delivery, response: HttpResponseBase) -> bool:
    """Start with what is known; whether that is all of the response."""
    delivery.start(response.status_code, TextHeaders(list(response.items())))
    if isinstance(response, StreamingHttpResponse):
        return delivery.bodiless
    delivery.count(cast(HttpResponse, response).content)
    return True


def add_fields(response: HttpResponseBase, fields: Fields) -> None:
    """Our fields beside those that a response has."""
    for name, value in fields:
        response.headers[name] = joined(name, response.headers.get(name, ""), value)


def _stream(delivery: Delivery, response: HttpResponseBase) -> None:
    assert isinstance(response, StreamingHttpResponse)
    add_fields(response, delivery.exchange.start_fields(delivery.status, delivery.length))
    content = response.streaming_content
    if response.is_async:
        kind = _PaidAsyncPieces if delivery.exchange.is_bounded else _AsyncPieces
        response.streaming_content = cast(Any, kind(cast("AsyncIterator[bytes]", content), delivery))
    else:
        # Without ``read``: so that Django does not hand a file to the server past us.
        response.streaming_content = cast(Any, metered_pieces(cast("Iterator[bytes]", content), delivery))


class _AsyncPieces:
    """The same as ``MeteredPieces`` for an asynchronous body."""

    def __init__(self, pieces: AsyncIterator[bytes], delivery: Delivery) -> None:
        self._pieces = pieces
        self._delivery = delivery
        delivery.begun = True  # Django sends the start before it asks for the first piece
        self.close = delivery.close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        delivery = self._delivery
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await delivery.afinish()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        if delivery.count(piece):
            await delivery.afinish()
        return piece

    def _failed(self, error: BaseException) -> None:
        # The client went away: what it got was served.
        if isinstance(error, asyncio.CancelledError) and self._delivery.taken:
            self._delivery.finish_later()
        else:
            self._delivery.abort(error)


class _PaidAsyncPieces(_AsyncPieces):
    """The same where each piece is paid for before it goes out, with events of ours between them."""

    def __init__(self, pieces: AsyncIterator[bytes], delivery: Delivery) -> None:
        super().__init__(pieces, delivery)
        self._all = self._paid()

    async def __anext__(self) -> bytes:
        return await anext(self._all)

    async def _paid(self) -> AsyncIterator[bytes]:
        delivery = self._delivery
        try:
            async for piece in self._pieces:
                if not await delivery.apays(piece):
                    if event := delivery.need_voucher():
                        yield event
                    if not (event and await delivery.apays(piece, waits=True)):
                        delivery.cut_off()
                        break
                if delivery.count(piece):
                    await delivery.afinish()
                yield piece
        except GeneratorExit:
            raise  # ``close`` sees to it
        except BaseException as error:
            self._failed(error)
            raise
        await delivery.afinish()
        if event := delivery.receipt_event():
            yield event


def status_of(error: BaseException) -> int | None:
    """The status with which Django answers an exception; None for what it takes for an error of the server."""
    return next((status for kinds, status in _STATUSES if isinstance(error, cast(Any, kinds))), None)


def rendered_error(request: HttpRequest, error: BaseException, status: int) -> HttpResponse | None:
    """What the error view of the URL configuration makes of it; None when that fails."""
    try:
        view = cast(Any, get_resolver(get_urlconf())).resolve_error_handler(status)
        response = view(request, exception=error)
    except Exception:
        _seldom.log(_log, logging.ERROR, "the error view for status %d failed", status, exc_info=True)
        return None
    return response if isinstance(response, HttpResponse) else None


def read_body(request: HttpRequest, limit: int) -> bytes | None:
    """The request's body, which views can read as before; None when it cannot be had. Raises: BodyTooLarge."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length and not length.isdecimal():
        return None
    if length and int(length) > limit:
        raise BodyTooLarge
    try:
        body = request.body
    except RawPostDataException:
        # Parsed as a form before us: the check for CSRF does that.
        pieces: list[str | bytes] = []
        for name, values in request.POST.lists():
            pieces += ["text", name, *[str(value) for value in values]]
        for name, files in request.FILES.lists():
            for file in files:
                pieces += ["file", name, file.name or "", file.read(limit + 1)]
                file.seek(0)
        return form_bytes(pieces, limit)
    except RequestDataTooBig:
        raise BodyTooLarge from None
    except (UnreadablePostError, OSError) as error:
        _log.debug("the body of a request could not be read: %r", error)
        return None
    # Django does not mind a body that breaks off.
    return within(limit, body) if not length or len(body) == int(length) else None
