"""Which payer a request has. Another kind is a ``Payer`` of its own, and a line here."""

from __future__ import annotations

from api_billing.metering.request.credit_payer import CreditPayer
from api_billing.metering.request.door_payer import DoorPayer
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.receipt_payer import ReceiptPayer
from api_billing.metering.request.receipts import receipt_of


def payer_of(metering: Metering, request: MeteredRequest) -> Payer:
    """The receipt that a request carries, where there is a contract that gives some; else the credit of who asks, or
    where payments are taken of who pays.
    """
    meter = metering.meter
    if meter.on_chain is not None:
        receipt = receipt_of(request, meter.settings)
        if meter.door is None:
            return CreditPayer(metering, request) if receipt is None else ReceiptPayer(metering, request, receipt)
        at_door = DoorPayer(metering, request, meter.door, meter.on_chain)
        if receipt is not None and meter.door.sent(request):
            # What is paid is no receipt's, whatever an API calls its own parameters.
            receipt = receipt_of(request, meter.settings, in_query=False)
        return at_door if receipt is None else ReceiptPayer(metering, request, receipt, asks=at_door)
    return CreditPayer(metering, request)
