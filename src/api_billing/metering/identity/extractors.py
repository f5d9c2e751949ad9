"""Who a request is from: extractors (see ``request.identity``).

``from_header``, ``from_query`` and ``from_json_field`` believe what the client says. They are for APIs behind a gateway
that authenticates and sets (and strips!) the field; ``api_key`` and ``from_jwt`` prove it. ``from_address`` is for who
says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, cast

from api_billing.metering.addresses import counted_as
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.identity.api_keys import KeyCache, ParsedKey, check_pepper, matches, read_key
from api_billing.metering.ledger.consumer_operations import ApiKey, FindKey
from api_billing.metering.request.callables import check_callable
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import (
    EXPIRED,
    INVALID,
    MISSING,
    OTHER_FORM,
    REVOKED,
    Extractor,
    Found,
    Identity,
    identified,
)
from api_billing.metering.request.problems import Refusal
from api_billing.metering.stores.steps import Steps

MAX_CREDENTIAL_LENGTH: Final = 8192
_MAX_JSON_DEPTH: Final = 16
_FIELD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def from_header(name: str) -> Extractor:
    """The consumer is named by a header field that a gateway in front has set; given twice, it is refused."""
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise InvalidSetting(f"a header field is named like X-User-ID, not {name!r:.80}")
    field = name.lower()

    def extract(request: MeteredRequest) -> Found:
        found = _only(request.headers.all(field))
        if not isinstance(found, str) or found.isascii():
            return found
        try:
            return found.encode("latin-1").decode("utf-8")
        except ValueError:
            return INVALID

    return extract


def from_query(name: str) -> Extractor:
    """The consumer is named by a query parameter; given twice, it is refused."""
    if not isinstance(name, str) or not name:
        raise InvalidSetting(f"a query parameter is named by a text, not {name!r:.80}")

    def extract(request: MeteredRequest) -> Found:
        try:
            return _only(request.query_values(name))
        except ValueError:
            return INVALID

    return extract


def from_json_field(path: str) -> Extractor:
    """The consumer is named by a field of the JSON body, ``account.id`` for one within another; a string or an integer.

    Reads the whole body. A body that cannot be read, or is no such JSON, names nobody.
    """
    names = path.split(".") if isinstance(path, str) else [""]
    if not all(names) or len(names) > _MAX_JSON_DEPTH:
        raise InvalidSetting(f"a path has 1 to {_MAX_JSON_DEPTH} names with dots between them: {path!r}")

    def extract(request: MeteredRequest) -> Steps[Found]:
        body = yield from request.read_body()
        try:
            value: Any = json.loads(body or b"null")
        except (ValueError, RecursionError):
            return INVALID
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return MISSING
        if type(value) is int and abs(value) < 2**64:
            return str(value)
        return value if isinstance(value, str) and value else INVALID

    return extract


def from_address() -> Extractor:
    """Whoever says nothing else is an anonymous client, by its address: ``first_of(api_key(…), from_address())``.

    It is called ``ip:203.0.113.7``, or by its /64 ``ip:2001:db8:1:2::/64``, and needs not be known. It has no credit,
    and so is served what costs nothing, and no quotas; limits of requests count it. The address is the peer's, unless
    ``trusted_proxies`` says who may tell another.
    """

    def extract(request: MeteredRequest) -> Found:
        address = counted_as(request.address)
        return Identity(f"ip:{address}", anonymous=True) if address else None

    return extract


def api_key(
    pepper: bytes | str,
    *,
    header: str = "Authorization: Bearer",
    query: str = "",
    cache: KeyCache | None = None,
) -> Extractor:
    """The request carries an API key in ``Authorization: Bearer`` or a field of its own (``X-API-Key``); with ``query``
    also in a query parameter of that name (``?api_key=…``). Two of them are refused.

    A key that ``cache`` does not have is looked up in the store with ``FindKey``; without a cache, each time.
    Raises: InvalidSetting for a pepper that is missing or too short.
    """
    secret = check_pepper(pepper.encode() if isinstance(pepper, str) else pepper)
    read = _either(credential(header), from_query(query)) if query else credential(header)

    def extract(request: MeteredRequest) -> Found | Steps[Found]:
        text = read(request)
        if not isinstance(text, str):
            return text
        known = None if cache is None else cache.get(text, request.at_ms)
        if known is not None and known.is_good(request.at_ms):  # else it may have another end by now
            return _who(known, request.at_ms)
        parsed = read_key(secret, text)
        if parsed is None:
            return INVALID if text.startswith("ab_") else OTHER_FORM
        return look_up(text, parsed, request.at_ms)

    def look_up(text: str, parsed: ParsedKey, at_ms: int) -> Steps[Found]:
        generation = cache.generation if cache is not None else 0
        known: ApiKey | None = yield FindKey(parsed.key_id)
        found = _proven(secret, parsed, known, at_ms)
        if cache is not None and known is not None and isinstance(found, Identity):
            cache.put(text, known, at_ms, generation)
        return found

    return extract


def credential(header: str) -> Callable[[MeteredRequest], str | Refusal | None]:
    """Read a credential from ``Authorization: <scheme>`` or from a field that has nothing else in it.

    None when there is none, or one of another scheme; a refusal for several, one that is too long, and one without any.
    """
    name, _, scheme = (part.strip() for part in header.partition(":"))
    field, wanted = name.lower(), scheme.lower()
    if not field:
        raise InvalidSetting(f"a header is named like X-API-Key or Authorization: Bearer, not {header!r}")

    def read(request: MeteredRequest) -> str | Refusal | None:
        values = request.headers.all(field)
        if not values:
            return None
        if len(values) > 1:
            return INVALID
        text = values[0].strip()
        if wanted:
            given, _, text = text.partition(" ")
            if given.lower() != wanted:
                # A payment without anything in it is for the door to refuse.
                return None if text or given.lower() == "payment" else OTHER_FORM
            text = text.strip()
        return INVALID if len(values[0]) > MAX_CREDENTIAL_LENGTH else text or None

    return read


def first_of(*extractors: Extractor) -> Extractor:
    """The first extractor that finds something decides: a wrong credential is refused, not passed over.

    A credential of another form (a JWT where an API key is looked for) is left to the next extractor. One that none of
    them reads is refused, also where who says nothing is let in (``from_address``).
    """
    if not extractors:
        raise InvalidSetting("first_of needs at least one extractor")
    for extractor in extractors:
        check_callable("an extractor of first_of", extractor, "request")

    def extract(request: MeteredRequest) -> Steps[Found]:
        refusal = MISSING
        for extractor in extractors:
            found = yield from identified(extractor, request)
            if isinstance(found, Identity) and found.anonymous and refusal is OTHER_FORM:
                continue
            if isinstance(found, Identity) or (found is not OTHER_FORM and found.code != MISSING.code):
                return found
            refusal = found if found is OTHER_FORM else refusal
        return refusal

    return extract


def _only(values: list[str]) -> Found:
    if len(values) > 1:
        return INVALID
    return values[0] if values and values[0] else MISSING


def _either(
    in_header: Callable[[MeteredRequest], str | Refusal | None], in_query: Extractor
) -> Callable[[MeteredRequest], str | Refusal | None]:
    """Read a credential that is in the one place or in the other."""

    def read(request: MeteredRequest) -> str | Refusal | None:
        text = in_header(request)
        found = cast("str | Refusal", in_query(request)) if request.query else MISSING
        if found is MISSING:
            return text
        return INVALID if text is not None or (isinstance(found, str) and len(found) > MAX_CREDENTIAL_LENGTH) else found

    return read


def _proven(pepper: bytes, parsed: ParsedKey, known: ApiKey | None, at_ms: int) -> Found:
    # The hash is computed in any case, so that the time does not tell whether a key of this id exists.
    if not matches(pepper, parsed, known) or known is None:
        return INVALID if parsed.is_own else OTHER_FORM
    return REVOKED if known.revoked_ms is not None else _who(known, at_ms)


def _who(key: ApiKey, at_ms: int) -> Found:
    """Who has a key that was proven."""
    if key.expires_ms is not None and key.expires_ms <= at_ms:
        return EXPIRED
    return Identity(key.consumer, key.tier, key.key_id, key=key)
