"""Figures for Prometheus, in a registry of the test."""

import sys
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from api_billing.amounts import GEN, Currency
from api_billing.errors import MissingExtra
from api_billing.metering.observing.metrics import Metrics, PrometheusMetrics, exposition, prometheus_metrics

EVENTS: dict[str, tuple[Callable[[Metrics], None], str, dict[str, str], float]] = {
    "settled": (lambda m: m.settled("w", 5, 10), "requests_total", {"api": "w", "outcome": "settled"}, 1),
    "charged": (lambda m: m.settled("w", 3 * 10**9, 10), "charged_gwei_total", {"api": "w"}, 3),
    "uncollected": (lambda m: m.settled("w", 5, 10, 2 * 10**9), "uncollected_gwei_total", {"api": "w"}, 2),
    "seconds": (lambda m: m.settled("w", 5, 1_500), "request_seconds_sum", {"api": "w"}, 1.5),
    "redeemed": (lambda m: m.redeemed("w", 5), "requests_total", {"api": "w", "outcome": "redeemed"}, 1),
    "released": (lambda m: m.released("w"), "requests_total", {"api": "w", "outcome": "released"}, 1),
    "refused": (lambda m: m.refused("w", "throttled"), "requests_total", {"api": "w", "outcome": "refused"}, 1),
    "code": (lambda m: m.refused("w", "throttled"), "refusals_total", {"api": "w", "code": "throttled"}, 1),
    "replayed": (lambda m: m.replayed("w"), "requests_total", {"api": "w", "outcome": "replayed"}, 1),
    "unmetered": (lambda m: m.unmetered("w"), "requests_total", {"api": "w", "outcome": "unmetered"}, 1),
    "price": (lambda m: m.price_failed("w"), "price_failures_total", {"api": "w"}, 1),
    "retried": (lambda m: m.retried("Settle"), "store_retries_total", {"operation": "Settle"}, 1),
    "set aside": (lambda m: m.set_aside("Settle"), "set_aside_total", {"operation": "Settle"}, 1),
    "swept": (lambda m: m.swept(7), "expired_reservations_total", {}, 7),
    "alerted": (lambda m: m.alerted("dropped"), "alerts_total", {"kind": "dropped"}, 1),
    "waiting": (lambda m: m.watch_store(lambda: 4), "store_waiting", {}, 4),
}


@pytest.mark.parametrize("event", EVENTS)
def test_metrics__event__is_counted(event: str) -> None:
    act, name, labels, value = EVENTS[event]
    registry = CollectorRegistry()
    act(PrometheusMetrics(registry))
    assert registry.get_sample_value(f"api_billing_{name}", labels) == value


def test_metrics__interface_and_counting_one__have_the_same_events() -> None:
    events = {name for name in vars(Metrics) if not name.startswith("_")}
    assert events == {name for name in vars(PrometheusMetrics) if not name.startswith("_")}


@pytest.mark.parametrize("event", EVENTS)
def test_metrics__switched_off__count_nothing_and_do_not_fail(event: str) -> None:
    EVENTS[event][0](Metrics())


def test_prometheus_metrics__two_meters__count_together() -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        prometheus_metrics(registry).released("w")
    labels = {"api": "w", "outcome": "released"}
    assert registry.get_sample_value("api_billing_requests_total", labels) == 2


def test_prometheus_metrics__meters_of_several_currencies__count_together_and_amounts_apart() -> None:
    registry = CollectorRegistry()
    for currency in (GEN, Currency("USD"), Currency("credits")):
        prometheus_metrics(registry, currency).settled("w", 3 * 10**9, 10, 2 * 10**9)
    assert registry.get_sample_value("api_billing_requests_total", {"api": "w", "outcome": "settled"}) == 3
    for name, charged, uncollected in (("gwei", 3, 2), ("usd", 3, 2), ("credits", 3 * 10**9, 2 * 10**9)):
        assert registry.get_sample_value(f"api_billing_charged_{name}_total", {"api": "w"}) == charged
        assert registry.get_sample_value(f"api_billing_uncollected_{name}_total", {"api": "w"}) == uncollected


def test_exposition__of_a_registry__is_text_with_the_figures() -> None:
    registry = CollectorRegistry()
    PrometheusMetrics(registry).swept(3)
    kind, body = exposition(registry)
    assert kind.startswith("text/plain")
    assert b"api_billing_expired_reservations_total 3.0" in body


def test_metrics__package_missing__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"metrics needs prometheus-client: pip install 'api-billing\[metrics\]'"):
        PrometheusMetrics()
