"""What changes between service and settlement, several settlers, other meters, and what is told."""

import threading
from collections import Counter

import pytest

from api_billing.metering.ledger.batch_operations import AddToBatch
from api_billing.metering.ledger.operations import ReadBalance, Reserve
from api_billing.metering.ledger.settlement_operations import (
    Lease,
    ListOutgoing,
    ReadBook,
    RetryRefused,
    TakeLease,
    WriteOff,
)
from api_billing.metering.settlement.chain import chain_account
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.settlement.preview import preview
from api_billing.metering.settlement.proof import NotProvable, prove
from api_billing.metering.settlement.worker import Round
from api_billing.metering.stores.steps import run

from .world import API, DAY_MS, LEASE_MS, NOON_MS, Killed, address, drive


def test_round__without_usage__posts_nothing(world):
    assert world.round() == Round("done")
    assert world.chain.posted == []
    assert world.chain.reads == 0


def test_round__of_usage__bills_each_consumer_and_day_in_one_entry(world):
    first, second = world.consumer(1), world.consumer(2)
    for who in (first, second, first):
        world.serve(who, 10)
    ended = world.settle()
    (settlement,) = world.chain.settlements[API]
    assert (ended.status, settlement.sequence) == ("done", 1)
    assert [(entry.consumer, entry.calls, entry.spend_wei) for entry in settlement.entries] == [
        (first, 2, 20),
        (second, 1, 10),
    ]
    assert world.reconcile().is_zero


def test_round__of_more_than_256_consumers__posts_several_batches(world):
    for number in range(1, 300):
        world.serve(world.consumer(number), 1)
    assert world.settle().settled == 2
    assert [len(each.entries) for each in world.chain.settlements[API]] == [256, 43]
    assert world.reconcile().is_zero


def test_round__under_traffic__leaves_what_is_served_meanwhile_for_the_next(world):
    who = world.consumer(1)
    world.serve(who)
    settle, settler = world.chain.settle_usage, world.settler()

    def served_meanwhile(*values):
        world.at(world.now_ms + 5)
        world.serve(who)
        return settle(*values)

    world.chain.settle_usage = served_meanwhile
    assert world.round(settler) == Round("done", 1)
    assert world.round(settler) == Round("done", 1)
    assert len(world.chain.posted) == 2


def test_round__on_a_contract_with_earlier_settlements__goes_on_where_it_is(world):
    world.serve(world.consumer(1))
    world.settle()
    other = type(world)()
    other.chain = world.chain
    other.grant(address(1), 100)
    other.serve(address(1))
    assert other.settle().status == "done"
    assert other.call(ListOutgoing(API))[0].posting.chain_sequence == 2
    other.store.close()


def test_round__with_a_book_of_another_contract__is_rejected(world):
    world.serve(world.consumer(1))
    world.settle()
    world.chain.contract = "0x" + "dd" * 20
    world.serve(address(1))
    assert world.round().status == "rejected"
    assert len(world.chain.posted) == 1


# --- what changed meanwhile


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"active": False, "hold_wei": 0}, "not_subscribed"),
        ({"hold_wei": 0}, "insufficient_credit"),
        ({"accepted_price_wei": 4}, "spend_above_price"),
        ({"daily_calls": 1}, "daily_limit_exceeded"),
        ({"monthly_calls": 1}, "monthly_limit_exceeded"),
        ({"cap_wei": 15}, "daily_spend_exceeded"),
    ],
)
def test_settlement__terms_changed_after_service__refuses_the_rest_and_stops_the_consumer(world, change, code):
    who = world.consumer(1)
    world.serve(who)
    world.serve(who)
    for name, value in change.items():
        setattr(world.chain.subscriptions[API, who], name, value)
    world.settle()
    assert world.call(ListOutgoing(API))[0].posting.parts[0].code == code
    assert world.free_wei(who) == 0
    assert [alert.kind for alert in world.alerts] == ["settlement"]
    assert dict(world.alerts[0].details)["code"] == code


@pytest.mark.parametrize("change", [{"price_wei": 5000}, {"active": False}, {"expires_at": 5}, {"credit_wei": 0}])
def test_settlement__of_what_a_hold_covers__is_billed_whatever_changed(world, change):
    who = world.consumer(1, credit_wei=50)
    world.serve(who)
    for name, value in change.items():
        setattr(world.chain.subscriptions[API, who], name, value)
    world.settle()
    assert world.reconcile().is_zero
    assert world.alerts == []


