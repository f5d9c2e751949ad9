"""Pages for whoever operates an application, to mount beside what it serves: ``readyz``, ``healthz`` and ``metrics``.

FastAPI, Starlette: ``app.mount("/ops", operating_asgi(meter, token=…))``; Flask: ``DispatcherMiddleware`` of werkzeug
with ``operating_wsgi``; Django: ``path("ops/<page>", operating_view(meter, token=…))``. Middleware that meters is told
to leave them out: ``exclude_paths=("/ops/**",)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from api_billing.extras import needed_by
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.meter import Meter
from api_billing.metering.observing.metrics import exposition
from api_billing.metering.request.health import Looks, readiness
from api_billing.metering.request.http import AsgiHeaders
from api_billing.metering.request.problems import Answer
from api_billing.metering.stores.steps import Steps, arun, run
from api_billing.metering.web.asgi_messages import AsgiApp, Receive, Scope, Send, send_answer
from api_billing.metering.web.decorated import exempted
from api_billing.metering.web.tokens import Tokens, are_long, bearer_of
from api_billing.metering.web.wsgi import Environ, StartResponse, WsgiApp
from api_billing.metering.web.wsgi import send_answer as send_wsgi_answer

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class _Pages:
    def __init__(self, meter: Meter, token: str | None) -> None:
        if token is not None and not are_long(token):
            raise InvalidSetting("the token of operating pages has at least 16 bytes; None lets anybody read figures")
        self._meter = meter
        self._token = None if token is None else Tokens(token)
        self._looks = Looks(meter)

    def page(self, path: str, authorization: str) -> Steps[Answer]:
        name, is_told = path.rpartition("/")[2], self._may_read(authorization)
        if name == "readyz":
            return readiness((yield from self._looks.look()), is_told=self._token is not None and is_told)
        if name == "healthz":
            return _page(200, "application/json", b'{"status":"ok"}')
        if name == "metrics" and self._meter.settings.metrics:
            return _page(200, *exposition()) if is_told else _problem(401, "The figures are for who has the token.")
        return _problem(404, "There is no such page, or it is switched off.")

    def _may_read(self, authorization: str) -> bool:
        return self._token is None or self._token.is_shown(bearer_of(authorization))


def operating_asgi(meter: Meter, *, token: str | None) -> AsgiApp:
    """The pages as an ASGI application. ``token`` (16 bytes or more) is what ``Authorization: Bearer`` has to carry for
    ``metrics``, and to be told what is wrong by ``readyz``; None lets anybody who reaches them read the figures.

    Raises: InvalidSetting.
    """
    pages = _Pages(meter, token)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = AsgiHeaders(scope["headers"]).first("authorization") or ""
            answer = await arun(pages.page(scope["path"], given), meter.store.acall)
            await send_answer(answer, send, head=scope["method"] == "HEAD")

    return app


def operating_wsgi(meter: Meter, *, token: str | None) -> WsgiApp:
    """The pages as a WSGI application, as ``operating_asgi``. Raises: InvalidSetting."""
    pages = _Pages(meter, token)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "")
        answer = run(pages.page(environ.get("PATH_INFO", ""), given), meter.store.call)
        return send_wsgi_answer(answer, start_response, head=environ["REQUEST_METHOD"] == "HEAD")

    return app


def operating_view(meter: Meter, *, token: str | None) -> Callable[[HttpRequest, str], HttpResponse]:
    """The pages as a view of Django, of the request and the page's name; as ``operating_asgi``. Raises: InvalidSetting,
    MissingExtra.
    """
    with needed_by(__name__):
        from django.http import HttpResponse
    pages = _Pages(meter, token)

    def view(request: HttpRequest, page: str) -> HttpResponse:
        answer = run(pages.page(page, request.headers.get("Authorization", "")), meter.store.call)
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    return exempted(view)


def _page(status: int, kind: str, body: bytes) -> Answer:
    fields = (("content-type", kind), ("content-length", str(len(body))), ("cache-control", "no-store"))
    return Answer(status, fields, body)


def _problem(status: int, detail: str) -> Answer:
    title = "Not authenticated" if status == 401 else "Not found"
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    answer = _page(status, "application/problem+json", body)
    return answer._replace(headers=(*answer.headers, ("www-authenticate", "Bearer"))) if status == 401 else answer
