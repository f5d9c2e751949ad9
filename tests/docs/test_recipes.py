"""The recipes do what they say."""

import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api_billing.metering import Meter, api_key, first_of
from api_billing.metering.alerts.alert import AlertKind
from api_billing.metering.alerts.channels import signed_headers
from api_billing.metering.web.fastapi import metered
from api_billing.testing import MeterClock, paying

from .test_documents import FENCE, ROOT, python_of, spans_of, text_of


def blocks_of(heading: str) -> list[str]:
    section = text_of("docs/recipes.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block for kind, block in FENCE.findall(section) if kind == "python"]


def names_of(heading: str, **given: Any) -> dict[str, Any]:
    given["__name__"] = __name__
    for block in blocks_of(heading):
        exec(block, given)
    return given


def test_test_of_an_application__passes(tmp_path: Path) -> None:
    module = tmp_path / "test_example.py"
    module.write_text(blocks_of("Test your own application")[0], encoding="utf-8")
    without = [f"-pno:{plugin}" for plugin in ("cacheprovider", "gltest", "gltest_direct")]
    command = [sys.executable, "-m", "pytest", "-q", *without, "--rootdir", str(tmp_path), str(module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("page", ["README", "docs/metering", "docs/metering-fastapi", "docs/metering-flask"])
def test_examples__imported_by_a_test__have_the_store_of_its_environment(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_BILLING_STORE_URL", "memory://")
    names: dict[str, Any] = {"__name__": __name__}
    exec(python_of(f"{page}.md")[0], names)
    with names["meter"] as meter:
        assert meter.store.url == "memory://"
    assert not list(tmp_path.iterdir())


def test_credit_lock__served_and_failed__charges_the_time_and_nothing(memory_meter: Meter) -> None:
    app = names_of("Lock credit before, charge the real cost after")["create_app"](memory_meter)
    client, acme = TestClient(app, raise_server_exceptions=False), paying(memory_meter, "acme", 6_000)
    assert client.post("/render?fail=true", headers=acme).status_code == 500
    assert memory_meter.balance("acme").free_wei == 6_000
    assert client.post("/render", headers=acme).headers["x-cost-wei"] == "100"  # the clock stands
    balance = memory_meter.balance("acme")
    assert (balance.charged_wei, balance.reserved_wei) == (100, 0)
    memory_meter.grant("acme", -1_000, grant_id="back")
    assert client.post("/render", headers=acme).json()["code"] == "insufficient_credit"


def test_quota__fourth_call_within_an_hour__is_refused(memory_meter: Meter, meter_clock: MeterClock) -> None:
    client = names_of("A quota for each client")["create_app"](memory_meter).test_client()
    asked = [client.get("/search", headers={"X-Client": "acme"}).status_code for _ in range(4)]
    assert asked == [200, 200, 200, 429]
    assert client.get("/search", headers={"X-Client": "other"}).status_code == 403
    meter_clock.advance(hours=1)
    assert client.get("/search", headers={"X-Client": "acme"}).status_code == 200


def test_usage__asked_with_its_own_key__is_shown(memory_meter: Meter) -> None:
    acme = paying(memory_meter, "acme", 100)
    memory_meter.charge("acme", 30, api="jobs")
    app = names_of("Let customers see what they used")["create_app"](memory_meter, "a token of 16 bytes")
    client = TestClient(app, headers=acme)
    assert client.get("/billing/v1/balance").json()["free_wei"] == "70"
    assert [each["api"] for each in client.get("/billing/v1/usage").json()["usage"]] == ["jobs"]
    assert client.get("/billing/v1/records").json()["records"][0]["charged_wei"] == "30"


def test_tiers__retry_with_its_key__is_charged_once(memory_meter: Meter) -> None:
    client_app = names_of("Tiers, and a retry that is charged once", meter=memory_meter)["create_app"](memory_meter)
    client, acme = TestClient(client_app), paying(memory_meter, "acme", 100)
    assert memory_meter.profile("acme").tier.name == "premium"
    answers = [client.post("/orders", headers={**acme, "Idempotency-Key": "first"}) for _ in range(2)]
    assert [answer.json() for answer in answers] == [1, 1]
    assert memory_meter.balance("acme").charged_wei == 10
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_guard__as_a_budget_is_used_up__holds_back_and_then_refuses(
    memory_meter: Meter, meter_clock: MeterClock
) -> None:
    client = TestClient(names_of("A guard in front of a bill: warn, hold back, refuse")["create_app"](memory_meter))
    memory_meter.grant("worker", 10_000, grant_id="all")
    worker = {"X-Worker": "worker"}
    assert [client.post("/enrich", headers=worker).status_code for _ in range(9)] == [200] * 9
    held = client.post("/enrich", headers=worker)
    assert (held.status_code, held.json()["code"], held.headers["retry-after"]) == (429, "throttled", "60")
    meter_clock.advance(days=1)
    assert client.post("/enrich", headers=worker).status_code == 200


def test_cors__preflight_and_refusal__have_its_fields_and_cost_nothing(memory_meter: Meter) -> None:
    client = TestClient(names_of("CORS and the order of middleware")["create_app"](memory_meter))
    page = {"origin": "https://app.example"}
    asks = {**page, "access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    assert client.options("/tides", headers=asks).status_code == 200
    refused = client.get("/tides", headers=page)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page["origin"])
    served = client.get("/tides", headers={**page, **paying(memory_meter)})
    assert "X-Cost-Wei" in served.headers["access-control-expose-headers"]
    assert served.headers["x-cost-wei"] == "10"


def test_tokens__of_the_issuer_and_others__are_served_on_their_tier_and_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    published = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "one", "use": "sig"}
    issuer = SimpleNamespace(get_jwk_set=lambda refresh: jwt.PyJWKSet([published]))
    monkeypatch.setattr("api_billing.metering.identity.jwks._Issuer", lambda url, timeout_seconds: issuer)
    claims = {"sub": "acme", "iss": "https://id.example/", "aud": "weather", "plan": "pro"}

    def token(**other: Any) -> str:
        said = {**claims, "exp": time.time() + 60, **other}
        return jwt.encode({name: value for name, value in said.items() if value}, key, "RS256", {"kid": "one"})

    names, app = names_of("Who asks: JSON Web Tokens"), FastAPI()
    with names["meter"] as meter:
        app.get("/tokens")(metered(meter, api="weather")(lambda: "sunny"))
        app.get("/either")(metered(meter, api="weather", identify=names["either"])(lambda: "sunny"))
        client = TestClient(app)

        def limit(path: str, credential: str) -> str:
            answer = client.get(path, headers={"authorization": f"Bearer {credential}"})
            return answer.headers.get("x-ratelimit-limit") or answer.json()["code"]

        assert [limit("/tokens", token(plan=plan)) for plan in ("pro", "")] == ["10000", "1000"]
        others: list[dict[str, Any]] = [
            {"exp": 0},
            {"exp": 1},
            {"iss": "https://other.example/"},
            {"aud": "maps"},
            {"sub": ""},
        ]
        assert [limit("/tokens", token(**other)) for other in others] == ["invalid_identity"] * len(others)
        ours = meter.create_key("acme").text
        assert [limit("/either", each) for each in (ours, token())] == ["1000", "10000"]
        assert limit("/tokens", ours) == "invalid_identity"


def test_alerts__in_the_table__are_all_kinds_and_look_as_shown() -> None:
    section = text_of("docs/metering.md").partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)[1:] == list(get_args(AlertKind))
    shown = json.loads(section.partition("```json\n")[2].partition("```")[0])
    heard: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.alert)  # type: ignore[attr-defined, method-assign]
    logger = logging.getLogger("api_billing.metering.alerts")
    logger.addHandler(handler)
    try:
        with Meter.open("memory://") as meter:
            meter.add_consumer("acme")
            meter.grant("acme", 10**18, grant_id="first")
            meter.charge("acme", 9 * 10**17, api="jobs")
    finally:
        logger.removeHandler(handler)
    assert heard == [shown | {"at_ms": heard[0]["at_ms"]}]


def test_webhook__signed_twice_and_forged__is_new_then_known_then_refused() -> None:
    secret = "0123456789abcdef"
    client = TestClient(names_of("Verify the webhook of an alert")["create_app"](secret))
    body = json.dumps({"kind": "depleted"}).encode()
    headers = signed_headers(secret, "msg_1", int(time.time()), body)
    assert [client.post("/alerts", content=body, headers=headers).json() for _ in range(2)] == ["new", "known"]
    assert client.post("/alerts", content=body + b" ", headers=headers).status_code == 401


@pytest.mark.parametrize(("what", "status", "charged_wei"), [("gold", 409, 0), ("lead", 404, 10)])
def test_exceptions__of_the_application_and_of_http__cost_what_is_said(
    memory_meter: Meter, what: str, status: int, charged_wei: int
) -> None:
    client = TestClient(names_of("What an exception of your own costs")["create_app"](memory_meter))
    acme = paying(memory_meter, "acme", 100)
    assert client.post(f"/buy/{what}", headers=acme).status_code == status
    assert memory_meter.balance("acme").charged_wei == charged_wei


def test_memory_meter__currency_of_the_environment__is_its(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BILLING_CURRENCY", "USD")
    meter: Meter = request.getfixturevalue("memory_meter")
    assert meter.metering("weather", estimate_wei="0.01 usd").estimate_wei == 10**7


def test_consumers__key_in_another_header_field__is_good_beside_the_usual_one(memory_meter: Meter) -> None:
    [either] = [span for span in spans_of(ROOT / "docs" / "consumers.md") if span.startswith("identify=first_of(")]
    names = {"first_of": first_of, "api_key": api_key, "meter": memory_meter}
    app = FastAPI()
    own = metered(memory_meter, api="weather", identify=eval(either.removeprefix("identify="), names))
    app.get("/forecast")(own(lambda: "sunny"))
    acme, client = paying(memory_meter, "acme"), TestClient(app)
    key = acme["authorization"].removeprefix("Bearer ")
    answers = [client.get("/forecast", headers=headers).status_code for headers in (acme, {"X-API-Key": key}, {})]
    assert answers == [200, 200, 401]


def test_consumers__own_function_of_who_asks__finds_the_field(memory_meter: Meter) -> None:
    names: dict[str, Any] = {}
    exec(FENCE.findall(text_of("docs/consumers.md").partition("\n## Who asks\n")[2])[0][1], names)
    app = FastAPI()
    app.get("/forecast")(metered(memory_meter, api="weather", identify=names["from_cookie"])(lambda: "sunny"))
    memory_meter.add_consumer("acme")
    client = TestClient(app)
    cookies = ({"cookie": "user=acme"}, {"cookie": "user=nobody"}, {})
    assert [client.get("/forecast", headers=each).status_code for each in cookies] == [200, 403, 401]
