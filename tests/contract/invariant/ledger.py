"""Ghost sums: what must be true of the contract and of everybody's account, added up from the outcomes alone.

Unlike the model the ledger knows no billing rule. It takes receipts, settlement outcomes and accepted values at their
word, and checks that what the contract shows, holds and owes agrees with them: the six invariants of contract.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arena import BILLING, EVERYBODY, FINALITY_SECONDS, RICH, Arena, Question
from .model import DAY_SECONDS, Caller, Outcome, month_of

FAR_DAY = 10**6
Usage = tuple[int, int]
"""Calls and wei."""


@dataclass
class Ledger:
    deposited: int = 0
    withdrawn_credit: int = 0
    unasked: int = 0
    outside: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVERYBODY, RICH))
    """What everybody must have, with what waits for finality."""
    waiting: list[tuple[int, str, int]] = field(default_factory=list)
    """Payouts, and values that return: final at, receiver, wei."""
    billed: dict[tuple[str, str, int], Usage] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    """By consumer, API and day: the sum of receipts and settled entries."""
    settled: set[tuple[str, int]] = field(default_factory=set)
    seen_receipts: set[str] = field(default_factory=set)

    # ---- what happens ----

    def record(self, method: str, args: tuple[Any, ...], caller: Caller, outcome: Outcome, now: int, rule: str) -> None:
        succeeded = outcome.kind == "return"
        if caller.value and not succeeded and rule == "return":
            self.comes_back(caller.address, caller.value, now)
        elif caller.value:
            self.outside[caller.address] -= caller.value
            if succeeded:
                self.deposited += caller.value
            else:
                self.unasked += caller.value
        if not succeeded:
            return
        if method in ("withdraw_credit", "withdraw_earnings"):
            self._pay(caller.address, args[0], now)
            self.withdrawn_credit += args[0] * (method == "withdraw_credit")
        elif method == "consume_credit":
            self._receipt(outcome.answer, args[2] if len(args) > 2 else 1)
        elif method == "request_call":
            self._receipt(outcome.answer["receipt"], 1)
        elif method == "settle_usage":
            self._settlement(outcome.answer)

    def arrive(self, sender: str, wei: int) -> None:
        """GEN that nobody asked for."""
        self.outside[sender] -= wei
        self.unasked += wei

    def comes_back(self, sender: str, wei: int, now: int) -> None:
        """The value of a call that failed."""
        self.waiting.append((now + FINALITY_SECONDS, sender, wei))

    def pass_time(self, now: int) -> None:
        self.waiting = [payout for payout in self.waiting if payout[0] > now]

    def _pay(self, receiver: str, wei: int, now: int) -> None:
        self.outside[receiver] += wei
        self.waiting.append((now + FINALITY_SECONDS, receiver, wei))

    def _receipt(self, receipt: dict[str, Any] | None, calls: int) -> None:
        """Counted once however often it is shown: a replayed request shows it again."""
        if receipt is not None and receipt["receipt_id"] not in self.seen_receipts:
            self.seen_receipts.add(receipt["receipt_id"])
            self._add(receipt["consumer"], receipt["api_name"], receipt["day_id"], calls, receipt["cost_wei"])

    def _settlement(self, outcome: dict[str, Any]) -> None:
        key = (outcome["api_name"], outcome["sequence"])
        if key not in self.settled:
            self.settled.add(key)
            for line in outcome["entries"]:
                self._add(line["consumer"], key[0], line["day_id"], line["billed_calls"], line["billed_wei"])

    def _add(self, consumer: str, name: str, day_id: int, calls: int, wei: int) -> None:
        if calls:
            before = self.billed[consumer, name, day_id]
            self.billed[consumer, name, day_id] = (before[0] + calls, before[1] + wei)

    # ---- what must hold ----

    def check(self, arena: Arena, seen: Observation) -> None:
        self._check_what_is_owed(arena, seen)
        self._check_what_everybody_has(arena)
        self._check_usage(seen, arena.now // DAY_SECONDS)

    def _check_what_is_owed(self, arena: Arena, seen: Observation) -> None:
        credit = sum(seen.account(person)["credit_wei"] for person in EVERYBODY)
        held = sum(seen.account(person)["held_wei"] for person in EVERYBODY)
        due = sum(seen.earnings(person)["earnings_wei"] for person in EVERYBODY)
        paid = sum(seen.earnings(person)["withdrawn_wei"] for person in EVERYBODY)
        balance = arena.net.balance(BILLING)
        assert balance == credit + held + due + self.unasked, "invariant 1: the contract holds what it owes"
        everything = self.withdrawn_credit + credit + held + due + paid
        assert self.deposited == everything, "invariant 2: every deposit is somewhere"
        assert seen.solvency == {
            "balance_wei": balance,
            "owed_wei": credit + held + due,
            "surplus_wei": self.unasked,
            "credit_wei": credit,
            "held_wei": held,
            "earnings_wei": due,
            "deposited_wei": self.deposited,
            "withdrawn_wei": self.withdrawn_credit + paid,
        }, "get_solvency shows the sums over all accounts"

    def _check_what_everybody_has(self, arena: Arena) -> None:
        for person, wei in self.outside.items():
            on_its_way = sum(amount for _, receiver, amount in self.waiting if receiver == person)
            assert arena.net.balance(person) == wei - on_its_way, f"invariant 3: only owners take money out ({person})"

    def _check_usage(self, seen: Observation, today: int) -> None:
        by_pair: dict[tuple[str, str], dict[int, Usage]] = defaultdict(dict)
        for (consumer, name, day_id), usage in self.billed.items():
            by_pair[consumer, name][day_id] = usage
        for consumer, name in seen.pairs:
            billed, line = by_pair.pop((consumer, name), {}), seen.lines[consumer, name]
            shown = {day["day_id"]: (day["calls"], day["spend_wei"]) for day in seen.history(consumer, name)}
            assert shown == billed, f"invariant 5: history of {consumer} is the sum of its receipts on {name}"
            assert (line["calls_today"], line["spend_today_wei"]) == billed.get(today, (0, 0)), (
                "invariant 5: report of today"
            )
            month = [usage for day_id, usage in billed.items() if month_of(day_id) == month_of(today)]
            shown_month = (line["calls_month"], line["spend_month_wei"])
            assert shown_month == tuple(map(sum, zip((0, 0), *month, strict=True))), "invariant 5: report of the month"
        assert not by_pair, f"invariant 6: usage is shown where it was billed ({by_pair})"


class Observation:
    """What all views show at one moment."""

    def __init__(self, arena: Arena, names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> None:
        """`names`: the APIs; `pairs`: consumers and APIs that the consumer's report must list, and no others."""
        self.pairs = list(pairs)
        views = ("get_usage_report", "get_account", "get_earnings")
        self.views = arena.ask(
            [
                ("get_solvency",),
                *((view, person) for view in views for person in EVERYBODY),
                *(("get_api", name) for name in names),
                *(self._history(*pair) for pair in self.pairs),
            ]
        )
        self.reports = {person: json.loads(self.views["get_usage_report", person]) for person in EVERYBODY}
        self.lines: dict[tuple[str, str], dict[str, Any]] = {
            (person, line["api_name"]): line for person, report in self.reports.items() for line in report["apis"]
        }
        assert set(self.lines) == set(self.pairs), "invariant 6: a report lists the consumer's own APIs"

    @staticmethod
    def _history(consumer: str, name: str) -> Question:
        return ("get_usage_history", consumer, name, 0, FAR_DAY)

    @property
    def solvency(self) -> dict[str, Any]:
        return dict(self.views["get_solvency",])

    def account(self, person: str) -> dict[str, Any]:
        return dict(self.views["get_account", person])

    def earnings(self, person: str) -> dict[str, Any]:
        return dict(self.views["get_earnings", person])

    def api(self, name: str) -> dict[str, Any]:
        return dict(self.views["get_api", name])

    def history(self, consumer: str, name: str) -> list[dict[str, Any]]:
        return list(self.views[self._history(consumer, name)])

    def but_for_notices(self) -> dict[Any, Any]:
        """Everything that a refused call must leave as it was. Unasked GEN is the ledger's business."""
        left = {key: view for key, view in self.views.items() if key[0] not in ("get_usage_report", "get_solvency")}
        reports = {person: {**report, "notices": 0} for person, report in self.reports.items()}
        solvency = {key: wei for key, wei in self.solvency.items() if key not in ("balance_wei", "surplus_wei")}
        return {**left, **reports, "solvency": solvency}


