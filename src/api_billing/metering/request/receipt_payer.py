"""A receipt as what pays: the contract has billed the call, so that serving it costs nothing more.

Whoever else asks with the receipt waits for the response of the first. The receipt is the credential. It is never
served unchecked, also where the settings say fail open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    Reserve,
    ReserveReply,
    Settle,
    Settled,
    StoredResponse,
)
from api_billing.metering.limits.plan import Fields
from api_billing.metering.request.claims import request_fingerprint, used_up
from api_billing.metering.request.door_payer import DoorPayer
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, cost_field, query_without
from api_billing.metering.request.metering import Metering
from api_billing.metering.request.payer import Payer
from api_billing.metering.request.prices import Priced
from api_billing.metering.request.problems import Answer, Refusal
from api_billing.metering.request.receipts import Receipt, receipt_account, refusal_of
from api_billing.metering.stores.steps import Pause, Steps

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class ReceiptPayer(Payer):
    """The call of a receipt. ``fingerprint`` of the request is given when there is no body to compute it from, ``asks``
    where payments are taken: who has no good receipt can pay.
    """

    claims = "receipt"
    replay_fields = ()  # who has a receipt gets the very response that everybody with it gets

    __slots__ = ("_asks", "_fingerprint", "_receipt")

    def __init__(
        self,
        metering: Metering,
        request: MeteredRequest,
        receipt: Receipt | Refusal,
        remote_id: str | None = None,
        fingerprint: str = "",
        asks: DoorPayer | None = None,
    ) -> None:
        super().__init__(metering, request, remote_id)
        self._receipt = receipt
        self._fingerprint = fingerprint
        self._asks = asks

    @property
    def may_go_unmetered(self) -> bool:
        """Anybody can read a receipt on the chain, and would be served for it again and again."""
        return False

    def reserve(self) -> Steps[ReserveReply | Refusal]:
        reply = yield from self._redeem()
        if self._asks is not None and isinstance(reply, Refusal) and reply.status == 402:
            return (yield from self._asks.make_offer()) or reply
        return reply

    def refuse(self, refusal: Refusal) -> Answer:
        if self._asks is None or refusal.status != 402:
            return super().refuse(refusal)
        self.refused = refusal
        return self._asks.refuse(refusal)

    def _redeem(self) -> Steps[ReserveReply | Refusal]:
        receipt, settings = self._receipt, self.metering.meter.settings
        if isinstance(receipt, Refusal):
            return receipt
        refusal = yield from self._check(receipt)
        if refusal is not None:
            return refusal
        self.consumer = receipt.consumer
        if (cannot := (yield from self.tell_operation())) is not None:
            return cannot
        fingerprint: str | Refusal = self._fingerprint
        if not fingerprint:
            query = query_without(self.request.query, settings.receipt_query)
            fingerprint = yield from request_fingerprint(self.request, query, settings)
        if isinstance(fingerprint, Refusal):
            return fingerprint
        self.claim = Claim.of_receipt(receipt.call, fingerprint)
        self.claim_expires_ms = receipt.kept_until_ms(settings.receipt_days)
        self.tags["receipt"] = receipt.text
        for pause in pauses(settings.receipt_wait_seconds):
            reply = yield from self._ask()
            if not isinstance(reply, ClaimInProgress):
                return reply
            yield Pause(pause)
        return (yield from self._ask())

    def _check(self, receipt: Receipt) -> Steps[Refusal | None]:
        meter = self.metering.meter
        assert meter.on_chain is not None
        refusal = refusal_of(receipt, self.metering.api, meter.now_ms(), meter.settings.receipt_days)
        return refusal if refusal is not None else (yield from meter.on_chain.receipts.check(receipt))

    def _ask(self) -> Steps[ReserveReply]:
        # Whoever waited for another request with the receipt has all the time of a reservation from then on.
        return self.ask(receipt_account(self.consumer), self.metering.meter.now_ms())

    def price(self, response: MeteredResponse) -> Steps[Priced]:
        yield from ()
        return Priced(0)

    def stored(self, response: MeteredResponse, *, is_whole: bool) -> StoredResponse:
        """What everybody else with this receipt gets.

        A response that was too large to keep, or did not come to its end, cannot be given again. It was served all the
        same: the receipt is used up, as otherwise large responses could be had again and again for one call.
        """
        return super().stored(response, is_whole=is_whole) or used_up(self.claims)

    def settled(self, reserve: Reserve, settle: Settle, reply: Settled) -> Fields:
        self.metering.meter.metrics.redeemed(self.metering.api, settle.outcome.duration_ms)
        return [cost_field(0)]


def pauses(seconds: float, longest: float = _LONGEST_PAUSE) -> Iterator[float]:
    """How long to wait before each next look at whether something is there: longer each time, ``seconds`` in all."""
    pause, left = _FIRST_PAUSE, float(seconds)
    while left > 0:
        yield min(pause, left)
        left -= pause
        pause = min(2 * pause, longest)
