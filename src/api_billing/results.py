"""What the billing contract answers. Amounts are integer wei, `_at` is unix seconds, days are UTC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from api_billing.answers import Answer
from api_billing.errors import UnexpectedAnswer
from api_billing.vouchers import Voucher


@dataclass(frozen=True, slots=True)
class Plan(Answer):
    """A tier of an API. A limit of 0 is none."""

    plan_name: str
    cost_per_call_wei: int
    daily_limit_calls: int
    monthly_limit_calls: int


@dataclass(frozen=True, slots=True)
class Api(Answer):
    """An API with its plans. ``proposed_operator`` is empty where none is proposed."""

    api_name: str
    operator: str
    proposed_operator: str
    active: bool
    plans: tuple[Plan, ...]
    meters: tuple[str, ...]
    next_sequence: int


@dataclass(frozen=True, slots=True)
class PromiseHead(Answer):
    """What is in force of a promise; ``terms_sha256`` stands for its text, ``from_day`` is its first day."""

    court: str
    payout_days: int
    max_refund_percent: int
    terms_sha256: str
    from_day: int


@dataclass(frozen=True, slots=True)
class Promise(Answer):
    """What an API promises for a day: nothing where ``court`` is empty. ``next_from_day`` is 0 with no change ahead."""

    api_name: str
    day_id: int
    court: str
    payout_days: int
    max_refund_percent: int
    terms: str
    status_url: str
    terms_sha256: str
    from_day: int
    next_from_day: int


@dataclass(frozen=True, slots=True)
class ApiDetails(Api):
    """An API with its promise in force, and what its vouchers are made of: ``asset`` stands for it as a token would."""

    chain_id: int
    asset: str
    voucher_domain: dict[str, Any]
    promise: PromiseHead | None


@dataclass(frozen=True, slots=True)
class ApiDay(Answer):
    """A day of an API. Refunded and frozen is not earned; ``payout_days`` is 0 where the earnings do not wait."""

    day_id: int
    calls: int
    earned_wei: int
    payout_days: int


@dataclass(frozen=True, slots=True)
class ApiPage(Answer):
    """A page of the list of all APIs; ``total`` counts all."""

    total: int
    apis: tuple[Api, ...]


@dataclass(frozen=True, slots=True)
class ApiUsage(Answer):
    """A consumer's line for one API in the usage report. Limits of 0 are none, as is ``calls_left_today`` None.

    ``settlements`` is the sequence of the API's last one: whoever settles knows by it what the rest includes.
    ``signer`` is the key whose vouchers bill the consumer, empty where it is billed without.
    """

    api_name: str
    calls_today: int
    spend_today_wei: int
    cost_per_call_wei: int
    api_daily_limit_calls: int
    consumer_max_daily_spend_wei: int
    plan_name: str
    accepted_price_wei: int
    calls_month: int
    spend_month_wei: int
    api_monthly_limit_calls: int
    calls_left_today: int | None
    spend_left_today_wei: int
    hold_wei: int
    hold_expires_at: int
    active: bool
    subscribed: bool
    settlements: int
    signer: str


@dataclass(frozen=True, slots=True)
class UsageReport(Answer):
    """Everything a dashboard shows of a consumer. ``notices`` counts all there ever were, ``total`` all ``apis``."""

    consumer: str
    day_id: int
    credit_balance_wei: int
    held_wei: int
    low_credit: bool
    notices: int
    resets_at: int
    month_resets_at: int
    total: int
    apis: tuple[ApiUsage, ...]

    @classmethod
    def of_json(cls, text: object) -> Self:
        """Read the JSON text of `get_usage_report`. Raises: UnexpectedAnswer."""
        try:
            return cls.of(json.loads(text if isinstance(text, str) else ""))
        except json.JSONDecodeError as error:
            raise UnexpectedAnswer(f"the usage report is no JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Account(Answer):
    """A consumer's money: free credit, what holds keep, and both as they were after the last top-up."""

    consumer: str
    credit_wei: int
    held_wei: int
    topped_up_wei: int
    alert_percent: int
    low_credit: bool
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DayUsage(Answer):
    """What a consumer used of an API on one day, ``day_id`` days after 1970-01-01."""

    api_name: str
    day_id: int
    calls: int
    spend_wei: int


@dataclass(frozen=True, slots=True)
class ChannelState(Answer):
    """What the highest voucher of a channel says, and what of that was billed."""

    channel_id: str
    signed_wei: int
    billed_wei: int


@dataclass(frozen=True, slots=True)
class Session(Answer):
    """A consumer's hold for an API, which pays for days from ``hold_from_day``; a session where ``signer`` is set."""

    consumer: str
    api_name: str
    signer: str
    hold_wei: int
    hold_expires_at: int
    hold_from_day: int
    in_force: bool
    channels: tuple[ChannelState, ...]


@dataclass(frozen=True, slots=True)
class Subscriber(Answer):
    """A consumer of an API as its operator sees it."""

    consumer: str
    plan_name: str
    active: bool
    calls_today: int
    spend_today_wei: int
    calls_month: int
    spend_month_wei: int
    hold_wei: int
    hold_expires_at: int
    signer: str


