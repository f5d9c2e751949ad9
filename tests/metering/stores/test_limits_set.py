"""Limits that are changed at run time: in force for the next request, in all processes of every store."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from api_billing.metering import Limit, Meter, from_address, from_header
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer

START_MS = 1_769_860_800_000  # 2026-01-31 12:00 UTC


class Clock:
    """Milliseconds that only tests move."""

    now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Place:
    """Two processes on one store, as far as anybody can tell."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.one, self.other = (Meter.open(url, key_pepper="x" * 16, clock_ms=self.clock) for _ in range(2))
        self.one.add_consumer("ann", tier="enterprise")

    def ask(self, meter: Meter, *, route: str = "/a", api: str = "weather", **terms: Any) -> list[str] | None:
        """The names of the limits that a request counts in; None: it is refused."""
        terms = {"identify": from_header("x-user"), **terms}
        headers = TextHeaders([("x-user", "ann")])
        request = MeteredRequest("GET", route, headers, client="203.0.113.7", at_ms=self.clock.now_ms, body=b"")
        exchange = Exchange(meter.metering(api, **terms), request)
        if isinstance(exchange.begin(), Answer):
            return None
        policy = dict(exchange.finish(MeteredResponse(200, TextHeaders([])))).get("ratelimit-policy", "")
        return [item.split('"')[1] for item in policy.split(", ") if item]


@pytest.fixture
def place(shared_url: str) -> Iterator[Place]:
    place = Place(shared_url)
    with place.one, place.other:
        yield place


def test_limit__set_in_one_process__holds_for_the_next_request_in_all(place: Place) -> None:
    assert [place.ask(meter) for meter in (place.one, place.other)] == [[], []]
    made = place.one.set_limit("weather", "2/day; on=api", name="few")
    assert (made.name, place.other.limits("weather")) == ("few", (made,))
    assert [place.ask(meter) for meter in (place.other, place.one, place.other)] == [["few"], ["few"], None]
    assert place.ask(place.one, api="maps") == []
    place.other.set_limit("weather", "3/day; on=api; name=few")
    assert place.ask(place.one) == ["few"]  # what was counted stays
    assert place.ask(place.other) is None
    assert place.one.remove_limit("weather", "few") is True
    assert [place.ask(meter) for meter in (place.other, place.one)] == [[], []]
    assert place.one.remove_limit("weather", "few") is False


def test_limit__set_under_the_name_of_one_in_code__is_in_its_place(place: Place) -> None:
    terms = {"limits": ["1/day; name=few", "9/day"]}
    assert place.ask(place.one, **terms) == ["few", "9-per-day"]
    assert place.ask(place.one, **terms) is None
    place.one.set_limit("weather", Limit("fixed", 2, days=1, name="few"))
    assert place.ask(place.other, **terms) == ["few", "9-per-day"]
    place.one.remove_limit("weather", "few")
    assert place.ask(place.one, **terms) is None


def test_limit__set_on_a_group__is_for_routes_of_the_group_alone(place: Place) -> None:
    place.one.set_limit("weather", "7/day; group=search; name=few")
    assert place.ask(place.one) == []
    assert place.ask(place.one, limits="5/day; group=search; name=usual") == ["usual", "few"]


def test_limit__of_anonymous_clients__is_known_after_a_time(place: Place) -> None:
    terms = {"identify": from_address()}
    assert place.ask(place.one, **terms) == []
    place.other.set_limit("weather", "9/day; name=few")
    assert place.ask(place.one, **terms) == []
    place.clock.now_ms += place.one.settings.cache_seconds * 1000
    assert place.ask(place.one, **terms) == ["few"]
    place.clock.now_ms = START_MS  # set back
    place.other.remove_limit("weather", "few")
    assert place.ask(place.one, **terms) == []


def test_limit__known_of_consumers__is_that_of_anonymous_clients_too(place: Place) -> None:
    assert place.ask(place.one, identify=from_address()) == []
    place.other.set_limit("weather", "9/day; name=few")
    assert place.ask(place.one) == ["few"]
    assert place.ask(place.one, identify=from_address()) == ["few"]


def test_limit__set_in_a_coroutine__is_set(place: Place) -> None:
    async def change() -> tuple[Limit, bool]:
        made = await place.one.aset_limit("weather", "2/day", name="few")
        return made, await place.one.aremove_limit("weather", "few")

    assert asyncio.run(change()) == (Limit("fixed", 2, days=1, name="few"), True)


@pytest.mark.parametrize(
    ("api", "limit", "name"),
    [
        ("", "1/day", ""), ("a" * 65, "1/day", ""), ("weather", "1/day; 2/hour", ""), ("weather", "", ""),
        ("weather", "1/day", "a/b"), ("weather", 5, ""),
    ],
)  # fmt: skip
def test_limit__that_cannot_be__is_not_set(place: Place, api: str, limit: Any, name: str) -> None:
    with pytest.raises(InvalidSetting):
        place.one.set_limit(api, limit, name=name)
    assert place.one.limits("weather") == ()