def check_change(before: Observation, after: Observation, method: str, caller: Caller, outcome: Outcome) -> None:
    """Invariants 3 and 4 of a single call; no time passed between the observations."""
    keeps_deposit = outcome.kind == "return" and caller.value
    if outcome.refused and not keeps_deposit:
        assert after.but_for_notices() == before.but_for_notices(), f"invariant 4: a refused {method} changed something"
    for consumer, name in after.pairs:
        line, earlier = after.lines[consumer, name], before.lines.get((consumer, name))
        used = line["calls_month"] - (earlier["calls_month"] if earlier else 0)
        if used or (earlier and after.history(consumer, name) != before.history(consumer, name)):
            allowed = {consumer, before.api(name)["operator"], *before.api(name)["meters"]}
            assert caller.address in allowed, f"invariant 3: {caller.address} changed the usage of {consumer} on {name}"
        if used:
            _check_limits(line, earlier)
    for person in EVERYBODY:
        _check_loss(before, after, person, method, caller)


def _check_limits(line: dict[str, Any], earlier: dict[str, Any] | None) -> None:
    """Whatever counter grew is within its limit; one that stood above a lowered limit before does not grow."""
    for used, limit in (
        ("calls_today", "api_daily_limit_calls"),
        ("calls_month", "api_monthly_limit_calls"),
        ("spend_today_wei", "consumer_max_daily_spend_wei"),
    ):
        if line[used] > (earlier[used] if earlier else 0) and line[limit]:
            assert line[used] <= line[limit], f"invariant 4: {used} of {line['api_name']} exceeds {limit}"


def _check_loss(before: Observation, after: Observation, person: str, method: str, caller: Caller) -> None:
    """Credit goes down by the consumer's own will, or by billing; earnings by their owner's alone."""
    had, has = before.account(person), after.account(person)
    if has["credit_wei"] + has["held_wei"] < had["credit_wei"] + had["held_wei"]:
        own = caller.address == person and method == "withdraw_credit"
        assert own or method in ("consume_credit", "request_call", "settle_usage"), f"invariant 3: {method} took credit"
    if after.earnings(person)["earnings_wei"] < before.earnings(person)["earnings_wei"]:
        assert (caller.address, method) == (person, "withdraw_earnings"), f"invariant 3: {method} took earnings"
