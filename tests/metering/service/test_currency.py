"""The HTTP meter of a meter in another currency than GEN."""

from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.service import create_app

from .conftest import PEPPER, TOKEN, Service


def test_answers__of_a_meter_in_dollars__say_what_amounts_are_in() -> None:
    with (
        Meter.open("memory://", key_pepper=PEPPER, currency="USD") as meter,
        TestClient(create_app(meter, service_token=TOKEN)) as client,
    ):
        meter.add_consumer("acme")
        meter.grant("acme", "0.5 usd", grant_id="first")
        headers = {"authorization": f"Bearer {TOKEN}"}
        for path in ("balance", "usage", "records"):
            body = client.get(f"/v1/{path}?consumer=acme", headers=headers).json()
            assert (body["currency"], body["currency_decimals"]) == ("USD", 9)
        wanted = {"api": "chat", "consumer": "acme", "estimate_wei": str(6 * 10**8)}
        refused = client.post("/v1/reservations", json=wanted, headers=headers).json()
    assert refused["code"] == "insufficient_credit"
    assert (refused["free"], refused["estimate"]) == ("0.5 USD", "0.6 USD")
    assert (refused["free_wei"], refused["estimate_wei"]) == ("500000000", "600000000")


def test_balance__of_a_meter_in_gen__says_so(service: Service) -> None:
    body = service.get("/v1/balance", consumer=service.acme).json()
    assert (body["currency"], body["currency_decimals"]) == ("GEN", 18)
