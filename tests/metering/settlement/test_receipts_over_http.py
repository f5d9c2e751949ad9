"""Receipts at the HTTP meter: the service that serves is another process, and may be any of several."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.ledger.operations import GetRecord, SumUsage
from api_billing.metering.service import create_app
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.cutting import Cutter
from api_billing.metering.settlement.on_chain import OnChain
from api_billing.metering.stores.steps import run

from .world import API, DAY_MS, NOON_MS, World, address

TOKEN = "service-token-of-the-tests-0123456789"
WHO = address(7)
RECEIPT = f"{API}:{WHO}:{NOON_MS // DAY_MS}:1"
KEPT = {"status": 200, "headers": [["content-type", "text/plain"]], "body_base64": base64.b64encode(b"sunny").decode()}


class Service:
    """An HTTP meter on the world's store and chain; each is a process of its own."""

    def __init__(self, world: World, **given: Any) -> None:
        values = {"store_url": "memory://", "contract": world.chain.contract, "receipt_wait_seconds": 0, **given}
        settings = MeterSettings.load(**values)
        self.world = world
        self.meter = Meter(world.store, settings, clock_ms=lambda: world.now_ms)
        if settings.contract:
            chain: Any = world.chain
            self.meter.on_chain = OnChain(chain, world.store, settings, lambda: world.now_ms, world.alerts.append)
        self.meter.keeper.start = lambda: None  # type: ignore[method-assign]
        # Without a context: the application does not end the store that the other one uses.
        self.client = TestClient(create_app(self.meter, service_token=TOKEN), raise_server_exceptions=False)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})

    def reserve(self, receipt: str = RECEIPT, fingerprint: str = "GET /forecast", **given: Any) -> Any:
        claim = {"id": receipt, "fingerprint": fingerprint.replace(" ", ":")}
        return self.post("/v1/reservations", **{"api": API, "estimate_wei": "50", "receipt": claim, **given})

    def settle(self, reservation_id: str, **body: Any) -> Any:
        return self.post(f"/v1/reservations/{reservation_id}/settle", **body)

    def served(self, **given: Any) -> str:
        reservation_id: str = self.reserve().json()["id"]
        assert self.settle(reservation_id, **{"response": KEPT, **given}).status_code == 200
        return reservation_id


@pytest.fixture
def service(world: World) -> Service:
    world.chain.subscribe(API, WHO, receipts={NOON_MS // DAY_MS: 2})
    return Service(world)


def code_of(answer: Any) -> tuple[int, str, Any]:
    problem = answer.json()
    return answer.status_code, problem["code"], problem.get("reason")


def test_reserve__with_a_receipt__needs_neither_consumer_nor_credit(service: Service) -> None:
    answer = service.reserve()
    found = answer.json()
    assert (answer.status_code, found["consumer"], found["estimate_wei"], found["limits"]) == (201, WHO, "0", [])


def test_settle__with_a_receipt__charges_nothing_and_is_in_no_batch(service: Service) -> None:
    reservation_id = service.reserve().json()["id"]
    answer = service.settle(reservation_id, cost_wei="70", response=KEPT)
    assert (answer.json()["charged_wei"], answer.json()["uncollected_wei"]) == ("0", "0")
    assert service.world.call(GetRecord(reservation_id)).state == "redeemed"
    assert service.world.call(SumUsage()) == ()
    assert run(Cutter(API).step(service.world.now_ms), service.world.call) is None


def test_reserve__with_a_used_receipt__replays_the_response(service: Service) -> None:
    service.served()
    answer = service.reserve()
    assert (answer.status_code, answer.json()["state"], answer.json()["response"]) == (200, "replayed", KEPT)


@pytest.mark.parametrize("other_process", [False, True])
def test_settle__without_a_response__uses_the_receipt_up(service: Service, other_process: bool) -> None:
    reservation_id = service.reserve().json()["id"]
    ending = Service(service.world) if other_process else service
    assert ending.settle(reservation_id).status_code == 200
    response = service.reserve().json()["response"]
    assert response["status"] == 410
    assert b"receipt_used" in base64.b64decode(response["body_base64"])


def test_settle__response_too_large__uses_the_receipt_up(service: Service) -> None:
    other = Service(service.world, max_stored_bytes=4)
    reservation_id = other.reserve().json()["id"]
    other.settle(reservation_id, response=KEPT)
    assert service.reserve().json()["response"]["status"] == 410


def test_release__or_free_status__leaves_the_receipt_usable(service: Service) -> None:
    for _ in range(2):
        reservation_id = service.reserve().json()["id"]
        assert service.settle(reservation_id, status=503).json()["state"] == "released"
    assert service.reserve().status_code == 201


def test_reserve__again_with_its_id__is_the_same_reservation(service: Service) -> None:
    from api_billing.metering.ledger.ids import new_id

    chosen = new_id(service.world.now_ms)
    assert [service.reserve(id=chosen).json()["id"] for _ in range(2)] == [chosen, chosen]
    assert code_of(service.reserve())[:2] == (409, "receipt_in_progress")


def test_reserve__receipt_refused__says_why(service: Service) -> None:
    service.served()
    assert code_of(service.reserve(fingerprint="GET /tides")) == (422, "receipt_mismatch", None)
    assert code_of(service.reserve(RECEIPT[:-1] + "9")) == (402, "invalid_receipt", "unknown")
    assert code_of(service.reserve("17")) == (402, "invalid_receipt", "malformed")
    assert code_of(service.reserve(api="tides")) == (402, "invalid_receipt", "other_api")
    service.world.chain.readable = False
    assert code_of(service.reserve(RECEIPT[:-1] + "2")) == (503, "meter_unavailable", "chain_unavailable")


def test_reserve__receipt_without_a_contract__is_the_services_mistake(world: World) -> None:
    service = Service(world, contract="")
    assert code_of(service.reserve())[:2] == (400, "invalid_request")


@pytest.mark.parametrize("also", [{"consumer": WHO}, {"api_key": "ab_key"}])
def test_reserve__receipt_and_another_identity__is_not_valid(service: Service, also: dict[str, str]) -> None:
    assert code_of(service.reserve(**also))[:2] == (400, "invalid_request")
