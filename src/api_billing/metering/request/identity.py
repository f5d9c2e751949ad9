"""Who a request is from, as an extractor tells it.

An extractor is a callable of a ``MeteredRequest`` that returns an ``Identity``, a ``Refusal``, a consumer's name,
None (it says nothing), something to await for one of these, or a flow (a generator of steps, see ``steps``) that ends
with one: so one extractor serves threads and coroutines. ``identify`` brings all of them to ``Identity | Refusal``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from types import GeneratorType
from typing import Final, NamedTuple, cast

from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.ledger.consumer_operations import ApiKey
from api_billing.metering.request.http import BodyWanted, MeteredRequest
from api_billing.metering.request.problems import Refusal
from api_billing.metering.request.telling import awaited, read_bounded
from api_billing.metering.seldom import Seldom
from api_billing.metering.stores.steps import Steps, is_waiting
from api_billing.networks import canonical_name
from api_billing.vouchers import Voucher

MAX_CONSUMER_LENGTH: Final = 200

_LOG: Final = logging.getLogger("api_billing.metering.identity")


class Identity(NamedTuple):
    """Who a request is from. ``tier``: of the credential, empty for the consumer's own; ``key_id``: of the API key.

    With a ``voucher`` of a session it is who the request says, and nothing is proven before that is checked. ``key`` is
    the API key itself, which may be good for some APIs only, and has quotas of its own. Who is ``anonymous`` needs not
    be known to the meter: it has no credit and no limits of its own.
    """

    consumer: str
    tier: str = ""
    key_id: str = ""
    voucher: Voucher | None = None
    key: ApiKey | None = None
    anonymous: bool = False


Found = Identity | Refusal | str | None
Extractor = Callable[[MeteredRequest], "Found | Awaitable[Found] | Steps[Found]"]

MISSING: Final = Refusal("missing_identity")
INVALID: Final = Refusal("invalid_identity", challenge='Bearer error="invalid_token"')
REVOKED: Final = Refusal("revoked_key")
EXPIRED: Final = Refusal("expired_key", challenge='Bearer error="invalid_token"')
# Not valid, but perhaps what another extractor understands; ``first_of`` goes on.
OTHER_FORM: Final = Refusal("invalid_identity", challenge='Bearer error="invalid_token"')


def identify(
    extractor: Extractor, request: MeteredRequest, seldom: Seldom | None = None, limit: int = 0
) -> Steps[Identity | Refusal]:
    """Run an extractor, built-in or own; once more when it asks for the body, of at most ``limit`` bytes. An own one
    that raises refuses the request, and is logged.

    Raises: StoreUnavailable, when nobody who could tell answers: that makes no credential a bad one.
    """
    request.lacks_body = False
    try:
        found = yield from identified(extractor, request)
        if not request.lacks_body:
            return found
    except BodyWanted:
        pass
    except StoreUnavailable:
        raise
    except Exception as error:
        if not request.lacks_body:
            where = request.route
            (seldom or Seldom()).log(
                _LOG, logging.ERROR, "the identity of a request to %.200r could not be told", where, exc_info=True
            )
            return replace(INVALID, why=f"identify: {type(error).__name__}")  # its text may have the credential
    body = yield from read_bounded(request, limit)
    return body if isinstance(body, Refusal) else (yield from identify(extractor, request, seldom, limit))


def identified(extractor: Extractor, request: MeteredRequest) -> Steps[Identity | Refusal]:
    """The same, for an extractor that asks others: what an own one raises goes on."""
    answer = extractor(request)
    if type(answer) is not Identity:
        if isinstance(answer, GeneratorType):
            answer = yield from answer
        elif answer is not None and type(answer) is not str and is_waiting(answer):
            answer = yield from awaited(cast("Awaitable[Found]", answer), request)
    name = answer.consumer if isinstance(answer, Identity) else answer
    if not isinstance(name, str | Refusal | None):
        raise TypeError(f"an extractor returned {type(name).__name__}")
    return checked(cast(Found, answer))


def checked(answer: Found) -> Identity | Refusal:
    """Bound what an extractor found: names have 1 to 200 printable characters and no space around them.

    An address is one consumer, however its digits are spelled.
    """
    if answer is None:
        return MISSING
    if isinstance(answer, Refusal):
        return answer
    identity = answer if isinstance(answer, Identity) else Identity(answer)
    name = _canonical(identity.consumer) if type(identity.consumer) is str else None
    if name is None:
        return INVALID
    return identity if name == identity.consumer else identity._replace(consumer=name)


def consumer_name(name: object) -> str:
    """How a consumer's name is spelled, wherever it comes in. Raises: InvalidSetting for what is no name."""
    found = _canonical(name) if type(name) is str else None
    if found is None:
        raise InvalidSetting(
            f"a consumer's name has 1 to 200 printable characters, and no space around them, not {name!a:.80}"
        )
    return found


@lru_cache(10_000)
def _canonical(name: str) -> str | None:
    """How a name is spelled; None for what is no name."""
    is_name = 0 < len(name) <= MAX_CONSUMER_LENGTH and name.isprintable() and name == name.strip()
    return canonical_name(name) if is_name else None
