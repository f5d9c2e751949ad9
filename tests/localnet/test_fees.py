"""Fees of consensus v0.6: what is refused, where the deposit is, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import Address, FeesRefused, InsufficientFunds, InvalidArgument
from genlayer_localnet.chain.fees import budget_floor, deposit_for
from genlayer_localnet.rpc.records import dump_transaction, load_transaction
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.state.fees import Bond, FeesDistribution, MessageAllocation

from .feenet import ALICE, BOB, POLICY, ROUND_UNITS, SUPPLY, FeeNet, distribution, external

NOTES = """
class Notes(gl.Contract):
    notes: DynArray[str]

    def __init__(self): pass

    @gl.public.write.payable
    def note(self, text: str) -> int:
        if text == "no":
            raise gl.vm.UserError("no")
        self.notes.append(text)
        return len(self.notes)
"""


@pytest.fixture
def free(source: Callable[[str], str]) -> FeeNet:
    """A network with a contract, which is at ``notes``, and without fees."""
    found = FeeNet(None)
    found.net.deploy(source(NOTES), sender=BOB, address=Address(b"\xc0" * 20))
    found.finalize()
    return found


@pytest.fixture
def net(free: FeeNet) -> FeeNet:
    free.chain.set_fees(POLICY)
    return free


@pytest.fixture
def notes() -> Address:
    return Address(b"\xc0" * 20)


def _refusal(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(FeesRefused) as refusal:
        function(*args, **kwargs)
    return refusal.value.name


# --- how much ---


def test_deposit_for__one_round__is_its_time_at_the_cap_and_its_run() -> None:
    wanted = FeesDistribution(100, 200, execution_budget_per_round=10, total_message_fees=3, max_price_per_time_unit=9)
    assert deposit_for(wanted, 5, POLICY) == (100 + 5 * 200) * 9 + 10 + 3


def test_deposit_for__rotations_and_no_cap__is_each_leader_at_the_present_price() -> None:
    wanted = FeesDistribution(100, 200, execution_budget_per_round=10, rotations=(3,))
    assert deposit_for(wanted, 5, POLICY) == 4 * (ROUND_UNITS * 7 + 10)


def test_deposit_for__appeal__adds_both_rounds_and_what_a_successful_one_gets() -> None:
    wanted = FeesDistribution(1, 10, 1, 1_000, rotations=(0, 2), max_price_per_time_unit=9)
    first, voted_again, run_again = 51 * 9, 71 * 9, 3 * 111 * 9
    rewards = run_again + run_again // 2
    assert deposit_for(wanted, 5, POLICY) == first + voted_again + run_again + rewards + 1_000 * (1 + 1 + 3)


def test_deposit_for__overlay__is_on_the_work_alone() -> None:
    wanted = FeesDistribution(100, 200, execution_budget_per_round=10)
    assert deposit_for(wanted, 5, replace(POLICY, time_unit_overlay_bps=2_000)) == 7_700 * 10 // 8 + 10


@pytest.mark.parametrize(
    ("changes", "validators", "name"),
    [
        ({"max_price_per_time_unit": 6}, 5, "MaxPriceExceeded"),
        ({"max_storage_gas_price": 4}, 5, "MaxPriceExceeded"),
        ({"max_receipt_gas_price": 2}, 5, "MaxPriceExceeded"),
        ({"rotations": (0, 0)}, 5, "InvalidAppealRounds"),
        ({"appeal_rounds": 1}, 5, "InvalidAppealRounds"),
        ({}, 6, "InvalidNumOfValidators"),
    ],
)
def test_deposit_for__what_cannot_be__is_refused(changes: dict[str, Any], validators: int, name: str) -> None:
    assert _refusal(deposit_for, distribution(**changes), validators, POLICY) == name


def test_deposit_for__prices_at_their_caps__are_taken() -> None:
    capped = distribution(max_price_per_time_unit=7, max_storage_gas_price=5, max_receipt_gas_price=3)
    assert deposit_for(capped, 5, POLICY) == deposit_for(distribution(), 5, POLICY)


@pytest.mark.parametrize("changes", [{"gen_per_time_unit": -1}, {"time_unit_overlay_bps": 10_000}])
def test_policy__out_of_bounds__is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument):
        replace(POLICY, **changes)


# --- what is refused ---


def test_submit__without_fees__is_refused_and_nothing_taken(net: FeeNet, notes: Address) -> None:
    assert _refusal(net.submit, notes, "note", "a", fees=None) == "FeeValueMustBeNonZero"
    assert (net.net.balance(ALICE), net.net.nonce(ALICE)) == (SUPPLY, 0)


def test_submit__deposit_of_zero__is_refused(net: FeeNet, notes: Address) -> None:
    assert _refusal(net.submit, notes, "note", "a", fees=net.fees(deposit=0)) == "FeeValueMustBeNonZero"


def test_submit__a_wei_too_little__is_refused(net: FeeNet, notes: Address) -> None:
    exact = net.fees()
    assert _refusal(net.submit, notes, "note", "a", fees=replace(exact, deposit=exact.deposit - 1)) == (
        "InsufficientFees"
    )
    assert net.submit(notes, "note", "a", fees=exact).status == "pending"


def test_submit__more_than_is_wanted__is_taken(net: FeeNet, notes: Address) -> None:
    exact = net.fees()
    assert net.submit(notes, "note", "a", fees=replace(exact, deposit=exact.deposit + 5)).status == "pending"


def test_submit__value_and_deposit_above_the_balance__is_refused(net: FeeNet, notes: Address) -> None:
    with pytest.raises(InsufficientFunds):
        net.submit(notes, "note", "a", value=SUPPLY, fees=net.fees())


def test_submit__budget_of_a_run_below_the_floor__is_refused(net: FeeNet, notes: Address) -> None:
    floor = budget_floor(POLICY)
    low, enough = (distribution(execution_budget_per_round=wei) for wei in (floor - 1, floor))
    assert _refusal(net.submit, notes, "note", "a", fees=net.fees(low)) == "RollupBudgetBelowFloor"
    assert net.submit(notes, "note", "a", fees=net.fees(enough)).status == "pending"


def test_submit__budget_of_a_run_used_up__is_refused(net: FeeNet, notes: Address) -> None:
    used = distribution(execution_consumed=distribution().execution_budget_per_round + 1)
    assert _refusal(net.submit, notes, "note", "a", fees=net.fees(used)) == "ExecutionBudgetExceeded"


def test_submit__messages_above_their_total__is_refused(net: FeeNet, notes: Address) -> None:
    fees = net.fees(distribution(total_message_fees=9), allocations=(external(budget=10),))
    assert _refusal(net.submit, notes, "note", "a", fees=fees) == "InsufficientFees"


def test_submit__transfer__needs_no_fees(net: FeeNet) -> None:
    assert net.net.transfer(BOB, 5, sender=ALICE).status == "finalized"


# --- allocations that cannot be read ---


@pytest.mark.parametrize(
    "tree",
    [
        (external(parent=0),),
        (external(parent=1), external()),
        (external(), external(parent=0)),
        (external(parent=-1),),
        (external(fee_params=b""),),
        (external(is_internal=True),),
    ],
)
def test_submit__allocations_that_are_no_tree__are_refused(
    net: FeeNet, notes: Address, tree: tuple[MessageAllocation, ...]
) -> None:
    fees = net.fees(distribution(total_message_fees=1_000), allocations=tree)
    assert _refusal(net.submit, notes, "note", "a", fees=fees) == "InvalidMessageAllocation"


def test_submit__more_allocations_than_1024__are_refused(net: FeeNet, notes: Address) -> None:
    many, too_many = ((external(budget=0),) * count for count in (1_024, 1_025))
    assert _refusal(net.submit, notes, "note", "a", fees=net.fees(allocations=too_many)) == "TooManyMessageAllocations"
    assert net.submit(notes, "note", "a", fees=net.fees(allocations=many)).status == "pending"


# --- where the deposit is ---


def test_deposit__until_it_is_final__is_with_the_transaction(net: FeeNet, notes: Address) -> None:
    sent = net.send(notes, "note", "a", value=5, fees=net.fees())
    assert sent.fees is not None
    assert (net.net.balance(ALICE), net.net.balance(notes)) == (SUPPLY - 5 - sent.fees.deposit, 5)
    assert net.net.undelivered_value() == sent.fees.deposit


def test_deposit__fees_off__comes_back_whole(free: FeeNet, notes: Address) -> None:
    sent = free.send(notes, "note", "a", value=5, fees=free.fees(deposit=1_000))
    assert free.net.undelivered_value() == 1_000
    free.finalize()
    assert sent.fees is not None
    assert (free.net.balance(ALICE), free.paid, sent.fees.refunded) == (SUPPLY - 5, 0, 1_000)


def test_deposit__cancelled_before_it_runs__comes_back_whole(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", value=5, fees=net.fees())
    net.chain.cancel(sent)
    net.check()
    assert (net.net.balance(ALICE), net.paid) == (SUPPLY, 0)


def test_deposit__replaced__comes_back_for_the_new_one(net: FeeNet, notes: Address) -> None:
    fees = net.fees()
    first = net.submit(notes, "note", "a", fees=fees, value=SUPPLY - fees.deposit)
    second = replace(first, id="0x2", journal=[], fees=net.fees())
    net.chain.submit(second, first)
    net.check()
    assert (first.status, second.status, net.net.balance(ALICE)) == ("cancelled", "pending", 0)


def test_deposit__call_interrupted__is_back(net: FeeNet, notes: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(net.chain.machine, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.send(notes, "note", "a", value=5, fees=net.fees())
    net.check()
    assert net.net.balance(ALICE) == SUPPLY


def test_deposit__snapshot__is_restored_with_it(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", value=5, fees=net.fees())
    before = net.net.snapshot()
    assert sent.fees is not None
    deposit, sent.fees.deposit = sent.fees.deposit, 0
    net.net.restore(before)
    net.check()
    assert net.net.undelivered_value() == deposit + 5


def test_deposit__state_file__has_all_of_it(net: FeeNet, notes: Address, tmp_path: Path) -> None:
    tree = (external(budget=300), external(budget=300))
    fees = net.fees(distribution(total_message_fees=600, max_price_per_time_unit=8), allocations=tree)
    sent = net.send(notes, "note", "a", value=5, fees=fees)
    assert sent.fees is not None
    sent.fees.top_ups, sent.fees.bonds = ((BOB.as_bytes, 5),), (Bond(BOB.as_bytes, 7, won=True), Bond(b"a" * 20, 8))
    sent.fees.given_back, sent.valid_until, sent.refused = 3, 7, "Expired"
    world = net.chain.world
    for save in (True, False):
        with closing(StateFile(tmp_path / "state")) as file:
            if save:
                file.save(world, net.changes, None)
            else:
                loaded = file.load(world.now)
    assert loaded.transactions[sent.id].fees == sent.fees
    assert (loaded.transactions[sent.id].valid_until, loaded.transactions[sent.id].refused) == (7, "Expired")
    assert loaded.transactions[sent.id].decisions == sent.decisions == 1
    assert loaded.fees_held(loaded.transactions[sent.id]) == world.fees_held(sent) == sent.fees.deposit + 15


def test_load__transaction_of_before_there_were_fees__has_none(net: FeeNet, notes: Address) -> None:
    record = json.loads(dump_transaction(net.submit(notes, "note", "a", fees=net.fees()), str))
    del record["fees"], record["decisions"], record["valid_until"], record["refused"]
    loaded = load_transaction(json.dumps(record), "pending", str.encode)
    assert (loaded.fees, loaded.decisions, loaded.valid_until, loaded.refused) == (None, 0, 0, "")


def test_load__refusal_that_was_kept_with_the_fees__is_read(net: FeeNet, notes: Address) -> None:
    sent = net.submit(notes, "note", "a", fees=net.fees())
    record = json.loads(dump_transaction(sent, str))
    del record["refused"]
    record["fees"]["refused"] = "MaxPriceExceeded"
    loaded = load_transaction(json.dumps(record), "cancelled", str.encode)
    assert (loaded.fees, loaded.refused) == (sent.fees, "MaxPriceExceeded")
