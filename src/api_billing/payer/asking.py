"""What a 402 asks for, in the words of either protocol: the offer, what answers it, and what a receipt of it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from api_billing.errors import NotPayable
from api_billing.payer.rows import Spending
from api_billing.payments import mpp, x402
from api_billing.payments.encoding import NotReadable, json_object
from api_billing.payments.offers import Offer, wei_of, word_in
from api_billing.vouchers import Voucher

Protocol = Literal["mpp", "x402"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("mpp", "x402")
MAX_BODY: Final = 65_536  # bytes of a 402 that are read
_MAX_OFFERS: Final = 8  # of a 402 that are looked at
_MAX_REASON: Final = 200
_RECEIPT: Final = "Payment-Receipt"
_COST: Final = "X-Cost-Wei"


class Reply(NamedTuple):
    """A response as far as payments go. ``body`` is that of a 402, empty for any other."""

    status: int
    values: Callable[[str], Sequence[str]]
    body: bytes = b""

    def value(self, name: str) -> str:
        """The one value of a field; empty without it, and where it is there twice."""
        found = self.values(name)
        return found[0] if len(found) == 1 else ""


class Receipt(NamedTuple):
    """What a server says: charged of the channel in all, and for this one; None where it does not say that."""

    total_wei: int
    cost_wei: int | None
    members: Mapping[str, Any]


class Correction(NamedTuple):
    """Where an x402 channel is by the server's books, with the proof that it has, and for how much to sign there."""

    charged_wei: int
    required_wei: int
    proof: Voucher | None


@dataclass(frozen=True, slots=True)
class MppAsked:
    """A challenge of MPP."""

    offer: Offer
    challenge: mpp.Challenge
    name: Protocol = "mpp"
    is_exact: bool = False

    def fields(self, spending: Spending, action: mpp.Action = "voucher") -> dict[str, str]:
        """The header field that pays."""
        payload = mpp.voucher_payload(spending.channel.id, spending.voucher, action)
        source = mpp.source_of(spending.channel.chain_id, spending.channel.payer)
        return {self.challenge.header or "Authorization": mpp.Credential(self.challenge, payload, source).value()}

    def required_wei(self, reply: Reply) -> int | None:
        """The sum that a voucher has to be for, by the problem that a 402 tells: 0 where that is another one, None
        where it tells nothing, as in an answer to HEAD.
        """
        try:
            problem = json_object(reply.body)
            if "requiredCumulative" in problem:
                return wei_of(problem["requiredCumulative"], "requiredCumulative")
        except NotReadable:
            return None
        return 0 if {"type", "code"} & problem.keys() else None

    def receipt(self, reply: Reply, spending: Spending) -> Receipt | None:
        """The receipt of a response; None without one. Raises: NotReadable."""
        value = reply.value(_RECEIPT)
        if not value:
            return None
        return receipt_of(mpp.read_receipt(value), spending)._replace(cost_wei=cost_of(reply))


@dataclass(frozen=True, slots=True)
class X402Asked:
    """An offer of x402, as it was on the wire."""

    offer: Offer
    accepted: Mapping[str, Any]
    resource: Any = None
    name: Protocol = "x402"
    is_exact: bool = True

    def fields(self, spending: Spending, action: mpp.Action = "voucher") -> dict[str, str]:
        """The header field that pays."""
        kind: x402.Kind = "refund" if action == "close" else "voucher"
        value = x402.payment_value(spending.channel, spending.voucher, self.accepted, resource=self.resource, kind=kind)
        return {x402.SIGNATURE_FIELD: value}

    def correction(self, spending: Spending) -> Correction | None:
        """Where the channel is by the server's books, when this offer says it. Raises: NotReadable."""
        extra = self.accepted["extra"]
        state, signed = extra.get("channelState"), extra.get("voucherState")
        if type(state) is not dict or word_in(state.get("channelId"), "channelId") != spending.channel.id:
            return None
        charged_wei = wei_of(state.get("chargedCumulativeAmount"), "chargedCumulativeAmount")
        proof = None
        if type(signed) is dict:
            signed_wei, signature = (
                wei_of(signed.get("signedMaxClaimable"), "signedMaxClaimable"),
                signed.get("signature"),
            )
            try:
                proof = Voucher(spending.channel.salt, signed_wei, signature) if type(signature) is str else None
            except ValueError as error:
                raise NotReadable("the signature of the voucher is none") from error
        return Correction(charged_wei, charged_wei + self.offer.amount_wei, proof)

    def receipt(self, reply: Reply, spending: Spending) -> Receipt | None:
        """The receipt of a response; None without one. Raises: NotReadable."""
        value = reply.value(x402.RESPONSE_FIELD)
        members = x402.read_response(value) if value else {}
        if not members.get("success"):
            return None
        return receipt_in(members.get("extra"), members, spending)


