"""Which payer a request has. Another kind is a ``Payer`` of its own, and a line here."""

from __future__ import annotations

from api_billing.metering.request.credit_payer import CreditPayer
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.receipt_payer import ReceiptPayer
from api_billing.metering.request.receipts import receipt_of


def payer_of(metering: Metering, request: MeteredRequest) -> Payer:
    """The receipt that a request carries, where there is a contract that gives some; else the credit of who asks."""
    if metering.meter.on_chain is not None:
        receipt = receipt_of(request, metering.meter.settings)
        if receipt is not None:
            return ReceiptPayer(metering, request, receipt)
    return CreditPayer(metering, request)
