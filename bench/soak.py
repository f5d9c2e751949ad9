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
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from soak_app import ESTIMATE_WEI
from soak_books import POOR, RICH, Books, Told, audit
from soak_stage import ANSWER_SECONDS, RECOVERY_SECONDS, WORKERS, Failed, Stage, get

from api_billing.metering import Meter
from api_billing.metering.errors import StoreUnavailable
from api_billing.metering.limits.quotas import Quota
from tools.private_servers import NotInstalled

STORES = ("sqlite", "postgresql", "redis")
CLIENTS = 4

Say = Callable[[str], None]


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
    if not faults:
        raise Failed("none of these faults can be had here")
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
