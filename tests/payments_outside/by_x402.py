"""The Python client of x402 as its users have it: reads orders from stdin, writes what it saw to stdout, JSON a line.

Runs on `requirements/payment-clients.lock`; imports nothing of ours.
"""

import asyncio
import base64
import json
import sys
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


class WithIdentifier:
    """Names each payment, as the extension payment-identifier has it."""

    key = "payment-identifier"
    name = ""

    def enrich_payment_payload(self, payload: Any, required: Any) -> Any:
        extensions = json.loads(json.dumps(payload.extensions or {}))
        extensions[self.key]["info"]["id"] = self.name
        return payload.model_copy(update={"extensions": extensions})


class WithChain:
    """A wallet that can read a chain: it answers for the constant contract what it is told."""

    def __init__(self, account: Any, told: list[str]) -> None:
        self.address, self._account, self._told = account.address, account, told

    def sign_typed_data(self, *args: Any) -> bytes:
        raise AssertionError("only the session's key signs")

    def read_contract(self, address: str, abi: Any, name: str, *args: Any) -> list[int]:
        assert name == "channels"
        return [int(each) for each in self._told]


def main() -> None:
    told = json.loads(sys.argv[1])
    payer, signer = Account.from_key(told["payer"]), Account.from_key(told["signer"])
    options = BatchSettlementEvmSchemeOptions(voucher_signer=EthAccountSigner(signer))
    if told.get("storage"):
        options.storage = FileClientChannelStorage(FileChannelStorageOptions(told["storage"]))
    if told.get("salt"):
        options.salt = told["salt"]
    if not told.get("deposits"):
        options.deposit_strategy = lambda _: False
    scheme = BatchSettlementEvmScheme(WithChain(payer, told["reads"]) if told.get("reads") else payer, options)
    identifier = WithIdentifier()
    client = x402ClientSync() if told["http"] == "requests" else x402Client()
    client.register("eip155:*", scheme)
    if "allow" in told:
        client.set_spend_controls(told["allow"])
    if told.get("identifiers"):
        client.register_extension(identifier)

    async def asked(order: dict[str, Any]) -> dict[str, Any]:
        async with x402HttpxClient(client, timeout=60) as http:
            answer = await http.request(
                order.get("method", "GET"), order["url"], headers=order.get("headers"), json=order.get("json")
            )
            return seen(answer)

    def seen(answer: Any) -> dict[str, Any]:
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return {"status": answer.status_code, "fields": fields, "body": answer.text}

    for line in sys.stdin:
        order = json.loads(line)
        identifier.name = order.get("identifier") or "pay_" + base64.b16encode(line.encode()).decode()[:40]
        try:
            if "refund" in order:
                done = scheme.refund(order["refund"]).model_dump(mode="json")
            elif told["http"] == "requests":
                with x402_requests(client) as http:
                    done = seen(
                        http.request(
                            order.get("method", "GET"),
                            order["url"],
                            headers=order.get("headers"),
                            json=order.get("json"),
                        )
                    )
            else:
                done = asyncio.run(asked(order))
        except Exception as error:
            done = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(done), flush=True)


main()
