"""The Python client of x402 as its users have it: reads orders from stdin, writes what it saw to stdout, JSON a line.

Runs on `requirements/payment-clients.lock`; imports nothing of ours.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from eth_account import Account
from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import x402_requests
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
    FileChannelStorageOptions,
    FileClientChannelStorage,
)
from x402.mechanisms.evm.signers import EthAccountSigner

Done = dict[str, Any]


class WithIdentifier:
    """Names each payment, as the extension payment-identifier has it."""

    key = "payment-identifier"
    name = ""

    def enrich_payment_payload(self, payload: Any, required: Any) -> Any:
        extensions = json.loads(json.dumps(payload.extensions))
        extensions[self.key]["info"]["id"] = self.name
        return payload.model_copy(update={"extensions": extensions})


class WithChain:
    """A wallet that can read a chain: it answers for the constant contract what it is told."""

    def __init__(self, account: Any, told: list[str]) -> None:
        self.address, self._told = account.address, told

    def sign_typed_data(self, *args: Any) -> bytes:
        raise AssertionError("only the session's key signs")

    def read_contract(self, address: str, abi: Any, name: str, *args: Any) -> list[int]:
        assert name == "channels"
        return [int(each) for each in self._told]


def scheme_of(told: dict[str, Any]) -> BatchSettlementEvmScheme:
    """The scheme of a payer, with a key for its vouchers."""
    payer = Account.from_key(told["payer"])
    options = BatchSettlementEvmSchemeOptions(voucher_signer=EthAccountSigner(Account.from_key(told["signer"])))
    if "storage" in told:
        options.storage = FileClientChannelStorage(FileChannelStorageOptions(told["storage"]))
    options.salt = told.get("salt")
    if "deposits" not in told:
        options.deposit_strategy = lambda _: False
    return BatchSettlementEvmScheme(WithChain(payer, told["reads"]) if "reads" in told else payer, options)


def begun(told: dict[str, Any]) -> Callable[[dict[str, Any]], Done]:
    """A client that knows nothing yet; it takes orders."""
    scheme, identifier = scheme_of(told), WithIdentifier()
    client = x402ClientSync() if told["http"] == "requests" else x402Client()
    client.register("eip155:*", scheme)
    client.set_spend_controls(told["allow"])
    if "identifiers" in told:
        client.register_extension(identifier)

    async def asked(method: str, url: str, **given: Any) -> Any:
        async with x402HttpxClient(client, timeout=60) as http:
            return await http.request(method, url, **given)

    def obeyed(order: dict[str, Any]) -> Done:
        if "refund" in order:
            return scheme.refund(order["refund"]).model_dump(mode="json")
        identifier.name = order.get("identifier", f"payment_{id(order):016d}")
        line = order.get("method", "GET"), order["url"]
        given = {"headers": order.get("headers"), "json": order.get("json")}
        if told["http"] == "requests":
            with x402_requests(client) as http:
                answer = http.request(*line, **given)
        else:
            answer = asyncio.run(asked(*line, **given))
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return {"status": answer.status_code, "fields": fields, "body": answer.text}

    return obeyed


for line in sys.stdin:
    order = json.loads(line)
    done: Done = {}
    try:
        if "begin" in order:
            obey = begun(order["begin"])
        else:
            done = obey(order)
    except Exception as error:
        done = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(done), flush=True)
