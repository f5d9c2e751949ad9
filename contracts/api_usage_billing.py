# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""Prepaid, per-call billing for HTTP APIs.

Operators register APIs with plans and earn; meters are addresses they let report usage; consumers have credit.
Anyone may top up anyone. Nobody owns this contract, and its code cannot change.
Money: deposit -> credit -> (hold) -> earnings -> withdrawal. A hold pays the settlements of its one API only.
Amounts are integer wei. Time is the transaction's, UTC: day_id = unix // 86400, month_id = year * 12 + month - 1.
A payable call with value never raises: what cannot be carried out is credited to its caller (DepositKept).
"""

import hashlib
import json
import re
import typing
from dataclasses import dataclass
from datetime import UTC, datetime

from genlayer import *
from genlayer.py import calldata

DAY_SECONDS = 86_400
HISTORY_DAYS = 400
KEPT = 64  # requests and notices of a consumer, settlements of an API
MAX_HOLD_SECONDS = 366 * DAY_SECONDS
MAX_ENTRIES = 256
MAX_PER_API = 64  # plans, meters
MAX_PAGE = 100
MAX_WEI = 2**128 - 1
MAX_CALLS = 2**48 - 1  # what a day can count, and the limit of a plan that has none
STANDARD = "standard"
ZERO = Address(bytes(20))
NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
RECEIPT = re.compile(f"({NAME.pattern}):(0x[0-9a-f]{{40}})" + ":(0|[1-9][0-9]{0,14})" * 2)
ROOT = re.compile("((0x)?[0-9a-fA-F]{64})?")

# A refusal reads "[EXPECTED] <code>: <text>". No code is ever used for anything else.
ERRORS = dict(
    line.split(": ")
    for line in """\
bad_type: wrong type of argument
bad_address: not an address
bad_name: a name is [a-z0-9][a-z0-9._-]{0,63}
number_too_large: number too large
negative_number: number cannot be negative
api_name_required: api_name is required
cost_not_positive: cost_per_call_wei must be positive
daily_limit_not_positive: daily_limit_calls must be positive
free_plan_without_limit: a free plan needs a limit
max_spend_not_positive: max_daily_spend_wei must be positive
negative_deposit: initial_deposit_wei cannot be negative
amount_not_positive: amount must be positive
value_mismatch: amount differs from value
calls_not_positive: calls must be positive
bad_percent: percent must be 0 to 100
bad_request_id: request_id must have 1 to 64 characters
bad_receipt_id: not api_name:consumer:day_id:call_no
bad_expiry: expires_at must be in the next 366 days
bad_range: from_day is after to_day
bad_entry: not {consumer, day_id, calls > 0, spend_wei}
bad_usage_root: usage_root is not 32 bytes in hex
too_many_entries: a settlement has 1 to 256 entries
api_not_registered: api not registered
plan_not_found: api has no such plan
too_many_plans: api has 64 plans
too_many_meters: api has 64 meters
not_operator: caller is not the operator
not_proposed: caller was not proposed
not_authorized: caller may not bill this consumer
caller_not_contract: caller is not a contract
hold_in_force: hold has not expired
hold_not_shortened: a hold cannot be cut short
no_hold: no hold on this api
insufficient_earnings: insufficient earnings
sequence_gap: not the next sequence
sequence_forgotten: outcome not kept
api_paused: api is paused
not_subscribed: consumer not subscribed to api
price_changed: price rose, subscribe again to accept it
daily_limit_exceeded: daily call limit exceeded
monthly_limit_exceeded: monthly call limit exceeded
daily_spend_exceeded: max daily spend exceeded
insufficient_credit: insufficient prepaid credit
day_closed: day is neither today nor yesterday
spend_above_price: spend_wei exceeds the accepted price""".splitlines()
)

# Events. At most three indexed fields, in alphabetical order: the library matches the arguments with the sorted names.


class ApiRegistered(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class ApiPlanChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class ApiStatusChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class OperatorChanged(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class EarningsWithdrawn(gl.Event):
    def __init__(self, operator: Address, /, **blob): ...


class UsageSettled(gl.Event):
    def __init__(self, api_name: str, operator: Address, /, **blob): ...


class Subscribed(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class Unsubscribed(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class CreditToppedUp(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class DepositKept(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class CreditWithdrawn(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class CreditDepleted(gl.Event):
    def __init__(self, consumer: Address, /, **blob): ...


class HoldPlaced(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class HoldReleased(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class CallBilled(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


class LimitExceeded(gl.Event):
    def __init__(self, api_name: str, consumer: Address, /, **blob): ...


# Records. Counters that a billed call changes together share one word:
#   day:   day_id << 224 | calls with a receipt << 176 | settled calls << 128 | spend_wei
#   month: month_id << 224 | calls << 160 | spend_wei


@allow_storage
@dataclass
class Plan:
    plan_name: str
    cost_per_call_wei: u256
    daily_limit_calls: u64  # 0: none
    monthly_limit_calls: u64  # 0: none


@allow_storage
@dataclass
class Api:
    name: str
    operator_id: u32
    active: bool
    proposed_operator: Address
    plans: DynArray[Plan]  # the first is `standard`
    meters: TreeMap[Address, bool]
    sequence: u64  # of the last settlement
    settlements: DynArray[bytes]  # ring of outcomes


@allow_storage
@dataclass
class Operator:
    address: Address
    earnings_wei: u256
    withdrawn_wei: u256


@allow_storage
@dataclass
class Subscription:
    active: bool
    plan_id: u32
    accepted_price_wei: u256
    max_daily_spend_wei: u256
    hold_wei: u256
    hold_expires_at: u64
    month: u256
    last_month: u256  # its last day may still be settled
    days: DynArray[u256]  # ring of days with usage
    days_written: u64


@allow_storage
@dataclass
class Account:
    credit_wei: u256  # free, without holds
    held_wei: u256
    topped_up_wei: u256  # credit and holds after the last top-up
    alert_percent: u8
    alerted: bool
    subscriptions: TreeMap[u32, Subscription]  # by API id
    digests: bytes  # of the kept requests, in the order of `answers`
    answers: DynArray[bytes]  # ring
    answers_written: u64
    notices: DynArray[bytes]  # ring
    notices_written: u64


class Nobody:
    """Stands for the account, the subscription and the earnings of who has none."""

    credit_wei = held_wei = topped_up_wei = hold_wei = notices_written = days_written = earnings_wei = withdrawn_wei = 0
    alert_percent = 20
    alerted = active = False
    subscriptions: typing.ClassVar = {}
    digests = b""


class Usage(typing.NamedTuple):
    """What a subscription used on a day and in its month; `index` is the day's place in the ring, -1: none yet."""

    day_id: int
    index: int
    receipts: int
    settled: int
    spend_wei: int
    month_id: int
    month_calls: int
    month_spend_wei: int


