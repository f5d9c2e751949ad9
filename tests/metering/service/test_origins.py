"""Which web pages may ask the HTTP meter from a browser."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.errors import InvalidSetting
from api_billing.metering.service import create_app

from .conftest import ADMIN, PEPPER, TOKEN

PAGE = "https://dapp.example"
PLACES = ("/", "/app", ":", ":443")
NOT_SENT = ("*", "null", "dapp.example", "file://", "HTTPS://DAPP.EXAMPLE", "http://dapp.example:80", "http://[::1")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with (
        Meter.open("memory://", key_pepper=PEPPER, admin_origins=(PAGE, "http://[::1]:4000")) as meter,
        TestClient(create_app(meter, service_token=TOKEN, admin_token=ADMIN)) as client,
    ):
        yield client


def asked(client: TestClient, origin: str, method: str = "GET") -> dict[str, str]:
    """The header fields of the answer to a browser that asks before it asks."""
    wants = {"access-control-request-method": method, "access-control-request-headers": "authorization"}
    return dict(client.options("/v1/summary", headers={"origin": origin, **wants}).headers)


@pytest.mark.parametrize("origin", [PAGE, "http://[::1]:4000"])
def test_page__of_a_named_origin__may_ask_with_the_token(client: TestClient, origin: str) -> None:
    assert asked(client, origin)["access-control-allow-origin"] == origin
    answer = client.get("/v1/summary", headers={"origin": origin, "authorization": f"Bearer {ADMIN}"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", f"{PAGE}.evil.example", f"{PAGE}:8443", "null"])
def test_page__of_another_origin__may_not(client: TestClient, origin: str) -> None:
    assert "access-control-allow-origin" not in asked(client, origin)
    answer = client.get("/v1/summary", headers={"origin": origin, "authorization": f"Bearer {ADMIN}"})
    assert "access-control-allow-origin" not in answer.headers


def test_page__of_a_named_origin_without_the_token__is_told_nothing_but_that(client: TestClient) -> None:
    answer = client.get("/v1/summary", headers={"origin": PAGE})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_admin_token")
    assert answer.headers["access-control-allow-origin"] == PAGE  # so that the page can read why


def test_page__with_no_origins_set__is_as_any_other(service) -> None:
    assert "access-control-allow-origin" not in asked(service.client, PAGE)


@pytest.mark.parametrize("origin", [*NOT_SENT, *(PAGE + each for each in PLACES)])
def test_origins__that_no_browser_sends__are_refused(origin: str) -> None:
    with pytest.raises(InvalidSetting, match="origin"):
        Meter.open("memory://", admin_origins=(origin,))
