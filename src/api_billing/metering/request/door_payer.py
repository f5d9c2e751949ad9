"""Payment at the door: a voucher of a session, as x402 or MPP bring it, instead of an identity that is known.

A request with neither is asked for payment. Who comes with an identity pays by its credit, as without a door; only who
has a session is asked for a voucher with each request.
"""

from __future__ import annotations

from typing import Any, Final

from api_billing.metering.ledger.operations import (
    Claim,
    ClaimMismatch,
    GetRecord,
    Record,
    Refused,
    Replay,
    Reserve,
    Reserved,
    ReserveReply,
    Settle,
    Settled,
)
from api_billing.metering.ledger.session_operations import CloseByVoucher, NotPut, ReadSession
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.credit_payer import CreditPayer
from api_billing.metering.request.door import EXPOSED, Door, channel_state
from api_billing.metering.request.door_reading import Said, read_payment
from api_billing.metering.request.http import MeteredRequest, MeteredResponse
from api_billing.metering.request.identity import Identity
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.prices import Priced
from api_billing.metering.request.problems import Answer, Refusal, by_channel
from api_billing.metering.request.request_meter import Admitted, ChainSide
from api_billing.metering.stores.steps import Steps
from api_billing.payments import mpp, x402
from api_billing.payments.offers import Offer

# Of who came with an identity, or a receipt: what paying at the door helps against.
_ASKS: Final = frozenset(
    {"voucher_required", "invalid_voucher", "too_many_channels", "session_closing", "invalid_receipt"}
)
# What it takes no challenge of ours for to be refused so.
_BY_ANYBODY: Final = frozenset({"payment_required", "malformed_payment", "malformed_credential", "invalid_challenge"})
_TIER: Final = "enterprise"  # of who pays and is new, where the settings name none: the plan on the chain limits it


