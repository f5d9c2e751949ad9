"""The figures of the demo: what clients saw, what the meter counted, and what the contract billed.

Amounts are wei, times unix seconds. Nothing here is assumed: each figure was read from where it belongs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from api_billing.contract_api import Code
from api_billing.results import Solvency
from demo.metered.contract_consumer import Fetch
from demo.metered.plan import AT_THE_DOOR, Role
from demo.metered.redress import DisputeFigures, RefundFigures

OK: Final = 200
FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Used:
    """Calls and what they cost."""

    calls: int = 0
    wei: int = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(self.calls + other.calls, self.wei + other.wei)

    def __sub__(self, other: "Used") -> "Used":
        return Used(self.calls - other.calls, self.wei - other.wei)


@dataclass(frozen=True, slots=True)
class ConsumerFigures:
    """One consumer's usage by three books: its own (``seen``), the meter's and the contract's (``billed``).

    ``days`` is on how many it was asked for: a run over midnight has two, and a daily limit counts on each.
    """

    address: str
    role: Role
    requests: int
    answers: Mapping[tuple[int, str], int]
    replayed: int
    allowed: int
    days: int
    seen: Used
    metered: Used
    billed: Used
    held_wei: int
    hold_left_wei: int
    signed_wei: int = 0
    """In a session: by the highest voucher."""

    def with_status(self, status: int) -> int:
        """How many of its answers had this status."""
        return sum(number for (found, _), number in self.answers.items() if found == status)

    def contradictions(self) -> Iterator[str]:
        """What does not add up for this consumer."""
        served = self.with_status(OK)
        if not self.seen == self.metered == self.billed:
            yield f"saw {self.seen}, was metered {self.metered}, and billed {self.billed}"
        if served - self.replayed != self.seen.calls:
            yield f"was served {served} times, {self.replayed} of them again, and saw {self.seen.calls} charged"
        if self.held_wei - self.hold_left_wei != self.billed.wei:
            yield f"had {self.held_wei} wei on hold, and has {self.hold_left_wei} of it"
        most = self.allowed * self.days if self.role is Role.TRIAL else self.allowed
        if self.role in (Role.SHORT_HOLD, Role.TRIAL, Role.SESSION) and not self.allowed <= served <= most:
            yield f"was served {served} calls where {self.allowed} are allowed"
        if self.role in (Role.SESSION, *AT_THE_DOOR) and self.billed.wei > self.signed_wei:
            yield f"was billed {self.billed.wei} wei, and signed for {self.signed_wei}"
        if self.role in AT_THE_DOOR and not served == self.requests == self.allowed:
            yield f"was served {served} of {self.requests} requests, where it paid for each"
        if self.role is Role.REPEATS and not self.replayed:
            yield "got no answer again"
        if self.role is Role.FAILS and not self.with_status(FAILED):
            yield "met no handler that failed"


@dataclass(frozen=True, slots=True)
class ContractFigures:
    """The consumer that is a contract. ``billed`` is what the billing contract says of it, ``redeemed`` how many
    requests with a receipt the meter has served.
    """

    address: str
    url: str
    fetches: tuple[Fetch, ...]
    billed: Used
    redeemed: int

    def contradictions(self) -> Iterator[str]:
        """What does not add up for this consumer: all but its last call are billed, served once, and fetched."""
        fetched = sum(each.status == "fetched" for each in self.fetches)
        if not fetched == self.billed.calls == self.redeemed == len(self.fetches) - 1:
            yield f"was billed {self.billed.calls} calls, served {self.redeemed}, and fetched {fetched}"
        last = self.fetches[-1]
        if (last.status, last.detail) != ("denied", Code.INSUFFICIENT_CREDIT):
            yield f"had credit for a call more: {last.status} {last.detail}"


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """One settlement: how many seconds after the first request its outcome was there, and the transaction."""

    sequence: int
    state: str
    lines: int
    used: Used
    billed: Used
    after_seconds: float
    while_running: bool
    tx: str


@dataclass(frozen=True, slots=True)
class OperatorFigures:
    """What the operator earned and took out, and its own balance before and after that."""

    address: str
    earned_wei: int
    withdrawn_wei: int
    left_wei: int
    balance_before_wei: int
    balance_after_wei: int
    fee_wei: int
    """What the network took for the withdrawal."""


@dataclass(frozen=True, slots=True)
class MeteredFigures:
    """Everything at the end. ``reasons`` are those of the reconciliation: none when it is zero."""

    environment: str
    contract: str
    answers: Mapping[tuple[int, str], int]
    load_seconds: float
    latencies: tuple[float, ...]
    consumers: tuple[ConsumerFigures, ...]
    contract_consumer: ContractFigures
    batches: tuple[BatchFigures, ...]
    reconciled_lines: int
    is_zero: bool
    reasons: tuple[str, ...]
    refund: RefundFigures
    operator: OperatorFigures
    solvency: Solvency
    dispute: DisputeFigures | None = None
    """What came of it after everything else; None before."""

    @property
    def requests(self) -> int:
        return sum(self.answers.values())

    @property
    def metered(self) -> Used:
        return sum((each.metered for each in self.consumers), Used())

    @property
    def billed(self) -> Used:
        """What settlements have billed: all but the calls of the contract, which pays with receipts."""
        return sum((each.billed for each in self.consumers), Used())

    def latency(self, percent: int) -> float:
        """So many seconds, or less, took this share of the requests."""
        return self.latencies[(len(self.latencies) - 1) * percent // 100]

    def contradictions(self) -> list[str]:
        """What does not add up, in words: nothing, unless something is broken."""
        return [*self._of_books(), *self._of_consumers(), *self._of_money()]

    def _of_books(self) -> list[str]:
        found = [] if self.is_zero else ["the reconciliation is not zero", *self.reasons]
        settled = sum((batch.billed for batch in self.batches), Used())
        if settled != self.billed:
            found.append(f"the settlements billed {settled}, the consumers were billed {self.billed}")
        return found

    def _of_consumers(self) -> list[str]:
        found = [f"{each.address} ({each.role}) {what}" for each in self.consumers for what in each.contradictions()]
        contract = self.contract_consumer
        return found + [f"{contract.address} (the contract) {what}" for what in contract.contradictions()]

    def _of_money(self) -> list[str]:
        found, operator = [], self.operator
        billed, refund = self.billed + self.contract_consumer.billed, self.refund
        if operator.earned_wei != billed.wei - refund.amount_wei:
            found.append(
                f"the operator earned {operator.earned_wei} wei, of calls billed for {billed.wei}, "
                f"of which it refunded {refund.amount_wei}"
            )
        if refund.credit_grew_wei != refund.amount_wei:
            found.append(f"a refund of {refund.amount_wei} wei became credit of {refund.credit_grew_wei}")
        if operator.balance_after_wei - operator.balance_before_wei != operator.withdrawn_wei - operator.fee_wei:
            what = f"the {operator.withdrawn_wei} wei withdrawn, less {operator.fee_wei} for the network"
            found.append(f"the operator's balance did not grow by {what}")
        if operator.earned_wei - operator.withdrawn_wei != operator.left_wei:
            found.append(f"of the operator's earnings {operator.left_wei} wei are left")
        if self.dispute is not None:
            found += self.dispute.contradictions()
        if self.solvency.surplus_wei:
            found.append(f"the contract holds {self.solvency.surplus_wei} wei more than it owes")
        return found

    def to_json(self) -> dict[str, Any]:
        """The figures for machines."""
        return {
            "environment": self.environment,
            "contract": self.contract,
            "requests": {
                "sent": self.requests,
                "seconds": round(self.load_seconds, 3),
                "p50_seconds": round(self.latency(50), 6),
                "p99_seconds": round(self.latency(99), 6),
                "answers": _answers(self.answers),
            },
            "totals": {"metered": asdict(self.metered), "billed": asdict(self.billed)},
            "consumers": [
                {**asdict(each), "role": str(each.role), "answers": _answers(each.answers)} for each in self.consumers
            ],
            "contract_consumer": asdict(self.contract_consumer),
            "settlements": [asdict(each) for each in self.batches],
            "reconciliation": {"zero": self.is_zero, "lines": self.reconciled_lines, "reasons": list(self.reasons)},
            "refund": asdict(self.refund),
            "operator": asdict(self.operator),
            "dispute": self.dispute and asdict(self.dispute),
            "solvency": self.solvency.as_dict(),
            "contradictions": self.contradictions(),
        }


def _answers(answers: Mapping[tuple[int, str], int]) -> list[dict[str, int | str]]:
    return [{"status": status, "code": code, "requests": number} for (status, code), number in sorted(answers.items())]
