"""The end of the demo: wait until all is settled, read every book, and let the operator take its earnings."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from api_billing.client import BillingClient
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import ListRecords, SumUsage
from api_billing.metering.ledger.settlement_operations import ENDED, ListOutgoing, Outgoing
from api_billing.metering.settlement.reconcile import explained, reconcile
from api_billing.metering.stores import Store
from api_billing.metering.stores.steps import run
from demo.metered.contract_consumer import Fetch
from demo.metered.figures import (
    BatchFigures,
    ConsumerFigures,
    ContractFigures,
    MeteredFigures,
    OperatorFigures,
    Used,
)
from demo.metered.load import Load
from demo.metered.place import OPERATOR, Consumer, Place
from demo.metered.plan import API, Role
from demo.metered.redress import refund

_LONG_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
_PAYOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent: the accounts' requests, and the fetches of a page by the contract of this address."""

    load: Load
    contract: str
    page: str
    fetches: tuple[Fetch, ...]


def outgoing(store: Store) -> list[Outgoing]:
    """All batches of the demo's API, in their order."""
    found: list[Outgoing] = []
    while page := store.call(ListOutgoing(API, found[-1].batch.sequence if found else 0)):
        found += page
    return found


def wait_until_settled(store: Store, look: Callable[[], None]) -> None:
    """Until the outcome of everything is recorded, or a minute is over: the reconciliation tells what is missing then.

    ``look`` is called again and again meanwhile; what it raises goes on.
    """
    deadline = time.monotonic() + _LONG_SECONDS
    while time.monotonic() < deadline:
        used = sum(day.calls for day in store.call(SumUsage(api=API)))
        batches = outgoing(store)
        ended = sum(line.calls for each in batches if each.posting.state in ENDED for line in each.batch.lines)
        if ended == used and all(each.posting.state in ENDED for each in batches):
            return
        look()
        time.sleep(_LOOK_SECONDS)


def close_books(
    place: Place, store: Store, traffic: Traffic, environment: str, step: Callable[[], None]
) -> MeteredFigures:
    """Read what everybody has written down, and pay the operator out; ``step`` is called after each consumer.

    Raises: BillingError.
    """
    load, now_ms = traffic.load, time.time_ns() // 1_000_000
    days = (int(load.began_at) * 1000 // DAY_MS, now_ms // DAY_MS)
    reconciled = run(reconcile(place.operator, API, now_ms), store.call)
    refunded = refund(place, place.in_role(Role.FAILS))
    metered = _metered(store)
    consumers = []
    for each in place.consumers:
        consumers.append(_consumer(place.operator, each, load, metered.get(each.address, Used()), days))
        step()
    billed, redeemed = _billed(place.operator, traffic.contract, days), _redeemed(store, traffic.contract)
    return MeteredFigures(
        environment=environment,
        contract=place.contract,
        answers=load.answers,
        load_seconds=load.ended_at - load.began_at,
        latencies=tuple(load.latencies),
        consumers=tuple(consumers),
        contract_consumer=ContractFigures(traffic.contract, traffic.page, traffic.fetches, billed, redeemed),
        batches=tuple(_batch(each, load) for each in outgoing(store)),
        reconciled_lines=len(reconciled.lines),
        is_zero=reconciled.is_zero,
        reasons=tuple(explained(reconciled.lines)),
        refund=refunded,
        operator=_pay_out(place),
        solvency=place.operator.get_solvency(),
    )


def _metered(store: Store) -> dict[str, Used]:
    """What the meter has charged, by consumer."""
    metered: dict[str, Used] = {}
    for row in store.call(SumUsage(api=API)):
        metered[row.consumer] = metered.get(row.consumer, Used()) + Used(row.calls, row.charged_wei)
    return metered


def _consumer(
    client: BillingClient, consumer: Consumer, load: Load, metered: Used, days: tuple[int, int]
) -> ConsumerFigures:
    seen, report = load.seen[consumer.address], client.get_usage_report(consumer.address)
    return ConsumerFigures(
        address=consumer.address,
        role=consumer.plan.role,
        requests=seen.sent,
        answers=seen.answers,
        replayed=seen.replayed,
        allowed=consumer.plan.allowed,
        days=days[1] - days[0] + 1,
        seen=Used(seen.charged, seen.cost_wei),
        metered=metered,
        billed=_billed(client, consumer.address, days),
        held_wei=consumer.plan.hold_wei,
        hold_left_wei=sum(line.hold_wei for line in report.apis),
        signed_wei=consumer.signed_wei,
    )


def _billed(client: BillingClient, consumer: str, days: tuple[int, int]) -> Used:
    history = client.get_usage_history(consumer, API, *days)
    return sum((Used(day.calls, day.spend_wei) for day in history), Used())


def _redeemed(store: Store, consumer: str) -> int:
    """How many requests with a receipt were served; they are few."""
    return len(store.call(ListRecords(consumer, API, states=("redeemed",), limit=1_000)))


def _batch(each: Outgoing, load: Load) -> BatchFigures:
    batch, posting = each
    ended_at = posting.ended_ms / 1000
    return BatchFigures(
        sequence=batch.sequence,
        state=posting.state,
        lines=len(batch.lines),
        used=sum((Used(line.calls, line.amount_wei) for line in batch.lines), Used()),
        billed=sum((Used(part.billed_calls, part.billed_wei) for part in posting.parts), Used()),
        after_seconds=max(0.0, round(ended_at - load.began_at, 3)),
        while_running=posting.state in ENDED and ended_at < load.ended_at,
        tx=posting.txs[-1] if posting.txs else "",
    )


def _pay_out(place: Place) -> OperatorFigures:
    """The operator takes all that it has earned; it is there when the transaction is final."""
    client, address = place.operator, place.accounts[OPERATOR]
    earned_wei = client.get_earnings(address).earnings_wei
    before_wei = client.connection.balance_wei(address)
    fee_wei = 0
    if earned_wei:
        paid = place.client(OPERATOR)
        paid.on, paid.timeout_seconds = "finalized", _PAYOUT_SECONDS
        fee_wei = paid.withdraw_earnings(earned_wei).fee.paid_wei or 0
    after, after_wei = client.get_earnings(address), client.connection.balance_wei(address)
    return OperatorFigures(address, earned_wei, after.withdrawn_wei, after.earnings_wei, before_wei, after_wei, fee_wei)
