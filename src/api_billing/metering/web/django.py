"""Django: ``@metered(meter, api=…)`` on views, or ``meter_middleware`` in ``MIDDLEWARE`` with ``API_BILLING = {…}``.

Both serve sync and async views, under WSGI and ASGI. Methods of class-based views: ``@method_decorator(metered(…))``.
A response whose size is known is settled first and carries what it cost; a streamed one is settled at its end.

``API_BILLING`` has the arguments of ``Metering``, and ``meter`` (one, or the dotted path to one), or ``store_url`` and
further settings to open one with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import isawaitable, iscoroutinefunction, signature
from typing import Any, Final, Unpack, cast

from api_billing.extras import needed_by

with needed_by(__name__):
    from django.conf import settings
    from django.conf.urls.i18n import is_language_prefix_patterns_used
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase, ResponseHeaders
    from django.middleware.common import CommonMiddleware
    from django.urls import Resolver404, ResolverMatch, is_valid_path, resolve
    from django.utils.decorators import method_decorator, sync_and_async_middleware
    from django.utils.translation import get_language_from_request
    from django.views import View

from api_billing.metering.errors import NotAllowed
from api_billing.metering.limits.plan import Fields
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, TextHeaders, WsgiHeaders
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.metering import Metering, Terms
from api_billing.metering.request.problems import Answer
from api_billing.metering.request.request_meter import RequestMeter
from api_billing.metering.web.decorated import MARK, OWN, exempted, function_of, name_of
from api_billing.metering.web.delivery import EXCHANGE_KEY, Delivery, is_metered
from api_billing.metering.web.django_configuration import LazyMetering, configured_meter, configured_metering
from api_billing.metering.web.django_responses import (
    add_fields,
    asettle_response,
    read_body,
    rendered_error,
    settle_response,
    status_of,
)
from api_billing.metering.web.fields import one_each
from api_billing.metering.web.identified import aconsumer_of, consumer_of
from api_billing.metering.web.preflights import bare, is_preflight

__all__ = ["configured_meter", "exempt", "identified", "meter_middleware", "metered"]

_SLASHES: Final = CommonMiddleware(HttpResponse)
_FIELDS_KEY: Final = "api_billing.fields"
_BARE_KEY: Final = "api_billing.bare"  # of a request whose response goes out without its body

GetResponse = Callable[[HttpRequest], Any]


def metered[ViewT: Callable[..., Any]](
    meter: Meter | None = None,
    **terms: Unpack[Terms],
) -> Callable[[ViewT], ViewT]:
    """Meter a view, sync or async; what the arguments mean stands at ``Metering``. It works alone.

    Without ``meter``, it is the one of ``API_BILLING``, looked up with the first request. What ``Http404`` and the like
    become is made outside of a decorator: only with ``meter_middleware`` installed do such responses have our fields.
    """
    lazy = LazyMetering(meter, terms)

    def decorate(view: Any) -> Any:
        if isinstance(view, type) and issubclass(view, View):
            return method_decorator(decorate, name="dispatch")(view)
        # ``method_decorator`` decorates with every call, and a subclass may be decorated anew.
        handler = view if isinstance(view, functools.partial) else _no_method(function_of(view))

        def exchange_of(request: HttpRequest) -> Exchange | None:
            metering = lazy.metering
            is_taken = metering.takes(request.method or "GET")
            return _exchange(metering, request, _route(request.resolver_match)) if is_taken else None

        wrapped = _metered(handler, exchange_of)
        wrapped = functools.wraps(view)(wrapped)
        setattr(wrapped, MARK, OWN)
        return wrapped

    return decorate


def identified(
    meter: Meter | None = None, identify: Extractor | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tell a view who asks, without metering it: the consumer follows the request. Others get a refusal."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        def asked(request: HttpRequest) -> tuple[Meter, MeteredRequest, Extractor | None]:
            in_force = meter or configured_meter()
            return in_force, _request(in_force, request, ""), identify

        def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            consumer = consumer_of(*asked(request))
            if isinstance(consumer, Answer):
                return _answer_response(consumer)
            return view(request, consumer, *args, **kwargs)

        async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            consumer = await aconsumer_of(*asked(request))
            if isinstance(consumer, Answer):
                return _answer_response(consumer)
            return await view(request, consumer, *args, **kwargs)

        if not isinstance(view, functools.partial):
            _no_method(view)
        wrapped = async_view if iscoroutinefunction(view) else sync_view
        return exempt(functools.wraps(view)(wrapped))

    return decorate


def exempt[ViewT: Callable[..., Any]](view: ViewT) -> ViewT:
    """Leave a view unmetered by ``meter_middleware``: a function, a class of views, or a method of one."""
    return exempted(view)


@sync_and_async_middleware
def meter_middleware(get_response: GetResponse) -> Callable[[HttpRequest], Any]:
    """Meter every view on the terms of ``API_BILLING``, but those that are exempt or ``@metered`` on their own."""
    metering = configured_metering()
    middleware: Any = _metered(get_response, lambda request: _exchange_of_view(metering, request))
    middleware.process_exception = _answer_not_allowed
    return cast("Callable[[HttpRequest], Any]", middleware)


def _no_method(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view. Raises: TypeError for a method, which gets its object where a view gets the request."""
    if next(iter(signature(view).parameters), "") == "self":
        raise TypeError(f"{name_of(view)} is a method: decorate it with @method_decorator(…) of what is here")
    return view


