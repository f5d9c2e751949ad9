"""Flask: ``@metered(meter, api=…)`` under ``@app.route``, or a whole application: ``ApiBilling(app, meter, api=…)``.

Both settle the response as it leaves the view and Flask's error handlers, before the application's own
``after_request`` functions. A response whose size is known is settled first and carries what it cost; a streamed one
is settled at its end.
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, Unpack, cast

from api_billing.extras import needed_by

with needed_by(__name__):
    from flask import Blueprint, Flask, Request, Response, after_this_request, current_app, request
    from flask.views import View
    from werkzeug.datastructures import Headers
    from werkzeug.exceptions import HTTPException
    from werkzeug.routing import RequestRedirect
    from werkzeug.wsgi import ClosingIterator

from api_billing.metering.errors import NotAllowed
from api_billing.metering.meter import Meter
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, TextHeaders, within, wsgi_request
from api_billing.metering.request.identity import Extractor
from api_billing.metering.request.metering import Metering, Terms
from api_billing.metering.request.problems import Answer
from api_billing.metering.request.request_meter import RequestMeter
from api_billing.metering.web.decorated import (
    MARK,
    OWN,
    exempted,
    fields_of,
    function_of,
    functions_around,
    refuse_served,
)
from api_billing.metering.web.delivery import EXCHANGE_KEY, Delivery, is_metered, metered_pieces
from api_billing.metering.web.fields import is_plain, merged
from api_billing.metering.web.forms import form_bytes
from api_billing.metering.web.identified import consumer_of
from api_billing.metering.web.terms import metering_from
from api_billing.metering.web.wsgi import read_input

__all__ = ["ApiBilling", "identified", "install", "metered"]

_EXTENSION: Final = "api_billing"
_MAX_PAGE_BYTES: Final = 1 << 16  # of an error page


def metered[ViewT: Callable[..., Any]](
    meter: Meter,
    **terms: Unpack[Terms],
) -> Callable[[ViewT], ViewT]:
    """Meter a view function, sync or async; what the arguments mean stands at ``Metering``.

    It goes between the function and ``@app.route(…)``, and works alone: within ``ApiBilling``, the view has its own
    terms. On a class of views all its methods are metered. Raises: InvalidSetting for a name or amount that is none,
    TypeError for what is no view, or has a route already.
    """
    metering = meter.metering(**terms)

    def decorate(view: Any) -> Any:
        if isinstance(view, type) and issubclass(view, View):
            view.decorators = [*view.decorators, decorate]
            return view
        view = _view_of(view)
        is_async = inspect.iscoroutinefunction(view)

        @functools.wraps(view)
        def metered_view(*args: Any, **kwargs: Any) -> Any:
            asked = _asked()
            answer = _begin(metering, asked) if metering.takes(asked.method) else None
            if answer is not None:
                return answer
            try:
                return current_app.ensure_sync(view)(*args, **kwargs) if is_async else view(*args, **kwargs)
            except HTTPException:
                raise  # becomes a response, of which _settle sees all
            except NotAllowed as error:
                return _answer_not_allowed(error)
            except BaseException as error:
                exchange: Exchange | None = asked.environ.get(EXCHANGE_KEY)
                if exchange is not None:
                    exchange.abort(error)
                raise

        setattr(metered_view, MARK, OWN)
        return metered_view

    return decorate


def identified(meter: Meter, identify: Extractor | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tell a view who asks, without metering it: the consumer is its first argument. Others get a refusal."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def identified_view(*args: Any, **kwargs: Any) -> Any:
            consumer = consumer_of(meter, _request(meter, _asked(), ""), identify)
            if isinstance(consumer, Answer):
                return _response(consumer)
            return current_app.ensure_sync(view)(consumer, *args, **kwargs)

        return exempted(identified_view)

    return decorate


def install(app: Flask) -> None:
    """Answer ``NotAllowed``, of what views without terms charge themselves, as its problem, as ``ApiBilling`` does."""
    app.register_error_handler(NotAllowed, _answer_not_allowed)


class ApiBilling:
    """Meters every view of an application, but those with ``@metered`` terms of their own and those that are exempt.

    ``ApiBilling(app, meter, api="weather", …)``, or ``billing = ApiBilling(meter=meter, api=…)`` and later
    ``billing.init_app(app)``. What is not given is read from ``app.config["API_BILLING"]``: a mapping of the arguments
    of ``Metering``, and ``meter``, or ``store_url`` and further settings to open one with.
    """

    def __init__(self, app: Flask | None = None, meter: Meter | None = None, **terms: Any) -> None:
        self._meter = meter
        self._terms = terms
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Meter an application. Raises: InvalidSetting when something is missing; RuntimeError when it is metered."""
        if _EXTENSION in app.extensions:
            raise RuntimeError("this application is metered already")
        metering = metering_from({**app.config.get("API_BILLING", {}), **self._terms}, self._meter)
        app.extensions[_EXTENSION] = metering
        app.before_request(_begin_any)
        install(app)
        app.teardown_request(_abort)

    def exempt[ViewT: Callable[..., Any] | Blueprint](self, view: ViewT) -> ViewT:
        """Leave a view unmetered: a function, a class of views, a method of one, or all views of a blueprint."""
        return exempted(view)


