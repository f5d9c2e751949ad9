"""The stores and workers of ``bench/soak.py``, and what goes wrong with them."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg.conninfo
from soak_app import RESERVATION_SECONDS

from api_billing.metering import Meter
from tools.private_servers import PrivateServer, private_postgresql_server, private_redis_server
from tools.relay import Relay, relay_to

WORKERS = 2
ANSWER_SECONDS = 8.0
RECOVERY_SECONDS = 60.0
DISK_BYTES = 2 * 2**30  # PostgreSQL keeps 1 GiB of its log
HOUR_SECONDS = 3600


class Failed(Exception):
    """What must not be."""


class Worker:
    """A process that serves, at a port of its own."""

    def __init__(self, url: str, clock: Path) -> None:
        self.clock = clock
        clock.write_text("0")
        self._environment = {**os.environ, "SOAK_URL": url, "SOAK_CLOCK": str(clock)}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it, and wait for nothing: clients do."""
        command = [sys.executable, "-m", "uvicorn", "--fd", str(self._listening.fileno()), "--log-level", "critical"]
        self.process = subprocess.Popen(
            [*command, "--timeout-graceful-shutdown", "5", "--factory", "soak_app:app"],
            cwd=Path(__file__).parent, env=self._environment, pass_fds=[self._listening.fileno()],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait until it has ended."""
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("a worker did not end when it was asked to") from None

    def unsettled(self) -> int | None:
        """How much it could not settle yet; None when it does not answer."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, _, body = get(self.port, "/unsettled", {}, ANSWER_SECONDS)
            return int(body) if status == 200 else None
        return None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listening.close()


def get(port: int, path: str, fields: dict[str, str], seconds: float) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path, headers={**fields, "Connection": "close"})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


class Stage:
    """A store with its workers, and what can be done to them."""

    def __init__(self, kind: str, stack: ExitStack, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self.server: PrivateServer | None = None
        self.relay: Relay | None = None
        self.has_disk = stack.enter_context(own_disk(folder))
        if kind == "sqlite":
            self.url = far = f"sqlite:///{folder}/meter.db"
        elif kind == "postgresql":
            self.server = stack.enter_context(private_postgresql_server(folder, durable=True))
            self.url = self.server.url
            socket_folder = psycopg.conninfo.conninfo_to_dict(self.url)["host"]
            self.relay = stack.enter_context(relay_to(f"{socket_folder}/.s.PGSQL.5432"))
            far = f"postgresql://meter@127.0.0.1:{self.relay.port}/postgres"
        else:
            self.server = stack.enter_context(private_redis_server(folder))
            self.url = self.server.url
            port = int(self.url.rpartition(":")[2].partition("/")[0])
            self.relay = stack.enter_context(relay_to(("127.0.0.1", port)))
            far = f"redis://127.0.0.1:{self.relay.port}/0"
        Meter.open(self.url).close()
        self.workers = [Worker(far, folder / f"clock-{number}") for number in range(WORKERS)]
        for worker in self.workers:
            stack.callback(worker.close)

    def faults(self) -> dict[str, Callable[[], None]]:
        """What can go wrong with this store, by name; each comes to its end."""
        faults = {
            "worker killed": lambda: self._replace(signal.SIGKILL),
            "worker reloaded": lambda: self._replace(signal.SIGTERM),
            "worker frozen": self._freeze_worker,
            "clock an hour forward": lambda: self._step_clock(HOUR_SECONDS),
            "clock an hour back": lambda: self._step_clock(-HOUR_SECONDS),
        }
        if self.server is not None and self.relay is not None:
            faults |= {
                "server killed": lambda: self._kill_server(0),
                "server away": lambda: self._kill_server(random.uniform(1, 5)),
                "server away for minutes": lambda: self._kill_server(random.uniform(60, 150)),
                "server frozen": self._freeze_server,
                "network cut": self._cut,
                "network stalled": self._stall,
            }
        if self.has_disk:
            faults["disk full"] = self._fill_disk
        return faults

    def recovered(self) -> float:
        """Wait until all workers answer and have settled all; how long that took. Raises: Failed."""
        began = time.monotonic()
        while any(worker.unsettled() != 0 for worker in self.workers):
            if time.monotonic() - began > RECOVERY_SECONDS:
                raise Failed(f"not well again after {RECOVERY_SECONDS:g} s: {[w.unsettled() for w in self.workers]}")
            time.sleep(0.1)
        return time.monotonic() - began

    def _replace(self, number: signal.Signals) -> None:
        worker = random.choice(self.workers)
        worker.end(number)
        worker.start()

    def _freeze_worker(self) -> None:
        # Longer than its reservations are kept for it, at times.
        worker = random.choice(self.workers)
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.5, 1.5 * RESERVATION_SECONDS))
        worker.process.send_signal(signal.SIGCONT)

    def _step_clock(self, seconds: int) -> None:
        # Of all that share a machine with their store, else of one.
        wrong = self.workers if self.server is None else self.workers[:1]
        for ahead in (seconds, 0):
            for worker in wrong:
                worker.clock.write_text(str(ahead))
            time.sleep(2)

    def _kill_server(self, away_seconds: float) -> None:
        assert self.server is not None
        self.server.kill()
        time.sleep(away_seconds)
        self._start_server()

    def _start_server(self) -> None:
        assert self.server is not None
        until = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                return self.server.start()
            except RuntimeError:  # what is left of the one before is in its way for a moment
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _freeze_server(self) -> None:
        assert self.server is not None
        self.server.freeze()
        time.sleep(random.uniform(0.5, 7))
        self.server.thaw()

    def _cut(self) -> None:
        assert self.relay is not None
        for _ in range(5):
            self.relay.cut()
            time.sleep(random.uniform(0, 0.3))

    def _stall(self) -> None:
        assert self.relay is not None
        self.relay.stall()
        time.sleep(random.uniform(0.5, 7))
        self.relay.go_on()

    def _fill_disk(self) -> None:
        filler = self._folder / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**16))
        time.sleep(random.uniform(1, 4))
        filler.unlink()
        if self.server is not None and self.server.has_ended():
            self._start_server()  # Redis that has to keep each answer ends when it cannot; PostgreSQL may


@contextmanager
def own_disk(folder: Path) -> Iterator[bool]:
    """A small disk in a folder; False where nobody may make one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
