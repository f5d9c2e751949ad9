"""The Python clients of x402 and MPP with our plugins: reads orders from stdin, writes what it saw, JSON a line.

Runs on `requirements/payment-clients.lock`, and on ours.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient

from api_billing.client import BillingClient
from api_billing.networks import find_network
from api_billing.payer import Wallet
from api_billing.payer.mpp import paying_mpp
from api_billing.payer.x402 import BatchSettlement

Done = dict[str, Any]


class Paying:
    """A payer that knows nothing yet, and has no session."""

    def __init__(self, told: dict[str, Any]) -> None:
        network, account = find_network("localnet", told["node"]), Account.from_key(told["payer"])
        client = BillingClient(network, contract=told["contract"], account=account)
        self.wallet = Wallet(client, file=Path(told["storage"]) / "payer.db")
        self.bounds, self.speaks = told["bounds"], told["speaks"]
        self.scheme = BatchSettlement(self.wallet, **self.bounds)

    async def obeyed(self, order: dict[str, Any]) -> Done:
        if self.speaks == "x402":
            async with x402HttpxClient(x402Client().register("eip155:*", self.scheme), timeout=60) as http:
                answer = await http.get(order["url"])
        else:
            async with paying_mpp(self.wallet, **self.bounds) as mpp:
                answer = await mpp.fetch(order["url"], timeout=60)
        return {"status": answer.status_code, "fields": dict(answer.headers), "body": answer.text}


for line in sys.stdin:
    order = json.loads(line)
    done: Done = {}
    try:
        if "begin" in order:
            paying = Paying(order["begin"])
        else:
            done = asyncio.run(paying.obeyed(order))
    except Exception as error:
        done = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(done), flush=True)
