"""Servers in processes of their own, and wrk, which asks them.

Part of ``bench/meter.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BENCH: Final = Path(__file__).parent
THREADS: Final = 32  # of gunicorn's worker
_SERVED: Final = "meter_served:app"
_START_SECONDS: Final = 30
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}

# Every consumer asks in turn. The requests are made before, so that the client has little to do.
_SCRIPT: Final = """
local consumers, requests, next = {%s}, {}, 0
init = function()
   for number, consumer in ipairs(consumers) do
      requests[number] = wrk.format("GET", "/forecast", {["X-Consumer"] = consumer})
   end
end
request = function()
   next = next %% #requests + 1
   return requests[next]
end
local pause = %d
if pause > 0 then
   delay = function() return math.random(0, 2 * pause) end
end
"""


class WrkMissing(Exception):
    """There is no wrk; the message says how to get it."""


class Failed(Exception):
    """A server did not start, or answered otherwise than with 200."""


@dataclass(frozen=True, slots=True)
class LoadFigure:
    """What one server did under load. CPU is that of the server's processes, user and system, for each request."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    pids: tuple[int, ...]


def wrk_program() -> str:
    """Where wrk is. Raises: WrkMissing."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkMissing("wrk is not installed (Debian: apt-get install wrk): adapters and designs are left out")
    return program


@contextmanager
def serving(factory: str, environment: Mapping[str, str], log: Path) -> Iterator[Served]:
    """Run ``module:factory``: under gunicorn what is WSGI, else under uvicorn; one worker. Raises: Failed."""
    port = _free_port()
    is_wsgi = factory.partition(":")[2].startswith(("flask", "django", "wsgi"))
    command = _gunicorn(port) if is_wsgi else _uvicorn(port)
    variables = {**os.environ, **environment, "BENCH_APP": factory}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=BENCH, env=variables, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(process, port, log)
        yield Served(f"http://127.0.0.1:{port}", _family(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _uvicorn(port: int) -> list[str]:
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", _SERVED, "--factory", "--port", str(port), *options]


def _gunicorn(port: int) -> list[str]:
    options = ["--worker-class", "gthread", "--workers", "1", "--threads", str(THREADS), "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", f"{_SERVED}()", "--bind", f"127.0.0.1:{port}", *options]


def under_load(
    server: Served, connections: int, seconds: int, consumers: Sequence[str], folder: Path, *, pause_ms: int = 0
) -> LoadFigure:
    """Ask a server for so long, as these consumers in turn; each connection pauses after an answer, on average so long.

    Raises: Failed, WrkMissing.
    """
    before = sum(map(_cpu_seconds, server.pids))
    output = _wrk(server, connections, seconds, consumers, folder, pause_ms)
    worked = sum(map(_cpu_seconds, server.pids)) - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise Failed(output)
    requests = int(_found(r"(\d+) requests in", output)[0])
    if not requests:
        raise Failed(f"no request was answered within {seconds} seconds")
    return LoadFigure(
        requests_per_second=float(_found(r"Requests/sec:\s+([\d.]+)", output)[0]),
        p50_ms=_milliseconds(_found(r"50%\s+([\d.]+)(us|ms|s|m)", output)),
        p99_ms=_milliseconds(_found(r"99%\s+([\d.]+)(us|ms|s|m)", output)),
        cpu_ms=worked / requests * 1e3,
    )


def warm_up(
    server: Served, connections: int, consumers: Sequence[str], folder: Path, *, seconds: int = 1, pause_ms: int = 0
) -> None:
    """Ask a server for so long, whatever it answers."""
    _wrk(server, connections, seconds, consumers, folder, pause_ms)


def _wrk(
    server: Served, connections: int, seconds: int, consumers: Sequence[str], folder: Path, pause_ms: int = 0
) -> str:
    script = folder / "requests.lua"
    script.write_text(_SCRIPT % (", ".join([f'"{consumer}"' for consumer in consumers]), pause_ms), "utf-8")
    command = [
        wrk_program(), "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s",
        "--latency", "--timeout", "30s", "--script", str(script), f"{server.url}/forecast",
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _found(pattern: str, output: str) -> tuple[str, ...]:
    match = re.search(pattern, output)
    if match is None:
        raise Failed(f"wrk said something else than expected: {output}")
    return match.groups()


def _milliseconds(number_and_unit: tuple[str, ...]) -> float:
    return float(number_and_unit[0]) * _UNITS[number_and_unit[1]]


def _family(pid: int) -> tuple[int, ...]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return (pid, *[each for child in children for each in _family(int(child))])


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    """Whether an application answers; a connection is accepted before that."""
    request = b"GET /nothing HTTP/1.0\r\nX-Consumer: consumer-0\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(request)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
