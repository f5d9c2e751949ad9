"""Charges without a request, with their keys, in every store."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from api_billing.metering import Charged, Meter, NotAllowed
from api_billing.metering.ledger.operations import GetRecord, ListRecords
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores import Store


@pytest.fixture
def meter(store: Store) -> Iterator[Meter]:
    with Meter(store, MeterSettings.load(), clock_ms=store.now_ms) as meter:
        meter.add_consumer("alice", tier="enterprise")
        meter.grant("alice", 1_000, grant_id="first")
        yield meter


def test_charge__repeated_with_its_key__has_the_first_record(meter: Meter) -> None:
    first, second = (meter.charge("alice", 300, api="jobs", idempotency_key="job 1") for _ in range(2))
    assert second == first._replace(is_repeated=True)
    record = meter.store.call(GetRecord(first.record_id))
    assert record is not None
    assert (record.state, record.charged_wei, record.method) == ("settled", 300, "")


def test_charges__with_one_key_at_once__are_charged_once(meter: Meter) -> None:
    barrier = Barrier(8)

    def charge(number: int) -> Charged:
        barrier.wait()
        return meter.charge("alice", 300, api="jobs", idempotency_key="job 1")

    with ThreadPoolExecutor(8) as pool:
        charged = list(pool.map(charge, range(8)))
    assert sorted(each.is_repeated for each in charged) == [False] + [True] * 7
    assert len({each.record_id for each in charged}) == 1
    assert meter.balance("alice").free_wei == 700
    assert not [each for each in meter.store.call(ListRecords()) if each.state == "refused"]


def test_reservation__extended__is_charged_as_a_whole(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs") as job:
        job.extend(600)
        with pytest.raises(NotAllowed):
            job.extend(1)
    balance = meter.balance("alice")
    assert (balance.free_wei, balance.reserved_wei, balance.charged_wei) == (0, 0, 1_000)


def test_reservation__extended_by_several_tasks__has_all_of_it_set_aside(meter: Meter) -> None:
    async def extend() -> None:
        async with meter.reservation("alice", 400, api="jobs") as job:
            await asyncio.gather(*[job.aextend(100) for _ in range(5)])

    asyncio.run(extend())
    assert meter.balance("alice").charged_wei == 900


def test_reservation__extended_by_several_threads__has_all_of_it_set_aside(meter: Meter) -> None:
    with meter.reservation("alice", 400, api="jobs") as job, ThreadPoolExecutor(5) as pool:
        list(pool.map(job.extend, [100] * 5))
    assert meter.balance("alice").charged_wei == 900


def test_charges__of_many_at_once__are_as_many_as_there_is_credit_for(meter: Meter) -> None:
    barrier = Barrier(8)

    def charge(number: int) -> str:
        barrier.wait()
        try:
            return str(meter.charge("alice", 300, api="jobs").charged_wei)
        except NotAllowed as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        charged = list(pool.map(charge, range(8)))
    assert sorted(charged) == ["300"] * 3 + ["insufficient_credit"] * 5
