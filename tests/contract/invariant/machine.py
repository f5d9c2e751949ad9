"""A Hypothesis state machine over all writes of the billing contract.

Most arguments are plausible, so that most calls succeed; a last draw may spoil the call: another sender, a wrong
argument, value where none belongs. Every outcome is compared with the model, every view with what the model expects,
and the ledger checks the six invariants.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from genlayer_localnet import Address

from .arena import ALICE, ALINE, CONSUMERS, CONTRACTS, EVERYBODY, METERS, OLGA, OPERATORS, OTTO, SAM
from .model import DAY_SECONDS
from .play import Play
from .tally import Tally

WRITES = (
    "register_api",
    "set_plan",
    "set_api_active",
    "set_meter",
    "propose_operator",
    "accept_operator",
    "subscribe",
    "unsubscribe",
    "top_up_credit",
    "top_up_for",
    "withdraw_credit",
    "set_low_credit_alert",
    "consume_credit",
    "request_call",
    "place_hold",
    "release_hold",
    "settle_usage",
    "withdraw_earnings",
)
# Names that would share a record if a separator were forgotten, or a name cut or padded somewhere.
NAMES = ("a", "a.a", "aa", "a-a.a")
PLANS = ("standard", "gold", "a", "free")
REQUEST_IDS = ("1", "a", "a\n1", "1" * 64, 1, "é", "11")
WRONG = (
    None,
    True,
    -1,
    0,
    2**128,
    2**256,
    "",
    " ",
    "a b",
    "x" * 65,
    "0x" + "0" * 40,
    "0x" + "g" * 40,
    b"",
    b"\0" * 20,
    [],
    {},
    [{}],
    "\uff41",  # a wide a
)
PASSING = ("finality", "seconds", "hours", "day", "day", "midnight", "month", "weeks")
HOLD_SECONDS = (60, 1, DAY_SECONDS, 3 * DAY_SECONDS, 0, 366 * DAY_SECONDS, 366 * DAY_SECONDS + 1)
SPOILS = ("",) * 16 + ("sender",) * 2 + ("argument",) * 3 + ("value",)


class BillingMachine(RuleBasedStateMachine):
    def __init__(self, opening: Play, tally: Tally) -> None:
        super().__init__()
        self.play = opening.again(tally)

    def teardown(self) -> None:
        if self.play.sound:
            self.play.finish()

    # ---- drawing ----

    def attempt(self, data: st.DataObject, method: str, sender: str, *args: Any, value: int = 0) -> None:
        """Run a write, now and then spoiled."""
        spoil = data.draw(st.sampled_from(SPOILS))
        if spoil == "sender":
            sender = data.draw(st.sampled_from(EVERYBODY))
        elif spoil == "argument" and args:
            place = data.draw(st.integers(0, len(args) - 1))
            args = (*args[:place], data.draw(st.sampled_from(WRONG)), *args[place + 1 :])
        elif spoil == "value":
            value = data.draw(st.integers(1, 9))
        self.play.perform(method, sender, *args, value=value)

    def a_name(self, data: st.DataObject) -> str:
        """A registered API, nine times out of ten, sometimes in another spelling."""
        names = list(self.play.model.apis) * 9 + [data.draw(st.sampled_from(NAMES))]
        name = data.draw(st.sampled_from(names))
        return data.draw(st.sampled_from((name, name, name, f" {name.upper()}\n")))

    def an_operator(self, name: str) -> str:
        api = self.play.model.apis.get(name.strip().lower())
        return api.operator if api else OLGA

    def a_reporter(self, data: st.DataObject, name: str) -> str:
        api = self.play.model.apis.get(name.strip().lower())
        return data.draw(st.sampled_from((self.an_operator(name), *sorted(api.meters if api else ()))))

    def a_pair(
        self, data: st.DataObject, *, of: tuple[str, ...] = EVERYBODY, with_hold: bool = False
    ) -> tuple[str, str]:
        """A consumer and an API it subscribed to, if there is one."""
        pairs = [
            (consumer, name)
            for consumer, account in self.play.model.accounts.items()
            if consumer in of
            for name, subscription in account.subscriptions.items()
            if (subscription.hold if with_hold else subscription.active)
        ]
        if pairs and data.draw(st.sampled_from((True,) * 9 + (False,))):
            return data.draw(st.sampled_from(pairs))
        return data.draw(st.sampled_from([person for person in CONSUMERS if person in of])), self.a_name(data)

    def a_billable_pair(self, data: st.DataObject) -> tuple[str, str]:
        """Three times out of four a pair that a call can be billed to just now."""
        quotes = {pair: self.play.model.quote(pair[1], pair[0], 1)[0] for pair in self.play.before.pairs}
        billable = [pair for pair, code in quotes.items() if not code]
        if billable and data.draw(st.sampled_from((True, True, True, False))):
            return data.draw(st.sampled_from(billable))
        return self.a_pair(data)

    def calls_left(self, consumer: str, name: str) -> int:
        """How many calls the limits leave today, as far as there are limits; at least 1."""
        line = self.play.before.lines.get((consumer, name), {})
        return max(line.get("calls_left_today") or 1, 1)

    def an_outsider(self, data: st.DataObject, *insiders: str) -> str:
        return data.draw(st.sampled_from([person for person in EVERYBODY if person not in insiders]))

    def credit(self, consumer: str) -> int:
        return self.play.model.accounts[consumer].credit if consumer in self.play.model.accounts else 0

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

    @rule(data=st.data(), rise=st.integers(0, 2), daily=st.integers(0, 7))
    def change_a_plan_in_use(self, data: st.DataObject, rise: int, daily: int) -> None:
        """A price above or at the accepted one, and limits above or below what was used."""
        consumer, name = self.a_billable_pair(data)
        account, api = self.play.model.accounts.get(consumer), self.play.model.apis.get(name)
        if account and api and name in account.subscriptions:
            subscription = account.subscriptions[name]
            price = subscription.accepted_price + rise
            self.attempt(data, "set_plan", api.operator, name, subscription.plan, price, max(daily, price == 0), 0)
            self.attempt(data, "consume_credit", consumer, name, consumer)

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
        self.attempt(data, "set_meter", self.an_operator(name), name, _spelled(data, meter), allowed)

    @rule(data=st.data(), operator=st.sampled_from((*OPERATORS, *OPERATORS, ALINE)))
    def propose_operator(self, data: st.DataObject, operator: str) -> None:
        name = self.a_name(data)
        self.attempt(data, "propose_operator", self.an_operator(name), name, _spelled(data, operator))

    @rule(data=st.data())
    def accept_operator(self, data: st.DataObject) -> None:
        offered = [(name, api.proposed) for name, api in self.play.model.apis.items() if api.proposed]
        if not offered:
            self.propose_operator(data, OTTO if data.draw(st.booleans()) else OLGA)
            return
        name, sender = data.draw(st.sampled_from(offered))
        self.attempt(data, "accept_operator", sender, name)

    @rule(data=st.data())
    def withdraw_earnings(self, data: st.DataObject) -> None:
        earners = [operator for operator, wei in self.play.model.earnings.items() if wei]
        operator = data.draw(st.sampled_from(earners or OPERATORS))
        most = self.play.model.earnings.get(operator, 0)
        self.attempt(
            data, "withdraw_earnings", operator, data.draw(st.sampled_from((1, most, most // 2 or 1, most + 1)))
        )

    # ---- consumer ----

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), cap=st.integers(1, 60), deposit=st.integers(0, 50))
    def subscribe(self, data: st.DataObject, consumer: str, cap: int, deposit: int) -> None:
        name = self.a_name(data)
        api = self.play.model.apis.get(name)
        plan = data.draw(st.sampled_from([*list(api.plans if api else ()) * 4, "gold"]))
        self.attempt(data, "subscribe", consumer, name, cap, deposit, plan, value=deposit)

    @rule(data=st.data(), deposit=st.integers(0, 30))
    def renew(self, data: st.DataObject, deposit: int) -> None:
        """Subscribe again to what was ended or has become dearer."""
        stopped = [
            (consumer, name, account.subscriptions[name])
            for consumer, account in self.play.model.accounts.items()
            for name in account.subscriptions
            if self.play.model.quote(name, consumer, 1)[0] in ("not_subscribed", "price_changed", "insufficient_credit")
        ]
        if stopped:
            consumer, name, old = data.draw(st.sampled_from(stopped))
            self.attempt(data, "subscribe", consumer, name, old.cap + 5, deposit, old.plan, value=deposit)

    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        consumer, name = self.a_pair(data)
        self.attempt(data, "unsubscribe", consumer, name)

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), amount=st.integers(1, 60))
    def top_up_credit(self, data: st.DataObject, consumer: str, amount: int) -> None:
        self.attempt(data, "top_up_credit", consumer, amount, value=amount)

    @rule(
        data=st.data(), payer=st.sampled_from(EVERYBODY), consumer=st.sampled_from(CONSUMERS), amount=st.integers(1, 60)
    )
    def top_up_for(self, data: st.DataObject, payer: str, consumer: str, amount: int) -> None:
        self.attempt(data, "top_up_for", payer, _spelled(data, consumer), amount, value=amount)

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS))
    def withdraw_credit(self, data: st.DataObject, consumer: str) -> None:
        credit = self.credit(consumer)
        amount = data.draw(st.sampled_from((1, credit // 2, credit + 1, credit)))
        self.attempt(data, "withdraw_credit", consumer, amount)

    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS), percent=st.sampled_from((0, 1, 20, 50, 99, 100, 101)))
    def set_low_credit_alert(self, data: st.DataObject, consumer: str, percent: int) -> None:
        self.attempt(data, "set_low_credit_alert", consumer, percent)

    @rule(data=st.data(), amount=st.integers(1, 20), seconds=st.sampled_from(HOLD_SECONDS))
    def place_hold(self, data: st.DataObject, amount: int, seconds: int) -> None:
        consumer, name = self.a_pair(data)
        line, now = self.play.before.lines.get((consumer, name), {}), self.play.arena.now
        start = data.draw(st.sampled_from((max(line.get("hold_expires_at", 0), now), now)))
        amount = min(amount, self.credit(consumer) // 2 + 1)
        self.attempt(data, "place_hold", consumer, name, amount, start + seconds)

    @rule(data=st.data(), by_operator=st.sampled_from((True, True, False)))
    def release_hold(self, data: st.DataObject, by_operator: bool) -> None:
        consumer, name = self.a_pair(data, with_hold=True)
        if by_operator:
            self.attempt(data, "release_hold", self.an_operator(name), name, _spelled(data, consumer))
        else:
            self.attempt(data, "release_hold", consumer, name)

    # ---- billing ----

    @rule(data=st.data(), calls=st.sampled_from((1, 2, 3, "all that is left", "one too many")))
    def consume_credit(self, data: st.DataObject, calls: int | str) -> None:
        consumer, name = self.a_billable_pair(data)
        if isinstance(calls, str):
            calls = self.calls_left(consumer, name) + (calls == "one too many")
        sender = data.draw(st.sampled_from((consumer, self.a_reporter(data, name))))
        self.attempt(data, "consume_credit", sender, name, _spelled(data, consumer), calls)

    @rule(data=st.data(), request=st.sampled_from(REQUEST_IDS), again=st.booleans())
    def consume_credit_once(self, data: st.DataObject, request: Any, again: bool) -> None:
        consumer, name = self.a_billable_pair(data)
        sender = data.draw(st.sampled_from((consumer, self.a_reporter(data, name))))
        self.attempt(data, "consume_credit", sender, name, consumer, 1, request)
        if again:
            self.attempt(data, "consume_credit", sender, name, consumer, 1, request)

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
        api = self.play.model.apis.get(name.strip().lower())
        entries = [self._entry(data, name) for _ in range(data.draw(st.integers(1, 3)))]
        sequence = max((len(api.settlements) if api else 0) + step, 0)
        root = data.draw(st.sampled_from(("", "0x" + "Ab" * 32, "cd" * 32)))
        self.attempt(data, "settle_usage", self.a_reporter(data, name), name, sequence, entries, root)

    @rule(data=st.data(), calls=st.integers(1, 8))
    def settle_a_consumer(self, data: st.DataObject, calls: int) -> None:
        """A settlement of one consumer, as meters make them all day, at the full price."""
        consumer, name = self.a_pair(data)
        name = name.strip().lower()
        account, api = self.play.model.accounts.get(consumer), self.play.model.apis.get(name)
        price = account.subscriptions[name].accepted_price if account and name in account.subscriptions else 1
        day_id = self.play.model.today - data.draw(st.sampled_from((0, 1)))
        entry = {"consumer": consumer, "day_id": day_id, "calls": calls, "spend_wei": calls * price}
        sequence = len(api.settlements) + 1 if api else 1
        self.attempt(data, "settle_usage", self.a_reporter(data, name), name, sequence, [entry])

    def _entry(self, data: st.DataObject, name: str) -> dict[str, Any]:
        name = name.strip().lower()
        users = [person for person, account in self.play.model.accounts.items() if name in account.subscriptions]
        consumer = data.draw(st.sampled_from([*users * 6, *CONSUMERS]))
        account = self.play.model.accounts.get(consumer)
        price = account.subscriptions[name].accepted_price if account and name in account.subscriptions else 1
        calls = data.draw(st.integers(1, 5))
        spend = data.draw(st.sampled_from((calls * price, calls * price, data.draw(st.integers(0, calls * price + 1)))))
        day_id = self.play.model.today - data.draw(st.sampled_from((0, 0, 0, 0, 1, 1, 1, 2, -1)))
        return {"consumer": _spelled(data, consumer), "day_id": day_id, "calls": calls, "spend_wei": spend}

    # ---- the world ----

    @rule(data=st.data(), what=st.sampled_from(PASSING))
    def pass_time(self, data: st.DataObject, what: str) -> None:
        if what == "finality":
            self.play.become_final()
            return
        today_ends = (self.play.model.today + 1) * DAY_SECONDS - self.play.model.now
        seconds = {
            "seconds": data.draw(st.integers(1, 90)),
            "hours": 3_600 * data.draw(st.integers(1, 12)),
            "day": DAY_SECONDS,
            "midnight": today_ends - data.draw(st.sampled_from((0, 1))),
            "month": _until_next_month(self.play.arena.net.now) - data.draw(st.sampled_from((0, 1))),
            "weeks": 7 * DAY_SECONDS * data.draw(st.integers(1, 4)),
        }[what]
        self.play.pass_time(seconds)

    @rule(sender=st.sampled_from((SAM, ALICE, OLGA)), wei=st.integers(1, 9), nameless=st.booleans())
    def gen_arrives(self, sender: str, wei: int, nameless: bool) -> None:
        self.play.gen_arrives(sender, wei, nameless=nameless)


def _spelled(data: st.DataObject, address: str) -> Any:
    """An address in one of the forms that are accepted."""
    digits = address[2:]
    return data.draw(
        st.sampled_from((address, address, "0x" + digits.upper(), bytes.fromhex(digits), Address(address)))
    )


def _until_next_month(now: datetime) -> int:
    first = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    return int((first - now).total_seconds())
