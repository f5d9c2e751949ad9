"""An appeal undoes what was recorded as settled: it is posted again under the same sequence, and billed once."""

import pytest

from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook, RetryRefused, WriteOff
from api_billing.metering.settlement.foreign import NotForeign, renumber
from api_billing.metering.settlement.undone import find_undone
from api_billing.metering.stores.steps import run

from .world import API, FAULTS, LEASE_MS, Killed, World, address, drive


def settled(world, batches=3):
    """Batches of two consumers' requests that have ended."""
    for number in (1, 2):
        world.consumer(number)
    for _ in range(batches):
        for number in (1, 2):
            world.serve(address(number))
        assert world.settle().status == "done"
        world.at(world.now_ms + 1)


def postings(world):
    return [each.posting for each in world.call(ListOutgoing(API))]


def is_settled_once(world, billed_wei):
    assert world.settle("z").status == "done"
    assert world.billed_wei() == billed_wei
    assert world.reconcile().is_zero
    assert [world.credit(address(number))[2:4] for number in (1, 2)] == [(0, 0), (0, 0)]


def test_undone__last_settlement__is_posted_again_under_the_same_sequence_and_told(world):
    settled(world)
    world.chain.undo(API)
    assert world.billed_wei() == 40
    assert world.round().settled == 1
    assert [sequence for _, sequence, _ in world.chain.posted] == [1, 2, 3, 3]
    assert [dict(alert.details)["status"] for alert in world.alerts] == ["undone"]
    is_settled_once(world, 60)


def test_undone__several_settlements__are_posted_again_oldest_first_before_new_usage(world):
    settled(world)
    world.serve(address(1))
    world.chain.undo(API, 2)
    world.round()
    assert [sequence for _, sequence, _ in world.chain.posted] == [1, 2, 3, 2, 3, 4]
    is_settled_once(world, 70)


def test_undone__twice__is_healed_and_told_twice(world):
    settled(world, 1)
    for _ in range(2):
        world.chain.undo(API)
        world.round()
        world.at(world.now_ms + 1)
    assert len(world.alerts) == 2
    is_settled_once(world, 20)


def test_undone__and_run_again_with_another_end__is_recorded_as_it_is_now_without_sending(world):
    settled(world)
    found = world.chain.subscriptions[API, address(1)]
    world.chain.run_again(API, lambda: setattr(found, "cap_wei", 20))
    world.round()
    assert len(world.chain.posted) == 3
    assert [part.code for part in postings(world)[2].parts] == ["daily_spend_exceeded", ""]
    assert world.credit(address(1)).refused_parts == 1
    assert sum(line.unexplained_wei for line in world.reconcile().lines) == 0


def test_undone__and_run_again_the_same_way__is_not_even_noticed(world):
    settled(world)
    world.chain.run_again(API, lambda: None)
    world.round()
    assert world.alerts == []
    assert all(posting.attempts == 1 for posting in postings(world))


def first_ends_otherwise(world):
    """Three settlements are run again, and only the first has another end."""
    settled(world)
    found = world.chain.subscriptions[API, address(1)]
    caps = iter([5, 10**6, 10**6])
    world.chain.run_again(API, *[lambda: setattr(found, "cap_wei", next(caps))] * 3)


def test_undone__earlier_settlement_has_another_end__is_found_when_all_are_looked_at(world):
    first_ends_otherwise(world)
    settler = world.settler(recheck_ms=1000)
    world.round(settler)
    assert (world.alerts, postings(world)[0].state) == ([], "settled")
    world.at(world.now_ms + 1000)
    reads = world.chain.reads
    world.round(settler)
    assert [posting.state for posting in postings(world)] == ["refused", "settled", "settled"]
    assert len(world.chain.posted) == 3
    assert sum(line.unexplained_wei for line in world.reconcile().lines) == 0
    # All of them are looked at once an hour, and not in each round.
    world.chain.reads, reads = 0, world.chain.reads - reads
    world.round(settler)
    assert world.chain.reads == 1 < reads


