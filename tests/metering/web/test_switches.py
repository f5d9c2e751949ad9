"""What an operator switches off in an emergency: by the environment, seen by requests to a FastAPI application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api_billing.metering import Budget, Meter, Quota, Step, current_exchange, from_header
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.service import create_app
from api_billing.metering.settings import SWITCHES, MeterSettings
from api_billing.metering.web.fastapi import metered

TOKEN = "x" * 16
AWAY = "postgresql:///postgres?host=/nowhere&user=meter"


class App:
    """A metered application, and who asks it."""

    def __init__(self, meter: Meter, **terms: Any) -> None:
        self.meter = meter
        app = FastAPI()

        @app.get("/a")
        @metered(meter, **{"api": "weather", "estimate_wei": 10, **terms})
        async def handler() -> str:
            exchange = current_exchange()
            assert exchange is not None
            exchange.tag(model="small")
            return "served"

        self._client = TestClient(app)

    def get(self, **fields: str) -> Any:
        return self._client.get("/a", headers={"X-Consumer": "ann", **fields})

    def statuses(self, times: int, **fields: str) -> list[int]:
        return [self.get(**fields).status_code for _ in range(times)]


Open = Callable[..., Meter]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a meter with these switches off, as the environment says."""
    with ExitStack() as stack:

        def open_with(*off: str, url: str = "memory://", **settings: Any) -> Meter:
            for name in off:
                monkeypatch.setenv(f"API_BILLING_{name.upper()}", "false")
            meter = stack.enter_context(Meter.open(url, identify=from_header("X-Consumer"), **settings))
            if url == "memory://":
                meter.add_consumer("ann", tier="enterprise")
                meter.grant("ann", 1_000, grant_id="first")
            return meter

        yield open_with


def test_enabled__off__serves_everybody_unmetered(opened: Open) -> None:
    meter = opened("enabled")
    app = App(meter, estimate_wei=5_000)
    assert (app.get().status_code, app.get(**{"X-Consumer": "nobody"}).json()) == (200, "served")
    assert (meter.balance("ann").charged_wei, meter.store.call(ListRecords())) == (0, ())


def test_enabled__on__refuses_who_has_no_credit(opened: Open) -> None:
    app = App(opened(), estimate_wei=5_000)
    assert (app.get().status_code, app.get(**{"X-Consumer": "nobody"}).status_code) == (402, 403)


def test_enabled__off_and_store_away__opens_and_serves(opened: Open) -> None:
    pytest.importorskip("psycopg")
    meter = opened("enabled", url=AWAY, new_consumers="free")
    assert App(meter).get().status_code == 200
    assert [(each.part, each.stops) for each in meter.healthy().wrong] == [("settings", False)]


def test_enabled__off__jobs_go_unmetered(opened: Open) -> None:
    charged = opened("enabled").charge("ann", 5_000, api="weather")
    assert (charged.charged_wei, charged.record_id) == (0, "")


def test_enabled__off__http_meter_lets_services_serve(opened: Open) -> None:
    meter = opened("enabled", url="sqlite:////nowhere/meter.db")
    client = TestClient(create_app(meter, service_token=TOKEN))
    fields = {"Authorization": f"Bearer {TOKEN}"}
    body = {"api": "weather", "api_key": "ab_x", "estimate_wei": "5000"}
    made = client.post("/v1/reservations", json=body, headers=fields)
    assert made.status_code == 201
    for how, state in (("extend", None), ("settle", "settled"), ("release", "released")):
        ended = client.post(f"/v1/reservations/{made.json()['id']}/{how}", headers=fields)
        assert (ended.status_code, ended.json().get("state")) == (200, state)
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(("off", "last"), [((), 429), (("enforce_limits",), 200), (("enforce_budgets",), 429)])
@pytest.mark.parametrize("kind", ["quota", "limit", "bucket"])
def test_enforce_limits__off__counts_and_refuses_nothing(
    opened: Open, off: tuple[str, ...], last: int, kind: str
) -> None:
    meter = opened(*off)
    limits = {"limit": ["2/hour"], "bucket": ["2/hour; burst=2"]}.get(kind, [])
    if kind == "quota":
        meter.change_consumer("ann", quotas=[Quota("few", "day", 2)])
    app = App(meter, limits=limits)
    assert app.statuses(4)[-1] == last
    assert app.get().status_code == last


@pytest.mark.parametrize(("off", "last"), [((), 402), (("enforce_budgets",), 200), (("enforce_limits",), 402)])
def test_enforce_budgets__off__counts_and_refuses_nothing(opened: Open, off: tuple[str, ...], last: int) -> None:
    meter = opened(*off)
    meter.change_consumer("ann", budgets=[Budget("small", "day", 25, (Step(100, "reject"),))])
    assert App(meter).statuses(4) == [200, 200, last, last]


@pytest.mark.parametrize(("off", "sent"), [((), True), (("send_alerts",), False)])
def test_send_alerts__off__nobody_is_alerted(
    opened: Open, off: tuple[str, ...], sent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    meter = opened(*off)
    with caplog.at_level(logging.INFO):
        App(meter, estimate_wei=1_000).statuses(2)
        meter.close()  # delivers what waits
    assert any("metering.alerts" in record.name for record in caplog.records) == sent


@pytest.mark.parametrize(("off", "charged_wei"), [((), 10), (("idempotency",), 20)])
def test_idempotency__off__each_request_is_served(opened: Open, off: tuple[str, ...], charged_wei: int) -> None:
    meter = opened(*off)
    assert App(meter).statuses(2, **{"Idempotency-Key": "same"}) == [200, 200]
    assert meter.balance("ann").charged_wei == charged_wei


@pytest.mark.parametrize(("off", "codes"), [((), ["insufficient_credit"]), (("record_refusals",), [])])
def test_record_refusals__off__leaves_no_record(opened: Open, off: tuple[str, ...], codes: list[str]) -> None:
    meter = opened(*off)
    assert App(meter, estimate_wei=5_000).get().status_code == 402
    assert [record.code for record in meter.store.call(ListRecords())] == codes


def test_switches__off__are_told_once_and_in_the_health(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    meter = opened("enforce_limits", "send_alerts")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["switched off by settings: enforce_limits, send_alerts"]
    assert [each.detail for each in meter.healthy().wrong] == ["switched off: enforce_limits, send_alerts"]
    assert meter.healthy().ok


def test_switches__by_default__are_on(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    assert MeterSettings.load().switched_off == []
    opened()
    assert not [record for record in caplog.records if "switched off" in record.getMessage()]


def test_switches__every_one__has_a_test_here() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in SWITCHES if f"def test_{name}__off" not in tests] == []
