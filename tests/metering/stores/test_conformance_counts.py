"""What every store counts of a request: its weight, what is not counted after all, what is set to nothing."""

from dataclasses import replace

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.documents import windows_from_text, windows_to_text
from api_billing.metering.ledger.operations import Refused, Reserved, ResetCounts, Sweep
from api_billing.metering.stores import open_store


@pytest.fixture
def granted(desk):
    desk.grant(1000)
    return desk


# --- weight


def test_reserve__of_a_weight__counts_as_so_many_calls(granted, calls):
    assert granted.reserve(10, calls(5, weight=3))[1].counts == (3,)
    assert isinstance(granted.reserve(10, calls(5, weight=3))[1], Refused)
    assert granted.reserve(10, calls(5, weight=2))[1].counts == (5,)


def test_reserve__of_a_weight_in_a_limit_of_wei__counts_its_estimate(granted, wei):
    assert granted.reserve(10, wei(100, weight=3))[1].counts == (10,)


@pytest.mark.parametrize("end", ["release", "expire"])
def test_request_of_a_weight__given_back__gives_back_all_of_it(shared_url, desk_of, calls, end):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        desk.reserve(10, calls(9, weight=2))
        reservation_id, _ = desk.reserve(10, calls(9, weight=7), expires_ms=desk.now_ms + 1)
        # Another process knows of it what is stored.
        ends = desk_of(other, now_ms=desk.now_ms + 1)
        if end == "release":
            ends.release(reservation_id)
        else:
            ends.call(Sweep(ends.now_ms, limit=1))
        assert ends.counts(calls(9)) == (2,)


def test_late_settle__of_a_weight__counts_all_of_it_again(granted, calls):
    reservation_id, _ = granted.reserve(10, calls(9, weight=7), expires_ms=granted.now_ms)
    granted.call(Sweep(granted.now_ms))
    assert granted.counts(calls(9)) == (0,)
    assert granted.settle(reservation_id, 10).counts == ((calls(9).counter, 7),)


def test_windows__as_text__keep_what_giving_back_needs(calls, wei):
    windows = (calls(1), calls(2, weight=3), wei(3, counting="bucket", rate=4), calls(5, counting="sliding", weight=6))
    kept = tuple(window._replace(name="", code="quota_exceeded") for window in windows)
    kept = (*(window._replace(limit=None) for window in kept[:2]), *kept[2:])
    assert windows_from_text(windows_to_text(windows)) == kept


def test_windows__written_before_there_were_weights__are_read(calls):
    text = '[["acme/day",1773532800000,1773619200000,"calls"]]'
    assert windows_from_text(text) == (calls(None, name="")._replace(counter="acme/day"),)
    assert windows_to_text(windows_from_text(text)) == text


# --- not counted after all


def test_settle__uncounted__is_charged_and_gives_back_its_calls(granted, calls, wei):
    checks = (calls(5, "a", weight=2), calls(5, "b"), wei(100))
    reservation_id, _ = granted.reserve(10, *checks)
    reply = granted.settle(reservation_id, 8, uncounted=(0,))
    assert (reply.charged_wei, [count for _, count in reply.counts]) == (8, [0, 1, 8])
    assert granted.counts(*checks) == (0, 1, 8)


def test_settle__uncounted_twice__gives_back_once(granted, calls):
    granted.served(checks=(calls(5),))
    reservation_id, _ = granted.reserve(10, calls(5))
    for _ in range(2):
        granted.settle(reservation_id, 10, uncounted=(0,))
    assert granted.counts(calls(5)) == (1,)


@pytest.mark.parametrize("actual_wei", [0, 5, 30])
def test_settle__uncounted_in_a_limit_of_wei__counts_nothing_of_it(granted, wei, actual_wei):
    granted.served(20, checks=(wei(100),))
    made = granted.reserve_op(10, wei(100))
    granted.call(made)
    granted.reserve_more(made, 15)
    granted.settle(made.reservation_id, actual_wei, uncounted=(0,))
    assert granted.counts(wei(100)) == (20,)


def test_late_settle__uncounted__is_not_counted_again(granted, calls, wei):
    checks = (calls(5), wei(100))
    granted.served(20, checks=checks)
    reservation_id, _ = granted.reserve(10, *checks, expires_ms=granted.now_ms)
    granted.call(Sweep(granted.now_ms))
    reply = granted.settle(reservation_id, 10, uncounted=(0, 1))
    assert (reply.late, reply.charged_wei, granted.counts(*checks)) == (True, 10, (1, 20))


# --- set to nothing


def test_reset_counts__of_windows__lets_nothing_be_counted_and_says_what_was(granted, calls, wei):
    granted.reserve(10, calls(1), wei(100), calls(9, "other"))
    assert granted.call(ResetCounts((calls(1), wei(None), calls(None, "unknown")))) == (1, 10, 0)
    assert granted.counts(calls(1), wei(None), calls(9, "other")) == (0, 0, 1)
    assert isinstance(granted.reserve(10, calls(1))[1], Reserved)