Asked = MppAsked | X402Asked


@dataclass(slots=True)
class Reading:
    """What was found in a 402: what can be answered, in the order that it is to be tried, and why not the rest."""

    found: list[Asked] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def receipt_in(extra: Any, members: Mapping[str, Any], spending: Spending) -> Receipt:
    """The receipt in the ``extra`` of an answer of x402. Raises: NotReadable."""
    state = extra.get("channelState") if type(extra) is dict else None
    if type(extra) is not dict or type(state) is not dict:
        raise NotReadable("the receipt does not say what was charged")
    if word_in(state.get("channelId"), "channelId") != spending.channel.id:
        raise NotReadable("the receipt is of another channel")
    total_wei = wei_of(state.get("chargedCumulativeAmount"), "chargedCumulativeAmount")
    charged = extra.get("chargedAmount")  # a refund has none
    return Receipt(total_wei, None if charged is None else wei_of(charged, "chargedAmount"), members)


def receipt_of(members: Mapping[str, Any], spending: Spending) -> Receipt:
    """A receipt of MPP: also that of an event of a stream. It says what is charged of the channel, not for what.

    Raises: NotReadable.
    """
    if members.get("method") != mpp.METHOD or str(members.get("reference")).lower() != spending.channel.id:
        raise NotReadable("the receipt is of another channel")
    return Receipt(wei_of(members.get("spent"), "spent"), None, members)


def cost_of(reply: Reply) -> int | None:
    """What a response says that it cost, or at most costs where it goes on; None where it does not say that.

    Raises: NotReadable.
    """
    value = reply.value(_COST)
    return wei_of(value, _COST) if value else None


def read(reply: Reply, protocols: Sequence[Protocol], *, now_ms: int, has_authorization: bool) -> Reading:
    """What a 402 asks for, in the order of ``protocols``; nothing where it asks for no payment."""
    reading = Reading()
    for each in protocols:
        try:
            if each == "mpp":
                _read_mpp(reply, reading, now_ms, has_authorization)
            else:
                _read_x402(reply, reading)
        except NotReadable as error:
            reading.reasons.append(f"{each}: {error}")
    return reading


def checked(reading: Reading, check: Callable[[Offer], Offer]) -> Asked | None:
    """The first that a wallet can pay; None where nothing is asked for. Raises: NotPayable, with all reasons."""
    reasons = list(reading.reasons)
    for asked in reading.found[:_MAX_OFFERS]:
        try:
            offer = check(asked.offer)
        except NotPayable as error:
            reasons.append(f"{asked.name}: {error}")
        else:
            if isinstance(asked, MppAsked):
                return MppAsked(offer, asked.challenge)
            return X402Asked(offer, asked.accepted, asked.resource)
    if reasons:
        told = list(dict.fromkeys(reasons))[:_MAX_OFFERS]
        raise NotPayable(f"what is asked for cannot be paid: {'; '.join(each[:_MAX_REASON] for each in told)}")
    return None


def _read_mpp(reply: Reply, reading: Reading, now_ms: int, has_authorization: bool) -> None:
    for challenge in mpp.challenges_in(reply.values("WWW-Authenticate")):
        if (challenge.method, challenge.intent) != (mpp.METHOD, mpp.INTENT):
            reading.reasons.append(f"mpp: {challenge.method[:20]}/{challenge.intent[:20]} is not genlayer/session")
        elif challenge.expires_ms() <= now_ms:
            reading.reasons.append("mpp: the challenge has expired")
        elif has_authorization and not challenge.header:
            reading.reasons.append("mpp: the field Authorization is in use")
        else:
            reading.found.append(MppAsked(mpp.offer_of(challenge), challenge))


def _read_x402(reply: Reply, reading: Reading) -> None:
    value = reply.value(x402.REQUIRED_FIELD)
    if not value:
        return
    offers, message = x402.offers_in(value)
    if not offers:
        reading.reasons.append(f"x402: nothing of scheme {x402.SCHEME} is offered")
    reading.found += [X402Asked(offer, accepted, message.get("resource")) for offer, accepted in offers]
