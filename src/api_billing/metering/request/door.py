"""What a request is asked for at the door: offers, challenges and problems of both payment protocols.

Nothing of them is stored. A challenge's id is bound to its terms by a secret of the meter; x402 has none, and what a
client accepted is compared with what is offered now.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from api_billing.metering.ledger.vouchers import ChannelSums
from api_billing.metering.request.http import MeteredRequest
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.payments import mpp, x402
from api_billing.payments.mpp import Challenge
from api_billing.payments.offers import Offer

Field = tuple[str, str]

EXPOSED: Final[Field] = (
    "access-control-expose-headers",
    "PAYMENT-REQUIRED, PAYMENT-RESPONSE, WWW-Authenticate, Payment-Receipt",
)
_MINUTE_MS: Final = 60_000
_VALID_MINUTES: Final = 5  # of a challenge, at least
_PERIOD_MS: Final = 3_600_000  # of a secret; the last one's challenges are good, too
_CACHED: Final = 1_024
_SESSION: Final = mpp.PROBLEMS + "session/"

# The problem types of answers to a credential: by code, or by the reason that it has.
_TYPES: Final[Mapping[str, str]] = {
    "payment_required": mpp.PROBLEMS + "payment-required",
    "several_payments": mpp.PROBLEMS + "bad-request",
    "malformed_credential": mpp.PROBLEMS + "malformed-credential",
    "invalid_payload": mpp.PROBLEMS + "invalid-payload",
    "invalid_challenge": mpp.PROBLEMS + "invalid-challenge",
    "offer_changed": mpp.PROBLEMS + "invalid-challenge",
    "payment_expired": mpp.PROBLEMS + "payment-expired",
    "no_session": _SESSION + "channel-not-found",
    "other_channel": _SESSION + "signer-mismatch",
    "bad_signature": _SESSION + "invalid-signature",
    "insufficient_credit": _SESSION + "amount-exceeds-deposit",
    "voucher_required": _SESSION + "insufficient-balance",
    "session_closing": _SESSION + "channel-finalized",
}
# What x402 calls them; the core's own reasons are whole.
_REASONS: Final[Mapping[str, str]] = {
    "payment_required": "Payment required",
    "several_payments": "invalid_payload",
    "malformed_payment": "invalid_payload",
    "offer_changed": "invalid_payment_requirements",
    "no_session": x402.REASONS + "channel_not_found",
    "other_channel": x402.REASONS + "channel_id_mismatch",
    "bad_signature": x402.REASONS + "voucher_signature",
    "insufficient_credit": x402.REASONS + "cumulative_exceeds_balance",
    "voucher_required": x402.REASONS + "cumulative_amount_mismatch",
    "cumulative_mismatch": x402.REASONS + "cumulative_amount_mismatch",
    "channel_busy": x402.REASONS + "channel_busy",
    "session_closing": x402.REASONS + "missing_channel",
    "deposit_refused": x402.REASONS + "deposit_payload",
    "refund_amount_invalid": x402.REASONS + "refund_amount_invalid",
    "serving": x402.REASONS + "channel_busy",
    "nothing_to_bill": x402.REASONS + "refund_no_balance",
}


class Receiver(NamedTuple):
    """Whom an API's vouchers pay, as the contract says."""

    operator: str
    asset: str
    chain_id: int


class Sent(NamedTuple):
    """A payment as it came: of which protocol, and whether in the field of its own that a challenge can ask for."""

    speaks: str
    value: str
    own_field: bool = False


class Asked(NamedTuple):
    """What the challenges to a request depend on, for as long as a minute."""

    offer: Offer
    url: str
    minute: int
    own_field: str  # that a credential comes in, where ``Authorization`` has something else
    by_mpp: bool


