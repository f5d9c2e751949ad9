"""pympp with the smallest method `genlayer` that pays: reads orders from stdin, writes what it saw, JSON a line.

Runs on `requirements/payment-clients.lock`; imports nothing of ours. Vouchers are signed by the `x402` package.
"""

import asyncio
import base64
import json
import sys
from typing import Any

from eth_account import Account
from mpp import Credential, Receipt
from mpp.client import ClientMethod, CredentialParams, Method, Mpp
from pydantic import BaseModel, ConfigDict
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.batch_settlement.types import ChannelConfig
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
from x402.mechanisms.evm.signers import EthAccountSigner

SALT = "0x" + 64 * "0"


class AnyModel(BaseModel):
    model_config = ConfigDict(extra="allow")


class Session:
    """The method: what it signs, and what receipts have told it."""

    definition = Method(name="genlayer", intent="session", request_model=AnyModel, payload_model=AnyModel)

    def __init__(self, told: dict[str, Any]) -> None:
        self.payer = Account.from_key(told["payer"]).address
        self.signer = EthAccountSigner(Account.from_key(told["signer"]))
        self.spent = self.accepted = told.get("accepted", 0)
        self.required = 0
        self.action = "voucher"

    async def create_credential(self, params: CredentialParams) -> str:
        """One voucher that covers one more call, and is above all that was signed before: that may be public."""
        terms = params.challenge.request
        details = terms["methodDetails"]
        network = f"eip155:{details['chainId']}"
        parts = (self.payer, self.signer.address, terms["recipient"], details["escrowContract"], details["asset"])
        channel = compute_channel_id(ChannelConfig(*parts, details["withdrawDelay"], SALT), network)
        cumulative = self.spent + (int(terms["amount"]) if self.action == "voucher" else 0)
        signed = sign_voucher(self.signer, channel, max(cumulative, self.accepted + 1, self.required), network)
        payload = {"action": self.action, "channelId": channel, "cumulativeAmount": signed.max_claimable_amount}
        payload |= {"salt": SALT, "signature": signed.signature}
        source = f"did:pkh:{network}:{self.payer}"
        return Credential(params.challenge.to_echo(), payload, source).to_authorization()

    async def obeyed(self, order: dict[str, Any]) -> dict[str, Any]:
        done = await self.asked(order)
        if done["status"] == 402 and (required := json.loads(done["body"]).get("requiredCumulative")):
            self.required = int(required)  # a stream has cost what its headers could not tell
            done = await self.asked(order)
        return done

    async def asked(self, order: dict[str, Any]) -> dict[str, Any]:
        self.action = order.get("action", "voucher")
        method = ClientMethod(method=self.definition, create_credential=self.create_credential)
        async with Mpp(methods=[method]) as mpp:
            given = {"headers": order.get("headers"), "json": order.get("json")}
            answer = await mpp.fetch(order["url"], method=order.get("method", "GET"), timeout=60, **given)
        if (value := answer.headers.get("payment-receipt")) is not None:
            assert Receipt.from_payment_receipt(value).status == "success"
            receipt = json.loads(base64.urlsafe_b64decode(value + "=="))  # pympp drops what a method adds
            self.spent, self.accepted = int(receipt["spent"]), int(receipt["acceptedCumulative"])
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return {"status": answer.status_code, "fields": fields, "body": answer.text}


for line in sys.stdin:
    order = json.loads(line)
    done: dict[str, Any] = {}
    try:
        if "begin" in order:
            session = Session(order["begin"])
        else:
            done = asyncio.run(session.obeyed(order))
    except Exception as error:
        done = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(done), flush=True)
