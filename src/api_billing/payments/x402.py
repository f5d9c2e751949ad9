"""x402, version 2, with scheme ``batch-settlement`` on EVM: its three header fields, read and written.

``PAYMENT-REQUIRED`` has the offers of a 402, ``PAYMENT-SIGNATURE`` what the client signed, ``PAYMENT-RESPONSE`` what
became of it. All are padded base64 of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from api_billing.errors import InvalidInput
from api_billing.payments.encoding import NotReadable, compact, from_base64, json_object, to_base64
from api_billing.payments.offers import Offer, address_in, wei_of, word_in
from api_billing.vouchers import WITHDRAW_DELAY_SECONDS, Channel, Voucher

VERSION: Final = 2
SCHEME: Final = "batch-settlement"
REQUIRED_FIELD: Final = "PAYMENT-REQUIRED"
SIGNATURE_FIELD: Final = "PAYMENT-SIGNATURE"
RESPONSE_FIELD: Final = "PAYMENT-RESPONSE"
IDENTIFIER: Final = "payment-identifier"
MAX_PAYMENT: Final = 8_192  # characters
MAX_ANSWER: Final = 65_536  # characters of what a server says
TIMEOUT_SECONDS: Final = 300
REASONS: Final = "invalid_batch_settlement_evm_"
Kind = Literal["voucher", "refund", "deposit"]
KINDS: Final = ("voucher", "refund", "deposit")

_IDENTIFIER: Final = re.compile("[A-Za-z0-9_-]{16,128}")
_NETWORK: Final = re.compile("eip155:[1-9][0-9]{0,15}")
_MAX_DELAY: Final = 2**40 - 1
_OF_CHANNEL: Final = ("payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token", "salt")
_EXACT: Final = ("scheme", "network", "amount", "payTo", "asset", "maxTimeoutSeconds")
_IDENTIFIER_SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "required": {"type": "boolean"},
        "id": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+$"},
    },
    "required": ["required"],
}


@dataclass(frozen=True, slots=True)
class Payment:
    """What a client sent: of which channel, a voucher in it, and the offer that it accepted.

    ``channel`` has the ids that the client says; whether they are those of an API, the server finds out.
    ``payment_id`` is that of the extension payment-identifier, empty without one.
    """

    kind: Kind
    channel: Channel
    channel_id: str
    withdraw_delay: int
    voucher: Voucher
    accepted: Mapping[str, Any]
    refund_wei: int | None = None
    payment_id: str = ""

    @property
    def accepted_wei(self) -> int:
        """The amount of the accepted offer."""
        return int(self.accepted["amount"])


# --- the server's side


def requirements(offer: Offer, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An offer as ``accepts`` has it; ``extra`` is the state of a channel, in a corrective 402."""
    return {
        "scheme": SCHEME,
        "network": offer.network,
        "amount": str(offer.amount_wei),
        "asset": offer.asset,
        "payTo": offer.operator,
        "maxTimeoutSeconds": TIMEOUT_SECONDS,
        "extra": {
            "receiverAuthorizer": offer.contract,
            "withdrawDelay": WITHDRAW_DELAY_SECONDS,
            "name": "GEN",
            "version": "1",
            **(extra or {}),
        },
    }


def required_value(accepts: Sequence[Mapping[str, Any]], url: str, *, error: str = "", description: str = "") -> str:
    """The value of ``PAYMENT-REQUIRED``, with the extension payment-identifier declared."""
    resource = {"url": url, "description": description} if description else {"url": url}
    message = {
        "x402Version": VERSION,
        "error": error or "Payment required",
        "resource": resource,
        "accepts": [{**each, "resource": url} for each in accepts],  # there version 1 has it, and its checkers ask
        "extensions": {IDENTIFIER: {"info": {"required": False}, "schema": _IDENTIFIER_SCHEMA}},
    }
    return to_base64(compact(message))


def read_payment(value: str, chain_id: int) -> Payment:
    """What a ``PAYMENT-SIGNATURE`` says. Raises: NotReadable for what is not of our scheme and exactly of its form."""
    message = _message(value, MAX_PAYMENT)
    accepted, payload = message.get("accepted"), message.get("payload")
    _check_version(message)
    if type(accepted) is not dict or type(payload) is not dict:
        raise NotReadable("the payment has no accepted offer or no payload")
    wei_of(accepted.get("amount"), "accepted amount")
    if payload.get("type") not in KINDS:
        raise NotReadable("type is none of batch-settlement")
    config, voucher = payload.get("channelConfig"), payload.get("voucher")
    if type(config) is not dict or type(voucher) is not dict:
        raise NotReadable("the payload has no channelConfig or no voucher")
    delay, of_channel = config.get("withdrawDelay"), [config.get(name) for name in _OF_CHANNEL]
    if type(delay) is not int or not 0 <= delay <= _MAX_DELAY:
        raise NotReadable("withdrawDelay is no number of seconds")
    if not all(type(each) is str for each in of_channel):
        raise NotReadable("channelConfig lacks what a channel has")
    channel = _channel(chain_id, *of_channel)
    try:
        signed = Voucher(
            channel.salt, wei_of(voucher.get("maxClaimableAmount"), "maxClaimableAmount"), voucher.get("signature", "")
        )
    except InvalidInput as error:
        raise NotReadable("the signature of the voucher is none") from error
    refund = payload.get("amount")
    return Payment(
        payload["type"],
        channel,
        word_in(voucher.get("channelId"), "channelId"),
        delay,
        signed,
        accepted,
        None if refund is None else wei_of(refund, "amount"),
        _identifier(message.get("extensions")),
    )


