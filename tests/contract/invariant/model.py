"""The billing rules of contract.md and the ADRs in plain Python, as a second opinion on the contract.

It shares no code and no layout with it: usage is a dict by API, consumer and day, months are sums over days, a partial
settlement is searched for by bisection, requests and settlements are plain lists. Every method checks everything
before it changes anything, so a refusal leaves no trace. Accounts are lower-case 0x text, amounts integer wei, times
unix seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import arguments
from .arguments import MAX_CALLS, MAX_SEQUENCE, Refused, refuse_unless

DAY_SECONDS = 24 * 60 * 60
KEPT = 64
MAX_PLANS = 64
MAX_METERS = 64
MAX_HOLD_DAYS = 366
PAYABLE = ("subscribe", "top_up_credit", "top_up_for")


@dataclass
class Plan:
    price: int
    daily: int
    monthly: int


@dataclass
class Api:
    operator: str
    plans: dict[str, Plan]
    active: bool = True
    proposed: str = ""
    meters: set[str] = field(default_factory=set)
    settlements: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Subscription:
    plan: str = ""
    active: bool = False
    accepted_price: int = 0
    cap: int = 0
    hold: int = 0
    hold_until: int = 0


@dataclass
class Account:
    credit: int = 0
    full: int = 0
    """Credit and holds after the last top-up."""
    percent: int = 20
    alerted: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    notices: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, API, code."""

    @property
    def held(self) -> int:
        return sum(subscription.hold for subscription in self.subscriptions.values())


