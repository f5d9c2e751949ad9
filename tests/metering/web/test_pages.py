"""The pages of the frameworks: their Python runs, and the services that it makes answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from werkzeug.test import Client

from api_billing.metering.ledger.operations import ListRecords

DOCS = Path(__file__).parents[3] / "docs"


def python_of(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL))


@pytest.fixture
def names(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the Python of a page has defined."""
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"__name__": "page"}
    exec(python_of(request.param), found)
    meter = found["meter"]
    meter.add_consumer("acme")
    meter.grant("acme", 10**18, grant_id="1")
    found["key"] = {"Authorization": f"Bearer {meter.create_key('acme').text}"}
    yield found
    meter.close()


@pytest.mark.parametrize("names", ["metering-fastapi.md"], indirect=True)
def test_fastapi_page__its_service__bills_as_it_says(names: dict[str, Any]) -> None:
    client = TestClient(names["app"], headers=names["key"])
    assert client.get("/forecast?city=oslo").headers["x-cost-wei"] == str(
        10**9 + -(-len('{"city":"oslo","sky":"clear"}') * 10**8 // 1024)
    )
    assert client.post("/summary?text=abc").headers["x-cost-wei"] == str(3 * 10**9)
    assert client.get("/tides").json() == "acme"
    assert int(client.get("/balance").json()) == names["meter"].balance("acme").free_wei


def broken_off(asked: dict[str, Any]) -> Iterator[bytes]:
    yield b'data: {"model": "small", "usage": null}\n\n'
    raise ConnectionError("upstream went away")


@pytest.mark.parametrize("names", ["metering-costs.md"], indirect=True)
def test_page_about_costs__its_service__bills_as_it_says(names: dict[str, Any]) -> None:
    client, meter = TestClient(names["app"], headers=names["key"]), names["meter"]
    names["upstream"] = lambda asked: iter(
        [b'data: {"model": "small", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}\n\n', b"data: [DONE]\n\n"]
    )
    reply = client.post("/summaries", json={"model": "large", "pages": ["one", "two"]})
    assert (reply.json(), reply.headers["x-cost-wei"]) == (["one", "two"], str(20 * 10**9))
    assert client.post("/summaries", json={"model": "none", "pages": []}).json()["code"] == "not_estimable"
    record = next(each for each in meter.store.call(ListRecords("acme")) if each.api == "reading")
    assert (record.estimate_wei, record.outcome.tags) == (40 * 10**9, '{"model":"large"}')
    told = client.post("/v1/chat/completions", json={"model": "small", "max_tokens": 9})
    assert told.text.endswith("[DONE]\n\n")
    assert meter.store.call(ListRecords(api="chat"))[0].charged_wei == 5 * 150 * 10**6 + 2 * 600 * 10**6
    names["upstream"] = broken_off
    assert '"it broke off"' in client.post("/v1/chat/completions", json={"model": "small", "max_tokens": 9}).text
    newest = meter.store.call(ListRecords(api="chat"))[-1]
    assert (newest.charged_wei, newest.outcome.error) == (newest.estimate_wei, "price: no usage")
    news = [client.get("/news") for _ in range(3)]
    assert [reply.status_code for reply in news] == [200, 200, 429]
    assert (news[2].json()["error"]["type"], "retry-after" in news[2].headers) == ("rate_limit", True)
    queued = [client.post("/jobs?job=7").json() for _ in range(2)]
    assert queued[0]["record"] == queued[1]["record"]
    assert (names["work"](["one", "two"]), client.get("/archive").json()) == (2 * 10**9, {"text": "all of it"})
    meter.grant("acme", 1 - meter.balance("acme").free_wei, grant_id="taken back")
    assert client.get("/archive").json() == {"text": "the first page"}
    assert TestClient(names["app"]).get("/archive").json()["code"] == "missing_identity"
    assert client.post("/jobs?job=8").json()["code"] == "insufficient_credit"


@pytest.mark.parametrize("names", ["metering-flask.md"], indirect=True)
def test_flask_page__its_service__bills_as_it_says(names: dict[str, Any]) -> None:
    client = names["app"].test_client()
    assert client.get("/forecast", headers=names["key"]).status_code == 200
    assert client.post("/summary", headers=names["key"]).headers["x-cost-wei"] == str(7 * 10**9)
    assert int(client.get("/balance", headers=names["key"]).text) == names["meter"].balance("acme").free_wei
    assert client.post("/jobs", headers=names["key"]).text == "queued"
    names["meter"].grant("acme", 1 - names["meter"].balance("acme").free_wei, grant_id="taken back")
    refused = client.post("/jobs", headers=names["key"])
    assert (refused.status_code, refused.json["code"]) == (402, "insufficient_credit")
    assert names["other"].test_client().get("/health").text == "ok"
    sold = client.get("/.well-known/x402").json["resources"]
    assert [each["url"] for each in sold] == ["http://localhost/forecast", "http://localhost/summary"]


@pytest.mark.parametrize("names", ["metering-wsgi.md"], indirect=True)
def test_wsgi_page__its_service__bills_as_it_says(names: dict[str, Any]) -> None:
    reply = Client(names["application"]).get("/", headers=names["key"])
    assert (reply.text, "x-cost-wei" in reply.headers) == ("clear", True)


def test_django_page__its_service__bills_as_it_says(tmp_path: Path) -> None:
    # Django is configured once in a process.
    settings, views = re.findall(r"```python\n(.*?)```", (DOCS / "metering-django.md").read_text(), re.DOTALL)
    (tmp_path / "site_settings.py").write_text(
        settings + "SECRET_KEY = 'x'\nROOT_URLCONF = 'urls'\nALLOWED_HOSTS = ['*']\n"
    )
    names = ("forecast", "summary", "balance", "health")
    paths = ", ".join(f"path({name!r}, {name})" for name in names)
    (tmp_path / "urls.py").write_text(f"GWEI = 10**9\n{views}\nfrom django.urls import path\nurlpatterns = [{paths}]\n")
    script = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
django.setup()
from django.test import Client
from api_billing.metering.web.django import configured_meter
meter = configured_meter()
meter.add_consumer("acme")
meter.grant("acme", 10**18, grant_id="1")
client = Client(headers={"Authorization": "Bearer " + meter.create_key("acme").text})
print([client.get("/" + name).get("X-Cost-Wei") for name in ("forecast", "summary", "health")])
print(int(client.get("/balance").content) == meter.balance("acme").free_wei)
meter.close()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "['1001562500', '7000000000', None]\nTrue\n", done.stderr
