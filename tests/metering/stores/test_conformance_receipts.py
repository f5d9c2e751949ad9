"""Requests that the contract has billed already, in every store: served once, charged nothing, in no sum or batch."""

import pytest

from api_billing.metering.clock import DAY_MS
from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    ClaimMismatch,
    GetRecord,
    ListRecords,
    NotReserved,
    Outcome,
    Prune,
    Replay,
    Reserved,
    StoredResponse,
    SumUsage,
    Sweep,
)

CLAIM = Claim.of_receipt("weather:0x" + "ab" * 20 + ":20527:1", "GET /forecast")
RESPONSE = StoredResponse(200, (("content-type", "text/plain"),), b"sunny")
TAGS = '{"receipt":"weather:1"}'


def redeemed(desk, **changes):
    first, _ = desk.reserve(0, claim=CLAIM, **changes)
    desk.settle(first, 0, response=RESPONSE, outcome=Outcome(200, tags=TAGS))
    return first


def test_receipt__without_any_credit__is_served(desk):
    assert isinstance(desk.reserve(0, claim=CLAIM)[1], Reserved)


def test_receipt__served__is_redeemed_and_in_no_sum_and_no_batch(desk):
    first = redeemed(desk)
    record = desk.call(GetRecord(first))
    assert (record.state, record.charged_wei, record.batch, record.outcome.tags) == ("redeemed", 0, 0, TAGS)
    assert desk.call(SumUsage()) == ()
    assert desk.cut() is None


def test_receipt__among_settled_usage__is_left_out_of_its_sums_and_batch(desk):
    desk.grant(100)
    desk.served(10)
    redeemed(desk)
    (usage,) = desk.call(SumUsage())
    assert (usage.calls, usage.units, usage.charged_wei) == (1, 1, 10)
    batch = desk.cut()
    assert (batch.records, batch.lines[0].calls, batch.lines[0].amount_wei) == (1, 1, 10)


@pytest.mark.parametrize("estimate_wei", [0, 10])
def test_receipt__served_at_a_price__is_charged_nothing_and_holds_nothing(desk, estimate_wei):
    desk.grant(100)
    first, _ = desk.reserve(estimate_wei, claim=CLAIM)
    reply = desk.settle(first, 7, response=RESPONSE)
    assert (reply.charged_wei, reply.uncollected_wei) == (0, 0)
    assert desk.balance()[:3] == (100, 0, 0)


def test_receipt__redeemed_twice__is_answered_as_before(desk):
    first = redeemed(desk)
    reply = desk.settle(first, 0)
    assert (reply.repeated, reply.charged_wei) == (True, 0)
    assert desk.reserve(0, claim=CLAIM)[1] == Replay(RESPONSE, first)


def test_receipt__released_after_it_was_redeemed__stays_redeemed(desk):
    assert desk.release(redeemed(desk)) == NotReserved("redeemed")


def test_receipt__while_it_is_served__is_in_progress(desk):
    first, _ = desk.reserve(0, claim=CLAIM)
    assert desk.reserve(0, claim=CLAIM)[1] == ClaimInProgress(first)


def test_receipt__on_another_request__is_a_mismatch(desk):
    first = redeemed(desk)
    assert desk.reserve(0, claim=CLAIM._replace(fingerprint="GET /other"))[1] == ClaimMismatch(first)


def test_receipt__of_a_request_that_failed__can_be_used_again(desk):
    first, _ = desk.reserve(0, claim=CLAIM)
    desk.release(first)
    assert isinstance(desk.reserve(0, claim=CLAIM)[1], Reserved)


def test_receipt__of_a_process_that_died__can_be_used_after_its_reservation_expired(desk):
    first, _ = desk.reserve(0, claim=CLAIM, expires_ms=desk.now_ms + 100)
    assert desk.reserve(0, claim=CLAIM, now_ms=desk.now_ms + 99)[1] == ClaimInProgress(first)
    assert isinstance(desk.reserve(0, claim=CLAIM, now_ms=desk.now_ms + 100)[1], Reserved)


@pytest.mark.parametrize("claim", [CLAIM, Claim("an idempotency key", "GET /forecast")])
def test_late_settle__of_a_claim_that_nobody_took__keeps_its_response(desk, claim):
    desk.grant(100)
    first, _ = desk.reserve(0, claim=claim)
    desk.call(Sweep(desk.now_ms + DAY_MS - 1))
    assert desk.settle(first, 0, response=RESPONSE).late
    assert desk.reserve(0, claim=claim)[1] == Replay(RESPONSE, first)
    assert desk.call(Prune(desk.now_ms + DAY_MS)).responses == 1


def test_prune__record_of_a_receipt__is_deleted_before_its_response(desk):
    first = redeemed(desk, claim_expires_ms=desk.now_ms + 30 * DAY_MS)
    later = desk.now_ms + 8 * DAY_MS
    assert desk.call(Prune(later, keep_unbatched=True)).records == 1
    assert desk.call(GetRecord(first)) is None
    assert desk.reserve(0, claim=CLAIM, now_ms=later)[1] == Replay(RESPONSE, first)


def test_list_records__redeemed__finds_those_alone(desk):
    desk.grant(100)
    desk.served(10)
    first = redeemed(desk)
    assert [record.record_id for record in desk.call(ListRecords(states=("redeemed",)))] == [first]