@dataclass(frozen=True, slots=True)
class SubscriberPage(Answer):
    """A page of those who ever subscribed to an API; ``total`` counts all."""

    total: int
    subscribers: tuple[Subscriber, ...]


@dataclass(frozen=True, slots=True)
class PaidDay(Answer):
    """What a consumer paid an API on a day, and what became of it.

    ``pending``: the earnings still wait, and can be frozen. ``frozen_at`` 0: they never were; with nothing frozen any
    more, that has come to its end.
    """

    api_name: str
    consumer: str
    day_id: int
    calls: int
    paid_wei: int
    refunded_wei: int
    frozen_wei: int
    frozen_at: int
    pending: bool


@dataclass(frozen=True, slots=True)
class Quote(Answer):
    """What `consume_credit` would do now; ``code`` is empty when it is allowed."""

    allowed: bool
    code: str
    cost_wei: int
    credit_wei: int


@dataclass(frozen=True, slots=True)
class CallReceipt(Answer):
    """A billed call, or the last of several billed at once."""

    receipt_id: str
    api_name: str
    consumer: str
    day_id: int
    call_no: int
    cost_wei: int
    credit_wei: int


@dataclass(frozen=True, slots=True)
class ReceiptCheck(Answer):
    """Whether the contract billed the call of this receipt; ``remembered`` where it still knows its request."""

    receipt_id: str
    valid: bool
    remembered: bool
    api_name: str
    consumer: str
    day_id: int
    call_no: int


@dataclass(frozen=True, slots=True)
class RequestAnswer(Answer):
    """What `request_call` answers: a receipt, or the code of the refusal."""

    code: str
    receipt: CallReceipt | None


@dataclass(frozen=True, slots=True)
class WaitingEarnings(Answer):
    """Of one API: what waits under a promise, and what a court has frozen."""

    api_name: str
    pending_wei: int
    frozen_wei: int


@dataclass(frozen=True, slots=True)
class Earnings(Answer):
    """What an operator can withdraw, has withdrawn and refunded; ``apis`` has those that ever had a promise."""

    operator: str
    earnings_wei: int
    withdrawn_wei: int
    refunded_wei: int
    apis: tuple[WaitingEarnings, ...]


@dataclass(frozen=True, slots=True)
class Collected(Answer):
    """Matured earnings that became the operator's; all days up to ``collected_through`` have been."""

    api_name: str
    collected_wei: int
    collected_through: int


@dataclass(frozen=True, slots=True)
class SettlementEntry(Answer):
    """One consumer's usage of one day, as a meter counted it, for `settle_usage`.

    Of a session it has the highest voucher of one channel, unless nothing is spent; ``close`` releases the rest of the
    hold when the entry is billed whole.
    """

    consumer: str
    day_id: int
    calls: int
    spend_wei: int
    voucher: Voucher | None = None
    close: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As the contract takes it: without what is not there."""
        entry: dict[str, Any] = {name: getattr(self, name) for name in ("consumer", "day_id", "calls", "spend_wei")}
        if self.voucher is not None:
            entry["voucher"] = self.voucher.as_dict()
        return {**entry, "close": True} if self.close else entry


@dataclass(frozen=True, slots=True)
class SettledEntry(Answer):
    """What became of an entry; ``code`` tells what stopped the rest, empty where all was billed."""

    consumer: str
    day_id: int
    calls: int
    spend_wei: int
    billed_calls: int
    billed_wei: int
    code: str


@dataclass(frozen=True, slots=True)
class SettlementHead(Answer):
    """The outcome of a settlement without its entries; ``refused_entries`` counts those that a code stopped."""

    api_name: str
    sequence: int
    usage_root: str
    billed_calls: int
    billed_wei: int
    refused_entries: int
    settled_at: int


@dataclass(frozen=True, slots=True)
class Settlement(SettlementHead):
    """The outcome of a settlement."""

    entries: tuple[SettledEntry, ...]


@dataclass(frozen=True, slots=True)
class SettlementState(Answer):
    """The next sequence of an API and one settlement, None when there was none yet."""

    api_name: str
    next_sequence: int
    settlement: Settlement | None


@dataclass(frozen=True, slots=True)
class Notice(Answer):
    """Something a consumer should know; ``kind`` is one of ``contract_api.NoticeKind``."""

    number: int
    at: int
    kind: str
    api_name: str
    code: str
    calls: int
    amount_wei: int


@dataclass(frozen=True, slots=True)
class Solvency(Answer):
    """What the contract holds and owes. ``earnings_wei`` is all operators', also what waits or is frozen."""

    balance_wei: int
    owed_wei: int
    surplus_wei: int
    credit_wei: int
    held_wei: int
    earnings_wei: int
    deposited_wei: int
    withdrawn_wei: int
    refunded_wei: int


@dataclass(frozen=True, slots=True)
class Deposit(Answer):
    """GEN that became credit, and the credit after it."""

    credited_wei: int
    credit_wei: int


@dataclass(frozen=True, slots=True)
class Subscription(Answer):
    """What a subscription accepts."""

    credited_wei: int
    credit_wei: int
    plan_name: str
    accepted_price_wei: int
    max_daily_spend_wei: int


@dataclass(frozen=True, slots=True)
class OpenedSession(Subscription):
    """What a session's subscription accepts, and its hold."""

    hold_wei: int
    expires_at: int
    signer: str
