"""What the page makes of a contract's answers, in months of use, compared with what was used in truth."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from api_billing.contract_source import contract_path
from genlayer_localnet import Localnet

from .test_dapp import needs_npm, npx
from .world import DAY_SECONDS, GEN, PEOPLE

OPERATOR, CONSUMER, METER = (PEOPLE[role].address for role in ("operator", "consumer", "meter"))
START: Final = datetime(2028, 1, 20, tzinfo=UTC)
PRICES: Final = {"wei": 1, "cents": GEN // 100 + 7, "dear": 3 * GEN, "much": 1_000 * GEN, "waits": 12_345_678_901}
LOOKS: Final = (
    "2028-01-20 12:00:00",
    "2028-01-31 23:59:59",
    "2028-02-01 00:00:00",
    "2028-02-01 20:00:00",
    "2028-02-29 09:00:00",
    "2028-02-29 23:59:59",
    "2028-03-01 00:00:00",
    "2028-03-17 05:00:00",
    "2028-03-17 21:00:00",
    "2028-04-03 23:59:59",
)
"""Around the ends of months, one of them the 29th of February."""
LATER: Final = (1, 24, 24 * 3, 24 * 32)
"""Hours after a look in which nothing happens."""


class _World:
    def __init__(self) -> None:
        self.random = Random(18)
        self.net = Localnet(now=START, mint_missing=True)
        self.contract = str(self.net.deploy(contract_path(), sender=METER).to)
        self.used: Counter[tuple[str, int, str]] = Counter()
        """By API and day: calls and wei."""
        self.sequences: Counter[str] = Counter()
        for name, price in PRICES.items():
            assert self.does(OPERATOR, "register_api", name, price, 60, 700)
            assert self.does(OPERATOR, "set_meter", name, METER, True)
            assert self.does(CONSUMER, "subscribe", name, 40 * price + 1, 0)
        assert self.does(OPERATOR, "set_promise", "waits", METER, 5, 100, "Answers.", "")
        assert self.does(CONSUMER, "top_up_credit", 90_000 * GEN, value=90_000 * GEN)

    def does(self, sender: str, method: str, *args: Any, value: int = 0) -> bool:
        """Whether it is not refused."""
        return self.net.write(self.contract, method, *args, sender=sender, value=value).kind == "return"

    def view(self, method: str, *args: Any) -> Any:
        return self.net.view(self.contract, method, *args)

    @property
    def today(self) -> int:
        return int(self.net.now.timestamp()) // DAY_SECONDS

    def count(self, name: str, day: int, calls: int, wei: int) -> None:
        self.used[name, day, "calls"] += calls
        self.used[name, day, "wei"] += wei

    def call(self) -> None:
        name, calls = self.random.choice([*PRICES]), self.random.randint(1, 25)
        if self.does(CONSUMER, "consume_credit", name, CONSUMER, calls):
            self.count(name, self.today, calls, calls * PRICES[name])

    def settle(self) -> None:
        """Of today, or late of yesterday; a part may not fit."""
        name, day = self.random.choice([*PRICES]), self.today - self.random.randint(0, 1)
        calls = self.random.randint(1, 50)
        entry = {"consumer": CONSUMER, "day_id": day, "calls": calls, "spend_wei": calls * PRICES[name]}
        if not self.does(METER, "settle_usage", name, self.sequences[name] + 1, [entry]):
            return
        self.sequences[name] += 1
        (entry,) = self.view("get_settlement", name, self.sequences[name])["settlement"]["entries"]
        self.count(name, day, entry["billed_calls"], entry["billed_wei"])

    def change(self) -> None:
        """Holds, and plans under which other limits count."""
        name = self.random.choice([*PRICES])
        until = int(self.net.now.timestamp()) + self.random.randint(1, 9) * DAY_SECONDS
        self.does(CONSUMER, "place_hold", name, 1 + 20 * PRICES[name], until)
        self.does(
            OPERATOR,
            "set_plan",
            name,
            "standard",
            PRICES[name],
            self.random.choice((0, 30, 60)),
            self.random.choice((0, 700)),
        )

    def refund(self) -> None:
        """Of a day whose earnings wait."""
        day, wei = self.today - self.random.randint(0, 5), PRICES["waits"] + 1
        if self.does(OPERATOR, "refund", "waits", CONSUMER, wei, "", day):
            self.used["waits", day, "refunded"] += wei

    def collect(self) -> int:
        """What had waited as long as was promised."""
        before: int = self.view("get_earnings", OPERATOR)["earnings_wei"]
        self.does(OPERATOR, "collect_earnings", "waits")
        after: int = self.view("get_earnings", OPERATOR)["earnings_wei"]
        return after - before

    def live(self, until: datetime) -> None:
        while self.net.now < until:
            self.random.choice((self.call, self.call, self.settle, self.change, self.refund))()
            self.net.now = min(self.net.now + timedelta(hours=self.random.randint(1, 30)), until)

    def look(self) -> dict[str, Any]:
        """All that a page reads now, what was used in truth, and reports of later moments."""
        now, today = self.net.now, self.today
        starts = [max(last - 30, today - 399, 0) for last in range(today, today - 400, -31)]
        windows = [
            [first, min(first + 30, last)] for first, last in zip(starts, range(today, today - 400, -31), strict=True)
        ]
        looked = {
            "report": self.view("get_usage_report", CONSUMER),
            "windows": [
                [*each, history] for each in windows if (history := self.view("get_usage_history", CONSUMER, "", *each))
            ],
            "api_days": {name: self.view("get_api_days", name) for name in PRICES},
            "pending": self.view("get_earnings", OPERATOR)["apis"][0]["pending_wei"],
            "matured": self.collect(),
            "used": [
                [*key[:2], calls, self.used[*key[:2], "wei"], self.used[*key[:2], "refunded"]]
                for key, calls in sorted(self.used.items())
                if key[2] == "calls" and calls
            ],
            "later": [],
        }
        for hours in LATER:
            self.net.now = now + timedelta(hours=hours)
            looked["later"].append([int(self.net.now.timestamp()), self.view("get_usage_report", CONSUMER)])
        self.net.now = now
        return looked


def truth() -> list[dict[str, Any]]:
    world, looks = _World(), []
    for text in LOOKS:
        world.live(datetime.fromisoformat(f"{text}Z"))
        for _ in PRICES:  # some of it late
            world.settle()
        looks.append(world.look())
    return looks


@needs_npm
def test_figures__of_months_of_use__are_those_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth()), encoding="utf-8")
    monkeypatch.setenv("TRUTH", str(path))
    done = npx("vitest", "run", "tests/unit/truth.test.ts")
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
