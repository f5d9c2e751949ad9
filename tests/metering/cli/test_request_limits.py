"""Limits of requests on the command line."""

from typing import Any

import pytest


def test_limits__set_and_removed__are_listed_and_in_force(run: Any, meter: Any) -> None:
    assert "no limits were set" in run("limits", "list").out
    shown = run("limits", "set", "weather", "5/second; burst=10; per=address; tier.pro=none", "--name", "fast").out
    for part in ("weather", "fast", "5 per second", "bucket, burst 10", "address", "route", "pro no limit"):
        assert part in shown
    run("limits", "set", "weather", "0.5 gen/day; on=api")
    run("limits", "set", "maps", "1/minute")
    assert [limit.name for limit in meter.limits("weather")] == ["fast", "0.5-gen-per-day-on-api"]
    assert "0.5 GEN per day" in run("limits", "list").out
    found = run("limits", "list", "--api", "weather", "--json").json
    assert [(each["api"], each["name"], each["amount"]) for each in found] == [
        ("weather", "fast", "5"),
        ("weather", "0.5-gen-per-day-on-api", str(10**18 // 2)),
    ]
    assert "fast" not in run("limits", "remove", "weather", "fast").out
    assert "no limit 'fast' was set" in run("limits", "remove", "weather", "fast", code=2).err


def test_limit__of_an_api_without_requests__asks_for_its_name(run: Any, meter: Any) -> None:
    meter.charge("acme", 1, api="weather")
    assert "is that its name" not in run("limits", "set", "weather", "5/day").err
    assert "no request to weahter yet" in run("limits", "set", "weahter", "5/day").err


@pytest.mark.parametrize("limit", ["often", "1/day; 2/day", "5 usd/day"])
def test_limit__that_is_none__is_refused_with_how_to_write_it(run: Any, limit: str) -> None:
    assert run("limits", "set", "weather", limit, code=2).err
