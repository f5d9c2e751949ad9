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


class AnyModel(BaseModel):
    model_config = ConfigDict(extra="allow")


told = json.loads(sys.argv[1])
payer, signer = Account.from_key(told["payer"]), EthAccountSigner(Account.from_key(told["signer"]))
salt = told.get("salt", "0x" + 64 * "0")
spent, accepted = told.get("spent", 0), told.get("accepted", 0)
action = "voucher"


async def create_credential(params: CredentialParams) -> str:
    """One voucher that covers one more call, and is above all that was signed before: that may be public."""
    terms = params.challenge.request
    details = terms["methodDetails"]
    network = f"eip155:{details['chainId']}"
    parts = (payer.address, signer.address, terms["recipient"], details["escrowContract"], details["asset"])
    channel = compute_channel_id(ChannelConfig(*parts, details["withdrawDelay"], salt), network)
    cumulative = max(spent + (int(terms["amount"]) if action == "voucher" else 0), accepted + 1)
    signed = sign_voucher(signer, channel, cumulative, network)
    payload = {"action": action, "channelId": channel, "cumulativeAmount": str(cumulative), "salt": salt}
    if action == "open":
        payload["type"] = "hash"
    source = f"did:pkh:{network}:{payer.address}"
    payload["signature"] = signed.signature
    return Credential(params.challenge.to_echo(), payload, source).to_authorization()


async def asked(order: dict[str, Any]) -> dict[str, Any]:
    global spent, accepted, action
    action = order.get("action", "voucher")
    definition = Method(name="genlayer", intent="session", request_model=AnyModel, payload_model=AnyModel)
    async with Mpp(methods=[ClientMethod(method=definition, create_credential=create_credential)]) as mpp:
        answer = await mpp.fetch(
            order["url"], method=order.get("method", "GET"), headers=order.get("headers"), json=order.get("json")
        )
    if (value := answer.headers.get("payment-receipt")) is not None:
        assert Receipt.from_payment_receipt(value).status == "success"
        receipt = json.loads(base64.urlsafe_b64decode(value + "=="))  # pympp drops the members that a method adds
        spent, accepted = int(receipt["spent"]), int(receipt["acceptedCumulative"])
    fields = {name.lower(): value for name, value in answer.headers.items()}
    return {"status": answer.status_code, "fields": fields, "body": answer.text}


for line in sys.stdin:
    try:
        done = asyncio.run(asked(json.loads(line)))
    except Exception as error:
        done = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(done), flush=True)
