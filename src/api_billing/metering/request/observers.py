"""Who looks at a meter's requests, by its settings."""

from __future__ import annotations

from api_billing.metering.observing.metrics import Metrics, prometheus_metrics
from api_billing.metering.observing.watching import LoggedRequests, Several, StepMetrics, Watch, Watcher
from api_billing.metering.settings import MeterSettings

_MOST_KEY_BYTES = 64  # of BLAKE2


def observers(settings: MeterSettings) -> tuple[Metrics, Watch | None]:
    """What counts, and what watches each step of a request: None when nobody does. Raises: MissingExtra."""
    counting = [prometheus_metrics(currency=settings.money)] if settings.metrics else []
    watchers: list[Watcher] = [LoggedRequests()] if settings.log_requests else []
    if settings.tracing:
        from api_billing.metering.observing.tracing import Spans, opentelemetry_metrics

        counting.append(opentelemetry_metrics(settings.money))
        pepper = settings.key_pepper.get_secret_value().encode()[:_MOST_KEY_BYTES]
        watchers.append(Spans(hash_key=pepper if settings.traced_consumers == "hash" else None))
    # JSON lines say of which request they are, also when none is logged on its own.
    watch = Watch(watchers) if watchers or settings.log_format == "json" else None
    if watch is not None:
        counting.append(StepMetrics())
    if not counting:
        return Metrics(), watch
    return counting[0] if len(counting) == 1 else Several(*counting), watch