def test_undone__last_one_and_one_before_the_last__both_are_found(world):
    first_ends_otherwise(world)
    world.chain.undo(API)
    world.round()
    assert [posting.state for posting in postings(world)] == ["refused", "settled", "settled"]
    assert [posting.attempts for posting in postings(world)] == [1, 1, 2]


def test_undone__while_a_later_batch_is_on_its_way__both_are_billed_once(world):
    settled(world, 1)
    world.serve(address(1))
    world.chain.faults = ["late"]
    assert world.round().status == "unknown"
    world.chain.undo(API)
    world.round()
    world.chain.land()
    is_settled_once(world, 30)
    assert {sequence: root for _, sequence, root in world.chain.posted} == {
        each.posting.chain_sequence: each.batch.root for each in world.call(ListOutgoing(API))
    }


def test_undone__part_that_was_written_off__is_to_be_decided_again(world):
    settled(world, 1)
    world.chain.subscriptions[API, address(1)].cap_wei = 15
    world.serve(address(1))
    world.settle()
    world.call(WriteOff(API, 2, world.now_ms))
    world.chain.undo(API)
    world.settle()
    assert world.call(ReadBook(API)).open_parts == ((2, 0),)
    assert world.credit(address(1)).refused_parts == 1
    world.call(WriteOff(API, 2, world.now_ms))
    found = world.reconcile()
    assert [line.unexplained_wei for line in found.lines] == [0, 0]
    assert world.credit(address(1)).accounted_wei == 20


def test_undone__part_that_was_retried__is_told_and_nothing_is_billed_twice(world):
    settled(world, 1)
    world.chain.subscriptions[API, address(1)].cap_wei = 15
    world.serve(address(1))
    world.settle()
    world.chain.subscriptions[API, address(1)].cap_wei = 100
    world.call(RetryRefused(API, 2, world.now_ms))
    world.settle()
    world.chain.undo(API, 2)
    world.alerts.clear()
    assert [world.round().status for _ in range(2)] == ["done", "done"]
    assert world.billed_wei() == 20
    assert ["retried before it was final" in alert.message for alert in world.alerts] == [True]
    assert not world.reconcile().is_zero


def test_undone__batch_of_nobody_on_chain_in_between__ends_again(world):
    settled(world, 1)
    world.serve("acme", 0, account="acme")
    world.settle()
    world.serve(address(1))
    world.settle()
    world.chain.undo(API, 2)
    world.settle()
    assert [posting.chain_sequence for posting in postings(world)] == [1, 0, 2]
    assert world.call(ReadBook(API)).open_parts == ((2, 0),)
    assert world.billed_wei() == 30


def test_undone__more_than_the_contract_keeps__is_another_chain_and_left_alone(world):
    world.consumer(1, hold_wei=1000)
    for _ in range(66):
        world.serve(address(1), 1)
        world.settle()
    world.chain.undo(API, 66)
    assert world.round().status == "done"
    assert "another chain" in world.alerts[0].message
    assert world.call(ReadBook(API)).ended == 66


def test_find_undone__chain_cannot_be_read__says_nothing(world):
    settled(world)
    world.chain.undo(API)
    world.chain.readable = False
    assert run(find_undone(world.chain, API), world.call) == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_undone__let_down_at_any_step__is_billed_once(fault, record_property):
    at, rounds = 0, 1
    while at < rounds:
        world = World()
        settled(world)
        world.serve(address(2))
        world.chain.undo(API, 2)
        try:
            _, rounds = drive(world, world.settler("first", max_records=1).round(API), fault, at)
        except (Killed, StoreUnavailable):
            rounds = max(rounds, at + 2)
        world.at(world.now_ms + LEASE_MS)
        is_settled_once(world, 70)
        world.store.close()
        at += 1
    record_property("settlement faults", [f"undone, {fault}: {at} rounds"])
    assert at > 15


