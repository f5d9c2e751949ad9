"""The HTTP meter in this process, on a store in memory, with a clock that tests move."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter
from api_billing.metering.ledger.ids import new_id
from api_billing.metering.service import create_app

GWEI = 10**9
NOW_MS = 1_768_478_400_000  # 2026-01-15T12:00Z
TOKEN = "service-token-of-the-tests-0123456789"
ADMIN = "admin-token-of-the-tests-0123456789"
PEPPER = "pepper of the tests, long enough"
NUMBERS = count(1)


@dataclass
class Clock:
    """Milliseconds that only tests move."""

    ms: int = NOW_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class Service:
    """The HTTP meter as a service sees it, what is behind it, and two consumers of 100 Gwei each."""

    client: TestClient
    meter: Meter
    clock: Clock
    acme: str
    other: str
    keys: dict[str, str]

    def post(self, path: str, token: str = TOKEN, **body: Any) -> Any:
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    def reserve(self, **given: Any) -> Any:
        who = {} if "api_key" in given else {"consumer": self.acme}
        return self.post("/v1/reservations", **{"api": "weather", "estimate_wei": str(5 * GWEI), **who, **given})

    def end(self, how: str, reservation_id: str, **body: Any) -> Any:
        return self.post(f"/v1/reservations/{reservation_id}/{how}", **body)

    def get(self, path: str, token: str = TOKEN, **query: Any) -> Any:
        return self.client.get(path, params=query, headers={"Authorization": f"Bearer {token}"})

    def admin(self, method: str, path: str, token: str = ADMIN, body: Any = None, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.request(method, path, params=query or None, json=body, headers=headers)

    def new_id(self, at_ms: int | None = None) -> str:
        return new_id(self.clock.ms if at_ms is None else at_ms)


@pytest.fixture(scope="session")
def shared() -> Iterator[tuple[TestClient, Meter, Clock]]:
    """One HTTP meter: making the application takes longer than most tests."""
    clock = Clock()
    with (
        Meter.open("memory://", clock_ms=clock, randrange=lambda _: 0, key_pepper=PEPPER) as meter,
        TestClient(create_app(meter, service_token=TOKEN, admin_token=ADMIN), raise_server_exceptions=False) as client,
    ):
        yield client, meter, clock


@pytest.fixture
def service(shared: tuple[TestClient, Meter, Clock]) -> Service:
    """The HTTP meter with two consumers that only this test has."""
    client, meter, clock = shared
    clock.ms = NOW_MS
    number = next(NUMBERS)
    names = (f"acme {number}", f"other {number}")
    for consumer in names:
        meter.add_consumer(consumer)
        meter.grant(consumer, 100 * GWEI, grant_id=f"first of {consumer}")
    acme, other = (meter.create_key(consumer).text for consumer in names)
    return Service(client, meter, clock, *names, {"acme": acme, "other": other})
