"""A settler that stops dead, or is let down, at every single step: afterwards all is billed, and nothing twice."""

from __future__ import annotations

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook, WriteOff

from .world import API, DAY_MS, FAULTS, LEASE_MS, Killed, World, drive


def one_batch(world):
    for number in (1, 2, 3):
        who = world.consumer(number)
        for _ in range(number):
            world.serve(who, 7)


def several_batches(world):
    first, second = world.consumer(1), world.consumer(2)
    for _ in range(3):
        world.serve(first)
        world.serve(second, 3)


def refused_part(world):
    one_batch(world)
    world.serve(world.consumer(4, cap_wei=15), 10)
    world.serve("0x" + f"{4:040x}", 10)


def over_midnight(world):
    who = world.consumer(1)
    midnight = world.now_ms // DAY_MS * DAY_MS
    world.at(midnight - 1)
    world.serve(who)
    world.at(midnight + 1)
    world.serve(who, 20)


def nobody_on_chain(world):
    one_batch(world)
    world.serve("acme", 0, account="acme")


SCENARIOS = {
    "one batch": (one_batch, 10_000),
    "several batches": (several_batches, 2),
    "cut in steps": (several_batches, 4),
    "refused part": (refused_part, 10_000),
    "over midnight": (over_midnight, 10_000),
    "nobody on chain": (nobody_on_chain, 10_000),
}


def check(world):
    """Billed is what was used, once; every sequence had one root; with open parts resolved, nothing is unexplained."""
    assert world.settle("check").status == "done"
    outgoing = world.call(ListOutgoing(API))
    sent = {(sequence, root) for _, sequence, root in world.chain.posted}
    assert len({sequence for sequence, _ in sent}) == len(sent) == len(world.chain.settlements[API])
    assert all(each.posting.state in ("settled", "refused") for each in outgoing)
    for sequence in {sequence for sequence, _ in world.call(ReadBook(API)).open_parts}:
        world.call(WriteOff(API, sequence, world.now_ms))
    found = world.reconcile()
    assert sum(line.unexplained_wei for line in found.lines) == 0
    assert {why.reason.split(" (")[0] for line in found.lines for why in line.why} <= {"written off"}
    assert sum(line.difference_calls for line in found.lines) == sum(
        why.calls for line in found.lines for why in line.why
    )
    for who in {line.consumer for line in found.lines if line.consumer.startswith("0x")}:
        assert world.credit(who)[2:4] == (0, 0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_settler__let_down_at_any_step__bills_everything_once(scenario, fault, record_property):
    prepare, max_records = SCENARIOS[scenario]
    at, rounds = 0, 1
    while at < rounds:
        world = World()
        prepare(world)
        steps = world.settler("first", max_records=max_records, max_step=2).round(API)
        try:
            _, rounds = drive(world, steps, fault, at)
        except (Killed, StoreUnavailable):
            rounds = max(rounds, at + 2)
        world.at(world.now_ms + LEASE_MS)
        check(world)
        at += 1
    record_property("settlement faults", [f"{scenario}, {fault}: {at} rounds"])
    assert at > 8


@pytest.mark.parametrize("fault", ["down", "lost", "late", "twice", "error", "cancelled", "failed"])
@pytest.mark.parametrize("scenario", ["one batch", "several batches", "refused part"])
def test_settler__node_fails__bills_everything_once(scenario, fault):
    prepare, max_records = SCENARIOS[scenario]
    for at in range(3):
        world = World()
        prepare(world)
        world.chain.faults = [None] * at + [fault]
        world.settle("first", max_records=max_records)
        world.chain.land()
        check(world)


def test_settler__late_transaction_lands_after_it_was_sent_again__is_billed_once(world):
    one_batch(world)
    world.chain.faults = ["late"]
    assert world.round().status == "unknown"
    assert world.round().status == "done"
    world.chain.land()
    check(world)
    assert [sequence for _, sequence, _ in world.chain.posted] == [1, 1]


def test_settler__network_cancels_the_transaction__is_as_if_it_had_not_been_taken(world):
    one_batch(world)
    world.chain.faults = ["cancelled"]
    assert world.round().status == "unreachable"
    (outgoing,) = world.call(ListOutgoing(API))
    assert (outgoing.posting.state, outgoing.posting.note.endswith("came back")) == ("posted", True)
    assert world.billed_wei() == 0
    check(world)


def test_settler__answer_was_lost__records_what_the_contract_has_without_sending_again(world):
    one_batch(world)
    world.chain.faults = ["lost"]
    assert world.round().status == "unknown"
    (outgoing,) = world.call(ListOutgoing(API))
    assert (outgoing.posting.state, len(outgoing.posting.txs)) == ("unknown", 1)
    assert world.round().status == "done"
    assert len(world.chain.posted) == 1
    assert world.reconcile().is_zero


def test_settler__node_does_not_answer_reads__sends_nothing_while_the_outcome_is_unknown(world):
    one_batch(world)
    world.chain.faults = ["lost"]
    world.round()
    world.chain.readable = False
    assert world.round().status == "unreachable"
    assert len(world.chain.posted) == 1
