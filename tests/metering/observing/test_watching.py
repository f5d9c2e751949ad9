"""Records of requests, and of what is logged while one is reserved or settled."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from api_billing.metering import Meter, configure_logging, from_header
from api_billing.metering.ledger.operations import ListRecords
from api_billing.metering.observing.watching import Step, Watch, current_step
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.service import create_app
from api_billing.metering.service.reserving import OpenReservations

OK = MeteredResponse(200, TextHeaders([]), body_bytes=5, duration_ms=3)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    logger = logging.getLogger("api_billing")
    kept = (logger.handlers[:], logger.level, logger.propagate)
    yield io.StringIO()
    logger.handlers[:], logger.level, logger.propagate = kept


def meter_of(log: io.StringIO, **settings: Any) -> Meter:
    meter = Meter.open("memory://", **{"log_format": "json", "log_requests": True, **settings})
    configure_logging(meter.settings, log)
    meter.add_consumer("alice", tier="enterprise")
    meter.grant("alice", 1_000, grant_id="first")
    return meter


def exchange_of(meter: Meter, consumer: str = "alice", **terms: Any) -> Exchange:
    fields = TextHeaders([("x-consumer", consumer), ("x-request-id", "r-1")])
    request = MeteredRequest("GET", "/a", fields, route="/a", at_ms=meter.now_ms())
    terms = {"estimate_wei": 100, "identify": from_header("x-consumer"), **terms}
    return Exchange(meter.metering("weather", **terms), request)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def line_of_request(log: io.StringIO) -> dict[str, Any]:
    """The only one, without time and duration."""
    [line] = [line for line in lines(log) if line["logger"] == "api_billing.metering.requests"]
    assert line.pop("duration_ms") >= 0
    line.pop("time")
    return line


def record_id_of(meter: Meter) -> str:
    [record] = meter.store.call(ListRecords())
    return record.record_id


SERVED = {
    "level": "info", "logger": "api_billing.metering.requests", "message": "GET /a: settled", "request_id": "r-1",
    "api": "weather", "consumer": "alice", "method": "GET", "route": "/a", "outcome": "settled", "status": 200,
    "charged_wei": "100",
}  # fmt: skip


def test_request__served__has_one_line(log: io.StringIO) -> None:
    with meter_of(log) as meter:
        exchange = exchange_of(meter)
        exchange.begin()
        exchange.finish(OK)
        served = {**SERVED, "record_id": record_id_of(meter)}
    assert line_of_request(log) == served


def test_request__served_in_a_coroutine__has_one_line(log: io.StringIO) -> None:
    async def serve(meter: Meter) -> None:
        exchange = exchange_of(meter)
        await exchange.abegin()
        await exchange.afinish(OK)
        assert current_step.get() is None

    with meter_of(log) as meter:
        asyncio.run(serve(meter))
        served = {**SERVED, "record_id": record_id_of(meter)}
    assert line_of_request(log) == served


def test_request__refused__has_a_line_with_the_code(log: io.StringIO) -> None:
    with meter_of(log) as meter:
        exchange_of(meter, estimate_wei=2_000).begin()
        record_id = record_id_of(meter)
    line = line_of_request(log)
    assert (line["outcome"], line["code"], line["consumer"]) == ("refused", "insufficient_credit", "alice")
    assert line["status"] == 402
    assert line["record_id"] == record_id


def test_request__released__has_a_line_with_its_record(log: io.StringIO) -> None:
    with meter_of(log) as meter:
        exchange = exchange_of(meter)
        exchange.begin()
        exchange.abort(ValueError())
        record_id = record_id_of(meter)
    line = line_of_request(log)
    assert (line["outcome"], line["record_id"]) == ("released", record_id)


def test_request__of_a_consumer_that_looks_like_a_secret__does_not_show_it(log: io.StringIO) -> None:
    key = "ab_12345678_0123456789abcdefghij"
    with meter_of(log) as meter:
        exchange_of(meter, key).begin()
    assert "0123456789abcdefghij" not in log.getvalue()
    assert line_of_request(log)["consumer"].startswith("ab_12345678_")


def test_request__not_to_be_logged__has_no_line_and_is_named_where_it_is_in_trouble(log: io.StringIO) -> None:
    def price(request: MeteredRequest, response: MeteredResponse) -> int:
        raise ValueError("no price")

    with meter_of(log, log_requests=False) as meter:
        exchange = exchange_of(meter, price=price)
        exchange.begin()
        exchange.finish(OK)
    [line] = [line for line in lines(log) if line["logger"] != "api_billing.metering.administration"]
    assert line["logger"] == "api_billing.metering.prices"
    assert (line["request_id"], line["api"], line["consumer"]) == ("r-1", "weather", "alice")


def test_request__logged_as_text__is_one_line(log: io.StringIO) -> None:
    with meter_of(log, log_format="text") as meter:
        exchange_of(meter, estimate_wei=2_000).begin()
    [line] = [line for line in log.getvalue().splitlines() if "metering.requests" in line]
    assert "GET /a: refused request_id=r-1 api=weather consumer=alice" in line


class Recorder:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def watched(self, step: Step) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def watched() -> Iterator[None]:
            self.seen.append("begin")
            try:
                yield
            finally:
                self.seen.append(step.outcome)

        return watched()


def test_flow__that_is_left__ends_what_watches_it() -> None:
    recorder = Recorder()
    flow = Watch([recorder]).steps(
        Step("reserve"), (each for each in [1, 2]), lambda step, answer: setattr(step, "outcome", f"{answer}")
    )
    next(flow)
    assert current_step.get() is not None
    flow.close()
    assert (recorder.seen, current_step.get()) == (["begin", "None"], None)


@pytest.mark.parametrize("looked_up", [False, True])
def test_http__settled_and_refused__are_told_with_what_the_reservation_said(
    log: io.StringIO, looked_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if looked_up:  # as in another process than made it
        monkeypatch.setattr(OpenReservations, "get", lambda self, reservation_id: None)
    with meter_of(log, key_pepper="pepper of the tests") as meter:
        client = TestClient(create_app(meter, service_token="t" * 16), headers={"Authorization": f"Bearer {'t' * 16}"})
        asked = {"api": "weather", "api_key": meter.create_key("alice").text, "method": "GET", "route": "/a/:b"}
        asked |= {"estimate_wei": "600", "request_id": "r-1"}
        made = client.post("/v1/reservations", json=asked).json()
        assert client.post("/v1/reservations", json=asked).status_code == 402
        client.post(f"/v1/reservations/{made['id']}/settle", json={})
    told = [line for line in lines(log) if line["logger"] == "api_billing.metering.requests"]
    assert [line["outcome"] for line in told] == ["refused", "settled"]
    of_request = {"request_id": "r-1", "api": "weather", "consumer": "alice", "method": "GET", "route": "/a/:b"}
    for line in told:
        assert {name: line.get(name) for name in of_request} == of_request
    assert told[1]["record_id"] == made["id"]
