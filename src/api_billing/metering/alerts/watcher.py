"""Watches credit and budgets as replies bring their figures, and has alerts sent.

A request only looks at two numbers. What may be an alert goes to the alert desk, whose thread asks the store whether it
is the first of all processes to see it, and delivers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from api_billing.amounts import GEN, Currency
from api_billing.metering.alerts.alert import Alert, Threshold
from api_billing.metering.alerts.budget_watch import BudgetWatch
from api_billing.metering.alerts.channels import AlertDesk, Channel
from api_billing.metering.alerts.credit_watch import CreditWatch
from api_billing.metering.ledger.operations import Balance, Refused, Reserve, Settled
from api_billing.metering.limits.plan import WindowPlan
from api_billing.metering.observing.metrics import Metrics
from api_billing.metering.stores import Store


class Watcher:
    """Brings replies to the watches, and what they find to the desk. Thread-safe; never waits."""

    def __init__(
        self,
        store: Store,
        thresholds: Sequence[Threshold],
        channels: Sequence[Channel],
        now_ms: Callable[[], int],
        metrics: Metrics,
        currency: Currency = GEN,
        *,
        is_on: bool = True,
    ) -> None:
        self._is_on = is_on
        self._now_ms = now_ms
        self._credit = CreditWatch(thresholds, currency=currency)
        self._budgets = BudgetWatch(currency=currency)
        self._desk = AlertDesk(store.call, channels, on_alert=lambda alert: metrics.alerted(alert.kind))

    def settled(self, plan: WindowPlan, reserve: Reserve, reply: Settled) -> None:
        """A request was charged."""
        if not self._is_on:
            return
        now_ms = self._now_ms()
        if found := self._credit.after_charge(reserve.account, reply.balance, now_ms):
            self._desk.examine(found, now_ms)
        if plan.profile.budgets:
            self._desk.examine(self._budgets.after_charge(plan, reply.counts, now_ms), now_ms)

    def refused(self, plan: WindowPlan, reserve: Reserve, reply: Refused) -> None:
        """A request was refused by the store."""
        if not self._is_on:
            return
        now_ms = self._now_ms()
        if reply.code == "insufficient_credit":
            found = self._credit.after_refusal(reserve.account, reply.balance, reserve.estimate_wei, now_ms)
            self._desk.examine(found, now_ms)
        elif plan.profile.budgets:
            self._desk.examine(self._budgets.after_refusal(plan, reply, reserve.estimate_wei, now_ms), now_ms)

    def granted(self, account: str, balance: Balance) -> None:
        """Credit was added or taken back."""
        now_ms = self._now_ms()
        if self._is_on:
            self._desk.examine(self._credit.after_grant(account, balance, now_ms), now_ms)

    def send(self, alert: Alert) -> None:
        """Have an alert delivered that needs no confirmation."""
        if self._is_on:
            self._desk.send(alert)

    def close(self) -> None:
        """Deliver what is waiting. Idempotent."""
        self._desk.close()
