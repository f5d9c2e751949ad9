#!/usr/bin/env python3
"""Two workers and four clients on each store, while what can go wrong goes wrong every few seconds.

Workers are killed, frozen and replaced, servers of stores killed and frozen, networks cut, disks filled, clocks put an
hour forward and back. Then the books are shown: what clients were told they paid is what the store has charged, each
request once, and nothing stays reserved. It ends with 1 when anything was lost or doubled, or did not recover.

python bench/soak.py --minutes 8 --only postgresql

On loopback addresses only. The programs of the servers have to be installed; a disk that is full needs root.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg.conninfo
from soak_app import API, ESTIMATE_WEI, RESERVATION_SECONDS

from api_billing.metering import Meter
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.ledger.operations import ListRecords, ReadCounts, Record, SumUsage
from api_billing.metering.limits.plan import make_plan
from api_billing.metering.limits.quotas import Quota
from tools.private_servers import NotInstalled, PrivateServer, private_postgresql_server, private_redis_server
from tools.relay import Relay, relay_to

STORES = ("sqlite", "postgresql", "redis")
WORKERS, CLIENTS = 2, 4
RICH, POOR = [f"rich-{number}" for number in range(4)], [f"poor-{number}" for number in range(2)]
ANSWER_SECONDS = 8.0
RECOVERY_SECONDS = 60.0
DISK_BYTES = 512 * 2**20
HOUR_SECONDS = 3600

Say = Callable[[str], None]


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


@dataclass
class Told:
    """What clients know, all together."""

    served: dict[str, tuple[str, int]] = field(default_factory=dict)  # by key: consumer, what it paid
    unserved: Counter[str] = field(default_factory=Counter)  # by what became of them
    granted: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client:
    """Asks for one thing after the other, each until it knows what became of it."""

    def __init__(self, number: int, ports: Sequence[int], told: Told, ends: threading.Event) -> None:
        self._number, self._ports, self._told, self._ends = number, ports, told, ends

    def run(self) -> None:
        asked = 0
        while not self._ends.is_set():
            asked += 1
            consumer = random.choice(RICH + POOR)
            what = random.choices(["coroutine", "thread", "broken"], [9, 9, 1])[0]
            self._ask(f"{self._number}-{asked}", consumer, f"/{what}?cost_wei={random.randint(0, ESTIMATE_WEI)}")

    def _ask(self, key: str, consumer: str, path: str) -> None:
        fields = {"X-Consumer": consumer, "Idempotency-Key": key, "X-Request-ID": key}
        while True:
            try:
                status, got, body = get(random.choice(self._ports), path, fields, ANSWER_SECONDS)
            except (OSError, http.client.HTTPException) as error:
                outcome = f"retried: {type(error).__name__}"
            else:
                is_broken = path.startswith("/broken")
                if status == 200:
                    outcome = "replayed" if "idempotency-replayed" in got else "served"
                    if outcome == "served" and "x-cost-wei" not in got:
                        outcome = "served, settled later"
                    self._told.served[key] = consumer, json.loads(body)["cost_wei"]
                elif status in (409, 503):
                    outcome = f"retried: {status}"
                elif status == 402 or (status == 500 and is_broken):
                    outcome = f"not served: {status}"
                else:
                    outcome = f"unexpected: {status} {body[:200]!r}"
            with self._told.lock:
                self._told.seen[outcome] += 1
            if not outcome.startswith("retried"):
                return
            time.sleep(random.uniform(0.01, 0.1))


class Bank:
    """Gives credit to consumers that have little, each grant until it is known to be made."""

    def __init__(self, meter: Meter, told: Told, ends: threading.Event) -> None:
        self._meter, self._told, self._ends = meter, told, ends

    def run(self) -> None:
        number = 0
        while not self._ends.wait(0.2):
            number += 1
            for consumer in POOR:
                self.grant(consumer, 20 * ESTIMATE_WEI, f"grant {number} of {consumer}")

    def grant(self, consumer: str, amount_wei: int, grant_id: str) -> None:
        while True:
            with suppress(StoreUnavailable):
                self._meter.grant(consumer, amount_wei, grant_id=grant_id)
                self._told.granted[consumer] += amount_wei
                return
            time.sleep(0.05)


class Stage:
    """A store with its workers, and what can be done to them."""

    def __init__(self, kind: str, stack: ExitStack, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self.server: PrivateServer | None = None
        self.relay: Relay | None = None
        self.has_disk = False
        if kind == "sqlite":
            self.has_disk = stack.enter_context(own_disk(folder))
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


@dataclass
class Books:
    """What the store has, beside what clients were told."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def compare(self, what: str, told: Any, kept: Any) -> None:
        if told != kept:
            self.wrong.append(f"{what}: {told} told, {kept} kept")


