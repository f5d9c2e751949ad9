"""A proof holds against the chain alone, and no change of it does."""

from dataclasses import replace

import pytest

from api_billing.metering.ledger.operations import GetRecord, ListRecords, Prune
from api_billing.metering.ledger.usage_line import UsageLine
from api_billing.metering.settlement.proof import NotProvable, prove, prove_line, verify
from api_billing.metering.stores.steps import run

from .world import API, DAY_MS, address


@pytest.fixture
def settled(world):
    """Five requests of two consumers, settled; and the id of the third."""
    ids = [world.serve(world.consumer(1) if number == 0 else address(1)) for number in range(3)]
    other = world.consumer(2)
    world.serve(other)
    world.serve(other)
    world.settle()
    return world, ids[2]


def proof_of(world, record_id):
    return run(prove(record_id), world.call)


def test_proof__of_every_line_of_a_settlement__is_proven_and_billed(settled):
    world, _ = settled
    ids = [record.record_id for record in world.call(ListRecords())]
    verdicts = [verify(proof_of(world, record_id), world.chain) for record_id in ids]
    assert [(verdict.status, verdict.billed) for verdict in verdicts] == [("proven", True)] * 5


@pytest.mark.parametrize(
    "change",
    [
        {"line": ["x" * 26, API, f"{API}/{address(1)}", address(1), 5, 1, "10"]},
        {"index": 0},
        {"leaf_count": 4},
        {"path": []},
        {"path": ["00" * 32] * 3},
        {"path": ["zz"]},
        {"path": [5]},
        {"sequence": 2},
        {"sequence": 0},
        {"contract": "0x" + "dd" * 20},
        {"api": "maps"},
        {"version": 2},
        {"line": []},
        {"line": "text"},
        {"index": True},
        {"leaf_count": 0},
    ],
)
def test_proof__changed__is_false(settled, change):
    world, record_id = settled
    assert verify({**proof_of(world, record_id), **change}, world.chain).status == "false"


def test_proof__with_another_amount__is_false(settled):
    world, record_id = settled
    proof = proof_of(world, record_id)
    proof["line"][-1] = "11"
    assert verify(proof, world.chain).status == "false"


def test_proof__that_is_no_proof__is_false(settled):
    world, _ = settled
    assert verify({}, world.chain).status == "false"


def test_proof__made_before_its_line_was_pruned__still_holds(settled):
    world, record_id = settled
    proof = proof_of(world, record_id)
    world.call(Prune(world.now_ms + 400 * DAY_MS))
    assert world.call(GetRecord(record_id)) is None
    assert verify(proof, world.chain).status == "proven"


def test_proof__of_a_pruned_line_that_somebody_kept__is_made_from_its_leaf(settled):
    world, record_id = settled
    kept = proof_of(world, record_id)
    world.call(Prune(world.now_ms + 400 * DAY_MS))
    with pytest.raises(NotProvable, match="retention"):
        proof_of(world, record_id)
    line = UsageLine(*kept["line"][:-1], charged_wei=10)
    assert run(prove_line(line, 1), world.call) == kept


def test_proof__of_a_line_that_was_never_in_it__is_not_made(settled):
    world, record_id = settled
    line = UsageLine(*proof_of(world, record_id)["line"][:-1], charged_wei=11)
    with pytest.raises(NotProvable, match="not in batch"):
        run(prove_line(line, 1), world.call)


def test_proof__before_it_is_settled__is_not_made(world):
    record_id = world.serve(world.consumer(1))
    with pytest.raises(NotProvable, match="settle first"):
        proof_of(world, record_id)
    world.chain.faults = ["down"]
    world.round()
    with pytest.raises(NotProvable, match="settle first"):
        proof_of(world, record_id)


def test_proof__of_no_record__is_not_made(world):
    with pytest.raises(NotProvable, match="no record"):
        proof_of(world, "0" * 26)


def test_proof__of_a_settlement_that_the_contract_forgot__says_so(settled):
    world, record_id = settled
    proof = proof_of(world, record_id)
    kept = world.chain.settlements[API]
    kept += [replace(kept[0], sequence=number) for number in range(2, 67)]
    assert verify(proof, world.chain).status == "forgotten"
    assert verify({**proof, "path": []}, world.chain).status == "false"


def test_proof__of_a_refused_line__is_proven_but_not_billed(world):
    who = world.consumer(1, cap_wei=5)
    record_id = world.serve(who)
    world.settle()
    verdict = verify(proof_of(world, record_id), world.chain)
    assert (verdict.status, verdict.billed) == ("proven", False)
    assert "daily_spend_exceeded" in verdict.reason


def test_proof__whose_settlement_has_no_entry_of_its_consumer__is_false(settled):
    world, record_id = settled
    proof = proof_of(world, record_id)
    kept = world.chain.settlements[API]
    others = tuple(entry for entry in kept[0].entries if entry.consumer != address(1))
    kept[0] = replace(kept[0], entries=others)
    assert verify(proof, world.chain).status == "false"
