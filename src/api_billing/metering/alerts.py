"""Alerts about credit and budgets: what may have crossed a threshold, and whether it is the first to say so.

Two steps. A watch looks at the figures that every reply of the store has, in memory, and nearly always finds nothing.
What it finds are **candidates**; ``confirmed`` asks the store (``FireOnce``), so that of all processes one sends the
alert.

Credit: the figure is what is unspent, free or reserved, so that requests being served do not look like a shortage. A
threshold is crossed when no more than it is left and something was spent since the last grant; so 100 % fires with the
first charge, and a jump over two thresholds fires both. Any grant starts a new epoch, in which each may fire once more,
and ``recovered`` is due when a threshold had fired and more than it is left again.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from api_billing.amounts import format_wei, parse_wei
from api_billing.metering.budgets import reached, refused_step
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.operations import DAY_MS, Balance, FireOnce, Refused, WindowCheck
from api_billing.metering.plan import Plan
from api_billing.metering.quotas import Budget, Step
from api_billing.metering.steps import Steps

AlertKind = Literal["dropped", "depleted", "recovered", "budget", "settlement"]

_KEEP_MS: Final = 366 * DAY_MS  # an account without any grant for longer may be warned again
_LOOK_BACK: Final = 4  # epochs that may have passed unseen between a drop and its recovery
_HOUR_MS: Final = 3_600_000
_SAMPLE_MS: Final = 60_000
_SAMPLES: Final = 61
_SHORTEST_MS: Final = 5 * _SAMPLE_MS
_FORM: Final = re.compile(r"(\d{1,9})\s*(%|h)")


@dataclass(frozen=True, slots=True)
class Alert:
    """Something an operator wants to know. ``subject`` is the account, or the consumer of a budget, or the API."""

    kind: AlertKind
    subject: str
    at_ms: int
    message: str
    threshold: str = ""
    left_wei: int | None = None  # unspent credit, or what a budget has left
    details: tuple[tuple[str, str], ...] = ()


class Threshold(NamedTuple):
    """So much credit left: percent of the credit right after the last grant, wei, or hours at the recent rate."""

    amount: int
    unit: Literal["percent", "wei", "hours"]

    def __str__(self) -> str:
        if self.unit == "wei":
            return format_wei(self.amount, exact=True)
        return f"{self.amount}%" if self.unit == "percent" else f"{self.amount} h"

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read ``20%``, ``24h``, or an amount such as ``0.5gen``. Raises: InvalidSetting."""
        short = _FORM.fullmatch(text.strip().lower())
        if short is not None and (short[2] == "h" or int(short[1]) <= 100):
            return cls(int(short[1]), "percent" if short[2] == "%" else "hours")
        try:
            return cls(parse_wei(text), "wei")
        except ValueError as exc:
            raise InvalidSetting(f"a threshold is like 20% (0 to 100), 24h or 0.5gen, not {text!r:.40}") from exc


DEPLETED: Final = Threshold(0, "wei")


@dataclass(frozen=True, slots=True)
class Crossing:
    """An alert that is due unless another process has sent it."""

    key: str
    alert: Alert
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """An alert that is due if one of the thresholds that are left behind had fired in an epoch before."""

    account: str
    epoch: int
    thresholds: tuple[Threshold, ...]
    left_wei: int


Candidate = Crossing | Recovery


def confirmed(candidates: Sequence[Candidate], now_ms: int) -> Steps[list[Alert]]:
    """Ask the store which candidates are the first of their kind. After a failure, one may be asked about again."""
    alerts = []
    for candidate in candidates:
        if isinstance(candidate, Crossing):
            if (yield FireOnce(candidate.key, now_ms, candidate.expires_ms)):
                alerts.append(candidate.alert)
            continue
        left_behind = []
        for threshold in candidate.thresholds:
            if (yield from _recovered(candidate, threshold, now_ms)):
                left_behind.append(threshold)
        if left_behind:
            alerts.append(_recovery_alert(candidate, left_behind, now_ms))
    return alerts


