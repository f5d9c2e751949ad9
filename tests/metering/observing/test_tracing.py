"""Spans and figures of OpenTelemetry, with its SDK in memory."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from api_billing.amounts import Currency
from api_billing.errors import MissingExtra
from api_billing.metering import Meter, from_header
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.observing.metrics import Metrics
from api_billing.metering.observing.tracing import OpenTelemetryMetrics, Spans
from api_billing.metering.observing.watching import Several, StepMetrics, Watch
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.service import create_app

from .test_metrics import EVENTS

TOKEN = "x" * 16
OK = MeteredResponse(200, TextHeaders([]), body_bytes=5, duration_ms=3)


class Traced:
    """A meter whose spans are kept, and the application's own tracer."""

    def __init__(self, meter: Meter, hash_key: bytes | None = None) -> None:
        self.meter = meter
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.of_app = provider.get_tracer("app")
        meter.watch = Watch([Spans(hash_key=hash_key, provider=provider)])
        meter.metrics = Several(meter.metrics, StepMetrics())
        meter.add_consumer("alice", tier="enterprise")
        meter.grant("alice", 1_000, grant_id="first")

    def exchange(self, consumer: str = "alice", **terms: Any) -> Exchange:
        fields = TextHeaders([("x-consumer", consumer), ("x-request-id", "r-1")])
        request = MeteredRequest("GET", "/a", fields, route="/a", at_ms=self.meter.now_ms())
        terms = {"estimate_wei": 100, "identify": from_header("x-consumer"), **terms}
        return Exchange(self.meter.metering("weather", **terms), request)

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def seen(self) -> list[tuple[str, Any]]:
        """Name and outcome of each span."""
        return [(span.name, (span.attributes or {}).get("api_billing.outcome")) for span in self.spans()]


@pytest.fixture
def traced() -> Iterator[Traced]:
    with Meter.open("memory://", key_pepper="a pepper of the tests") as meter:
        yield Traced(meter)


def test_request__served__has_a_span_for_each_step_below_the_applications(traced: Traced) -> None:
    with traced.of_app.start_as_current_span("GET /a") as own:
        exchange = traced.exchange()
        assert exchange.begin() is None
        exchange.finish(OK)
    reserve, settle, _ = traced.spans()
    assert traced.seen()[:2] == [("api_billing.reserve", "reserved"), ("api_billing.settle", "settled")]
    assert [span.parent.span_id for span in (reserve, settle) if span.parent] == [own.get_span_context().span_id] * 2
    attributes = dict(settle.attributes or {})
    assert attributes.pop("api_billing.duration_ms") == 3
    assert attributes.pop("api_billing.record_id") == (reserve.attributes or {})["api_billing.record_id"] != ""
    assert attributes == {
        "api_billing.api": "weather",
        "api_billing.method": "GET",
        "api_billing.route": "/a",
        "api_billing.request_id": "r-1",
        "api_billing.outcome": "settled",
        "api_billing.status": 200,
        "api_billing.charged_wei": "100",
    }


def test_request__settled_outside_of_the_applications_span__still_belongs_to_it(traced: Traced) -> None:
    with traced.of_app.start_as_current_span("GET /a") as own:
        exchange = traced.exchange()
        exchange.begin()
    exchange.finish(OK)
    settle = traced.spans()[-1]
    assert settle.parent is not None
    assert settle.parent.span_id == own.get_span_context().span_id


def test_request__own_estimate__runs_within_the_span(traced: Traced) -> None:
    current = []

    def estimate(request: MeteredRequest) -> int:
        current.append(trace.get_current_span().get_span_context().span_id)
        return 5

    traced.exchange(estimate_wei=estimate, price=5).begin()
    [reserve] = traced.spans()
    assert [reserve.context.span_id] == current
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda exchange: exchange.finish(MeteredResponse(500, TextHeaders([]))), "released"),
        (lambda exchange: exchange.abort(ValueError("no")), "released"),
    ],
    ids=["free status", "handler raised"],
)
def test_request__not_charged__is_released(traced: Traced, act: Callable[[Exchange], Any], outcome: str) -> None:
    exchange = traced.exchange()
    exchange.begin()
    act(exchange)
    exchange.abort()  # and nothing more is seen
    assert traced.seen() == [("api_billing.reserve", "reserved"), ("api_billing.settle", outcome)]


def test_request__refused__has_the_code_and_no_second_span(traced: Traced) -> None:
    exchange = traced.exchange(estimate_wei=2_000)
    assert exchange.begin() is not None
    exchange.finish(OK)
    [span] = traced.spans()
    attributes = span.attributes or {}
    assert (attributes["api_billing.outcome"], attributes["api_billing.code"]) == ("refused", "insufficient_credit")
    assert span.status.is_unset