@gl.evm.contract_interface
class PlainAccount:
    class View:
        pass

    class Write:
        pass


# Arguments: nothing checks their types before the contract does.


def _fail(code: str, detail: str = "") -> typing.NoReturn:
    raise gl.vm.UserError(f"[EXPECTED] {code}: {ERRORS[code]}{detail and f' ({detail})'}")


def _require(condition: bool, code: str) -> None:
    if not condition:
        _fail(code)


def _code_of(refusal: gl.vm.UserError) -> str:
    return refusal.message.split(" ", 1)[1].split(":", 1)[0]


def _int(value, field: str, too_low: str = "negative_number", low: int = 0, high: int = MAX_WEI) -> int:
    if type(value) is not int:  # a bool is none
        _fail("bad_type", field)
    _require(value >= low, too_low)
    if value > high:
        _fail("number_too_large", field)
    return value


def _bool(value, field: str) -> bool:
    if type(value) is not bool:
        _fail("bad_type", field)
    return value


def _text(value, field: str) -> str:
    """Some clients turn digits into a number and 40 hex digits into an address: take both back."""
    if isinstance(value, Address):
        return _hex(value)
    if type(value) is int and 0 <= value < 10**64:
        return str(value)
    if not isinstance(value, str):
        _fail("bad_type", field)
    return value


def _name(value, field: str = "api_name") -> str:
    name = _text(value, field).strip().lower()
    if field == "api_name":
        _require(name != "", "api_name_required")
    if not NAME.fullmatch(name):
        _fail("bad_name", field)
    return name


def _address(value, field: str = "consumer_address") -> Address:
    if (isinstance(value, str) and ADDRESS.fullmatch(value)) or (isinstance(value, bytes) and len(value) == 20):
        value = Address(value)
    if not isinstance(value, Address) or value == ZERO:
        _fail("bad_address", field)
    return value


def _request_id(value) -> str:
    request_id = _text(value, "request_id")
    _require(0 < len(request_id) <= 64, "bad_request_id")
    return request_id


def _entry(value) -> tuple[Address, int, int, int]:
    if not isinstance(value, dict) or set(value) != {"consumer", "day_id", "calls", "spend_wei"}:
        _fail("bad_entry")
    consumer, day_id = _address(value["consumer"], "consumer"), _int(value["day_id"], "day_id")
    calls = _int(value["calls"], "calls", "bad_entry", 1, MAX_CALLS)
    return consumer, day_id, calls, _int(value["spend_wei"], "spend_wei")


# Time, events, rings.


def _now() -> int:
    """Unix seconds of the transaction."""
    return int(datetime.fromisoformat(gl.message_raw["datetime"].replace("Z", "+00:00")).timestamp())


def _today() -> int:
    return _now() // DAY_SECONDS


def _month_of(day_id: int) -> int:
    day = datetime.fromtimestamp(day_id * DAY_SECONDS, UTC)
    return day.year * 12 + day.month - 1


def _hex(address: Address) -> str:
    return address.as_hex.lower()


def _announce(event: type[gl.Event], **fields) -> None:
    """Emit the event and print it, which is what Studio shows. API, consumer and operator are its indexed fields."""
    indexed = [key for key in ("api_name", "consumer", "operator") if key in fields]
    blob = {key: value for key, value in fields.items() if key not in indexed}
    event(*(fields[key] for key in indexed), **blob).emit()
    print(f"[{event.__name__}]", *(f"{k}={_hex(v) if isinstance(v, Address) else v}" for k, v in fields.items()))


def _keep(ring: DynArray[bytes], number: int, value: dict) -> None:
    """Store entry `number` (counted from 0) of a ring of `KEPT`."""
    if number < KEPT:
        ring.append(calldata.encode(value))
    else:
        ring[number % KEPT] = calldata.encode(value)


# Usage counters.


def _words(sub) -> typing.Iterator[tuple[int, int]]:
    """Places and words of the days with usage, the latest first."""
    written = sub.days_written
    for number in range(written - 1, max(written - HISTORY_DAYS, 0) - 1, -1):
        yield number % HISTORY_DAYS, sub.days[number % HISTORY_DAYS]


def _find_day(sub, day_id: int) -> tuple[int, int]:
    for index, word in _words(sub):
        if word >> 224 <= day_id:
            return (index, word) if word >> 224 == day_id else (-1, 0)
    return -1, 0


def _usage(sub, day_id: int) -> Usage:
    index, word = _find_day(sub, day_id)
    month_id = _month_of(day_id)
    month = sub.month
    if month >> 224 != month_id:
        month = sub.last_month
        month = month if month >> 224 == month_id else 0
    day = (word >> 176 & MAX_CALLS, word >> 128 & MAX_CALLS, word & MAX_WEI)
    return Usage(day_id, index, *day, month_id, month >> 160 & 2**64 - 1, month & 2**160 - 1)


def _count(sub, usage: Usage, receipts: int, settled: int, cost: int) -> None:
    """Add billed calls to the day and the month of `usage`."""
    calls = usage.receipts + receipts << 176 | usage.settled + settled << 128
    _store_day(sub, usage, usage.day_id << 224 | calls | usage.spend_wei + cost)
    calls = usage.month_calls + receipts + settled
    month = usage.month_id << 224 | calls << 160 | usage.month_spend_wei + cost
    stored = sub.month
    if month >> 224 < stored >> 224:
        sub.last_month = month
        return
    if month >> 224 > stored >> 224:
        sub.last_month = stored
    sub.month = month


