"""A meter's store in memory, a fake chain, one clock, and ways to drive a flow into every fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from api_billing.errors import BillingError, OutcomeUnknown, Unreachable
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.clock import DAY_MS
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.ids import first_id
from api_billing.metering.ledger.operations import Operation, ReadBalance, Reserve, Reserved, Settle
from api_billing.metering.ledger.settlement_operations import ReadCredit, SetGranted
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.settlement.reconcile import Reconciliation, reconcile
from api_billing.metering.settlement.worker import Round, Settler
from api_billing.metering.stores import Store, open_store
from api_billing.metering.stores.steps import Blocking, Pause, run

from .fake_chain import DAY_SECONDS, FakeChain

API = "weather"
NOON_MS = 1_773_576_000_000  # 2026-03-15 12:00 UTC
LEASE_MS = 60_000


def address(number: int) -> str:
    """Of a consumer."""
    return f"0x{number:040x}"


class Killed(Exception):
    """The process died here."""


@dataclass
class World:
    """What a test begins with. ``serve`` charges a request, ``settle`` runs a settler until nothing is left."""

    store: Store = field(default_factory=lambda: open_store("memory://"))
    now_ms: int = NOON_MS
    alerts: list[Alert] = field(default_factory=list)
    numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.chain = FakeChain(self.now_ms // 1000)

    def at(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.chain.now = now_ms // 1000

    def call(self, operation: Operation[Any]) -> Any:
        return self.store.call(operation)

    def consumer(self, number: int, hold_wei: int = 1000, **values: Any) -> str:
        """A consumer with a hold, whose credit is granted here."""
        who = address(number)
        self.chain.subscribe(API, who, hold_wei=hold_wei, **values)
        self.grant(who, hold_wei)
        return who

    def grant(self, who: str, usable_wei: int) -> Any:
        credit = self.call(ReadCredit(chain_account(API, who)))
        values = credit.revision, credit.accounted_wei, usable_wei, usable_wei, credit.terms
        return self.call(SetGranted(chain_account(API, who), *values))

    def refresh(self, who: str) -> None:
        """Read the chain, as the meter does in the background."""
        options = CreditSettings(refresh_ms=0, margin_ms=0, reads_per_10_seconds=10**6)
        credit = ChainCredit(self.chain, self.call, now_ms=lambda: self.now_ms, settings=options)
        run(credit.refresh(who, (API,)), self.call)

    def serve(self, who: str, cost_wei: int = 10, *, account: str | None = None) -> str:
        """A request that was served; its record's id."""
        record_id = first_id(self.now_ms)[:10] + f"{next(self.numbers):016d}"
        account = account or chain_account(API, who)
        made = Reserve(record_id, self.now_ms, self.now_ms + 60_000, account, API, who, cost_wei)
        reply = self.call(made)
        assert isinstance(reply, Reserved), reply
        self.call(Settle(record_id, account, self.now_ms, cost_wei))
        return record_id

    def settler(self, holder: str = "a", **options: Any) -> Settler:
        values = {"lease_ms": LEASE_MS, "alert": self.alerts.append, "now_ms": lambda: self.now_ms, **options}
        return Settler(self.chain, holder=holder, **values)

    def round(self, settler: Settler | None = None) -> Round:
        return run((settler or self.settler()).round(API), self.call)

    def settle(self, holder: str = "a", **options: Any) -> Round:
        """Rounds until nothing is left to post, or five of them."""
        settler = self.settler(holder, **options)
        for _ in range(5):
            ended = self.round(settler)
            if ended.status == "done":
                break
        return ended

    def reconcile(self, **options: int) -> Reconciliation:
        return run(reconcile(self.chain, API, self.now_ms, account_of=chain_account, **options), self.call)

    def free_wei(self, who: str) -> int:
        return self.call(ReadBalance(chain_account(API, who))).free_wei

    def credit(self, who: str) -> Any:
        return self.call(ReadCredit(chain_account(API, who)))

    def billed_wei(self) -> int:
        return sum(sum(each.spent.values()) for each in self.chain.subscriptions.values())


FAULTS = ("killed before", "killed after", "fails", "answer lost", "done twice")


def drive(world: World, steps: Any, fault: str = "", at: int = -1) -> tuple[Any, int]:
    """Drive a flow; at one of its steps something goes wrong. The answer and how many steps there were."""
    number, answer, error = 0, None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value, number
        if isinstance(step, Pause):
            answer, error = None, None  # nothing can go wrong, and nobody waits
            continue
        here = fault if number == at else ""
        number += 1
        answer, error = None, None
        if here == "killed before":
            raise Killed
        if here == "fails":
            error = _failure(step, sent=False)
            continue
        try:
            answer = perform(world, step)
            if here == "done twice":
                answer = perform(world, step)
        except BillingError as raised:
            error = raised
        if here == "killed after":
            raise Killed
        if here == "answer lost":
            answer, error = None, _failure(step, sent=True)


def perform(world: World, step: Any) -> Any:
    return step.call() if isinstance(step, Blocking) else world.call(step)


def _failure(step: Any, *, sent: bool) -> BillingError:
    if not isinstance(step, Blocking):
        return StoreUnavailable("the store did not answer")
    return OutcomeUnknown("the answer was lost", "0xlost") if sent else Unreachable("no node answers")


__all__ = ["API", "DAY_MS", "DAY_SECONDS", "FAULTS", "LEASE_MS", "NOON_MS", "Killed", "World", "address", "drive"]
