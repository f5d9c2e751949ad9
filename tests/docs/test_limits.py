"""The section about limits of requests does what it says."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api_billing.metering import Meter, parse_limits
from api_billing.testing import MeterClock, paying

from .test_documents import FENCE, text_of

SECTION = text_of("docs/limits.md").partition("\n## Limits of requests\n")[2].partition("\n## ")[0]


@pytest.fixture
def client(memory_meter: Meter, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(Meter, "open", lambda *_: memory_meter)
    names: dict[str, Any] = {"__name__": __name__}
    for kind, block in FENCE.findall(SECTION):
        if kind == "python":
            exec(block, names)
    return TestClient(names["app"])


def test_limits__of_a_route__hold_back_a_burst(
    client: TestClient, memory_meter: Meter, meter_clock: MeterClock
) -> None:
    acme = paying(memory_meter, "acme", 100)
    asked = [client.get("/forecast", headers=acme) for _ in range(11)]
    assert [answer.status_code for answer in asked] == [200] * 10 + [429]
    assert asked[-1].json()["violated-policies"] == ["5-per-second-bucket-burst-10"]
    assert asked[0].headers["ratelimit-policy"].count(";q=") >= 3
    meter_clock.advance(seconds=1)
    assert client.get("/forecast", headers=acme).status_code == 200


def test_limits__weighted_and_exempt_and_not_counted__are_as_they_say(client: TestClient, memory_meter: Meter) -> None:
    acme, monitor = paying(memory_meter, "acme", 100), paying(memory_meter, "monitor", 100)
    assert client.post("/search", json={"queries": ["x"] * 9}, headers=acme).status_code == 200
    assert client.post("/search", json={"queries": ["x"] * 2}, headers=acme).status_code == 429
    assert client.post("/search", json={"queries": ["x"] * 99}, headers=monitor).status_code == 200
    assert client.post("/search", json={"queries": ["x"]}, headers=acme).status_code == 200


def test_limits__of_clients_that_are_not_known__are_those_of_their_address(
    client: TestClient, memory_meter: Meter
) -> None:
    assert [client.get("/today").status_code for _ in range(6)] == [200] * 5 + [429]
    assert client.get("/today", headers=paying(memory_meter, "acme", 100)).status_code == 200


def test_table__of_texts__has_limits_that_can_be_read() -> None:
    cells = [line.split("|")[1] for line in SECTION.splitlines() if line.startswith("| `")]
    texts = [text for cell in cells for text in cell.split("`")[1::2]]
    assert len(texts) > 15
    for text in texts:
        written = text.removeprefix("…; ")
        if any(sign in written for sign in ("/", " per ")) or "=" in written:
            parse_limits(written if text[0].isdigit() else f"1/minute; {written}")
