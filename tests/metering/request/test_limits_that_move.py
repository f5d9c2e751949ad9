"""Requests in windows that slide and in buckets, by a clock that the test moves: admitted, refused, told when."""

from collections.abc import Iterator
from typing import Any

import pytest

from api_billing.metering import Limit, Meter, from_header
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders

START_MS = 1_769_860_800_000


class Clock:
    """Stands still until it is moved."""

    now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Iterator[Meter]:
    with Meter.open("memory://", key_pepper="a pepper of the tests", clock_ms=clock) as meter:
        meter.add_consumer("ann", tier="enterprise")
        yield meter


def ask(meter: Meter, at_ms: int, status: int = 200, **terms: Any) -> dict[str, str]:
    """The fields of the answer, with its status."""
    request = MeteredRequest("GET", "/a", TextHeaders([("x-user", "ann")]), at_ms=at_ms, body=b"")
    exchange = Exchange(meter.metering("weather", identify=from_header("x-user"), **terms), request)
    answer = exchange.begin()
    if answer is not None:
        return {**dict(answer.headers), "status": str(answer.status), "body": answer.body.decode()}
    return {**dict(exchange.finish(MeteredResponse(status, TextHeaders([])))), "status": str(status)}


@pytest.mark.parametrize(
    ("limit", "frees_ms"),
    [(Limit("sliding", 3, minutes=1, name="l"), 60_000), (Limit("bucket", 6, minutes=1, burst=3, name="l"), 10_000)],
)
def test_refused_request__that_waits_as_it_is_told__is_served(
    meter: Meter, clock: Clock, limit: Limit, frees_ms: int
) -> None:
    fields = [ask(meter, clock(), limits=limit) for _ in range(3)]
    assert [each["ratelimit"] for each in fields] == [f'"l";r={left};t={frees_ms // 1000}' for left in (2, 1, 0)]
    clock.now_ms += 500
    refused = ask(meter, clock(), limits=limit)
    assert refused["status"] == "429"
    assert refused["ratelimit"] == f'"l";r=0;t={frees_ms // 1000}'
    assert '"violated-policies":["l"]' in refused["body"]
    # Never earlier; by chance a tenth of that later.
    assert frees_ms // 1000 <= int(refused["retry-after"]) <= frees_ms // 1000 * 11 // 10
    clock.now_ms = START_MS + frees_ms - 1
    assert ask(meter, clock(), limits=limit)["status"] == "429"
    clock.now_ms += 1
    assert ask(meter, clock(), limits=limit)["status"] == "200"


@pytest.mark.parametrize("limit", ["3/minute; window=sliding", "6/minute; burst=3"])
def test_answers_that_do_not_count__leave_the_limit_as_it_was(meter: Meter, clock: Clock, limit: str) -> None:
    terms = {"limits": limit, "count_when": lambda request, response: response.status < 400}
    for _ in range(5):
        assert ask(meter, clock(), 404, **terms)["x-ratelimit-remaining"] == "3"
    assert [ask(meter, clock(), **terms)["status"] for _ in range(4)] == ["200", "200", "200", "429"]


def test_request_of_a_weight__is_told_when_there_is_room_for_all_of_it(meter: Meter, clock: Clock) -> None:
    limit = Limit("sliding", 5, minutes=1, name="l")
    for weight in (2, 1, 2):
        ask(meter, clock(), limits=limit, units=weight)
        clock.now_ms += 1000
    assert ask(meter, clock(), limits=limit, units=1)["ratelimit"] == '"l";r=0;t=57'
    assert ask(meter, clock(), limits=limit, units=3)["ratelimit"] == '"l";r=0;t=58'


def test_fixed_and_moving_limits__of_one_request__are_told_together(meter: Meter, clock: Clock) -> None:
    fields = ask(meter, clock(), limits=["100/day", "5/second; burst=10", "20/minute; window=sliding"])
    policy = '"100-per-day";q=100;w=86400, "5-per-second-bucket-burst-10";q=5;w=1, "20-per-minute-sliding";q=20;w=60'
    assert fields["ratelimit-policy"] == policy
    assert [item.partition(";")[2] for item in fields["ratelimit"].split(", ")] == [
        "r=99;t=43200",
        "r=9;t=1",
        "r=19;t=60",
    ]
