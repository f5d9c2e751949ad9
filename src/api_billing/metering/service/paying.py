"""Payment at the door of a service elsewhere: it sends on what its request came with, and sends back what it is told.

Reserving is as within an application. Looking at a payment goes as far, and reserves nothing: to verify it, or to tell
the receipt of one that another process has reserved for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from api_billing.contract_api import API_NAME
from api_billing.metering.ledger.operations import Balance, ReadBalance, Reserved, ReserveReply
from api_billing.metering.ledger.session_operations import ReadSession
from api_billing.metering.ledger.vouchers import BySession, ChannelSums, SessionState
from api_billing.metering.limits.plan import Fields
from api_billing.metering.meter import Meter
from api_billing.metering.request.door_payer import DoorPayer
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.request.identity import Extractor, Identity
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.problems import Answer, Refusal, by_channel
from api_billing.metering.service.bodies import (
    PaymentBody,
    ResponseBody,
    VerificationAnswer,
    VerificationBody,
)
from api_billing.metering.service.problems import ServiceProblem
from api_billing.metering.stores.steps import Steps

_URL: Final = re.compile(r"(https?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_MANAGED: Final = Answer(204, (), b"")


class RemotePayer(DoorPayer):
    """Who pays at the door of a service elsewhere."""

    __slots__ = ()

    def receipts(self, status: int, channel: ChannelSums | None, charged_wei: int) -> Fields:
        """The header fields about the payment, of a response that is settled."""
        return [] if channel is None or self._said is None else self._receipts(status, channel, charged_wei)


class LookingPayer(RemotePayer):
    """The same as far as the reservation, which is not made: what would come of it, as things are now."""

    __slots__ = ()

    def reserve_as(
        self, who: Callable[[], Steps[Identity | Refusal]], new_tier: str = ""
    ) -> Steps[ReserveReply | Refusal]:
        identity = yield from who()
        if isinstance(identity, Refusal):
            return identity
        if identity.voucher is not None and (not_proven := (yield from self.prove(identity))) is not None:
            return not_proven
        self.consumer = identity.consumer
        if (cannot := (yield from self.estimate())) is not None:
            return cannot
        api, account = self.metering.api, self.metering.meter.account_of(self.metering.api, self.consumer)
        admitted = yield from self._on_chain.admit(api, self.consumer, self.estimate_wei)
        if isinstance(admitted, Refusal):
            return admitted
        if self.session is None and admitted.signer and (lacks := (yield from self.lacks_voucher())) is not None:
            return lacks
        session: SessionState | None = yield ReadSession(account)
        if session is not None and session.is_closing:
            return Refusal("session_closing")
        if self.session is not None:
            channels = () if session is None else session.channels
            known = [each for each in channels if each.channel_id == self.session.channel_id]
            self.channel = known[0] if known else ChannelSums(self.session.channel_id, self.session.salt)
            if code := _lacks(self.session, self.channel, self.estimate_wei):
                self.channel = self.channel.told_to(self.session.cumulative_wei)
                return by_channel(code, self.channel, self.estimate_wei)
        balance: Balance = yield ReadBalance(account)
        self._free_wei = balance.free_wei
        if balance.free_wei < self.estimate_wei:
            return Refusal("insufficient_credit")
        return Reserved(balance, (), self.channel)

    def _manage(self, said: Any) -> Steps[Refusal | Answer]:
        found = (yield from self._check(said)) if said.voucher is not None else None
        return found if isinstance(found, Refusal) else _MANAGED


def payer_of[PayerT: RemotePayer](
    kind: type[PayerT], meter: Meter, metering: Metering, payment: PaymentBody, at_ms: int, **said: str
) -> PayerT:
    """The payer of a request elsewhere. Raises: ServiceProblem, where no payments are taken."""
    if meter.door is None or meter.on_chain is None:
        raise ServiceProblem("invalid_request", "body.payment: this meter takes no payments")
    return kind(metering, _request(payment, at_ms, **said), meter.door, meter.on_chain)


def terms_of(meter: Meter, api: str, estimate_wei: str, payment: PaymentBody, by_key: Extractor) -> Metering:
    """What a request that is paid for elsewhere is metered by."""
    return Metering(meter, api, int(estimate_wei), identify=by_key, idempotent=payment.fingerprint is not None)


def verify(meter: Meter, body: VerificationBody, by_key: Extractor) -> Steps[VerificationAnswer]:
    """What a reservation with this payment would be answered. Nothing is reserved, kept or closed."""
    if not API_NAME.fullmatch(body.api):
        raise ServiceProblem("invalid_request", "body.api: on the contract no API can be called that")
    terms = terms_of(meter, body.api, body.estimate_wei, body.payment, by_key)
    payer = payer_of(LookingPayer, meter, terms, body.payment, meter.now_ms(), method=body.method)
    reply = yield from payer.reserve()
    answer = None if isinstance(reply, Reserved) or reply is _MANAGED else payer.answer(reply)
    return VerificationAnswer(
        is_good=answer is None or answer.status < 400,
        protocol=payer.speaks,
        consumer=payer.consumer,
        response=None if answer is None else ResponseBody.of(answer),
    )


def _lacks(by: BySession, channel: ChannelSums, estimate_wei: int) -> str:
    """Why a voucher would not pay; the store decides by the same rule, in one step."""
    if by.exact:
        if channel.reserved_wei and not channel.is_anybodys(by.cumulative_wei):
            return "channel_busy"
        return "" if by.cumulative_wei == channel.required_wei(max(estimate_wei, 1)) else "cumulative_mismatch"
    signed = channel._replace(signed_wei=max(channel.signed_wei, by.cumulative_wei))
    return "voucher_required" if by.cumulative_wei <= channel.posted_wei or signed.free_wei < estimate_wei else ""


def _request(
    payment: PaymentBody, at_ms: int, *, method: str = "GET", route: str = "", request_id: str = "", address: str = ""
) -> MeteredRequest:
    url = _URL.match(payment.url)
    assert url is not None  # of the body's pattern
    scheme, host, path, query = url.groups(default="")
    fields = [("host", host), *payment.fields()]
    if request_id:
        fields.append(("x-request-id", request_id))
    return MeteredRequest(
        method,
        unquote_to_bytes(path or "/").decode("utf-8", "replace"),
        TextHeaders(fields),
        route=route,
        query=query.encode(),
        client=address,
        at_ms=at_ms,
        body=(payment.fingerprint or "").encode(),
        scheme=scheme,
    )
