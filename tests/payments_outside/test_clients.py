"""Clients of x402 and MPP that nobody here wrote pay a metered API, from the first 402 to the contract's bill."""

from __future__ import annotations

import json

import pytest

from tests.metering.settlement.places import PRICE

from .conftest import Clients
from .outsiders import MPP, X402
from .shop import PIECES, Shop

each = pytest.mark.parametrize("name", [*X402, *MPP])
by_x402 = pytest.mark.parametrize("name", X402)
by_mpp = pytest.mark.parametrize("name", MPP)


@each
def test_client__pays_calls_of_all_kinds__is_billed_to_the_wei(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    answers = [pays(f"{shop.url}{path}") for path in ("/forecast", "/half", "/forecast", "/free", "/half")]
    answers.append(pays(f"{shop.url}/summary", method="POST", json={"text": "long"}))
    assert [each.status for each in answers] == [200] * 6, answers
    assert json.loads(answers[-1].body)["body"] == {"text": "long"}
    shop.is_billed(4 * PRICE)
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(5 * PRICE)


@each
def test_client__of_a_stream__has_all_of_it(shop: Shop, client: Clients, name: str) -> None:
    answer = client(name)(f"{shop.url}/stream")
    assert (answer.status, answer.body) == (200, b"".join(PIECES).decode()), answer
    shop.is_billed(PRICE)


@each
def test_client__repeats_with_the_same_key__has_the_same_response_for_nothing(
    shop: Shop, client: Clients, name: str
) -> None:
    pays = client(name)
    first, again = (
        pays(f"{shop.url}/summary", method="POST", json={}, headers={"idempotency-key": "one"}) for _ in range(2)
    )
    assert (first.status, again.status, first.body) == (200, 200, again.body), (first, again)
    assert pays(f"{shop.url}/forecast").status == 200
    shop.is_billed(2 * PRICE)


@each
def test_client__whose_request_fails__pays_nothing_and_goes_on(shop: Shop, client: Clients, name: str) -> None:
    pays = client(name)
    assert [pays(f"{shop.url}{path}").status for path in ("/forecast", "/boom", "/forecast")] == [200, 500, 200]
    shop.is_billed(2 * PRICE)
