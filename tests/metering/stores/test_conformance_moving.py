"""What every store counts in windows that slide and in buckets."""

from dataclasses import replace

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import (
    Prune,
    ReadCounts,
    Refused,
    Reserved,
    ReserveMore,
    ResetCounts,
    Settle,
    Sweep,
)
from api_billing.metering.limits.windows import WindowCheck
from api_billing.metering.stores import open_store

MINUTE_MS = 60_000
KINDS = pytest.mark.parametrize("counting", ["sliding", "bucket"])


def moving(counting, limit, unit="calls", *, rate=60, **changes):
    return WindowCheck(f"acme/{counting}/{unit}", 0, MINUTE_MS, unit, limit, counting=counting, rate=rate, **changes)


@pytest.fixture
def granted(desk):
    desk.grant(10_000)
    return desk


def used(desk, check, later_ms=0):
    (count,) = desk.call(ReadCounts((check,), desk.now_ms + later_ms))
    return count


def ask(desk, check, later_ms=0, estimate_wei=10):
    """Whether one more is admitted, so much later."""
    return isinstance(desk.reserve(estimate_wei, check, now_ms=desk.now_ms + later_ms)[1], Reserved)


def test_sliding__as_the_oldest_leave__admits_exactly_so_many_more(granted):
    check = moving("sliding", 5)
    assert [ask(granted, check, later_ms) for later_ms in (0, 0, 10, 20, 20, 20)] == [True] * 5 + [False]
    assert not ask(granted, check, MINUTE_MS - 1)
    assert [ask(granted, check, MINUTE_MS) for _ in range(3)] == [True, True, False]
    assert [ask(granted, check, MINUTE_MS + 10) for _ in range(2)] == [True, False]
    assert used(granted, check, MINUTE_MS + 10) == 5
    assert [used(granted, check, 2 * MINUTE_MS + later_ms) for later_ms in (-1, 0, 10)] == [3, 1, 0]


def test_bucket__as_it_flows_out__admits_exactly_so_many_more(granted):
    check = moving("bucket", 5, rate=60)  # one a second
    assert [ask(granted, check) for _ in range(6)] == [True] * 5 + [False]
    assert [ask(granted, check, later_ms) for later_ms in (999, 1000, 1999, 2000)] == [False, True, False, True]
    assert [used(granted, check, later_ms) for later_ms in (2000, 2001, 3000, 6999, 7000)] == [5, 5, 4, 1, 0]


@KINDS
def test_reserve__refused__says_when_there_is_room_again(granted, counting, calls):
    check = moving(counting, 5, weight=2)
    for later_ms in (0, 100):
        granted.reserve(10, check, calls(9), now_ms=granted.now_ms + later_ms)
    refused = granted.reserve(10, check, calls(9), now_ms=granted.now_ms + 200)[1]
    frees_ms = granted.now_ms + (MINUTE_MS if counting == "sliding" else 1000)
    assert (refused.violated, refused.counts, refused.frees) == ((0,), (4, 2), (frees_ms, 0))
    assert not ask(granted, check, frees_ms - granted.now_ms - 1)
    assert ask(granted, check, frees_ms - granted.now_ms)


@KINDS
def test_reserve__limit_that_was_changed__holds_at_once(granted, counting):
    assert [ask(granted, moving(counting, limit)) for limit in (2, 2, 2, 3, 1)] == [True, True, False, True, False]


def test_reserve__all_windows_or_none__counts_in_none_when_one_is_full(granted, calls):
    checks = (moving("sliding", 5), moving("bucket", 5), calls(1))
    granted.reserve(10, *checks)
    assert granted.reserve(10, *checks)[1].violated == (2,)
    assert [used(granted, check) for check in checks] == [1, 1, 1]


@KINDS
@pytest.mark.parametrize("end", ["release", "expire", "uncounted"])
def test_request__given_back__counts_no_more_at_its_instant(shared_url, desk_of, counting, end):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        check = moving(counting, 9, weight=2)
        desk.reserve(10, check)
        reservation_id, _ = desk.reserve(10, check._replace(weight=4), now_ms=desk.now_ms + 5, expires_ms=desk.now_ms)
        desk.reserve(10, check, now_ms=desk.now_ms + 10)
        ends = desk_of(other, now_ms=desk.now_ms + 20)
        if end == "release":
            ends.release(reservation_id)
        elif end == "expire":
            assert ends.call(Sweep(ends.now_ms)) == 1
        else:
            ends.settle(reservation_id, 10, uncounted=(0,))
        assert used(ends, check) == 4
        if counting == "sliding":
            assert [used(desk, check, MINUTE_MS + later_ms) for later_ms in (-1, 0, 9, 10)] == [4, 2, 2, 0]


@KINDS
def test_late_settle__of_an_expired_one__counts_again_at_its_instant(granted, counting):
    check = moving(counting, 9)
    reservation_id, _ = granted.reserve(10, check, expires_ms=granted.now_ms)
    granted.reserve(10, check, now_ms=granted.now_ms + 10)
    granted.call(Sweep(granted.now_ms + 10))
    assert used(granted, check, 10) == 1
    reply = granted.settle(reservation_id, 10, now_ms=granted.now_ms + 20)
    assert (reply.late, reply.counts) == (True, ((check.counter, 2),))
    assert [used(granted, check, later_ms) for later_ms in (20, 2 * MINUTE_MS)] == [2, 0]


