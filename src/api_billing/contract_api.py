"""What the billing contract is called by: its methods, events and error codes. Every other module takes them from here.

A test holds these tables against `contracts/api_usage_billing.py`, both ways. The codes and what they mean are a table
of their own, `refusal_codes`. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from api_billing.refusal_codes import EXPLANATIONS, Code, CourtCode, Explanation, in_words, next_step, split_refusal

__all__ = [
    "API_NAME",
    "CLOSE_SECONDS",
    "CONSUMER_MESSAGES",
    "COURT_METHODS",
    "DAY_SECONDS",
    "EVENTS",
    "EVIDENCE_URL",
    "EXPLANATIONS",
    "HISTORY_DAYS",
    "JUDGE_SECONDS",
    "KEPT",
    "MAX_CLAIM",
    "MAX_HOLD_DAYS",
    "MAX_PAGE",
    "MAX_SETTLEMENT_ENTRIES",
    "MAX_SETTLEMENT_VOUCHERS",
    "MESSAGES",
    "METHODS",
    "PLAIN_HOLD",
    "SETTLED_DAYS",
    "STANDARD_PLAN",
    "Code",
    "CourtCode",
    "CourtMethod",
    "Event",
    "EventFields",
    "Explanation",
    "Kind",
    "Message",
    "Method",
    "NoticeKind",
    "Signature",
    "in_words",
    "next_step",
    "split_refusal",
]

API_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""The form of an API's name, as the contract keeps it."""
STANDARD_PLAN: Final = "standard"
PLAIN_HOLD: Final = "plain"
"""In the place of a signer: a hold that is billed without vouchers."""
MAX_SETTLEMENT_ENTRIES: Final = 256
MAX_SETTLEMENT_VOUCHERS: Final = 64
MAX_PAGE: Final = 100
"""APIs, subscribers, subscriptions that are read at a time."""
KEPT: Final = 64
"""How many notices of a consumer, settlements and days of an API the contract remembers."""
HISTORY_DAYS: Final = 400
DAY_SECONDS: Final = 86_400
MAX_HOLD_DAYS: Final = 366
SETTLED_DAYS: Final = 2
"""So old is a day whose usage can no longer be settled; then it can be disputed."""
JUDGE_SECONDS: Final = 28 * DAY_SECONDS
"""For so long a dispute can be judged; in the two days until it can be closed, nothing can be done about it."""
CLOSE_SECONDS: Final = 30 * DAY_SECONDS
MAX_CLAIM: Final = 2_000
EVIDENCE_URL: Final = re.compile("(https://[!-~]{1,192})?")


class Kind(StrEnum):
    """How a method is called."""

    VIEW = "view"
    WRITE = "write"
    PAYABLE = "payable"
    """A write that takes GEN as the value of the call."""


class Method(StrEnum):
    """Public methods, in the order of the contract."""

    REGISTER_API = "register_api"
    SET_PLAN = "set_plan"
    SET_API_ACTIVE = "set_api_active"
    SET_METER = "set_meter"
    PROPOSE_OPERATOR = "propose_operator"
    ACCEPT_OPERATOR = "accept_operator"
    WITHDRAW_EARNINGS = "withdraw_earnings"
    COLLECT_EARNINGS = "collect_earnings"
    SET_PROMISE = "set_promise"
    REFUND = "refund"
    FREEZE_BY_COURT = "freeze_by_court"
    REFUND_BY_COURT = "refund_by_court"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    TOP_UP_CREDIT = "top_up_credit"
    TOP_UP_FOR = "top_up_for"
    WITHDRAW_CREDIT = "withdraw_credit"
    SET_LOW_CREDIT_ALERT = "set_low_credit_alert"
    PLACE_HOLD = "place_hold"
    OPEN_SESSION = "open_session"
    RELEASE_HOLD = "release_hold"
    CONSUME_CREDIT = "consume_credit"
    REQUEST_CALL = "request_call"
    SETTLE_USAGE = "settle_usage"
    GET_USAGE_REPORT = "get_usage_report"
    GET_API = "get_api"
    GET_PROMISE = "get_promise"
    LIST_APIS = "list_apis"
    GET_ACCOUNT = "get_account"
    GET_SESSION = "get_session"
    GET_USAGE_HISTORY = "get_usage_history"
    GET_PAID_DAY = "get_paid_day"
    QUOTE_CALL = "quote_call"
    GET_RECEIPT = "get_receipt"
    GET_EARNINGS = "get_earnings"
    GET_API_DAYS = "get_api_days"
    LIST_SUBSCRIBERS = "list_subscribers"
    GET_SETTLEMENT = "get_settlement"
    LIST_SETTLEMENTS = "list_settlements"
    LIST_NOTICES = "list_notices"
    GET_SOLVENCY = "get_solvency"
    CONSUMER_INTEGRATION_EXAMPLE = "consumer_integration_example"


