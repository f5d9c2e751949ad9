"""The HTTP meter of a meter in another currency than GEN."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
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


@pytest.fixture
def dollars() -> Iterator[TestClient]:
    """An HTTP meter in dollars, asked by who administers it."""
    with (
        Meter.open("memory://", key_pepper=PEPPER, currency="USD") as meter,
        TestClient(create_app(meter, service_token=TOKEN, admin_token=ADMIN)) as client,
    ):
        meter.add_consumer("acme")
        client.headers["authorization"] = f"Bearer {ADMIN}"
        yield client


DAY = {"name": "a", "period": "day", "unit": "wei"}


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/v1/credit", {"consumer": "acme", "amount_wei": "5 usd", "grant_id": "a"}, "free_wei"),
        ("POST", "/v1/keys", {"consumer": "acme", "cap_wei": "5usd"}, "limit"),
        ("POST", "/v1/keys", {"consumer": "acme", "quotas": [{**DAY, "limit": "5 USD"}]}, "limit"),
        ("POST", "/v1/consumers", {"consumer": "b", "quotas": [{**DAY, "limit": "5.00 usd"}]}, "limit"),
        (
            "PATCH",
            "/v1/consumers/acme",
            {"budgets": [{"name": "b", "period": "day", "limit_wei": "5 usd"}]},
            "limit_wei",
        ),
        ("PUT", "/v1/tiers", {"name": "t", "monthly_calls": None, "quotas": [{**DAY, "limit": "5 usd"}]}, "limit"),
    ],
)
def test_amount__as_a_text_with_its_unit__is_that_of_smallest_units(
    dollars: TestClient, method: str, path: str, body: dict[str, Any], told: str
) -> None:
    answer = dollars.request(method, path, json=body)
    assert f'"{told}":"5000000000"' in answer.text


def test_amount__taken_back_as_a_text__is_taken_back(dollars: TestClient) -> None:
    for amount, left in (("5 usd", "5000000000"), ("-2 usd", "3000000000"), ("-1", "2999999999")):
        body = {"consumer": "acme", "amount_wei": amount, "grant_id": amount}
        assert dollars.post("/v1/credit", json=body).json()["free_wei"] == left


@pytest.mark.parametrize(
    ("amount", "problem"),
    [
        ("5 gen", "unknown unit 'gen', and money is counted in USD here: write it as 0.5usd"),
        ("0.0000000001 usd", "more decimals than USD has"),
        ("5.5", "or an amount with its unit, such as '0.002 usd'"),
        ("", "or an amount with its unit"),
        ("much", "or an amount with its unit"),
        ("٣", "or an amount with its unit"),
        ("--5", "or an amount with its unit"),
        ("9" * 78, "at most 2^256 - 1"),
        ("9" * 6_000, "or an amount with its unit"),
        ("007", "or an amount with its unit"),
        (5, "valid string"),
    ],
)
def test_amount__that_is_none__is_refused_with_how_to_write_it(dollars: TestClient, amount: Any, problem: str) -> None:
    for path, body in (
        ("/v1/credit", {"consumer": "acme", "amount_wei": amount, "grant_id": "a"}),
        ("/v1/keys", {"consumer": "acme", "cap_wei": amount}),
    ):
        answer = dollars.post(path, json=body)
        assert (answer.status_code, problem in answer.json()["detail"]) == (400, True), answer.text


@pytest.mark.parametrize("limit", ["-1", "-5 usd"])
def test_amount__of_a_limit_below_nothing__is_refused(dollars: TestClient, limit: str) -> None:
    answer = dollars.post("/v1/keys", json={"consumer": "acme", "cap_wei": limit})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "body.cap_wei")


def test_calls__as_an_amount_of_money__are_refused(dollars: TestClient) -> None:
    quota = {**DAY, "unit": "calls", "limit": "5 usd"}
    answer = dollars.post("/v1/consumers", json={"consumer": "b", "quotas": [quota]})
    assert (answer.status_code, "is a whole number" in answer.json()["detail"]) == (400, True)


def test_description__of_amounts__is_of_texts_in_requests_and_digits_in_answers(dollars: TestClient) -> None:
    schemas = dollars.get("/openapi.json").json()["components"]["schemas"]
    asked, told = (schemas[f"QuotaBody-{each}"]["properties"]["limit"]["pattern"] for each in ("Input", "Output"))
    assert [bool(re.search(pattern, "5 usd")) for pattern in (asked, told)] == [True, False]
    assert [bool(re.search(pattern, "5")) for pattern in (asked, told)] == [True, True]
