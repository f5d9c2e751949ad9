"""Claims of idempotency keys and receipts: what makes a request the same request, and what is kept of its response."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from api_billing.metering.ledger.operations import Claim, StoredResponse
from api_billing.metering.request.http import BODILESS, MeteredRequest, MeteredResponse, query_without
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.telling import read_bounded
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores.steps import Steps

MAX_KEY_LENGTH: Final = 255
_QUOTED_KEY: Final = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
# Of this hop or this moment: not part of a response that is stored for replay.
_NOT_STORED: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "date", "server", "set-cookie", "x-cost-wei", "retry-after"}
)
_NOT_STORED_PREFIXES: Final = ("ratelimit", "x-ratelimit")


def idempotency_claim(
    values: Sequence[str], request: MeteredRequest, api: str, settings: MeterSettings
) -> Steps[Claim | Refusal]:
    """The claim of a request's ``Idempotency-Key``, which it has with these values."""
    key = parse_idempotency_key(values)
    if key is None:
        return Refusal("invalid_idempotency_key")
    text = yield from request_fingerprint(request, query_without(request.query, settings.key_query), settings)
    return text if isinstance(text, Refusal) else Claim.of_key(api, key, text)


def request_fingerprint(request: MeteredRequest, query: bytes, settings: MeterSettings) -> Steps[str | Refusal]:
    """What makes a request the same request, with this query."""
    body = yield from read_bounded(request, settings.max_fingerprint_bytes)
    return body if isinstance(body, Refusal) else fingerprint(request.method, request.path, query, body)


def stored_response(response: MeteredResponse, method: str, claims: str) -> StoredResponse | None:
    """What is given again to requests with the same claim: the response, or the news that it was too large to keep.

    None when it is shorter or longer than it declares: it was cut off, and may be served again.
    """
    body, length = response.body, response.headers.content_length()
    has_body = method != "HEAD" and response.status not in BODILESS
    if has_body and length is not None and length != response.body_bytes:
        return None
    if body is None or len(body) != response.body_bytes:
        return used_up(claims)
    return StoredResponse(response.status, tuple(_stored_fields(response)), body)


@cache
def used_up(claims: str) -> StoredResponse:
    """What is given to requests with a claim (``idempotency``, ``receipt``) whose response cannot be given again."""
    return StoredResponse(*Refusal(f"{claims}_used").answer())


def _stored_fields(response: MeteredResponse) -> Iterator[tuple[str, str]]:
    for name, value in response.headers.pairs():
        if name not in _NOT_STORED and not name.startswith(_NOT_STORED_PREFIXES):
            yield name, value


def parse_idempotency_key(values: Sequence[str]) -> str | None:
    """Return the key that ``Idempotency-Key`` names; None when it names none that is acceptable.

    The draft (07) has a quoted structured-field string; one without quotes is the same key. It has 1 to 255 printable
    ASCII characters, and the field is given once. Ask only when there is a field: its absence is no error.
    """
    if len(values) != 1 or len(values[0]) > 2 * MAX_KEY_LENGTH + 2:
        return None
    text = values[0].strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        if quoted is None:
            return None
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    good = 0 < len(text) <= MAX_KEY_LENGTH and text.isascii() and text.isprintable()
    return text if good and text.strip() else None


def fingerprint(method: str, path: str, query: bytes, body: bytes) -> str:
    """What makes a request the same request: SHA-256 over method, path, query and body, each with its length."""
    digest = hashlib.sha256()
    for part in (method.encode("utf-8", "surrogatepass"), path.encode("utf-8", "surrogatepass"), query, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
