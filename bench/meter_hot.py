"""One account that several processes use at once: the case that spreading accounts over machines does not help.

Part of ``bench/meter.py``; by itself one of its processes.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import uvloop
from meter_stores import Pairs, prepare

from api_billing.metering.ledger.operations import Grant, Reserved, Settled
from api_billing.metering.stores import open_store

PROCESSES = 4
CALLERS = 64
ACCOUNT = "hot"


@dataclass(frozen=True, slots=True)
class HotFigure:
    """Pairs per second on one account, in all, and of the process that got the least of its share."""

    store: str
    pairs_per_second: float
    least_share: float  # 1: all got the same


def measure_hot(name: str, url: str, seconds: float) -> HotFigure:
    """Have all processes reserve and settle on one account of a store."""
    with open_store(url) as store:
        prepare(store)
        store.call(Grant(f"hot-{time.time_ns()}", ACCOUNT, 10**30, 0))
    command = [sys.executable, __file__, url, str(seconds)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    rates = [json.loads(process.communicate()[0]) for process in processes]
    return HotFigure(name, sum(rates), min(rates) / statistics.mean(rates))


async def _serve(url: str, seconds: float) -> float:
    pairs, served = Pairs(0), 0
    with open_store(url) as store:
        began = time.perf_counter()

        async def caller() -> None:
            nonlocal served
            while time.perf_counter() - began < seconds:
                reserve = pairs.reserve()
                reserve.account, reserve.profile_version = ACCOUNT, -1
                assert type(await store.acall(reserve)) is Reserved
                assert type(await store.acall(pairs.settle(reserve))) is Settled
                served += 1

        await asyncio.gather(*[caller() for _ in range(CALLERS)])
        return served / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_serve(sys.argv[1], float(sys.argv[2])))))
