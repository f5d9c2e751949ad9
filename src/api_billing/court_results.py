"""What a court answers. Amounts are integer wei, `_at` is unix seconds, days are UTC."""

from __future__ import annotations

from dataclasses import dataclass

from api_billing.answers import Answer


@dataclass(frozen=True, slots=True)
class OpenedDispute(Answer):
    """A dispute that a court has taken; ``paid_wei`` is what it is about."""

    dispute_id: int
    day_id: int
    bond_wei: int
    paid_wei: int


@dataclass(frozen=True, slots=True)
class ReturnedBond(Answer):
    """What a court sends back that refuses a dispute."""

    returned_wei: int


@dataclass(frozen=True, slots=True)
class Verdict(Answer):
    """How a dispute was judged; ``refund_wei`` is at most what the promise allows."""

    dispute_id: int
    refund_percent: int
    refund_wei: int
    reason: str


@dataclass(frozen=True, slots=True)
class DisputeHead(Answer):
    """A dispute without its texts. ``status`` is open, judged or closed; ``ended_at`` is 0 while it is open."""

    dispute_id: int
    api_name: str
    consumer: str
    day_id: int
    status: str
    calls: int
    paid_wei: int
    bond_wei: int
    opened_at: int
    ended_at: int
    refund_percent: int
    refund_wei: int


@dataclass(frozen=True, slots=True)
class Dispute(DisputeHead):
    """A dispute with what the consumer claims, and why it was judged so."""

    claim: str
    evidence_url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Court(Answer):
    """Of which billing contract a court judges, the least bond, and how many disputes there were."""

    billing: str
    min_bond_wei: int
    disputes: int


@dataclass(frozen=True, slots=True)
class CourtSolvency(Answer):
    """What a court holds, and owes: the bonds of open disputes."""

    balance_wei: int
    owed_wei: int
    surplus_wei: int
    received_wei: int
    sent_wei: int