def test_request__store_away__is_an_error(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(operations: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(traced.meter.store, "_perform", fail)
        traced.exchange().begin()
    [span] = traced.spans()
    assert (span.attributes or {})["api_billing.code"] == "meter_unavailable"
    assert span.status.status_code is trace.StatusCode.ERROR


def test_request__store_away_at_its_end__is_unsettled(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    traced.meter.keeper.start = lambda: None  # type: ignore[method-assign]
    exchange = traced.exchange()
    exchange.begin()

    def fail(operations: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(traced.meter.store, "_perform", fail)
        exchange.finish(OK)
    assert traced.seen()[-1] == ("api_billing.settle", "unsettled")


def test_spans__by_default__do_not_tell_the_consumer(traced: Traced) -> None:
    traced.exchange().begin()
    assert "alice" not in str(traced.spans()[0].to_json())
    assert "api_billing.consumer" not in (traced.spans()[0].attributes or {})


def test_spans__with_hashes__tell_consumers_apart_and_not_who_they_are() -> None:
    told = []
    for key, name in ((b"a", "alice"), (b"a", "bob"), (b"b", "alice"), (b"a", "alice")):
        with Meter.open("memory://") as meter:
            meter.add_consumer("bob")
            traced = Traced(meter, hash_key=key)
            traced.exchange(name, estimate_wei=0).begin()
            assert name not in str(traced.spans()[0].to_json())
            told.append((traced.spans()[0].attributes or {})["api_billing.consumer"])
    assert len(set(told)) == 3
    assert told[0] == told[3]


def test_service__requests_of_a_trace__belong_to_it(traced: Traced) -> None:
    client = TestClient(create_app(traced.meter, service_token=TOKEN))
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    fields = {"Authorization": f"Bearer {TOKEN}", "traceparent": f"00-{trace_id}-{span_id}-01"}
    body = {"api": "weather", "consumer": "alice", "estimate_wei": "100"}
    made = client.post("/v1/reservations", json=body, headers=fields).json()
    for _ in range(2):
        client.post(f"/v1/reservations/{made['id']}/settle", headers=fields)
    client.post("/v1/reservations/01KEZT5N00AAAAAAAAAAAAAAAA/release", headers=fields)
    client.post("/v1/reservations", json={**body, "estimate_wei": "9000"}, headers=fields)
    outcomes = ["reserved", "settled", "repeated", "failed", "refused"]
    assert [outcome for _, outcome in traced.seen()] == outcomes
    statuses = [(span.attributes or {}).get("api_billing.status") for span in traced.spans()]
    assert statuses == [None, 200, 200, None, 402]
    assert {(f"{s.context.trace_id:x}", f"{s.parent.span_id:x}") for s in traced.spans() if s.parent} == {
        (trace_id[1:], span_id)
    }


# --- figures


def figures(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], float]]]:
    data = reader.get_metrics_data()
    found: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for resource in data.resource_metrics if data is not None else ():
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            points = [(dict(p.attributes or {}), getattr(p, "value", None) or p.sum) for p in metric.data.data_points]  # type: ignore[union-attr]
            found[metric.name] = points
    return found


@pytest.mark.parametrize("event", EVENTS)
def test_metrics__event__is_counted_as_for_prometheus(event: str) -> None:
    act, name, labels, value = EVENTS[event]
    reader = InMemoryMetricReader()
    act(OpenTelemetryMetrics(MeterProvider([reader])))
    assert (labels, value) in figures(reader)[f"api_billing.{name.removesuffix('_total').removesuffix('_sum')}"]


def test_metrics__of_a_meter_in_dollars__count_them() -> None:
    reader = InMemoryMetricReader()
    OpenTelemetryMetrics(MeterProvider([reader]), Currency("USD")).settled("w", 5 * 10**8, 10)
    assert figures(reader)["api_billing.charged_usd"] == [({"api": "w"}, 0.5)]


def test_metrics__interface_and_those_that_count__have_the_same_events() -> None:
    events = {name for name in vars(Metrics) if not name.startswith("_")}
    assert events == {name for name in vars(OpenTelemetryMetrics) if not name.startswith("_")}


def test_several__event__is_told_to_each() -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    Several(*[OpenTelemetryMetrics(MeterProvider([reader])) for reader in readers]).refused("w", code="throttled")
    assert [figures(reader)["api_billing.refusals"][0][1] for reader in readers] == [1, 1]


def test_open__tracing_without_a_provider__meters_and_does_nothing_else() -> None:
    with Meter.open("memory://", tracing=True, traced_consumers="hash") as meter:
        meter.add_consumer("alice")
        meter.grant("alice", 10, grant_id="first")
        request = MeteredRequest("GET", "/a", TextHeaders([("x-consumer", "alice")]), at_ms=meter.now_ms())
        exchange = Exchange(meter.metering("w", estimate_wei=5, identify=from_header("x-consumer")), request)
        assert exchange.begin() is None
        exchange.finish(OK)
        assert meter.balance("alice").charged_wei == 5


def test_open__tracing_off__nobody_watches() -> None:
    with Meter.open("memory://") as meter:
        assert (meter.watch, type(meter.metrics)) == (None, Metrics)


def test_open__package_missing__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(MissingExtra, match=r"tracing needs opentelemetry-api: pip install 'api-billing\[otel\]'"):
        Spans(hash_key=None)
