"""Looks at credit as replies bring it, and finds what may be an alert; see ``alerts``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from api_billing.amounts import GEN, Currency
from api_billing.metering.alerts.alert import (
    DEPLETED,
    KEEP_MS,
    Alert,
    AlertKind,
    Candidate,
    Crossing,
    Recovery,
    Threshold,
    credit_key,
)
from api_billing.metering.ledger.operations import Balance

_HOUR_MS: Final = 3_600_000
_SAMPLE_MS: Final = 60_000
_SAMPLES: Final = 61
_SHORTEST_MS: Final = 5 * _SAMPLE_MS


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

    def __init__(self, thresholds: Sequence[Threshold] = (), size: int = 10_000, currency: Currency = GEN) -> None:
        distinct = {DEPLETED if threshold.amount == 0 else threshold for threshold in thresholds}
        self.thresholds = tuple(sorted(distinct | {DEPLETED}))
        self._runways = any(threshold.unit == "hours" for threshold in self.thresholds)
        self._size = size
        self._currency = currency
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
        if _never_had_any(balance):
            return ()
        with self._lock:
            return self._examine(account, balance, now_ms, charged=True)

    def after_grant(self, account: str, balance: Balance, now_ms: int) -> Sequence[Candidate]:
        """Candidates right after a grant: a grant by itself drops nothing, but credit may have recovered."""
        with self._lock:
            return self._examine(account, balance, now_ms, charged=False)

    def after_refusal(self, account: str, balance: Balance, estimate_wei: int, now_ms: int) -> Sequence[Candidate]:
        """Candidates after ``insufficient_credit``: what is left is nothing when it does not pay for a request.

        Credit that is only reserved for other requests is not gone, nor is what was never there.
        """
        if _never_had_any(balance):
            return ()
        with self._lock:
            found = list(self._examine(account, balance, now_ms, charged=True))
            known = self._accounts[account]
            left_wei = balance.granted_wei - balance.charged_wei
            if left_wei < estimate_wei and DEPLETED not in known.fired and known.epoch == balance.epoch:
                known.fired.add(DEPLETED)
                found.append(_crossing(account, DEPLETED, balance, now_ms, self._currency))
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
                    found.append(_crossing(account, threshold, balance, now_ms, self._currency))
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
        return [Recovery(account, balance.epoch, above, left_wei, self._currency)]

    def _remembered(self, account: str) -> _Account:
        known = self._accounts.get(account)
        if known is None:
            if len(self._accounts) >= self._size:
                # What was remembered saves asking the store; forgotten, it is asked once more.
                self._accounts = {}
            known = self._accounts[account] = _Account()
        return known


def _never_had_any(balance: Balance) -> bool:
    """Whether an account never had credit that could be used up; what was taken back, it had."""
    return not balance.granted_wei and balance.epoch < 2


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


def _crossing(account: str, threshold: Threshold, balance: Balance, now_ms: int, currency: Currency) -> Crossing:
    left_wei = balance.granted_wei - balance.charged_wei
    left, bound = currency.text(left_wei), threshold.text(currency)
    if threshold == DEPLETED:
        kind: AlertKind = "depleted"
        is_left = f"is too little for what it asks for: {left} left"
        message = f"credit of {account} {is_left if left_wei > 0 else 'is used up'}"
    else:
        kind = "dropped"
        message = f"credit of {account} has dropped to {left}, not more than {bound}"
    alert = Alert(kind, account, now_ms, message, "" if threshold == DEPLETED else bound, left_wei, left=left)
    return Crossing(credit_key(account, threshold, balance.epoch, "below"), alert, now_ms + KEEP_MS)
