"""The same small service for each framework: unmetered, behind an in-memory rate limiter, metered.

Factories for a server that ``bench/meter.py`` starts: uvicorn or gunicorn. METER_URL names the store. Who asks stands
in ``X-Consumer``. The limiters are those that are usual with each framework; they keep their counts in memory, store
nothing, and answer with the fields of a rate limit, as the meter does.
"""

import os
import types
from collections.abc import Callable
from typing import Any

from meter_stores import GWEI, prepare

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.meter import Meter
from api_billing.metering.request.prices import by_response_size

TERMS: dict[str, Any] = {
    "api": "weather",
    "estimate_wei": 5 * GWEI,
    "price": by_response_size(base_wei=GWEI, per_kib_wei=GWEI // 10),
}
FORECAST = {"city": "Zürich", "days": [{"day": day, "high": 20 + day, "low": 10 + day} for day in range(5)]}
LIMIT = "1000000000/minute"
DAILY = "1000000000/day"


def open_meter() -> Meter:
    meter = Meter.open(os.environ["METER_URL"], identify=from_header("X-Consumer"))
    prepare(meter.store)
    return meter


# --- FastAPI


def _fastapi(decorate: Callable[[Any], Any] = lambda endpoint: endpoint) -> Any:
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/forecast")
    @decorate
    async def forecast(request: Request) -> dict[str, Any]:
        return FORECAST

    return app


def fastapi_unmetered() -> Any:
    return _fastapi()


def fastapi_limiter() -> Any:
    """slowapi's decorator, whose fields of a rate limit need a response object."""
    from fastapi import FastAPI, Request, Response
    from slowapi import Limiter

    limiter = Limiter(key_func=_asgi_consumer, headers_enabled=True)
    app = FastAPI()
    app.state.limiter = limiter

    @app.get("/forecast")
    @limiter.limit(LIMIT)
    @limiter.limit(DAILY)
    async def forecast(request: Request, response: Response) -> dict[str, Any]:
        return FORECAST

    return app


def fastapi_decorator() -> Any:
    from api_billing.metering.web.fastapi import metered

    return _fastapi(metered(open_meter(), **TERMS))


def fastapi_middleware() -> Any:
    from api_billing.metering.web.asgi import MeterMiddleware

    app = _fastapi()
    app.add_middleware(MeterMiddleware, metering=open_meter().metering(**TERMS))
    return app


# --- Starlette


def _starlette(decorate: Callable[[Any], Any] = lambda endpoint: endpoint) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    @decorate
    async def forecast(request: Request) -> JSONResponse:
        return JSONResponse(FORECAST)

    return Starlette(routes=[Route("/forecast", forecast)])


def starlette_unmetered() -> Any:
    return _starlette()


def starlette_limiter() -> Any:
    from slowapi import Limiter

    limiter = Limiter(key_func=_asgi_consumer, headers_enabled=True)
    app = _starlette(lambda endpoint: limiter.limit(LIMIT)(limiter.limit(DAILY)(endpoint)))
    app.state.limiter = limiter
    return app


def starlette_decorator() -> Any:
    from api_billing.metering.web.starlette import metered

    return _starlette(metered(open_meter(), **TERMS))


def _asgi_consumer(request: Any) -> str:
    return str(request.headers["x-consumer"])


# --- Flask


def _flask(decorate: Callable[[Any], Any] = lambda view: view) -> Any:
    from flask import Flask

    app = Flask("bench")

    @decorate
    def forecast() -> dict[str, Any]:
        return FORECAST

    app.get("/forecast")(forecast)
    return app


def flask_unmetered() -> Any:
    return _flask()


def flask_limiter() -> Any:
    from flask import request
    from flask_limiter import Limiter

    limiter = Limiter(lambda: request.headers["X-Consumer"], storage_uri="memory://", headers_enabled=True)
    app = _flask(lambda view: limiter.limit(LIMIT)(limiter.limit(DAILY)(view)))
    limiter.init_app(app)
    return app


def flask_decorator() -> Any:
    from api_billing.metering.web.flask import metered

    return _flask(metered(open_meter(), **TERMS))


# --- Django


def _django(decorate: Callable[[Any], Any] = lambda view: view) -> Any:
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    @decorate
    def forecast(request: HttpRequest) -> JsonResponse:
        return JsonResponse(FORECAST)

    urls = types.ModuleType("bench_urls")
    urls.urlpatterns = [path("forecast", forecast)]  # type: ignore[attr-defined]
    settings.configure(
        SECRET_KEY="of a benchmark", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, DATABASES={}, LOGGING_CONFIG=None
    )
    django.setup()
    return get_wsgi_application()


def django_unmetered() -> Any:
    return _django()


def django_limiter() -> Any:
    limited = _Limited()

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        def limited_view(request: Any) -> Any:
            fields = limited.fields(request.META["HTTP_X_CONSUMER"])
            response = view(request)
            for name, value in fields:
                response.headers[name] = value
            return response

        return limited_view

    return _django(decorate)


def django_decorator() -> Any:
    from api_billing.metering.web.django import metered

    return _django(metered(open_meter(), **TERMS))


# --- plain WSGI


def wsgi_unmetered() -> Any:
    import json

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = json.dumps(FORECAST).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return app


def wsgi_limiter() -> Any:
    limited = _Limited()
    app = wsgi_unmetered()

    def limited_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        fields = limited.fields(environ["HTTP_X_CONSUMER"])
        return app(environ, lambda status, headers: start_response(status, [*headers, *fields]))

    return limited_app


def wsgi_middleware(**terms: Any) -> Any:
    from api_billing.metering.web.wsgi import MeteredWSGI

    return MeteredWSGI(wsgi_unmetered(), open_meter().metering(**TERMS, **terms))


def wsgi_fixed() -> Any:
    return wsgi_middleware(limits=LIMIT)


def wsgi_sliding() -> Any:
    return wsgi_middleware(limits=f"{LIMIT}; window=sliding")


def wsgi_bucket() -> Any:
    return wsgi_middleware(limits=f"{LIMIT}; window=bucket")


def wsgi_sliding_of_all() -> Any:
    """One count of many instants, which is put together again and again."""
    return wsgi_middleware(limits=f"{LIMIT}; window=sliding; per=all")


def wsgi_bucket_of_all() -> Any:
    return wsgi_middleware(limits=f"{LIMIT}; window=bucket; per=all")


class _Limited:
    """The library under slowapi and Flask-Limiter, used directly where there is no extension on it."""

    def __init__(self) -> None:
        from limits import parse
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._limits = [parse(LIMIT), parse(DAILY)]
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def fields(self, consumer: str) -> list[tuple[str, str]]:
        """Count a request; the fields of the tighter limit."""
        left = []
        for limit in self._limits:
            assert self._limiter.hit(limit, consumer)
            left.append((self._limiter.get_window_stats(limit, consumer), limit))
        (resets, remaining), limit = min(left, key=lambda each: each[0].remaining)
        return [
            ("X-RateLimit-Limit", str(limit.amount)),
            ("X-RateLimit-Remaining", str(remaining)),
            ("X-RateLimit-Reset", str(int(resets))),
        ]