class Door:
    """What one meter asks for. Thread-safe. ``secret`` tells what ids of challenges are made with;
    no URL in them has the query parameter ``key_query``."""

    def __init__(
        self, protocols: tuple[str, ...], contract: str, secret: Callable[[], bytes], key_query: str = ""
    ) -> None:
        self.protocols = protocols
        self._contract = contract
        self._root = secret
        self._key_query = key_query
        self.offer = lru_cache(_CACHED)(self._made_offer)
        self._secret = lru_cache(4)(self._made_secret)
        self._challenge = lru_cache(_CACHED)(self._made_challenge)
        self._is_of = lru_cache(_CACHED)(self._was_made_in)
        self._answer = lru_cache(_CACHED)(self._made_answer)

    def _made_offer(self, api: str, amount_wei: int, receiver: Receiver) -> Offer:
        """What a request is asked for that costs so much; the least is 1 wei, as neither protocol can say 0."""
        amount_wei = max(1, amount_wei)
        return Offer(api, amount_wei, receiver.operator, self._contract, receiver.asset, receiver.chain_id)

    def sent(self, request: MeteredRequest) -> list[Sent]:
        """The payments that a request came with, of the protocols that are taken."""
        found, headers = list[Sent](), request.headers
        if "x402" in self.protocols:
            found += [Sent("x402", value) for value in headers.all("payment-signature")]
        if "mpp" in self.protocols:
            found += [Sent("mpp", value) for value in headers.all("authorization") if is_credential(value)]
            found += [Sent("mpp", value, True) for value in headers.all("payment-authorization")]
        return found

    def asks(self, request: MeteredRequest, offer: Offer) -> Asked:
        """What the challenges to this request are made of."""
        headers, protocols = request.headers, self.protocols
        values, preferences = headers.all("authorization"), headers.all("accept-payment")
        own_field = mpp.OWN_FIELD if values and not any(map(is_credential, values)) else ""
        # MPP's challenge is not sent to who says that it takes no such, while there is another.
        by_mpp = not preferences or protocols == ("mpp",) or mpp.takes_sessions(preferences[0])
        return Asked(offer, request.url(self._key_query), request.at_ms // _MINUTE_MS, own_field, by_mpp)

    def answer(self, asked: Asked, refusal: Refusal, speaks: str) -> Answer:
        """What is answered to what anybody can send: by its code and reason, the same one for a minute."""
        return self._answer(asked, refusal.code, refusal.reason, speaks)

    def refused(self, asked: Asked, refusal: Refusal, speaks: str, channel: ChannelSums | None = None) -> Refusal:
        """A refusal in the words of the protocol that the request speaks, with the challenges to answer where paying
        helps; ``channel`` is the one of the payment, when it was proven.
        """
        fields, extra = list[Field](), dict(refusal.extra)
        for protocol in self.protocols if refusal.status == 402 else ():
            if protocol == "mpp" and asked.by_mpp:
                challenge = self._challenge(asked.offer, asked.minute, asked.own_field)
                fields.append(("www-authenticate", challenge.value()))
                extra |= {"challengeId": challenge.id}
            elif protocol == "x402":
                fields += self._required(asked, refusal, speaks, channel)
        if refusal.status != 402 and speaks == "x402":
            fields.append(failed(reason_of(refusal), asked.offer.network))
        if speaks == "mpp" and "required_wei" in extra:
            extra |= {"requiredCumulative": extra["required_wei"], "acceptedCumulative": extra["signed_wei"]}
        exposed = (EXPOSED,) if fields else ()
        return replace(self.typed(refusal, speaks), extra=extra, fields=(*fields, *exposed))

    def typed(self, refusal: Refusal, speaks: str) -> Refusal:
        """A refusal with the problem type of MPP, where it answers that."""
        named = _TYPES.get(refusal.reason, _TYPES.get(refusal.code, ""))
        is_answer = speaks == "mpp" or (refusal.code == "payment_required" and "mpp" in self.protocols)
        return replace(refusal, type=named) if named and is_answer else refusal

    # --- challenges

    def refusal_of(self, challenge: Challenge, offer: Offer, at_ms: int, *, own_field: bool) -> Refusal | None:
        """Why a challenge is none that this request could answer, in the order of the draft."""
        periods = at_ms // _PERIOD_MS, at_ms // _PERIOD_MS - 1
        if not any(self._is_of(challenge, period) for period in periods):
            return Refusal("invalid_challenge")
        now = self._challenge(offer, at_ms // _MINUTE_MS, challenge.header)
        if challenge.realm != now.realm or bool(challenge.header) != own_field:
            return Refusal("invalid_challenge")
        if challenge.request != now.request:
            return Refusal("offer_changed")
        return Refusal("payment_expired") if challenge.expires_ms() <= at_ms else None

    def _was_made_in(self, challenge: Challenge, period: int) -> bool:
        return challenge.is_by(self._secret(period))

    def _made_secret(self, period: int) -> bytes:
        return hmac.digest(self._root(), f"challenges of period {period}".encode(), "sha256")

    def _made_challenge(self, offer: Offer, minute: int, header: str) -> Challenge:
        at_ms = minute * _MINUTE_MS
        expires_ms = at_ms + (1 + _VALID_MINUTES) * _MINUTE_MS
        return mpp.session_challenge(
            offer, expires_ms=expires_ms, secret=self._secret(at_ms // _PERIOD_MS), header=header
        )

    def _made_answer(self, asked: Asked, code: str, reason: str, speaks: str) -> Answer:
        return self.refused(asked, Refusal(code, reason=reason), speaks).answer()

    def _required(self, asked: Asked, refusal: Refusal, speaks: str, channel: ChannelSums | None) -> list[Field]:
        """x402's offer, with why the payment is refused; when it does not go on from what was charged, with that."""
        offer, reason = asked.offer, reason_of(refusal) if speaks == "x402" else ""
        state: dict[str, Any] = {}
        if reason.endswith("cumulative_amount_mismatch") and channel is not None:
            state["channelState"] = channel_state(channel)
            if channel.signature:
                signed = {"signedMaxClaimable": str(channel.signed_wei), "signature": channel.signature}
                state["voucherState"] = signed
            amount_wei = channel.required_wei(offer.amount_wei) - channel.charged_wei
            offer = replace(offer, amount_wei=amount_wei)
        value = x402.required_value([x402.requirements(offer, state)], asked.url, error=reason)
        fields = [(x402.REQUIRED_FIELD.lower(), value)]
        # Its clients take a response for the end of it, and do not correct what they believe.
        if reason and not reason.endswith(("cumulative_amount_mismatch", "channel_busy")):
            fields.append(failed(reason, offer.network))
        return fields


def is_credential(value: str) -> bool:
    """Whether a value of ``Authorization`` is of the scheme "Payment"."""
    return value.lstrip(" \t")[:8].rstrip(" \t").lower() == "payment"


def reason_of(refusal: Refusal) -> str:
    """What x402 calls it."""
    if refusal.reason.endswith("_mismatch"):
        return x402.REASONS + refusal.reason
    return _REASONS.get(refusal.reason, _REASONS.get(refusal.code, refusal.code))


def failed(reason: str, network: str) -> Field:
    """The ``PAYMENT-RESPONSE`` of a payment that was not taken."""
    members = {"success": False, "errorReason": reason, "transaction": "", "network": network}
    return (x402.RESPONSE_FIELD.lower(), x402.response_value(members))


def channel_state(channel: ChannelSums, free_wei: int = 0) -> dict[str, Any]:
    """A channel as x402 shows it; ``free_wei`` is what of the hold is neither charged nor set aside."""
    return {
        "channelId": channel.channel_id,
        "balance": str(channel.charged_wei + channel.reserved_wei + free_wei),
        "totalClaimed": str(channel.batched_wei),
        "withdrawRequestedAt": 0,
        "refundNonce": "0",
        "chargedCumulativeAmount": str(channel.charged_wei),
    }
