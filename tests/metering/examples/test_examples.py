"""The examples, started as their first lines say, and asked the same things over HTTP."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.ledger.consumer_operations import RevokeKey
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.meter import Meter

EXAMPLES = Path(__file__).parents[3] / "examples"
GWEI = 10**9
LONG_SECONDS = 30


@dataclass
class Reply:
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def cost_gwei(self) -> float:
        return int(self.fields["x-cost-wei"]) / GWEI

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Example:
    """A running example, the key that it has shown, and the meter that it uses."""

    name: str
    port: int
    key: str
    meter: Meter

    def get(self, path: str, *, key: str | None = None, **headers: str) -> Reply:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        given = self.key if key is None else key
        if given:
            fields["Authorization"] = f"Bearer {given}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        try:
            connection.request("GET", path, headers={"Connection": "close", **fields})
            got = connection.getresponse()
            return Reply(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def new_key(self, consumer: str, *, credit_wei: int = 10**18, quotas: tuple[Quota, ...] = ()) -> str:
        self.meter.add_consumer(consumer, tier="pro", quotas=quotas)
        if credit_wei:
            self.meter.grant(consumer, credit_wei, grant_id=consumer)
        return self.meter.create_key(consumer).text

    def charged_wei(self, consumer: str) -> int:
        balance = self.meter.balance(consumer)
        assert balance.reserved_wei == 0
        return balance.charged_wei


def start(
    name: str, port: int, database: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}_app.py"), "--port", str(port), "--database", str(database)]
    return subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        cwd=database.parent,
    )


def stop(process: subprocess.Popen[str]) -> None:
    """End it as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LONG_SECONDS)


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(100 * LONG_SECONDS):
        assert process.poll() is None, "it has ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("it does not listen")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module", params=["fastapi", "flask", "django"])
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    database = tmp_path_factory.mktemp(request.param) / "meter.db"
    port = free_port()
    process = start(request.param, port, database)
    try:
        assert process.stdout is not None
        shown = re.search(r"ab_\w+", process.stdout.readline())
        assert shown, "no API key was shown"
        wait_for(port, process)
        with Meter.open(f"sqlite:///{database}") as meter:
            yield Example(request.param, port, shown[0], meter)
    finally:
        stop(process)


def problem(reply: Reply) -> tuple[int, str]:
    assert reply.fields["content-type"] == "application/problem+json"
    return reply.status, reply.json["code"]


def test_fixed__asked__costs_1_gwei(example: Example) -> None:
    reply = example.get("/fixed")
    assert (reply.status, reply.json, reply.cost_gwei) == (200, {"costs": "1 gwei"}, 1)


@pytest.mark.parametrize(("kib", "gwei"), [(0, 1), (1, 2), (10, 11)])
def test_by_size__asked__costs_1_gwei_and_1_for_each_kib(example: Example, kib: int, gwei: int) -> None:
    reply = example.get(f"/by-size?kib={kib}")
    assert (len(reply.body), reply.cost_gwei) == (1024 * kib, gwei)


def test_by_time__asked__costs_1_gwei_and_10_a_second(example: Example) -> None:
    reply = example.get("/by-time?ms=100")
    assert reply.json == {"slept_ms": 100}
    assert reply.cost_gwei >= 2


def test_custom__asked__costs_2_gwei_a_word(example: Example) -> None:
    reply = example.get("/custom?text=one+two+three")
    assert (reply.json, reply.cost_gwei) == ({"reversed": "eerht owt eno"}, 6)


def test_locked__while_it_is_served__has_its_estimate_reserved(example: Example) -> None:
    key = example.new_key("locker")
    reply = example.get("/locked", key=key)
    assert (reply.json["reserved_wei"], reply.cost_gwei) == (str(1000 * GWEI), 3)
    assert example.charged_wei("locker") == 3 * GWEI


def test_broken__asked__fails_and_costs_nothing(example: Example) -> None:
    key = example.new_key("unlucky")
    assert example.get("/broken", key=key).status == 500
    # Nobody waits for a release: asked in its own process, it is done before the next thing.
    balance = example.get("/balance", key=key).json
    assert (balance["reserved_wei"], balance["charged_wei"]) == ("0", "0")


def test_locked__on_less_credit_than_it_locks__is_refused(example: Example) -> None:
    key = example.new_key("poor", credit_wei=1000 * GWEI - 1)
    assert problem(example.get("/locked", key=key)) == (402, "insufficient_credit")
    assert example.get("/fixed", key=key).status == 200