def test_settlement__after_midnight__bills_on_the_day_of_service(world):
    who = world.consumer(1)
    world.at(NOON_MS // DAY_MS * DAY_MS + DAY_MS - 1)
    world.serve(who)
    world.at(world.now_ms + 2)
    world.settle()
    assert world.chain.subscriptions[API, who].spent == {NOON_MS // DAY_MS: 10}
    assert world.reconcile().is_zero


@pytest.mark.parametrize(("days", "compared"), [(1, [2]), (2, [1, 2]), (3, [0, 1, 2])])
def test_reconcile__of_some_days__compares_so_many_with_today(world, days, compared):
    who = world.consumer(1)
    for day in range(3):
        world.at(NOON_MS + day * DAY_MS)
        world.serve(who)
    lines = world.reconcile(days=days).lines
    assert [line.day - NOON_MS // DAY_MS for line in lines] == compared


def test_settlement__two_midnights_later__is_refused_as_closed(world):
    who = world.consumer(1)
    world.serve(who)
    world.at(NOON_MS + 2 * DAY_MS)
    world.settle()
    found = world.reconcile()
    assert not found.is_zero
    assert [why.reason for why in found.lines[0].why] == ["refused: day_closed (batch 1)"]


# --- refused parts


def refused(world, **terms):
    who = world.consumer(1, **terms)
    world.serve(who)
    world.serve(who)
    world.settle()
    return who


def test_retry__when_the_reason_is_gone__bills_the_rest(world):
    who = refused(world, cap_wei=15)
    world.chain.subscriptions[API, who].cap_wei = 100
    world.call(RetryRefused(API, 1, world.now_ms))
    world.settle()
    assert world.chain.settlements[API][1].usage_root == world.chain.settlements[API][0].usage_root
    assert world.reconcile().is_zero
    assert world.credit(who).refused_parts == 0


def test_retry__on_today_for_a_day_that_is_closed__bills_it_and_explains_both_days(world):
    world.serve(world.consumer(1))
    world.at(NOON_MS + 2 * DAY_MS)
    world.settle()
    world.call(RetryRefused(API, 1, world.now_ms, day=world.now_ms // DAY_MS))
    world.settle()
    found = world.reconcile()
    assert [line.unexplained_wei for line in found.lines] == [0, 0]
    assert [line.difference_wei for line in found.lines] == [10, -10]
    assert (found.is_zero, found.is_closed) == (False, True)
    assert world.billed_wei() == 10


def test_retry__killed_at_any_step__is_billed_once(world):
    at, steps = 0, 1
    while at < steps:
        made = type(world)()
        who = refused(made, cap_wei=15)
        made.chain.subscriptions[API, who].cap_wei = 100
        made.call(RetryRefused(API, 1, made.now_ms))
        try:
            _, steps = drive(made, made.settler("b").round(API), "killed after", at)
        except Killed:
            steps = max(steps, at + 2)
        made.at(made.now_ms + LEASE_MS)
        made.settle("c")
        assert made.billed_wei() == 20
        assert made.reconcile().is_zero
        made.store.close()
        at += 1


def test_write_off__makes_the_difference_explained_and_serves_again(world):
    who = refused(world, cap_wei=15)
    world.call(WriteOff(API, 1, world.now_ms))
    found = world.reconcile()
    assert [(why.reason, why.amount_wei) for why in found.lines[0].why] == [("written off (batch 1)", 10)]
    assert world.grant(who, 990).balance.free_wei == 990


def test_refused_part__is_told_once_by_all_settlers(world):
    refused(world, cap_wei=15)
    world.settle("b")
    world.settle("c")
    assert len(world.alerts) == 1
    assert chain_account(API, address(1)) in world.alerts[0].message


# --- several settlers


def test_two_settlers__at_once__one_works_and_one_is_busy(world):
    world.serve(world.consumer(1))
    world.call(TakeLease(f"settle/{API}", "other", world.now_ms, world.now_ms + 1))
    assert world.round().status == "busy"
    assert world.chain.posted == []


def test_settler__whose_lease_ended__is_followed_by_another(world):
    world.serve(world.consumer(1))
    world.call(TakeLease(f"settle/{API}", "dead", world.now_ms, world.now_ms + LEASE_MS))
    world.at(world.now_ms + LEASE_MS)
    assert world.round().status == "done"


def test_two_settlers__in_any_alternation__bill_once(world):
    for pattern in range(64):
        made = type(world)()
        for number in (1, 2, 3):
            made.serve(made.consumer(number))
        flows = [made.settler(name, lease_ms=0, max_records=1).round(API) for name in "ab"]
        alternate(made, flows, pattern)
        made.settle("c")
        assert made.billed_wei() == 30
        assert made.reconcile().is_zero
        assert len({sequence for _, sequence, _ in made.chain.posted}) == 3
        made.store.close()


def alternate(world, flows, pattern):
    """Steps of two flows in an order that the bits of a pattern say; both act on leases that end at once."""
    answers = [(None, None)] * 2
    open_flows = {0, 1}
    number = 0
    while open_flows:
        which = pattern >> number % 6 & 1
        number += 1
        which = which if which in open_flows else next(iter(open_flows))
        answer, error = answers[which]
        world.at(world.now_ms + 1)
        try:
            step = flows[which].send(answer) if error is None else flows[which].throw(error)
        except StopIteration:
            open_flows.discard(which)
            continue
        try:
            answers[which] = (step.call() if hasattr(step, "call") else world.call(step), None)
        except Exception as raised:
            answers[which] = (None, raised)


# --- other trouble


def test_sequence__settled_by_another_meter__stops_and_is_told(world):
    who = world.consumer(1)
    world.serve(who)
    world.settle()
    world.serve(who)
    other = type(world)()
    other.chain = world.chain
    other.grant(who, 100)
    other.serve(who, 3)
    other.settle()
    assert world.round().status == "foreign"
    assert [alert.kind for alert in world.alerts] == ["settlement"]
    assert world.billed_wei() == 13
    other.store.close()


def test_meter__not_allowed_on_the_contract__is_told_once_a_day_and_heals(world):
    world.serve(world.consumer(1))
    world.chain.authorized = False
    assert [world.round().status for _ in range(2)] == ["rejected", "rejected"]
    assert len(world.alerts) == 1
    world.chain.authorized = True
    assert world.round().status == "done"
    assert world.reconcile().is_zero


def test_chain_down__for_long__is_told_when_patience_is_over(world):
    world.serve(world.consumer(1))
    world.chain.faults = ["down", "down"]
    world.round(world.settler(patience_ms=10))
    assert world.alerts == []
    world.at(world.now_ms + 10)
    world.round(world.settler(patience_ms=10))
    assert [dict(alert.details)["status"] for alert in world.alerts] == ["unreachable"]


def test_account__of_nobody_on_chain__is_refused_without_holding_up_the_others(world):
    world.serve(world.consumer(1))
    world.serve("acme", 0, account="acme")
    assert world.settle().status == "done"
    book = world.call(ReadBook(API))
    assert len(book.open_parts) == 1
    assert world.billed_wei() == 10


def test_batch__of_nobody_on_chain__takes_no_sequence(world):
    world.serve("acme", 0, account="acme")
    world.settle()
    assert world.chain.posted == []
    world.serve(world.consumer(1))
    world.settle()
    assert [sequence for _, sequence, _ in world.chain.posted] == [1]


# --- cutting in steps


def cut_in_part(world, served=5):
    ids = [world.serve(world.consumer(number % 2 + 1)) for number in range(served)]
    assert run(Cutter(API, max_step=2).step(world.now_ms), world.call).batch is None
    return ids


def test_batch__ended_by_a_step_whose_answer_was_lost__is_posted_in_the_same_round(world):
    world.serve(world.consumer(1))
    settler, call = world.settler(), world.call

    def twice(operation):
        # As a store over a network does when the connection breaks before the answer.
        return call(operation) and call(operation) if isinstance(operation, AddToBatch) else call(operation)

    assert run(settler.round(API), twice) == Round("done", 1)
    assert world.billed_wei() == 10


def test_preview__of_a_batch_that_is_being_cut__tells_the_batches_that_are_posted(world):
    cut_in_part(world)
    told = run(preview(API, world.now_ms, max_records=4), world.call)
    world.settle(max_records=4, max_step=2)
    assert told.waiting == ()
    assert [(batch.sequence, batch.lines, batch.root) for batch in told.cut] == [
        (each.batch.sequence, each.batch.lines, each.batch.root) for each in world.call(ListOutgoing(API))
    ]


def test_reconcile__of_a_batch_that_is_being_cut__says_so(world):
    cut_in_part(world)
    found = world.reconcile()
    calls = Counter()
    for why in (why for line in found.lines for why in line.why):
        calls[why.reason] += why.calls
    assert calls == {"in a batch being cut": 2, "not in a batch yet": 3}
    assert sum(line.unexplained_wei for line in found.lines) == 0


def test_prove__of_a_request_in_a_batch_that_is_being_cut__is_not_yet_provable(world):
    ids = cut_in_part(world)
    with pytest.raises(NotProvable, match="still being cut"):
        run(prove(ids[0]), world.call)


# --- reconciliation


def test_reconcile__usage_that_is_not_cut__says_so(world):
    world.serve(world.consumer(1))
    found = world.reconcile()
    assert [tuple(why) for why in found.lines[0].why] == [("not in a batch yet", 1, 10)]
    assert found.lines[0].unexplained_wei == 0


def test_reconcile__answer_lost__says_that_the_outcome_is_not_known(world):
    world.serve(world.consumer(1))
    world.chain.faults = ["lost"]
    world.round()
    found = world.reconcile()
    assert not found.is_zero
    assert "outcome not known" in found.lines[0].why[0].reason


def test_reconcile__calls_with_receipts__are_told_apart(world):
    who = world.consumer(1, credit_wei=10_000)
    world.serve(who)
    world.chain.consume(API, who)
    world.chain.consume(API, who)
    world.settle()
    found = world.reconcile()
    assert (found.is_zero, found.lines[0].receipt_calls) == (True, 2)


def test_reconcile__billed_by_nobody_known__is_not_zero(world):
    who = world.consumer(1)
    world.serve(who)
    world.settle()
    subscription = world.chain.subscriptions[API, who]
    subscription.spent[NOON_MS // DAY_MS] += 5
    subscription.settled[NOON_MS // DAY_MS] += 1
    found = world.reconcile()
    assert not found.is_zero
    assert (found.lines[0].difference_wei, found.lines[0].unexplained_wei, found.lines[0].why) == (-5, -5, [])


def test_reconcile__settled_on_a_chain_that_lost_it__is_not_zero(world):
    who = world.consumer(1)
    world.serve(who)
    world.settle()
    subscription = world.chain.subscriptions[API, who]
    subscription.spent.clear()
    subscription.settled.clear()
    found = world.reconcile()
    assert [why.reason for why in found.lines[0].why] == ["billed by the outbox, but not on chain"]


def test_reserve__while_a_settlement_is_on_its_way__never_exceeds_the_hold(world):
    who = world.consumer(1, hold_wei=30)
    account = chain_account(API, who)
    world.serve(who)
    world.serve(who)
    world.settle()
    world.grant(who, world.chain.subscriptions[API, who].hold_wei)
    replies = [
        world.call(Reserve(f"{number:026d}", world.now_ms, world.now_ms + 9, account, API, who, 10))
        for number in range(2)
    ]
    assert [type(reply).__name__ for reply in replies] == ["Reserved", "Refused"]
    assert world.call(ReadBalance(account)).free_wei == 0


def test_lease__while_a_transaction_takes_longer_than_it_lasts__is_kept(world):
    world.serve(world.consumer(1))
    settle, seen = world.chain.settle_usage, []

    def slow(*values):
        for _ in range(3):  # as if it took longer and longer
            world.at(world.now_ms + 50)
            while lease(world).until_ms <= world.now_ms:
                threading.Event().wait(0.001)
            seen.append(world.round(world.settler("b")).status)
        return settle(*values)

    world.chain.settle_usage = slow
    assert world.round(world.settler("a", call=world.call, lease_ms=30)).status == "done"
    assert seen == ["busy"] * 3
    assert lease(world).holder == ""


def test_lease__of_a_settler_that_keeps_it_and_died__is_over_within_a_minute(world):
    world.serve(world.consumer(1))
    steps = world.settler("a", call=world.call, lease_ms=None).round(API)
    world.call(next(steps))
    steps.close()
    assert world.round(world.settler("b")).status == "busy"
    world.at(world.now_ms + 60_000)
    assert world.settle("b").status == "done"


def lease(world):
    """Who has it, by the store's own document."""
    return Lease(*(world.store._tables.document(f"lease/settle/{API}") or ("", 0)))
