"""Clocks that are wrong: whoever has one harms nobody else."""

import pytest

from api_billing.metering import Meter
from api_billing.metering.clock import DAY_MS, system_clock_ms
from api_billing.metering.ledger.operations import (
    Claim,
    ClaimInProgress,
    GetRecord,
    Prune,
    Replay,
    Settled,
    StoredResponse,
    Sweep,
)

HOUR_MS = 3_600_000


@pytest.fixture
def now(store, desk):
    """A desk whose clock is that of the store."""
    desk.now_ms = store.now_ms()
    desk.grant(100)
    return desk


def test_sweep__by_a_clock_that_is_fast__leaves_what_is_being_served(now):
    reservation_id, _ = now.reserve(60)
    assert now.call(Sweep(now.now_ms + HOUR_MS)) == 0
    assert now.balance().reserved_wei == 60
    assert isinstance(now.settle(reservation_id, 60), Settled)


def test_sweep__by_a_clock_that_is_fast__releases_what_has_expired(now):
    reservation_id, _ = now.reserve(60, now_ms=now.now_ms - HOUR_MS)
    assert now.call(Sweep(now.now_ms + HOUR_MS)) == 1
    assert now.call(GetRecord(reservation_id)).state == "expired"


def test_prune__by_a_clock_that_is_fast__leaves_what_is_not_past(now):
    record_id = now.served()
    assert now.call(Prune(now.now_ms + 400 * DAY_MS)).records == 0
    assert now.call(GetRecord(record_id)).state == "settled"


def test_claim__of_a_request_being_served__is_not_taken_over_by_a_clock_that_is_fast(now):
    claim = Claim("key", "GET /")
    now.reserve(10, claim=claim)
    assert isinstance(now.reserve(10, claim=claim, now_ms=now.now_ms + HOUR_MS)[1], ClaimInProgress)


def test_claim__with_a_response__is_replayed_for_a_clock_that_is_fast(now):
    claim = Claim("key", "GET /")
    reservation_id, _ = now.reserve(10, claim=claim)
    now.settle(reservation_id, 10, response=StoredResponse(200, (), b""))
    assert isinstance(now.reserve(10, claim=claim, now_ms=now.now_ms + 30 * DAY_MS)[1], Replay)


@pytest.mark.parametrize("error_ms", [HOUR_MS, -HOUR_MS])
def test_meter__of_a_machine_whose_clock_is_wrong__has_the_stores_time(shared_url, monkeypatch, error_ms):
    if shared_url.startswith("sqlite"):
        pytest.skip("its processes are on one machine")
    from api_billing.metering.stores import networked

    right_ms = system_clock_ms()
    monkeypatch.setattr(networked, "system_clock_ms", lambda: right_ms + error_ms)
    with Meter.open(shared_url) as meter:
        assert abs(meter.now_ms() - right_ms) < HOUR_MS / 2


def test_keeper__of_a_process_whose_clock_is_fast__leaves_what_others_serve(shared_url, desk_of):
    with (
        Meter.open(shared_url) as meter,
        Meter.open(shared_url, clock_ms=lambda: system_clock_ms() + HOUR_MS) as fast,
    ):
        desk = desk_of(meter.store, now_ms=meter.now_ms())
        desk.grant(100)
        reservation_id, _ = desk.reserve(60)
        fast.keeper.tick(fast.now_ms())
        assert desk.call(GetRecord(reservation_id)).state == "reserved"
