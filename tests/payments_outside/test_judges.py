"""Judges of x402 that nobody here wrote, before a metered API: what each of them finds wrong is listed here.

Why it does, and why it stays so, is on the page docs/payments-clients.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request, Response

from api_billing.metering.web.discovery import discovery
from tests.metering.settlement.places import SessionPlace
from tests.other_versions import ROOT, OtherVersions

from .shop import Shop, application, served

SECONDS = 120
FAILED = {"X4-001", "X4-004", "X4-021", "X4-022", "X4-023", "X4-055"}
INCONCLUSIVE = {"X4-007", "X4-011", "X4-042", "X4-056", "X4-057"}


@pytest.fixture(params=["x402", "x402,mpp"])
def protocols(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(place: SessionPlace, protocols: str) -> Iterator[str]:
    """Of an API that takes these payments. Its answers have names, as one of the tests wants something to look at."""
    shop = Shop(place, protocols)
    app = application(shop)

    @app.middleware("http")
    async def named(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-correlation-id"] = str(uuid.uuid4())
        return response

    discovery(app, shop.meter)
    with shop.meter, served(app) as url:
        yield url


def judged(environ: dict[str, str], report: Path, *line: str) -> Any:
    """What a judge reports. That it ends with 1 says only that something failed."""
    command = [sys.executable, "-m", *line, str(report)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert report.exists(), done.stdout + done.stderr
    return json.loads(report.read_text("utf-8"))


def test_x402_validate__metered_api__passes_all_checks(url: str, python_clients: OtherVersions, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text(f"{url}/forecast\n", encoding="utf-8")
    options = (str(tmp_path / "urls.txt"), "--output", "json", "--output-path")
    found = judged(python_clients.environ, tmp_path / "report.json", "x402_conformance_suite.cli", *options)
    checks = {check["check_name"]: check["status"] for check in found["results"][0]["checks"]}
    assert len(checks) == 7
    assert set(checks.values()) == {"PASS"}, checks


def test_agent_security__metered_api__fails_what_is_listed_and_no_more(
    url: str, python_clients: OtherVersions, tmp_path: Path
) -> None:
    line = ("protocol_tests.cli", "test", "x402", "--url", url, "--paid-path", "/forecast", "--report")
    found = judged(python_clients.environ, tmp_path / "report.json", *line)
    of = {each["test_id"]: each for each in found["results"]}
    missed = {name for name, each in of.items() if not each["passed"]}
    inconclusive = {name for name in missed if of[name]["not_evaluated"]}
    assert missed - inconclusive == FAILED
    assert inconclusive == INCONCLUSIVE
    assert len(of) == 54


def test_page__what_judges_miss__is_explained() -> None:
    text = (ROOT / "docs" / "payments-clients.md").read_text("utf-8").split("## Judges\n", 1)[1]
    assert all(name in text for name in FAILED | INCONCLUSIVE)
