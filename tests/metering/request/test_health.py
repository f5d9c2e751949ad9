"""What a meter says of itself, and who is told."""

import asyncio
import json
import threading

import pytest

from api_billing.metering import Meter
from api_billing.metering.errors import StoreUnavailable, StoreUnusable
from api_billing.metering.ledger.operations import Settle
from api_billing.metering.ledger.settlement_operations import TakeLease
from api_billing.metering.request.health import Health, Looks, Wrong, readiness
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores.memory.store import MemoryStore
from api_billing.metering.stores.steps import run

AWAY = Wrong("store", "the store is away", True)


class FailingStore(MemoryStore):
    """Raises what it is told to."""

    error: Exception | None = None

    def _perform(self, operations):
        if self.error is not None:
            raise self.error
        return super()._perform(operations)


def failing(error, **settings):
    store = FailingStore()
    meter = Meter(store, MeterSettings.load(store_url="memory://", **settings), clock_ms=lambda: 1)
    store.error = error
    return meter


def test_healthy__all_well__nothing_is_wrong():
    with Meter.open("memory://") as meter:
        assert meter.healthy() == asyncio.run(meter.ahealthy()) == Health()
        assert meter.healthy().ok


def test_healthy__store_does_not_answer__stops():
    health = failing(StoreUnavailable("the store is away")).healthy()
    assert (health.wrong, health.ok) == ((AWAY,), False)


def test_ahealthy__store_does_not_answer__stops():
    assert asyncio.run(failing(StoreUnavailable("the store is away")).ahealthy()) == Health((AWAY,))


@pytest.mark.parametrize(("error", "ok"), [(StoreUnavailable("away"), True), (StoreUnusable("schema 99"), False)])
def test_healthy__fail_open__store_that_is_away_is_told_and_stops_nothing(error, ok):
    health = failing(error, fail_open=True).healthy()
    assert ([each.part for each in health.wrong], health.ok) == (["store"], ok)


def test_healthy__closed__stops():
    meter = Meter.open("memory://", fail_open=True)
    meter.close()
    assert [each.part for each in meter.healthy().wrong if each.stops] == ["store"]


def test_healthy__look__writes_to_the_store():
    with Meter.open("memory://", clock_ms=lambda: 7) as meter:
        meter.healthy()
        assert meter.store.call(TakeLease("health", "another", 7, 9)).holder == "another"
        assert meter.healthy().ok  # and somebody else's row is in nobody's way


def test_healthy__settlements_that_wait__are_told_and_stop_nothing():
    with Meter.open("memory://") as meter:
        meter.keeper.start = lambda: None
        meter.keeper.repeat(Settle("0" * 26, "acme", 1, 5))
        assert meter.healthy().wrong == (Wrong("settlements", "1 settlements and releases wait for the store", False),)
        assert meter.healthy().ok


def test_healthy__keeper_whose_thread_has_died__stops():
    with Meter.open("memory://") as meter:
        meter.keeper._thread = threading.Thread()
        assert [each.part for each in meter.healthy().wrong if each.stops] == ["keeper"]
        meter.keeper._thread = None


def test_keeper__in_a_long_round__is_told_and_stops_nothing():
    with Meter.open("memory://") as meter:
        meter.keeper.start()
        began = meter.keeper._began
        assert meter.keeper.wrong(began + 60) == []
        assert [(each.part, each.stops) for each in meter.keeper.wrong(began + 100)] == [("keeper", False)]


class Counted:
    looks = 0

    def health(self):
        self.looks += 1
        yield from ()
        return Health((AWAY,) if self.looks > 1 else ())


def test_looks__asked_often__look_once_a_second():
    now, counted = [0.0], Counted()
    looks = Looks(counted, lambda: now[0])
    seen = []
    for at in (0.0, 0.9, 1.0, 1.5, 2.0):
        now[0] = at
        seen.append((run(looks.look(), None).ok, counted.looks))
    assert seen == [(True, 1), (True, 1), (False, 2), (False, 2), (False, 3)]


def test_looks__while_one_takes_long__give_the_last_one():
    now, counted = [0.0], Counted()
    looks = Looks(counted, lambda: now[0])
    run(looks.look(), None)
    now[0] = 1.0
    slow = looks.look()
    counted.health = lambda: (yield object())
    next(slow)
    assert run(looks.look(), None) == Health()
    slow.close()


@pytest.mark.parametrize(("health", "status"), [(Health(), 200), (Health((AWAY,)), 503)])
@pytest.mark.parametrize("is_told", [False, True])
def test_readiness__answer__has_what_is_wrong_for_operators_only(health, status, is_told):
    answer = readiness(health, is_told=is_told)
    body = json.loads(answer.body)
    assert (answer.status, "wrong" in body, "away" in str(body)) == (status, is_told, is_told and status == 503)
    assert ("retry-after" in dict(answer.headers)) == (status == 503)
