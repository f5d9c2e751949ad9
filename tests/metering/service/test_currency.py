"""The HTTP meter of a meter in another currency than GEN."""

from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.clock import date_of
from api_billing.metering.service import create_app

from .conftest import ADMIN, PEPPER, TOKEN, Service


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


def test_administration__of_a_meter_in_dollars__says_what_amounts_are_in() -> None:
    with (
        Meter.open("memory://", key_pepper=PEPPER, currency="USD") as meter,
        TestClient(create_app(meter, service_token=TOKEN, admin_token=ADMIN)) as client,
    ):
        meter.add_consumer("acme")
        headers = {"authorization": f"Bearer {ADMIN}"}
        grant = {"consumer": "acme", "amount_wei": "500000000", "grant_id": "first"}
        month = meter.now_ms() // 86_400_000
        answers = [
            client.post("/v1/credit", json=grant, headers=headers),
            client.get("/v1/summary", headers=headers),
            client.get(f"/v1/statements?consumer=acme&month={date_of(month).isoformat()[:7]}", headers=headers),
        ]
    told = [(answer.json().get("currency"), answer.json().get("currency_decimals")) for answer in answers]
    assert told == [("USD", 9)] * 3, [answer.text for answer in answers]
