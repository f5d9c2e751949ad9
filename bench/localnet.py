"""Speed of the embedded localnet: billed calls per second at 10 to 10,000 consumers and on both lines of GenVM, start
to first call, memory.

Ratios come from one run. Start is measured in a fresh Python process, from its beginning to the end of the first call.

    python bench/localnet.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from statistics import median
from typing import get_args

from rich.console import Console
from rich.table import Table

from api_billing.networks import Line
from api_billing.testing import Billing, deploy_billing
from genlayer_localnet import Localnet

SIZES = (10, 1_000, 10_000)
CALLS = 2_000
ROUNDS = 3
LINE_SIZE, LINE_TURNS, LINE_CALLS = 1_000, 101, 100
GEN = 10**18
OPERATOR = "0x" + "0e" * 20
FIRST_CALL = """
import time
started = time.perf_counter()
from api_billing.testing import deploy_billing
from genlayer_localnet import Localnet
imported = time.perf_counter()
billing = deploy_billing(Localnet())
deployed = time.perf_counter()
billing.write("register_api", "weather", 1, 1, sender="0x" + "0e" * 20)
print(imported - started, deployed - imported, time.perf_counter() - deployed)
"""


def main() -> None:
    _start()
    worlds = {size: _world(size) for size in SIZES}
    rates = {size: max(_rate(billing, size) for _ in range(ROUNDS)) for size, billing in worlds.items()}
    table = Table(title=f"billed calls per second, {worlds[10].net.std.name} library", title_justify="left")
    for column in ("consumers", "calls/s", f"of the rate at {SIZES[0]}"):
        table.add_column(column, justify="right")
    for size, rate in rates.items():
        table.add_row(f"{size:,}", f"{rate:,.0f}", f"{rate / rates[SIZES[0]]:.2f}")
    Console().print(table)
    _lines()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory with all three worlds: {peak_mib:,.0f} MiB")
    print("aims: 1,000 calls/s; at 10,000 consumers at least 0.70 of the rate at 10; start to first call below 1 s;")
    print("a call on v0.3 at most 1.1 of one on v0.2")


def _start() -> None:
    began = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True).stdout
    total = time.perf_counter() - began
    imported, deployed, called = map(float, out.split())
    print(f"start to first call {total:.2f} s: import {imported:.2f}, deploy {deployed:.2f}, call {called:.3f}")


def _lines() -> None:
    """A billed call on each line, in turns of a few calls: CPU time, and the median of what the turns compare."""
    worlds = {line: _world(LINE_SIZE, line) for line in get_args(Line)}
    costs: dict[Line, list[float]] = {line: [] for line in worlds}
    for _ in range(LINE_TURNS):
        for line, billing in worlds.items():
            began = time.process_time()
            _rate(billing, LINE_SIZE, LINE_CALLS)
            costs[line].append((time.process_time() - began) * 1e6 / LINE_CALLS)
    older, newer = map(median, costs.values())
    ratio = median(new / old for old, new in zip(*costs.values(), strict=True))
    print(f"CPU of a billed call: {older:,.0f} us on v0.2, {newer:,.0f} us on v0.3, ratio {ratio:.2f}")


def _consumer(number: int) -> str:
    return "0x" + (number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160).to_bytes(20).hex()


def _world(size: int, line: Line = "v0.2") -> Billing:
    billing = deploy_billing(Localnet(now="2026-01-15T12:00:00Z"), line)
    billing.write("register_api", "weather", 10**9, 10**6, sender=OPERATOR)
    for number in range(size):
        billing.net.fund(_consumer(number), GEN)
        billing.write("subscribe", "weather", GEN, GEN, sender=_consumer(number), value=GEN)
    return billing


def _rate(billing: Billing, size: int, calls: int = CALLS) -> float:
    consumers = [_consumer(number * 7_919 % size) for number in range(calls)]
    began = time.perf_counter()
    for consumer in consumers:
        billing.write("consume_credit", "weather", consumer, sender=OPERATOR)
    return calls / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
