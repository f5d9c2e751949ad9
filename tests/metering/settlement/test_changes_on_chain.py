"""What changes on the real contract between service and settlement: time, prices, credit, holds, and appeals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from genlayer_py.client import GenLayerClient

from api_billing.client import BillingClient
from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import ReadBalance
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook, RetryRefused
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.credit import ChainCredit
from api_billing.metering.settlement.credit_rules import CreditSettings
from api_billing.metering.stores.steps import run
from api_billing.networks import Network
from genlayer_localnet.testing.plugin import server_fixture

from .places import ONE_GEN, PRICE, Place

server = server_fixture(scope="module", finality_window_seconds=3_600, validators=5)


@pytest.fixture
def place(request: Any, network: Network, contract: str) -> Iterator[Place]:
    def make(name: str) -> Place:
        return Place(name, network, contract, hold_seconds=7_200)

    made = make(request.node.nodeid)
    left_s = (DAY_MS - made.now_ms() % DAY_MS) // 1000
    if left_s < 3 * 3_600:
        # A hold pays the days from its placing on: where one is placed hours later, it is to be the same day.
        made.pass_time(left_s)
        made = make(f"{request.node.nodeid} the day after")
    made.refresh()
    with made.store:
        yield made


def free_wei(place: Place) -> int:
    return place.store.call(ReadBalance(chain_account(place.api, place.who))).free_wei


def codes(place: Place, batch: int = 1) -> list[str]:
    (outgoing,) = place.store.call(ListOutgoing(place.api, batch - 1, 1))
    return [part.code for part in outgoing.posting.parts]


CHANGES = {
    "price raised": lambda place: place.operator.register_api(place.api, 2 * PRICE, 1000),
    "credit withdrawn": lambda place: place.consumer.withdraw_credit(ONE_GEN - 100_000),
    "subscription ended": lambda place: place.consumer.unsubscribe(place.api),
    "API paused": lambda place: place.operator.set_api_active(place.api, False),
    "hold expired": lambda place: place.pass_time(7_300),
    "midnight passed": lambda place: place.pass_time(86_400),
}


@pytest.mark.parametrize("change", CHANGES)
def test_settlement__change_after_service__is_paid_from_the_hold_all_the_same(place: Place, change: str) -> None:
    place.serve(700, 2)
    CHANGES[change](place)
    assert place.settle().status == "done"
    assert codes(place) == [""]
    place.is_billed_once()
    assert place.alerts == []


def test_settlement__price_changed__serves_no_more_until_it_is_accepted(place: Place) -> None:
    place.serve(700)
    place.operator.register_api(place.api, 2 * PRICE, 1000)
    place.refresh()
    assert free_wei(place) == 0
    place.consumer.subscribe(place.api, ONE_GEN)
    place.refresh()
    assert free_wei(place) == 100_000 - 700
    place.settle()
    place.is_billed_once()


def test_settlement__hold_expired_released_and_withdrawn__is_told_and_stops_until_it_is_paid(place: Place) -> None:
    place.serve(700)
    place.pass_time(7_300)
    place.consumer.release_hold(place.api)
    place.consumer.withdraw_credit(ONE_GEN)
    assert place.settle().status == "done"
    assert codes(place) == ["insufficient_credit"]
    assert [alert.kind for alert in place.alerts] == ["settlement"]
    place.consumer.top_up_credit(ONE_GEN)
    place.consumer.place_hold(place.api, 5_000, place.now_ms() // 1000 + 7_200)
    place.refresh()
    assert free_wei(place) == 0
    assert place.store.call(RetryRefused(place.api, 1, place.now_ms())) is not None
    place.settle()
    place.is_billed_once()
    place.refresh()
    assert free_wei(place) == 5_000 - 700


def test_settlement__two_midnights_later__is_refused_and_billed_today_by_a_retry(place: Place) -> None:
    place.serve(700)
    place.pass_time(2 * 86_400)
    place.settle()
    assert codes(place) == ["day_closed"]
    found = place.reconcile()
    assert ([why.reason for why in found.lines[0].why], found.lines[0].unexplained_wei) == (
        ["refused: day_closed (batch 1)"],
        0,
    )
    assert place.earned_wei() == 0
    place.store.call(RetryRefused(place.api, 1, place.now_ms(), day=place.now_ms() // DAY_MS))
    assert place.settle().status == "done"
    assert place.earned_wei() == 700
    assert [(line.difference_wei, line.unexplained_wei) for line in place.reconcile().lines] == [(700, 0), (-700, 0)]


# --- finality


def test_credit__hold_that_is_accepted__is_granted_when_no_appeal_can_undo_it(
    request: Any, network: Network, contract: str
) -> None:
    place = Place(request.node.nodeid, network, contract, hold_seconds=7_200)
    credit = ChainCredit(place.operator, place.store.call, now_ms=place.now_ms, settings=CreditSettings(margin_ms=0))
    granted = []
    for _ in range(2):
        assert run(credit.refresh(place.who, (place.api,)), place.store.call)
        granted.append(free_wei(place))
        place.pass_time(3_600)
    assert granted == [0, 100_000]
    place.store.close()


# --- roll-back


def test_settlement__chain_rolled_back_to_before_it__is_posted_again_under_the_same_sequence(place: Place) -> None:
    place.serve(100)
    place.settle()
    ask = place.operator.connection.provider.result
    before = ask("sim_createSnapshot")
    for cost_wei in (20, 3):
        place.serve(cost_wei)
        assert place.settle().status == "done"
    place.refresh()
    was_free_wei = free_wei(place)
    assert ask("sim_restoreSnapshot", before)
    assert place.earned_wei() == 100
    place.refresh()
    assert free_wei(place) == was_free_wei == 100_000 - 123
    assert place.settle().settled == 2
    assert [dict(alert.details)["status"] for alert in place.alerts] == ["undone"]
    assert [each.posting.chain_sequence for each in place.store.call(ListOutgoing(place.api))] == [1, 2, 3]
    place.is_billed_once()
    place.refresh()
    assert free_wei(place) == was_free_wei


KEEPER = '''# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

from genlayer import *


class Keeper(gl.Contract):
    """An operator that asks its validators before it lets somebody report usage."""

    billing: Address

    def __init__(self, billing: str):
        self.billing = Address(billing)

    @gl.public.write
    def register(self, api: str, price: int) -> None:
        gl.get_contract_at(self.billing).emit(on="accepted").register_api(api, price, 1000)

    @gl.public.write
    def allow(self, api: str, meter: str) -> None:
        if gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("may it?")) == "yes":
            gl.get_contract_at(self.billing).emit(on="accepted").set_meter(api, meter, True)
'''


class KeptPlace(Place):
    """A place whose API a contract has registered; its operator's account is a meter that the contract allowed."""

    def __init__(self, name: str, network: Network, contract: str) -> None:
        self.keeper = ""
        super().__init__(name, network, contract)

    def client(self, role: str, url: str = "") -> BillingClient:
        made = super().client(role, url)
        if role == "operator":
            tx = made.connection.send_deployment(KEEPER.encode(), [self.contract])
            self.keeper = made.connection.follower.wait(tx, "accepted", 30).contract or ""
            made.register_api = lambda api, price, daily: self.call(made, "register", api, price)  # type: ignore[method-assign]
        return made

    def call(self, client: BillingClient, method: str, *args: Any) -> str:
        outcome = client.connection.write(self.keeper, method, args, value_wei=0, phase="accepted", timeout_seconds=30)
        return outcome.tx

    def earned_wei(self) -> int:
        return self.operator.get_earnings(self.keeper).earnings_wei


