"""Who asks, for routes that cost nothing: a consumer's own balance and usage, account pages.

The answer is the consumer's name, or the refusal to send instead. Nothing is reserved, counted or recorded. A voucher
pays, and says nothing here: it is no secret for long; an address is nobody's alone, and a key that is limited may be
public.
"""

from __future__ import annotations

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import INVALID, MISSING, Extractor, Identity, identify
from api_billing.metering.request.problems import Answer, Refusal, unavailable
from api_billing.metering.request.request_meter import RequestMeter
from api_billing.metering.stores.steps import Steps, arun, run


def consumer_of(meter: RequestMeter, request: MeteredRequest, extractor: Extractor | None = None) -> str | Answer:
    """The consumer of a request, in this thread."""
    return _told(meter, run(_identify(meter, request, extractor), meter.store.call))


async def aconsumer_of(
    meter: RequestMeter, request: MeteredRequest, extractor: Extractor | None = None
) -> str | Answer:
    """The same in a coroutine."""
    return _told(meter, await arun(_identify(meter, request, extractor), meter.store.acall))


def _identify(meter: RequestMeter, request: MeteredRequest, extractor: Extractor | None) -> Steps[Identity | Refusal]:
    request.proxies = meter.settings.proxies
    try:
        return (
            yield from identify(
                extractor or meter.identify, request, meter.seldom, meter.settings.max_fingerprint_bytes
            )
        )
    except StoreUnavailable as error:
        return unavailable(error)


def _told(meter: RequestMeter, identity: Identity | Refusal) -> str | Answer:
    if isinstance(identity, Identity):
        if identity.voucher is not None or identity.anonymous:
            identity = MISSING if identity.anonymous else INVALID
        elif meter.hides_usage(identity.key):
            identity = Refusal("key_scope", reason="limited_key")
    return identity.answer() if isinstance(identity, Refusal) else identity.consumer
