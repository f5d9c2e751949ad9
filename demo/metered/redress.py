"""What a consumer can get back: a refund by the operator, and one by a court that the operator has promised.

A promise begins tomorrow, and a day can be disputed two days later; so the localnet's clock is put forward. Models
would be asked by the nodes; here each of them is told what to answer, as Studio's validators can be.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api_billing.client import BillingClient
from api_billing.contract_api import DAY_SECONDS
from api_billing.court_client import CourtClient
from demo import ROOT
from demo.metered.place import Consumer, Place, deploy
from demo.metered.plan import API, GWEI, PRICE_WEI

COURT: Final[Path] = ROOT / "contracts" / "usage_court.py"
PERCENT: Final = 50
"""What the models say is to be refunded, and the most that is promised."""

_BOND_WEI: Final = 10 * GWEI
_CALLS: Final = 4
_PAYOUT_DAYS: Final = 3
_TERMS: Final = "Nine of ten calls of a day are answered. Else half of the day's price is given back."
_CLAIM: Final = "Half of the calls of that day were not answered."
_ANSWER: Final = {"refund_percent": PERCENT, "reason": "The API does not deny that it was down."}
_FINAL_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class RefundFigures:
    """What the operator gave back by itself, and by how much the consumer's credit grew."""

    consumer: str
    amount_wei: int
    credit_grew_wei: int


@dataclass(frozen=True, slots=True)
class DisputeFigures:
    """A disputed day: what was paid, decided and refunded, what the consumer and the operator got, bond and all."""

    consumer: str
    court: str
    day_id: int
    paid_wei: int
    percent: int
    reason: str
    refund_wei: int
    credit_grew_wei: int
    earnings_grew_wei: int

    def contradictions(self) -> Iterator[str]:
        """What does not add up of it."""
        if self.refund_wei != self.paid_wei * self.percent // 100:
            yield f"the court refunded {self.refund_wei} wei, {self.percent}% of {self.paid_wei}"
        if self.credit_grew_wei != self.refund_wei:
            yield f"of a refund of {self.refund_wei} wei the consumer got {self.credit_grew_wei}, beside its bond"
        if self.earnings_grew_wei != self.paid_wei - self.refund_wei:
            yield f"the operator got {self.earnings_grew_wei} wei of the {self.paid_wei} disputed"


def refund(place: Place, consumer: Consumer) -> RefundFigures:
    """Give a consumer the price of one call back, as for one that failed. Raises: BillingError."""
    client = _final(copy.copy(place.operator))  # so that what it deposited for fees is back, too
    before = client.get_account(consumer.address).credit_wei
    client.refund(API, consumer.address, GWEI, "sorry for the call that failed")
    return RefundFigures(consumer.address, GWEI, client.get_account(consumer.address).credit_wei - before)


def dispute(place: Place, consumer: Consumer) -> DisputeFigures:
    """Promise, have the consumer pay for a day, dispute it, and have it judged. Nothing else may use the network now.

    Raises: BillingError.
    """
    operator, account = _final(copy.copy(place.operator)), place.client_of(consumer)
    court = deploy(operator.connection, COURT, (place.contract, _BOND_WEI))
    operator.set_promise(API, court, _PAYOUT_DAYS, PERCENT, _TERMS)
    _pass_days(place, 1)
    account.top_up_credit(_CALLS * PRICE_WEI)  # what it has is on hold, which has expired by then
    day_id = account.consume_credit(API, consumer.address, _CALLS).result.day_id
    before = operator.get_account(consumer.address).credit_wei
    earned_wei = operator.get_earnings(place.operator.address).earnings_wei
    _pass_days(place, 2)
    disputing = _final(CourtClient(place.network, contract=court, account=account.connection.signer))
    opened = disputing.open_dispute(API, day_id, _CLAIM, bond_wei=_BOND_WEI).result
    _answer_prompts(place, _ANSWER)
    verdict = disputing.judge(opened.dispute_id).result
    return DisputeFigures(
        consumer=consumer.address,
        court=court,
        day_id=day_id,
        paid_wei=opened.paid_wei,
        percent=verdict.refund_percent,
        reason=verdict.reason,
        refund_wei=verdict.refund_wei,
        credit_grew_wei=operator.get_account(consumer.address).credit_wei - before - _BOND_WEI,
        earnings_grew_wei=operator.get_earnings(place.operator.address).earnings_wei - earned_wei,
    )


def _final[T: (BillingClient, CourtClient)](client: T) -> T:
    """The client, whose writes are followed until they, and what they have sent, are final."""
    client.on, client.timeout_seconds = "finalized", _FINAL_SECONDS
    return client


def _pass_days(place: Place, days: int) -> None:
    place.operator.connection.provider.result("sim_increaseTime", days * DAY_SECONDS)


def _answer_prompts(place: Place, answer: dict[str, Any]) -> None:
    """Have every validator's model answer so, whatever it is asked."""
    provider = place.operator.connection.provider
    for each in provider.result("sim_getAllValidators"):
        mocked = {"mock_response": {"response": {"": answer}}}
        kept = [each[name] for name in ("address", "stake", "provider", "model", "config", "plugin")]
        provider.result("sim_updateValidator", *kept, mocked)
