"""Claims of idempotency keys and receipts: what makes a request the same request, and what is kept of its response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from api_billing.metering import fields
from api_billing.metering.operations import Claim, StoredResponse
from api_billing.metering.problems import Refusal
from api_billing.metering.receipts import query_without

if TYPE_CHECKING:
    from api_billing.metering.http import MeteredRequest, MeteredResponse
    from api_billing.metering.settings import MeterSettings
    from api_billing.metering.steps import Steps

# Of this hop or this moment: not part of a response that is stored for replay.
_NOT_STORED: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "date", "server", "set-cookie", "x-cost-wei", "retry-after"}
)
_NOT_STORED_PREFIXES: Final = ("ratelimit", "x-ratelimit")


def idempotency_claim(request: MeteredRequest, api: str, settings: MeterSettings) -> Steps[Claim | Refusal | None]:
    """The claim of a request's ``Idempotency-Key``; None when it has none."""
    values = request.headers.all("idempotency-key")
    if not values:
        return None
    key = fields.parse_idempotency_key(values)
    if key is None:
        return Refusal("invalid_idempotency_key")
    body = yield from _fingerprinted_body(request, settings)
    if isinstance(body, Refusal):
        return body
    # One key may be used with each API; the store knows consumers only.
    return Claim(f"{api}/{key}", fields.fingerprint(request.method, request.path, request.query, body))


def receipt_fingerprint(request: MeteredRequest, settings: MeterSettings) -> Steps[str | Refusal]:
    """What makes it the same request, wherever it carries the receipt."""
    body = yield from _fingerprinted_body(request, settings)
    if isinstance(body, Refusal):
        return body
    query = query_without(request.query, settings.receipt_query)
    return fields.fingerprint(request.method, request.path, query, body)


def _fingerprinted_body(request: MeteredRequest, settings: MeterSettings) -> Steps[bytes | Refusal]:
    limit = settings.max_fingerprint_bytes
    declared = request.headers.first("content-length") or ""
    if declared.isdecimal() and int(declared[:20]) > limit:
        return Refusal("body_too_large")
    body = yield from request.read_body()
    if body is None:
        return Refusal("unreadable_body")
    return Refusal("body_too_large") if len(body) > limit else body


def stored_response(response: MeteredResponse) -> StoredResponse | None:
    """The response as it will be replayed; None when its body was not kept as a whole."""
    body = response.body
    if body is None or len(body) != response.body_bytes:
        return None
    return StoredResponse(response.status, tuple(_stored_fields(response)), body)


def _stored_fields(response: MeteredResponse) -> Iterator[tuple[str, str]]:
    for name, value in response.headers.pairs():
        if name not in _NOT_STORED and not name.startswith(_NOT_STORED_PREFIXES):
            yield name, value
