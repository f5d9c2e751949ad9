"""The status page: who gets it, what it may load, and itself in Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from api_billing import __version__
from api_billing.metering import Meter, from_header
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import Reserve, Settle
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, TextHeaders
from api_billing.metering.service import create_app
from api_billing.metering.service.serving import listen, url_of
from demo.web_page import PAGE, install_packages

ROOT = Path(__file__).parents[3]
SERVICE_TOKEN, ADMIN_TOKEN = "service token of the tests", "admin token of the tests"
GWEI, DAY_MS = 10**9, 86_400_000
SHOTS = ROOT / ".cache" / "status-page-screenshots"
"""Each run leaves its screenshots there, to look at."""
SCRIPT = '<img src=x onerror="broken=true">'
SECONDS = 120
COST_WEI = GWEI * 1000 - 1
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


@pytest.fixture(scope="module")
def meter() -> Iterator[Meter]:
    """Sixty consumers, one with usage of some days, and a refusal."""
    with Meter.open("memory://", key_pepper="pepper of the tests, long enough") as meter:
        for number in range(60):
            meter.add_consumer(f"consumer {number:02}")
        meter.add_consumer(f"{SCRIPT} acme", tier="pro")
        meter.grant("consumer 00", 10**18, grant_id="first")
        meter.create_key("consumer 00", label="of the tests")
        dear = meter.metering("weather", estimate_wei=10**19, identify=from_header("x-consumer"))
        request = MeteredRequest("GET", "/", TextHeaders([("x-consumer", "consumer 00")]), at_ms=meter.now_ms())
        assert Exchange(dear, request).begin() is not None
        now_ms = meter.now_ms()
        for number, ago in enumerate((0, 0, 3, 12, 12, 12, 40)):
            record, at_ms = f"{number:026}", now_ms - ago * DAY_MS
            meter.store.call(
                Reserve(record, at_ms, at_ms + 60_000, "consumer 00", "weather", "consumer 00", GWEI * 1000)
            )
            meter.store.call(Settle(record, "consumer 00", at_ms, COST_WEI))
        yield meter


@pytest.fixture(scope="module")
def client(meter: Meter) -> TestClient:
    return TestClient(create_app(meter, service_token=SERVICE_TOKEN, admin_token=ADMIN_TOKEN))


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "html"), ("/static/status.css", "css"), ("/static/status.js", "java")]
)
def test_page__its_files__may_load_nothing_from_elsewhere(client: TestClient, path: str, kind: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, kind in answer.headers["content-type"]) == (200, True)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script>|<style| style=| on\w+=", answer.text)


@pytest.mark.parametrize("path", ["/static/status.html", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/x"])
def test_file__that_is_none_of_the_page__is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_page__without_an_admin_token__there_is_none(meter: Meter) -> None:
    client = TestClient(create_app(meter, service_token=SERVICE_TOKEN))
    assert [client.get(path).status_code for path in ("/", "/static/status.js", "/v1/status")] == [404] * 3


@pytest.mark.parametrize("token", ["", SERVICE_TOKEN, "another one"])
def test_status__without_the_admin_token__is_refused(client: TestClient, token: str) -> None:
    assert client.get("/v1/status", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_status__days__are_thirty_with_what_was_used(client: TestClient) -> None:
    status = client.get("/v1/status", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}).json()
    calls = [day["calls"] for day in status["days"]]
    assert (len(calls), calls[-1], calls[-4], calls[-13], sum(calls)) == (30, 2, 1, 3, 6)
    assert status["days"][-1]["charged_wei"] == str(2 * COST_WEI)
    assert (status["version"], status["store"], status["ok"], status["wrong"]) == (__version__, "memory", True, [])


def test_status__while_the_store_is_away__says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Meter.open("memory://", fail_open=True) as meter:
        client = TestClient(create_app(meter, service_token=SERVICE_TOKEN, admin_token=ADMIN_TOKEN))

        def fail(operations: Any) -> Any:
            raise StoreUnavailable("db-7 is away")

        with monkeypatch.context() as broken:
            broken.setattr(meter.store, "_perform", fail)
            status = client.get("/v1/status", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}).json()
    assert (status["ok"], status["days"]) == (False, [])
    assert status["wrong"] == [{"part": "store", "detail": "db-7 is away", "stops": True}]


@pytest.fixture(scope="module")
def url(meter: Meter) -> Iterator[str]:
    app = create_app(meter, service_token=SERVICE_TOKEN, admin_token=ADMIN_TOKEN)
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield url_of(listening)
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
def test_page__in_a_browser__shows_what_there_is_and_changes_nothing(url: str) -> None:
    install_packages(PAGE)
    SHOTS.mkdir(parents=True, exist_ok=True)
    facts = {
        "url": url,
        "token": ADMIN_TOKEN,
        "chromium": CHROMIUM,
        "modules": str(PAGE / "package.json"),
        "axe": str(PAGE / "node_modules" / "axe-core" / "axe.min.js"),
        "shots": str(SHOTS),
    }
    line = ["node", str(Path(__file__).with_name("status_page.mjs")), json.dumps(facts)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["refused"] == "This is not the admin token."
    assert seen["today"].split("\n") == ["Today", "2 calls", "0.000001999999999998 GEN"]
    assert seen["bars"] == "6 calls in 30 days; the most on one day: 3"
    assert (seen["health"].split("\n")[0], f"api-billing {__version__}" in seen["about"]) == ("All is well", True)
    assert seen["refusals"].split() == ["insufficient_credit", "1"]
    assert (seen["first"], seen["all"]) == (25, 50)
    assert (seen["found"], seen["scripted"]) == (f"{SCRIPT} acme", False)
    assert ("of the tests" in seen["keys"], "valid" in seen["keys"]) == (True, True)
    assert seen["stored"] == [1, 0, ""]
    assert (seen["outside"], seen["problems"], seen["wide"], seen["faults"]) == ([], [], [], [])
    assert seen["away"].split("\n") == ["Not known", "Away."]
    assert seen["after"] == [True, 0]
