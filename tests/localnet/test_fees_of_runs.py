"""What a run costs in fees: time, receipt and storage, and what there is when prices change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from genlayer_localnet import Address
from genlayer_localnet.chain.allocations import encoded_params
from genlayer_localnet.chain.fees import budget_floor, round_fees
from genlayer_localnet.state.fees import Fees, FeesDistribution, MessageAllocation
from genlayer_localnet.state.transactions import Transaction

from .feenet import ALICE, BOB, LEADER, POLICY, ROUND_UNITS, SUPPLY, VALIDATOR, FeeNet, distribution, internal

NOTES = """
class Notes(gl.Contract):
    notes: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def note(self, text: str) -> int:
        self.notes.append(text)
        if text == "no":
            raise gl.vm.UserError("no")
        return len(self.notes)

    @gl.public.write
    def ask(self) -> str:
        self.notes.append("asked")
        return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("question"))

    @gl.public.write
    def later(self, method: str, *args: str) -> None:
        getattr(gl.get_contract_at(gl.message.contract_address).emit(on="finalized"), method)(*args)

    @gl.public.view
    def count(self) -> int:
        return len(self.notes)
"""
ROUND = ROUND_UNITS * POLICY.gen_per_time_unit


@pytest.fixture
def notes() -> Address:
    return Address(b"\xc0" * 20)


@pytest.fixture
def net(source: Callable[[str], str], notes: Address) -> FeeNet:
    found = FeeNet(None)
    found.net.deploy(source(NOTES), sender=BOB, address=notes)
    found.finalize()
    found.chain.set_fees(POLICY)
    found.net.prompt_handler = lambda request, node: node.index  # nobody agrees
    return found


def _result(transaction: Transaction) -> tuple[str, str | None]:
    assert transaction.outcome is not None
    return transaction.outcome.kind, transaction.outcome.message


def _time_fee(transaction: Transaction) -> int:
    assert transaction.fees is not None
    return transaction.fees.time_fee


# --- what it spends ---


def test_run__accepted__spends_one_round_and_its_report(net: FeeNet, notes: Address) -> None:
    sent = net.send(notes, "note", "a" * 100, value=5)
    fees = sent.fees
    assert fees is not None
    assert (fees.time_fee, fees.execution_fee, net.paid) == (ROUND, fees.report["totalEstimatedFee"], 0)
    net.finalize()
    assert net.paid == fees.spent
    assert fees.refunded == fees.deposit - fees.spent > 0
    assert net.net.balance(ALICE) == SUPPLY - 5 - fees.spent


def test_run__refused_by_the_contract__spends_as_well_but_for_storage(net: FeeNet, notes: Address) -> None:
    good, bad = (net.send(notes, "note", text).fees for text in ("ok", "no"))
    assert good is not None
    assert bad is not None
    assert (bad.report["storageFee"], bad.report["changedSlots"]) == (0, 0)
    assert bad.execution_fee == good.execution_fee - good.report["storageFee"] - 3_000 * good.report["changedSlots"]
    assert bad.time_fee == good.time_fee == ROUND


def test_run__longer_text__costs_its_calldata_and_its_storage(net: FeeNet, notes: Address) -> None:
    net.send(notes, "note", "a" * 64)
    short, long = (net.send(notes, "note", "a" * size).fees for size in (100, 200))
    assert short is not None
    assert long is not None
    assert long.report["calldataBytes"] - short.report["calldataBytes"] == 100
    assert long.report["storageFee"] - short.report["storageFee"] == 100 * POLICY.storage_unit_price
    assert long.execution_fee - short.execution_fee == 100 * (5 + 16 * 3)


def test_run__nobody_there__spends_one_round(net: FeeNet) -> None:
    sent = net.send(BOB, "note", "a")
    assert _result(sent) == ("vm_error", "invalid_contract absent")
    assert _time_fee(sent) == ROUND


def test_run__leader_alone__has_one_voter(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", fees=net.fees())
    sent.mode = "LEADER_ONLY"
    net.run()
    assert (_time_fee(sent), sent.status) == ((LEADER + VALIDATOR) * 7, "finalized")


def test_run__overlay__is_on_time(net: FeeNet, notes: Address) -> None:
    net.chain.set_fees(replace(POLICY, time_unit_overlay_bps=2_000))
    assert _time_fee(net.send(notes, "note", "a", fees=net.fees(deposit=10**7))) == ROUND * 10 // 8


# --- more leaders ---


@pytest.mark.parametrize(("paid", "configured", "leaders"), [(2, 3, 3), (0, 3, 1), (3, 1, 2)])
def test_rotations__those_paid_for_and_configured__are_made(
    net: FeeNet, notes: Address, paid: int, configured: int, leaders: int
) -> None:
    net.chain.settings = replace(net.chain.settings, rotations=configured)
    sent = net.send(notes, "ask", fees=net.fees(distribution(rotations=(paid,))))
    assert (sent.status, len(sent.rounds), _time_fee(sent)) == ("undetermined", leaders, leaders * ROUND)
    assert sent.fees is not None
    assert sent.fees.execution_fee == leaders * sent.fees.report["totalEstimatedFee"]


def _message_at(net: FeeNet, notes: Address, price: int, wanted: FeesDistribution, *call: str) -> Transaction:
    """Send a message whose deposit was reckoned with the old price of a time unit, and run it at another one."""
    net.chain.set_fees(POLICY)
    own = internal(notes, on="finalized", fee_params=encoded_params(wanted), budget=round_fees(wanted, 5, POLICY))
    sent = net.send(notes, "later", *call, fees=net.fees(allocations=(own,)))
    net.chain.set_fees(replace(POLICY, gen_per_time_unit=price))
    net.chain.finalize(sent)
    net.check()
    (child,) = sent.children
    return net.chain.transaction(child)


def test_rotations__price_has_risen__are_those_it_has_enough_for(net: FeeNet, notes: Address) -> None:
    run = net.send(notes, "ask").fees
    assert run is not None
    wanted = distribution(rotations=(3,))
    rest = round_fees(wanted, 5, POLICY) - run.execution_fee - wanted.execution_budget_per_round
    highest = rest // (2 * ROUND_UNITS)
    for price, leaders in ((highest, 2), (highest + 1, 1)):
        message = _message_at(net, notes, price, wanted, "ask")
        assert (len(message.rounds), _time_fee(message)) == (leaders, leaders * ROUND_UNITS * price)


def test_run__price_has_risen_above_the_deposit__spends_what_there_is(net: FeeNet, notes: Address) -> None:
    wanted = distribution()
    deposit = round_fees(wanted, 5, POLICY)
    message = _message_at(net, notes, deposit // ROUND_UNITS, wanted, "note", "a")
    net.finalize()
    assert message.fees is not None
    time_fee = deposit // ROUND_UNITS * ROUND_UNITS
    assert (message.status, _result(message)[0]) == ("finalized", "return")
    assert (message.fees.time_fee, message.fees.execution_fee) == (time_fee, deposit - time_fee)
    assert message.fees.refunded == 0


# --- the budget of a run ---


def test_execution__above_its_budget__changes_nothing_and_costs_it(net: FeeNet, notes: Address) -> None:
    floor = budget_floor(POLICY)
    text = "a" * (floor // POLICY.storage_unit_price)
    sent = net.send(notes, "note", text, value=5, fees=net.fees(distribution(execution_budget_per_round=floor)))
    assert _result(sent) == ("vm_error", "fee execution_budget_exceeded")
    assert net.net.view(notes, "count") == 0
    net.finalize()
    assert sent.fees is not None
    assert (sent.fees.execution_fee, net.paid) == (floor, floor + ROUND)


def test_execution__just_its_budget__runs(net: FeeNet, notes: Address) -> None:
    probe = net.send(notes, "note", "a" * 100_000, fees=net.fees(distribution(execution_budget_per_round=10**7)))
    assert probe.fees is not None
    cost = probe.fees.report["totalEstimatedFee"]
    results = []
    for budget in (cost, cost - 1):
        sent = net.send(notes, "note", "a" * 100_000, fees=net.fees(distribution(execution_budget_per_round=budget)))
        results.append(_result(sent)[0])
    assert results == ["return", "vm_error"]


# --- prices that change ---


@pytest.mark.parametrize(
    ("cap", "price"),
    [
        ("max_price_per_time_unit", "gen_per_time_unit"),
        ("max_storage_gas_price", "storage_unit_price"),
        ("max_receipt_gas_price", "receipt_gas_price"),
    ],
)
def test_price__above_the_cap_when_its_turn_comes__cancels_and_gives_all_back(
    net: FeeNet, notes: Address, cap: str, price: str
) -> None:
    sent = net.submit(notes, "note", "a", value=5, fees=net.fees(distribution(**{cap: 20}), deposit=10**7))
    net.chain.set_fees(replace(POLICY, **{price: 21}))
    net.run()
    assert sent.fees is not None
    assert (sent.status, sent.refused, sent.outcome) == ("cancelled", "MaxPriceExceeded", None)
    assert (net.net.balance(ALICE), net.paid, net.net.balance(notes)) == (SUPPLY, 0, 0)


def test_price__at_the_cap_when_its_turn_comes__runs_at_that_price(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", fees=net.fees(distribution(max_price_per_time_unit=20)))
    net.chain.set_fees(replace(POLICY, gen_per_time_unit=20))
    net.run()
    assert (sent.status, _time_fee(sent)) == ("accepted", ROUND_UNITS * 20)


def test_price__risen_since__is_that_of_the_first_run(net: FeeNet, notes: Address) -> None:
    sent = net.send(notes, "ask")
    net.chain.set_fees(replace(POLICY, gen_per_time_unit=1_000))
    net.finalize()
    assert net.paid == sum(one.fees.spent for one in (sent,) if one.fees)


def test_price__above_what_is_deposited_without_a_cap__cancels_and_gives_all_back(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", value=5, fees=net.fees())
    net.chain.set_fees(replace(POLICY, gen_per_time_unit=8))
    net.run()
    assert sent.fees is not None
    assert (sent.status, sent.refused, net.net.balance(ALICE)) == ("cancelled", "InsufficientFees", SUPPLY)


@pytest.mark.parametrize(("seconds", "status"), [(50, "accepted"), (51, "cancelled")])
@pytest.mark.parametrize("with_fees", [True, False])
def test_valid_until__over_when_its_turn_comes__cancels_and_gives_all_back(
    net: FeeNet, notes: Address, seconds: int, status: str, with_fees: bool
) -> None:
    if not with_fees:
        net.chain.set_fees(None)
    sent = net.submit(notes, "note", "a", value=5, fees=net.fees() if with_fees else None)
    sent.valid_until = int(net.chain.world.now.timestamp()) + 50
    net.chain.move_clock(net.chain.world.now + timedelta(seconds=seconds))
    net.run()
    assert (sent.status, sent.refused) == (status, "" if status == "accepted" else "Expired")
    if status == "cancelled":
        assert (net.net.balance(ALICE), net.net.undelivered_value()) == (SUPPLY, 0)


_WITH_WRONG_ROTATIONS = encoded_params(distribution(rotations=()))


@pytest.mark.parametrize(
    ("wanted", "tree", "name"),
    [
        (distribution(total_message_fees=10**30), (), "InsufficientFees"),
        (distribution(execution_budget_per_round=10**30), (), "InsufficientFees"),
        (distribution(execution_budget_per_round=0), (), "RollupBudgetBelowFloor"),
        (distribution(rotations=()), (), "InvalidAppealRounds"),
        (distribution(), (internal(BOB),), "InsufficientFees"),
        (distribution(), (internal(BOB, fee_params=b"xx", budget=0),), "InvalidMessageAllocation"),
        (distribution(), (internal(BOB, parent=0, budget=0),), "InvalidMessageAllocation"),
        (distribution(), (internal(BOB, fee_params=_WITH_WRONG_ROTATIONS, budget=0),), "InvalidAppealRounds"),
    ],
)
def test_fees__on_when_its_turn_comes__are_looked_at_then(
    net: FeeNet, notes: Address, wanted: FeesDistribution, tree: tuple[MessageAllocation, ...], name: str
) -> None:
    net.chain.set_fees(None)
    sent = net.submit(notes, "note", "a", value=5, fees=Fees(ALICE.as_bytes, 10**8, wanted, tree))
    other = net.submit(notes, "note", "b", fees=net.fees())
    net.chain.set_fees(POLICY)
    net.run()
    assert sent.fees is not None
    assert (sent.status, sent.refused, sent.outcome, other.status) == ("cancelled", name, None, "accepted")
    net.finalize()
    assert other.fees is not None
    assert (net.net.balance(ALICE), net.paid) == (SUPPLY - other.fees.spent, other.fees.spent)


def test_fees__off_when_its_turn_comes__comes_back_whole(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", fees=net.fees())
    net.chain.set_fees(None)
    net.finalize()
    assert sent.fees is not None
    assert (sent.status, net.paid, sent.fees.refunded) == ("finalized", 0, sent.fees.deposit)


def test_fees__sent_without_before_there_were_any__runs_for_nothing(net: FeeNet, notes: Address) -> None:
    net.chain.set_fees(None)
    sent = net.submit(notes, "note", "a", fees=None)
    net.chain.set_fees(POLICY)
    net.finalize()
    assert (sent.status, net.paid) == ("finalized", 0)


# --- interrupted, and paid with money in question ---


def test_interrupted__in_the_second_round__has_spent_nothing(
    net: FeeNet, notes: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    run = net.chain.machine.run

    def interrupted(*args: Any) -> Any:
        if runs:
            raise KeyboardInterrupt
        runs.append(args)
        return run(*args)

    monkeypatch.setattr(net.chain.machine, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.send(notes, "ask", fees=net.fees(distribution(rotations=(3,))))
    net.check()
    assert net.net.balance(ALICE) == SUPPLY