def _metered(handler: Callable[..., Any], exchange_of: Callable[[HttpRequest], Exchange | None]) -> Callable[..., Any]:
    """A view or what middleware calls, metered, for requests that have an exchange."""

    def serve(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        exchange = exchange_of(request)
        if exchange is None:
            return _unmetered(request, handler(request, *args, **kwargs))
        answer = exchange.begin()
        if answer is not None:
            return _answer_response(answer)
        delivery = _serving(exchange, request)
        try:
            response = handler(request, *args, **kwargs)
        except NotAllowed as error:
            return _answer_not_allowed(request, error)
        except BaseException as error:
            if (rendered := _paid_error(delivery, request, error)) is not None:
                return settle_response(delivery, rendered)
            if _becomes_response(delivery, request, error):
                request.META[_FIELDS_KEY] = delivery.finish()
            raise
        if isawaitable(response):  # of a view that is not seen to be one of coroutines
            return _served(delivery, request, lambda: response)
        return settle_response(delivery, response)

    async def aserve(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        exchange = exchange_of(request)
        if exchange is None:
            return _unmetered(request, await _awaited(handler(request, *args, **kwargs)))
        answer = await exchange.abegin()
        if answer is not None:
            return _answer_response(answer)
        return await _served(_serving(exchange, request), request, lambda: handler(request, *args, **kwargs))

    return aserve if iscoroutinefunction(handler) or _dispatches_to_coroutines(handler) else serve


async def _awaited(response: Any) -> Any:
    """What a view of coroutines answers; its ``dispatch`` may answer by itself."""
    return await response if isawaitable(response) else response


async def _served(delivery: Delivery, request: HttpRequest, call: Callable[[], Any]) -> Any:
    try:
        response = await _awaited(call())
    except NotAllowed as error:
        return _answer_not_allowed(request, error)
    except BaseException as error:
        if (rendered := _paid_error(delivery, request, error)) is not None:
            return await asettle_response(delivery, rendered)
        if _becomes_response(delivery, request, error):
            request.META[_FIELDS_KEY] = await delivery.afinish()
        raise
    return await asettle_response(delivery, response)


def _dispatches_to_coroutines(handler: Callable[..., Any]) -> bool:
    """Whether it is a method of a view whose handlers are coroutines, as ``method_decorator`` has it."""
    view = getattr(getattr(handler, "func", None), "__self__", None)
    return isinstance(view, View) and view.view_is_async


def _exchange_of_view(metering: Metering, request: HttpRequest) -> Exchange | None:
    """The exchange for whatever view the request will be routed to; None for one that is none of ours."""
    path = request.path_info
    if not metering.covers(request.method or "GET", path, request.path.removesuffix(path)):
        return None
    try:
        match = resolve(path, getattr(request, "urlconf", None))
    except Resolver404:
        # Of a redirect to the view's real path, that request is metered.
        return None if _is_redirected(request) else _exchange(metering, request, "(no route)")
    if _has_own_terms(match.func, request):
        return None
    if (exchange := _exchange(metering, request, _route(match))) is None:
        return None
    if is_preflight(metering, exchange.request.method, lambda: exchange.request.headers):
        request.META[_BARE_KEY] = True
        return None
    return exchange


def _is_redirected(request: HttpRequest) -> bool:
    """Whether Django redirects to the path with a slash at its end, or with the language in front of it."""
    if _SLASHES.should_redirect_with_slash(request):
        return True
    urlconf = getattr(request, "urlconf", settings.ROOT_URLCONF)
    if not is_language_prefix_patterns_used(urlconf)[0]:
        return False
    path = f"/{get_language_from_request(request)}{request.path_info}"
    return bool(is_valid_path(path, urlconf) or (settings.APPEND_SLASH and is_valid_path(f"{path}/", urlconf)))


def _has_own_terms(view: Callable[..., Any], request: HttpRequest) -> bool:
    """Whether a view, its class, or the method that will serve the request is exempt or ``@metered``."""
    if hasattr(view, MARK):
        return True
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if kind is None:
        return False
    method = (request.method or "").lower()
    name = getattr(view, "actions", {}).get(method, method)  # view sets of the REST framework have other names for them
    if name == "head" and not hasattr(kind, name):
        name = "get"
    return hasattr(kind, MARK) or hasattr(getattr(kind, name, None), MARK)


def _exchange(metering: Metering, request: HttpRequest, route: str) -> Exchange | None:
    outside: Exchange | None = request.META.get(EXCHANGE_KEY)
    # Of what is decorated within another decorated view, as a method of a class that is, the first one reached holds.
    is_own = outside is not None and outside.request.native is request
    if is_own or is_metered(request.META, metering):
        return None
    return Exchange(metering, _request(metering.meter, request, route))


def _request(meter: RequestMeter, request: HttpRequest, route: str) -> MeteredRequest:
    meta = request.META
    limit = meter.settings.max_fingerprint_bytes
    return MeteredRequest(
        request.method or "GET",
        request.path,
        WsgiHeaders(meta),
        route=route,
        query=meta.get("QUERY_STRING", "").encode("latin-1", "replace"),
        client=meta.get("REMOTE_ADDR") or "",
        at_ms=meter.now_ms(),
        body=lambda: read_body(request, limit),
        scheme=request.scheme or "",
        native=request,
    )


def _route(match: ResolverMatch | None) -> str:
    return "/" + match.route if match is not None else ""


def _serving(exchange: Exchange, request: HttpRequest) -> Delivery:
    request.META[EXCHANGE_KEY] = exchange
    return Delivery(exchange)


def _paid_error(delivery: Delivery, request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """What Django answers to an exception of a view that was paid at the door, with its receipt: that is not sure to be
    added outside, and some clients of x402 are lost without it.
    """
    status = status_of(error) if delivery.exchange.speaks else None
    return rendered_error(request, error, status) if status is not None else None


def _becomes_response(delivery: Delivery, request: HttpRequest, error: BaseException) -> bool:
    """Whether Django answers an exception with a client error (404, 403, 400), which is then to be settled."""
    status = status_of(error)
    if status is None:
        delivery.abort(error)
        return False
    response = rendered_error(request, error, status) if delivery.exchange.keeps_body else None
    delivery.start(status, TextHeaders(list(response.items()) if response is not None else ()))
    if response is not None:
        delivery.count(response.content)
    else:
        delivery.lose_body()
    return True


def _answer_not_allowed(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The problem that an exception of a view stands for; None for any other."""
    if not isinstance(error, NotAllowed):
        return None
    exchange: Exchange | None = request.META.get(EXCHANGE_KEY)
    if exchange is not None:
        exchange.abort(error)
    return _answer_response(Answer(*error.answer))


def _unmetered(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A response that is not settled here: with the header fields of one that was inside, or without its body."""
    if not request.META.pop(_BARE_KEY, False):
        return _with_fields(response, request.META.get(_FIELDS_KEY, []))
    bare_response = HttpResponse(status=response.status_code)
    bare_response.headers = ResponseHeaders(dict(bare(response.status_code, response.headers.items())))
    response.close()
    return bare_response


def _with_fields(response: HttpResponseBase, fields: Fields) -> HttpResponseBase:
    add_fields(response, fields)
    return response


def _answer_response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    del response.headers["Content-Type"]
    return cast(HttpResponse, _with_fields(response, list(one_each(answer.headers).items())))
