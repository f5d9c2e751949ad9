"""Alerts about credit and budgets: what may have crossed a threshold, and whether it is the first to say so.

Two steps. A watch (``credit_watch``, ``budget_watch``) looks at the figures that every reply of the store has, in
memory, and nearly always finds nothing. What it finds are **candidates**; ``confirmed`` asks the store (``FireOnce``),
so that of all processes one sends the alert.

Credit: the figure is what is unspent, free or reserved, so that requests being served do not look like a shortage. A
threshold is crossed when no more than it is left and something was spent since the last grant; so 100 % fires with the
first charge, and a jump over two thresholds fires both. An account that never had credit fires none. Any grant starts
a new epoch, in which each may fire once more, and ``recovered`` is due when a threshold had fired and more than it is
left again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from api_billing.amounts import GEN, Currency, has_unit
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.operations import FireOnce
from api_billing.metering.stores.steps import Steps

AlertKind = Literal["dropped", "depleted", "recovered", "budget", "settlement"]

KEEP_MS: Final = 366 * DAY_MS  # an account without any grant for longer may be warned again
_LOOK_BACK: Final = 4  # epochs that may have passed unseen between a drop and its recovery
_FORM: Final = re.compile(r"(\d{1,9})\s*(%|h)")


@dataclass(frozen=True, slots=True)
class Alert:
    """Something an operator wants to know. ``subject`` is the account, or the consumer of a budget, or the API;
    ``left`` is ``left_wei`` in the meter's currency.
    """

    kind: AlertKind
    subject: str
    at_ms: int
    message: str
    threshold: str = ""
    left_wei: int | None = None  # unspent credit, or what a budget has left
    details: tuple[tuple[str, str], ...] = ()
    left: str = ""


class Threshold(NamedTuple):
    """So much credit left: percent of the credit right after the last grant, wei, or hours at the recent rate."""

    amount: int
    unit: Literal["percent", "wei", "hours"]

    def text(self, currency: Currency) -> str:
        """As ``parse`` reads it."""
        if self.unit == "wei":
            return currency.text(self.amount, exact=True)
        return f"{self.amount}%" if self.unit == "percent" else f"{self.amount} h"

    @classmethod
    def parse(cls, text: str, currency: Currency = GEN) -> Threshold:
        """Read ``20%``, ``24h``, or an amount such as ``0.5gen``. Raises: InvalidSetting."""
        short = _FORM.fullmatch(text.strip().lower())
        if short is not None and (short[2] == "h" or int(short[1]) <= 100):
            return cls(int(short[1]), "percent" if short[2] == "%" else "hours")
        try:
            # A number alone is half of one that was taken for a list: 1,000gen.
            if not has_unit(text) and text.strip() != "0":
                raise ValueError("it has no unit")
            return cls(currency.amount(text), "wei")
        except ValueError as exc:
            like = f"20% (0 to 100), 24h or {currency.example}"
            raise InvalidSetting(f"a threshold is like {like}, not {text!r:.40}") from exc


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
    currency: Currency = GEN


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
        return FireOnce(credit_key(candidate.account, threshold, epoch, kind), now_ms, now_ms + KEEP_MS)

    if not (yield first("above", candidate.epoch)):
        return False
    for epoch in range(candidate.epoch - 1, max(0, candidate.epoch - 1 - _LOOK_BACK), -1):
        if not (yield first("below", epoch)):
            return True
        if not (yield first("above", epoch)):
            return False  # it was seen above then, and did not drop: whatever was before has recovered before
    return False


def _recovery_alert(candidate: Recovery, left_behind: list[Threshold], now_ms: int) -> Alert:
    names = ", ".join([threshold.text(candidate.currency) for threshold in left_behind])
    left = candidate.currency.text(candidate.left_wei)
    return Alert(
        "recovered",
        candidate.account,
        now_ms,
        f"credit of {candidate.account} has recovered from {names} to {left}",
        names,
        candidate.left_wei,
        left=left,
    )


def credit_key(account: str, threshold: Threshold, epoch: int, kind: str) -> str:
    """The key that is fired once: ``kind`` is ``below`` or ``above``."""
    return f"credit/{len(account)}:{account}/{threshold.amount} {threshold.unit}/{epoch}/{kind}"
