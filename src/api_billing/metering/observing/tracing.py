"""OpenTelemetry, by its API: a span for each step of a metered request, and figures. The SDK is the application's.

Without an SDK the API does nothing. Nothing here is imported unless the setting ``tracing`` is on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, Final

from api_billing import __version__
from api_billing.amounts import GEN, Currency
from api_billing.extras import needed_by
from api_billing.metering.observing.metrics import SECONDS, Measure, Metrics
from api_billing.metering.observing.watching import Step

_NAME: Final = "api_billing"
# What an operator has to look at.
_TROUBLE: Final = frozenset({"meter_unavailable", "estimate_failed", "unsettled", "unmetered"})


class Spans:
    """Makes the spans, below the application's current one. ``hash_key`` is for hashes of consumers; None: no consumer
    is told. ``provider`` is the global one unless it is given.

    Raises: MissingExtra without the package.
    """

    def __init__(self, *, hash_key: bytes | None, provider: Any = None) -> None:
        self._trace, self._context, self._propagate = (_api(name) for name in ("trace", "context", "propagate"))
        self._hash_key = hash_key
        self._tracer = self._trace.get_tracer(_NAME, __version__, tracer_provider=provider)

    @contextmanager
    def watched(self, step: Step) -> Iterator[None]:
        """A span around the step."""
        here = self._context.get_current()
        if not self._trace.get_current_span(here).get_span_context().is_valid:
            if step.parent is not None:
                here = step.parent  # it is settled somewhere else than it was reserved
            elif step.carrier is not None:
                here = self._propagate.extract(step.carrier, here)
        span = self._tracer.start_span(f"{_NAME}.{step.name}", context=here)
        step.parent = here
        token = self._context.attach(self._trace.set_span_in_context(span, here))
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)  # its text may be about a consumer
            span.set_status(self._trace.StatusCode.ERROR)
            raise
        finally:
            self._context.detach(token)
            span.set_attributes(self._attributes(step))
            if step.code in _TROUBLE or step.outcome in _TROUBLE:
                span.set_status(self._trace.StatusCode.ERROR, step.code or step.outcome)
            span.end()

    def _attributes(self, step: Step) -> dict[str, str | int]:
        members = step.members()
        consumer = members.pop("consumer", "")
        if consumer and self._hash_key is not None:
            members["consumer"] = hashlib.blake2b(str(consumer).encode(), key=self._hash_key, digest_size=8).hexdigest()
        return {f"{_NAME}.{name}": value for name, value in members.items()}


class OpenTelemetryMetrics(Metrics):
    """Counts with instruments of OpenTelemetry, under the names of Prometheus's with dots."""

    def __init__(self, provider: Any = None, currency: Currency = GEN) -> None:
        metrics = _api("metrics")
        self._observation = metrics.Observation
        meter = metrics.get_meter(_NAME, __version__, meter_provider=provider)

        def counter(name: str, text: str, unit: str = "1") -> Any:
            return meter.create_counter(f"{_NAME}.{name}", unit, text)

        self._requests = counter("requests", "Metered requests by how they ended.", "{request}").add
        self._codes = counter("refusals", "Refused requests by code.", "{request}").add
        shown, self._wei = Measure.of(currency)
        name, unit = shown.lower(), f"{{{shown.lower()}}}"
        charged, uncollected = f"Charged to consumers, in {shown} (approximately).", f"Cost beyond credit, in {shown}."
        self._charged = counter(f"charged_{name}", charged, unit).add
        self._uncollected = counter(f"uncollected_{name}", uncollected, unit).add
        self._seconds = meter.create_histogram(
            f"{_NAME}.request_seconds",
            "s",
            "Time to serve settled and redeemed requests.",
            explicit_bucket_boundaries_advisory=SECONDS,
        ).record
        self._price_failures = counter("price_failures", "Requests whose price failed.", "{request}").add
        self._retries = counter("store_retries", "Operations repeated after no answer.", "{operation}").add
        self._set_aside = counter("set_aside", "Operations that the store can never take.", "{operation}").add
        expired = "Reservations released as nobody settled them."
        self._expired = counter("expired_reservations", expired, "{reservation}").add
        self._alerts = counter("alerts", "Alerts sent, by kind.", "{alert}").add
        self._stores: list[Any] = []
        meter.create_observable_gauge(
            f"{_NAME}.store_waiting", [self._waiting], "{operation}", "Operations waiting for the store."
        )

    def settled(self, api: str, charged_wei: int, duration_ms: int, uncollected_wei: int = 0) -> None:
        self._requests(1, {"api": api, "outcome": "settled"})
        self._charged(charged_wei / self._wei, {"api": api})
        self._seconds(duration_ms / 1000, {"api": api})
        if uncollected_wei:
            self._uncollected(uncollected_wei / self._wei, {"api": api})

    def redeemed(self, api: str, duration_ms: int) -> None:
        self._requests(1, {"api": api, "outcome": "redeemed"})
        self._seconds(duration_ms / 1000, {"api": api})

    def released(self, api: str) -> None:
        self._requests(1, {"api": api, "outcome": "released"})

    def refused(self, api: str, code: str) -> None:
        self._requests(1, {"api": api, "outcome": "refused"})
        self._codes(1, {"api": api, "code": code})

    def replayed(self, api: str) -> None:
        self._requests(1, {"api": api, "outcome": "replayed"})

    def unmetered(self, api: str) -> None:
        self._requests(1, {"api": api, "outcome": "unmetered"})

    def price_failed(self, api: str) -> None:
        self._price_failures(1, {"api": api})

    def retried(self, operation: str) -> None:
        self._retries(1, {"operation": operation})

    def set_aside(self, operation: str) -> None:
        self._set_aside(1, {"operation": operation})

    def swept(self, count: int) -> None:
        self._expired(count)

    def alerted(self, kind: str) -> None:
        self._alerts(1, {"kind": kind})

    def watch_store(self, waiting: Any) -> None:
        self._stores = [waiting]

    def look(self) -> None:
        """Its reader looks."""

    def _waiting(self, options: Any) -> Iterator[Any]:
        for waiting in self._stores:
            yield self._observation(waiting())


@cache
def opentelemetry_metrics(currency: Currency = GEN) -> Metrics:
    """The metrics of the global provider, made the first time; several meters of a currency count together."""
    return OpenTelemetryMetrics(currency=currency)


def _api(name: str) -> Any:
    with needed_by("the setting tracing"):
        return import_module(f"opentelemetry.{name}")
