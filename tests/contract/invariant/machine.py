"""A Hypothesis state machine over all writes of the billing contract.

Most arguments are plausible, so that most calls succeed; a last draw may spoil the call: another sender, a wrong
argument, value where none belongs. Vouchers are signed with real keys, by the wrong one or for something else. Every
outcome is compared with the model, every view with what the model expects, and the ledger checks the invariants.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from .arena import ALICE, ALINE, CONSUMERS, CONTRACTS, COURTS, EVERYBODY, KEYS, METERS, OLGA, OPERATORS, OTTO, SAM
from .drawing import BAD_VOUCHERS, GOOD_VOUCHERS, NAMES, WRONG, DrawingMachine, spelled, until_next_month
from .model import API_DAYS, DAY_SECONDS, MAX_CHANNELS, MAX_DISPUTE_DAYS
from .play import salt

WRITES = (
    "register_api",
    "set_plan",
    "set_api_active",
    "set_meter",
    "propose_operator",
    "accept_operator",
    "set_promise",
    "refund",
    "collect_earnings",
    "freeze_by_court",
    "refund_by_court",
    "subscribe",
    "unsubscribe",
    "top_up_credit",
    "top_up_for",
    "withdraw_credit",
    "set_low_credit_alert",
    "consume_credit",
    "request_call",
    "place_hold",
    "open_session",
    "release_hold",
    "settle_usage",
    "withdraw_earnings",
)
PLANS = ("standard", "gold", "a", "free", "wide")
REQUEST_IDS = ("1", "a", "a\n1", "1" * 64, 1, "é", "11")
PASSING = ("finality", "seconds", "hours", "day", "day", "days", "midnight", "midnight", "month", "weeks")
HOLD_SECONDS = (60, 1, DAY_SECONDS, 3 * DAY_SECONDS, 0, 366 * DAY_SECONDS, 366 * DAY_SECONDS + 1)
SIGNERS = ("", "", *KEYS, *KEYS, "plain")
PARTS = st.sampled_from(("half", "all", "none", "one", "too much"))


class BillingMachine(DrawingMachine):
    # ---- operator ----

    @rule(
        data=st.data(),
        name=st.sampled_from(NAMES),
        price=st.integers(1, 5),
        daily=st.integers(1, 6),
        monthly=st.integers(0, 9),
    )
    def register_api(self, data: st.DataObject, name: str, price: int, daily: int, monthly: int) -> None:
        sender = self.an_operator(name) if name in self.play.model.apis else data.draw(st.sampled_from(OPERATORS))
        self.attempt(data, "register_api", sender, name, price, daily, monthly)

    @rule(data=st.data(), plan=st.sampled_from(PLANS), daily=st.integers(0, 7), monthly=st.integers(0, 12))
    def set_plan(self, data: st.DataObject, plan: str, daily: int, monthly: int) -> None:
        name = self.a_name(data)
        price = 0 if plan == "free" else data.draw(st.integers(0, 6))
        self.attempt(data, "set_plan", self.an_operator(name), name, plan, price, daily, monthly)

    @rule(data=st.data(), rise=st.integers(0, 2), daily=st.integers(0, 7), accept=st.booleans())
    def raise_a_price(self, data: st.DataObject, rise: int, daily: int, accept: bool) -> None:
        """And limits above or below what was used. What is accepted on the next day is not for this one."""
        consumer, name = self.a_billable_pair(data)
        former = self.play.model.subscription(consumer, name)
        price = former.accepted_price + rise
        self._change_price(data, consumer, name, price, daily)
        if accept:
            self.play.pass_time(self._until_midnight())
            self.attempt(data, "subscribe", consumer, name, former.cap, 0, former.plan)
            self._settle_one(consumer, name, 1, price)
        self.attempt(data, "consume_credit", consumer, name, consumer)

    @rule(data=st.data(), cut=st.integers(1, 2), nights=st.integers(0, 2), days_ago=st.integers(0, 1))
    def cut_a_price(self, data: st.DataObject, cut: int, nights: int, days_ago: int) -> None:
        """A day is settled at its own price."""
        consumer, name = self.a_billable_pair(data)
        price = self.play.model.subscription(consumer, name).accepted_price
        self._change_price(data, consumer, name, max(price - cut, 0), 7)
        if nights:
            self.play.pass_time(self._until_midnight() + (nights - 1) * DAY_SECONDS)
        self._settle_one(consumer, name, days_ago, price)

    @rule(data=st.data())
    def set_api_active(self, data: st.DataObject) -> None:
        name = self.a_name(data)
        api = self.play.model.apis.get(name)
        active = data.draw(st.sampled_from((True, True, False))) if api and api.active else True
        self.attempt(data, "set_api_active", self.an_operator(name), name, active)

    @rule(
        data=st.data(),
        meter=st.sampled_from((*METERS, *METERS, SAM, ALICE)),
        allowed=st.sampled_from((True, True, False)),
    )
    def set_meter(self, data: st.DataObject, meter: str, allowed: bool) -> None:
        name = self.a_name(data)
        self.attempt(data, "set_meter", self.an_operator(name), name, spelled(data, meter), allowed)

    @rule(data=st.data(), operator=st.sampled_from((*OPERATORS, *OPERATORS, ALINE)))
    def propose_operator(self, data: st.DataObject, operator: str) -> None:
        name = self.a_name(data)
        self.attempt(data, "propose_operator", self.an_operator(name), name, spelled(data, operator))

    @rule(data=st.data())
    def accept_operator(self, data: st.DataObject) -> None:
        apis = self.play.model.apis
        free = [
            name for name, api in apis.items() if not api.promises or data.draw(st.sampled_from((False, True, True)))
        ]
        offered = [(name, apis[name].proposed) for name in free if apis[name].proposed in EVERYBODY]
        if not offered:
            self.propose_operator(data, OTTO if data.draw(st.booleans()) else OLGA)
            return
        name, sender = data.draw(st.sampled_from(offered))
        self.attempt(data, "accept_operator", sender, name)

    @rule(data=st.data(), to=st.sampled_from(("", "", "", SAM, ALICE, *CONTRACTS)))
    def withdraw_earnings(self, data: st.DataObject, to: str) -> None:
        earners = [operator for operator, wei in self.play.model.earnings.items() if wei]
        operator = data.draw(st.sampled_from(earners or OPERATORS))
        most = self.play.model.earnings.get(operator, 0)
        amount = data.draw(st.sampled_from((1, most, most // 2 or 1, most + 1)))
        self.attempt(data, "withdraw_earnings", operator, amount, to)

    @rule(
        data=st.data(),
        court=st.sampled_from((*COURTS * 3, "", "", "", SAM)),
        days=st.sampled_from((3, 3, 4, 14, 15, 2)),
        percent=st.sampled_from((100, 100, 50, 1, 0, 101)),
        terms=st.sampled_from(("it answers", "", "é\n" * 1_000, "é" * 2_001)),
        status_url=st.sampled_from(("", "https://a.example/status", "http://a.example/", "https://", "https://a b")),
    )
    def set_promise(
        self, data: st.DataObject, court: str, days: int, percent: int, terms: str, status_url: str
    ) -> None:
        name = self.a_name(data)
        spoilt = data.draw(st.sampled_from((False, False, True)))
        wanted = (days, percent, terms, status_url) if spoilt else (3 + days % 3, percent % 100 + 1, "it answers", "")
        self.attempt(data, "set_promise", self.an_operator(name), name, court, *wanted)

    @rule(data=st.data())
    def collect_earnings(self, data: st.DataObject) -> None:
        self.attempt(data, "collect_earnings", data.draw(st.sampled_from(EVERYBODY)), self.a_name(data))

    @rule(data=st.data(), late=st.sampled_from((0, 0, 1)))
    def a_ring_comes_round(self, data: st.DataObject, late: int) -> None:
        """Something is billed on the day that takes the place of one that still waits."""
        apis = self.play.model.apis.items()
        waiting = [(name, day_id) for name, api in apis for day_id, day in api.days.items() if day.waits]
        if waiting:
            name, day_id = data.draw(st.sampled_from(waiting))
            self._pass_until((day_id + API_DAYS + late) * DAY_SECONDS)
            consumer = data.draw(st.sampled_from([who for who, api_name in self.subscriptions() if api_name == name]))
            self.attempt(data, "consume_credit", consumer, name, consumer)

    @rule(data=st.data(), reason=st.sampled_from(("",) * 6 + ("é" * 200, "x" * 201, "a\nb")), of_a_day=st.booleans())
    def refund(self, data: st.DataObject, reason: str, of_a_day: bool) -> None:
        model = self.play.model
        waiting = [day for day in model.usage if (found := model.apis[day[0]].days.get(day[2])) and found.waits]
        earning = [day for day in model.usage if model.earnings[model.apis[day[0]].operator]]
        name, consumer, day_id = self.a_paid_day(data, *(waiting if of_a_day else earning))
        most = model.day(name, consumer, day_id).spend if of_a_day else model.earnings[model.apis[name].operator]
        for _ in range(data.draw(st.sampled_from((1, 2)))):
            amount = data.draw(st.sampled_from((1, most, most + 1)))
            what = (consumer, amount, reason, day_id) if of_a_day else (consumer, amount, reason)
            self.attempt(data, "refund", self.an_operator(name), name, *what)

    # ---- court ----

    @rule(data=st.data())
    def freeze_by_court(self, data: st.DataObject) -> None:
        model = self.play.model
        ripe = [day for day in model.usage if model.is_pending(*day) and model.today - day[2] >= 2]
        name, consumer, day_id = self.a_paid_day(data, *ripe)
        court = model.apis[name].promise_on(day_id).court or COURTS[0]
        for _ in range(data.draw(st.sampled_from((1, 2)))):
            self.attempt(data, "freeze_by_court", court, name, spelled(data, consumer), day_id)

    @rule(data=st.data(), late=st.integers(0, 1))
    def a_day_matures(self, data: st.DataObject, late: int) -> None:
        """Or will tomorrow."""
        apis = self.play.model.apis.items()
        waiting = [(name, day_id, day.waits) for name, api in apis for day_id, day in api.days.items() if day.waits]
        if waiting:
            name, day_id, waits = data.draw(st.sampled_from(waiting))
            self._pass_until((day_id + waits + late) * DAY_SECONDS)
            who = data.draw(st.sampled_from([each for each, api_name in self.subscriptions() if api_name == name]))
            court = self.play.model.apis[name].promise_on(day_id).court
            self.attempt(data, "freeze_by_court", court, name, who, day_id)
            self.attempt(data, "collect_earnings", SAM, name)

    @rule(data=st.data(), parts=st.lists(PARTS, min_size=1, max_size=2))
    def refund_by_court(self, data: st.DataObject, parts: list[str]) -> None:
        frozen = [day for day, refund in self.play.model.refunds.items() if refund.frozen]
        day = self.a_paid_day(data, *frozen)
        for part in parts:
            self._judge(data, day, part)

    @rule(
        data=st.data(), nights=st.sampled_from((2, 2, 3, 4)), refunded=st.booleans(), parts=st.lists(PARTS, max_size=2)
    )
    def a_dispute(self, data: st.DataObject, nights: int, refunded: bool, parts: list[str]) -> None:
        """A call is billed; some days later the court freezes what it cost, and decides."""
        apis, today = self.play.model.apis, self.play.model.today
        pairs = [
            pair for pair, each in self.subscriptions().items() if each.active and apis[pair[1]].promise_on(today).court
        ]
        if not pairs:
            return
        consumer, name = data.draw(st.sampled_from(pairs))
        self.play.perform("consume_credit", consumer, name, consumer)
        self.play.pass_time(self._until_midnight() + (nights - 1) * DAY_SECONDS)
        if refunded:
            self.play.perform("refund", apis[name].operator, name, consumer, 1, "", today)
        court = apis[name].promise_on(today).court
        for part in ("", *parts, ""):
            if part:
                self._judge(data, (name, consumer, today), part)
            else:
                self.play.perform("freeze_by_court", court, name, consumer, today)

    @rule(data=st.data(), amount=st.sampled_from((0, 0, 1)), early=st.booleans())
    def a_court_says_nothing(self, data: st.DataObject, amount: int, early: bool) -> None:
        """After thirty days anyone closes what was frozen, with nothing for the consumer."""
        frozen = [(refund.frozen_at, day) for day, refund in self.play.model.refunds.items() if refund.frozen]
        if not frozen:
            self.freeze_by_court(data)
            return
        frozen_at, day = data.draw(st.sampled_from(frozen))
        self._pass_until(frozen_at + MAX_DISPUTE_DAYS * DAY_SECONDS - early)
        self.attempt(data, "refund_by_court", SAM, *day, amount)

    # ---- consumer ----

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), cap=st.integers(1, 60), deposit=st.integers(0, 50))
    def subscribe(self, data: st.DataObject, consumer: str, cap: int, deposit: int) -> None:
        name = self.a_name(data)
        api = self.play.model.apis.get(name)
        plan = data.draw(st.sampled_from([*list(api.plans if api else ()) * 4, "gold"]))
        bound = data.draw(st.sampled_from((0, 0, 9, 1)))
        self.attempt(data, "subscribe", consumer, name, cap, deposit, plan, bound, value=deposit)

    @rule(data=st.data(), deposit=st.integers(0, 30))
    def renew(self, data: st.DataObject, deposit: int) -> None:
        """Subscribe again to what was ended or has become dearer."""
        stopped = [
            (consumer, name, subscription)
            for (consumer, name), subscription in self.subscriptions().items()
            if self.play.model.quote(name, consumer, 1)[0] in ("not_subscribed", "price_changed", "insufficient_credit")
        ]
        if stopped:
            consumer, name, old = data.draw(st.sampled_from(stopped))
            self.attempt(data, "subscribe", consumer, name, old.cap + 5, deposit, old.plan, value=deposit)

    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        consumer, name = self.a_pair(data)
        self.attempt(data, "unsubscribe", consumer, name)

    @rule(
        data=st.data(),
        used=st.booleans(),
        away=st.sampled_from((0, 1, 2, 3)),
        days_ago=st.sampled_from((1, 1, 1, 0, 2)),
        hold=st.sampled_from(("", "before", "after")),
    )
    def leave_and_return(self, data: st.DataObject, used: bool, away: int, days_ago: int, hold: str) -> None:
        """Around so many midnights; then somebody settles a day before, at or after that."""
        consumer, name = self.a_pair(data, of=CONSUMERS)
        before, api = self.play.model.subscription(consumer, name), self.api(name)
        if not before.active or not api:
            return
        if used:
            self.play.perform("consume_credit", consumer, name, consumer)
        held = consumer, name, min(self.credit(consumer), 4), self.play.model.now + 3 * DAY_SECONDS
        if hold == "before":
            self.play.perform("place_hold", *held)
        self.play.perform("unsubscribe", consumer, name)
        if away:
            self.play.pass_time(self._until_midnight() + (away - 1) * DAY_SECONDS)
        if data.draw(st.booleans()):
            self._settle_one(consumer, name, days_ago)
        self.play.perform("subscribe", consumer, name, before.cap, 0, before.plan)
        if hold == "after":
            self.play.perform("place_hold", *held)
        self._settle_one(consumer, name, days_ago)

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), amount=st.integers(1, 60))
    def top_up_credit(self, data: st.DataObject, consumer: str, amount: int) -> None:
        self.attempt(data, "top_up_credit", consumer, amount, value=amount)

    @rule(
        data=st.data(),
        payer=st.sampled_from(EVERYBODY),
        consumer=st.sampled_from(CONSUMERS),
        amount=st.sampled_from((1, 1, 2, 60)),
    )
    def top_up_for(self, data: st.DataObject, payer: str, consumer: str, amount: int) -> None:
        self.attempt(data, "top_up_for", payer, spelled(data, consumer), amount, value=amount)

    @rule(
        data=st.data(),
        consumer=st.sampled_from(CONSUMERS),
        to=st.sampled_from(("", "", "", SAM, OTTO, ALICE, *CONTRACTS)),
    )
    def withdraw_credit(self, data: st.DataObject, consumer: str, to: str) -> None:
        credit = self.credit(consumer)
        amount = data.draw(st.sampled_from((1, credit // 2, credit + 1, credit)))
        self.attempt(data, "withdraw_credit", consumer, amount, to)

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), percent=st.sampled_from((0, 1, 20, 50, 99, 100, 101)))
    def set_low_credit_alert(self, data: st.DataObject, consumer: str, percent: int) -> None:
        self.attempt(data, "set_low_credit_alert", consumer, percent)

    @rule(data=st.data(), amount=st.integers(1, 20), seconds=st.sampled_from(HOLD_SECONDS))
    def place_hold(self, data: st.DataObject, amount: int, seconds: int) -> None:
        consumer, name = self.a_pair(data)
        line, now = self.play.before.lines.get((consumer, name), {}), self.play.arena.now
        start = data.draw(st.sampled_from((max(line.get("hold_expires_at", 0), now), now)))
        amount = min(amount, self.credit(consumer) // 2 + 1)
        signer = data.draw(st.sampled_from((("",), SIGNERS)[line.get("signer", "") == "" or data.draw(st.booleans())]))
        self.attempt(data, "place_hold", consumer, name, amount, start + seconds, spelled(data, signer))

    @rule(
        data=st.data(),
        amount=st.integers(1, 30),
        days=st.sampled_from((1, 2, 3, 9, 0)),
        value=st.sampled_from((30, 12, 0)),
        bound=st.sampled_from((0, 0, 9, 1)),
    )
    def open_session(self, data: st.DataObject, amount: int, days: int, value: int, bound: int) -> None:
        subscribed = data.draw(st.booleans())
        pair = self.a_pair(data) if subscribed else (data.draw(st.sampled_from(CONSUMERS)), self.a_name(data))
        subscription, api = self.play.model.subscription(*pair), self.api(pair[1])
        plan = data.draw(st.sampled_from([*list(api.plans if api else ()) * 4, "gold"]))
        signer = data.draw(st.sampled_from((subscription.signer or "", *SIGNERS)))
        until = max(subscription.hold_until, self.play.model.now) + days * DAY_SECONDS
        amount = min(amount, self.credit(pair[0]) + value)
        what = (data.draw(st.integers(10, 60)), amount, until, spelled(data, signer), plan, bound)
        self.attempt(data, "open_session", pair[0], pair[1], *what, value=value)

    @rule(data=st.data(), by_operator=st.sampled_from((True, True, False)))
    def release_hold(self, data: st.DataObject, by_operator: bool) -> None:
        consumer, name = self.a_pair(data, with_hold=True)
        if by_operator:
            self.attempt(data, "release_hold", self.an_operator(name), name, spelled(data, consumer))
        else:
            self.attempt(data, "release_hold", consumer, name)

    # ---- billing ----

    @rule(data=st.data(), calls=st.sampled_from((1, 2, 3, "all that is left", "one too many")))
    def consume_credit(self, data: st.DataObject, calls: int | str) -> None:
        consumer, name = self.a_billable_pair(data)
        if isinstance(calls, str):
            calls = self.calls_left(consumer, name) + (calls == "one too many")
        sender = data.draw(st.sampled_from((consumer, self.a_reporter(data, name))))
        self.attempt(data, "consume_credit", sender, name, spelled(data, consumer), calls)

    @rule(
        data=st.data(),
        request=st.sampled_from(REQUEST_IDS),
        by_reporter=st.booleans(),
        again=st.lists(st.sampled_from(("same", "calls", "side", "api")), max_size=3),
    )
    def consume_credit_once(self, data: st.DataObject, request: Any, by_reporter: bool, again: list[str]) -> None:
        """And the same id again, or with other calls, from the other side, for another API."""
        consumer, name = self.a_billable_pair(data)
        sides = (consumer, self.a_reporter(data, name))
        self.attempt(data, "consume_credit", sides[by_reporter], name, consumer, 1, request)
        for what in again:
            by_reporter ^= what == "side"
            if what == "api":
                name = data.draw(st.sampled_from([*self.play.model.apis]))
            self.attempt(data, "consume_credit", sides[by_reporter], name, consumer, 1 + (what == "calls"), request)

    @rule(data=st.data(), request=st.sampled_from(REQUEST_IDS), contract=st.sampled_from(CONTRACTS[:2]))
    def a_denied_request_is_billed_later(self, data: st.DataObject, request: Any, contract: str) -> None:
        name = data.draw(st.sampled_from([name for who, name in self.subscriptions() if who == contract] or ["a"]))
        credit = self.credit(contract)
        if credit:
            self.play.perform("withdraw_credit", contract, credit)
        self.play.perform("request_call", contract, name, request)
        self.play.perform("top_up_for", SAM, contract, credit + 9, value=credit + 9)
        self.play.perform("request_call", contract, name, request)

    @rule(data=st.data(), request=st.sampled_from(REQUEST_IDS))
    def request_call(self, data: st.DataObject, request: Any) -> None:
        contract, name = self.a_pair(data, of=CONTRACTS)
        self.attempt(data, "request_call", contract, name, request)

    @rule(data=st.data(), calls=st.integers(1, 3))
    def an_outsider_reports_usage(self, data: st.DataObject, calls: int) -> None:
        """What would be billed if only somebody else said so."""
        consumer, name = self.a_billable_pair(data)
        name = name.strip().lower()
        api = self.play.model.apis.get(name)
        outsider = self.an_outsider(data, consumer, *((api.operator, *api.meters) if api else ()))
        if data.draw(st.booleans()):
            self.play.perform("consume_credit", outsider, name, consumer, calls)
        else:
            entry = {"consumer": consumer, "day_id": self.play.model.today, "calls": calls, "spend_wei": calls}
            sequence = len(api.settlements) + 1 if api else 1
            self.play.perform("settle_usage", outsider, name, sequence, [entry])

    @rule(data=st.data(), step=st.sampled_from((1, 1, 1, 1, 1, 1, 0, 0, -1, 2)))
    def settle_usage(self, data: st.DataObject, step: int) -> None:
        name = self.a_name(data)
        api = self.api(name)
        entries = [self._entry(data, name) for _ in range(data.draw(st.integers(1, 3)))]
        sequence = max((len(api.settlements) if api else 0) + step, 0)
        root = data.draw(st.sampled_from(("", "0x" + "Ab" * 32, "cd" * 32)))
        self.attempt(data, "settle_usage", self.a_reporter(data, name), name, sequence, entries, root)

    @rule(data=st.data(), forged=st.booleans(), other=st.booleans())
    def settle_again(self, data: st.DataObject, forged: bool, other: bool) -> None:
        """The last settlement with other vouchers, which makes no difference, or with something else, which does."""
        settled = [(name, self.last_settlement[name]) for name in self.play.model.apis if name in self.last_settlement]
        if not settled:
            return
        name, (sequence, entries) = data.draw(st.sampled_from(settled))
        entries = [dict(entry) for entry in entries]
        if forged and entries[0].get("voucher"):
            entries[0]["voucher"] = {**entries[0]["voucher"], "cumulative_wei": 2**127, "signature": b"\x01" * 65}
        if other:
            entries[-1]["close"] = not entries[-1].get("close", False)
        self.attempt(data, "settle_usage", self.an_operator(name), name, sequence, entries)

    @rule(data=st.data(), calls=st.integers(1, 8), days_ago=st.integers(0, 1))
    def settle_a_consumer(self, data: st.DataObject, calls: int, days_ago: int) -> None:
        """A settlement of one consumer, as meters make them all day, at the full price."""
        consumer, name = self.a_pair(data)
        price = self.play.model.subscription(consumer, name).accepted_price
        self._settle(data, name, self.play.entry(consumer, calls, calls * price, days_ago=days_ago))

    @rule(
        data=st.data(),
        kind=st.sampled_from(GOOD_VOUCHERS),
        number=st.integers(0, 2),
        close=st.booleans(),
        times=st.sampled_from((1,) * 12 + (2, 65)),
    )
    def settle_a_session(self, data: st.DataObject, kind: str, number: int, close: bool, times: int) -> None:
        """Calls that only a voucher can bill."""
        self._settle_session(data, kind, number, close=close, times=times)

    @rule(data=st.data(), kind=st.sampled_from(BAD_VOUCHERS), number=st.integers(0, 2))
    def settle_a_session_unsigned(self, data: st.DataObject, kind: str, number: int) -> None:
        """Calls without a voucher that could bill them."""
        self._settle_session(data, kind, number)

    @rule(data=st.data(), late=st.booleans(), days_ago=st.integers(0, 1))
    def settle_an_expired_session(self, data: st.DataObject, late: bool, days_ago: int) -> None:
        held = [(each.hold_until, *pair) for pair, each in self.subscriptions().items() if each.hold and each.signer]
        if held:
            until, consumer, name = data.draw(st.sampled_from(held))
            self._pass_until(until - 1 + late)
            self._settle_one(consumer, name, days_ago)

    @rule(data=st.data(), first=st.integers(0, 9), close=st.booleans())
    def settle_many_channels(self, data: st.DataObject, first: int, close: bool) -> None:
        """One channel more than a session may have, and a malformed voucher now and then."""
        sessions = [
            (consumer, name)
            for (consumer, name), each in self.subscriptions().items()
            if each.signer and self.play.model.in_force(each) and each.plan == "wide"
        ]
        if not sessions:
            return
        consumer, name = data.draw(st.sampled_from(sessions))
        numbers = range(first, first + MAX_CHANNELS + 1)
        vouchers = [self.a_voucher(consumer, name, salt(number), 1, "exact") for number in numbers]
        entries = [self.play.entry(consumer, 1, 1, voucher) for voucher in vouchers]
        spoilt = data.draw(st.sampled_from((*("",) * 6, "salt", "cumulative_wei", "signature")))
        if spoilt:
            entries[-1]["voucher"][spoilt] = data.draw(st.sampled_from(WRONG))
        entries[-1]["close"] = close
        self._settle(data, name, *entries)

    # ---- the world ----

    @rule(data=st.data(), what=st.sampled_from(PASSING))
    def pass_time(self, data: st.DataObject, what: str) -> None:
        if what == "finality":
            self.play.become_final()
            return
        seconds = {
            "seconds": data.draw(st.integers(1, 90)),
            "hours": 3_600 * data.draw(st.integers(1, 12)),
            "day": DAY_SECONDS,
            "days": data.draw(st.integers(2, 5)) * DAY_SECONDS,
            "midnight": self._until_midnight() - data.draw(st.sampled_from((0, 1))),
            "month": until_next_month(self.play.arena.net.now) - data.draw(st.sampled_from((0, 1))),
            "weeks": 7 * DAY_SECONDS * data.draw(st.integers(1, 4)),
        }[what]
        self.play.pass_time(seconds)

    @rule(sender=st.sampled_from((SAM, ALICE, OLGA)), wei=st.integers(1, 9), nameless=st.booleans())
    def gen_arrives(self, sender: str, wei: int, nameless: bool) -> None:
        self.play.gen_arrives(sender, wei, nameless=nameless)
