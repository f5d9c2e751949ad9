"""The billing rules of contract.md and the ADRs in plain Python, as a second opinion on the contract.

It shares no code and no layout with it: usage is a dict by API, consumer and day, months are sums over days, a partial
settlement is searched for by bisection, requests, prices, promises and settlements are plain lists. Signatures are
verified off the chain. Every method checks everything before it changes anything, so a refusal leaves no trace.
Accounts are lower-case 0x text, amounts integer wei, times unix seconds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from eth_utils.crypto import keccak

from api_billing.vouchers import Channel, is_signed_by

from . import arguments
from .arguments import MAX_CALLS, MAX_SEQUENCE, Refused, refuse_unless

DAY_SECONDS = 24 * 60 * 60
KEPT = 64
API_DAYS = 64
HISTORY_DAYS = 400
MAX_PLANS = 64
MAX_METERS = 64
MAX_PROMISES = 64
MAX_CHANNELS = 16
MAX_HOLD_DAYS = 366
FAR_DAY = 10**6
MAX_DISPUTE_DAYS = 30
PAYABLE = ("subscribe", "open_session", "top_up_credit", "top_up_for")


@dataclass
class Plan:
    price: int
    daily: int
    monthly: int
    prices: list[tuple[int, int]] = field(default_factory=list)
    """Day and price of every change."""

    def price_on(self, day_id: int) -> int:
        """The highest price of a day on which there was the plan."""
        until_then = [price for day, price in self.prices if day < day_id]
        return max(
            [*until_then[-1:], *(price for day, price in self.prices if day == day_id)], default=self.prices[0][1]
        )


@dataclass
class Promise:
    """``court`` "": from that day there is none."""

    from_day: int = 0
    court: str = ""
    payout_days: int = 0
    percent: int = 0
    terms: str = ""
    status_url: str = ""


@dataclass
class ApiDay:
    """``earned`` is less what was refunded or frozen of it; ``waits``: for so many days, 0 not at all or no more."""

    waits: int = 0
    calls: int = 0
    earned: int = 0


@dataclass
class Api:
    operator: str
    plans: dict[str, Plan]
    active: bool = True
    proposed: str = ""
    meters: set[str] = field(default_factory=set)
    settlements: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    """Content and outcome."""
    promises: list[Promise] = field(default_factory=list)
    days: dict[int, ApiDay] = field(default_factory=dict)
    subscribers: list[str] = field(default_factory=list)

    def promise_on(self, day_id: int) -> Promise:
        return next((each for each in reversed(self.promises) if each.from_day <= day_id), Promise())

    @property
    def pending(self) -> int:
        return sum(day.earned for day in self.days.values() if day.waits)


@dataclass(frozen=True)
class Terms:
    day_id: int = 0
    plan: str = ""
    price: int = 0
    cap: int = 0


@dataclass
class Subscription:
    active: bool = False
    accepted: list[Terms] = field(default_factory=list)
    """Of every subscribing."""
    since: int = 0
    ended: int | None = None
    hold: int = 0
    hold_from: int = 0
    hold_until: int = 0
    signer: str = ""
    session: list[str] = field(default_factory=list)
    """Channels that the present hold, or the last one, has paid."""
    own_requests: list[Request] = field(default_factory=list)
    other_requests: list[Request] = field(default_factory=list)

    @property
    def plan(self) -> str:
        return self.terms_on().plan

    @property
    def accepted_price(self) -> int:
        return self.terms_on().price

    @property
    def cap(self) -> int:
        return self.terms_on().cap

    def terms_on(self, day_id: int = FAR_DAY) -> Terms:
        """What was accepted last until that day."""
        return next((terms for terms in reversed(self.accepted) if terms.day_id <= day_id), Terms())


Request = tuple[str, int, dict[str, Any]]
"""Id, calls and receipt of a billed one."""


@dataclass
class Account:
    credit: int = 0
    full: int = 0
    """Credit and holds that the alert level is a part of."""
    percent: int = 20
    alerted: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    notices: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    """Kind, API, code, calls, wei."""

    @property
    def held(self) -> int:
        return sum(subscription.hold for subscription in self.subscriptions.values())

    @property
    def is_low(self) -> bool:
        return self.percent > 0 and 100 * (self.credit + self.held) <= self.percent * self.full


@dataclass
class Day:
    receipts: int = 0
    settled: int = 0
    spend: int = 0

    @property
    def calls(self) -> int:
        return self.receipts + self.settled


@dataclass
class Refund:
    refunded: int = 0
    frozen: int = 0
    frozen_at: int = 0


@dataclass
class Batch:
    """What a settlement does to one consumer."""

    billed: int = 0
    code: str = ""
    calls: int = 0
    wei: int = 0


@dataclass(frozen=True)
class Caller:
    address: str
    value: int = 0
    is_contract: bool = False


@dataclass(frozen=True)
class Outcome:
    """``kind`` is ``return``, ``user_error`` or ``vm_error``; ``code`` is that of an error or of a kept deposit."""

    kind: str
    code: str | None = None
    answer: Any = None

    @property
    def refused(self) -> bool:
        return self.code is not None or self.kind != "return"


def returned(method: str, answer: Any) -> Outcome:
    """The outcome of a call that did not raise, and yet may have been refused."""
    has_code = method in PAYABLE or method == "request_call"
    return Outcome("return", (answer.get("code") or None) if has_code else None, answer)


class BillingModel:
    """The state of the contract and its writes. ``now`` is set by who drives it."""

    def __init__(self, now: int, contract: str, deployer: str, chain_id: int) -> None:
        self.now = now
        self.contract, self.chain_id = contract, chain_id
        self.instance = keccak(bytes.fromhex(contract[2:]) + bytes.fromhex(deployer[2:]) + now.to_bytes(8))
        self.apis: dict[str, Api] = {}
        self.accounts: dict[str, Account] = {}
        self.earnings: defaultdict[str, int] = defaultdict(int)
        self.paid_to_operator: defaultdict[str, int] = defaultdict(int)
        self.given_back: defaultdict[str, int] = defaultdict(int)
        """By operator."""
        self.usage: defaultdict[tuple[str, str, int], Day] = defaultdict(Day)
        self.refunds: defaultdict[tuple[str, str, int], Refund] = defaultdict(Refund)
        """Both by API, consumer and day."""
        self.channels: dict[str, tuple[int, int]] = {}
        """By id: signed and billed."""

    # ---- calling ----

    def call(self, method: str, caller: Caller, *args: Any) -> Outcome:
        """Run a write. A call with value to a method that is not payable fails before it starts."""
        if caller.value and method not in PAYABLE:
            return Outcome("vm_error")
        write: Callable[..., Any] = getattr(self, method)
        try:
            return returned(method, write(caller, *args))
        except Refused as refusal:
            if not caller.value:
                return Outcome("user_error", refusal.code)
            account = self._deposit(caller, caller.address, caller.value)
            kept = {"ok": False, "code": refusal.code, "credited_wei": caller.value, "credit_wei": account.credit}
            return Outcome("return", refusal.code, kept)

    @property
    def today(self) -> int:
        return self.now // DAY_SECONDS

    # ---- operator ----

    def register_api(self, caller: Caller, name: Any, price: Any, daily: Any, monthly: Any = 0) -> None:
        name = arguments.api_name(name)
        arguments.number(price, low=1, too_low="cost_not_positive")
        arguments.number(daily, low=1, too_low="daily_limit_not_positive")
        limits = self._plan(price, daily, monthly)
        if name in self.apis:
            self._operated(caller, name)
        else:
            self.apis[name] = Api(caller.address, {})
        self._change_plan(name, "standard", limits)

    def set_plan(self, caller: Caller, name: Any, plan_name: Any, price: Any, daily: Any, monthly: Any) -> None:
        name, plan_name = arguments.api_name(name), arguments.name(plan_name)
        limits = self._plan(price, daily, monthly)
        refuse_unless(price or daily or monthly, "free_plan_without_limit")
        plans = self._operated(caller, name).plans
        refuse_unless(plan_name in plans or len(plans) < MAX_PLANS, "too_many_plans")
        self._change_plan(name, plan_name, limits)

    def set_api_active(self, caller: Caller, name: Any, active: Any) -> None:
        name, active = arguments.api_name(name), arguments.flag(active)
        self._operated(caller, name).active = active

    def set_meter(self, caller: Caller, name: Any, meter: Any, allowed: Any) -> None:
        name, meter, allowed = arguments.api_name(name), arguments.address(meter), arguments.flag(allowed)
        meters = self._operated(caller, name).meters
        refuse_unless(not allowed or meter in meters or len(meters) < MAX_METERS, "too_many_meters")
        (meters.add if allowed else meters.discard)(meter)

    def propose_operator(self, caller: Caller, name: Any, operator: Any) -> None:
        name, operator = arguments.api_name(name), arguments.address(operator)
        self._operated(caller, name).proposed = operator

    def accept_operator(self, caller: Caller, name: Any) -> None:
        name = arguments.api_name(name)
        api = self._api(name)
        refuse_unless(api.proposed == caller.address, "not_proposed")
        open_days = [api.promise_on(self.today - 1), api.promise_on(self.today)]
        promised = [each for each in api.promises if each.from_day > self.today] + open_days
        owed = api.pending or self.frozen(name)
        refuse_unless(not owed and not any(each.court for each in promised), "promise_in_force")
        api.meters.clear()
        api.operator, api.proposed = caller.address, ""

    def withdraw_earnings(self, caller: Caller, amount: Any, to: Any = "") -> None:
        amount = arguments.number(amount, low=1, too_low="amount_not_positive")
        self.payee(caller, to)
        refuse_unless(amount <= self.earnings.get(caller.address, 0), "insufficient_earnings")
        self.earnings[caller.address] -= amount
        self.paid_to_operator[caller.address] += amount

    def collect_earnings(self, caller: Caller, name: Any) -> dict[str, Any]:
        name = arguments.api_name(name)
        api = self._api(name)
        matured = {day_id: day for day_id, day in api.days.items() if day.waits and day_id + day.waits < self.today}
        collected = sum(day.earned for day in matured.values())
        for day in matured.values():
            day.waits = 0
        self.earnings[api.operator] += collected
        return {"api_name": name, "collected_wei": collected, "collected_through": max(matured, default=0)}

    def set_promise(
        self, caller: Caller, name: Any, court: Any, days: Any, percent: Any, terms: Any, status_url: Any = ""
    ) -> None:
        name, court = arguments.api_name(name), "" if court == "" else arguments.address(court)
        what = arguments.promise(days, percent, terms, status_url) if court else ()
        refuse_unless(court != self.contract, "bad_address")
        api = self._operated(caller, name)
        refuse_unless(all(each.from_day <= self.today for each in api.promises), "promise_pending")
        refuse_unless(not court or len(api.promises) < MAX_PROMISES, "too_many_promises")
        api.promises.append(Promise(self.today + 1 + api.promise_on(self.today).payout_days, court, *what))

    def refund(self, caller: Caller, name: Any, consumer: Any, amount: Any, reason: Any = "", day_id: Any = 0) -> None:
        name, consumer = arguments.api_name(name), arguments.address(consumer)
        amount = arguments.number(amount, low=1, too_low="amount_not_positive")
        day_id = arguments.number(day_id)
        arguments.reason(reason)
        api = self._operated(caller, name)
        refuse_unless(self._has_record(consumer, name), "not_subscribed")
        if day_id:
            refuse_unless(day_id in api.days and api.days[day_id].waits, "day_not_pending")
            refund = self.refunds.get((name, consumer, day_id), Refund())
            refuse_unless(not refund.frozen_at, "already_frozen")
            refuse_unless(amount <= self._left(name, consumer, day_id), "refund_above_paid")
            api.days[day_id].earned -= amount
            self.refunds[name, consumer, day_id].refunded += amount
        else:
            refuse_unless(amount <= self.earnings[api.operator], "insufficient_earnings")
            self.earnings[api.operator] -= amount
        self._give_back(name, consumer, amount)

    # ---- court ----

    def freeze_by_court(self, caller: Caller, name: Any, consumer: Any, day_id: Any) -> None:
        name, consumer, day_id = arguments.api_name(name), arguments.address(consumer), arguments.number(day_id)
        api = self._api(name)
        refuse_unless(api.promise_on(day_id).court == caller.address, "not_court")
        refuse_unless(self.today - day_id >= 2, "day_open")
        refuse_unless(self._is_disputable(name, day_id), "day_not_pending")
        refuse_unless(not self.refunds.get((name, consumer, day_id), Refund()).frozen_at, "already_frozen")
        left = self._left(name, consumer, day_id)
        refuse_unless(left, "nothing_paid")
        refund = self.refunds[name, consumer, day_id]
        refund.frozen, refund.frozen_at = left, self.now
        api.days[day_id].earned -= left

    def refund_by_court(self, caller: Caller, name: Any, consumer: Any, day_id: Any, amount: Any) -> None:
        name, consumer, day_id = arguments.api_name(name), arguments.address(consumer), arguments.number(day_id)
        amount = arguments.number(amount)
        api = self._api(name)
        refund = self.refunds.get((name, consumer, day_id), Refund())
        refuse_unless(refund.frozen, "not_frozen")
        is_late = amount == 0 and self.now >= refund.frozen_at + MAX_DISPUTE_DAYS * DAY_SECONDS
        promise, paid = api.promise_on(day_id), self.day(name, consumer, day_id).spend
        refuse_unless(is_late or promise.court == caller.address, "not_court")
        promised = 100 * (refund.refunded + amount) <= promise.percent * paid
        refuse_unless(amount == 0 or (amount <= refund.frozen and promised), "refund_above_paid")
        self.earnings[api.operator] += refund.frozen - amount
        refund.refunded, refund.frozen = refund.refunded + amount, 0
        self._give_back(name, consumer, amount)

    # ---- consumer ----

    def subscribe(
        self, caller: Caller, name: Any, cap: Any, deposit: Any, plan_name: Any = "standard", max_price: Any = 0
    ) -> dict[str, Any]:
        terms = self._terms(caller, name, cap, plan_name, max_price)
        deposit = arguments.number(deposit, too_low="negative_deposit")
        refuse_unless(deposit == caller.value, "value_mismatch")
        account = self._deposit(caller, caller.address, deposit) if deposit else self._account(caller.address)
        accepted = self._subscribe(caller, *terms)
        return {"ok": True, "credited_wei": deposit, "credit_wei": account.credit, **accepted}

    def unsubscribe(self, caller: Caller, name: Any) -> None:
        name = arguments.api_name(name)
        self._api(name)
        subscription = self.subscription(caller.address, name)
        refuse_unless(subscription.active, "not_subscribed")
        subscription.active, subscription.ended = False, self.today
        if not self.in_force(subscription):
            self._release(caller.address, subscription)

    def top_up_credit(self, caller: Caller, amount: Any) -> dict[str, Any]:
        return self._top_up(caller, caller.address, amount)

    def top_up_for(self, caller: Caller, consumer: Any, amount: Any) -> dict[str, Any]:
        return self._top_up(caller, arguments.address(consumer), amount)

    def withdraw_credit(self, caller: Caller, amount: Any, to: Any = "") -> None:
        amount = arguments.number(amount, low=1, too_low="amount_not_positive")
        self.payee(caller, to)
        account = self.accounts.get(caller.address, Account())
        refuse_unless(amount <= account.credit, "insufficient_credit")
        account.credit -= amount
        self._money_left(account, "")

    def set_low_credit_alert(self, caller: Caller, percent: Any) -> None:
        percent = arguments.number(percent, too_low="bad_percent", high=100, too_high="bad_percent")
        account = self._account(caller.address)
        account.percent = percent
        account.alerted = account.alerted and account.is_low

    def place_hold(self, caller: Caller, name: Any, amount: Any, expires_at: Any, signer: Any = "") -> None:
        name = arguments.api_name(name)
        self._api(name)
        subscription = self.subscription(caller.address, name)
        refuse_unless(subscription.active, "not_subscribed")
        credit = self.accounts[caller.address].credit
        hold = self._hold_terms(subscription, amount, expires_at, signer, credit)
        self._place(caller, name, *hold)

    def open_session(
        self,
        caller: Caller,
        name: Any,
        cap: Any,
        amount: Any,
        expires_at: Any,
        signer: Any,
        plan_name: Any = "standard",
        max_price: Any = 0,
    ) -> dict[str, Any]:
        name = arguments.api_name(name)
        self._api(name)
        subscription = self.subscription(caller.address, name)
        terms = () if subscription.active else self._terms(caller, name, cap, plan_name, max_price)
        credit = self.accounts.get(caller.address, Account()).credit + caller.value
        hold = self._hold_terms(subscription, amount, expires_at, signer, credit)
        if caller.value:
            self._deposit(caller, caller.address, caller.value)
        if terms:
            self._subscribe(caller, *terms)
        held = self._place(caller, name, *hold)
        return {"ok": True, "credited_wei": caller.value, **self._accepted(caller.address, name), **held}

    def release_hold(self, caller: Caller, name: Any, consumer: Any = "") -> None:
        name = arguments.api_name(name)
        consumer = caller.address if consumer == "" else arguments.address(consumer)
        by_operator = self._api(name).operator == caller.address
        refuse_unless(by_operator or consumer == caller.address, "not_operator")
        subscription = self.subscription(consumer, name)
        refuse_unless(subscription.hold, "no_hold")
        refuse_unless(by_operator or not self.in_force(subscription), "hold_in_force")
        self._release(consumer, subscription)

    # ---- billing ----

    def quote(self, name: str, consumer: str, calls: int) -> tuple[str, int]:
        """The code of what stops a call (or none), and what it costs."""
        api, subscription = self._api(name), self.subscription(consumer, name)
        if not api.active:
            return "api_paused", 0
        if not subscription.active:
            return "not_subscribed", 0
        plan = api.plans[subscription.plan]
        cost = plan.price * calls
        if plan.price > subscription.accepted_price:
            return "price_changed", cost
        limits = self._limits(name, consumer, self.today)
        stops = {**limits(calls, cost), "insufficient_credit": cost > self.accounts[consumer].credit}
        return next((code for code, stopped in stops.items() if stopped), ""), cost

    def consume_credit(
        self, caller: Caller, name: Any, consumer: Any, calls: Any = 1, request: Any = ""
    ) -> dict[str, Any]:
        name, consumer = arguments.api_name(name), arguments.address(consumer)
        calls = arguments.number(calls, low=1, too_low="calls_not_positive", high=MAX_CALLS)
        request = request if request == "" else arguments.request_id(request)
        self._api(name)
        is_own = caller.address == consumer
        refuse_unless(is_own or self._may_report(caller, name), "not_authorized")
        code, receipt = self._decide(name, consumer, calls, request, is_own=is_own)
        refuse_unless(not code, code)
        return receipt

    def request_call(self, caller: Caller, name: Any, request: Any) -> dict[str, Any]:
        request = arguments.request_id(request)
        refuse_unless(caller.is_contract, "caller_not_contract")
        account, receipt = self._account(caller.address), None
        try:
            known = name = arguments.api_name(name)
            self._api(name)
            code, receipt = self._decide(name, caller.address, 1, request, is_own=True)
        except Refused as refusal:
            code, known = refusal.code, name if refusal.code == "api_not_registered" else ""
        if code:
            account.notices.append(("price" if code == "price_changed" else "limit", known, code, 1, 0))
        return {"code": code, "receipt": receipt}

    def settle_usage(self, caller: Caller, name: Any, sequence: Any, entries: Any, root: Any = "") -> dict[str, Any]:
        name, sequence = arguments.api_name(name), arguments.number(sequence, high=MAX_SEQUENCE)
        root, entries = arguments.usage_root(root), arguments.entries(entries)
        api = self._api(name)
        refuse_unless(self._may_report(caller, name), "not_authorized")
        done = len(api.settlements)
        content = root, [{**line, "voucher": line["voucher"] and line["voucher"].salt} for line in entries]
        if 1 <= sequence <= done:
            refuse_unless(sequence > done - KEPT, "sequence_forgotten")
            settled, outcome = api.settlements[sequence - 1]
            refuse_unless(settled == content, "sequence_mismatch")
            return outcome
        refuse_unless(sequence == done + 1, "sequence_gap")
        batches: dict[str, Batch] = {}
        lines = [self._settle(name, entry, batches) for entry in entries]
        for consumer, batch in batches.items():
            self._tell(self.accounts[consumer], name, batch)
        sums = {key: sum(line[key] for line in lines) for key in ("billed_calls", "billed_wei")}
        sums["refused_entries"] = len([line for line in lines if line["code"]])
        head = {"api_name": name, "sequence": sequence, "usage_root": root, **sums, "settled_at": self.now}
        api.settlements.append((content, {**head, "entries": lines}))
        return api.settlements[-1][1]

    # ---- what others ask, too ----

    def subscription(self, consumer: str, name: str) -> Subscription:
        """The subscription, or an empty one that belongs to nobody."""
        return self.accounts.get(consumer, Account()).subscriptions.get(name, Subscription())

    def in_force(self, subscription: Subscription) -> bool:
        return subscription.hold > 0 and self.now < subscription.hold_until

    def payee(self, caller: Caller, to: Any) -> str:
        if to == "":
            return caller.address
        to = arguments.address(to)
        refuse_unless(to != self.contract and not (caller.is_contract and to == caller.address), "bad_address")
        return str(to)

    def frozen(self, name: str) -> int:
        return sum(refund.frozen for (api, _, _), refund in self.refunds.items() if api == name)

    def is_pending(self, name: str, consumer: str, day_id: int) -> bool:
        """Whether a court can freeze what the consumer paid that day, as soon as the day is over."""
        frozen_at = self.refunds.get((name, consumer, day_id), Refund()).frozen_at
        return not frozen_at and self._is_disputable(name, day_id)

    def remembered(self, consumer: str, name: str, request: str, *, is_own: bool) -> Request | None:
        """A request that was billed and is not to be billed again."""
        subscription = self.subscription(consumer, name)
        kept = (subscription.own_requests if is_own else subscription.other_requests)[-KEPT:]
        return next((each for each in kept if each[0] == request), None) if request else None

    def channel(self, name: str, consumer: str, signer: str, salt: str) -> Channel:
        operator, asset = self.apis[name].operator, self.asset(name)
        return _channel(consumer, signer, operator, self.contract, asset, self.chain_id, salt)

    def asset(self, name: str) -> str:
        return "0x" + keccak(b"api-billing asset" + self.instance + name.encode())[-20:].hex()

    def day(self, name: str, consumer: str, day_id: int) -> Day:
        return self.usage.get((name, consumer, day_id), Day())

    def month(self, name: str, consumer: str, day_id: int) -> Day:
        """What was used in the month of a day."""
        wanted, total = month_of(day_id), Day()
        for (api, account, other_day), day in self.usage.items():
            if (api, account) == (name, consumer) and month_of(other_day) == wanted:
                total = Day(total.receipts + day.receipts, total.settled + day.settled, total.spend + day.spend)
        return total

    # ---- private ----

    def _api(self, name: str) -> Api:
        refuse_unless(name in self.apis, "api_not_registered")
        return self.apis[name]

    def _operated(self, caller: Caller, name: str) -> Api:
        api = self._api(name)
        refuse_unless(api.operator == caller.address, "not_operator")
        return api

    def _may_report(self, caller: Caller, name: str) -> bool:
        api = self.apis[name]
        return caller.address == api.operator or caller.address in api.meters

    def _plan(self, price: Any, daily: Any, monthly: Any) -> tuple[int, int, int]:
        price = arguments.number(price)
        return price, arguments.number(daily, high=MAX_CALLS), arguments.number(monthly, high=MAX_CALLS)

    def _change_plan(self, name: str, plan_name: str, limits: tuple[int, int, int]) -> None:
        plans = self.apis[name].plans
        prices = plans[plan_name].prices if plan_name in plans else []
        plans[plan_name] = Plan(*limits, [*prices, (self.today, limits[0])])

    def _account(self, consumer: str) -> Account:
        return self.accounts.setdefault(consumer, Account())

    def _has_record(self, consumer: str, name: str) -> bool:
        return consumer in self.accounts and name in self.accounts[consumer].subscriptions

    def _terms(self, caller: Caller, name: Any, cap: Any, plan_name: Any, max_price: Any) -> tuple[str, str, int, int]:
        name, plan_name = arguments.api_name(name), arguments.name(plan_name)
        cap = arguments.number(cap, low=1, too_low="max_spend_not_positive")
        bound = arguments.number(max_price)
        plan = self._api(name).plans.get(plan_name)
        if plan is None:
            raise Refused("plan_not_found")
        refuse_unless(not bound or plan.price <= bound, "price_above_max")
        before, price = self.subscription(caller.address, name), plan.price
        if self.in_force(before):
            refuse_unless(cap >= before.cap and plan_name == before.plan, "hold_in_force")
            price = max(price, before.accepted_price)
        return name, plan_name, price, cap

    def _subscribe(self, caller: Caller, name: str, plan_name: str, price: int, cap: int) -> dict[str, Any]:
        subscriptions = self._account(caller.address).subscriptions
        if name not in subscriptions:
            self.apis[name].subscribers.append(caller.address)
        subscription = subscriptions.setdefault(name, Subscription())
        went_on = subscription.ended is not None and subscription.ended >= self.today - 1
        if not subscription.active and not went_on:
            subscription.since = self.today
        subscription.active = True
        subscription.accepted.append(Terms(self.today, plan_name, price, cap))
        return self._accepted(caller.address, name)

    def _accepted(self, consumer: str, name: str) -> dict[str, Any]:
        found = self.subscription(consumer, name)
        accepted = {"plan_name": found.plan, "accepted_price_wei": found.accepted_price}
        return {**accepted, "max_daily_spend_wei": found.cap}

    def _hold_terms(
        self, before: Subscription, amount: Any, expires_at: Any, signer: Any, credit: int
    ) -> tuple[int, int, str]:
        amount, expires_at = arguments.number(amount), arguments.number(expires_at, too_low="bad_expiry")
        refuse_unless(self.now < expires_at <= self.now + MAX_HOLD_DAYS * DAY_SECONDS, "bad_expiry")
        named = {"": before.signer, "plain": ""}
        signer = named[signer] if signer in ("", "plain") else arguments.address(signer)
        refuse_unless(signer != self.contract, "bad_address")
        if self.in_force(before):
            refuse_unless(expires_at >= before.hold_until, "hold_not_shortened")
            refuse_unless(signer == before.signer, "hold_in_force")
        else:
            refuse_unless(amount, "amount_not_positive")
            credit += before.hold
        refuse_unless(amount <= credit, "insufficient_credit")
        return amount, expires_at, signer

    def _place(self, caller: Caller, name: str, amount: int, expires_at: int, signer: str) -> dict[str, Any]:
        account = self.accounts[caller.address]
        subscription = account.subscriptions[name]
        if not self.in_force(subscription):
            self._release(caller.address, subscription)
            subscription.hold_from, subscription.signer, subscription.session = self.today, signer, []
        account.credit -= amount
        subscription.hold += amount
        subscription.hold_until = expires_at
        placed = {"hold_wei": subscription.hold, "expires_at": expires_at, "signer": signer}
        return {**placed, "credit_wei": account.credit}

    def _top_up(self, caller: Caller, consumer: str, amount: Any) -> dict[str, Any]:
        refuse_unless(consumer != self.contract, "bad_address")
        arguments.number(amount, low=1, too_low="amount_not_positive")
        refuse_unless(amount == caller.value, "value_mismatch")
        return {"ok": True, "credited_wei": amount, "credit_wei": self._deposit(caller, consumer, amount).credit}

    def _deposit(self, payer: Caller, consumer: str, amount: int) -> Account:
        account = self._account(consumer)
        account.credit += amount
        total = account.credit + account.held
        account.full = total if payer.address == consumer else max(total, account.full)
        account.alerted = account.alerted and account.is_low
        return account

    def _release(self, consumer: str, subscription: Subscription) -> None:
        self.accounts[consumer].credit += subscription.hold
        subscription.hold = 0

    def _money_left(self, account: Account, name: str) -> None:
        """Credit fell: tell once when it has come down to the alert level."""
        if not account.alerted and account.is_low:
            account.alerted = True
            account.notices.append(("low_credit", name, "low_credit", 0, account.credit + account.held))

    def _give_back(self, name: str, consumer: str, amount: int) -> None:
        if amount:
            account = self.accounts[consumer]
            self.given_back[self.apis[name].operator] += amount
            account.credit += amount
            account.alerted = account.alerted and account.is_low
            account.notices.append(("refund", name, "refunded", 0, amount))

    def _left(self, name: str, consumer: str, day_id: int) -> int:
        refund = self.refunds.get((name, consumer, day_id), Refund())
        return self.day(name, consumer, day_id).spend - refund.refunded

    def _is_disputable(self, name: str, day_id: int) -> bool:
        day = self.apis[name].days.get(day_id, ApiDay())
        return day.waits > 0 and day_id + day.waits >= self.today

    def _limits(self, name: str, consumer: str, day_id: int) -> Callable[[int, int], dict[str, bool]]:
        """A function (calls, cost) -> for each limit whether these calls on top of the day's would exceed it."""
        subscription = self.subscription(consumer, name)
        plan = self.apis[name].plans[subscription.plan]
        day, month_calls = self.day(name, consumer, day_id), self.month(name, consumer, day_id).calls
        daily, monthly = plan.daily or MAX_CALLS, plan.monthly or MAX_CALLS
        return lambda calls, cost: {
            "daily_limit_exceeded": day.calls + calls > daily,
            "monthly_limit_exceeded": month_calls + calls > monthly,
            "daily_spend_exceeded": day.spend + cost > subscription.terms_on(day_id).cap,
        }

    def _decide(self, name: str, consumer: str, calls: int, request: str, *, is_own: bool) -> tuple[str, Any]:
        """Bill calls unless they were billed already: the code of what stops it, or the receipt."""
        known = self.remembered(consumer, name, request, is_own=is_own)
        if known:
            return ("", known[2]) if known[1] == calls else ("request_mismatch", None)
        subscription = self.subscription(consumer, name)
        if not is_own and subscription.signer:
            return "session_only", None
        code, cost = self.quote(name, consumer, calls)
        if code:
            return code, None
        receipt = self._bill(name, consumer, calls, cost, request)
        if request:
            kept = subscription.own_requests if is_own else subscription.other_requests
            kept.append((request, calls, receipt))
        return "", receipt

    def _bill(self, name: str, consumer: str, calls: int, cost: int, request: str) -> dict[str, Any]:
        account, day = self.accounts[consumer], self.usage[name, consumer, self.today]
        account.credit -= cost
        day.receipts += calls
        day.spend += cost
        self._earn(name, self.today, calls, cost)
        if cost:
            self._money_left(account, name)
        tag = ":" + hashlib.sha256(request.encode()).hexdigest()[:8] if request else ""
        return {
            "receipt_id": f"{name}:{consumer}:{self.today}:{day.receipts}{tag}",
            "api_name": name,
            "consumer": consumer,
            "day_id": self.today,
            "call_no": day.receipts,
            "cost_wei": cost,
            "credit_wei": account.credit,
        }

    def _earn(self, name: str, day_id: int, calls: int, cost: int) -> None:
        """Earnings wait where the day has a promise. A day makes place for the one 64 days later."""
        api = self.apis[name]
        for old in [other for other in api.days if other % API_DAYS == day_id % API_DAYS and other != day_id]:
            gone = api.days.pop(old)
            self.earnings[api.operator] += gone.earned if gone.waits else 0
        day = api.days.setdefault(day_id, ApiDay(api.promise_on(day_id).payout_days))
        day.calls += calls
        day.earned += cost
        if not day.waits:
            self.earnings[api.operator] += cost

    def _settle(self, name: str, entry: dict[str, Any], batches: dict[str, Batch]) -> dict[str, Any]:
        line = {key: entry[key] for key in ("consumer", "day_id", "calls", "spend_wei")}
        consumer, day_id, calls, spend = line.values()
        billed, code = self._fitting(name, entry)
        cost, account, subscription = spend * billed // calls, self.accounts.get(consumer), None
        if account and self._has_record(consumer, name):
            subscription, batch = account.subscriptions[name], batches.setdefault(consumer, Batch())
            batch.billed += cost
            if code and subscription.active:  # nobody can fill a stranger's list of notices
                batch.code = batch.code or code
                batch.calls, batch.wei = batch.calls + calls - billed, batch.wei + spend - cost
        if billed and account and subscription:
            held = min(cost, self._hold_on(subscription, day_id))
            subscription.hold -= held
            account.credit -= cost - held
            self._earn(name, day_id, billed, cost)
            day = self.usage[name, consumer, day_id]
            day.settled += billed
            day.spend += cost
            if subscription.signer and cost:
                channel = self.channel(name, consumer, subscription.signer, entry["voucher"].salt).id
                signed, paid = self.channels.get(channel, (0, 0))
                self.channels[channel] = max(signed, entry["voucher"].cumulative_wei), paid + cost
                if channel not in subscription.session:
                    subscription.session.append(channel)
        if subscription and entry["close"] and not code:
            self._release(consumer, subscription)
        return {**line, "billed_calls": billed, "billed_wei": cost, "code": code}

    def _tell(self, account: Account, name: str, batch: Batch) -> None:
        if batch.code:
            account.notices.append(("settlement", name, batch.code, batch.calls, batch.wei))
        elif batch.billed:
            self._money_left(account, name)

    def _hold_on(self, subscription: Subscription, day_id: int) -> int:
        """What the hold can pay of that day: from its placing to its expiry, and vouchers only while it is in force."""
        covered = subscription.hold_from * DAY_SECONDS <= day_id * DAY_SECONDS < subscription.hold_until
        usable = self.in_force(subscription) or not subscription.signer
        return subscription.hold if covered and usable else 0

    def _bar(self, name: str, entry: dict[str, Any]) -> str:
        """The code of what stops all of an entry."""
        subscription, day_id = self.subscription(entry["consumer"], name), entry["day_id"]
        if day_id not in (self.today, self.today - 1):
            return "day_closed"
        if not self._has_record(entry["consumer"], name):
            return "not_subscribed"
        was_active = subscription.active or (subscription.ended is not None and day_id <= subscription.ended)
        if day_id < subscription.since or not was_active:
            return "day_closed"
        if not subscription.active and not self._hold_on(subscription, day_id):
            return "not_subscribed"
        if not subscription.signer and (entry["voucher"] or entry["close"]):
            return "no_session"
        if subscription.signer and entry["spend_wei"] and not entry["voucher"]:
            return "session_only"
        terms = subscription.terms_on(day_id)
        price = min(terms.price, self.apis[name].plans[terms.plan].price_on(day_id))
        return "spend_above_price" if entry["spend_wei"] > entry["calls"] * price else ""

    def _fitting(self, name: str, entry: dict[str, Any]) -> tuple[int, str]:
        """How many of the calls fit, and the code of the first thing that one more would break."""
        code = self._bar(name, entry)
        if code:
            return 0, code
        consumer, day_id, calls, spend = (entry[key] for key in ("consumer", "day_id", "calls", "spend_wei"))
        subscription, limits = self.subscription(consumer, name), self._limits(name, consumer, day_id)
        own = self.accounts[consumer].credit if subscription.active and not subscription.signer else 0
        funds = self._hold_on(subscription, day_id) + own
        most = _most(calls, spend, lambda count, cost: {**limits(count, cost), "insufficient_credit": cost > funds})
        if not (most[0] and spend and subscription.signer):
            return most
        voucher = entry["voucher"]
        channel = self.channel(name, consumer, subscription.signer, voucher.salt)
        signed, paid = self.channels.get(channel.id, (0, 0))
        if channel.id not in subscription.session and len(subscription.session) >= MAX_CHANNELS:
            return 0, "too_many_channels"
        if voucher.cumulative_wei > signed and not is_signed_by(channel, voucher):
            return 0, "bad_signature"
        left = max(signed, voucher.cumulative_wei) - paid
        by_voucher = _most(calls, spend, lambda count, cost: {"voucher_exceeded": cost > left})
        return by_voucher if by_voucher[0] < most[0] else most


def _most(calls: int, spend: int, stops: Callable[[int, int], dict[str, bool]]) -> tuple[int, str]:
    """How many calls can be billed, found by bisection, and what stops one more."""

    def broken(count: int) -> str:
        return next((code for code, stopped in stops(count, spend * count // calls).items() if stopped), "")

    fits, too_many = 0, calls + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (fits, middle) if broken(middle) else (middle, too_many)
    return fits, "" if fits == calls else broken(fits + 1)


def month_of(day_id: int) -> tuple[int, int]:
    day = datetime.fromtimestamp(day_id * DAY_SECONDS, UTC)
    return day.year, day.month


_channel = cache(Channel)
