"""CPU of a metered request without server, socket and disk: each adapter in process, beside the same app unmetered.

The applications are those of ``bench/meter.py``. The store is the one in memory, asked at once in the caller's thread,
so that what is left is the exchange, the adapter and the bare ledger. Every variant lives in a process of its own; the
variants of a framework take turns, and the least of the rounds counts: what else the machine does only adds. At the end
is what one limit of requests costs, beside the same application without one.

Figures of different runs say little of a change: they differ by more than it. ``--against`` has the package of another
checkout take turns with this one, with the same applications and the same requests.

    python bench/meter_path.py [--quick] [--profile fastapi_middleware | --against ../before/src]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import multiprocessing
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import meter_apps
import uvloop
from meter_stores import CONSUMERS, prepare
from rich.console import Console
from rich.table import Table

import api_billing
from api_billing.metering.clock import system_clock_ms
from api_billing.metering.identity.extractors import from_header
from api_billing.metering.ledger.operations import Operation
from api_billing.metering.ledger.rows import REQUESTS
from api_billing.metering.meter import Meter
from api_billing.metering.settings import MeterSettings
from api_billing.metering.stores.memory.store import MemoryStore

FRAMEWORKS = {
    "FastAPI": ("fastapi", ("decorator", "middleware")),
    "Starlette": ("starlette", ("decorator",)),
    "Flask": ("flask", ("decorator",)),
    "Django": ("django", ("decorator",)),
    "WSGI": ("wsgi", ("middleware",)),
}
# One limit of requests, beside the same without one.
LIMITS = ("middleware", "fixed", "sliding", "bucket", "sliding_of_all", "bucket_of_all")
UNMETERED = "unmetered"
OURS = Path(api_billing.__file__).parents[1]
FIELDS = {"host": "127.0.0.1:8000", "user-agent": "bench", "accept": "*/*"}


class AtOnceStore(MemoryStore):
    """Performs where it is asked: no queue, no other thread, nothing kept of requests that have ended."""

    def call(self, operation: Operation[Any]) -> Any:
        with self._turn:  # the keeper asks, too, from a thread of its own
            return self._perform([operation])[0]

    async def acall(self, operation: Operation[Any]) -> Any:
        return self.call(operation)

    def post(self, operation: Operation[Any]) -> None:
        self.call(operation)

    def forget_requests(self) -> None:
        with self._turn:
            self._tables.rows[REQUESTS].clear()


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of a metered request, adapter by adapter, in process.")
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests")
    parser.add_argument("--profile", metavar="FACTORY", help="where the time goes in one variant, instead of figures")
    parser.add_argument("--against", metavar="SRC", type=Path, help="the src of another checkout, measured in turns")
    options = parser.parse_args()
    requests = 2_000 if options.quick else 10_000
    if options.profile:
        print(_profile(options.profile, requests))
        return
    console = Console()
    if options.against:
        console.print(_compared(options.against.resolve(strict=True), requests))
        return
    table = Table(title="CPU in process, store in memory asked at once", title_justify="left")
    for column in ("application", "variant", "us a request", "more than unmetered", "x unmetered"):
        table.add_column(column, justify="left" if column in ("application", "variant") else "right")
    for framework, (prefix, metered) in FRAMEWORKS.items():
        factories = [f"{prefix}_{variant}" for variant in (UNMETERED, *metered)]
        figures = dict(zip(factories, _taking_turns(factories, requests), strict=True))
        for factory, figure in figures.items():
            bare = figures[f"{prefix}_{UNMETERED}"]
            more = f"{figure - bare:.1f}" if figure is not bare else ""
            table.add_row(framework, factory.partition("_")[2], f"{figure:.1f}", more, f"{figure / bare:.2f}")
    console.print(table)
    table = Table(title="One limit of requests (WSGI)", title_justify="left")
    for column in ("limit", "us a request", "more than without", "x without"):
        table.add_column(column, justify="left" if column == "limit" else "right")
    figures = _taking_turns([f"wsgi_{limit}" for limit in LIMITS], requests)
    bare = figures[0]
    for limit, figure in zip(LIMITS, figures, strict=True):
        more = f"{figure - bare:.1f}" if figure is not bare else ""
        name = "none" if figure is bare else limit.replace("_", " ")
        table.add_row(name, f"{figure:.1f}", more, f"{figure / bare:.2f}")
    console.print(table)


def _compared(source: Path, requests: int) -> Table:
    table = Table(title=f"CPU in process, beside {source}", title_justify="left")
    for column in ("application", "variant", "us a request there", "here", "more"):
        table.add_column(column, justify="left" if column in ("application", "variant") else "right")
    for framework, (prefix, metered) in FRAMEWORKS.items():
        for variant in (UNMETERED, *metered):
            factory = f"{prefix}_{variant}"
            there, here = _taking_turns([factory, factory], requests // 5, rounds=25, sources=[source, OURS])
            table.add_row(framework, variant, f"{there:.1f}", f"{here:.1f}", f"{here - there:+.1f}")
    return table


def _taking_turns(
    factories: Sequence[str], requests: int, rounds: int = 5, sources: Sequence[Path] | None = None
) -> list[float]:
    """Microseconds a request for each factory, with the package in each source: the least of the rounds."""
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes: list[Connection] = []
        for factory, source in zip(factories, sources or [OURS] * len(factories), strict=True):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_measuring, args=(factory, requests, theirs, source), daemon=True)
            sys.path.insert(0, str(source))  # which the process has from us
            process.start()
            sys.path.pop(0)
            stack.callback(process.join)
            stack.callback(ours.close)
            theirs.close()
            pipes.append(ours)
        found: list[list[float]] = [[] for _ in pipes]
        for _ in range(rounds):
            for figures, pipe in zip(found, pipes, strict=True):
                pipe.send(None)
                figures.append(pipe.recv())
        return [min(figures) for figures in found]


def _measuring(factory: str, requests: int, pipe: Connection, source: Path) -> None:
    assert Path(api_billing.__file__).is_relative_to(source), api_billing.__file__
    serve, store = _application(factory)
    serve(requests // 5)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        began = time.thread_time()
        serve(requests)
        pipe.send((time.thread_time() - began) / requests * 1e6)
        store.forget_requests()


def _profile(factory: str, requests: int) -> str:
    serve, _ = _application(factory)
    serve(requests // 5)
    profile = cProfile.Profile()
    profile.runcall(serve, requests)
    output = io.StringIO()
    pstats.Stats(profile, stream=output).sort_stats("tottime").print_stats(45)
    return output.getvalue()


def _application(factory: str) -> tuple[Callable[[int], None], AtOnceStore]:
    """A function that serves so many requests, and the store behind it."""
    store = AtOnceStore()
    prepare(store)
    meter_apps.open_meter = lambda: Meter(
        store, MeterSettings.load(), identify=from_header("X-Consumer"), clock_ms=system_clock_ms
    )
    app = getattr(meter_apps, factory)()
    if factory.startswith(("flask", "django", "wsgi")):
        return lambda requests: _serve_wsgi(app, requests), store
    loop = uvloop.new_event_loop()
    return lambda requests: loop.run_until_complete(_serve_asgi(app, requests)), store


async def _serve_asgi(app: Any, requests: int) -> None:
    headers = [(name.encode(), value.encode()) for name, value in FIELDS.items()]
    consumers = [(b"x-consumer", f"consumer-{number}".encode()) for number in range(CONSUMERS)]
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    for number in range(requests):
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 40_000), "scheme": "http", "root_path": "",
            "method": "GET", "path": "/forecast", "raw_path": b"/forecast", "query_string": b"", "state": {},
            "headers": [*headers, consumers[number % CONSUMERS]],
        }  # fmt: skip
        await app(scope, receive, send)
        if number % 64 == 0:
            await asyncio.sleep(0)
    assert statuses == [200] * requests, statuses[:3]


def _serve_wsgi(app: Any, requests: int) -> None:
    statuses = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        statuses.append(status)
        return lambda piece: None

    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in FIELDS.items()}
    consumers = [f"consumer-{number}" for number in range(CONSUMERS)]
    for number in range(requests):
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/forecast", "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(), "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
            **fields, "HTTP_X_CONSUMER": consumers[number % CONSUMERS],
        }  # fmt: skip
        pieces = app(environ, start_response)
        for _ in pieces:
            pass
        if hasattr(pieces, "close"):
            pieces.close()
    assert statuses == ["200 OK"] * requests, statuses[:3]


if __name__ == "__main__":
    main()