def _recovered(candidate: Recovery, threshold: Threshold, now_ms: int) -> Steps[bool]:
    """Whether a threshold had fired, and was not left behind since. One caller of each epoch gets to look."""

    def first(kind: str, epoch: int) -> FireOnce:
        return FireOnce(_key(candidate.account, threshold, epoch, kind), now_ms, now_ms + _KEEP_MS)

    if not (yield first("above", candidate.epoch)):
        return False
    for epoch in range(candidate.epoch - 1, max(0, candidate.epoch - 1 - _LOOK_BACK), -1):
        if not (yield first("below", epoch)):
            return True
        if not (yield first("above", epoch)):
            return False  # it was seen above then, and did not drop: whatever was before has recovered before
    return False


def _recovery_alert(candidate: Recovery, left_behind: list[Threshold], now_ms: int) -> Alert:
    names = ", ".join([str(threshold) for threshold in left_behind])
    left = format_wei(candidate.left_wei)
    return Alert(
        "recovered",
        candidate.account,
        now_ms,
        f"credit of {candidate.account} has recovered from {names} to {left}",
        names,
        candidate.left_wei,
    )


def _key(account: str, threshold: Threshold, epoch: int, kind: str) -> str:
    return f"credit/{len(account)}:{account}/{threshold.amount} {threshold.unit}/{epoch}/{kind}"


class _Account:
    """What a process remembers of one account."""

    __slots__ = ("epoch", "fired", "floor_wei", "granted_wei", "sample_ms", "samples")

    def __init__(self) -> None:
        self.epoch = -1
        self.granted_wei = -1
        self.floor_wei = 0
        self.fired: set[Threshold] = set()
        self.sample_ms = 0
        self.samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)


class CreditWatch:
    """Looks at balances as replies bring them. Thread-safe; remembers a bounded number of accounts.

    Credit that is used up is always a threshold (``depleted``). The rate for a runway is that of the last hour, of all
    processes, and is known once an account was seen for five minutes.
    """

    def __init__(self, thresholds: Sequence[Threshold] = (), size: int = 10_000) -> None:
        distinct = {DEPLETED if threshold.amount == 0 else threshold for threshold in thresholds}
        self.thresholds = tuple(sorted(distinct | {DEPLETED}))
        self._runways = any(threshold.unit == "hours" for threshold in self.thresholds)
        self._size = size
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}

    def after_charge(self, account: str, balance: Balance, now_ms: int) -> Sequence[Candidate]:
        """Candidates after a settlement, or any other reply with a balance; nearly always none."""
        known = self._accounts.get(account)
        if (
            known is not None
            and known.epoch == balance.epoch
            and balance.granted_wei - balance.charged_wei > known.floor_wei
            and now_ms < known.sample_ms
        ):
            return ()
        with self._lock:
            return self._examine(account, balance, now_ms, charged=True)

    def after_grant(self, account: str, balance: Balance, now_ms: int) -> Sequence[Candidate]:
        """Candidates right after a grant: a grant by itself drops nothing, but credit may have recovered."""
        with self._lock:
            return self._examine(account, balance, now_ms, charged=False)

    def after_refusal(self, account: str, balance: Balance, estimate_wei: int, now_ms: int) -> Sequence[Candidate]:
        """Candidates after ``insufficient_credit``: what is left is nothing when it does not pay for a request.

        Credit that is only reserved for other requests is not gone.
        """
        with self._lock:
            found = list(self._examine(account, balance, now_ms, charged=True))
            known = self._accounts[account]
            left_wei = balance.granted_wei - balance.charged_wei
            if left_wei < estimate_wei and DEPLETED not in known.fired and known.epoch == balance.epoch:
                known.fired.add(DEPLETED)
                found.append(_crossing(account, DEPLETED, balance, now_ms))
            return found

    def _examine(self, account: str, balance: Balance, now_ms: int, *, charged: bool) -> list[Candidate]:
        known = self._remembered(account)
        if balance.epoch < known.epoch:
            return []  # an answer that was overtaken by a later one
        if self._runways:
            _sample(known, balance.charged_wei, now_ms)
        else:
            known.sample_ms = 2**62
        found: list[Candidate] = []
        if balance.epoch > known.epoch:
            found += self._new_epoch(account, known, balance)
        if charged:
            for threshold in self.thresholds:
                if threshold not in known.fired and _is_below(threshold, balance, known):
                    known.fired.add(threshold)
                    found.append(_crossing(account, threshold, balance, now_ms))
        floors = [_floor_wei(threshold, balance) for threshold in self.thresholds if threshold not in known.fired]
        known.floor_wei = max(floors, default=-1)
        return found

    def _new_epoch(self, account: str, known: _Account, balance: Balance) -> list[Candidate]:
        # Taking credit back is a grant too, but nothing recovers from it.
        taken_back = 0 <= balance.granted_wei <= known.granted_wei
        known.epoch, known.granted_wei = balance.epoch, balance.granted_wei
        known.fired = set()
        left_wei = balance.granted_wei - balance.charged_wei
        above = tuple(threshold for threshold in self.thresholds if _is_above(threshold, balance, known))
        if taken_back or balance.epoch < 2 or not above:
            return []
        return [Recovery(account, balance.epoch, above, left_wei)]

    def _remembered(self, account: str) -> _Account:
        known = self._accounts.get(account)
        if known is None:
            if len(self._accounts) >= self._size:
                # What was remembered saves asking the store; forgotten, it is asked once more.
                self._accounts = {}
            known = self._accounts[account] = _Account()
        return known


