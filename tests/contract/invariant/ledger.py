"""Ghost sums: what must be true of the contract and of everybody's account, added up from the outcomes alone.

Unlike the model the ledger knows no billing rule. It takes receipts, settlement outcomes and accepted values at their
word, and checks that what the contract shows, holds and owes agrees with them: the invariants 1 to 6 of contract.md
and 7 to 9 of its second edition.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from api_billing.vouchers import Channel

from . import arguments
from .arena import BILLING, EVERYBODY, FINALITY_SECONDS, RICH, Arena, Question
from .model import DAY_SECONDS, KEPT, Caller, Outcome, month_of

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
    requests: dict[tuple[str, str, bool], dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    """By consumer, API and whether the consumer sent them itself: receipts by request id, in the order of billing."""
    seen_receipts: set[str] = field(default_factory=set)
    earned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    given_back: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Both by operator."""
    returned: dict[tuple[str, str, int], int] = field(default_factory=lambda: defaultdict(int))
    """By consumer, API and day: what went back of what the consumer paid."""
    signed: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """By channel: the sums that its signer has signed."""
    channels: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Consumer, API and what settlements have billed, by channel."""
    held: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """All that was ever set aside, by consumer and API."""

    # ---- what happens ----

    def sign(self, channel: str, cumulative_wei: int) -> None:
        """The channel's signer signs a voucher."""
        self.signed[channel].add(cumulative_wei)

    def record(
        self,
        method: str,
        args: tuple[Any, ...],
        caller: Caller,
        outcome: Outcome,
        arena: Arena,
        before: Observation,
    ) -> None:
        succeeded = outcome.kind == "return"
        if caller.value and not succeeded and arena.failed_value == "return":
            self.comes_back(caller.address, caller.value, arena.now)
        elif caller.value:
            self.outside[caller.address] -= caller.value
            if succeeded:
                self.deposited += caller.value
            else:
                self.unasked += caller.value
        if outcome.refused:
            return
        if method in ("withdraw_credit", "withdraw_earnings"):
            self._pay(arguments.address((*args, caller.address)[1] or caller.address), args[0], arena.now)
            self.withdrawn_credit += args[0] * (method == "withdraw_credit")
        elif method == "consume_credit":
            self._receipt(outcome.answer, caller, before, *args[2:], *(1, "")[len(args) - 2 :])
        elif method == "request_call":
            self._receipt(outcome.answer["receipt"], caller, before, 1, args[1])
        elif method == "settle_usage":
            self._settlement(outcome.answer, args[2], before)
        elif method in ("place_hold", "open_session"):
            amount = args[1 if method == "place_hold" else 2]
            self.held[caller.address, arguments.api_name(args[0])] += amount
        elif method in ("refund", "refund_by_court"):
            self._refund(method, args, before)

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

    def _receipt(self, receipt: dict[str, Any], caller: Caller, before: Observation, calls: int, request: Any) -> None:
        consumer, name = receipt["consumer"], receipt["api_name"]
        asked = self.requests[consumer, name, caller.address == consumer]
        if f"{request}" in [*asked][-KEPT:]:
            assert receipt == asked[f"{request}"], "invariant 9: a request is answered as before"
            return
        assert receipt["receipt_id"] not in self.seen_receipts, "invariant 9: no two calls share a receipt"
        self.seen_receipts.add(receipt["receipt_id"])
        if request != "":
            asked.pop(f"{request}", None)
            asked[f"{request}"] = receipt
        self._add(consumer, name, receipt["day_id"], calls, receipt["cost_wei"], before)

    def _settlement(self, outcome: dict[str, Any], entries: list[dict[str, Any]], before: Observation) -> None:
        key = (outcome["api_name"], outcome["sequence"])
        if key in self.settled:
            return
        self.settled.add(key)
        for entry, line in zip(entries, outcome["entries"], strict=True):
            consumer, billed = line["consumer"], line["billed_wei"]
            self._add(consumer, key[0], line["day_id"], line["billed_calls"], billed, before)
            if billed and before.session(consumer, key[0])["signer"]:
                channel = before.channel(consumer, key[0], arguments.hex_of(entry["voucher"]["salt"], 32)).id
                self.channels[channel] = (consumer, key[0], self.channels.get(channel, ("", "", 0))[2] + billed)

    def _refund(self, method: str, args: tuple[Any, ...], before: Observation) -> None:
        name, consumer = arguments.api_name(args[0]), arguments.address(args[1])
        amount, day_id = (args[3], args[2]) if method == "refund_by_court" else (args[2], (*args, "", 0)[4])
        self.given_back[before.api(name)["operator"]] += amount
        if day_id:
            self.returned[consumer, name, day_id] += amount

    def _add(self, consumer: str, name: str, day_id: int, calls: int, wei: int, before: Observation) -> None:
        if calls:
            had = self.billed[consumer, name, day_id]
            self.billed[consumer, name, day_id] = (had[0] + calls, had[1] + wei)
            self.earned[before.api(name)["operator"]] += wei

    # ---- what must hold ----

    def check(self, arena: Arena, seen: Observation) -> None:
        self._check_what_is_owed(arena, seen)
        self._check_what_everybody_has(arena)
        self._check_usage(seen, arena.now // DAY_SECONDS)
        self._check_channels(seen)
        self._check_earnings(seen)

    def _check_what_is_owed(self, arena: Arena, seen: Observation) -> None:
        credit = sum(seen.account(person)["credit_wei"] for person in EVERYBODY)
        held = sum(seen.account(person)["held_wei"] for person in EVERYBODY)
        due = sum(seen.owed_to(person) for person in EVERYBODY)
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
            "refunded_wei": sum(self.given_back.values()),
        }, "get_solvency shows the sums over all accounts"

    def _check_channels(self, seen: Observation) -> None:
        billed_of: dict[tuple[str, str], int] = defaultdict(int)
        for channel, (consumer, name, billed) in self.channels.items():
            shown = seen.words(consumer, name)[channel]
            assert shown["billed_wei"] == billed, "invariant 7: a channel was billed what settlements say"
            assert billed <= shown["signed_wei"] <= max(self.signed[channel], default=0), (
                "invariant 7: no more than signed"
            )
            billed_of[consumer, name] += billed
        for pair in seen.pairs:
            assert billed_of[pair] <= self.held[pair], "invariant 7: channels are paid from holds"
            shown = seen.words(*pair)
            assert shown.keys() <= self.channels.keys(), "invariant 7: no other channels were billed"

    def _check_earnings(self, seen: Observation) -> None:
        for person in EVERYBODY:
            shown = seen.earnings(person)
            wei = seen.owed_to(person) + shown["withdrawn_wei"] + shown["refunded_wei"]
            assert wei == self.earned[person], f"invariant 8: all that {person} earned is somewhere"
            assert shown["refunded_wei"] == self.given_back[person], f"invariant 8: {person} gave back what came back"
        for (name, consumer, day_id), paid in seen.paid_days.items():
            back = self.returned[consumer, name, day_id]
            assert paid["paid_wei"] == self.billed[consumer, name, day_id][1], "invariant 8: what was paid that day"
            assert paid["refunded_wei"] == back, "invariant 8: what came back of that day"
            assert back + paid["frozen_wei"] <= paid["paid_wei"], "invariant 8: no more goes back than was paid"

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
            recent = {day_id: usage for day_id, usage in billed.items() if day_id >= today - 2}
            assert shown == recent, f"invariant 5: history of {consumer} is the sum of its receipts on {name}"
            assert (line["calls_today"], line["spend_today_wei"]) == billed.get(today, (0, 0)), (
                "invariant 5: report of today"
            )
            month = [usage for day_id, usage in billed.items() if month_of(day_id) == month_of(today)]
            shown_month = (line["calls_month"], line["spend_month_wei"])
            assert shown_month == tuple(map(sum, zip((0, 0), *month, strict=True))), "invariant 5: report of the month"
        assert not by_pair, f"invariant 6: usage is shown where it was billed ({by_pair})"


