"""A scheme for the client of the package `x402`, so that it pays from a session on the billing contract.

    client = x402Client().register("eip155:*", BatchSettlement(wallet, max_wei_per_call=…, max_wei_a_day=…))

What the package's own scheme keeps in memory is in the wallet's book here: it goes on after a restart, and is corrected
without asking a chain. The package does not say which URL asks: that it is https is for its user to see to.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from api_billing.errors import NotPayable, TooExpensive
from api_billing.payer.asking import X402Asked, receipt_in
from api_billing.payer.paying import Payer, Payment
from api_billing.payer.rows import Spending
from api_billing.payer.unended import Unended
from api_billing.payer.wallet import Wallet
from api_billing.payments import x402
from api_billing.payments.encoding import NotReadable, compact, from_base64, json_object, to_base64

_GEN: Final = {"symbol": "GEN", "name": "GEN", "decimals": 18}


class BatchSettlement:
    """Scheme ``batch-settlement`` of x402. Bounds and ``open_session`` are as of ``PayingClient``. Thread-safe."""

    scheme = x402.SCHEME

    def __init__(
        self,
        wallet: Wallet,
        *,
        max_wei_per_call: int,
        max_wei_a_day: int,
        open_session: int = 0,
        max_wei_on_hold: int | None = None,
        days: int = 7,
    ) -> None:
        self._payer = Payer(
            wallet,
            max_wei_per_call=max_wei_per_call,
            max_wei_a_day=max_wei_a_day,
            open_session=open_session,
            max_wei_on_hold=max_wei_on_hold,
            days=days,
        )
        self._unended = Unended(self._payer)
        self._corrected = list[tuple[X402Asked, Spending]]()
        self.scheme_hooks = SimpleNamespace(on_payment_response=self._on_response)

    def find_default_asset(self, asset: str, network: str) -> dict[str, Any] | None:
        """GEN, when the asset stands for an API of the wallet's contract: the client's spend controls allow it then."""
        try:
            known = self._payer.wallet.knows(asset, network)
        except NotPayable:
            return None
        return {**_GEN, "address": asset} if known else None

    def create_payment_payload(self, requirements: Any) -> dict[str, Any]:
        """Sign for an offer. Raises: TooExpensive, NoSession, NotPayable."""
        asked = self._asked(requirements)
        self._payer.check_price(asked.offer)
        corrected = next((each for each in self._corrected if each[0].offer == asked.offer), None)
        if corrected is None:
            spending = self._unended.begin(asked)
        else:
            self._corrected.remove(corrected)
            spending = corrected[1]
            self._unended.add(Payment(asked, spending.session), spending)
        (value,) = asked.fields(spending).values()
        payload: dict[str, Any] = json_object(from_base64(value))["payload"]
        return payload

    def _asked(self, requirements: Any) -> X402Asked:
        listed = requirements.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            found, _ = x402.offers_in(to_base64(compact({"x402Version": x402.VERSION, "accepts": [listed]})))
        except NotReadable as error:
            raise NotPayable(f"what is asked for cannot be read: {error}") from error
        if not found:
            raise NotPayable("what is asked for is no session on a billing contract")
        [(offer, accepted)] = found
        return X402Asked(self._payer.wallet.checked(offer), accepted)

    def _on_response(self, context: Any) -> Any:
        """Note what became of a payment; after an answer that corrects it the client is told to make another."""
        voucher = context.payment_payload.payload.get("voucher", {})
        sent = self._unended.of(str(voucher.get("channelId")), str(voucher.get("maxClaimableAmount")))
        if sent is None:
            return None
        payment, spending = sent
        response = context.settle_response
        if response is not None and response.success:
            self._payer.end_by(payment, spending, lambda: receipt_in(response.extra, {}, spending))
            return None
        if response is None and context.payment_required is not None:
            for each in context.payment_required.accepts:
                if self._correct(payment.asked, spending, each):
                    from x402.schemas import RecoveredResponseResult

                    return RecoveredResponseResult()
        self._payer.wallet.book.refused(spending)
        return None

    def _correct(self, asked: Any, spending: Spending, requirements: Any) -> bool:
        """Whether an offer says where the channel is, so that it can be gone on with from there."""
        try:
            again = self._asked(requirements)
            correction = again.correction(spending)
            if correction is None or asked.offer.asset != again.offer.asset:
                return False
            self._corrected.append((asked, self._payer.wallet.book.correct(spending, *correction)))
        except (NotPayable, NotReadable, TooExpensive):
            return False
        return True
