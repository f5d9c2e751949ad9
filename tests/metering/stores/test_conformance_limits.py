"""Limits that are set at run time, in every store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.ledger.consumer_operations import GetProfile, PutProfile
from api_billing.metering.ledger.limit_operations import DropLimit, ListLimits, PutLimit
from api_billing.metering.ledger.operations import Reserved, StaleProfile
from api_billing.metering.limits.limits import MAX_LIMITS, Limit

LIMITS = (
    Limit("bucket", 5, seconds=2, burst=2**200, name="a", per="address", on="api"),
    Limit("anchored", 2**255, months=3, anchor=date(2026, 1, 31), unit="wei", name="b", group="g~!"),
    Limit("sliding", 0, weeks=1, name="c", per="key", on="method", by_tier={"pro": 2**100, "m'\x00ü": None}),
)


def put(desk, *limits, api="weather"):
    for limit in limits:
        desk.call(PutLimit(api, limit))


def test_limits__set__come_back(desk):
    assert desk.call(ListLimits()).by_api == {}
    put(desk, *LIMITS)
    put(desk, LIMITS[0], api="m'aps\x00ü")
    assert desk.call(ListLimits()).by_api == {"weather": LIMITS, "m'aps\x00ü": LIMITS[:1]}
    assert desk.call(ListLimits("weather")).by_api == {"weather": LIMITS}
    assert desk.call(ListLimits("none")).by_api == {"none": ()}


def test_limit__of_a_name_that_is_set__is_in_its_place(desk):
    put(desk, *LIMITS, Limit("fixed", 9, hours=1, name="b"))
    assert [limit.amount for limit in desk.call(ListLimits()).by_api["weather"]] == [5, 9, 0]


def test_limit__removed__is_gone_and_can_be_set_again(desk):
    put(desk, *LIMITS)
    assert desk.call(DropLimit("weather", "b")) is True
    assert desk.call(DropLimit("weather", "b")) is False
    assert desk.call(DropLimit("maps", "a")) is False
    assert [limit.name for limit in desk.call(ListLimits()).by_api["weather"]] == ["a", "c"]
    for name in "ac":
        desk.call(DropLimit("weather", name))
    assert desk.call(ListLimits()).by_api == {}
    put(desk, LIMITS[0])
    assert desk.call(ListLimits()).by_api == {"weather": LIMITS[:1]}


def test_limits__more_than_a_request_may_have__are_refused(desk):
    put(desk, *[Limit("fixed", 5, days=1, name=f"n{number}") for number in range(MAX_LIMITS)])
    with pytest.raises(InvalidSetting):
        put(desk, Limit("fixed", 5, days=1, name="more"))
    put(desk, Limit("fixed", 6, days=1, name="n0"))
    assert len(desk.call(ListLimits()).by_api["weather"]) == MAX_LIMITS


@pytest.mark.parametrize("change", [PutLimit("weather", LIMITS[1]), DropLimit("weather", "a")])
def test_limit__changed__makes_every_reservation_look_again(desk, change):
    put(desk, LIMITS[0])
    desk.grant(100)
    desk.call(PutProfile("acme", "pro"))
    was = desk.call(GetProfile("acme"))
    assert isinstance(desk.reserve(10, profile_version=was.version)[1], Reserved)
    desk.call(change)
    found = desk.reserve(10, profile_version=was.version)[1]
    assert isinstance(found, StaleProfile)
    assert was.version < found.profile.version <= desk.call(ListLimits()).version
    assert isinstance(desk.reserve(10, profile_version=found.profile.version)[1], Reserved)


def test_limit__that_was_not_set__changes_nothing_when_removed(desk):
    version = desk.call(PutProfile("acme", "pro")).version
    desk.call(DropLimit("weather", "a"))
    assert desk.call(GetProfile("acme")).version == version


def test_limits__set_by_many_at_once__are_all_there(desk):
    limits = [Limit("fixed", 5, days=1, name=f"n{number}") for number in range(12)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda limit: put(desk, limit), limits))
    assert set(desk.call(ListLimits()).by_api["weather"]) == set(limits)
