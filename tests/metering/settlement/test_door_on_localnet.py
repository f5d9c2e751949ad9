"""Payment at the door of an application, by both protocols, from the first 402 to the contract's bill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.web.fastapi import metered
from api_billing.networks import Network
from api_billing.payments import mpp, x402
from api_billing.payments.mpp import Credential
from api_billing.vouchers import Voucher
from genlayer_localnet.testing.plugin import server_fixture

from .places import PRICE, SessionPlace

server = server_fixture(scope="module", finality_window_seconds=3_600)


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str) -> Iterator[SessionPlace]:
    made = SessionPlace(request.node.nodeid, network, contract)
    with made.store:
        yield made


def application(place: SessionPlace) -> TestClient:
    """An API at a price of a call, half of which it charges."""
    given = {"payments": "x402,mpp", "holds_from": "accepted", "credit_refresh_seconds": 1}
    settings = MeterSettings.load(store_url="memory://", contract=place.contract, url=place.network.url, **given)
    meter = Meter(place.store, settings, clock_ms=place.now_ms)
    meter.on_chain = OnChain(place.operator, place.store, settings, place.now_ms, place.alerts.append)
    meter.on_chain.start = lambda: None  # type: ignore[method-assign]
    app = FastAPI()

    @app.get("/forecast")
    @metered(meter, api=place.api, estimate_wei=PRICE, price=PRICE // 2)
    async def forecast() -> str:
        return "sunny"

    return TestClient(app)


def credential(place: SessionPlace, answer: Any, by: Voucher, **given: Any) -> dict[str, str]:
    (challenge,) = mpp.challenges_in([answer.headers["www-authenticate"]])
    offer = mpp.offer_of(challenge)
    channel = offer.channel(place.who, place.signer, by.salt)
    payload = mpp.voucher_payload(channel.id, by, **given)
    return {"Authorization": Credential(challenge, payload, mpp.source_of(offer.chain_id, place.who)).value()}


def payment(place: SessionPlace, answer: Any, by: Voucher) -> dict[str, str]:
    ((offer, accepted),), message = x402.offers_in(answer.headers["payment-required"])
    channel = offer.channel(place.who, place.signer, by.salt)
    return {"PAYMENT-SIGNATURE": x402.payment_value(channel, by, accepted, resource=message["resource"])}


def test_application__paid_by_both_protocols__has_its_bill_settled(place: SessionPlace) -> None:
    client = application(place)
    asked = client.get("/forecast")
    assert asked.status_code == 402
    for number, spent in enumerate((500, 1000, 1500)):
        served = client.get("/forecast", headers=credential(place, asked, place.sign(PRICE + 500 * number)))
        assert (served.status_code, served.json()) == (200, "sunny")
        assert mpp.read_receipt(served.headers["payment-receipt"])["spent"] == str(spent)
    other = [payment(place, asked, place.sign(PRICE + 500 * number, 1)) for number in range(2)]
    for number, field in enumerate(other):
        served = client.get("/forecast", headers=field)
        told = x402.read_response(served.headers["payment-response"])["extra"]
        assert (served.status_code, told["chargedAmount"]) == (200, "500")
        assert told["channelState"]["chargedCumulativeAmount"] == str(500 * (number + 1))
    place.served_wei = 2_500
    assert place.settle().status == "done"
    place.is_billed_once()


def test_application__closed_by_its_payer__has_released_the_hold_with_the_last_bill(place: SessionPlace) -> None:
    client = application(place)
    asked = client.get("/forecast")
    assert client.get("/forecast", headers=credential(place, asked, place.sign(PRICE))).status_code == 200
    closed = client.get("/forecast", headers=credential(place, asked, place.sign(PRICE), action="close"))
    assert (closed.status_code, mpp.read_receipt(closed.headers["payment-receipt"])["final"]) == (204, True)
    after = client.get("/forecast", headers=credential(place, asked, place.sign(9 * PRICE)))
    assert (after.status_code, after.json()["code"]) == (402, "session_closing")
    assert place.settle().status == "done"
    assert place.consumer.get_usage_report(place.who).held_wei == 0
    assert place.earned_wei() == 500
