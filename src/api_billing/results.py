"""What the contract answers, as frozen dataclasses. Amounts are integer wei, `_at` is unix seconds, days are UTC.

Each `of` takes the contract's own answer. Fields it has beyond these are left out, so that a later contract with more
of them can still be read; a missing field or one of another type raises `UnexpectedAnswer`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from api_billing.errors import UnexpectedAnswer
from api_billing.vouchers import Voucher


class Answer:
    """Base of the dataclasses here."""

    @classmethod
    def of(cls, answer: object) -> Self:
        """Read the contract's mapping. Raises: UnexpectedAnswer."""
        read: Self = _read(cls, answer, cls.__name__)
        return read

    def as_dict(self) -> dict[str, Any]:
        """The same as mappings and lists, for JSON."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]  # every subclass is a dataclass


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
class ApiPage(Answer):
    """A page of the list of all APIs; ``total`` counts all."""

    total: int
    apis: tuple[Api, ...]


@dataclass(frozen=True, slots=True)
class ApiUsage(Answer):
    """A consumer's line for one API in the usage report. Limits of 0 are none, as is ``calls_left_today`` None.

    ``settlements`` is the sequence of the API's last one: whoever settles knows by it what the rest includes.
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


@dataclass(frozen=True, slots=True)
class UsageReport(Answer):
    """Everything a dashboard shows of a consumer. ``notices`` counts all there ever were."""

    consumer: str
    day_id: int
    credit_balance_wei: int
    held_wei: int
    low_credit: bool
    notices: int
    resets_at: int
    month_resets_at: int
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

    day_id: int
    calls: int
    spend_wei: int


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
    """Whether the contract billed the call of this receipt."""

    receipt_id: str
    valid: bool
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
class Earnings(Answer):
    """What an operator can withdraw, and has withdrawn."""

    operator: str
    earnings_wei: int
    withdrawn_wei: int


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
class Settlement(Answer):
    """The outcome of a settlement."""

    api_name: str
    sequence: int
    usage_root: str
    billed_calls: int
    billed_wei: int
    settled_at: int
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
    """What the contract holds and owes."""

    balance_wei: int
    owed_wei: int
    surplus_wei: int
    credit_wei: int
    held_wei: int
    earnings_wei: int
    deposited_wei: int
    withdrawn_wei: int


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


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: object, where: str) -> Any:
    """Check a value against a type hint of the dataclasses above, and turn mappings into them."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not type(None))
        return _read(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _unexpected(where, value)
        return tuple(_read(get_args(kind)[0], each, f"{where}[{i}]") for i, each in enumerate(value))
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise _unexpected(where, value)
        return _read_record(kind, value, where)
    if type(value) is not kind:
        raise _unexpected(where, value)
    return value


def _read_record(kind: Any, value: Mapping[Any, object], where: str) -> Any:
    hints = _hints(kind)
    missing = [name for name in hints if name not in value]
    if missing:
        raise UnexpectedAnswer(f"{where} has no {', '.join(missing)}")
    return kind(**{name: _read(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _unexpected(where: str, value: object) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"{where} cannot be {str(value)[:80]!r}")