def _begin_any() -> Response | None:
    asked = _asked()
    if isinstance(asked.routing_exception, RequestRedirect) or _is_static_file(asked):
        return None  # the client asks again, and that request is metered
    metering: Metering = current_app.extensions[_EXTENSION]
    if (
        asked.method == "OPTIONS"
        and asked.method in metering.meter.settings.excluded_methods
        and getattr(asked.url_rule, "provide_automatic_options", False)
    ):
        return None  # Flask answers itself, with what the view allows
    view = current_app.view_functions.get(asked.endpoint or "")
    kind = getattr(view, "view_class", None)
    marked = [view] if kind is None else [view, kind, getattr(kind, asked.method.lower(), None)]
    marked += [current_app.blueprints[name] for name in asked.blueprints]
    if any(hasattr(one, MARK) for one in marked) or not metering.covers(asked.method, asked.path, asked.root_path):
        return None
    return _begin(metering, asked)


def _is_static_file(asked: Request) -> bool:
    """Whether Flask itself answers, with a file of the application's, or the blueprint's, static folder."""
    if (asked.endpoint or "").rpartition(".")[2] != "static":
        return False
    owner = current_app if asked.blueprint is None else current_app.blueprints[asked.blueprint]
    return owner.has_static_folder


def _view_of(view: Any) -> Callable[..., Any]:
    """The function of a view. Raises: TypeError for what cannot be metered there, or has a route already."""
    refuse_served(view, _has_route)
    return function_of(view)


def _has_route(owners: Iterable[Any]) -> bool:
    owners = list(owners)
    tables = [one for one in owners if type(one) is dict]
    if tables and any(fields_of(one).get("view_functions") in tables for one in gc.get_referrers(*tables)):
        return True
    # A blueprint keeps its views for the application that it will be registered with.
    return any(one.__qualname__.startswith("Blueprint.add_url_rule.") for one in functions_around(owners))


def _abort(error: BaseException | None) -> None:
    # With PROPAGATE_EXCEPTIONS (tests, debugging) an error becomes no response that could be settled.
    exchange: Exchange | None = request.environ.get(EXCHANGE_KEY)
    if error is not None and exchange is not None:
        exchange.abort(error)


def _answer_not_allowed(error: NotAllowed) -> Response:
    _abort(error)
    return _response(Answer(*error.answer))


def _asked() -> Request:
    """The current request itself: its proxy looks for it again with each attribute."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def _begin(metering: Metering, asked: Request) -> Response | None:
    """Reserve for a request, and settle it later; or answer with a refusal."""
    environ = asked.environ
    if is_metered(environ, metering):
        return None
    meter = metering.meter
    rule = asked.url_rule
    exchange = Exchange(metering, _request(meter, asked, rule.rule if rule is not None else "(no route)"))
    answer = exchange.begin()
    if answer is not None:
        return _response(answer)
    environ[EXCHANGE_KEY] = exchange
    after_this_request(functools.partial(_settle, Delivery(exchange)))
    return None


def _request(meter: RequestMeter, asked: Request, route: str) -> MeteredRequest:
    return wsgi_request(
        asked.environ,
        at_ms=meter.now_ms(),
        route=route,
        body=lambda: _read_body(meter.settings.max_fingerprint_bytes),
        native=asked,
    )


def _read_body(limit: int) -> bytes | None:
    if "stream" not in request.__dict__:
        return read_input(request.environ, limit)
    # Somebody has read it before us. Flask keeps it, unless it was parsed as a form.
    body = request.get_data()
    if body or "form" not in request.__dict__:
        return within(limit, body)
    pieces: list[str | bytes] = []
    for name, value in request.form.items(multi=True):
        pieces += ["text", name, value]
    for name, file in request.files.items(multi=True):
        pieces += ["file", name, file.filename or "", file.read(limit + 1)]
        file.seek(0)
    return form_bytes(pieces, limit)


def _settle(delivery: Delivery, response: Response) -> Response:
    headers = response.headers
    if _is_error_page(response):
        response.make_sequence()
    # What has a length but is no list is made one by calculating it, if Flask may do that.
    is_whole = not response.is_streamed and (response.is_sequence or response.calculate_content_length() is not None)
    delivery.start(response.status_code, TextHeaders(list(headers)))
    if is_whole or delivery.bodiless:
        for piece in () if delivery.bodiless else response.iter_encoded():
            delivery.count(piece)
        fields = delivery.finish()
    else:
        fields = delivery.exchange.start_fields(delivery.status, delivery.length)
        response.response = metered_pieces(iter(response.iter_encoded()), delivery, response.response)
    if is_plain(fields):
        for name, value in fields:
            headers.add(name, value)
    else:
        response.headers = Headers(merged(list(headers), fields))
    return response


def _is_error_page(response: Response) -> bool:
    """Whether a response is what an ``HTTPException`` became: Flask runs it as it does any WSGI application, so that it
    looks like a stream. A 500 may be of any exception, which releases: nothing is settled before that.
    """
    return (
        type(response.response) is ClosingIterator
        and 400 <= response.status_code != 500
        and (length := response.content_length) is not None
        and length <= _MAX_PAGE_BYTES
    )


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.headers.clear()
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response
