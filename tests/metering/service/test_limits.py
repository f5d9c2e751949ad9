"""Limits of requests over HTTP: with a reservation, and changed by who administers."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering.service import create_app

from .conftest import GWEI

TOKEN = "service-token-of-the-tests-0123456789"


def names(answer: Any) -> list[str]:
    return [each["name"] for each in answer.json()["limits"]]


def violated(answer: Any) -> list[str]:
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    found: list[str] = answer.json()["violated-policies"]
    return found


def test_reserve__with_limits__counts_in_them_until_they_are_used_up(service: Any) -> None:
    given = {"limits": ["2/day; name=few", "9/day; on=api; name=many"], "route": "/forecast"}
    first = service.reserve(**given)
    assert names(first) == ["month", "few", "many"]
    assert '"few";r=1;t=43200' in first.headers["ratelimit"]
    assert names(service.reserve(**given)) == ["month", "few", "many"]
    assert violated(service.reserve(**given)) == ["few"]
    assert service.reserve(**{**given, "route": "/other"}).status_code == 201
    assert service.reserve(**{**given, "operation": "other"}).status_code == 201


def test_reserve__with_units__weighs_so_much_in_limits_of_calls(service: Any) -> None:
    given = {"limits": ["10/day; name=few"], "units": 7}
    assert service.reserve(**given).status_code == 201
    assert violated(service.reserve(**given)) == ["few"]
    assert service.reserve(**{**given, "units": 3}).status_code == 201


def test_reserve__with_an_address__counts_per_address(service: Any) -> None:
    given = {"limits": [f"1/day; per=address; on=api; name={service.acme}"]}
    asked = [
        service.reserve(**given, address=address).status_code
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "203.0.113.7", "::ffff:203.0.113.7")
    ]
    assert asked == [201, 429, 201, 201, 429]


def test_reserve__with_a_key__counts_per_key(service: Any) -> None:
    given = {"limits": ["1/day; per=key; name=few"], "api_key": service.keys["acme"]}
    assert [service.reserve(**given).status_code for _ in range(2)] == [201, 429]
    assert service.reserve(**{**given, "api_key": service.meter.create_key(service.acme).text}).status_code == 201


def test_settled__of_a_reservation_with_limits__says_what_is_left(service: Any) -> None:
    reservation = service.reserve(limits=["5/day; name=few"]).json()["id"]
    fields = service.end("settle", reservation, cost_wei="1").json()["fields"]
    assert '"few";r=4;' in fields["ratelimit"]


@pytest.mark.parametrize("by", ["the same process", "another one"])
def test_settled__as_one_that_does_not_count__counts_in_no_limit_of_calls(service: Any, by: str) -> None:
    given = {"limits": ["1/day; name=few", "5 gen/day; name=spent"]}
    reservation = service.reserve(**given).json()["id"]
    assert violated(service.reserve(**given)) == ["few"]
    if by == "another one":
        other = TestClient(create_app(service.meter, service_token=TOKEN), headers={"Authorization": f"Bearer {TOKEN}"})
        ended = other.post(f"/v1/reservations/{reservation}/settle", json={"counts": False})
    else:
        ended = service.end("settle", reservation, counts=False)
    assert ended.json()["charged_wei"] == str(5 * GWEI)
    again = service.reserve(**given)
    assert re.findall(r'"(month|few|spent)";r=(\d+)', again.headers["ratelimit"]) == [
        ("month", "998"),
        ("few", "0"),
        ("spent", "4999999990"),  # of 5 GEN, in Gwei: money counts as it is charged
    ]
    assert violated(service.reserve(**given)) == ["few"]


@pytest.mark.parametrize(
    "limits", ["1/day", ["100 a minute"], [5], ["1/day", "1/day"], ["1/day"] * 17, ["x" * 401], ["5 usd/day"]]
)
def test_reserve__with_limits_that_are_none__is_refused(service: Any, limits: Any) -> None:
    answer = service.reserve(limits=limits)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "limits" in answer.json()["detail"]


@pytest.fixture
def api(service: Any) -> str:
    """An API that only this test has: the meter is that of all."""
    return service.acme.replace(" ", "-")  # type: ignore[no-any-return]


def test_limit__set_over_http__holds_for_the_next_reservation(service: Any, api: str) -> None:
    body = {"api": api, "limit": "1/2 hours; on=api; tier.pro=5; tier.enterprise=none", "name": "few"}
    answer = service.admin("PUT", "/v1/limits", body=body)
    told = {
        "api": api, "name": "few", "window": "fixed", "amount": "1", "unit": "calls", "hours": 2, "burst": "0",
        "anchor": None, "per": "consumer", "on": "api", "group": "", "by_tier": {"pro": "5", "enterprise": None},
    }  # fmt: skip
    assert (answer.status_code, answer.json()) == (200, told)
    assert service.admin("GET", "/v1/limits", api=api).json() == {"limits": [told]}
    assert told in service.admin("GET", "/v1/limits").json()["limits"]
    assert [service.reserve(api=api).status_code for _ in range(2)] == [201, 429]
    assert service.admin("DELETE", "/v1/limits", api=api, name="few").json() == {"removed": True}
    assert service.admin("DELETE", "/v1/limits", api=api, name="few").json() == {"removed": False}
    assert service.reserve(api=api).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"limit": "1/day"}, {"api": "a b", "limit": "1/day"}, {"api": "a", "limit": "often"}, {"api": "a", "limit": 1},
        {"api": "a", "limit": "1/day; 2/hour"}, {"api": "a", "limit": "1/day", "name": "a/b"},
    ],
)  # fmt: skip
def test_limit__that_cannot_be__is_not_set_over_http(service: Any, body: dict[str, Any]) -> None:
    answer = service.admin("PUT", "/v1/limits", body=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_limits__without_the_admin_token__are_not_told_and_not_changed(service: Any, method: str) -> None:
    given = {"body": {"api": "weather", "limit": "1/day"}} if method == "PUT" else {"api": "weather", "name": "x"}
    for token in ("", TOKEN, service.keys["acme"]):
        answer = service.admin(method, "/v1/limits", token, **given)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_admin_token")
    client = TestClient(create_app(service.meter, service_token=TOKEN))
    answer = client.request(method, "/v1/limits", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code in (404, 405)