@KINDS
@pytest.mark.parametrize("actual_wei", [0, 7, 25])
def test_settle__for_another_amount__counts_that_at_its_instant(granted, counting, actual_wei):
    check = moving(counting, 100, "wei")
    granted.reserve(10, check)
    reservation_id, _ = granted.reserve(10, check, now_ms=granted.now_ms + 5)
    reply = granted.settle(reservation_id, actual_wei, now_ms=granted.now_ms + 5)
    assert reply.counts == ((check.counter, 10 + actual_wei),)
    if counting == "sliding":
        assert [used(granted, check, MINUTE_MS + later_ms) for later_ms in (0, 4, 5)] == [actual_wei] * 2 + [0]


@KINDS
def test_reserve_more__within_the_limit__counts_it_now(granted, counting):
    check = moving(counting, 30, "wei", rate=1)
    made = granted.reserve_op(10, check)
    granted.call(made)
    later_ms = granted.now_ms + 100
    assert granted.call(ReserveMore.of(made, 31, later_ms)).violated == (0,)
    assert granted.call(ReserveMore.of(made, 30, later_ms)).counts == (30,)
    granted.settle(made.reservation_id, 25, now_ms=later_ms)
    assert used(granted, check, 100) == 25
    if counting == "sliding":
        assert [used(granted, check, MINUTE_MS + later_ms) for later_ms in (-1, 0, 100)] == [25, 20, 0]


@KINDS
@pytest.mark.parametrize(("actual_wei", "counted_wei"), [(None, 0), (0, 0), (4, 4), (25, 20), (33, 23)])
def test_end__of_one_extended_after_it_had_left__gives_back_what_was_counted_then(
    shared_url, desk_of, counting, actual_wei, counted_wei
):
    check = moving(counting, 30, "wei", rate=60)
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        made = desk.reserve_op(10, check)
        desk.call(made)
        later_ms = desk.now_ms + 2 * MINUTE_MS
        for number, estimate_wei in enumerate((15, 30)):
            assert isinstance(desk.call(ReserveMore.of(made, estimate_wei, later_ms + number)), Reserved)
        assert used(desk, check, later_ms + 1 - desk.now_ms) == 20
        ends = desk_of(other, now_ms=later_ms + 1)
        if actual_wei is None:
            ends.release(made.reservation_id)
        else:
            ends.settle(made.reservation_id, actual_wei)
        assert used(ends, check) == counted_wei
        desk.reserve(30 - counted_wei, check, now_ms=later_ms + 1)
        assert used(ends, check) == 30


@KINDS
def test_release__of_one_whose_extension_has_left__takes_nothing_from_others(granted, counting):
    check = moving(counting, 30, "wei", rate=60)
    made = granted.reserve_op(10, check)
    granted.call(made)
    granted.call(ReserveMore.of(made, 20, granted.now_ms + MINUTE_MS))
    granted.call(ReserveMore.of(made, 25, granted.now_ms + 3 * MINUTE_MS))
    granted.reserve(20, check, now_ms=granted.now_ms + 3 * MINUTE_MS)
    assert used(granted, check, 3 * MINUTE_MS) == 25
    granted.release(made.reservation_id, now_ms=granted.now_ms + 3 * MINUTE_MS)
    assert used(granted, check, 3 * MINUTE_MS) == 20


@KINDS
def test_release__of_what_has_left_already__takes_nothing_from_others(granted, counting):
    check = moving(counting, 1)
    reservation_id, _ = granted.reserve(10, check)
    assert ask(granted, check, MINUTE_MS)
    granted.release(reservation_id, now_ms=granted.now_ms)  # as who asked for it says
    assert not ask(granted, check, MINUTE_MS)


@KINDS
def test_prune__of_a_count_that_forgets__leaves_it_until_it_has_forgotten_all(granted, counting):
    check = moving(counting, 9)
    ask(granted, check)
    assert ask(granted, check, 5 * DAY_MS)
    assert granted.call(Prune(granted.now_ms + 5 * DAY_MS)).counts == 0
    assert used(granted, check, 5 * DAY_MS) == 1
    assert granted.call(Prune(granted.now_ms + 8 * DAY_MS)).counts == 1
    assert ask(granted, check, 8 * DAY_MS)


@KINDS
def test_settle__after_its_count_was_pruned__counts_it_where_it_still_counts(granted, counting):
    check = moving(counting, 9)
    made = granted.reserve_op(10, check)
    granted.call(made)
    granted.call(Prune(granted.now_ms + 8 * DAY_MS))
    granted.call(Settle(made.reservation_id, made.account, granted.now_ms + 8 * DAY_MS, 10))
    granted.call(replace(made, reservation_id=granted.new_id(), now_ms=granted.now_ms + 8 * DAY_MS))
    assert used(granted, check, 8 * DAY_MS) == 1


@KINDS
def test_reset_counts__of_one_that_forgets__lets_nothing_be_counted(shared_url, desk_of, counting):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        check = moving(counting, 2)
        assert [ask(desk, check) for _ in range(3)] == [True, True, False]
        assert desk_of(other).call(ResetCounts((check,), desk.now_ms)) == (2,)
        assert [ask(desk, check, 1) for _ in range(3)] == [True, True, False]


@KINDS
def test_connections__of_several_stores__count_together(shared_url, desk_of, counting):
    check = moving(counting, 7)
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desks = [desk_of(store), desk_of(other)]
        desks[0].grant(10_000)
        desks[1].numbers = iter(range(100, 1000))
        answers = [ask(desks[number % 2], check, number) for number in range(9)]
        assert answers == [True] * 7 + [False] * 2
        assert [used(desk, check, 10) for desk in desks] == [7, 7]


def test_reserve__repeated__counts_once(granted):
    check = moving("sliding", 5)
    made = granted.reserve_op(10, check)
    assert granted.call(made).counts == granted.call(made).counts == (1,)
    assert isinstance(
        granted.call(replace(made, reservation_id=granted.new_id(), checks=(moving("sliding", 1),))), Refused
    )
