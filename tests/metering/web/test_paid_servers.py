"""Streams paid at the door over real servers: uvicorn, and gunicorn with processes that share nothing but the store."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api_billing.metering.clock import system_clock_ms

from .paying import HOLD_WEI, Shop, open_shop
from .served_paid import ROOM_WEI
from .terms import BASE_WEI, EVENTS
from .test_servers import GUNICORN, LONG_SECONDS

APPS = "tests.metering.web.served_paid"
STACKS = {
    "uvicorn-fastapi": ["-m", "uvicorn", "--fd", "{fd}", "--log-level", "critical", "--factory", f"{APPS}:fastapi_app"],
    "gunicorn-sync-flask": [*GUNICORN, "--workers", "3", f"{APPS}:flask_app()"],
    "gunicorn-sync-django": [*GUNICORN, "--workers", "3", f"{APPS}:django_app()"],
}


@dataclass
class Server:
    """A running server, and what a consumer pays in."""

    port: int
    shop: Shop

    def ask(self, method: str = "GET", headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        connection.request(method, "/events", None, {"Connection": "close", **(headers or {})})
        return connection.getresponse()


@pytest.fixture(scope="module", params=STACKS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url, now_ms = f"sqlite:///{tmp_path_factory.mktemp(request.param)}/meter.db", system_clock_ms()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        arguments = [word.format(fd=listening.fileno()) for word in STACKS[request.param]]
        env = {**os.environ, "METER_URL": url, "METER_NOW_MS": str(now_ms)}
        with subprocess.Popen(
            [sys.executable, *arguments], cwd=Path(__file__).parents[3], env=env, pass_fds=[listening.fileno()]
        ) as process:
            try:
                with open_shop(url=url, now_ms=now_ms) as shop:
                    yield Server(listening.getsockname()[1], shop)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_SECONDS)


def event_of(response: http.client.HTTPResponse) -> tuple[str, Any]:
    """The next event of a stream, by its name."""
    name, data = "", ""
    while line := response.readline().decode().rstrip("\n"):
        field, _, value = line.partition(": ")
        name, data = (value, data) if field == "event" else (name, value)
    return name, json.loads(data) if name else data


def test_events__that_outgrow_what_is_signed__go_on_when_another_process_is_brought_a_voucher(server: Server) -> None:
    shop, before_wei = server.shop, server.shop.charged_wei
    challenges = server.ask().getheader("www-authenticate") or ""
    stream = server.ask(headers=shop.by_mpp(challenges, before_wei + ROOM_WEI))
    assert stream.getheader("payment-receipt")
    assert event_of(stream) == ("", "one")
    name, needed = event_of(stream)
    assert (name, needed["requiredCumulative"]) == ("payment-need-voucher", str(before_wei + 2 * ROOM_WEI))
    assert needed["deposit"] == str(HOLD_WEI)
    assert server.ask("HEAD", shop.by_mpp(challenges, before_wei + 3 * ROOM_WEI)).status == 204
    assert [event_of(stream), event_of(stream)] == [("", "two"), ("", "three")]
    name, receipt = event_of(stream)
    assert (name, receipt["spent"]) == ("payment-receipt", str(before_wei + BASE_WEI + len(b"".join(EVENTS))))
    assert stream.read() == b""
    assert shop.charged_wei == int(receipt["spent"])


def test_events__over_x402__end_properly_where_nothing_more_is_paid_for(server: Server) -> None:
    shop, before_wei = server.shop, server.shop.charged_wei
    required = server.ask().getheader("payment-required") or ""
    stream = server.ask(headers=shop.by_x402(required, before_wei))
    assert stream.read() == EVENTS[0]  # which raises for a body that breaks off
    assert shop.charged_wei == before_wei + ROOM_WEI