@dataclass(frozen=True, slots=True)
class Signature:
    """How a method is called, with what: the names of its parameters in their order."""

    kind: Kind
    parameters: tuple[str, ...] = ()


def _signature(kind: Kind, parameters: str = "") -> Signature:
    return Signature(kind, tuple(parameters.split()))


_ACCEPTED: Final = "plan_name max_price_wei"
_LIMITS: Final = "cost_per_call_wei daily_limit_calls monthly_limit_calls"

METHODS: Final[Mapping[Method, Signature]] = MappingProxyType(
    {
        Method.REGISTER_API: _signature(Kind.WRITE, f"api_name {_LIMITS}"),
        Method.SET_PLAN: _signature(Kind.WRITE, f"api_name plan_name {_LIMITS}"),
        Method.SET_API_ACTIVE: _signature(Kind.WRITE, "api_name active"),
        Method.SET_METER: _signature(Kind.WRITE, "api_name meter allowed"),
        Method.PROPOSE_OPERATOR: _signature(Kind.WRITE, "api_name operator"),
        Method.ACCEPT_OPERATOR: _signature(Kind.WRITE, "api_name"),
        Method.WITHDRAW_EARNINGS: _signature(Kind.WRITE, "amount to"),
        Method.COLLECT_EARNINGS: _signature(Kind.WRITE, "api_name"),
        Method.SET_PROMISE: _signature(Kind.WRITE, "api_name court payout_days max_refund_percent terms status_url"),
        Method.REFUND: _signature(Kind.WRITE, "api_name consumer_address amount reason day_id"),
        Method.FREEZE_BY_COURT: _signature(Kind.WRITE, "api_name consumer_address day_id"),
        Method.REFUND_BY_COURT: _signature(Kind.WRITE, "api_name consumer_address day_id amount"),
        Method.SUBSCRIBE: _signature(Kind.PAYABLE, f"api_name max_daily_spend_wei initial_deposit_wei {_ACCEPTED}"),
        Method.UNSUBSCRIBE: _signature(Kind.WRITE, "api_name"),
        Method.TOP_UP_CREDIT: _signature(Kind.PAYABLE, "amount"),
        Method.TOP_UP_FOR: _signature(Kind.PAYABLE, "consumer_address amount"),
        Method.WITHDRAW_CREDIT: _signature(Kind.WRITE, "amount to"),
        Method.SET_LOW_CREDIT_ALERT: _signature(Kind.WRITE, "percent"),
        Method.PLACE_HOLD: _signature(Kind.WRITE, "api_name amount expires_at signer"),
        Method.OPEN_SESSION: _signature(
            Kind.PAYABLE, f"api_name max_daily_spend_wei amount expires_at signer {_ACCEPTED}"
        ),
        Method.RELEASE_HOLD: _signature(Kind.WRITE, "api_name consumer_address"),
        Method.CONSUME_CREDIT: _signature(Kind.WRITE, "api_name consumer_address calls request_id"),
        Method.REQUEST_CALL: _signature(Kind.WRITE, "api_name request_id"),
        Method.SETTLE_USAGE: _signature(Kind.WRITE, "api_name sequence entries usage_root"),
        Method.GET_USAGE_REPORT: _signature(Kind.VIEW, "consumer_address offset limit"),
        Method.GET_API: _signature(Kind.VIEW, "api_name"),
        Method.GET_PROMISE: _signature(Kind.VIEW, "api_name day_id"),
        Method.LIST_APIS: _signature(Kind.VIEW, "offset limit"),
        Method.GET_ACCOUNT: _signature(Kind.VIEW, "consumer_address"),
        Method.GET_SESSION: _signature(Kind.VIEW, "consumer_address api_name channel_id"),
        Method.GET_USAGE_HISTORY: _signature(Kind.VIEW, "consumer_address api_name from_day to_day offset"),
        Method.GET_PAID_DAY: _signature(Kind.VIEW, "api_name consumer_address day_id"),
        Method.QUOTE_CALL: _signature(Kind.VIEW, "api_name consumer_address calls"),
        Method.GET_RECEIPT: _signature(Kind.VIEW, "receipt_id"),
        Method.GET_EARNINGS: _signature(Kind.VIEW, "operator_address offset"),
        Method.GET_API_DAYS: _signature(Kind.VIEW, "api_name"),
        Method.LIST_SUBSCRIBERS: _signature(Kind.VIEW, "api_name offset limit"),
        Method.GET_SETTLEMENT: _signature(Kind.VIEW, "api_name sequence"),
        Method.LIST_SETTLEMENTS: _signature(Kind.VIEW, "api_name after limit"),
        Method.LIST_NOTICES: _signature(Kind.VIEW, "consumer_address after limit"),
        Method.GET_SOLVENCY: _signature(Kind.VIEW),
        Method.CONSUMER_INTEGRATION_EXAMPLE: _signature(Kind.VIEW),
    }
)


