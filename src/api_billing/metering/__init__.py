"""The off-chain meter: bills HTTP requests from a local store, before and after each one.

    meter = Meter.open()

and an adapter of ``api_billing.metering.web`` for the framework. ``reserve`` before serving, ``settle`` what it cost
after, ``release`` when it failed; all three are one atomic step in the store.
"""

from api_billing.metering.errors import NotAllowed
from api_billing.metering.identity.extractors import (
    api_key,
    first_of,
    from_address,
    from_header,
    from_json_field,
    from_query,
)
from api_billing.metering.identity.vouchers import from_voucher
from api_billing.metering.limits.limits import Limit, parse_limits
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.meter import Meter
from api_billing.metering.observing.logs import configure_logging
from api_billing.metering.request.charging import Charged, Reservation
from api_billing.metering.request.exchange import Exchange, current_exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse
from api_billing.metering.request.identity import Identity
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.prices import ChargeEstimate, by_processing_time, by_response_size, fixed
from api_billing.metering.request.problems import Answer
from api_billing.metering.request.telling import NotEstimable
from api_billing.metering.request.tokens import TokenPrice, by_tokens, estimate_tokens
from api_billing.metering.stores import Store, open_store

__all__ = [
    "Answer",
    "Budget",
    "ChargeEstimate",
    "Charged",
    "Exchange",
    "Identity",
    "Limit",
    "Meter",
    "MeteredRequest",
    "MeteredResponse",
    "Metering",
    "NotAllowed",
    "NotEstimable",
    "Quota",
    "Reservation",
    "Step",
    "Store",
    "Tier",
    "TokenPrice",
    "api_key",
    "by_processing_time",
    "by_response_size",
    "by_tokens",
    "configure_logging",
    "current_exchange",
    "estimate_tokens",
    "first_of",
    "fixed",
    "from_address",
    "from_header",
    "from_json_field",
    "from_query",
    "from_voucher",
    "open_store",
    "parse_limits",
]
