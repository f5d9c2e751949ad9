"""Settles in a process of its own, for an application that is to settle and not to notice.

A batch takes some tenths of a second of computing. In a thread of the application all of its requests would share
Python's lock with that; beside it they do not. The process belongs to the application: it is told its settings through
a pipe, tells its alerts through another, and ends when the first is closed, so that it never outlives it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from api_billing.errors import BillingError
from api_billing.metering.alerts.alert import Alert
from api_billing.metering.errors import MeterError
from api_billing.metering.observing.logs import configure_logging
from api_billing.metering.settings import MeterSettings
from api_billing.metering.settlement.opening import open_chain
from api_billing.metering.settlement.running import loop_of
from api_billing.metering.stores import open_store

_log = logging.getLogger("api_billing.metering.settlement")

_MODULE: Final = "api_billing.metering.settlement.process"
_AGAIN_SECONDS: Final = 10.0  # before a process that ended unasked is followed by another


class SettlementProcess:
    """Runs the settler of these settings beside this process; another one follows when it ends unasked.

    ``alert`` gets its alerts, in a thread. Thread-safe.
    """

    def __init__(
        self, settings: MeterSettings, alert: Callable[[Alert], None], *, again_seconds: float = _AGAIN_SECONDS
    ) -> None:
        self._settings = settings
        self._alert = alert
        self._again_seconds = again_seconds
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._pipe = -1  # to the process: it ends when this is closed

    @property
    def pid(self) -> int | None:
        """Of the process that settles now."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Settle from now on. Idempotent."""
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._keep, name="api-billing-settle", daemon=True)
                self._thread.start()

    def close(self, wait_seconds: float | None = None) -> None:
        """End after the batch that is on its way, or when so much time is over: then the process is killed, and whoever
        comes next goes on. Idempotent.
        """
        self._closing.set()
        with self._starting:
            thread, process = self._thread, self._process
            self._close_pipe()
        if thread is None:
            return
        if process is not None:
            try:
                process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        thread.join(wait_seconds)

    def abandon(self) -> None:
        """In a forked process: let go of the pipe, so that it closes with the process it belongs to."""
        self._close_pipe()

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                self._run()
            except OSError as error:
                _log.error("no process to settle in: %s", error)
            with self._starting:
                self._close_pipe()
            if not self._closing.is_set():
                _log.error("the process that settles has ended; another one follows in %g s", self._again_seconds)
            self._closing.wait(self._again_seconds)

    def _run(self) -> None:
        with self._starting:
            if self._closing.is_set():
                return
            end, self._pipe = os.pipe()
            os.write(self._pipe, settings_to_text(self._settings).encode() + b"\n")
            try:
                process = self._process = subprocess.Popen(
                    [sys.executable, "-m", _MODULE], stdin=end, stdout=subprocess.PIPE, encoding="utf-8"
                )
            finally:
                os.close(end)
        assert process.stdout is not None
        with process.stdout as told:
            for line in told:
                try:
                    self._alert(alert_from_text(line))
                except Exception:
                    _log.exception("an alert of the process that settles was lost: %s", line)
        process.wait()


def can_run(settings: MeterSettings) -> bool:
    """Whether another process can settle: not what only this one has in memory, nor where Python is embedded."""
    is_python = Path(sys.executable or "").name.lower().startswith(("python", "pypy"))
    return is_python and not settings.store_url.get_secret_value().startswith("memory:")


def settings_to_text(settings: MeterSettings) -> str:
    """All settings, secrets included, as one line."""
    values = {name: _plain(getattr(settings, name)) for name in type(settings).model_fields}
    return json.dumps(values, separators=(",", ":"))


def settings_from_text(text: str) -> MeterSettings:
    """The settings of such a line."""
    return MeterSettings.load(**json.loads(text))


def alert_to_text(alert: Alert) -> str:
    """An alert as one line."""
    return json.dumps(asdict(alert), separators=(",", ":"))


def alert_from_text(text: str) -> Alert:
    """The alert of such a line."""
    values = json.loads(text)
    details = tuple((name, value) for name, value in values.pop("details"))
    return Alert(**values, details=details)


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


# --- in the process


def main() -> int:
    """Settle until the standard input ends; the exit code."""
    # Ctrl-C in a terminal is for the application, which closes the pipe when it has ended its requests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not look like an alert.
    alerts = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    told = sys.stdin.readline()
    if not told:
        return 0
    try:
        settings = settings_from_text(told)
        configure_logging(settings, loggers=("api_billing", ""))
        _settle(settings, lambda alert: print(alert_to_text(alert), file=alerts))
    except (BillingError, MeterError) as error:
        _log.error("nothing is settled: %s", error)
        return 1
    return 0


def _settle(settings: MeterSettings, alert: Callable[[Alert], None]) -> None:
    chain = open_chain(settings)
    with open_store(settings.store_url.get_secret_value()) as store:
        loop = loop_of(settings, chain, store.call, now_ms=store.now_ms, alert=alert)

        def until_closed() -> None:
            while sys.stdin.readline():
                pass
            loop.close()

        threading.Thread(target=until_closed, name="api-billing-closed", daemon=True).start()
        loop.run()


if __name__ == "__main__":
    sys.exit(main())