def _sample(known: _Account, charged_wei: int, now_ms: int) -> None:
    samples = known.samples
    if samples and now_ms < samples[-1][0]:
        samples.clear()  # the clock was set back
        known.sample_ms = 0
    if now_ms >= known.sample_ms:
        samples.append((now_ms, charged_wei))
        known.sample_ms = now_ms + _SAMPLE_MS


def _floor_wei(threshold: Threshold, balance: Balance) -> int:
    if threshold.unit == "percent":
        return balance.basis_wei * threshold.amount // 100
    return threshold.amount if threshold.unit == "wei" else -1


def _is_below(threshold: Threshold, balance: Balance, known: _Account) -> bool:
    left_wei = balance.granted_wei - balance.charged_wei
    if threshold.unit == "hours":
        return _runs_out(threshold, left_wei, known)
    return left_wei <= _floor_wei(threshold, balance) and (left_wei < balance.basis_wei or left_wei == 0)


def _is_above(threshold: Threshold, balance: Balance, known: _Account) -> bool:
    left_wei = balance.granted_wei - balance.charged_wei
    if threshold.unit == "hours":
        return left_wei > 0 and not _runs_out(threshold, left_wei, known)
    if threshold.unit == "percent":
        return left_wei > 0 and not _is_below(threshold, balance, known)
    return left_wei > threshold.amount


def _runs_out(threshold: Threshold, left_wei: int, known: _Account) -> bool:
    if len(known.samples) < 2:
        return False
    (from_ms, from_wei), (to_ms, to_wei) = known.samples[0], known.samples[-1]
    spent_wei, took_ms = to_wei - from_wei, to_ms - from_ms
    if spent_wei <= 0 or took_ms < _SHORTEST_MS:
        return False
    return left_wei * took_ms <= threshold.amount * _HOUR_MS * spent_wei