def audit(meter: Meter, told: Told) -> Books:
    """Compare all that there is to compare."""
    books, sums = Books(), Counter[str]()
    records = all_records(meter)
    by_key: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.request_id].append(record)
    for key, (_, cost_wei) in told.served.items():
        settled = [record for record in by_key[key] if record.state == "settled"]
        books.compare(f"request {key}", cost_wei, sum(each.charged_wei + each.uncollected_wei for each in settled))
        sums["charged more than once"] += sum(1 for each in settled if each.charged_wei) > 1
    for key, of_key in by_key.items():
        if key not in told.served:
            books.compare(f"request {key}, not served", 0, sum(each.charged_wei for each in of_key))
    for consumer in RICH + POOR:
        balance = meter.balance(consumer)
        mine = [record for record in records if record.consumer == consumer and record.state == "settled"]
        paid_wei = sum(cost_wei for of, cost_wei in told.served.values() if of == consumer)
        uncollected_wei = sum(record.uncollected_wei for record in mine)
        books.compare(f"{consumer} granted", told.granted[consumer], balance.granted_wei)
        books.compare(f"{consumer} reserved", 0, balance.reserved_wei)
        books.compare(f"{consumer} charged", paid_wei - uncollected_wei, balance.charged_wei)
        usage = meter.store.call(SumUsage(consumer, API))
        books.compare(f"{consumer} usage", balance.charged_wei, sum(day.charged_wei for day in usage))
        books.compare(f"{consumer} records", len(mine), sum(day.calls for day in usage))
        plan = make_plan(meter.profile(consumer), meter.now_ms())
        counts = meter.store.call(ReadCounts(plan.checks))
        (year,) = [used for check, used in zip(plan.checks, counts, strict=True) if check.name == "year"]
        books.compare(f"{consumer} counted", len(mine), year)
        sums.update(
            granted=balance.granted_wei, free=balance.free_wei, reserved=balance.reserved_wei,
            charged=balance.charged_wei, told=paid_wei, uncollected=uncollected_wei, settled=len(mine), counted=year,
            late=sum(record.late for record in mine),
        )  # fmt: skip
    books.compare("charged more than once", 0, sums["charged more than once"])
    states = Counter(record.state for record in records)
    books.lines = [
        f"granted {sums['granted']:,} = free {sums['free']:,} + reserved {sums['reserved']:,}"
        f" + charged {sums['charged']:,}",
        f"told {sums['told']:,} = charged {sums['charged']:,} + uncollected {sums['uncollected']:,}",
        f"served to clients {len(told.served):,}, settled {sums['settled']:,} ({sums['late']:,} late),"
        f" counted {sums['counted']:,}",
        "records: " + ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())),
    ]
    return books


def all_records(meter: Meter) -> list[Record]:
    found: list[Record] = []
    while page := meter.store.call(ListRecords(after=found[-1].record_id if found else "", limit=1000)):
        found += page
    return found


def soak(kind: str, minutes: float, every_seconds: float, say: Say, only: Sequence[str] = ()) -> bool:
    """Let it run, with ``only`` some faults, and show the books; whether all is right."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.chmod(0o755)  # PostgreSQL is another user
        stage = Stage(kind, stack, folder)
        meter = stack.enter_context(Meter.open(stage.url))
        told, ends = Told(), threading.Event()
        bank = Bank(meter, told, ends)
        for consumer in RICH + POOR:
            meter.add_consumer(consumer, tier="enterprise", quotas=(Quota("year", "year", 10**9),))
        for consumer in RICH:
            bank.grant(consumer, 10**12, f"first of {consumer}")
        stage.recovered()
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS + 1))
        stack.callback(ends.set)
        clients = [Client(number, [worker.port for worker in stage.workers], told, ends) for number in range(CLIENTS)]
        running = [pool.submit(each.run) for each in (*clients, bank)]
        done, slowest = faults_of(stage, minutes, every_seconds, say, only)
        ends.set()
        for each in running:
            each.result(RECOVERY_SECONDS)
        stage.recovered()
        wait_for_release(meter)
        books = audit(meter, told)
    show(kind, minutes, done, slowest, told, books, say)
    return not books.wrong and not any(name.startswith("unexpected") for name in told.seen)


def faults_of(
    stage: Stage, minutes: float, every_seconds: float, say: Say, only: Sequence[str]
) -> tuple[Counter[str], float]:
    """Have everything go wrong in turns, each when the workers have got over the last."""
    faults = {name: fault for name, fault in stage.faults().items() if not only or name in only}
    done, slowest = Counter[str](), 0.0
    until = time.monotonic() + 60 * minutes
    waiting: list[str] = []
    while time.monotonic() < until:
        waiting = waiting or random.sample(list(faults), len(faults))
        name = waiting.pop()
        faults[name]()
        seconds = stage.recovered()
        done[name] += 1
        slowest = max(slowest, seconds)
        say(f"  {name}, well again after {seconds:.1f} s")
        time.sleep(random.uniform(0.5, 1.5) * every_seconds)
    return done, slowest


def wait_for_release(meter: Meter) -> None:
    until = time.monotonic() + RECOVERY_SECONDS
    while any(meter.balance(consumer).reserved_wei for consumer in RICH + POOR) and time.monotonic() < until:
        time.sleep(0.2)


def show(kind: str, minutes: float, done: Counter[str], slowest: float, told: Told, books: Books, say: Say) -> None:
    print(f"{kind}: {minutes:g} minutes, {WORKERS} workers, {CLIENTS} clients")
    print("  faults: " + ", ".join(f"{count} {name}" for name, count in sorted(done.items())))
    print(f"  well again after {slowest:.1f} s at most")
    print("  answers: " + ", ".join(f"{count:,} {name}" for name, count in sorted(told.seen.items())))
    for line in books.lines:
        print(f"  {line}")
    for line in books.wrong[:20]:
        print(f"  WRONG {line}")
    print(
        f"  {'nothing lost, nothing doubled' if not books.wrong else f'{len(books.wrong)} things are wrong'}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="for each store")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two faults, on average")
    parser.add_argument("--only", choices=STORES, action="append", help="one of the stores; may be given again")
    parser.add_argument("--fault", action="append", help="one of the faults, by its name; may be given again")
    parser.add_argument("--verbose", action="store_true", help="say what happens, when it happens")
    options = parser.parse_args()
    say: Say = (lambda text: print(text, file=sys.stderr, flush=True)) if options.verbose else lambda text: None
    is_right = True
    for kind in options.only or STORES:
        try:
            is_right = soak(kind, options.minutes, options.every, say, options.fault or ()) and is_right
        except NotInstalled as error:
            print(f"{kind}: left out: {error}")
        except Failed as error:
            print(f"{kind}: FAILED: {error}")
            is_right = False
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
