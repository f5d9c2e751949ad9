"""``bench/soak.py`` runs, for a moment; and its books find what is lost, doubled or kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering import Meter
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.limits.quotas import Quota
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize(
    ("kind", "fault"), [("sqlite", "worker killed"), ("postgresql", "server killed"), ("redis", "server killed")]
)
def test_soak__of_a_moment__shows_books_that_are_right(kind: str, fault: str) -> None:
    options = ["--minutes", "0.02", "--every", "0.2", "--only", kind, "--fault", fault]
    command = [sys.executable, str(BENCH / "soak.py"), *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "left out" in ran.stdout:
        pytest.skip(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "nothing lost, nothing doubled" in ran.stdout
    assert fault in ran.stdout


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import soak_books as soak

    monkeypatch.setattr(soak, "RICH", ["ann"])
    monkeypatch.setattr(soak, "POOR", [])
    return soak


@pytest.fixture
def meter() -> Iterator[Meter]:
    with Meter.open("memory://", identify=from_header("X-Consumer")) as meter:
        meter.add_consumer("ann", quotas=(Quota("year", "year", 100),))
        meter.grant("ann", 1000, grant_id="g")
        yield meter


@pytest.fixture
def told(soak: Any, meter: Meter) -> Any:
    """What clients know of two requests that were served."""
    told = soak.Told()
    told.granted["ann"] = 1000
    for key in ("first", "second"):
        serve(meter, key)
        told.served[key] = "ann", 10
    return told


def serve(meter: Meter, key: str, *, is_finished: bool = True) -> None:
    headers = TextHeaders([("x-consumer", "ann"), ("x-request-id", key)])
    request = MeteredRequest("GET", "/", headers, at_ms=meter.now_ms())
    exchange = Exchange(meter.metering("soak", estimate_wei=10), request)
    assert exchange.begin() is None
    if is_finished:
        exchange.finish(MeteredResponse(200, TextHeaders([])))


def wrong(soak: Any, meter: Meter, told: Any) -> str:
    return "\n".join(soak.audit(meter, told).wrong)


def test_books__of_what_clients_were_told__are_right(soak: Any, meter: Meter, told: Any) -> None:
    assert wrong(soak, meter, told) == ""


def test_books__with_a_request_that_was_charged_twice__are_wrong(soak: Any, meter: Meter, told: Any) -> None:
    serve(meter, "first")
    assert "request first: 10 told, 20 kept" in wrong(soak, meter, told)
    assert "charged more than once: 0 told, 1 kept" in wrong(soak, meter, told)


def test_books__without_a_request_that_was_served__are_wrong(soak: Any, meter: Meter, told: Any) -> None:
    told.served["third"] = "ann", 10
    assert "request third: 10 told, 0 kept" in wrong(soak, meter, told)


def test_books__with_a_request_that_nobody_was_served__are_wrong(soak: Any, meter: Meter, told: Any) -> None:
    serve(meter, "third")
    assert "request third, not served: 0 told, 10 kept" in wrong(soak, meter, told)


def test_books__with_something_reserved__are_wrong(soak: Any, meter: Meter, told: Any) -> None:
    serve(meter, "third", is_finished=False)
    assert "ann reserved: 0 told, 10 kept" in wrong(soak, meter, told)
    assert "ann counted: 2 told, 3 kept" in wrong(soak, meter, told)


def test_books__with_a_grant_that_is_lost__are_wrong(soak: Any, meter: Meter, told: Any) -> None:
    told.granted["ann"] += 5
    assert "ann granted: 1005 told, 1000 kept" in wrong(soak, meter, told)