def test_key__missing__is_refused(example: Example) -> None:
    assert problem(example.get("/fixed", key="")) == (401, "missing_identity")


def test_key__that_is_none__is_refused(example: Example) -> None:
    assert problem(example.get("/fixed", key=example.key[:-1] + "!")) == (401, "invalid_identity")


def test_key__revoked__is_refused_from_the_next_request_on(example: Example) -> None:
    key = example.new_key("former")
    assert example.get("/fixed", key=key).status == 200
    example.meter.store.call(RevokeKey(key.split("_")[1], example.meter.now_ms()))
    assert problem(example.get("/fixed", key=key)) == (403, "revoked_key")


def test_quota__used_up__is_refused_until_its_window_ends(example: Example) -> None:
    key = example.new_key("frugal", quotas=(Quota("yearly", "year", 2),))
    replies = [example.get("/fixed", key=key) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert problem(replies[2]) == (429, "quota_exceeded")
    assert replies[2].json["violated-policies"] == ["yearly"]
    assert int(replies[2].fields["retry-after"]) > 0


def test_idempotent_request__repeated__is_replayed(example: Example) -> None:
    key = example.new_key("careful")
    first, second = (example.get("/by-time?ms=1", key=key, Idempotency_Key='"one"') for _ in range(2))
    assert (second.status, second.body) == (first.status, first.body)
    assert second.fields["idempotency-replayed"] == "true"
    assert example.charged_wei("careful") == int(first.fields["x-cost-wei"])


def test_idempotency_key__with_another_request__is_refused(example: Example) -> None:
    example.get("/fixed", Idempotency_Key="two")
    assert problem(example.get("/by-size", Idempotency_Key="two")) == (422, "idempotency_mismatch")


def test_idempotent_request__while_it_is_served__is_refused(example: Example) -> None:
    key = example.new_key("hasty")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(example.get, "/by-time?ms=400", key=key, Idempotency_Key="three")
        while not example.meter.balance("hasty").reserved_wei:
            assert not first.done()
        assert problem(example.get("/by-time?ms=400", key=key, Idempotency_Key="three"))[0] == 409
        assert first.result().status == 200


def test_balance_and_usage__asked__are_ones_own_and_cost_nothing(example: Example) -> None:
    key = example.new_key("curious", credit_wei=10**12)
    for _ in range(3):
        example.get("/fixed", key=key)
    balance = example.get("/balance", key=key)
    assert balance.json == {
        "consumer": "curious",
        "free_wei": str(10**12 - 3 * GWEI),
        "reserved_wei": "0",
        "charged_wei": str(3 * GWEI),
    }
    (day,) = example.get("/usage", key=key).json
    assert (day["api"], day["calls"], day["charged_wei"]) == ("demo", 3, str(3 * GWEI))
    assert example.charged_wei("curious") == 3 * GWEI


@pytest.mark.parametrize("path", ["/balance", "/usage"])
def test_balance_and_usage__asked_by_nobody__are_refused(example: Example, path: str) -> None:
    assert problem(example.get(path, key="")) == (401, "missing_identity")


def test_parameter__that_is_not_valid__is_an_error_of_the_client(example: Example) -> None:
    assert example.get("/by-size?kib=many").status in (200, 400, 422)
    assert example.get("/custom").status in (400, 422)


def test_openapi_page__of_the_fastapi_example__describes_its_routes(example: Example) -> None:
    if example.name != "fastapi":
        pytest.skip("only FastAPI makes an OpenAPI page")
    paths = example.get("/openapi.json", key="").json["paths"]
    assert set(paths) == {"/fixed", "/by-size", "/by-time", "/custom", "/locked", "/broken", "/balance", "/usage"}
    assert {parameter["name"] for parameter in paths["/by-size"]["get"]["parameters"]} == {"kib"}
    assert "402" in paths["/fixed"]["get"]["responses"]
    assert b"swagger" in example.get("/docs", key="").body


def test_key__of_the_demo_consumer__is_shown_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    demo_account = importlib.import_module("demo_account")
    shown = []
    for _ in range(2):
        demo_account.open_meter(str(tmp_path / "meter.db")).close()
        shown.append(re.findall(r"ab_\w+", capsys.readouterr().out))
    assert [len(keys) for keys in shown] == [1, 0]
