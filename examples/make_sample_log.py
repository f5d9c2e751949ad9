#!/usr/bin/env python3
"""Make `sample_access.log`, the default log of `make demo`: real requests to the server of `log_server.py`.

Every client has a loopback address of its own (127.0.0.2 … and ::1), which Linux offers without any set-up. The clock
of the server is set before each request, so that the log covers three days around the end of a month. The same seed
gives the same file.

    python examples/make_sample_log.py [--seed 7] [--output examples/sample_access.log]
"""

import argparse
import io
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

from log_server import CITIES, METRES_OF, AccessLogWriter, ApiServer, Clock

FIRST_DAY = datetime(2026, 1, 30, tzinfo=UTC)
DAYS = 3
DEFAULT_OUTPUT = Path(__file__).with_name("sample_access.log")
DEFAULT_SEED = 7


@dataclass(frozen=True)
class Client:
    """Who asks for what, how often on each of the days, between which hours of the day (UTC)."""

    address: str
    agent: str
    paths: Sequence[str]
    requests_by_day: tuple[int, int, int]
    hours: tuple[float, float] = (0, 24)
    referer: str = ""


@dataclass(frozen=True)
class PlannedRequest:
    """One request that will be made."""

    at: datetime
    client: Client
    target: str


CLIENTS = (
    Client("127.0.0.2", "uptime-probe/3.2", ("/health",), (24, 24, 24)),
    Client("127.0.0.3", "weather-wall/1.4 (kiosk)", ("/forecast/today", "/forecast/week"), (30, 34, 28), (6, 22)),
    # A batch job that geocodes its whole list in one night, and again when the month is over.
    Client("127.0.0.4", "address-cleaner/0.9", ("/geocode/search",), (0, 90, 35), (1, 3)),
    Client("127.0.0.5", "Mozilla/5.0 (X11; Linux x86_64; rv:134.0) Gecko/20100101 Firefox/134.0",
           ("/", "/forecast/week", "/convert/length"), (9, 14, 11), (8, 18), "https://trips.example/plan"),
    Client("127.0.0.6", "unit-bot/2.0", ("/convert/length",), (38, 22, 41), (9, 17)),
    Client("127.0.0.7", "curl/8.11.1", ("/", "/health", "/geocode/search", "/forecast/today"), (3, 6, 2), (10, 16)),
    Client("127.0.0.8", 'field "sensor" 12', ("/forecast/today",), (12, 12, 12)),
    Client("127.0.0.9", "newcomer/0.1",
           ("/forecast/today", "/geocode/search", "/tiles/4/8/5.png"), (0, 0, 17), (7, 20)),
    Client("::1", "local-cron/1.0", ("/convert/length", "/health"), (8, 8, 8)),
)  # fmt: skip


def plan(seed: int) -> list[PlannedRequest]:
    """Return the requests in the order of time."""
    chance = random.Random(seed)  # no secret: the same seed has to give the same log
    planned = []
    for client in CLIENTS:
        for day, requests in enumerate(client.requests_by_day):
            first, last = (round(hour * 3600) for hour in client.hours)
            for second in sorted(chance.sample(range(first, last), requests)):
                at = FIRST_DAY + timedelta(days=day, seconds=second)
                planned.append(PlannedRequest(at, client, _target(chance, chance.choice(client.paths))))
    return sorted(planned, key=lambda request: request.at)


def _target(chance: random.Random, path: str) -> str:
    if path.startswith(("/forecast", "/geocode")):
        # Now and then somebody asks for a city that is not there.
        return f"{path}?city={chance.choice([*CITIES, *CITIES, 'atlantis'])}"
    if path.startswith("/convert"):
        source, target = chance.sample(sorted(METRES_OF), 2)
        return f"{path}?value={chance.randrange(1, 5000)}&from={source}&to={target}"
    return path


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@contextmanager
def serving(host: str, log: AccessLogWriter, now: Clock) -> Iterator[tuple[str, int]]:
    """Run a server on a free port of the host; yields its address."""
    with ApiServer(host, 0, log, now) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host, server.port
        finally:
            server.shutdown()
            thread.join()


def make_log(seed: int = DEFAULT_SEED) -> str:
    """Make all requests, one after the other, and return the log.

    Raises: OSError where the machine lacks one of the loopback addresses (other systems than Linux, IPv6 turned off).
    """
    stream = io.StringIO()
    log, clock = AccessLogWriter(stream), SetClock(FIRST_DAY)
    tags: dict[tuple[str, str], str] = {}
    with serving("127.0.0.1", log, clock) as over_ipv4, serving("::1", log, clock) as over_ipv6:
        for request in plan(seed):
            clock.at = request.at
            _make(request, over_ipv6 if ":" in request.client.address else over_ipv4, tags)
    return stream.getvalue()


def _make(request: PlannedRequest, server: tuple[str, int], tags: dict[tuple[str, str], str]) -> None:
    client = request.client
    headers = {"User-Agent": client.agent} | ({"Referer": client.referer} if client.referer else {})
    known = (client.address, request.target)
    if known in tags:
        headers["If-None-Match"] = tags[known]
    connection = HTTPConnection(*server, timeout=10, source_address=(client.address, 0))
    try:
        connection.request("GET", request.target, headers=headers)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    # A browser keeps what it got, and asks whether it has changed.
    if client.referer and response.status == 200:
        tags[known] = response.headers["ETag"]


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Make the sample access log by really requesting the example server.")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    try:
        log = make_log(arguments.seed)
        arguments.output.write_text(log, encoding="ascii")
    except OSError as error:
        print(f"cannot make the log: {error}; it needs Linux with 127.0.0.2 ... and ::1", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {log.count(chr(10))} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