class Observation:
    """What all views show at one moment."""

    def __init__(
        self,
        arena: Arena,
        names: Iterable[str],
        pairs: Iterable[tuple[str, str]],
        channels: Iterable[tuple[str, str, str]],
        days: Iterable[tuple[str, str, int]],
    ) -> None:
        """`names`: the APIs; `pairs`: consumers and APIs that the consumer's report must list, and no others; besides,
        channels with their consumer and API, and days of a consumer on an API to look at.
        """
        self.pairs, self.today = list(pairs), arena.now // DAY_SECONDS
        views = ("get_usage_report", "get_account", "get_earnings")
        self.views = arena.ask(
            [
                ("get_solvency",),
                *((view, person) for view in views for person in EVERYBODY),
                *(("get_api", name) for name in names),
                *(self._history(*pair) for pair in self.pairs),
                *(("get_session", *pair) for pair in self.pairs),
                *(("get_session", *channel) for channel in channels),
                *(("get_paid_day", *day) for day in days),
            ]
        )
        self.paid_days = {key[1:]: view for key, view in self.views.items() if key[0] == "get_paid_day"}
        self.reports = {person: json.loads(self.views["get_usage_report", person]) for person in EVERYBODY}
        self.lines: dict[tuple[str, str], dict[str, Any]] = {
            (person, line["api_name"]): line for person, report in self.reports.items() for line in report["apis"]
        }
        assert set(self.lines) == set(self.pairs), "invariant 6: a report lists the consumer's own APIs"

    def _history(self, consumer: str, name: str) -> Question:
        """Of the days that can still be billed, and the one before them."""
        return ("get_usage_history", consumer, name, self.today - 2, self.today)

    @property
    def solvency(self) -> dict[str, Any]:
        return dict(self.views["get_solvency",])

    def account(self, person: str) -> dict[str, Any]:
        return dict(self.views["get_account", person])

    def earnings(self, person: str) -> dict[str, Any]:
        return dict(self.views["get_earnings", person])

    def owed_to(self, operator: str) -> int:
        """What it can withdraw, what waits and what is frozen."""
        shown = self.earnings(operator)
        return int(shown["earnings_wei"] + sum(api["pending_wei"] + api["frozen_wei"] for api in shown["apis"]))

    def api(self, name: str) -> dict[str, Any]:
        return dict(self.views["get_api", name])

    def history(self, consumer: str, name: str) -> list[dict[str, Any]]:
        return list(self.views[self._history(consumer, name)])

    def session(self, consumer: str, name: str) -> dict[str, Any]:
        return dict(self.views.get(("get_session", consumer, name), {"signer": "", "channels": []}))

    def words(self, consumer: str, name: str) -> dict[str, dict[str, Any]]:
        """What is shown of channels that the consumer has paid on the API."""
        shown = [view for key, view in self.views.items() if key[:3] == ("get_session", consumer, name)]
        return {word["channel_id"]: word for view in shown for word in view["channels"]}

    def channel(self, consumer: str, name: str, salt: str) -> Channel:
        """The channel of a salt, of what is shown of the API and of the session."""
        api, signer = self.api(name), self.session(consumer, name)["signer"]
        return Channel(consumer, signer, api["operator"], BILLING, api["asset"], api["chain_id"], salt)

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
        told = after.reports[person]["notices"] - before.reports[person]["notices"]
        assert 0 <= told <= 1, f"invariant 9: {method} gave {person} {told} notices"
    for consumer, name in before.pairs:
        if before.session(consumer, name)["signer"] and caller.address != consumer:
            _check_session(before, after, consumer, name)


def _check_session(before: Observation, after: Observation, consumer: str, name: str) -> None:
    """A call by somebody else than the consumer that has set a signer."""
    assert after.session(consumer, name)["signer"] == before.session(consumer, name)["signer"]
    if after.history(consumer, name) != before.history(consumer, name):
        had, has = before.account(consumer), after.account(consumer)
        assert has["credit_wei"] >= had["credit_wei"], "invariant 7: a session is not paid from free credit"


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
    elif has["credit_wei"] < had["credit_wei"]:
        own = caller.address == person and method in ("place_hold", "open_session")
        assert own, f"invariant 3: {method} by {caller.address} set credit of {person} aside"
    if after.earnings(person)["earnings_wei"] < before.earnings(person)["earnings_wei"]:
        own = caller.address == person and method in ("withdraw_earnings", "refund")
        assert own, f"invariant 3: {method} took earnings"
