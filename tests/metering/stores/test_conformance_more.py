"""What every store does when an open reservation has to set more aside: all of it, or nothing."""

from dataclasses import replace

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import Claim, GetRecord, NotReserved, Refused, Reserved, Sweep


@pytest.fixture
def made(desk, calls, wei):
    """A reservation of 10 of 100 wei, that counts in two windows of limits."""
    desk.grant(100)
    made = desk.reserve_op(10, calls(1), wei(50))
    desk.call(made)
    return made


def test_reserve_more__within_credit_and_limits__raises_what_is_set_aside_and_counted(desk, made):
    reply = desk.reserve_more(made, 50)
    assert isinstance(reply, Reserved)
    assert (reply.balance.reserved_wei, reply.counts) == (50, (1, 50))
    assert desk.call(GetRecord(made.reservation_id)).estimate_wei == 50


def test_reserve_more__beyond_a_limit_in_wei__is_refused_and_changes_nothing(desk, made):
    reply = desk.reserve_more(made, 51)
    assert isinstance(reply, Refused)
    assert (reply.code, reply.violated, reply.counts) == ("budget_exceeded", (1,), (1, 10))
    assert desk.balance().reserved_wei == 10
    assert desk.counts(*made.checks) == (1, 10)


def test_reserve_more__beyond_free_credit__is_refused_and_changes_nothing(desk):
    desk.grant(100)
    desk.reserve(60)
    made = desk.reserve_op(10)
    desk.call(made)
    assert desk.reserve_more(made, 41).code == "insufficient_credit"
    assert desk.balance().reserved_wei == 70
    assert isinstance(desk.reserve_more(made, 40), Reserved)
    assert desk.free() == 0


def test_reserve_more__repeated_or_lower__changes_nothing(desk, made):
    first = desk.reserve_more(made, 30)
    assert desk.reserve_more(made, 30) == desk.reserve_more(made, 20) == first
    assert desk.balance().reserved_wei == 30


def test_reserve__repeated_after_more_was_reserved__is_the_same_reservation(desk, made):
    desk.reserve_more(made, 30)
    assert isinstance(desk.call(made), Reserved)
    assert desk.balance().reserved_wei == 30


def test_settle__after_more_was_reserved__gives_back_the_rest(desk, made, wei):
    desk.reserve_more(made, 50)
    reply = desk.settle(made.reservation_id, 35)
    assert (reply.charged_wei, reply.balance[:3]) == (35, (100, 0, 35))
    assert desk.counts(wei(50)) == (35,)


def test_settle__of_all_that_was_set_aside__is_charged_the_raised_estimate(desk, made):
    desk.reserve_more(made, 50)
    assert desk.settle(made.reservation_id, None).charged_wei == 50


@pytest.mark.parametrize("ends", ["released", "expired"])
def test_end__after_more_was_reserved__gives_all_of_it_back(desk, made, ends):
    desk.reserve_more(made, 50)
    if ends == "released":
        desk.release(made.reservation_id)
    else:
        desk.call(Sweep(desk.now_ms + DAY_MS))
    assert desk.balance()[:3] == (100, 0, 0)
    assert desk.counts(*made.checks) == (0, 0)
    assert desk.reserve_more(made, 60) == NotReserved(ends)


def test_reserve_more__after_it_was_settled__says_so(desk, made):
    desk.settle(made.reservation_id, 10)
    assert desk.reserve_more(made, 20) == NotReserved("settled")
    assert desk.balance().reserved_wei == 0


def test_reserve_more__unknown_or_of_another_account__says_so(desk, made):
    assert desk.reserve_more(desk.reserve_op(10), 20) == NotReserved("unknown")
    assert desk.reserve_more(replace(made, account="other/weather"), 20) == NotReserved("unknown")


def test_reserve_more__after_a_part_was_paid_with_the_key__names_the_whole_estimate(desk):
    desk.grant(100)
    claim = Claim("weather/key", "GET /")
    first, _ = desk.reserve(10, claim=claim)
    desk.settle(first, 4)
    made = desk.reserve_op(10, claim=claim)
    desk.call(made)
    assert desk.balance().reserved_wei == 6
    assert desk.reserve_more(made, 20).balance.reserved_wei == 16
    assert desk.settle(made.reservation_id, 20).charged_wei == 16
    assert desk.balance().charged_wei == 20
