"""Speed of the embedded localnet: billed calls per second at 10 to 10,000 consumers, start to first call, memory.

Ratios come from one run. Start is measured in a fresh Python process, from its beginning to the end of the first call.

    python bench/localnet.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from api_billing.testing import Billing, deploy_billing
from genlayer_localnet import Localnet

SIZES = (10, 1_000, 10_000)
CALLS = 2_000
ROUNDS = 3
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
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory with all three worlds: {peak_mib:,.0f} MiB")
    print("aims: 1,000 calls/s; at 10,000 consumers at least 0.70 of the rate at 10; start to first call below 1 s")


def _start() -> None:
    began = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True).stdout
    total = time.perf_counter() - began
    imported, deployed, called = map(float, out.split())
    print(f"start to first call {total:.2f} s: import {imported:.2f}, deploy {deployed:.2f}, call {called:.3f}")


def _consumer(number: int) -> str:
    return "0x" + (number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160).to_bytes(20).hex()


def _world(size: int) -> Billing:
    billing = deploy_billing(Localnet(now="2026-01-15T12:00:00Z"))
    billing.write("register_api", "weather", 10**9, 10**6, sender=OPERATOR)
    for number in range(size):
        billing.net.fund(_consumer(number), GEN)
        billing.write("subscribe", "weather", GEN, GEN, sender=_consumer(number), value=GEN)
    return billing


def _rate(billing: Billing, size: int) -> float:
    consumers = [_consumer(number * 7_919 % size) for number in range(CALLS)]
    began = time.perf_counter()
    for consumer in consumers:
        billing.write("consume_credit", "weather", consumer, sender=OPERATOR)
    return CALLS / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