def test_reset_counts__while_a_request_is_served__never_counts_less_than_nothing(granted, calls):
    made = granted.reserve_op(10, calls(1))
    granted.call(made)
    granted.call(ResetCounts((calls(1),)))
    granted.release(made.reservation_id)
    assert granted.counts(calls(1)) == (0,)
    assert isinstance(granted.call(replace(made, reservation_id=granted.new_id())), Reserved)


def test_reset_counts__while_a_request_is_served__gives_nothing_of_it_back_to_others(shared_url, desk_of, calls, wei):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk, late = desk_of(store), desk_of(other)
        desk.grant(1000)
        before = [desk.reserve_op(10, calls(9), wei(None)) for _ in range(2)]
        for made in before:
            desk.call(made)
        assert desk.call(ResetCounts((calls(9), wei(None)), desk.now_ms)) == (2, 20)
        after = replace(before[0], reservation_id=desk.new_id(), now_ms=desk.now_ms + 1)
        desk.call(after)
        late.release(before[0].reservation_id)
        late.settle(before[1].reservation_id, 4)
        assert [each.counts(calls(9), wei(None)) for each in (desk, late)] == [(1, 10)] * 2
        late.release(after.reservation_id)
        assert desk.counts(calls(9), wei(None)) == (0, 0)


def test_reset_counts__by_another_process__helps_at_once(shared_url, desk_of, calls):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        desk.reserve(10, calls(1))
        assert isinstance(desk.reserve(10, calls(1))[1], Refused)
        assert desk_of(other).call(ResetCounts((calls(1),))) == (1,)
        assert isinstance(desk.reserve(10, calls(1))[1], Reserved)


# --- what binds a charge


@pytest.mark.parametrize(("actual_wei", "charged_wei"), [(5, 5), (11, 11), (35, 30), (10**9, 30)])
def test_settle__beyond_the_estimate_in_a_window_that_binds__is_charged_as_far_as_that_leaves_room(
    granted, wei, actual_wei, charged_wei
):
    granted.served(20, checks=(wei(50, binds=True),))
    reservation_id, _ = granted.reserve(10, wei(50, binds=True), wei(40, "other"))
    reply = granted.settle(reservation_id, actual_wei)
    assert (reply.charged_wei, reply.uncollected_wei) == (charged_wei, actual_wei - charged_wei)
    assert granted.counts(wei(50), wei(None, "other")) == (20 + charged_wei, charged_wei)
    assert granted.balance().charged_wei == 20 + charged_wei


def test_settle__beyond_the_estimate_in_a_window_that_does_not_bind__is_charged(granted, wei):
    reservation_id, _ = granted.reserve(10, wei(10))
    assert granted.settle(reservation_id, 35).charged_wei == 35


@pytest.mark.parametrize("estimate_wei", [0, 1])
def test_requests_at_once__in_a_window_that_binds__never_cost_more_than_its_limit(
    shared_url, desk_of, wei, estimate_wei
):
    with open_store(shared_url) as store, open_store(shared_url) as other:
        desk = desk_of(store)
        desk.grant(1000)
        made = [desk.reserve(estimate_wei, wei(10, binds=True))[0] for _ in range(9)]
        # Another process knows of them what is stored.
        replies = [desk_of(other).settle(reservation_id, 101) for reservation_id in made]
        assert sum(reply.charged_wei for reply in replies) == 10 == desk.balance().charged_wei
        assert desk.counts(wei(10)) == (10,)


def test_late_settle__in_a_window_that_binds__is_charged_what_others_have_left(granted, wei):
    check = wei(50, binds=True)
    reservation_id, _ = granted.reserve(30, check, expires_ms=granted.now_ms)
    granted.call(Sweep(granted.now_ms))
    granted.served(35, checks=(check,))
    assert granted.settle(reservation_id, 30).charged_wei == 15
    assert granted.counts(check) == (50,)


@pytest.mark.parametrize("counting", ["sliding", "bucket"])
@pytest.mark.parametrize(("later_ms", "charged_wei"), [(0, 30), (DAY_MS, 50)])
def test_settle__in_a_window_that_moves_and_binds__is_charged_as_far_as_that_leaves_room(
    granted, wei, counting, later_ms, charged_wei
):
    check = wei(50, binds=True, counting=counting, starts_ms=0, ends_ms=DAY_MS, rate=50)
    granted.served(20, checks=(check,))
    reservation_id, _ = granted.reserve(10, check, expires_ms=granted.now_ms + 2 * DAY_MS)
    assert granted.settle(reservation_id, 500, now_ms=granted.now_ms + later_ms).charged_wei == charged_wei


def test_windows_that_bind__as_text__keep_their_limits(calls, wei):
    windows = (wei(5, binds=True), wei(6, binds=True, counting="bucket", rate=4))
    assert windows_from_text(windows_to_text(windows)) == tuple(
        [window._replace(name="", code="quota_exceeded") for window in windows]
    )
