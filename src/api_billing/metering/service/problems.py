"""What the HTTP meter says about its own requests; what it says about the consumer's is in ``metering.problems``.

The two have different codes, so that a service never tells its consumer of its own mistakes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api_billing.metering.errors import IdConflict, MeterError
from api_billing.metering.request.problems import CONTENT_TYPE, Answer, Refusal
from api_billing.metering.service.bodies import ProblemBody


class _Kind(NamedTuple):
    status: int
    title: str


_KINDS: Final[Mapping[str, _Kind]] = {
    "invalid_request": _Kind(400, "Request not valid"),
    "invalid_service_token": _Kind(401, "Service token missing or wrong"),
    "invalid_admin_token": _Kind(401, "Admin token missing or wrong"),
    "invalid_credentials": _Kind(401, "Credentials missing or wrong"),
    "other_consumer": _Kind(403, "Another consumer's"),
    "limited_key": _Kind(403, "Key is limited"),
    "unknown_reservation": _Kind(404, "No such reservation"),
    "not_found": _Kind(404, "Not found"),
    "method_not_allowed": _Kind(405, "Method not allowed"),
    "reservation_ended": _Kind(409, "Reservation ended"),
    "id_conflict": _Kind(409, "Id used for something else"),
    "not_possible": _Kind(409, "Not possible"),
    "request_too_large": _Kind(413, "Request too large"),
    "unsupported_media_type": _Kind(415, "Not JSON"),
    "chain_unavailable": _Kind(503, "Chain not available"),
}
CODES: Final = frozenset(_KINDS)
_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}
_MAX_ERRORS: Final = 10
_JSON: Final = re.compile(r"application/(?:[^;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


class ServiceProblem(Exception):
    """A request that the HTTP meter refuses, with one of its own codes."""

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.code, self.detail, self.headers, self.members = code, detail, headers or {}, members

    def answer(self) -> Answer:
        """The whole response."""
        kind = _KINDS[self.code]
        members = {
            **self.members,
            "type": f"urn:problem-type:api-billing:{self.code.replace('_', '-')}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "code": self.code,
        }
        body = json.dumps(members, separators=(",", ":")).encode()
        headers = {"content-type": CONTENT_TYPE, "content-length": str(len(body)), "cache-control": "no-store"}
        if kind.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Answer(kind.status, tuple({**headers, **self.headers}.items()), body)


def response_of(answer: Answer) -> Response:
    """An answer of the meter as a response."""
    return Response(answer.body, answer.status, dict(answer.headers))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, for its description."""
    schema = ProblemBody.model_json_schema()
    content = {CONTENT_TYPE: {"schema": schema}}
    texts = {
        400: "Request not valid",
        401: "Not authenticated",
        402: "No credit, budget used up, or no voucher that covers it",
        403: "Not allowed",
    }
    texts |= {
        404: "Not found",
        409: "Ended already, in progress, or an id that is used",
        413: "Too large",
        410: "Receipt used up",
    }
    texts |= {422: "Idempotency key or receipt reused"}
    texts |= {429: "Quota used up", 503: "The store or the chain does not answer: repeat the request"}
    documents: dict[int | str, dict[str, Any]] = {
        status: {"description": texts[status], "content": content} for status in statuses
    }
    return {**documents, "4XX": {"description": "Refused", "content": content}}


async def known_query(request: Request) -> None:
    """Raises: RequestValidationError for a query parameter that there is not: bodies have no other fields either."""
    if not request.scope["query_string"] or not request.scope["route"].path.startswith("/v1/"):
        return  # whoever reads figures may ask with anything
    known = sorted(field.alias for field in request.scope["route"].dependant.query_params)
    problem = f"There is no such parameter, but: {', '.join(known) or 'none'}"
    if unknown := [name for name in request.query_params if name not in known]:
        raise RequestValidationError([{"loc": ("query", name), "msg": problem} for name in unknown])


def add_handlers(app: FastAPI) -> None:
    """Answer with problem details whatever goes wrong."""
    app.add_exception_handler(ServiceProblem, _service_problem)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(MeterError, _meter_error)


async def _service_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceProblem)
    return response_of(error.answer())


def _problem(error: Mapping[str, Any]) -> str:
    text = str(error["msg"])  # which counts the items of secrets
    return text.replace(" item", " character") if isinstance(error.get("input"), str) else text


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if not _JSON.fullmatch(request.headers.get("content-type", "")) and ("body",) in [
        each["loc"] for each in error.errors()
    ]:
        detail = "A body is JSON, and says so: Content-Type: application/json."
        return response_of(ServiceProblem("unsupported_media_type", detail).answer())
    # Never what was given: it may be an API key.
    wrong = [
        {"field": ".".join(str(part) for part in each["loc"])[:200], "problem": _problem(each)[:200]}
        for each in error.errors()[:_MAX_ERRORS]
    ]
    detail = "; ".join(f"{each['field']}: {each['problem']}" for each in wrong)
    return response_of(ServiceProblem("invalid_request", detail, errors=wrong).answer())


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, "invalid_request")
    return response_of(ServiceProblem(code, str(error.detail), error.headers).answer())


async def _meter_error(request: Request, error: Exception) -> Response:
    if isinstance(error, IdConflict):
        return response_of(ServiceProblem("id_conflict", "This id was used before, for something else.").answer())
    return response_of(Refusal("meter_unavailable").answer())
