"""Administration over HTTP: who may, and that what is told and changed is what the meter has."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.service import create_app

TOKEN = "service-token-of-the-tests-0123456789"


@pytest.mark.parametrize("path", ["/v1/consumers", "/v1/tiers"])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN, "{key}"])
def test_admin__other_credentials__are_refused(service: Any, path: str, token: str) -> None:
    answer = service.admin("GET", path, token.format(key=service.keys["acme"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_admin_token")


@pytest.mark.parametrize("path", ["/v1/consumers", "/v1/tiers"])
def test_admin__without_a_token_set__is_not_there(service: Any, path: str) -> None:
    client = TestClient(create_app(service.meter, service_token=TOKEN))
    for token in ("", TOKEN):
        answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("token", ["x" * 15, "é" * 7, TOKEN])
def test_admin_token__short_or_that_of_services__is_refused(service: Any, token: str) -> None:
    with pytest.raises(InvalidSetting, match="token"):
        create_app(service.meter, service_token=TOKEN, admin_token=token)


def test_admin_token__reads_the_usage_of_anybody(service: Any) -> None:
    answer = service.admin("GET", "/v1/usage", consumer=service.acme)
    assert answer.json() == {"consumer": service.acme, "usage": []}


def test_admin_token__does_not_meter(service: Any) -> None:
    answer = service.admin("POST", "/v1/reservations", body={})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_service_token")


def test_consumers__listed_by_pages__are_all_of_them_once() -> None:
    with Meter.open("memory://") as meter:
        for name in "cab":
            meter.add_consumer(name, tier="pro")
        client = TestClient(create_app(meter, service_token="x" * 16, admin_token="y" * 16))
        client.headers["Authorization"] = f"Bearer {'y' * 16}"
        first = client.get("/v1/consumers?limit=2").json()
        second = client.get(f"/v1/consumers?limit=2&after={first['next']}").json()
    assert [each["consumer"] for page in (first, second) for each in page["consumers"]] == ["a", "b", "c"]
    assert first["consumers"][0] == {"consumer": "a", "tier": "pro", "disabled": False, "quotas": [], "budgets": []}
    assert second["next"] is None


def test_tiers__listed__are_the_meters(service: Any) -> None:
    tiers = {tier["name"]: tier for tier in service.admin("GET", "/v1/tiers").json()["tiers"]}
    assert tiers["pro"] == {"name": "pro", "monthly_calls": "10000", "retention_days": 30, "quotas": []}
    assert tiers["enterprise"]["monthly_calls"] is None