def _store_day(sub, usage: Usage, word: int) -> None:
    written = sub.days_written
    if usage.index >= 0:
        sub.days[usage.index] = word
        return
    last = (written - 1) % HISTORY_DAYS
    if written and sub.days[last] >> 224 > usage.day_id:  # yesterday's first usage comes after today's
        sub.days[last], word = word, sub.days[last]
    if written < HISTORY_DAYS:
        sub.days.append(word)
    else:
        sub.days[written % HISTORY_DAYS] = word
    sub.days_written = written + 1


def _affordable(calls: int, spend: int, limit: int) -> int:
    """The most of the calls whose share of the spend, spend * n // calls, stays within the limit."""
    if limit < 0:
        return 0
    return calls if spend <= limit else ((limit + 1) * calls - 1) // spend


class ApiUsageBilling(gl.Contract):
    # wei; the free credit of all consumers is deposited - withdrawn - held - earnings
    deposited_wei: u256
    withdrawn_wei: u256
    held_wei: u256
    earnings_wei: u256
    # operators
    apis: DynArray[Api]
    api_ids: TreeMap[str, u32]
    operators: DynArray[Operator]
    operator_ids: TreeMap[Address, u32]
    # consumers, the only map that grows with them
    accounts: TreeMap[Address, Account]

    def __init__(self):
        pass

    # ---- operator ----

    @gl.public.write
    def register_api(
        self, api_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int = 0
    ) -> None:
        """Register an API with the plan `standard`, or change that plan.

        Caller: anyone for a free name, then its operator. Emits: ApiRegistered or ApiPlanChanged.
        Fails: cost_not_positive, daily_limit_not_positive, not_operator
        """
        name = _name(api_name)
        codes = "cost_not_positive", "daily_limit_not_positive"
        limits = self._plan(STANDARD, cost_per_call_wei, daily_limit_calls, monthly_limit_calls, 1, codes)
        if name in self.api_ids:
            self._change_plan(self._operated(name), limits)
            return
        self.api_ids[name] = len(self.apis)
        api = self.apis.append_new_get()
        api.name, api.active = name, True
        api.operator_id = self._operator_id(gl.message.sender_address)
        api.plans.append(Plan(**limits))
        _announce(ApiRegistered, api_name=name, operator=gl.message.sender_address, **limits)

    @gl.public.write
    def set_plan(
        self, api_name: str, plan_name: str, cost_per_call_wei: int, daily_limit_calls: int, monthly_limit_calls: int
    ) -> None:
        """Add or change a plan; a limit of 0 is none. Limits apply at once, a higher price to who accepts it.

        Caller: operator. Emits: ApiPlanChanged. Fails: free_plan_without_limit, not_operator, too_many_plans
        """
        name = _name(api_name)
        limits = self._plan(plan_name, cost_per_call_wei, daily_limit_calls, monthly_limit_calls)
        self._change_plan(self._operated(name), limits)

    @gl.public.write
    def set_api_active(self, api_name: str, active: bool) -> None:
        """Pause or resume billing; past usage can be settled all the same.

        Caller: operator. Emits: ApiStatusChanged. Fails: not_operator
        """
        name, active = _name(api_name), _bool(active, "active")
        self._operated(name).active = active
        _announce(ApiStatusChanged, api_name=name, operator=gl.message.sender_address, active=active)

    @gl.public.write
    def set_meter(self, api_name: str, meter: str, allowed: bool) -> None:
        """Allow an address to report usage of the API, or forbid it. It cannot move money.

        Caller: operator. Fails: bad_address, not_operator, too_many_meters
        """
        name, meter, allowed = _name(api_name), _address(meter, "meter"), _bool(allowed, "allowed")
        meters = self._operated(name).meters
        if allowed:
            _require(len(meters) < MAX_PER_API or meter in meters, "too_many_meters")
            meters[meter] = True
        else:
            meters.pop(meter, None)

    @gl.public.write
    def propose_operator(self, api_name: str, operator: str) -> None:
        """Offer the API to somebody, who has to accept; a later offer replaces it.

        Caller: operator. Fails: bad_address, not_operator
        """
        name, proposed = _name(api_name), _address(operator, "operator")
        self._operated(name).proposed_operator = proposed

    @gl.public.write
    def accept_operator(self, api_name: str) -> None:
        """Take over an API; earlier earnings stay with the former operator, its meters end.

        Caller: the proposed operator. Emits: OperatorChanged. Fails: not_proposed
        """
        name, caller = _name(api_name), gl.message.sender_address
        _, api = self._api(name)
        _require(api.proposed_operator == caller, "not_proposed")
        former = self._operator(api).address
        api.operator_id = self._operator_id(caller)
        api.proposed_operator = ZERO
        api.meters.clear()
        _announce(OperatorChanged, api_name=name, operator=caller, former_operator=former)

    @gl.public.write
    def withdraw_earnings(self, amount: int) -> None:
        """Pay earnings to the caller once final.

        Caller: operator. Emits: EarningsWithdrawn. Fails: amount_not_positive, insufficient_earnings
        """
        amount, caller = _int(amount, "amount", "amount_not_positive", 1), gl.message.sender_address
        operator = self._earner(caller)
        _require(amount <= operator.earnings_wei, "insufficient_earnings")
        operator.earnings_wei -= amount
        operator.withdrawn_wei += amount
        self.earnings_wei -= amount
        self._pay(caller, amount)
        _announce(EarningsWithdrawn, operator=caller, amount_wei=amount, earnings_wei=operator.earnings_wei)

    # ---- consumer ----

    @gl.public.write.payable
    def subscribe(
        self, api_name: str, max_daily_spend_wei: int, initial_deposit_wei: int, plan_name: str = STANDARD
    ) -> dict:
        """Subscribe, or change plan and cap; accepts the present price. A hold forbids a lower cap or another plan.

        Caller: consumer. Value: initial_deposit_wei. Emits: CreditToppedUp, Subscribed or DepositKept.
        Fails: max_spend_not_positive, negative_deposit, value_mismatch, plan_not_found, hold_in_force
        """
        caller, value = gl.message.sender_address, gl.message.value
        try:
            name, plan_name = _name(api_name), _name(plan_name, "plan_name")
            cap = _int(max_daily_spend_wei, "max_daily_spend_wei", "max_spend_not_positive", 1)
            deposit = _int(initial_deposit_wei, "initial_deposit_wei", "negative_deposit")
            _require(deposit == value, "value_mismatch")
            api_id, api = self._api(name)
            plan_id = self._plan_id(api, plan_name)
            _require(plan_id >= 0, "plan_not_found")
            _, sub = self._known(caller, api_id)
            price = api.plans[plan_id].cost_per_call_wei
            if sub.hold_wei and _now() < sub.hold_expires_at:
                _require(cap >= sub.max_daily_spend_wei and plan_id == sub.plan_id, "hold_in_force")
                price = max(price, sub.accepted_price_wei)  # at which usage may still be settled
        except gl.vm.UserError as refusal:
            return self._keep_deposit(refusal)
        account = self._deposit(caller, value) if value else self._account(caller)
        sub = account.subscriptions.get_or_insert_default(api_id)
        sub.active, sub.plan_id, sub.accepted_price_wei, sub.max_daily_spend_wei = True, plan_id, price, cap
        accepted = {"plan_name": plan_name, "accepted_price_wei": price, "max_daily_spend_wei": cap}
        _announce(Subscribed, api_name=name, consumer=caller, **accepted)
        return {"ok": True, "credited_wei": value, "credit_wei": account.credit_wei, **accepted}

    @gl.public.write
    def unsubscribe(self, api_name: str) -> None:
        """End the subscription. A hold in force stays, for usage that is still to be settled.

        Caller: consumer. Emits: Unsubscribed, HoldReleased. Fails: not_subscribed
        """
        name, caller = _name(api_name), gl.message.sender_address
        account, sub = self._known(caller, self._api(name)[0])
        _require(sub.active, "not_subscribed")
        sub.active = False
        _announce(Unsubscribed, api_name=name, consumer=caller, hold_wei=sub.hold_wei)
        if sub.hold_wei and _now() >= sub.hold_expires_at:
            self._release(name, caller, account, sub)

    @gl.public.write.payable
    def top_up_credit(self, amount: int) -> dict:
        """Add the value of the call to the caller's credit.

        Value: amount. Emits: CreditToppedUp or DepositKept. Fails: amount_not_positive, value_mismatch
        """
        return self._top_up(gl.message.sender_address, amount)

    @gl.public.write.payable
    def top_up_for(self, consumer_address: str, amount: int) -> dict:
        """Add the value of the call to anyone's credit.

        Value: amount. Emits: CreditToppedUp or DepositKept. Fails: bad_address, amount_not_positive, value_mismatch
        """
        return self._top_up(consumer_address, amount)

    @gl.public.write
    def withdraw_credit(self, amount: int) -> None:
        """Pay free credit back to the caller once final.

        Caller: consumer. Emits: CreditWithdrawn, CreditDepleted. Fails: amount_not_positive, insufficient_credit
        """
        amount, caller = _int(amount, "amount", "amount_not_positive", 1), gl.message.sender_address
        account, _ = self._known(caller)
        credit = account.credit_wei - amount
        _require(credit >= 0, "insufficient_credit")
        account.credit_wei = credit
        self._pay(caller, amount)
        _announce(CreditWithdrawn, consumer=caller, amount_wei=amount, credit_wei=credit)
        self._alert(caller, account, credit, "")

    @gl.public.write
    def set_low_credit_alert(self, percent: int) -> None:
        """Choose at which percentage of the credit after the last top-up CreditDepleted goes out; 0: never.

        Caller: consumer. Fails: bad_percent
        """
        percent = _int(percent, "percent", "bad_percent")
        _require(percent <= 100, "bad_percent")
        self._account(gl.message.sender_address).alert_percent = percent

    @gl.public.write
    def place_hold(self, api_name: str, amount: int, expires_at: int) -> None:
        """Set `amount` more credit aside for the settlements of one API until unix time `expires_at`; 0 only prolongs.

        Caller: consumer. Emits: HoldPlaced.
        Fails: bad_expiry, not_subscribed, amount_not_positive, hold_not_shortened, insufficient_credit
        """
        name, amount, caller = _name(api_name), _int(amount, "amount"), gl.message.sender_address
        expires_at = _int(expires_at, "expires_at", "bad_expiry")
        _require(0 < expires_at - _now() <= MAX_HOLD_SECONDS, "bad_expiry")
        account, sub = self._known(caller, self._api(name)[0])
        _require(sub.active, "not_subscribed")
        _require(amount + sub.hold_wei > 0, "amount_not_positive")
        _require(sub.hold_wei == 0 or expires_at >= sub.hold_expires_at, "hold_not_shortened")
        _require(amount <= account.credit_wei, "insufficient_credit")
        account.credit_wei -= amount
        self._hold(account, sub, amount)
        sub.hold_expires_at = expires_at
        hold = {"hold_wei": sub.hold_wei, "expires_at": expires_at, "credit_wei": account.credit_wei}
        _announce(HoldPlaced, api_name=name, consumer=caller, amount_wei=amount, **hold)

    @gl.public.write
    def release_hold(self, api_name: str, consumer_address: str = "") -> None:
        """Turn what is left of a hold into free credit.

        Caller: the consumer after expiry; the operator, naming the consumer, at any time. Emits: HoldReleased.
        Fails: not_operator, no_hold, hold_in_force
        """
        name, caller = _name(api_name), gl.message.sender_address
        consumer = caller if consumer_address == "" else _address(consumer_address)
        api_id, api = self._api(name)
        is_operator = self._operator(api).address == caller
        _require(consumer == caller or is_operator, "not_operator")
        account, sub = self._known(consumer, api_id)
        _require(sub.hold_wei > 0, "no_hold")
        _require(is_operator or _now() >= sub.hold_expires_at, "hold_in_force")
        self._release(name, consumer, account, sub)

    # ---- billing ----

    @gl.public.write
    def consume_credit(self, api_name: str, consumer_address: str, calls: int = 1, request_id: str = "") -> dict:
        """Bill calls from free credit and return the receipt; the same request_id again bills nothing.

        Caller: the consumer, the operator or a meter. Emits: CallBilled, CreditDepleted.
        Fails: calls_not_positive, bad_request_id, not_authorized, and with the codes of quote_call
        """
        name, consumer = _name(api_name), _address(consumer_address)
        calls = _int(calls, "calls", "calls_not_positive", 1, MAX_CALLS)
        request_id = request_id if request_id == "" else _request_id(request_id)
        api_id, api = self._api(name)
        _require(consumer == gl.message.sender_address or self._may_report(api), "not_authorized")
        account, sub = self._known(consumer, api_id)
        answer = self._answer(account, name, request_id)
        if answer is None:
            code, cost, usage = self._quote(api, account, sub, calls)
            answer = {"code": code, "receipt": None}
            if code == "":
                answer["receipt"] = self._bill(name, consumer, api, account, sub, calls, cost, usage)
                self._remember(account, name, request_id, answer)
        if answer["code"]:
            _fail(answer["code"])
        return answer["receipt"]

    @gl.public.write
    def request_call(self, api_name: str, request_id: str) -> dict:
        """Bill one call of the calling contract and call it back, once accepted, on_call_billed(request_id, receipt) or
        on_call_denied(request_id, code). The same request_id again bills nothing and sends the same answer.

        Caller: a contract. Emits: CallBilled, CreditDepleted, LimitExceeded. Fails: bad_request_id, caller_not_contract
        """
        caller, request_id = gl.message.sender_address, _request_id(request_id)
        _require(caller != gl.message.origin_address, "caller_not_contract")
        account = self._account(caller)
        name, code = "", ""
        try:
            name = _name(api_name)
            api_id, api = self._api(name)
        except gl.vm.UserError as refusal:
            code = _code_of(refusal)
        answer = self._answer(account, name, request_id)
        if answer is None:
            receipt = None
            if code == "":
                sub = account.subscriptions.get(api_id, Nobody)
                code, cost, usage = self._quote(api, account, sub, 1)
            if code == "":
                receipt = self._bill(name, caller, api, account, sub, 1, cost, usage)
            else:
                self._refuse("limit", caller, account, name, code, 1, 0)
            answer = {"code": code, "receipt": receipt}
            self._remember(account, name, request_id, answer)
        callback = gl.get_contract_at(caller).emit(on="accepted")
        if answer["code"]:
            callback.on_call_denied(request_id, answer["code"])
        else:
            callback.on_call_billed(request_id, answer["receipt"])
        return answer

    @gl.public.write
    def settle_usage(self, api_name: str, sequence: int, entries: list, usage_root: str = "") -> dict:
        """Bill what a meter counted: 1 to 256 entries {consumer, day_id, calls, spend_wei}, of today or yesterday. Of
        each as many calls as fit are billed, from hold, then from free credit. A settled sequence answers as before.

        Caller: operator or meter. usage_root: Merkle root of the usage lines. Emits: UsageSettled, LimitExceeded.
        Fails: too_many_entries, bad_entry, bad_usage_root, not_authorized, sequence_gap, sequence_forgotten
        """
        name, sequence = _name(api_name), _int(sequence, "sequence", high=2**64 - 1)
        root = usage_root.hex() if isinstance(usage_root, bytes) else usage_root
        _require(isinstance(root, str) and ROOT.fullmatch(root) is not None, "bad_usage_root")
        if not isinstance(entries, list):
            _fail("bad_type", "entries")
        _require(0 < len(entries) <= MAX_ENTRIES, "too_many_entries")
        lines = [_entry(entry) for entry in entries]
        api_id, api = self._api(name)
        _require(self._may_report(api), "not_authorized")
        if 0 < sequence <= api.sequence:
            return self._settlement(api, sequence)
        _require(sequence == api.sequence + 1, "sequence_gap")
        outcomes = [self._settle(name, api_id, api, *line) for line in lines]
        sums = {key: sum(outcome[key] for outcome in outcomes) for key in ("billed_calls", "billed_wei")}
        self._earn(api, sums["billed_wei"])
        head = {"api_name": name, "sequence": sequence, "usage_root": root.removeprefix("0x").lower(), **sums}
        outcome = {**head, "settled_at": _now(), "entries": outcomes}
        _keep(api.settlements, sequence - 1, outcome)
        api.sequence = sequence
        refused = sum(outcome["code"] != "" for outcome in outcomes)
        _announce(UsageSettled, operator=self._operator(api).address, refused_entries=refused, **head)
        return outcome

    # ---- views ----

    @gl.public.view
    def get_usage_report(self, consumer_address: str) -> str:
        """JSON: everything a dashboard shows of a consumer."""
        consumer, today = _address(consumer_address), _today()
        account, _ = self._known(consumer)
        month = _month_of(today) + 1
        month_end = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        report = {
            "consumer": _hex(consumer),
            "day_id": today,
            "credit_balance_wei": account.credit_wei,
            "held_wei": account.held_wei,
            "low_credit": account.alerted,
            "notices": account.notices_written,
            "resets_at": (today + 1) * DAY_SECONDS,
            "month_resets_at": int(month_end.timestamp()),
            "apis": [self._report_line(self.apis[i], sub, today) for i, sub in account.subscriptions.items()],
        }
        return json.dumps(report)

    @gl.public.view
    def get_api(self, api_name: str) -> dict:
        """An API with its plans and meters."""
        return self._api_view(self._api(_name(api_name))[1])

    @gl.public.view
    def list_apis(self, offset: int = 0, limit: int = MAX_PAGE) -> dict:
        """APIs in the order of registration, at most 100 at a time."""
        total, offset, limit = len(self.apis), _int(offset, "offset"), min(_int(limit, "limit"), MAX_PAGE)
        ids = range(min(offset, total), min(offset + limit, total))
        return {"total": total, "apis": [self._api_view(self.apis[i]) for i in ids]}

    @gl.public.view
    def get_account(self, consumer_address: str) -> dict:
        """Credit, holds and alert level of a consumer."""
        consumer = _address(consumer_address)
        account, _ = self._known(consumer)
        return {
            "consumer": _hex(consumer),
            "credit_wei": account.credit_wei,
            "held_wei": account.held_wei,
            "topped_up_wei": account.topped_up_wei,
            "alert_percent": account.alert_percent,
            "low_credit": account.alerted,
            "subscriptions": [self.apis[i].name for i, sub in account.subscriptions.items() if sub.active],
        }

    @gl.public.view
    def get_usage_history(self, consumer_address: str, api_name: str, from_day: int, to_day: int) -> list:
        """The days with usage from `from_day` to `to_day`, of the last 400. Fails: bad_range"""
        consumer, name = _address(consumer_address), _name(api_name)
        first, last = _int(from_day, "from_day"), _int(to_day, "to_day")
        _require(first <= last, "bad_range")
        first = max(first, _today() - HISTORY_DAYS + 1)
        _, sub = self._known(consumer, self._api(name)[0])
        days = []
        for _, word in _words(sub):
            if first <= word >> 224 <= last:
                calls = (word >> 176 & MAX_CALLS) + (word >> 128 & MAX_CALLS)
                days.append({"day_id": word >> 224, "calls": calls, "spend_wei": word & MAX_WEI})
        return days[::-1]

    @gl.public.view
    def quote_call(self, api_name: str, consumer_address: str, calls: int = 1) -> dict:
        """What consume_credit would do now. Codes: api_paused, not_subscribed, price_changed, daily_limit_exceeded,
        monthly_limit_exceeded, daily_spend_exceeded, insufficient_credit. Fails: calls_not_positive
        """
        name, consumer = _name(api_name), _address(consumer_address)
        calls = _int(calls, "calls", "calls_not_positive", 1, MAX_CALLS)
        api_id, api = self._api(name)
        account, sub = self._known(consumer, api_id)
        code, cost, _ = self._quote(api, account, sub, calls)
        return {"allowed": code == "", "code": code, "cost_wei": cost, "credit_wei": account.credit_wei}

    @gl.public.view
    def get_receipt(self, receipt_id: str) -> dict:
        """Whether the consumer was billed that call with a receipt. Fails: bad_receipt_id"""
        receipt = RECEIPT.fullmatch(_text(receipt_id, "receipt_id"))
        if receipt is None:
            _fail("bad_receipt_id")
        name, consumer, day_id, call_no = receipt[1], receipt[2], int(receipt[3]), int(receipt[4])
        _, sub = self._known(Address(consumer), self.api_ids.get(name, -1))
        valid = 1 <= call_no <= _find_day(sub, day_id)[1] >> 176 & MAX_CALLS
        call = {"api_name": name, "consumer": consumer, "day_id": day_id, "call_no": call_no}
        return {"receipt_id": receipt[0], "valid": valid, **call}

    @gl.public.view
    def get_earnings(self, operator_address: str) -> dict:
        """What an operator can withdraw, and has withdrawn."""
        address = _address(operator_address, "operator_address")
        operator = self._earner(address)
        paid = {"earnings_wei": operator.earnings_wei, "withdrawn_wei": operator.withdrawn_wei}
        return {"operator": _hex(address), **paid}

    @gl.public.view
    def get_settlement(self, api_name: str, sequence: int = 0) -> dict:
        """The outcome of one of the last 64 settlements, 0: the last. Fails: sequence_gap, sequence_forgotten"""
        name, sequence = _name(api_name), _int(sequence, "sequence")
        _, api = self._api(name)
        last = api.sequence
        _require(sequence <= last, "sequence_gap")
        outcome = self._settlement(api, sequence or last) if last else None
        return {"api_name": name, "next_sequence": last + 1, "settlement": outcome}

    @gl.public.view
    def list_notices(self, consumer_address: str, after: int = 0, limit: int = KEPT) -> list:
        """Those of a consumer's last 64 notices with a number above `after`, oldest first."""
        account, _ = self._known(_address(consumer_address))
        written = account.notices_written
        first = max(_int(after, "after"), written - KEPT)
        numbers = range(first, min(written, first + _int(limit, "limit")))
        return [calldata.decode(account.notices[number % KEPT]) for number in numbers]

    @gl.public.view
    def get_solvency(self) -> dict:
        """What the contract holds and owes; the surplus is GEN that arrived unasked."""
        owed = self.deposited_wei - self.withdrawn_wei
        return {
            "balance_wei": self.balance,
            "owed_wei": owed,
            "surplus_wei": self.balance - owed,
            "credit_wei": owed - self.held_wei - self.earnings_wei,
            "held_wei": self.held_wei,
            "earnings_wei": self.earnings_wei,
            "deposited_wei": self.deposited_wei,
            "withdrawn_wei": self.withdrawn_wei,
        }

    @gl.public.view
    def consumer_integration_example(self) -> str:
        """How a consumer contract pays per call."""
        return """billing = gl.get_contract_at(BILLING)
billing.emit(value=deposit).subscribe("weather", max_daily_spend_wei, deposit)  # once
billing.emit(on="accepted").request_call("weather", request_id)
# which answers on_call_billed(request_id, receipt) or on_call_denied(request_id, code): check the sender there"""

    # ---- look-ups and rights ----

    def _api(self, name: str) -> tuple[int, Api]:
        api_id = self.api_ids.get(name)
        if api_id is None:
            _fail("api_not_registered", name)
        return api_id, self.apis[api_id]

    def _operator(self, api: Api) -> Operator:
        return self.operators[api.operator_id]

    def _earner(self, address: Address):
        operator_id = self.operator_ids.get(address)
        return Nobody if operator_id is None else self.operators[operator_id]

    def _operated(self, name: str) -> Api:
        _, api = self._api(name)
        _require(self._operator(api).address == gl.message.sender_address, "not_operator")
        return api

    def _may_report(self, api: Api) -> bool:
        caller = gl.message.sender_address
        return self._operator(api).address == caller or caller in api.meters

    def _operator_id(self, address: Address) -> int:
        operator_id = self.operator_ids.get(address)
        if operator_id is None:
            operator_id = self.operator_ids[address] = len(self.operators)
            self.operators.append(Operator(address, 0, 0))
        return operator_id

    def _account(self, consumer: Address) -> Account:
        account = self.accounts.get(consumer)
        if account is None:
            account = self.accounts.get_or_insert_default(consumer)
            account.alert_percent = Nobody.alert_percent
        return account

    def _known(self, consumer: Address, api_id: int = -1) -> tuple:
        """The consumer's account and its subscription to the API, also one that ended; `Nobody` where there is none."""
        account = self.accounts.get(consumer, Nobody)
        return account, Nobody if api_id < 0 else account.subscriptions.get(api_id, Nobody)

    # ---- plans and money ----

    def _plan(self, plan_name, cost, daily, monthly, low: int = 0, too_low: tuple = ("negative_number",) * 2) -> dict:
        plan = {
            "plan_name": _name(plan_name, "plan_name"),
            "cost_per_call_wei": _int(cost, "cost_per_call_wei", too_low[0], low),
            "daily_limit_calls": _int(daily, "daily_limit_calls", too_low[1], low, MAX_CALLS),
            "monthly_limit_calls": _int(monthly, "monthly_limit_calls", high=MAX_CALLS),
        }
        _require(cost or daily or monthly, "free_plan_without_limit")
        return plan

    def _plan_id(self, api: Api, plan_name: str) -> int:
        return next((i for i, plan in enumerate(api.plans) if plan.plan_name == plan_name), -1)

    def _change_plan(self, api: Api, plan: dict) -> None:
        plan_id = self._plan_id(api, plan["plan_name"])
        if plan_id >= 0:
            api.plans[plan_id] = Plan(**plan)
        else:
            _require(len(api.plans) < MAX_PER_API, "too_many_plans")
            api.plans.append(Plan(**plan))
        _announce(ApiPlanChanged, api_name=api.name, operator=gl.message.sender_address, **plan)

    def _top_up(self, consumer_address, amount) -> dict:
        value = gl.message.value
        try:
            consumer = _address(consumer_address)
            _int(amount, "amount", "amount_not_positive", 1)
            _require(amount == value, "value_mismatch")
        except gl.vm.UserError as refusal:
            return self._keep_deposit(refusal)
        return {"ok": True, "credited_wei": value, "credit_wei": self._deposit(consumer, value).credit_wei}

    def _keep_deposit(self, refusal: gl.vm.UserError) -> dict:
        """A refused payable call fails when it has no value, and otherwise leaves it to the caller as credit."""
        caller, value = gl.message.sender_address, gl.message.value
        if value == 0:
            raise refusal
        code, account = _code_of(refusal), self._deposit(caller, value)
        _announce(DepositKept, consumer=caller, code=code, credited_wei=value)
        answer = {"ok": False, "code": code, "message": refusal.message}
        return {**answer, "credited_wei": value, "credit_wei": account.credit_wei}

    def _deposit(self, consumer: Address, amount: int) -> Account:
        account = self._account(consumer)
        account.credit_wei += amount
        account.topped_up_wei = account.credit_wei + account.held_wei
        account.alerted = False
        self.deposited_wei += amount
        payer = gl.message.sender_address
        _announce(CreditToppedUp, consumer=consumer, payer=payer, amount_wei=amount, credit_wei=account.credit_wei)
        return account

    def _pay(self, receiver: Address, amount: int) -> None:
        """Send what has left the books. The caller is a contract when it is not the origin of the transaction."""
        self.withdrawn_wei += amount
        if receiver == gl.message.origin_address:
            PlainAccount(receiver).emit_transfer(value=u256(amount))
        else:
            gl.get_contract_at(receiver).emit(value=u256(amount), on="finalized").receive_credit()

    def _hold(self, account: Account, sub: Subscription, change: int) -> None:
        sub.hold_wei += change
        account.held_wei += change
        self.held_wei += change

    def _release(self, name: str, consumer: Address, account: Account, sub: Subscription) -> None:
        released = sub.hold_wei
        self._hold(account, sub, -released)
        account.credit_wei += released
        _announce(HoldReleased, api_name=name, consumer=consumer, released_wei=released)

    def _earn(self, api: Api, amount: int) -> None:
        self._operator(api).earnings_wei += amount
        self.earnings_wei += amount

    # ---- billing ----

    def _quote(self, api: Api, account, sub, calls: int) -> tuple[str, int, Usage | None]:
        """Decide on a call: the code of what stops it (or none), its cost, the usage so far."""
        if not api.active:
            return "api_paused", 0, None
        if not sub.active:
            return "not_subscribed", 0, None
        plan = api.plans[sub.plan_id]
        cost = plan.cost_per_call_wei * calls
        if cost > sub.accepted_price_wei * calls:
            return "price_changed", cost, None
        usage = _usage(sub, _today())
        code = ""
        if usage.receipts + usage.settled + calls > (plan.daily_limit_calls or MAX_CALLS):
            code = "daily_limit_exceeded"
        elif usage.month_calls + calls > (plan.monthly_limit_calls or MAX_CALLS):
            code = "monthly_limit_exceeded"
        elif usage.spend_wei + cost > sub.max_daily_spend_wei:
            code = "daily_spend_exceeded"
        elif cost > account.credit_wei:
            code = "insufficient_credit"
        return code, cost, usage

    def _bill(self, name: str, consumer: Address, api: Api, account, sub, calls: int, cost: int, usage: Usage) -> dict:
        credit = account.credit_wei - cost
        if cost:
            account.credit_wei = credit
            self._earn(api, cost)
        _count(sub, usage, calls, 0, cost)
        call_no = usage.receipts + calls
        receipt = {
            "receipt_id": f"{name}:{_hex(consumer)}:{usage.day_id}:{call_no}",
            "api_name": name,
            "consumer": _hex(consumer),
            "day_id": usage.day_id,
            "call_no": call_no,
            "cost_wei": cost,
            "credit_wei": credit,
        }
        _announce(CallBilled, **{**receipt, "consumer": consumer}, calls=calls)
        if cost:
            self._alert(consumer, account, credit, name)
        return receipt

    def _settle(self, name: str, api_id: int, api: Api, consumer: Address, day_id: int, calls: int, spend: int) -> dict:
        account, sub = self._known(consumer, api_id)
        billed, code, usage = self._fit(api, account, sub, day_id, calls, spend)
        cost = spend * billed // calls
        if billed:
            from_hold = min(cost, sub.hold_wei)
            self._hold(account, sub, -from_hold)
            account.credit_wei -= cost - from_hold
            _count(sub, usage, 0, billed, cost)
            if cost:
                self._alert(consumer, account, account.credit_wei, name)
        if code and sub is not Nobody:
            self._refuse("settlement", consumer, account, name, code, calls - billed, spend - cost)
        line = {"consumer": _hex(consumer), "day_id": day_id, "calls": calls, "spend_wei": spend}
        return {**line, "billed_calls": billed, "billed_wei": cost, "code": code}

    def _fit(self, api: Api, account, sub, day_id: int, calls: int, spend: int) -> tuple[int, str, Usage | None]:
        """How many of the calls can be billed, and the code of what stops the rest."""
        if not 0 <= _today() - day_id <= 1:
            return 0, "day_closed", None
        if not (sub.active or sub.hold_wei):
            return 0, "not_subscribed", None
        if spend > calls * sub.accepted_price_wei:
            return 0, "spend_above_price", None
        usage, plan = _usage(sub, day_id), api.plans[sub.plan_id]
        funds = sub.hold_wei + (account.credit_wei if sub.active else 0)
        fits, code = calls, ""
        for most, reason in (
            ((plan.daily_limit_calls or MAX_CALLS) - usage.receipts - usage.settled, "daily_limit_exceeded"),
            ((plan.monthly_limit_calls or MAX_CALLS) - usage.month_calls, "monthly_limit_exceeded"),
            (_affordable(calls, spend, sub.max_daily_spend_wei - usage.spend_wei), "daily_spend_exceeded"),
            (_affordable(calls, spend, funds), "insufficient_credit"),
        ):
            if max(most, 0) < fits:
                fits, code = max(most, 0), reason
        return fits, code, usage

    # ---- what is remembered ----

    def _digest(self, name: str, request_id: str) -> bytes:
        """The API is part of it, so that no operator can answer a request meant for another."""
        return hashlib.sha256(f"{name}\n{request_id}".encode()).digest()[:16]

    def _answer(self, account, name: str, request_id: str) -> dict | None:
        wanted, digests = self._digest(name, request_id), account.digests if request_id else b""
        for place in range(0, len(digests), 16):
            if digests[place : place + 16] == wanted:
                return calldata.decode(account.answers[place // 16])
        return None

    def _remember(self, account, name: str, request_id: str, answer: dict) -> None:
        if request_id:
            written, digests = account.answers_written, account.digests
            place = written % KEPT * 16
            account.digests = digests[:place] + self._digest(name, request_id) + digests[place + 16 :]
            _keep(account.answers, written, answer)
            account.answers_written = written + 1

    def _refuse(self, kind: str, consumer: Address, account, name: str, code: str, calls: int, amount: int) -> None:
        self._notice("price" if code == "price_changed" else kind, account, name, code, calls, amount)
        _announce(LimitExceeded, api_name=name, consumer=consumer, code=code, calls=calls, amount_wei=amount)

    def _notice(self, kind: str, account, name: str, code: str, calls: int, amount: int) -> None:
        number = account.notices_written + 1
        what = {"number": number, "at": _now(), "kind": kind, "api_name": name, "code": code}
        _keep(account.notices, number - 1, {**what, "calls": calls, "amount_wei": amount})
        account.notices_written = number

    def _alert(self, consumer: Address, account, credit: int, name: str) -> None:
        """Tell, once, that credit and holds have fallen to the alert level."""
        total, percent = credit + account.held_wei, account.alert_percent
        if percent and not account.alerted and total * 100 <= account.topped_up_wei * percent:
            account.alerted = True
            self._notice("low_credit", account, name, "low_credit", 0, total)
            _announce(CreditDepleted, consumer=consumer, credit_wei=credit, held_wei=account.held_wei)

    def _settlement(self, api: Api, sequence: int) -> dict:
        _require(sequence + KEPT > api.sequence, "sequence_forgotten")
        return calldata.decode(api.settlements[(sequence - 1) % KEPT])

    # ---- what views show ----

    def _api_view(self, api: Api) -> dict:
        return {
            "api_name": api.name,
            "operator": _hex(self._operator(api).address),
            "proposed_operator": "" if api.proposed_operator == ZERO else _hex(api.proposed_operator),
            "active": api.active,
            "plans": [
                {
                    "plan_name": plan.plan_name,
                    "cost_per_call_wei": plan.cost_per_call_wei,
                    "daily_limit_calls": plan.daily_limit_calls,
                    "monthly_limit_calls": plan.monthly_limit_calls,
                }
                for plan in api.plans
            ],
            "meters": [_hex(meter) for meter in api.meters],
            "next_sequence": api.sequence + 1,
        }

    def _report_line(self, api: Api, sub: Subscription, today: int) -> dict:
        usage, plan = _usage(sub, today), api.plans[sub.plan_id]
        calls, daily, monthly = usage.receipts + usage.settled, plan.daily_limit_calls, plan.monthly_limit_calls
        left = [max(limit - used, 0) for limit, used in ((daily, calls), (monthly, usage.month_calls)) if limit]
        return {
            "api_name": api.name,
            "calls_today": calls,
            "spend_today_wei": usage.spend_wei,
            "cost_per_call_wei": plan.cost_per_call_wei,
            "api_daily_limit_calls": daily,
            "consumer_max_daily_spend_wei": sub.max_daily_spend_wei,
            "plan_name": plan.plan_name,
            "accepted_price_wei": sub.accepted_price_wei,
            "calls_month": usage.month_calls,
            "spend_month_wei": usage.month_spend_wei,
            "api_monthly_limit_calls": monthly,
            "calls_left_today": min(left, default=None),
            "spend_left_today_wei": max(sub.max_daily_spend_wei - usage.spend_wei, 0),
            "hold_wei": sub.hold_wei,
            "hold_expires_at": sub.hold_expires_at,
            "active": api.active,
            "subscribed": sub.active,
            "settlements": api.sequence,
        }
