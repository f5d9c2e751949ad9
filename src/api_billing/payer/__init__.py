"""Pay for metered APIs from a session on the billing contract, over x402 or MPP.

    wallet = Wallet(BillingClient("studionet", account=account))
    with PayingClient(wallet, max_wei_per_call=10**16, max_wei_a_day=10**18) as client:
        client.get("https://api.example/forecast")

Install `api-billing[payer]`. docs/paying.md is the whole of it.
"""

from api_billing.extras import needed_by

with needed_by("a paying client"):
    from api_billing.payer.httpx_client import PAYMENT, AsyncPayingClient, PayingClient
from api_billing.payer.book import Book
from api_billing.payer.paying import Payer, Payment
from api_billing.payer.requests_session import PayingSession
from api_billing.payer.rows import Bounds, Paid
from api_billing.payer.wallet import Wallet

__all__ = [
    "PAYMENT",
    "AsyncPayingClient",
    "Book",
    "Bounds",
    "Paid",
    "Payer",
    "PayingClient",
    "PayingSession",
    "Payment",
    "Wallet",
]
