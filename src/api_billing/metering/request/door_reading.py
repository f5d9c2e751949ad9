"""What a payment says, read and held to what was offered. Nothing of it is believed: no signature was looked at yet."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from api_billing.metering.request.door import Door, Sent
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.problems import Refusal
from api_billing.payments import mpp, x402
from api_billing.payments.encoding import NotReadable
from api_billing.payments.offers import Offer
from api_billing.vouchers import WITHDRAW_DELAY_SECONDS, Voucher

Action = Literal["pay", "keep", "open", "topUp", "close"]


_requirements: Final = lru_cache(1_024)(x402.requirements)


class Said(NamedTuple):
    """What a payment says, whichever protocol it is of. ``voucher`` is None where it is to be answered without."""

    action: Action
    payer: str
    channel_id: str
    voucher: Voucher | None
    challenge_id: str = ""
    payment_id: str = ""
    opens: bool = False  # the payer says that the session is new


def read_payment(sent: Sent, offer: Offer, door: Door, request: MeteredRequest) -> Said | Refusal:
    """What a payment says; a refusal where it cannot be read, or is none of this offer."""
    return _by_x402(sent, offer) if sent.speaks == "x402" else _by_mpp(sent, offer, door, request)


def _by_x402(sent: Sent, offer: Offer) -> Said | Refusal:
    try:
        paid = x402.read_payment(sent.value, offer.chain_id)
    except NotReadable:
        return Refusal("malformed_payment")
    if paid.kind == "deposit":
        return Refusal("deposit_refused")
    offered = _requirements(offer)
    # More than is asked for now may be the amount of an answer that corrected the client.
    is_this = x402.accepts({**paid.accepted, "amount": offered["amount"]}, offered)
    if not is_this or paid.accepted_wei < offer.amount_wei:
        return Refusal("offer_changed")
    channel = paid.channel
    for reason, given, ours in (
        ("receiver_mismatch", channel.receiver, offer.operator),
        ("receiver_authorizer_mismatch", channel.contract, offer.contract),
        ("token_mismatch", channel.asset, offer.asset),
        ("withdraw_delay_mismatch", str(paid.withdraw_delay), str(WITHDRAW_DELAY_SECONDS)),
    ):
        if given.lower() != ours.lower():
            return Refusal("invalid_voucher", reason=reason)
    if paid.refund_wei is not None:
        return Refusal("refund_amount_invalid")
    action: Action = "close" if paid.kind == "refund" else "pay"
    return Said(action, channel.payer, paid.channel_id, paid.voucher, payment_id=paid.payment_id)


def _by_mpp(sent: Sent, offer: Offer, door: Door, request: MeteredRequest) -> Said | Refusal:
    try:
        credential = mpp.read_credential(sent.value)
    except NotReadable:
        credential = None
    if credential is None:
        return Refusal("malformed_credential")
    try:
        refusal = door.refusal_of(credential.challenge, offer, request.at_ms, own_field=sent.own_field)
    except NotReadable:
        refusal = Refusal("invalid_challenge")
    if refusal is not None:
        return refusal
    try:
        said = mpp.session_payload(credential, offer.chain_id)
    except NotReadable:
        return Refusal("malformed_credential", reason="invalid_payload")
    action: Action = "pay"
    if said.action in ("topUp", "close"):
        action = said.action
    elif said.voucher is None or (said.action == "open" and not said.voucher.cumulative_wei):
        action = "open"
    elif request.method == "HEAD":
        action = "keep"
    opens = said.action == "open"
    return Said(action, said.payer, said.channel_id, said.voucher, credential.challenge.id, opens=opens)
