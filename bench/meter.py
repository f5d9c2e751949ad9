"""Speed of the meter: ratios to what there is without it, and to the usual designs, in one run.

(a) Reserve and settle (a pair) per second against each store, by one thread and by many coroutines, every settlement
on disk when it is answered. Baselines: the least that both are in raw SQLite, one commit an operation in the callers'
own threads; and 100 operations a commit, which is the limit of this file system.

(b) Each adapter under wrk, beside the same application unmetered, and behind an in-memory rate limiter that stores
nothing. Servers have one worker, in a process of its own; variants of one framework take turns.

(c) FastAPI with the meter beside two usual designs on the same file system: checking, counting and logging in separate
commits of the request's thread; a credit service that is asked over HTTP before and after each request.

CPU is that of all processes of the server, for each request: it says more than the rate when the machine has other
work. Ratios of rates are those of medians over the rounds.

    python bench/meter.py [--quick] [--json FILE] [--folder FOLDER] [--only stores|adapters|designs]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meter_hot import PROCESSES, HotFigure, measure_hot
from meter_load import LoadFigure, Served, WrkMissing, serving, under_load, warm_up, wrk_program
from meter_stores import CONSUMERS, measure_stores, syncs_per_second
from rich.console import Console
from rich.table import Table

FRAMEWORKS = {
    "FastAPI": ("fastapi", {"decorator": "decorator", "middleware": "middleware"}),
    "Starlette": ("starlette", {"decorator": "decorator"}),
    "Flask": ("flask", {"decorator": "decorator"}),
    "Django": ("django", {"decorator": "decorator"}),
    "WSGI": ("wsgi", {"middleware": "middleware"}),
}
UNMETERED, LIMITER = "unmetered", "limiter"
OURS = "meter"
DESIGNS = {
    OURS: "meter_apps:fastapi_decorator",
    "separate commits": "meter_designs:separate_commits",
    "remote, a client a call": "meter_designs:remote_service_new_client",
    "remote, kept client": "meter_designs:remote_service_kept_client",
}
CONNECTIONS = 64
NAMES = [f"consumer-{number}" for number in range(CONSUMERS)]
FEWER_CONNECTIONS = 32  # with more, a service that takes long would answer nobody within a round
AIMS = (
    "aims: SQLite 20,000 pairs/s with 256 callers and 2,500 with one; metered no less of unmetered than the limiter;"
    " 2.5 x separate commits; 30 x the remote service"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One server of a group that took turns."""

    group: str
    variant: str
    figure: LoadFigure