class DoorPayer(CreditPayer):
    """Who pays at the door, or else the credit of the consumer whom the request names."""

    __slots__ = ("_door", "_free_wei", "_is_nobody", "_offer", "_on_chain", "_paid", "_said", "_tier")

    def __init__(
        self,
        metering: Metering,
        request: MeteredRequest,
        door: Door,
        on_chain: ChainSide,
        remote_id: str | None = None,
        claim: Claim | None = None,
    ) -> None:
        super().__init__(metering, request, remote_id, claim)
        self._door = door
        self._on_chain = on_chain
        self._offer: Offer | None = None
        self._said: Said | None = None
        self._tier = ""
        self._is_nobody = False
        self._free_wei = 0
        self._paid: ChannelSums | None = None  # by MPP, and it is settled

    @property
    def may_go_unmetered(self) -> bool:
        """Not who pays by voucher, which nothing would cover, nor who is nobody."""
        return super().may_go_unmetered and not (self.speaks or self._is_nobody)

    # --- reserving

    def reserve(self) -> Steps[ReserveReply | Refusal | Answer]:
        sent = self._door.sent(self.request)
        if not sent:
            return (yield from self._unpaid())
        self.speaks = sent[0].speaks
        if len(sent) > 1 or "," in sent[0].value:  # a server may have joined fields of one name
            return Refusal("several_payments")
        identity = yield from self.identify()
        if isinstance(identity, Refusal):
            if identity.code != "missing_identity":
                return identity
        elif identity.voucher is not None:
            return Refusal("several_payments")
        if (cannot := (yield from self.make_offer())) is not None:
            return cannot
        assert self._offer is not None
        said = read_payment(sent[0], self._offer, self._door, self.request)
        if isinstance(said, Refusal):
            return said
        self._said = said
        if isinstance(identity, Identity) and identity.consumer == said.payer:
            self._tier = identity.tier
        if said.action != "pay":
            return (yield from self._manage(said))
        new_consumers = self.metering.meter.settings.new_consumers
        reply = yield from self.reserve_as(self._who, _TIER if new_consumers == "refuse" else "")
        return (yield from self._replayed(reply)) if isinstance(reply, Replay) else reply

    def _unpaid(self) -> Steps[ReserveReply | Refusal | Answer]:
        reply = yield from super().reserve()
        if isinstance(reply, Refusal) and reply.code in ("missing_identity", "insufficient_credit"):  # of who is nobody
            self._is_nobody = True
            reply = Refusal("payment_required")
        if isinstance(reply, Refusal | Refused) and reply.code in {"payment_required", *_ASKS}:
            cannot = yield from self.make_offer(is_estimated=self.plan is not None)
            return cannot or reply
        return reply

    def make_offer(self, *, is_estimated: bool = False) -> Steps[Refusal | None]:
        """Find out what the request is asked for. Raises: CreditUnavailable, StoreUnavailable."""
        if not is_estimated and (cannot := (yield from self.tell_estimate())) is not None:
            return cannot
        receiver = yield from self._on_chain.receiver(self.metering.api)
        self._offer = self._door.offer(self.metering.api, self.estimate_wei, receiver)
        return None

    def estimate(self) -> Steps[Refusal | None]:
        if self._said is None or self._offer is None:
            return (yield from super().estimate())
        self.estimate_wei = self._offer.amount_wei
        return (yield from self.tell_names())

    def keys(self) -> list[str]:
        found, payment_id = super().keys(), "" if self._said is None else self._said.payment_id
        return found if not payment_id or found == [payment_id] else [*found, payment_id]

    def _who(self) -> Steps[Identity | Refusal]:
        yield from ()
        assert self._said is not None
        return Identity(self._said.payer, self._tier, voucher=self._said.voucher)

    def prove(self, identity: Identity) -> Steps[Refusal | None]:
        if self._said is None:
            return (yield from super().prove(identity))
        self.session = BySession("")  # whatever comes of it
        found = yield from self._check(self._said)
        if isinstance(found, Refusal) and self._said.opens:
            yield from self._on_chain.look_again(self.metering.api, self._said.payer)
            found = yield from self._check(self._said)
        if isinstance(found, Refusal):
            return found
        self.session = found._replace(exact=self.speaks == "x402")
        return None

    def admission(self, on_chain: ChainSide) -> Steps[Admitted | Refusal]:
        found = yield from super().admission(on_chain)
        if self._said is not None and isinstance(found, Refusal) and found.reason == "not_final":
            # Who pays has waited until it is.
            yield from on_chain.look_again(self.metering.api, self.consumer, is_proven=True)
            found = yield from super().admission(on_chain)
        return found

    def _check(self, said: Said) -> Steps[BySession | Refusal]:
        assert said.voucher is not None
        check = self._on_chain.check_voucher(self.metering.api, said.payer, said.voucher, said.channel_id)
        return (yield from check)

    def ask(self, *args: Any, **given: Any) -> Steps[ReserveReply]:
        reply = yield from super().ask(*args, **given)
        if isinstance(reply, Reserved):
            self._free_wei = reply.balance.free_wei
        return reply

    # --- what is answered without serving

    def _manage(self, said: Said) -> Steps[Refusal | Answer]:
        api, channel = self.metering.api, None
        if said.action in ("open", "topUp") and not (yield from self._on_chain.look_again(api, said.payer)):
            return Refusal("invalid_voucher", reason="no_session")
        if said.voucher is not None:
            by = yield from self._check(said)
            if isinstance(by, Refusal):
                return by
            self.consumer = said.payer
            found = yield from (self._close(by) if said.action == "close" else self._on_chain.keep(api, said.payer, by))
            if isinstance(found, Refusal):
                return found
            channel = found
            if 0 < found.posted_wei >= by.cumulative_wei and said.action != "close":
                # Anybody has a public voucher: it adds nothing, and who shows it has proven nothing.
                if said.action == "keep":
                    self.channel = found.told_to(by.cumulative_wei)
                    return by_channel("voucher_required", self.channel, 0)
                channel = None
        return self._managed(said, channel)

    def _close(self, by: BySession) -> Steps[ChannelSums | Refusal]:
        """Close the session, where a settlement is left to do it: by a voucher that is not public."""
        account = self.metering.meter.account_of(self.metering.api, self.consumer)
        session: SessionState | None = yield ReadSession(account)
        channels = () if session is None else session.channels
        is_closing = session is not None and session.is_closing
        if not (is_closing or any(each.reserved_wei or each.batched_wei < each.charged_wei for each in channels)):
            return Refusal("nothing_to_bill")
        closed: SessionState | NotPut = yield CloseByVoucher(account, by)
        if isinstance(closed, NotPut):
            if closed.channel is None:
                return Refusal("invalid_voucher" if closed.code == "no_session" else closed.code)
            self.channel = closed.channel
            return by_channel(closed.code, closed.channel, 0)
        if not closed.is_closing:
            return Refusal("nothing_to_bill")
        if any(each.reserved_wei for each in closed.channels):
            return Refusal("serving")  # which may cost nothing: then no settlement closes anything
        return _of_channel(closed, by.channel_id) or ChannelSums(by.channel_id)

    def _managed(self, said: Said, channel: ChannelSums | None) -> Answer:
        offer = self._offer
        assert offer is not None
        fields = [("cache-control", "private"), EXPOSED]
        if self.speaks == "mpp":
            members = self._receipt(said, channel) | ({"final": True} if said.action == "close" else {})
            return Answer(204, (*fields, ("payment-receipt", mpp.receipt_value(members))), b"")
        assert channel is not None
        body = b"{}"
        fields += [("content-type", "application/json"), ("content-length", str(len(body)))]
        return Answer(200, (*fields, self._response(said, channel, None)), body)

    # --- receipts

    def begun_fields(self, status: int = 200) -> Fields:
        said, channel = self._said, self.channel
        if said is None or channel is None or status in self.metering.meter.free_statuses:
            return super().begun_fields(status)
        if self.speaks == "x402":
            if self.told_wei is None:  # of a stream, which can cost more than its price (``Exchange.extend``)
                self.told_wei = self.estimate_wei
            charged = channel._replace(charged_wei=channel.charged_wei + self.told_wei)
            return [*super().begun_fields(status), *self._receipts(status, charged, self.told_wei)]
        return [*super().begun_fields(status), *self._receipts(status, channel, 0)]

    def price(self, response: MeteredResponse) -> Steps[Priced]:
        if self.told_wei is None:
            return (yield from super().price(response))
        return Priced(self.told_wei)

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        fields = super().settled(reserve, settle, reply)
        said, channel = self._said, reply.channel
        if said is None or channel is None:
            return fields
        self.channel, self._free_wei = channel, reply.balance.free_wei
        if self.speaks == "mpp":
            self._paid = channel
        return [*fields, *self._receipts(settle.outcome.status, channel, reply.charged_wei)]

    def receipt_event(self) -> dict[str, Any] | None:
        return None if self._paid is None or self._said is None else self._receipt(self._said, self._paid)

    def need_voucher(self, refused: Refused, estimate_wei: int) -> dict[str, Any] | None:
        channel = refused.channel
        if self.speaks != "mpp" or refused.code != "voucher_required" or channel is None:
            return None
        more_wei = estimate_wei - self.estimate_wei
        deposit_wei = channel.charged_wei + channel.reserved_wei + refused.balance.free_wei
        return {
            "channelId": channel.channel_id,
            "requiredCumulative": str(channel.required_wei(more_wei)),
            "acceptedCumulative": str(channel.signed_wei),
            "deposit": str(deposit_wei),
        }

    def _receipts(self, status: int, channel: ChannelSums, charged_wei: int) -> Fields:
        """MPP has receipts of successes only. Over x402 whatever was charged has one, as the next voucher goes on from
        there.
        """
        assert self._said is not None
        fields = [("cache-control", "private"), EXPOSED]
        if self.speaks == "x402":
            return [*fields, self._response(self._said, channel, charged_wei)]
        if not 200 <= status < 300:
            return fields
        return [*fields, ("payment-receipt", mpp.receipt_value(self._receipt(self._said, channel)))]

    def _receipt(self, said: Said, channel: ChannelSums | None) -> dict[str, Any]:
        """MPP's receipt; of who has proven nothing without the sums, which are nobody else's business."""
        assert self._offer is not None
        members = {
            "status": "success",
            "method": mpp.METHOD,
            "intent": mpp.INTENT,
            "timestamp": mpp.instant_of(self.metering.meter.now_ms() // 1000),
            "reference": said.channel_id,
            "channelId": said.channel_id,
            "challengeId": said.challenge_id,
            "chainId": self._offer.chain_id,
        }
        if channel is None:
            return members
        return {**members, "acceptedCumulative": str(channel.signed_wei), "spent": str(channel.charged_wei)}

    def _response(self, said: Said, channel: ChannelSums, charged_wei: int | None) -> tuple[str, str]:
        assert self._offer is not None
        state = channel_state(channel, self._free_wei)
        charged = {} if charged_wei is None else {"chargedAmount": str(charged_wei)}
        members = {
            "success": True,
            "payer": said.payer,
            "transaction": "",
            "network": self._offer.network,
            "amount": "",
            "extra": {**charged, "channelState": state},
        }
        return x402.RESPONSE_FIELD.lower(), x402.response_value(members)

    def _replayed(self, reply: Replay) -> Steps[ReserveReply | Answer]:
        """A stored response, with the receipt of what it cost then."""
        answer = super().answer(reply)
        record: Record | None = yield GetRecord(reply.reservation_id)
        session: SessionState | None = yield ReadSession(
            self.metering.meter.account_of(self.metering.api, self.consumer)
        )
        assert self._said is not None
        channel = _of_channel(session, self._said.channel_id)
        if reply.response.status != answer.status:
            return answer
        fields: Fields = [("cache-control", "private")]
        if channel is not None and record is not None:
            fields = self._receipts(answer.status, channel, record.charged_wei)
        return answer._replace(headers=(*answer.headers, *fields))

    # --- refusing

    def refusal(self, reply: ReserveReply | Refusal) -> Refusal:
        if isinstance(reply, ClaimMismatch) and self._said is not None and self._said.payment_id:
            return Refusal("payment_id_reused")
        return super().refusal(reply)

    def refuse(self, refusal: Refusal) -> Answer:
        asked = None if self._offer is None else self._door.asks(self.request, self._offer)
        if asked is not None and refusal.code in _BY_ANYBODY:
            # And as often as they like: no record of each.
            self.metering.meter.metrics.refused(self.metering.api, refusal.code)
            return self._door.answer(asked, refusal, self.speaks)
        helps = refusal.status in (400, 402, 409) and (bool(self.speaks) or refusal.code in _ASKS)
        if asked is not None and helps and refusal.code != "budget_exceeded":
            return super().refuse(self._door.refused(asked, refusal, self.speaks, self.channel))
        return super().refuse(self._door.typed(refusal, self.speaks))


def _of_channel(session: SessionState | None, channel_id: str) -> ChannelSums | None:
    return next((each for each in session.channels if each.channel_id == channel_id), None) if session else None
