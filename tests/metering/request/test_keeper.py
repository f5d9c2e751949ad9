"""What a keeper does when the clock is put forward: it extends its own, and leaves what others serve."""

import pytest

from api_billing.metering.ledger.operations import GetRecord, Grant, Reserve
from api_billing.metering.observing.metrics import Metrics
from api_billing.metering.request.keeper import Keeper
from api_billing.metering.stores import open_store

RESERVATION_MS = 120_000
HOUR_MS = 3_600_000
NOW_MS = 1_773_576_000_000


@pytest.fixture
def store():
    with open_store("memory://") as store:
        store.call(Grant("g", "acme", 100, NOW_MS))
        yield store


@pytest.fixture
def keeper(store):
    return Keeper(
        store,
        lambda: NOW_MS,
        Metrics(),
        reservation_ms=RESERVATION_MS,
        round_seconds=10,
        prune_every_ms=0,
        keep_unbatched=False,
        alert=lambda _: None,
    )


def reserve(store, reservation_id):
    store.call(Reserve(reservation_id, NOW_MS, NOW_MS + RESERVATION_MS, "acme", "weather", "acme", 10))


def state(store, reservation_id):
    return store.call(GetRecord(reservation_id)).state


def test_clock__that_goes_on_as_it_does__is_believed(keeper):
    assert keeper._is_steady(NOW_MS, 0)
    assert keeper._is_steady(NOW_MS + 10_500, 10_000)


def test_clock__put_forward__is_believed_when_everybody_had_time_to_extend(keeper):
    keeper._is_steady(NOW_MS, 0)
    ahead_ms = NOW_MS + HOUR_MS
    steady = [keeper._is_steady(ahead_ms + at_ms, at_ms) for at_ms in (10_000, 70_000, 129_999, 130_000)]
    assert steady == [False, False, False, True]


def test_clock__put_back__is_believed(keeper):
    keeper._is_steady(NOW_MS, 0)
    assert keeper._is_steady(NOW_MS - HOUR_MS, 10_000)


def test_round__that_does_not_sweep__extends_its_own_and_leaves_the_others(store, keeper):
    reserve(store, "ours")
    reserve(store, "theirs")
    keeper._open["ours"] = NOW_MS + RESERVATION_MS
    keeper.tick(NOW_MS + HOUR_MS, sweeps=False)
    keeper.tick(NOW_MS + RESERVATION_MS)
    assert [state(store, each) for each in ("ours", "theirs")] == ["reserved", "expired"]
