"""A network on which there is much of everything: what pages have to show well, and on a phone, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, Final

from api_billing.contract_source import contract_path
from api_billing.vouchers import Channel, sign_voucher
from genlayer_localnet import Localnet
from genlayer_localnet.address import Address
from genlayer_localnet.rpc.accounts import account_of
from genlayer_localnet.rpc.node import Identity

from .world import DAY_SECONDS, GEN, NOW, PEOPLE, Prepared

DAYS: Final = 400
SUBSCRIPTIONS: Final = 40
SETTLEMENTS: Final = 80
"""The contract keeps 64 of them."""
PRICES: Final = (
    1,
    12_345,
    10**9,
    10**12 + 7,
    GEN // 1000,
    GEN // 100,
    123_456_789_012_345_678,
    7 * GEN + 1,
    1_000 * GEN,
    10**9 * GEN,
)
SIGNER: Final = account_of(Identity().seed, "account", 9)
SUBSCRIBERS: Final = [f"0x{number:040x}" for number in range(0xB0B0_0000, 0xB0B0_0000 + 120)]


def name_of(number: int) -> str:
    """Every second name has the 64 characters that the contract allows, with places to break it and without."""
    if number % 4 == 0:
        return f"{'settlementandreconciliation' * 3}"[:61] + f"{number:03}"
    if number % 4 == 1:
        return f"{'eu-central-1.production.ledger_and_reconciliation.reports.v2-eu'}"[:60] + f"-{number:03}"
    return f"{('maps', 'tides')[number % 2]}-{number:03}"


NAMES: Final = [name_of(number) for number in range(SUBSCRIPTIONS + 2)]
OFTEN, SETTLED, PLANS = NAMES[5], NAMES[4], NAMES[0]
"""Called on each day; settled 80 times, for 121 consumers; with 64 plans."""
PAUSED, DEARER, CAPPED, USED_UP, ENDED = NAMES[3], NAMES[6], NAMES[14], NAMES[13], NAMES[SUBSCRIPTIONS:]
HELD, OUTLIVED, SESSION = NAMES[15], NAMES[16], NAMES[17]
"""With a hold, one that has expired, and a session of SIGNER."""

FACTS: Final = {
    "consumer": PEOPLE["consumer"].address,
    "operator": PEOPLE["operator"].address,
    "apis": {"often": OFTEN, "settled": SETTLED, "plans": PLANS, "held": HELD, "session": SESSION},
    "signerKey": f"0x{SIGNER.key.hex()}",
}
"""What stories know of it."""


class _Builder:
    def __init__(self) -> None:
        self.net = Localnet(now=NOW - timedelta(days=DAYS), mint_missing=True)
        self.contract = str(self.net.deploy(contract_path(), sender=PEOPLE["meter"].address).to).lower()
        people = (PEOPLE[role].address for role in ("operator", "consumer", "meter"))
        self.operator, self.consumer, self.meter = people
        self.by_operator = partial(self.must, self.operator)
        self.by_consumer = partial(self.must, self.consumer)

    def must(self, sender: str, method: str, *args: Any, value: int = 0) -> Any:
        receipt = self.net.write(self.contract, method, *args, sender=sender, value=value)
        assert receipt.kind == "return", f"{method}{args}: {receipt.message}"
        return receipt.value

    def view(self, method: str, *args: Any) -> Any:
        return self.net.view(self.contract, method, *args)

    def begin(self) -> None:
        for number, name in enumerate(NAMES):
            self.by_operator("register_api", name, PRICES[number % len(PRICES)], 5_000, 40_000)
        for number in range(1, 64):
            plan = f"{number:02}-{'unlimitedcallsforeverybody' * 3}"[: (64, 12)[number % 2]]
            self.by_operator("set_plan", PLANS, plan, number * PRICES[number % len(PRICES)], 10**number % 10**14, 0)
        for number in range(5):
            self.by_operator("set_meter", PLANS, SUBSCRIBERS[number], True)
        self.by_operator("set_meter", SETTLED, self.meter, True)
        terms = "Answers within 250 ms, on 99.9 percent of the minutes of a day. " * 31
        self.by_operator("set_promise", OFTEN, self.meter, 14, 100, terms, "https://status.example/" + "s" * 169)
        funds = 10**15 * GEN
        self.by_consumer("top_up_credit", funds, value=funds)
        for number, name in enumerate(NAMES):
            self.by_consumer("subscribe", name, 3_000 * PRICES[number % len(PRICES)], 0)
        price = PRICES[NAMES.index(SETTLED) % len(PRICES)]
        for each in SUBSCRIBERS:
            self.must(each, "subscribe", SETTLED, 100 * price, 5 * GEN, value=5 * GEN)

    def live_a_day(self, days_ago: int) -> None:
        """The n-th API is called every n days or so."""
        self.net.now = NOW - timedelta(days=days_ago, hours=1)
        for number, name in enumerate(NAMES):
            if name not in (SETTLED, SESSION) and (name == OFTEN or days_ago % (number + 1) == 0):
                calls = 1 + (days_ago * 37 + number * 11) % 90
                self.by_consumer("consume_credit", name, self.consumer, calls)
        if days_ago < SETTLEMENTS:
            lines = list(self.lines_of(days_ago))
            self.must(self.meter, "settle_usage", SETTLED, SETTLEMENTS - days_ago, lines)

    def lines_of(self, days_ago: int) -> Iterator[dict[str, Any]]:
        """What fits, and in most settlements also what is refused in part or whole, for different reasons."""
        price, today = PRICES[NAMES.index(SETTLED) % len(PRICES)], int(self.net.now.timestamp()) // DAY_SECONDS
        plain = {"consumer": self.consumer, "day_id": today, "calls": 40, "spend_wei": 40 * price}
        yield plain
        refused = (
            {"calls": 9_000, "spend_wei": 9_000 * price},
            {"calls": 9_000, "spend_wei": 0},
            {"day_id": today - 5},
            {"spend_wei": 41 * price},
        )
        if days_ago % 7:
            yield plain | refused[days_ago % len(refused)]
        for number, each in enumerate(SUBSCRIBERS if days_ago % 20 == 0 else SUBSCRIBERS[days_ago % 100 :][:5]):
            calls = 1 + (number * 7 + days_ago) % 110
            yield plain | {"consumer": each, "calls": calls, "spend_wei": calls * price}

    def hold(self) -> None:
        """Ten days ago."""
        now = int(self.net.now.timestamp())
        self.by_consumer("place_hold", HELD, 123_456_789 * GEN + 1, now + 30 * DAY_SECONDS)
        self.by_consumer("place_hold", OUTLIVED, 3 * GEN, now + 5 * DAY_SECONDS)
        price = PRICES[NAMES.index(SESSION) % len(PRICES)]
        signer = Address(SIGNER.address).as_hex.lower()
        self.by_consumer("place_hold", SESSION, 2_000 * price, now + 60 * DAY_SECONDS, signer)
        api = self.view("get_api", SESSION)
        for number in range(3):
            salt = f"0x{number:064x}"
            parts = self.consumer, signer, self.operator, self.contract, api["asset"].lower(), api["chain_id"], salt
            spend = (number + 1) * 100 * price
            voucher = sign_voucher(SIGNER.key, Channel(*parts), 2 * spend).as_dict()
            line = {
                "consumer": self.consumer,
                "day_id": now // DAY_SECONDS,
                "calls": spend // price,
                "spend_wei": spend,
            }
            self.by_operator("settle_usage", SESSION, number + 1, [line | {"voucher": voucher}])

    def end(self) -> None:
        """Each subscription gets into a state of its own, and credit is less than most calls cost."""
        for name in ENDED:
            self.by_consumer("unsubscribe", name)
        self.by_operator("refund", OFTEN, self.consumer, GEN // 3, "An outage of the meters and clocks. " * 3)
        report = {line["api_name"]: line for line in json.loads(self.view("get_usage_report", self.consumer))["apis"]}
        self.by_consumer("subscribe", CAPPED, max(report[CAPPED]["spend_today_wei"], 1), 0)
        used = report[USED_UP]
        self.by_operator("set_plan", USED_UP, "standard", used["cost_per_call_wei"], max(used["calls_today"], 1), 0)
        self.by_operator("set_plan", DEARER, "standard", 3 * PRICES[6], 5_000, 0)
        self.by_operator("set_api_active", PAUSED, False)
        credit = self.view("get_account", self.consumer)["credit_wei"]
        self.by_consumer("withdraw_credit", credit - 5 * GEN - 123_456_789_012_345_678)
        self.net.process("finalized")
        self.net.now = NOW


def prepare_heavy() -> Prepared:
    """400 days of it."""
    builder = _Builder()
    builder.begin()
    for days_ago in reversed(range(DAYS)):
        builder.live_a_day(days_ago)
        if days_ago == 10:
            builder.hold()
    builder.end()
    return Prepared(builder.net, builder.contract)