# --- credit while the chain lacks what is recorded


def test_undone__before_it_is_noticed__a_refresh_grants_no_more_than_before(world):
    who = world.consumer(1, hold_wei=100)
    world.serve(who, 30)
    world.settle()
    world.refresh(who)
    assert world.free_wei(who) == 70
    world.chain.undo(API)
    assert world.chain.subscriptions[API, who].hold_wei == 100
    world.refresh(who)
    assert world.free_wei(who) == 70
    world.settle()
    world.refresh(who)
    assert world.free_wei(who) == 70


def test_undone__hold_released_meanwhile__a_refresh_takes_back_what_is_gone(world):
    who = world.consumer(1, hold_wei=100)
    world.serve(who, 30)
    world.settle()
    world.chain.undo(API)
    world.chain.subscriptions[API, who].hold_wei = 0
    world.refresh(who)
    assert world.free_wei(who) == 0


# --- waiting until it is final


def test_finalized__answer_lost__is_recorded_when_the_transaction_is_final(world):
    settler = world.settler("a", on="finalized")
    world.serve(world.consumer(1))
    world.chain.faults = ["lost"]
    assert world.round(settler).status == "unknown"
    assert world.round(settler).message.endswith("is accepted, not final yet")
    assert postings(world)[0].state == "unknown"
    world.chain.final_txs.update(postings(world)[0].txs)
    assert world.round(settler).status == "done"
    assert (len(world.chain.posted), world.reconcile().is_zero) == (1, True)


def test_finalized__killed_after_sending__is_sent_again_and_billed_once(world):
    world.serve(world.consumer(1))
    steps, at = 1, 0
    while at < steps:
        made = World()
        made.serve(made.consumer(1))
        try:
            _, steps = drive(made, made.settler("a", on="finalized").round(API), "killed after", at)
        except Killed:
            steps = max(steps, at + 2)
        made.at(made.now_ms + LEASE_MS)
        made.chain.final_txs.update(f"0x{number:064x}" for number in range(9))
        made.settle("b", on="finalized")
        assert (made.billed_wei(), made.reconcile().is_zero) == (10, True)
        made.store.close()
        at += 1


# --- a sequence that somebody else has used


def foreign(world):
    """A batch is on its way under a sequence that somebody settled by hand."""
    settled(world, 1)
    by_hand = World()
    by_hand.chain = world.chain
    by_hand.grant(address(1), 100)
    by_hand.serve(address(1), 3)
    by_hand.settle()
    by_hand.store.close()
    world.serve(address(1))
    assert world.round().status == "foreign"


def test_sequence__used_by_hand__is_told_and_nothing_is_lost(world):
    foreign(world)
    assert [dict(alert.details)["status"] for alert in world.alerts] == ["foreign"]
    found = world.reconcile()
    assert [why.reason for line in found.lines for why in line.why if "batch 2" in why.reason] == [
        "sent, outcome not known (batch 2)"
    ]


def test_renumber__of_a_batch_whose_sequence_is_foreign__posts_it_under_the_next(world):
    foreign(world)
    assert run(renumber(world.chain, API), world.call).state == "built"
    assert world.credit(address(1)).in_flight_wei == 0
    assert world.settle().status == "done"
    assert [posting.chain_sequence for posting in postings(world)] == [1, 3]
    assert world.billed_wei() == 33


def test_renumber__of_a_batch_that_is_or_may_get_there__is_refused(world):
    settled(world, 1)
    with pytest.raises(NotForeign, match="on its way"):
        run(renumber(world.chain, API), world.call)
    world.serve(address(1))
    world.chain.faults = ["late"]
    world.round()
    with pytest.raises(NotForeign, match="cannot be told"):
        run(renumber(world.chain, API), world.call)
    world.chain.land()
    with pytest.raises(NotForeign, match="is batch 2"):
        run(renumber(world.chain, API), world.call)
    is_settled_once(world, 30)