def let_validators_answer(place: Place, *answers: str) -> None:
    ask = place.operator.connection.provider.result
    for validator, answer in zip(ask("sim_getAllValidators"), answers, strict=True):
        mock = {"mock_response": {"response": {"": answer}}}
        ask("sim_updateValidator", validator["address"], 1, "p", "m", {}, "q", mock)


def test_settlement__appeal_undoes_what_it_rests_on__is_posted_again_when_it_may_be(
    request: Any, network: Network, contract: str
) -> None:
    place = KeptPlace(request.node.nodeid, network, contract)
    place.refresh()
    let_validators_answer(place, *["yes"] * 5)
    allowed = place.call(place.operator, "allow", place.api, place.operator.address)
    place.serve(700, 2)
    assert place.settle().status == "done"
    place.is_billed_once()

    let_validators_answer(place, *"abcde")
    signer = place.operator.connection.signer
    GenLayerClient(network.genlayer_chain(), signer).appeal_transaction(transaction_id=allowed)
    assert place.operator.get_settlement(place.api).next_sequence == 1
    place.refresh()
    assert free_wei(place) == 100_000 - 1_400
    assert place.settle().status == "rejected"
    assert [dict(alert.details)["status"] for alert in place.alerts] == ["undone", "rejected"]
    assert place.store.call(ReadBook(place.api)).ended == 0

    let_validators_answer(place, *["yes"] * 5)
    place.call(place.operator, "allow", place.api, place.operator.address)
    assert place.settle().status == "done"
    place.is_billed_once()
    place.refresh()
    assert free_wei(place) == 100_000 - 1_400
    place.store.close()


def test_settlement__waiting_until_it_is_final__is_recorded_then_and_not_before(place: Place) -> None:
    place.serve(700)
    patient = BillingClient(
        place.network,
        contract=place.contract,
        account=place.operator.connection.signer,
        on="finalized",
        timeout_seconds=0.2,
    )
    assert place.settle(patient, on="finalized").status == "unknown"
    assert place.earned_wei() == 700
    assert place.settle(patient, on="finalized").message.endswith("is accepted, not final yet")
    place.pass_time(3_700)
    assert place.settle(patient, on="finalized").status == "done"
    (outgoing,) = place.store.call(ListOutgoing(place.api))
    assert outgoing.posting.attempts == 1
    place.is_billed_once()
