"""What the servers of the benchmarks run: the application that BENCH_APP (module:factory) names.

With the garbage collector set as docs/metering-speed.md advises for services: metered, unmetered, limited and the
other designs alike. BENCH_GC=plain leaves the collector as
Python has it.
"""

import gc
import os
from importlib import import_module
from typing import Any


def app() -> Any:
    module, _, factory = os.environ["BENCH_APP"].partition(":")
    made = getattr(import_module(module), factory)()
    if os.environ.get("BENCH_GC") != "plain":
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000)
    return made
