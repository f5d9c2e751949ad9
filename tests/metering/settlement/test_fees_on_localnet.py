"""Settling on a network with fees, through the typed client: from the operator's account, within a day's budget."""

from __future__ import annotations

import pytest

from api_billing.metering.ledger.settlement_operations import ListOutgoing
from api_billing.metering.settlement.fee_budget import FeeBudget
from api_billing.metering.stores.steps import run
from genlayer_localnet.testing.plugin import server_fixture

from .places import ONE_GEN, Place

WINDOW_SECONDS = 3_600
DAY_SECONDS = 86_400
server = server_fixture("module", fee_prices=(10**12, 10**9, 10**8), finality_window_seconds=WINDOW_SECONDS)


@pytest.fixture
def place(request, network, contract):
    made = Place(request.node.nodeid, network, contract)
    made.refresh()
    made.serve(500)
    with made.store:
        yield made


def balance(place: Place) -> int:
    return place.operator.connection.balance_wei(place.operator.address)


def left(place: Place, budget_wei: int) -> int:
    return run(FeeBudget(place.operator, budget_wei, place.now_ms).left(place.api), place.store.call)


def test_settlement__on_a_network_with_fees__is_paid_by_who_settles_and_not_by_the_contract(place):
    before, of_contract = balance(place), place.operator.connection.balance_wei(place.contract)
    assert place.settle().status == "done"
    assert before - ONE_GEN < balance(place) < before
    assert place.operator.connection.balance_wei(place.contract) == of_contract
    assert place.reconcile().is_zero


def test_budget__of_what_was_settled__has_its_deposit_less_and_gets_the_rest_back_when_final(place):
    assert left(place, ONE_GEN) == ONE_GEN
    # What came before is final, and all that follows is of one day: a budget is a day's.
    place.pass_time(WINDOW_SECONDS + DAY_SECONDS - place.now_ms() // 1000 % DAY_SECONDS)
    before = balance(place)
    place.settle()
    assert left(place, ONE_GEN) == ONE_GEN - (before - balance(place))
    place.pass_time(WINDOW_SECONDS + 1)
    assert left(place, ONE_GEN) == ONE_GEN - (before - balance(place))
    assert before - balance(place) > 0


def test_budget__too_small__sends_nothing_and_is_told_with_both_amounts(place):
    before = balance(place)
    assert place.settle(fee_budget_wei=1).status == "unfunded"
    (outgoing,) = place.store.call(ListOutgoing(place.api))
    assert (
        "of settle_fee_budget_wei, 1 wei a day, 0 GEN is spent or still deposited today; raise it"
        in outgoing.posting.note
    )
    assert [dict(alert.details)["status"] for alert in place.alerts] == ["unfunded"]
    assert balance(place) == before
    assert place.settle(fee_budget_wei=ONE_GEN).status == "done"
    assert place.reconcile().is_zero


def test_account__without_gen__settles_when_it_has_some(place):
    provider, operator = place.operator.connection.provider, place.operator.address
    had = balance(place)
    fee_wei = place.operator.top_up_credit(1).fee.deposit_wei
    place.operator.top_up_credit(had - 3 * fee_wei)  # what is left is less than a fee
    assert place.settle().status == "unfunded"
    provider.result("sim_fundAccount", operator, ONE_GEN)
    assert place.settle().status == "done"
    assert place.reconcile().is_zero
