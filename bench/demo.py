"""Billing a log: CPU time a line, with calls one by one and in settlements, and what a long log takes in all.

(a) A log of 2,000 lines, in turns: each call in a transaction of its own, as far as its API is not metered, and in
settlements, as far as the consumer has ample credit. Both end with the same figures, or the benchmark fails.

(b) ``python -m demo`` with a long log, in a process of its own: CPU time a line, seconds, and the most memory.

What a log takes depends on its shape: each client is to be subscribed to each API that it calls. The generated one has
a client for every 200 lines and 20 APIs, both with a few busy ones, and 50,000 lines a day. --log measures another.

    python bench/demo.py [--quick] [--lines N] [--log FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from demo.access_log import AccessLog, read_log  # noqa: E402  # found by the line above
from demo.run import run  # noqa: E402
from genlayer_localnet.loading.standard_library import choose  # noqa: E402

_SHORT_LINES: Final = 2_000
_LINES_A_CLIENT: Final = 200
_FEWEST_CLIENTS: Final = 20
_APIS: Final = 20
_LINES_A_DAY: Final = 50_000
_TURNS: Final = 3
_FIRST: Final = datetime(2026, 1, 5, tzinfo=UTC)


def lines_of_a_log(number: int, seed: int = 1) -> Iterator[str]:
    """Yield the lines of a log in combined format; the same number and seed always give the same."""
    chosen = random.Random(seed)
    clients = [
        f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(max(number // _LINES_A_CLIENT, _FEWEST_CLIENTS))
    ]
    apis = [f"api{n}" for n in range(_APIS)]
    client_weights, api_weights = ([1 / (n + 1) for n in range(len(names))] for names in (clients, apis))
    for n in range(number):
        at = _FIRST + timedelta(days=n / _LINES_A_DAY)
        (client,), (api,) = chosen.choices(clients, client_weights), chosen.choices(apis, api_weights)
        target = f"/{api}/items/{chosen.randrange(10**6)}"
        size = chosen.randrange(100, 9_000)
        yield f'{client} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {target} HTTP/1.1" 200 {size} "-" "bench/1"\n'


def milliseconds_a_line(log: AccessLog, *, settles_ample: bool) -> tuple[float, dict[str, object]]:
    """CPU time a line of one run, and its figures."""
    began = time.process_time()
    result = run(log, choose(None), lambda name, steps: lambda: None, settles_ample=settles_ample)
    took = time.process_time() - began
    if result.contradictions:
        raise SystemExit(f"the books do not agree: {result.contradictions}")
    return took / log.lines * 1_000, result.summary.to_json()


def compare(path: Path, turns: int) -> dict[str, float]:
    """Bill a log call by call and in settlements, in turns."""
    log = read_log(path)
    figures: dict[bool, list[float]] = {False: [], True: []}
    seen = []
    for _ in range(turns):
        for settles_ample, of in figures.items():
            milliseconds, found = milliseconds_a_line(log, settles_ample=settles_ample)
            of.append(milliseconds)
            seen.append(found)
    if any(found != seen[0] for found in seen):
        raise SystemExit("both ways must give the same figures")
    one_by_one, settled = (statistics.median(of) for of in figures.values())
    return {"call_by_call_ms": one_by_one, "settled_ms": settled, "ratio": one_by_one / settled}


def long_run(path: Path) -> dict[str, float]:
    """Bill a log with the command; its progress is on standard error."""
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    began = time.monotonic()
    command = [sys.executable, "-m", "demo", "--", str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the demo ended with {process.returncode}")
    return {
        "lines": lines,
        "seconds": time.monotonic() - began,
        "cpu_ms_a_line": (used.ru_utime + used.ru_stime) / lines * 1_000,
        "most_mib": used.ru_maxrss / 1_024,
    }


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 lines, one turn")
    parser.add_argument("--lines", type=int, help="of the long log (100,000)")
    parser.add_argument("--log", type=Path, help="a log to measure instead of a generated long one, plain text")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.log", options.log or Path(folder) / "long.log"
        with short.open("w") as file:
            file.writelines(lines_of_a_log(_SHORT_LINES))
        if options.log is None:
            with long.open("w") as file:
                file.writelines(lines_of_a_log(options.lines or (10_000 if options.quick else 100_000)))
        compared = compare(short, 1 if options.quick else _TURNS)
        print(
            f"(a) CPU a line of {_SHORT_LINES:,}: {compared['call_by_call_ms']:.3f} ms call by call, "
            f"{compared['settled_ms']:.3f} ms in settlements: {compared['ratio']:.2f} times faster",
            flush=True,
        )
        took = long_run(long)
        print(
            f"(b) {took['lines']:,} lines in {took['seconds']:.0f} s: CPU {took['cpu_ms_a_line']:.3f} ms a line, "
            f"at most {took['most_mib']:.0f} MiB"
        )
    if options.json:
        options.json.write_text(json.dumps({"compared": compared, "long": took}, indent=2) + "\n")


if __name__ == "__main__":
    main()