def accepts(accepted: Mapping[str, Any], offered: Mapping[str, Any]) -> bool:
    """Whether what a client accepted is this offer: all of it exactly, and at least its ``extra``. Addresses count by
    their bytes.
    """
    extra = accepted.get("extra")
    return (
        all(_same(accepted.get(name), offered[name]) for name in _EXACT)
        and type(extra) is dict
        and all(_same(extra.get(name), value) for name, value in offered["extra"].items())
    )


def response_value(members: Mapping[str, Any]) -> str:
    """The value of ``PAYMENT-RESPONSE``."""
    return to_base64(compact(members))


# --- the client's side


def offers_in(value: str) -> tuple[list[tuple[Offer, dict[str, Any]]], dict[str, Any]]:
    """The offers of a ``PAYMENT-REQUIRED`` that our scheme can pay, each with its wire form, and the whole message.

    The API's name is not in them: it is in the asset. What is offered of other schemes, networks and delays is passed
    over. Raises: NotReadable.
    """
    message = _message(value, MAX_ANSWER)
    listed = message.get("accepts")
    _check_version(message)
    if type(listed) is not list:
        raise NotReadable("the answer lists no offers")
    return [(_offer(each), each) for each in listed if _is_of_sessions(each)], message


def payment_value(
    channel: Channel, voucher: Voucher, accepted: Mapping[str, Any], *, resource: Any = None, payment_id: str = "",
    kind: Kind = "voucher",
) -> str:  # fmt: skip
    """The value of ``PAYMENT-SIGNATURE``."""
    config = {
        "payer": channel.payer,
        "payerAuthorizer": channel.signer,
        "receiver": channel.receiver,
        "receiverAuthorizer": channel.contract,
        "token": channel.asset,
        "withdrawDelay": WITHDRAW_DELAY_SECONDS,
        "salt": channel.salt,
    }
    signed = {
        "channelId": channel.id,
        "maxClaimableAmount": str(voucher.cumulative_wei),
        "signature": voucher.signature,
    }
    message: dict[str, Any] = {"x402Version": VERSION}
    message["payload"] = {"type": kind, "channelConfig": config, "voucher": signed}
    message["accepted"] = accepted
    if resource is not None:
        message["resource"] = resource
    if payment_id:
        info = {"required": False, "id": payment_id}
        message["extensions"] = {IDENTIFIER: {"info": info, "schema": _IDENTIFIER_SCHEMA}}
    return to_base64(compact(message))


def read_response(value: str) -> dict[str, Any]:
    """What a ``PAYMENT-RESPONSE`` says. Raises: NotReadable."""
    members = _message(value, MAX_ANSWER)
    if type(members.get("success")) is not bool:
        raise NotReadable("this is no response to a payment")
    return members


# --- parts


def _message(value: str, most: int) -> dict[str, Any]:
    if len(value) > most:
        raise NotReadable("the field is too long")
    return json_object(from_base64(value.strip(" \t")))


def _check_version(message: Mapping[str, Any]) -> None:
    if type(message.get("x402Version")) is not int or message["x402Version"] != VERSION:
        raise NotReadable("x402Version is not 2")


def _is_of_sessions(listed: Any) -> bool:
    if type(listed) is not dict or listed.get("scheme") != SCHEME or type(listed.get("extra")) is not dict:
        return False
    network, delay = listed.get("network"), listed["extra"].get("withdrawDelay")
    return type(network) is str and bool(_NETWORK.fullmatch(network)) and delay == WITHDRAW_DELAY_SECONDS


def _offer(listed: Mapping[str, Any]) -> Offer:
    return Offer(
        "",
        wei_of(listed.get("amount"), "amount"),
        address_in(listed.get("payTo"), "payTo"),
        address_in(listed["extra"].get("receiverAuthorizer"), "receiverAuthorizer"),
        address_in(listed.get("asset"), "asset"),
        int(listed["network"].removeprefix("eip155:")),
    )


@lru_cache(1_024)  # a channel's payments say the same of it
def _channel(chain_id: int, *said: str) -> Channel:
    *addresses, salt = zip(_OF_CHANNEL, said, strict=True)
    payer, signer, receiver, contract, asset = (address_in(text, name) for name, text in addresses)
    return Channel(payer, signer, receiver, contract, asset, chain_id, word_in(salt[1], "salt"))


def _identifier(extensions: Any) -> str:
    if extensions is None:
        return ""
    declared = extensions.get(IDENTIFIER) if type(extensions) is dict else extensions
    if declared is None:
        return ""
    info = declared.get("info") if type(declared) is dict else None
    found = info.get("id", "") if type(info) is dict else None
    if type(found) is not str or (found and not _IDENTIFIER.fullmatch(found)):
        raise NotReadable("the payment's identifier is none")
    return found


def _same(given: Any, offered: Any) -> bool:
    if type(given) is not type(offered):
        return False
    if type(offered) is str and offered.startswith("0x"):
        return bool(given.lower() == offered.lower())
    return bool(given == offered)
