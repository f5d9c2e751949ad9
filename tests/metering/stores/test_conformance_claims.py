"""Idempotency keys in every store: one of many runs, the others wait or get its response; nobody is charged twice."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    ClaimMismatch,
    Prune,
    Replay,
    Reserved,
    StoredResponse,
    Sweep,
)

CLAIM = Claim("key-1", "POST /forecast")
RESPONSE = StoredResponse(
    201, (("content-type", "text/plain"), ("x-nul", "\x00ü"), ("x-half", "\ud800")), b"\x00\xff body\n"
)


@pytest.fixture(autouse=True)
def _credit(desk):
    desk.grant(1000)


def test_claim__first__runs(desk):
    assert isinstance(desk.reserve(10, claim=CLAIM)[1], Reserved)


def test_claim__while_it_is_served__is_in_progress(desk):
    first, _ = desk.reserve(10, claim=CLAIM)
    assert desk.reserve(10, claim=CLAIM)[1] == ClaimInProgress(first)
    assert desk.balance().reserved_wei == 10


def test_claim__after_it_was_served__is_replayed_without_a_charge(desk, calls):
    first, _ = desk.reserve(10, claim=CLAIM)
    desk.settle(first, 10, response=RESPONSE)
    assert desk.reserve(10, calls(0), claim=CLAIM)[1] == Replay(RESPONSE, first)
    assert desk.balance().charged_wei == 10


@pytest.mark.parametrize("served", [False, True])
def test_claim__of_another_request__is_a_mismatch(desk, served):
    first, _ = desk.reserve(10, claim=CLAIM)
    if served:
        desk.settle(first, 10, response=RESPONSE)
    assert desk.reserve(10, claim=CLAIM._replace(fingerprint="GET /"))[1] == ClaimMismatch(first)


def test_claim__same_key_of_another_consumer__runs(desk):
    desk.reserve(10, claim=CLAIM)
    assert isinstance(desk.reserve(10, claim=CLAIM, consumer="other")[1], Reserved)


def test_claim__keys_and_consumers_that_join_to_the_same_text__are_kept_apart(desk):
    desk.reserve(10, claim=Claim("b:c", ""), consumer="a")
    assert isinstance(desk.reserve(10, claim=Claim("c", ""), consumer="a:b")[1], Reserved)


def test_claim__repeated_reservation_id__is_the_same_request(desk):
    operation = desk.reserve_op(10, claim=CLAIM)
    first = desk.call(operation)
    assert desk.call(operation) == first


def test_claim__refused_request__does_not_take_the_key(desk, calls):
    desk.reserve(10, calls(0), claim=CLAIM)
    assert isinstance(desk.reserve(10, claim=CLAIM)[1], Reserved)


@pytest.mark.parametrize("end", ["release", "settle without a response", "expire"])
def test_claim__request_ended_without_a_response__is_free_again(desk, end):
    first, _ = desk.reserve(10, claim=CLAIM)
    if end == "release":
        desk.release(first)
    elif end == "expire":
        desk.call(Sweep(desk.now_ms + DAY_MS))
    else:
        desk.settle(first, 10)  # cut off
    assert isinstance(desk.reserve(10, claim=CLAIM)[1], Reserved)


def cut_off(desk, paid_wei, estimate_wei=50, **changes):
    """A request with the key whose response was cut off, so that there is nothing to replay."""
    reservation_id, reply = desk.reserve(estimate_wei, claim=CLAIM, **changes)
    assert isinstance(reply, Reserved)
    desk.settle(reservation_id, paid_wei)
    return reservation_id


def test_claim__response_cut_off__the_next_is_charged_what_it_costs_more(desk):
    cut_off(desk, 14)
    second, _ = desk.reserve(50, claim=CLAIM)
    assert desk.balance().reserved_wei == 50 - 14
    assert desk.settle(second, 30, response=RESPONSE).charged_wei == 30 - 14
    assert (desk.balance().reserved_wei, desk.balance().charged_wei) == (0, 30)


def test_claim__response_cut_off_and_the_next_settled_as_estimated__is_charged_what_was_set_aside(desk):
    cut_off(desk, 14)
    second, _ = desk.reserve(50, claim=CLAIM)
    assert desk.settle(second, None, response=RESPONSE).charged_wei == 50 - 14


def test_claim__response_cut_off_that_cost_more__the_next_is_charged_nothing(desk):
    cut_off(desk, 30)
    second, _ = desk.reserve(20, claim=CLAIM)
    assert desk.settle(second, 20, response=RESPONSE).charged_wei == 0
    assert desk.reserve(20, claim=CLAIM)[1] == Replay(RESPONSE, second)


def test_claim__response_cut_off_and_the_next_reserved_twice_with_one_id__is_the_same_request(desk):
    cut_off(desk, 14)
    operation = desk.reserve_op(50, claim=CLAIM)
    assert desk.call(operation) == desk.call(operation)
    assert desk.balance().reserved_wei == 50 - 14


def test_claim__response_cut_off_again_and_again__is_charged_the_dearest(desk):
    for paid_wei in (14, 20, 3, 30, 0):
        cut_off(desk, paid_wei)
    assert (desk.balance().reserved_wei, desk.balance().charged_wei) == (0, 30)


@pytest.mark.parametrize("end", ["release", "expire"])
def test_claim__response_cut_off_and_the_next_request_failed__what_was_paid_still_counts(desk, end):
    cut_off(desk, 14)
    second, _ = desk.reserve(50, claim=CLAIM)
    if end == "release":
        desk.release(second)
    else:
        desk.call(Sweep(desk.now_ms + 3_600_000))
    third, _ = desk.reserve(50, claim=CLAIM)
    assert desk.settle(third, 20, response=RESPONSE).charged_wei == 20 - 14


def test_claim__response_cut_off_with_the_last_credit__may_be_served_again(desk):
    cut_off(desk, 1000, estimate_wei=1000)
    assert isinstance(desk.reserve(1000, claim=CLAIM)[1], Reserved)
    assert desk.balance().free_wei == 0


def test_claim__response_cut_off__is_not_paid_for_another_request(desk):
    first = cut_off(desk, 14)
    assert desk.reserve(50, claim=CLAIM._replace(fingerprint="GET /"))[1] == ClaimMismatch(first)


def test_claim__response_cut_off_and_past_its_time__is_charged_in_full(desk):
    cut_off(desk, 14, claim_expires_ms=desk.now_ms + 1000)
    second, _ = desk.reserve(20, claim=CLAIM, now_ms=desk.now_ms + 1000)
    assert desk.settle(second, 20, response=RESPONSE).charged_wei == 20


def test_prune__what_was_paid_for_a_cut_response_past_its_time__is_deleted(desk):
    cut_off(desk, 14, claim_expires_ms=desk.now_ms + 10)
    assert desk.call(Prune(desk.now_ms + 10)).responses == 1


def test_claim__past_its_time__runs_again(desk):
    first, _ = desk.reserve(10, claim=CLAIM, claim_expires_ms=desk.now_ms + 1000)
    desk.settle(first, 10, response=RESPONSE)
    assert isinstance(desk.reserve(10, claim=CLAIM, now_ms=desk.now_ms + 999)[1], Replay)
    assert isinstance(desk.reserve(10, claim=CLAIM, now_ms=desk.now_ms + 1000)[1], Reserved)


def test_claim__taken_again_after_its_time__has_no_old_response(desk):
    first, _ = desk.reserve(10, claim=CLAIM, claim_expires_ms=desk.now_ms + 1000)
    desk.settle(first, 10, response=RESPONSE)
    later = desk.now_ms + 1000
    second, _ = desk.reserve(10, claim=CLAIM, now_ms=later)
    assert desk.reserve(10, claim=CLAIM, now_ms=later)[1] == ClaimInProgress(second)


def test_claim__of_a_process_that_died__is_taken_over_after_its_reservation_expired(desk):
    first, _ = desk.reserve(10, claim=CLAIM, expires_ms=desk.now_ms + 100)
    assert desk.reserve(10, claim=CLAIM, now_ms=desk.now_ms + 99)[1] == ClaimInProgress(first)
    assert isinstance(desk.reserve(10, claim=CLAIM, now_ms=desk.now_ms + 100)[1], Reserved)


@pytest.mark.parametrize("swept", [True, False])
def test_late_settle__whose_claim_was_taken_over__is_charged_nothing(desk, swept):
    first, _ = desk.reserve(10, claim=CLAIM, expires_ms=desk.now_ms + 100)
    later = desk.now_ms + 100
    if swept:
        desk.call(Sweep(later))
    second, _ = desk.reserve(10, claim=CLAIM, now_ms=later)
    assert desk.settle(first, 10, response=RESPONSE).charged_wei == 0
    assert desk.settle(second, 10, response=RESPONSE).charged_wei == 10
    assert (desk.balance().charged_wei, desk.balance().reserved_wei) == (10, 0)


def test_late_settle__whose_claim_was_taken_over__leaves_the_new_one_alone(desk):
    first, _ = desk.reserve(10, claim=CLAIM, expires_ms=desk.now_ms + 100)
    later = desk.now_ms + 100
    second, _ = desk.reserve(10, claim=CLAIM, now_ms=later)
    desk.settle(first, 10, response=RESPONSE)
    assert desk.reserve(10, claim=CLAIM, now_ms=later)[1] == ClaimInProgress(second)


def test_late_settle__whose_claim_nobody_took__is_charged(desk):
    first, _ = desk.reserve(10, claim=CLAIM)
    desk.call(Sweep(desk.now_ms + DAY_MS))
    assert desk.settle(first, 10, response=RESPONSE).charged_wei == 10


def test_claim__of_eight_at_once__one_runs_and_all_get_its_response(desk):
    barrier = Barrier(8)

    def ask(operation):
        barrier.wait()
        return operation.reservation_id, desk.call(operation)

    operations = [desk.reserve_op(10, claim=CLAIM) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(ask, operations))
    running = [reservation_id for reservation_id, reply in replies if isinstance(reply, Reserved)]
    assert len(running) == 1
    assert [reply for _, reply in replies if not isinstance(reply, Reserved)] == [ClaimInProgress(running[0])] * 7
    desk.settle(running[0], 10, response=RESPONSE)
    assert {desk.reserve(10, claim=CLAIM)[1] for _ in range(8)} == {Replay(RESPONSE, running[0])}
    assert desk.balance().charged_wei == 10


def test_prune__stored_response_past_its_time__is_deleted(desk):
    for key, lasts_ms in (("old", 10), ("new", 20)):
        first, _ = desk.reserve(1, claim=Claim(key, ""), claim_expires_ms=desk.now_ms + lasts_ms)
        desk.settle(first, 1, response=RESPONSE)
    assert desk.call(Prune(desk.now_ms + 10)).responses == 1
    assert desk.call(Prune(desk.now_ms + 10)).responses == 0
    assert isinstance(desk.reserve(1, claim=Claim("new", ""), now_ms=desk.now_ms + 11)[1], Replay)
