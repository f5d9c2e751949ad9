"""Where alerts go: the log, a signed webhook, or whatever apprise knows (mail, chat, telephone). In the background."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from api_billing.extras import needed_by
from api_billing.metering.alerts.alert import Alert, Candidate, confirmed
from api_billing.metering.errors import InvalidSetting, StoreUnavailable
from api_billing.metering.forks import at_fork
from api_billing.metering.https import NoRedirect, is_https
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.stores.steps import run

_LOG: Final = logging.getLogger("api_billing.metering.alerts")
_MIN_SECRET_BYTES: Final = 16
_LONGEST_PAUSE_SECONDS: Final = 30.0
_WARNINGS: Final = frozenset({"dropped", "depleted", "budget", "settlement"})


class Channel(Protocol):
    """Takes alerts to somebody. ``send`` may wait, and raises when it did not work; it is called in one thread."""

    def send(self, alert: Alert) -> None: ...


class LogChannel:
    """Alerts as log records: a recovery as information, all others as warnings."""

    def send(self, alert: Alert) -> None:
        level = logging.WARNING if alert.kind in _WARNINGS else logging.INFO
        _LOG.log(level, "%s", alert.message, extra={"alert": alert_json(alert)})


class WebhookChannel:
    """Alerts as signed JSON over HTTPS, in the form of Standard Webhooks.

    The signature is HMAC-SHA256 over id, timestamp and body, so that a receiver can refuse forged and replayed ones
    (``verify_webhook``); the id of an alert stays the same when it is sent again. Redirects are not followed.

    Raises: InvalidSetting for a URL that is not https (http is for this machine only), or a short secret.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not is_https(url):
            raise InvalidSetting("alert_webhook_url is an https URL, without credentials; http for this machine only")
        if len(_key_of(secret)) < _MIN_SECRET_BYTES:
            raise InvalidSetting(f"alert_webhook_secret has at least {_MIN_SECRET_BYTES} bytes: openssl rand -hex 32")
        self._url, self._secret = url, secret
        self._timeout, self._clock = timeout_seconds, clock

    def send(self, alert: Alert) -> None:
        body = json.dumps(alert_json(alert), separators=(",", ":"), sort_keys=True).encode()
        headers = signed_headers(self._secret, alert_id(alert), int(self._clock()), body)
        request = Request(self._url, body, {"content-type": "application/json", **headers})
        try:
            build_opener(NoRedirect).open(request, timeout=self._timeout).close()
        except HTTPError as error:
            error.close()
            raise ConnectionError(f"the webhook answered {error.code}") from error


class AppriseChannel:
    """Alerts to the services of apprise's URLs (``mailto://…``, ``slack://…``).

    Raises: MissingExtra when it is not installed, InvalidSetting when it does not know a URL.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        with needed_by("the setting alert_urls"):
            self._apprise: Any = import_module("apprise").Apprise()
        for number, url in enumerate(urls, 1):
            if not self._apprise.add(url):
                raise InvalidSetting(f"apprise does not know alert URL number {number}")  # it may have a password in it

    def send(self, alert: Alert) -> None:
        kind = "warning" if alert.kind in _WARNINGS else "success"
        if not self._apprise.notify(title=f"api-billing: {alert.kind}", body=alert.message, notify_type=kind):
            raise ConnectionError("apprise could not deliver")


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as JSON has it; amounts are strings, as JSON's numbers would round them."""
    return {
        "kind": alert.kind,
        "subject": alert.subject,
        "at_ms": alert.at_ms,
        "message": alert.message,
        "threshold": alert.threshold,
        "left_wei": None if alert.left_wei is None else str(alert.left_wei),
        "left": alert.left,
        "details": dict(alert.details),
    }