def _crossing(account: str, threshold: Threshold, balance: Balance, now_ms: int) -> Crossing:
    left_wei = balance.granted_wei - balance.charged_wei
    if threshold == DEPLETED:
        kind: AlertKind = "depleted"
        message = f"credit of {account} is used up ({format_wei(left_wei)} left)"
    else:
        kind = "dropped"
        message = f"credit of {account} has dropped to {format_wei(left_wei)}, not more than {threshold}"
    alert = Alert(kind, account, now_ms, message, "" if threshold == DEPLETED else str(threshold), left_wei)
    return Crossing(_key(account, threshold, balance.epoch, "below"), alert, now_ms + _KEEP_MS)


class BudgetWatch:
    """Looks at the counts of budgets: an alert is due once per step and window, whatever the step does. Thread-safe."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        # By counter: the start of its window, the count from which on the next step is reached, and the steps so far.
        self._known: dict[str, tuple[int, int, frozenset[Step]]] = {}

    def after_charge(self, plan: Plan, counts: Sequence[tuple[str, int]], now_ms: int) -> Sequence[Candidate]:
        """Candidates after a settlement; ``counts`` as ``Settled`` has them. Nearly always none."""
        if not plan.profile.budgets:
            return ()
        found: list[Candidate] = []
        used = dict(counts)
        for check, budget in zip(plan.checks, plan.budgets, strict=True):
            used_wei = used.get(check.counter)
            if budget is None or used_wei is None:
                continue
            starts_ms, next_wei, _ = self._known.get(check.counter, _UNKNOWN)
            if starts_ms != check.starts_ms or used_wei >= next_wei:
                found += self._fire(plan.profile.consumer, check, budget, reached(budget, used_wei), used_wei, now_ms)
        return found

    def after_refusal(self, plan: Plan, refused: Refused, estimate_wei: int, now_ms: int) -> Sequence[Candidate]:
        """Candidates after a refusal by a budget: its step takes effect, although its share is not quite used up."""
        found: list[Candidate] = []
        for index in refused.violated:
            budget, used_wei = plan.budgets[index], refused.counts[index]
            step = None if budget is None else refused_step(budget, used_wei, estimate_wei)
            if budget is not None and step is not None:
                found += self._fire(plan.profile.consumer, plan.checks[index], budget, (step,), used_wei, now_ms)
        return found

    def _fire(
        self,
        consumer: str,
        check: WindowCheck,
        budget: Budget,
        steps: Sequence[Step],
        used_wei: int,
        now_ms: int,
    ) -> list[Candidate]:
        starts_ms, _, fired = self._known.get(check.counter, _UNKNOWN)
        if starts_ms != check.starts_ms:
            fired = frozenset()
        new = [step for step in steps if step not in fired]
        fired = fired.union(new)
        # Rounded up: from this count on, and not before, the share is used up.
        ahead = [-(-budget.limit_wei * step.percent // 100) for step in budget.steps if step not in fired]
        if len(self._known) >= self._size:
            self._known = {}  # what was remembered saves asking the store
        self._known[check.counter] = (check.starts_ms, min(ahead, default=2**300), fired)
        return [_budget_crossing(consumer, check, budget, step, used_wei, now_ms) for step in new]


_UNKNOWN: Final = (-1, 0, frozenset[Step]())
_DOES: Final = {"warn": "goes on", "throttle": "throttles requests", "reject": "rejects requests"}


def _budget_crossing(
    consumer: str, check: WindowCheck, budget: Budget, step: Step, used_wei: int, now_ms: int
) -> Crossing:
    left_wei = max(0, budget.limit_wei - used_wei)
    message = (
        f"budget {budget.name} of {consumer} has {format_wei(left_wei)} of {format_wei(budget.limit_wei)} left,"
        f" past {step.percent}%: it {_DOES[step.action]}"
    )
    details = (("budget", budget.name), ("action", step.action), ("scope", budget.scope))
    alert = Alert("budget", consumer, now_ms, message, f"{step.percent}%", left_wei, details)
    key = f"budget/{check.counter}/{check.starts_ms}/{step.percent}/{step.action}"
    return Crossing(key, alert, check.ends_ms + DAY_MS)