class CourtMethod(StrEnum):
    """Public methods of a court, in the order of `contracts/usage_court.py`."""

    OPEN_DISPUTE = "open_dispute"
    JUDGE = "judge"
    CLOSE_DISPUTE = "close_dispute"
    GET_DISPUTE = "get_dispute"
    LIST_DISPUTES = "list_disputes"
    LIST_DISPUTES_OF = "list_disputes_of"
    GET_COURT = "get_court"
    GET_SOLVENCY = "get_solvency"


COURT_METHODS: Final[Mapping[CourtMethod, Signature]] = MappingProxyType(
    {
        CourtMethod.OPEN_DISPUTE: _signature(Kind.PAYABLE, "api_name day_id claim evidence_url"),
        CourtMethod.JUDGE: _signature(Kind.WRITE, "dispute_id"),
        CourtMethod.CLOSE_DISPUTE: _signature(Kind.WRITE, "dispute_id"),
        CourtMethod.GET_DISPUTE: _signature(Kind.VIEW, "dispute_id"),
        CourtMethod.LIST_DISPUTES: _signature(Kind.VIEW, "api_name after limit"),
        CourtMethod.LIST_DISPUTES_OF: _signature(Kind.VIEW, "consumer after limit"),
        CourtMethod.GET_COURT: _signature(Kind.VIEW),
        CourtMethod.GET_SOLVENCY: _signature(Kind.VIEW),
    }
)


@dataclass(frozen=True, slots=True)
class Message:
    """What a method sends when it is carried out, unless it has nothing to send: a call, or without a method GEN."""

    to: str
    """`payee` (the argument `to`, else the caller), `billing` (the contract of a court or consumer), or `sender`: who
    sent the call that sends this."""
    method: str = ""
    on_acceptance: bool = False
    sends: tuple[Message, ...] = ()


_PAYOUT: Final = (Message("payee"),)
_VERDICT: Final = (Message("billing", "refund_by_court"), Message("billing", "top_up_for"))
_ANSWERS: Final = (Message("sender", "on_call_billed", True), Message("sender", "on_call_denied", True))
_REQUEST: Final = (Message("billing", Method.REQUEST_CALL, True, _ANSWERS),)
_RECLAIM: Final = (Message("billing", Method.WITHDRAW_CREDIT, False, (Message("sender", "receive_credit"),)),)

MESSAGES: Final[Mapping[str, tuple[Message, ...]]] = MappingProxyType(
    {
        Method.WITHDRAW_EARNINGS: _PAYOUT,
        Method.WITHDRAW_CREDIT: _PAYOUT,
        CourtMethod.OPEN_DISPUTE: (Message("billing", "freeze_by_court"),),
        CourtMethod.JUDGE: _VERDICT,
        CourtMethod.CLOSE_DISPUTE: _VERDICT,
    }
)
"""By method of the billing contract and of courts, when an account calls it; what a contract calls is paid by who
called that. On networks with fees each message needs an allocation."""

CONSUMER_MESSAGES: Final[Mapping[str, tuple[Message, ...]]] = MappingProxyType(
    {
        "subscribe": (Message("billing", Method.SUBSCRIBE),),
        "fetch": _REQUEST,
        "retry": _REQUEST,
        "reclaim_credit": _RECLAIM,
    }
)
"""The same of consumer contracts such as `contracts/examples/metered_fetch.py`."""