def main() -> None:
    options = _options()
    console = Console()
    console.width = max(console.width, 110)
    loads = [os.getloadavg()[0]]
    found: dict[str, Any] = {"machine": _machine()}
    with tempfile.TemporaryDirectory(prefix="meter-bench-", dir=options.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's account has to pass
        for part in options.parts:
            try:
                found[part] = PARTS[part](folder, options.quick, console)
            except WrkMissing as missing:
                console.print(str(missing), style="bold")
            loads.append(os.getloadavg()[0])
    found["load_average"] = [round(load, 2) for load in loads]
    console.print(f"{_machine_line(found['machine'])}; load average at the start and after each part:", loads)
    console.print(AIMS, soft_wrap=True)
    if options.json:
        text = json.dumps(found, indent=2, default=dataclasses.asdict) + "\n"
        sys.stdout.write(text) if options.json == "-" else Path(options.json).write_text(text, "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of the meter, beside what there is without it.")
    parser.add_argument("--quick", action="store_true", help="less than a minute: short, one round, fewer variants")
    parser.add_argument("--json", metavar="FILE", default="", help="write all figures there as JSON; - is the output")
    parser.add_argument("--folder", type=Path, help="where files lie: on the disk that matters (default: temporary)")
    parser.add_argument("--only", dest="parts", action="append", choices=PARTS, help="one of the parts")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    return options


# --- (a)


def stores(folder: Path, quick: bool, console: Console) -> dict[str, Any]:
    seconds, rounds = (0.5, 1) if quick else (2.0, 3)
    hot: list[HotFigure] = []
    figures, trips = measure_stores(
        folder,
        seconds,
        rounds,
        lambda line: console.print(line, style="dim"),
        lambda name, url: hot.append(measure_hot(name, url, seconds)),
    )
    separate, together = figures[0], figures[2]
    syncs = syncs_per_second(folder, seconds)
    title = "reserve and settle, each settlement on disk when answered (but memory's)"
    table = Table(title=title, title_justify="left")
    columns = ("callers", "pairs/s", "p50 ms", "p99 ms", "x one commit an operation", "of the limit")
    table.add_column("store", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for figure in figures:
        table.add_row(
            figure.store, str(figure.callers), f"{figure.pairs_per_second:,.0f}", f"{figure.p50_ms:.2f}",
            f"{figure.p99_ms:.2f}", f"{figure.pairs_per_second / separate.pairs_per_second:.2f}",
            f"{figure.pairs_per_second / together.pairs_per_second:.2f}",
        )  # fmt: skip
    console.print(table)
    for each in hot:
        console.print(
            f"{each.store}, one account used by {PROCESSES} processes: {each.pairs_per_second:,.0f} pairs/s, the least"
            f" share {each.least_share:.2f} of an equal one"
        )
    for trip in trips:
        console.print(
            f"{trip.store}, on the wire: {trip.reserve:.2f} round trips a reserve, {trip.settle:.2f} a settle; in a"
            f" batch of many {trip.rows_read:.1f} rows read and {trip.rows_written:.1f} written a pair"
        )
    one, _, many = (figure.pairs_per_second for figure in figures if figure.store == "sqlite")
    console.print(f"SQLite: {many:,.0f} pairs/s with 256 callers (aim 20,000), {one:,.0f} with one (aim 2,500)")
    console.print(f"this disk wrote and synced one page {syncs:,.0f} times a second: one caller waits for one a pair")
    return {"figures": figures, "one_account": hot, "round_trips": trips, "syncs_per_second": syncs}


# --- (b)


def adapters(folder: Path, quick: bool, console: Console) -> dict[str, Any]:
    wrk_program()
    seconds, rounds = (1, 1) if quick else (3, 3)
    rows: list[Row] = []
    for framework, (prefix, metered) in FRAMEWORKS.items():
        if quick and framework not in ("FastAPI", "Flask"):
            continue
        variants = {name: f"meter_apps:{prefix}_{name}" for name in (UNMETERED, LIMITER, *metered)}
        rows += _group(framework, variants, folder, CONNECTIONS, seconds, rounds, {}, console)
    _print_rows(console, f"applications under wrk, {CONNECTIONS} connections, store SQLite", rows, UNMETERED)
    return {"figures": rows}


def _group(
    group: str,
    variants: dict[str, str],
    folder: Path,
    connections: int,
    seconds: int,
    rounds: int,
    environments: dict[str, dict[str, str]],
    console: Console,
) -> list[Row]:
    """Start all variants; ask them in turn; their medians."""
    figures: dict[str, list[LoadFigure]] = {name: [] for name in variants}
    with ExitStack() as stack:
        servers: dict[str, Served] = {}
        for name, factory in variants.items():
            stem = f"{group}-{name}".replace(" ", "-").replace(",", "")
            environment = {"METER_URL": f"sqlite:///{folder}/{stem}.db", "LEDGER_FILE": f"{folder}/{stem}.ledger"}
            environment |= environments.get(name, {})
            servers[name] = stack.enter_context(serving(factory, environment, folder / f"{stem}.log"))
        for name, server in servers.items():
            warm_up(server, connections, NAMES, folder)
            console.print(f"{group}, {name}: ready", style="dim")
        for _ in range(rounds):
            for name, server in servers.items():
                figures[name].append(under_load(server, connections, seconds, NAMES, folder))
    return [Row(group, name, _median(each)) for name, each in figures.items()]


def _median(figures: list[LoadFigure]) -> LoadFigure:
    names = [field.name for field in dataclasses.fields(LoadFigure)]
    return LoadFigure(*[statistics.median(getattr(figure, name) for figure in figures) for name in names])


def _print_rows(console: Console, title: str, rows: list[Row], baseline: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("application", "variant"):
        table.add_column(column, no_wrap=True)
    for column in ("requests/s", "p50 ms", "p99 ms", "CPU ms", f"of {baseline}", "of it in CPU"):
        table.add_column(column, justify="right")
    bases = {row.group: row.figure for row in rows if row.variant == baseline}
    for row in rows:
        figure, base = row.figure, bases[row.group]
        table.add_row(
            row.group, row.variant, f"{figure.requests_per_second:,.0f}", f"{figure.p50_ms:.1f}",
            f"{figure.p99_ms:.1f}", f"{figure.cpu_ms:.3f}",
            f"{figure.requests_per_second / base.requests_per_second:.2f}", f"{base.cpu_ms / figure.cpu_ms:.2f}",
        )  # fmt: skip
    console.print(table)


# --- (c)


def designs(folder: Path, quick: bool, console: Console) -> dict[str, Any]:
    wrk_program()
    seconds, rounds = (4, 1) if quick else (6, 3)
    with ExitStack() as stack:
        environment = {"LEDGER_FILE": f"{folder}/service.ledger"}
        service = stack.enter_context(serving("meter_designs:credit_service", environment, folder / "service.log"))
        asking = {"SERVICE_URL": service.url}
        environments = dict.fromkeys(DESIGNS, asking)
        rows = _group("FastAPI", DESIGNS, folder, FEWER_CONNECTIONS, seconds, rounds, environments, console)
    _print_rows(console, "designs behind FastAPI (CPU without the remote service's own)", rows, OURS)
    rates = {row.variant: row.figure.requests_per_second for row in rows}
    for name, rate in rates.items():
        if name != OURS:
            console.print(f"{OURS}: {rates[OURS] / rate:.1f} x {name}")
    return {"figures": rows}


PARTS = {"stores": stores, "adapters": adapters, "designs": designs}


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _machine_line(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores, Python {machine['python']}, SQLite {machine['sqlite']}"


if __name__ == "__main__":
    main()