def alert_id(alert: Alert) -> str:
    """The same id for the same alert, however often it is sent."""
    body = json.dumps(alert_json(alert), separators=(",", ":"), sort_keys=True)
    return "msg_" + hashlib.sha256(body.encode()).hexdigest()[:32]


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three header fields of Standard Webhooks."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{_signature(secret, message_id, timestamp, body)}",
    }


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, now: float, *, tolerance_seconds: int = 300
) -> bool:
    """Whether a webhook is from who has the secret, unchanged and recent. ``headers`` with names in lower case."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        return False
    if abs(now - int(stamp)) > tolerance_seconds:
        return False
    wanted = f"v1,{_signature(secret, message_id, int(stamp), body)}".encode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(wanted, one.encode("utf-8", "replace")) for one in given)


def _signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(_key_of(secret), signed, "sha256")).decode()


def _key_of(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise InvalidSetting("after whsec_ alert_webhook_secret is base 64: openssl rand -base64 32") from None


class AlertDesk:
    """Confirms candidates and delivers alerts, in one thread of its own; requests never wait for it. Thread-safe.

    What fails is tried again with growing pauses, ``attempts`` times in all, then logged and given up, and so is what a
    full queue has no room for; a store that is away is asked until it is back, or the desk is closed. ``call`` asks the
    store and may wait. Each channel is tried on its own; ``on_alert`` is called once for each alert, for metrics.
    """

    def __init__(
        self,
        call: Callable[[Operation[Any]], Any],
        channels: Sequence[Channel],
        *,
        capacity: int = 1000,
        attempts: int = 5,
        first_pause_seconds: float = 1.0,
        wait: Callable[[float], bool] | None = None,
        on_alert: Callable[[Alert], None] | None = None,
    ) -> None:
        self._call = call
        self._on_alert = on_alert
        self._channels = tuple(channels)
        self._attempts = attempts
        self._first_pause = first_pause_seconds
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._queue: queue.Queue[tuple[Sequence[Candidate] | Alert, int] | None] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        at_fork(in_child=self._renew)

    def examine(self, candidates: Sequence[Candidate], now_ms: int) -> None:
        """Have candidates confirmed and, those that are due, delivered. Never waits."""
        if candidates:
            self._put((candidates, now_ms))

    def send(self, alert: Alert) -> None:
        """Have an alert delivered that needs no confirmation. Never waits."""
        self._put((alert, alert.at_ms))

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Deliver what is queued, without pauses between attempts, and end the thread."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            # With a full queue there is no room for the end; the thread is a daemon, and ends with the process.
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=timeout_seconds)
                thread.join(timeout_seconds)

    def _put(self, item: tuple[Sequence[Candidate] | Alert, int]) -> None:
        if self._closing.is_set():
            return
        if self._thread is None or not self._thread.is_alive():
            # Started when first needed, and so again in a forked process.
            self._start()
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            _LOG.error("an alert is lost: %d are waiting already", self._queue.qsize())

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="api-billing-alerts", daemon=True)
                self._thread.start()

    def _renew(self) -> None:
        # What the parent has queued is the parent's to deliver.
        self._queue = queue.Queue(self._queue.maxsize)
        self._lock = threading.Lock()
        self._thread = None

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            subject, now_ms = item
            alerts = [subject] if isinstance(subject, Alert) else self._confirm(subject, now_ms)
            for alert in alerts:
                if self._on_alert is not None:
                    self._on_alert(alert)
                for channel in self._channels:
                    self._try(f"delivering a {alert.kind} alert", lambda c=channel, a=alert: c.send(a))  # type: ignore[misc]

    def _confirm(self, candidates: Sequence[Candidate], now_ms: int) -> list[Alert]:
        alerts: list[Alert] = []
        for candidate in candidates:
            found = self._try(
                "asking the store about an alert",
                lambda c=candidate: run(confirmed([c], now_ms), self._call),  # type: ignore[misc]
            )
            alerts += found or []
        return alerts

    def _try[T](self, what: str, action: Callable[[], T]) -> T | None:
        pause, attempt = self._first_pause, 0
        while True:
            attempt += 1
            try:
                return action()
            except Exception as exc:
                is_away = isinstance(exc, StoreUnavailable) and not self._closing.is_set()
                if attempt >= self._attempts and not is_away:
                    # The class only: a message may have a URL with a password in it.
                    _LOG.error("%s failed %d times: %s", what, attempt, type(exc).__name__)
                    return None
            self._wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def open_channels(webhook_url: str, webhook_secret: str, apprise_urls: Sequence[str]) -> list[Channel]:
    """The log, and those that are named. Raises: InvalidSetting."""
    channels: list[Channel] = [LogChannel()]
    if webhook_url:
        channels.append(WebhookChannel(webhook_url, webhook_secret))
    if apprise_urls:
        channels.append(AppriseChannel(apprise_urls))
    return channels