class Event(StrEnum):
    """Events, each of which is also printed as one line `[Name] key=value …`."""

    API_REGISTERED = "ApiRegistered"
    API_PLAN_CHANGED = "ApiPlanChanged"
    API_STATUS_CHANGED = "ApiStatusChanged"
    OPERATOR_CHANGED = "OperatorChanged"
    EARNINGS_WITHDRAWN = "EarningsWithdrawn"
    USAGE_SETTLED = "UsageSettled"
    SUBSCRIBED = "Subscribed"
    UNSUBSCRIBED = "Unsubscribed"
    CREDIT_TOPPED_UP = "CreditToppedUp"
    DEPOSIT_KEPT = "DepositKept"
    CREDIT_WITHDRAWN = "CreditWithdrawn"
    CREDIT_DEPLETED = "CreditDepleted"
    HOLD_PLACED = "HoldPlaced"
    HOLD_RELEASED = "HoldReleased"
    CALL_BILLED = "CallBilled"
    LIMIT_EXCEEDED = "LimitExceeded"
    PROMISE_SET = "PromiseSet"
    EARNINGS_COLLECTED = "EarningsCollected"
    EARNINGS_FROZEN = "EarningsFrozen"
    REFUNDED = "Refunded"


@dataclass(frozen=True, slots=True)
class EventFields:
    """The names of an event's fields; the indexed ones in alphabetical order."""

    indexed: tuple[str, ...]
    others: tuple[str, ...]


def _fields(indexed: str, others: str) -> EventFields:
    return EventFields(tuple(indexed.split()), tuple(others.split()))


_OF_API: Final = "api_name operator"
_OF_USE: Final = "api_name consumer"
_PLAN: Final = f"plan_name {_LIMITS}"

EVENTS: Final[Mapping[Event, EventFields]] = MappingProxyType(
    {
        Event.API_REGISTERED: _fields(_OF_API, _PLAN),
        Event.API_PLAN_CHANGED: _fields(_OF_API, _PLAN),
        Event.API_STATUS_CHANGED: _fields(_OF_API, "active"),
        Event.OPERATOR_CHANGED: _fields(_OF_API, "former_operator"),
        Event.EARNINGS_WITHDRAWN: _fields("operator", "amount_wei earnings_wei to"),
        Event.USAGE_SETTLED: _fields(_OF_API, "sequence usage_root billed_calls billed_wei refused_entries"),
        Event.SUBSCRIBED: _fields(_OF_USE, "plan_name accepted_price_wei max_daily_spend_wei"),
        Event.UNSUBSCRIBED: _fields(_OF_USE, "hold_wei"),
        Event.CREDIT_TOPPED_UP: _fields("consumer", "payer amount_wei credit_wei"),
        Event.DEPOSIT_KEPT: _fields("consumer", "code credited_wei"),
        Event.CREDIT_WITHDRAWN: _fields("consumer", "amount_wei credit_wei to"),
        Event.CREDIT_DEPLETED: _fields("consumer", "credit_wei held_wei"),
        Event.HOLD_PLACED: _fields(_OF_USE, "amount_wei hold_wei expires_at signer credit_wei"),
        Event.HOLD_RELEASED: _fields(_OF_USE, "released_wei"),
        Event.CALL_BILLED: _fields(_OF_USE, "receipt_id day_id call_no cost_wei credit_wei calls"),
        Event.LIMIT_EXCEEDED: _fields(_OF_USE, "code calls amount_wei"),
        Event.PROMISE_SET: _fields(_OF_API, "court payout_days max_refund_percent from_day"),
        Event.EARNINGS_COLLECTED: _fields(_OF_API, "collected_wei collected_through"),
        Event.EARNINGS_FROZEN: _fields(_OF_USE, "day_id amount_wei"),
        Event.REFUNDED: _fields(_OF_USE, "amount_wei credit_wei day_id reason"),
    }
)


class NoticeKind(StrEnum):
    """What a consumer's notices are about."""

    LIMIT = "limit"
    PRICE = "price"
    SETTLEMENT = "settlement"
    LOW_CREDIT = "low_credit"
    REFUND = "refund"
