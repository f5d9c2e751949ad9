"""Who asks, for routes that cost nothing: a consumer's own balance and usage, account pages."""

from __future__ import annotations

from api_billing.metering.meter import Meter
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.identity import Extractor, identify
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.stores.steps import Steps


def consumer_of(meter: Meter, request: MeteredRequest, identify_by: Extractor | None = None) -> Steps[str | Answer]:
    """The consumer of a request, or the refusal to send instead. Nothing is reserved, counted or recorded."""
    found = yield from identify(identify_by or meter.identify, request)
    if isinstance(found, Refusal):
        return found.answer()
    return found.consumer
