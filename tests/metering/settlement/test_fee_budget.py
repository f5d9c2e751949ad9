"""What settling costs on a network with fees: within a day's budget, and as far as the account has it."""

import pytest

from api_billing.errors import Unreachable
from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.metering.settlement import fee_budget
from api_billing.metering.settlement.worker import Round

from .world import API, DAY_MS, World, address

BUDGET_WEI, DEPOSIT_WEI = 250, 100


@pytest.fixture
def costly(world: World) -> World:
    """With a consumer, on a network where a settlement deposits 100 wei and uses 10 of them."""
    world.consumer(1)
    world.chain.deposit_wei = DEPOSIT_WEI
    return world


def settle_one(world: World, budget_wei: int = BUDGET_WEI) -> Round:
    """One more request, and a round of a new settler: nothing is remembered but in the store and on the chain."""
    world.at(world.now_ms + 1_000)
    world.serve(address(1))
    return world.round(world.settler(fee_budget_wei=budget_wei))


def test_budget__not_final_yet__counts_whole_deposits(costly: World) -> None:
    assert [settle_one(costly).status for _ in range(3)] == ["done", "done", "unfunded"]
    assert costly.chain.allowed_wei == BUDGET_WEI - 2 * DEPOSIT_WEI
    assert len(costly.chain.posted) == 2


def test_budget__once_final__counts_what_was_used(costly: World) -> None:
    for _ in range(3):
        assert settle_one(costly).status == "done"
        costly.chain.final_txs.update(costly.chain.fees)
    settle_one(costly)
    assert costly.chain.allowed_wei == BUDGET_WEI - 3 * 10


def test_budget__used_up__loses_nothing_and_goes_on_the_next_day(costly: World) -> None:
    for _ in range(4):
        settle_one(costly)
    (waiting,) = (each for each in costly.call(ListOutgoing(API)) if each.posting.state == "posted")
    assert waiting.posting.note == (
        "the network's fee is at most 100 wei, and of settle_fee_budget_wei, 250 wei a day, 200 wei is spent or still "
        "deposited today; it begins anew at 2026-03-16 00:00 UTC"
    )
    costly.at(costly.now_ms + DAY_MS)
    assert costly.settle(fee_budget_wei=BUDGET_WEI).status == "done"
    assert costly.billed_wei() == 40
    assert costly.reconcile().is_zero
    assert len({sequence for _, sequence, _ in costly.chain.posted}) == len(costly.chain.posted)


def test_budget__used_up__is_told_at_once_and_once_a_day(costly: World) -> None:
    for _ in range(4):
        settle_one(costly)
    assert [dict(alert.details)["status"] for alert in costly.alerts] == ["unfunded"]
    costly.at(costly.now_ms + DAY_MS)
    costly.chain.deposit_wei = BUDGET_WEI + 1
    settle_one(costly)
    assert len(costly.alerts) == 2


def test_budget__of_many_batches__counts_those_of_today_only(costly: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fee_budget, "_PAGE", 2)
    for _ in range(5):
        settle_one(costly, 10**6)
    costly.at(costly.now_ms + DAY_MS)
    for _ in range(3):
        settle_one(costly, 10**6)
    assert costly.chain.allowed_wei == 10**6 - 2 * DEPOSIT_WEI


def test_budget__node_does_not_tell_what_was_spent__sends_nothing(
    costly: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_one(costly)

    def gone(_: str) -> None:
        raise Unreachable("no node answers")

    with monkeypatch.context() as patch:
        patch.setattr(costly.chain, "fee_of", gone)
        assert settle_one(costly).status == "unreachable"
    assert len(costly.chain.posted) == 1
    assert costly.settle(fee_budget_wei=BUDGET_WEI).status == "done"


def test_budget__none__bounds_nothing(costly: World) -> None:
    assert [settle_one(costly, 0).status for _ in range(4)] == ["done"] * 4
    assert costly.chain.allowed_wei is None


def test_fee__within_the_budget_but_above_the_account__does_not_name_the_budget(costly: World) -> None:
    costly.chain.balance_wei = DEPOSIT_WEI - 1
    assert settle_one(costly).message == "the network's fee is too much"


def test_account__runs_dry__is_told_and_settles_when_there_is_money(costly: World) -> None:
    costly.chain.balance_wei = DEPOSIT_WEI - 1
    assert settle_one(costly, 0).status == "unfunded"
    assert [dict(alert.details)["status"] for alert in costly.alerts] == ["unfunded"]
    costly.chain.balance_wei = DEPOSIT_WEI
    assert costly.settle().status == "done"
    assert costly.reconcile().is_zero
    assert len(costly.chain.posted) == 1


def test_network__without_fees__is_not_bounded_by_a_budget(world: World) -> None:
    world.consumer(1)
    assert [settle_one(world, 1).status for _ in range(3)] == ["done"] * 3
