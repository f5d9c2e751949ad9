"""What the rules of the state machine draw from: arguments that are mostly plausible, and how they are spoiled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from api_billing.vouchers import Channel, Voucher
from genlayer_localnet import Address

from .arena import ALICE, ALINE, BILLING, CONSUMERS, COURTS, EVERYBODY, KEYS, OLGA, OTTO, SAM
from .model import DAY_SECONDS, Api, Outcome, Refund, Subscription
from .play import Play, salt, signature
from .tally import Tally

# Names that would share a record if a separator were forgotten, or a name cut or padded somewhere.
NAMES = ("a", "a.a", "aa", "a-a.a")
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
    BILLING,
)
SPOILS = ("",) * 16 + ("sender",) * 2 + ("argument",) * 3 + ("value",)
GOOD_VOUCHERS = ("exact", "exact", "ample", "stored", "lower")
# Signed by the right key, for another channel.
FOREIGN = ("salt", "payer", "signer", "receiver", "contract", "asset", "chain_id")
BAD_VOUCHERS = ("none", "short", "short", "forged", "mirrored", *FOREIGN)
OTHER_KEY = [*KEYS][1]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1


class DrawingMachine(RuleBasedStateMachine):
    def __init__(self, opening: Play, tally: Tally) -> None:
        super().__init__()
        self.play = opening.again(tally)
        self.last_settlement: dict[str, tuple[int, list[dict[str, Any]]]] = {}

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
        api = self.api(name)
        return api.operator if api else OLGA

    def a_reporter(self, data: st.DataObject, name: str) -> str:
        api = self.api(name)
        meters = [meter for meter in EVERYBODY if api and meter in api.meters]
        return data.draw(st.sampled_from((self.an_operator(name), *meters)))

    def subscriptions(self) -> dict[tuple[str, str], Subscription]:
        accounts = self.play.model.accounts.items()
        return {(who, name): each for who, account in accounts for name, each in account.subscriptions.items()}

    def a_pair(
        self, data: st.DataObject, *, of: tuple[str, ...] = EVERYBODY, with_hold: bool = False
    ) -> tuple[str, str]:
        """A consumer and an API it subscribed to, if there is one."""
        pairs = [
            pair
            for pair, subscription in self.subscriptions().items()
            if pair[0] in of and (subscription.hold if with_hold else subscription.active)
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

    def a_paid_day(self, data: st.DataObject, *wanted: tuple[str, str, int]) -> tuple[str, str, int]:
        """Nine times out of ten one of those wanted, if there are any: API, consumer and day."""
        if wanted and data.draw(st.sampled_from((True,) * 9 + (False,))):
            return data.draw(st.sampled_from(wanted))
        return data.draw(st.sampled_from([*self.play.model.usage]))

    def api(self, name: str) -> Api | None:
        return self.play.model.apis.get(name.strip().lower())

    def calls_left(self, consumer: str, name: str) -> int:
        """How many calls the limits leave today, as far as there are limits; at least 1."""
        line = self.play.before.lines.get((consumer, name), {})
        return max(line.get("calls_left_today") or 1, 1)

    def an_outsider(self, data: st.DataObject, *insiders: str) -> str:
        return data.draw(st.sampled_from([person for person in EVERYBODY if person not in insiders]))

    def credit(self, consumer: str) -> int:
        return self.play.model.accounts[consumer].credit if consumer in self.play.model.accounts else 0

    def _change_price(self, data: st.DataObject, consumer: str, name: str, price: int, daily: int) -> None:
        plan = self.play.model.subscription(consumer, name).plan or "standard"
        limits = (daily or 7, 0) if plan == "standard" or not price else (daily, 0)
        self.attempt(data, "set_plan", self.an_operator(name), name, plan, price, *limits)

    def _judge(self, data: st.DataObject, day: tuple[str, str, int], part: str) -> None:
        """The court gives back a part of what is frozen."""
        model = self.play.model
        most = model.refunds.get(day, Refund()).frozen
        amount = {"half": most // 2, "all": most, "none": 0, "one": 1, "too much": most + 1}[part]
        self.attempt(data, "refund_by_court", model.apis[day[0]].promise_on(day[2]).court or COURTS[0], *day, amount)

    # ---- settlements ----

    def _settle_session(
        self, data: st.DataObject, kind: str, number: int, *, close: bool = False, times: int = 1
    ) -> None:
        sessions = [
            pair for pair, each in self.subscriptions().items() if self.play.model.in_force(each) and each.signer
        ]
        if not sessions:
            self.open_session(data, 9, 3, 30, 0)
            return
        consumer, name = data.draw(st.sampled_from(sessions))
        calls, price = data.draw(st.integers(1, 4)), self.play.model.subscription(consumer, name).accepted_price
        spend = data.draw(st.sampled_from((calls * price or 1, 1)))
        voucher = self.a_voucher(consumer, name, salt(number), spend, kind)
        entry = self.play.entry(consumer, calls, spend, voucher, days_ago=data.draw(st.sampled_from((0, 0, 1))))
        for line in self._settle(data, name, *[{**entry, **({"close": True} if close else {})}] * times):
            self.play.tally.count(f"voucher: {kind}", Outcome("return", line["code"] or None))

    def _settle(self, data: st.DataObject, name: str, *entries: dict[str, Any]) -> list[dict[str, Any]]:
        """With the next sequence, by somebody who may; what became of the entries."""
        api = self.api(name)
        sequence = len(api.settlements) + 1 if api else 1
        self.attempt(data, "settle_usage", self.a_reporter(data, name), name, sequence, [*entries])
        if not api or len(api.settlements) < sequence:
            return []
        self.last_settlement[name] = sequence, [*entries]
        lines: list[dict[str, Any]] = api.settlements[-1][1]["entries"]
        return lines

    def _settle_one(self, consumer: str, name: str, days_ago: int, price: int | None = None) -> None:
        """A call, at the accepted price unless another is named, with a voucher where that is needed."""
        name = name.strip().lower()
        subscription, api = self.play.model.subscription(consumer, name), self.api(name)
        price = subscription.accepted_price if price is None else price
        voucher = self.a_voucher(consumer, name, salt(0), price, "exact") if subscription.signer else None
        if api:
            self.play.settle(api.operator, name, self.play.entry(consumer, 1, price, voucher, days_ago=days_ago))

    def _entry(self, data: st.DataObject, name: str) -> dict[str, Any]:
        name = name.strip().lower()
        users = [person for person, api_name in self.subscriptions() if api_name == name]
        consumer = data.draw(st.sampled_from([*users * 6, *CONSUMERS]))
        subscription = self.play.model.subscription(consumer, name)
        price = subscription.accepted_price or 1
        calls = data.draw(st.integers(1, 5))
        spend = data.draw(st.sampled_from((calls * price, calls * price, data.draw(st.integers(0, calls * price + 1)))))
        voucher = None
        if name in self.play.model.apis and data.draw(
            st.sampled_from((bool(subscription.signer),) * 5 + (True, False))
        ):
            voucher = self.a_voucher(consumer, name, salt(data.draw(st.integers(0, 1))), spend, "exact")
        entry = self.play.entry(consumer, calls, spend, voucher)
        entry["consumer"] = spelled(data, consumer)
        entry["day_id"] -= data.draw(st.sampled_from((0, 0, 0, 0, 1, 1, 1, 2, -1)))
        return entry

    def a_voucher(self, consumer: str, name: str, salt: str, spend: int, kind: str) -> Voucher | None:
        """A voucher for so much more than was billed of the channel, or what goes for one."""
        model = self.play.model
        signer = model.subscription(consumer, name).signer or OTHER_KEY
        channel = model.channel(name, consumer, signer, salt)
        signed, billed = model.channels.get(channel.id, (0, 0))
        due = {"exact": billed + spend, "ample": billed + 3 * spend, "short": billed + spend - 1}
        sum_wei = {**due, "stored": signed, "lower": max(signed - 1, 0)}.get(kind, signed + spend)
        if kind == "none":
            return None
        if kind == "stored":
            return Voucher(salt, sum_wei, "0x" + "00" * 65)
        if kind == "forged":
            forger = next(key for address, key in KEYS.items() if address != signer)
            return Voucher(salt, sum_wei, signature(forger, channel.digest(sum_wei)))
        if kind == "mirrored":
            return _mirrored(self.play.sign(channel, sum_wei))
        if kind in FOREIGN:
            channel = self._foreign(channel, kind)
        return replace(self.play.sign(channel, sum_wei), salt=salt)

    def _foreign(self, channel: Channel, kind: str) -> Channel:
        """The same channel, but for one thing."""
        other: dict[str, Any] = {
            "salt": salt(2**255),
            "payer": ALICE if channel.payer != ALICE else ALINE,
            "signer": next(address for address in KEYS if address != channel.signer),
            "receiver": OTTO if channel.receiver != OTTO else OLGA,
            "contract": SAM,
            "asset": next(asset for name in ("a", "aa") if (asset := self.play.model.asset(name)) != channel.asset),
            "chain_id": channel.chain_id + 1,
        }
        return replace(channel, **{kind: other[kind]})

    # ---- time ----

    def _pass_until(self, time: int) -> None:
        if time > self.play.model.now:
            self.play.pass_time(time - self.play.model.now)

    def _until_midnight(self) -> int:
        return (self.play.model.today + 1) * DAY_SECONDS - self.play.model.now


def spelled(data: st.DataObject, address: str) -> Any:
    """An address in one of the forms that are accepted; what is none stays."""
    if not address.startswith("0x"):
        return address
    digits = address[2:]
    return data.draw(
        st.sampled_from((address, address, "0x" + digits.upper(), bytes.fromhex(digits), Address(address)))
    )


def _mirrored(voucher: Voucher) -> Voucher:
    """The other signature of the same digest by the same key, with a high s."""
    mirrored_s = ORDER - int(voucher.signature[66:130], 16)
    other_v = 27 + 28 - int(voucher.signature[130:], 16)
    return replace(voucher, signature=f"{voucher.signature[:66]}{mirrored_s:064x}{other_v:02x}")


def until_next_month(now: datetime) -> int:
    first = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    return int((first - now).total_seconds())
