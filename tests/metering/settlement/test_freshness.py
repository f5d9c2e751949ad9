"""Whether what is known of the chain is fresh: what a meter with a contract says of its health."""

from __future__ import annotations

from typing import Any

import pytest

from api_billing.metering import Meter
from api_billing.metering.ledger.settlement_operations import TakeRead
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain

from .world import World, address

WHO = address(1)


def meter_of(world: World, **given: Any) -> Meter:
    settings = MeterSettings.load(store_url="memory://", contract=world.chain.contract, **given)
    meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms)
    meter.on_chain = OnChain(world.chain, world.store, settings, lambda: world.now_ms, world.alerts.append)  # type: ignore[arg-type]
    return meter


@pytest.fixture
def meter(world: World) -> Meter:
    return meter_of(world)


def later(world: World, seconds: int) -> None:
    world.at(world.now_ms + seconds * 1000)


def chain_of(meter: Meter) -> list[bool]:
    """What is wrong with the chain: whether it stops requests."""
    return [each.stops for each in meter.healthy().wrong if each.part == "chain"]


def test_healthy__chain_that_nobody_has_read__is_read_to_find_out(world: World, meter: Meter) -> None:
    assert (meter.healthy().wrong, world.chain.reads) == ((), 1)


def test_healthy__chain_that_was_just_read__is_not_read_again(world: World, meter: Meter) -> None:
    meter.healthy()
    later(world, 29)
    assert (meter.healthy().wrong, world.chain.reads) == ((), 1)
    later(world, 1)
    assert (meter.healthy().wrong, world.chain.reads) == ((), 2)


def test_healthy__chain_that_could_never_be_read__stops(world: World, meter: Meter) -> None:
    world.chain.readable = False
    assert chain_of(meter) == [True]


def test_healthy__chain_that_cannot_be_read_any_more__stops_after_the_grace(world: World, meter: Meter) -> None:
    meter.healthy()
    world.chain.readable = False
    later(world, 30)
    assert chain_of(meter) == [False]
    later(world, 871)
    assert chain_of(meter) == [True]


def test_healthy__chain_that_can_be_read_again__is_well(world: World, meter: Meter) -> None:
    world.chain.readable = False
    meter.healthy()
    world.chain.readable = True
    later(world, 8)
    assert meter.healthy().wrong == ()


def test_healthy__chain_that_cannot_be_read__is_tried_seldom(world: World, meter: Meter) -> None:
    world.chain.readable = False
    for _ in range(3):
        meter.healthy()
        later(world, 2)
    assert world.chain.reads == 1


def test_healthy__fail_open__chain_that_cannot_be_read_stops_nothing(world: World) -> None:
    world.chain.readable = False
    assert chain_of(meter_of(world, fail_open=True)) == [False]


def test_healthy__no_read_left__chain_is_left_alone(world: World, meter: Meter) -> None:
    assert meter.on_chain is not None
    most = meter.on_chain.credit.settings.reads_per_10_seconds
    world.call(TakeRead(world.chain.contract.lower(), world.now_ms, most, reads=most))
    assert (meter.healthy().wrong, world.chain.reads) == ((), 0)


def test_healthy__failed_read_of_a_request__is_known(world: World, meter: Meter) -> None:
    world.chain.readable = False
    assert meter.on_chain is not None
    world.consumer(1)
    meter.on_chain.credit._look("weather", WHO)
    reads = world.chain.reads
    assert (chain_of(meter), world.chain.reads) == ([True], reads)
