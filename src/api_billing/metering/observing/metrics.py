"""Figures for Prometheus. Without the package prometheus-client nothing is counted, at no cost.

Several processes count together where ``PROMETHEUS_MULTIPROC_DIR`` names a folder of this start's own, as
prometheus-client has it: each writes its figures into files there, and whichever is asked tells those of all.

Labels are APIs, codes and kinds, of which there are few; consumers and paths are in the audit log. Amounts are in
Gwei, or in the meter's currency (``charged_usd``), as Prometheus counts in floats: right for graphs and alarms, not for
bills.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, Self

from api_billing.amounts import GEN, Currency
from api_billing.extras import needed_by

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_LIVE_FILE: Final = re.compile(r"gauge_live[a-z]*_(\d+)\.db")
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measure(NamedTuple):
    """What amounts are counted in: its name, and how many smallest units it has."""

    name: str
    wei: int

    @classmethod
    def of(cls, currency: Currency) -> Self:
        """Gwei of GEN, and of all others one of the currency."""
        return cls("Gwei", 10**9) if currency.is_gen else cls(currency.code, 10**currency.decimals)


class Metrics:
    """Counts nothing: what a meter has when metrics are off, and the interface of one that counts. Thread-safe."""

    def settled(self, api: str, charged_wei: int, duration_ms: int, uncollected_wei: int = 0) -> None:
        """A request was served and charged."""

    def redeemed(self, api: str, duration_ms: int) -> None:
        """A request was served for a receipt."""

    def released(self, api: str) -> None:
        """A request was reserved and not charged."""

    def refused(self, api: str, code: str) -> None:
        """A request was refused with a code of ``problems.KINDS``."""

    def replayed(self, api: str) -> None:
        """A stored response was sent again."""

    def unmetered(self, api: str) -> None:
        """A request was served without being metered, as the store failed (fail open)."""

    def price_failed(self, api: str) -> None:
        """A price failed, and a share of the estimate was charged."""

    def retried(self, operation: str) -> None:
        """A settlement or release is repeated, as the store did not answer."""

    def set_aside(self, operation: str) -> None:
        """A settlement or release was given up, as the store can never take it."""

    def swept(self, count: int) -> None:
        """Reservations expired and were released."""

    def alerted(self, kind: str) -> None:
        """An alert was sent."""

    def watch_store(self, waiting: Any) -> None:
        """Show how many operations wait for the store: ``waiting`` is a callable without arguments."""

    def look(self) -> None:
        """Some seconds have passed: look at what is looked at rather than told, where nobody else does."""


class PrometheusMetrics(Metrics):
    """Counts in a registry of prometheus-client, by default the process's own.

    Raises: MissingExtra when the package is not installed. Its ValueError when the registry has these names already:
    make one for each registry (``prometheus_metrics`` does).
    """

    def __init__(self, registry: Any = None, currency: Currency | None = GEN) -> None:
        client = _client()
        registry = registry if registry is not None else client.REGISTRY

        def counter(name: str, text: str, *labels: str) -> Any:
            return client.Counter(f"api_billing_{name}", text, labels, registry=registry)

        self._counter = counter

        requests = counter("requests", "Metered requests by how they ended.", "api", "outcome")
        self._settled = cache(lambda api: requests.labels(api, "settled"))
        self._redeemed = cache(lambda api: requests.labels(api, "redeemed"))
        self._released = cache(lambda api: requests.labels(api, "released"))
        self._replayed = cache(lambda api: requests.labels(api, "replayed"))
        self._refused = cache(lambda api: requests.labels(api, "refused"))
        self._unmetered = cache(lambda api: requests.labels(api, "unmetered"))
        self._codes = counter("refusals", "Refused requests by code.", "api", "code").labels
        seconds = client.Histogram(
            "api_billing_request_seconds",
            "Time to serve settled and redeemed requests.",
            ("api",),
            buckets=SECONDS,
            registry=registry,
        )
        self._seconds = cache(seconds.labels)
        self._price_failures = counter("price_failures", "Requests whose price failed.", "api").labels
        self._retries = counter("store_retries", "Operations repeated after no answer.", "operation").labels
        self._set_aside = counter("set_aside", "Operations that the store can never take.", "operation").labels
        self._expired = counter("expired_reservations", "Reservations released as nobody settled them.")
        self._alerts = counter("alerts", "Alerts sent, by kind.", "kind").labels
        self._waiting = client.Gauge(
            "api_billing_store_waiting",
            "Operations waiting for the store.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._looks: Callable[[], int] | None = None
        if currency is not None:
            self._count_in(Measure.of(currency))

    def _count_in(self, measure: Measure) -> None:
        self._wei, name = measure.wei, measure.name.lower()
        charged = self._counter(f"charged_{name}", f"Charged to consumers, in {measure.name} (approximately).", "api")
        self._charged = cache(charged.labels)
        text = f"Cost beyond estimate and credit, in {measure.name}."
        self._uncollected = self._counter(f"uncollected_{name}", text, "api").labels

    def _counting_in(self, measure: Measure) -> PrometheusMetrics:
        """The same counts, with amounts in this."""
        other = copy(self)
        other._count_in(measure)
        return other

    def settled(self, api: str, charged_wei: int, duration_ms: int, uncollected_wei: int = 0) -> None:
        self._settled(api).inc()
        self._charged(api).inc(charged_wei / self._wei)
        self._seconds(api).observe(duration_ms / 1000)
        if uncollected_wei:
            self._uncollected(api).inc(uncollected_wei / self._wei)

    def redeemed(self, api: str, duration_ms: int) -> None:
        self._redeemed(api).inc()
        self._seconds(api).observe(duration_ms / 1000)

    def released(self, api: str) -> None:
        self._released(api).inc()

    def refused(self, api: str, code: str) -> None:
        self._refused(api).inc()
        self._codes(api, code).inc()

    def replayed(self, api: str) -> None:
        self._replayed(api).inc()

    def unmetered(self, api: str) -> None:
        self._unmetered(api).inc()

    def price_failed(self, api: str) -> None:
        self._price_failures(api).inc()

    def retried(self, operation: str) -> None:
        self._retries(operation).inc()

    def set_aside(self, operation: str) -> None:
        self._set_aside(operation).inc()

    def swept(self, count: int) -> None:
        self._expired.inc(count)

    def alerted(self, kind: str) -> None:
        self._alerts(kind).inc()

    def watch_store(self, waiting: Any) -> None:
        if multiprocess_folder():
            self._looks = waiting  # another process, which is asked, cannot call it
        else:
            self._waiting.set_function(waiting)

    def look(self) -> None:
        if self._looks is not None:
            self._waiting.set(self._looks())


def prometheus_metrics(registry: Any = None, currency: Currency = GEN) -> Metrics:
    """The metrics of a registry (default: the process's own), made the first time; several meters count together,
    amounts of each currency apart.
    """
    return _counting_in(registry, Measure.of(currency))


@cache
def _counting_in(registry: Any, measure: Measure) -> PrometheusMetrics:
    return _without_money(registry)._counting_in(measure)


@cache
def _without_money(registry: Any) -> PrometheusMetrics:
    return PrometheusMetrics(registry, None)


def exposition(registry: Any = None) -> tuple[str, bytes]:
    """Content type and body for a ``/metrics`` endpoint, of all processes where they count together.

    Raises: MissingExtra without prometheus-client.
    """
    client = _client()
    folder = multiprocess_folder()
    if registry is None and folder:
        multiprocess = import_module("prometheus_client.multiprocess")
        for pid in _dead(Path(folder)):
            multiprocess.mark_process_dead(pid, folder)
        registry = client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)
    return client.CONTENT_TYPE_LATEST, client.generate_latest(registry if registry is not None else client.REGISTRY)


def multiprocess_folder() -> str:
    """Where the processes of a server count together; empty: this one counts for itself."""
    return os.environ.get(_FOLDER, "")


@contextmanager
def counting_together() -> Iterator[None]:
    """Have the processes that are started within this block count together, in a folder that is removed at its end;
    where they do already, nothing is changed.
    """
    if multiprocess_folder():
        yield
        return
    with TemporaryDirectory(prefix="api-billing-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER]


def _dead(folder: Path) -> Iterator[int]:
    """Processes that have ended and left what only counts while they live: no server tells of all of them."""
    for pid in {int(found[1]) for path in folder.glob("gauge_live*.db") if (found := _LIVE_FILE.fullmatch(path.name))}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            yield pid
        except OSError:
            pass  # it lives, and is somebody else's


def _client() -> Any:
    with needed_by("the setting metrics"):
        return import_module("prometheus_client")