@dataclass
class Day:
    receipts: int = 0
    settled: int = 0
    spend: int = 0

    @property
    def calls(self) -> int:
        return self.receipts + self.settled


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

    def __init__(self, now: int) -> None:
        self.now = now
        self.apis: dict[str, Api] = {}
        self.accounts: dict[str, Account] = {}
        self.earnings: defaultdict[str, int] = defaultdict(int)
        self.paid_to_operator: defaultdict[str, int] = defaultdict(int)
        self.usage: defaultdict[tuple[str, str, int], Day] = defaultdict(Day)
        self.deposited = 0
        self.withdrawn = 0

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
            account = self._deposit(caller.address, caller.value)
            kept = {"ok": False, "code": refusal.code, "credited_wei": caller.value, "credit_wei": account.credit}
            return Outcome("return", refusal.code, kept)

    @property
    def today(self) -> int:
        return self.now // DAY_SECONDS

    # ---- operator ----

    def register_api(self, caller: Caller, name: Any, price: Any, daily: Any, monthly: Any = 0) -> None:
        name = arguments.api_name(name)
        price = arguments.number(price, low=1, too_low="cost_not_positive")
        arguments.number(daily, low=1, too_low="daily_limit_not_positive")
        plan = self._plan(price, daily, monthly)
        if name in self.apis:
            self._operated(caller, name)
            self.apis[name].plans["standard"] = plan
        else:
            self.apis[name] = Api(caller.address, {"standard": plan})

    def set_plan(self, caller: Caller, name: Any, plan_name: Any, price: Any, daily: Any, monthly: Any) -> None:
        name, plan_name = arguments.api_name(name), arguments.name(plan_name)
        plan = self._plan(price, daily, monthly)
        refuse_unless(price or daily or monthly, "free_plan_without_limit")
        plans = self._operated(caller, name).plans
        refuse_unless(plan_name in plans or len(plans) < MAX_PLANS, "too_many_plans")
        plans[plan_name] = plan

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
        api = self._api(arguments.api_name(name))
        refuse_unless(api.proposed == caller.address, "not_proposed")
        api.meters.clear()
        api.operator, api.proposed = caller.address, ""

    def withdraw_earnings(self, caller: Caller, amount: Any) -> None:
        amount = arguments.number(amount, low=1, too_low="amount_not_positive")
        refuse_unless(amount <= self.earnings.get(caller.address, 0), "insufficient_earnings")
        self.earnings[caller.address] -= amount
        self.paid_to_operator[caller.address] += amount
        self.withdrawn += amount

    # ---- consumer ----

    def subscribe(
        self, caller: Caller, name: Any, cap: Any, deposit: Any, plan_name: Any = "standard"
    ) -> dict[str, Any]:
        name, plan_name = arguments.api_name(name), arguments.name(plan_name)
        cap = arguments.number(cap, low=1, too_low="max_spend_not_positive")
        deposit = arguments.number(deposit, too_low="negative_deposit")
        refuse_unless(deposit == caller.value, "value_mismatch")
        plan = self._api(name).plans.get(plan_name)
        if plan is None:
            raise Refused("plan_not_found")
        before = self._subscription(caller.address, name)
        price = plan.price
        if before.hold and self.now < before.hold_until:
            refuse_unless(cap >= before.cap and plan_name == before.plan, "hold_in_force")
            price = max(price, before.accepted_price)
        account = self._deposit(caller.address, deposit) if deposit else self._account(caller.address)
        subscription = account.subscriptions.setdefault(name, Subscription())
        subscription.plan, subscription.cap, subscription.active = plan_name, cap, True
        subscription.accepted_price = price
        accepted = {"plan_name": plan_name, "accepted_price_wei": price, "max_daily_spend_wei": cap}
        return {"ok": True, "credited_wei": deposit, "credit_wei": account.credit, **accepted}

    def unsubscribe(self, caller: Caller, name: Any) -> None:
        name = arguments.api_name(name)
        self._api(name)
        subscription = self._subscription(caller.address, name)
        refuse_unless(subscription.active, "not_subscribed")
        subscription.active = False
        if subscription.hold and self.now >= subscription.hold_until:
            self._release(caller.address, subscription)

    def top_up_credit(self, caller: Caller, amount: Any) -> dict[str, Any]:
        return self._top_up(caller, caller.address, amount)

    def top_up_for(self, caller: Caller, consumer: Any, amount: Any) -> dict[str, Any]:
        return self._top_up(caller, arguments.address(consumer), amount)

    def withdraw_credit(self, caller: Caller, amount: Any) -> None:
        amount = arguments.number(amount, low=1, too_low="amount_not_positive")
        account = self.accounts.get(caller.address, Account())
        refuse_unless(amount <= account.credit, "insufficient_credit")
        account.credit -= amount
        self.withdrawn += amount
        self._money_left(account, "")

    def set_low_credit_alert(self, caller: Caller, percent: Any) -> None:
        percent = arguments.number(percent, too_low="bad_percent")
        refuse_unless(percent <= 100, "bad_percent")
        self._account(caller.address).percent = percent

    def place_hold(self, caller: Caller, name: Any, amount: Any, expires_at: Any) -> None:
        name, amount = arguments.api_name(name), arguments.number(amount)
        expires_at = arguments.number(expires_at, too_low="bad_expiry")
        refuse_unless(self.now < expires_at <= self.now + MAX_HOLD_DAYS * DAY_SECONDS, "bad_expiry")
        self._api(name)
        subscription = self._subscription(caller.address, name)
        refuse_unless(subscription.active, "not_subscribed")
        refuse_unless(amount or subscription.hold, "amount_not_positive")
        refuse_unless(not subscription.hold or expires_at >= subscription.hold_until, "hold_not_shortened")
        account = self.accounts[caller.address]
        refuse_unless(amount <= account.credit, "insufficient_credit")
        account.credit -= amount
        subscription.hold += amount
        subscription.hold_until = expires_at

    def release_hold(self, caller: Caller, name: Any, consumer: Any = "") -> None:
        name = arguments.api_name(name)
        consumer = caller.address if consumer == "" else arguments.address(consumer)
        by_operator = self._api(name).operator == caller.address
        refuse_unless(by_operator or consumer == caller.address, "not_operator")
        subscription = self._subscription(consumer, name)
        refuse_unless(subscription.hold, "no_hold")
        refuse_unless(by_operator or self.now >= subscription.hold_until, "hold_in_force")
        self._release(consumer, subscription)

    # ---- billing ----

    def quote(self, name: str, consumer: str, calls: int) -> tuple[str, int]:
        """The code of what stops a call (or none), and what it costs."""
        api, subscription = self._api(name), self._subscription(consumer, name)
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
        refuse_unless(caller.address == consumer or self._may_report(caller, name), "not_authorized")
        answer = self.remembered(consumer, name, request)
        if answer is None:
            code, cost = self.quote(name, consumer, calls)
            refuse_unless(not code, code)
            answer = {"code": "", "receipt": self._bill(name, consumer, calls, cost)}
            self._remember(consumer, name, request, answer)
        refuse_unless(not answer["code"], answer["code"])
        receipt: dict[str, Any] = answer["receipt"]
        return receipt

    def request_call(self, caller: Caller, name: Any, request: Any) -> dict[str, Any]:
        request = arguments.request_id(request)
        refuse_unless(caller.is_contract, "caller_not_contract")
        account, code = self._account(caller.address), ""
        try:
            known = name = arguments.api_name(name)
            self._api(name)
        except Refused as refusal:
            code, known = refusal.code, name if refusal.code == "api_not_registered" else ""
        answer = self.remembered(caller.address, known, request)
        if answer is None:
            cost, receipt = 0, None
            if not code:
                code, cost = self.quote(known, caller.address, 1)
            if code:
                account.notices.append(("price" if code == "price_changed" else "limit", known, code))
            else:
                receipt = self._bill(known, caller.address, 1, cost)
            answer = {"code": code, "receipt": receipt}
            self._remember(caller.address, known, request, answer)
        return answer

    def settle_usage(self, caller: Caller, name: Any, sequence: Any, entries: Any, root: Any = "") -> dict[str, Any]:
        name, sequence = arguments.api_name(name), arguments.number(sequence, high=MAX_SEQUENCE)
        root, entries = arguments.usage_root(root), arguments.entries(entries)
        api = self._api(name)
        refuse_unless(self._may_report(caller, name), "not_authorized")
        done = len(api.settlements)
        if 1 <= sequence <= done:
            refuse_unless(sequence > done - KEPT, "sequence_forgotten")
            return api.settlements[sequence - 1]
        refuse_unless(sequence == done + 1, "sequence_gap")
        lines = [self._settle(name, **entry) for entry in entries]
        sums = {key: sum(line[key] for line in lines) for key in ("billed_calls", "billed_wei")}
        outcome = {"api_name": name, "sequence": sequence, "usage_root": root, **sums}
        api.settlements.append({**outcome, "settled_at": self.now, "entries": lines})
        return api.settlements[-1]

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

    def _plan(self, price: Any, daily: Any, monthly: Any) -> Plan:
        price = arguments.number(price)
        return Plan(price, *(arguments.number(limit, high=MAX_CALLS) for limit in (daily, monthly)))

    def _account(self, consumer: str) -> Account:
        return self.accounts.setdefault(consumer, Account())

    def _subscription(self, consumer: str, name: str) -> Subscription:
        """The subscription, or an empty one that belongs to nobody."""
        return self.accounts.get(consumer, Account()).subscriptions.get(name, Subscription())

    def _top_up(self, caller: Caller, consumer: str, amount: Any) -> dict[str, Any]:
        arguments.number(amount, low=1, too_low="amount_not_positive")
        refuse_unless(amount == caller.value, "value_mismatch")
        return {"ok": True, "credited_wei": amount, "credit_wei": self._deposit(consumer, amount).credit}

    def _deposit(self, consumer: str, amount: int) -> Account:
        account = self._account(consumer)
        account.credit += amount
        account.full, account.alerted = account.credit + account.held, False
        self.deposited += amount
        return account

    def _release(self, consumer: str, subscription: Subscription) -> None:
        self.accounts[consumer].credit += subscription.hold
        subscription.hold = 0

    def _money_left(self, account: Account, name: str) -> None:
        """Credit fell: tell once when it has come down to the alert level."""
        if (
            account.percent
            and not account.alerted
            and 100 * (account.credit + account.held) <= account.percent * account.full
        ):
            account.alerted = True
            account.notices.append(("low_credit", name, "low_credit"))

    def _limits(self, name: str, consumer: str, day_id: int) -> Callable[[int, int], dict[str, bool]]:
        """A function (calls, cost) -> for each limit whether these calls on top of the day's would exceed it."""
        subscription = self._subscription(consumer, name)
        plan = self.apis[name].plans[subscription.plan]
        day, month_calls = self.day(name, consumer, day_id), self.month(name, consumer, day_id).calls
        daily, monthly = plan.daily or MAX_CALLS, plan.monthly or MAX_CALLS
        return lambda calls, cost: {
            "daily_limit_exceeded": day.calls + calls > daily,
            "monthly_limit_exceeded": month_calls + calls > monthly,
            "daily_spend_exceeded": day.spend + cost > subscription.cap,
        }

    def remembered(self, consumer: str, name: str, request: str) -> dict[str, Any] | None:
        """The outcome of a request that is not to be decided again."""
        kept = self.accounts[consumer].requests[-KEPT:] if request and consumer in self.accounts else []
        return next((answer for *key, answer in kept if key == [name, request]), None)

    def day(self, name: str, consumer: str, day_id: int) -> Day:
        return self.usage.get((name, consumer, day_id), Day())

    def month(self, name: str, consumer: str, day_id: int) -> Day:
        """What was used in the month of a day."""
        wanted, total = month_of(day_id), Day()
        for (api, account, other_day), day in self.usage.items():
            if (api, account) == (name, consumer) and month_of(other_day) == wanted:
                total = Day(total.receipts + day.receipts, total.settled + day.settled, total.spend + day.spend)
        return total

    def _bill(self, name: str, consumer: str, calls: int, cost: int) -> dict[str, Any]:
        account, day = self.accounts[consumer], self.usage[name, consumer, self.today]
        account.credit -= cost
        self.earnings[self.apis[name].operator] += cost
        day.receipts += calls
        day.spend += cost
        if cost:
            self._money_left(account, name)
        return {
            "receipt_id": f"{name}:{consumer}:{self.today}:{day.receipts}",
            "api_name": name,
            "consumer": consumer,
            "day_id": self.today,
            "call_no": day.receipts,
            "cost_wei": cost,
            "credit_wei": account.credit,
        }

    def _settle(self, name: str, consumer: str, day_id: int, calls: int, spend_wei: int) -> dict[str, Any]:
        billed, code = self._fitting(name, consumer, day_id, calls, spend_wei)
        cost, account = spend_wei * billed // calls, self.accounts.get(consumer)
        if billed and account:
            subscription, day = account.subscriptions[name], self.usage[name, consumer, day_id]
            held = min(cost, subscription.hold)
            subscription.hold -= held
            account.credit -= cost - held
            self.earnings[self.apis[name].operator] += cost
            day.settled += billed
            day.spend += cost
            if cost:
                self._money_left(account, name)
        if code and account and name in account.subscriptions:  # nobody can fill a stranger's list of notices
            account.notices.append(("settlement", name, code))
        line = {"consumer": consumer, "day_id": day_id, "calls": calls, "spend_wei": spend_wei}
        return {**line, "billed_calls": billed, "billed_wei": cost, "code": code}

    def _fitting(self, name: str, consumer: str, day_id: int, calls: int, spend: int) -> tuple[int, str]:
        """How many of the calls fit, and the code of the first thing that one more would break."""
        subscription = self._subscription(consumer, name)
        if day_id not in (self.today, self.today - 1):
            return 0, "day_closed"
        if not subscription.active and not subscription.hold:
            return 0, "not_subscribed"
        if spend > calls * subscription.accepted_price:
            return 0, "spend_above_price"
        limits = self._limits(name, consumer, day_id)
        funds = subscription.hold + (self.accounts[consumer].credit if subscription.active else 0)

        def broken(count: int) -> str:
            cost = spend * count // calls
            stops = {**limits(count, cost), "insufficient_credit": cost > funds}
            return next((code for code, stopped in stops.items() if stopped), "")

        fits, too_many = 0, calls + 1
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (fits, middle) if broken(middle) else (middle, too_many)
        return fits, "" if fits == calls else broken(fits + 1)

    def _remember(self, consumer: str, name: str, request: str, answer: dict[str, Any]) -> None:
        if request:
            self.accounts[consumer].requests.append((name, request, answer))


def month_of(day_id: int) -> tuple[int, int]:
    day = datetime.fromtimestamp(day_id * DAY_SECONDS, UTC)
    return day.year, day.month
