"""What a keeper does when the clock is put forward, and how it deletes what is past its time."""

import pytest

from api_billing.metering.ledger.ids import new_id
from api_billing.metering.ledger.operations import GetRecord, Grant, ListRecords, Note, Record, Reserve
from api_billing.metering.observing.metrics import Metrics
from api_billing.metering.request import keeper as keeping
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


def keeper_of(store, *, prune_every_ms=0):
    return Keeper(
        store,
        lambda: NOW_MS,
        Metrics(),
        reservation_ms=RESERVATION_MS,
        round_seconds=10,
        prune_every_ms=prune_every_ms,
        keep_unbatched=False,
        alert=lambda _: None,
    )


@pytest.fixture
def keeper(store):
    return keeper_of(store)


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


def test_prune__of_more_than_a_round_may_take__goes_on_in_the_next_and_then_rests(store, monkeypatch):
    monkeypatch.setattr(keeping, "_PRUNE_LIMIT", 2)
    monkeypatch.setattr(keeping, "_PRUNE_STEPS", 2)
    keeper = keeper_of(store, prune_every_ms=HOUR_MS)

    def refuse(count):
        for _ in range(count):
            store.call(
                Note(Record(new_id(NOW_MS), NOW_MS, "refused", "weather", *["acme"] * 2, "free", *[""] * 3, 1, 1))
            )

    def left_after(now_ms):
        keeper.tick(now_ms)
        return len(store.call(ListRecords("acme", limit=100)))

    refuse(7)
    past_ms = NOW_MS + 8 * 24 * HOUR_MS
    assert [left_after(past_ms), left_after(past_ms)] == [3, 0]
    refuse(1)
    assert [left_after(past_ms + 1), left_after(past_ms + HOUR_MS)] == [1, 0]
