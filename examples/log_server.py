#!/usr/bin/env python3
"""A small HTTP server with a few APIs that writes an access log in Apache's combined format. Standard library only.

python examples/log_server.py --port 8080 --log access.log
curl 'http://127.0.0.1:8080/forecast/today?city=oslo'
make demo LOG=access.log
"""

import argparse
import hashlib
import json
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit

Clock = Callable[[], datetime]
Query = dict[str, str]

CITIES = {
    "bergen": (60.39, 5.32),
    "lisbon": (38.72, -9.14),
    "nairobi": (-1.29, 36.82),
    "oslo": (59.91, 10.75),
    "quito": (-0.18, -78.47),
    "sapporo": (43.06, 141.35),
}
METRES_OF = {"cm": 0.01, "m": 1.0, "km": 1000.0, "in": 0.0254, "ft": 0.3048, "mi": 1609.344}
SKIES = ("clear", "cloudy", "drizzle", "fog", "rain", "snow", "thunder")
FORECAST_DAYS = {"today": 1, "week": 7}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class RequestRefused(Exception):  # it is an answer to the client, not a failure of the server
    """The request is answered with this status and text."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class AccessLogWriter:
    """Writes one line per request in the order in which they end. Thread-safe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, at: datetime, client: str, request: str, status: int, size: int, referer: str, agent: str) -> None:
        """Write the line of one request; ``at`` has a time zone, a ``size`` of 0 is written as ``-``."""
        stamp = f"{at:%d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S %z}"
        fields = f'"{_escaped(request)}" {status} {size or "-"} "{_escaped(referer)}" "{_escaped(agent)}"'
        with self._lock:
            self._stream.write(f"{client} - - [{stamp}] {fields}\n")
            self._stream.flush()


def _escaped(text: str) -> str:
    """Escape a field as Apache does, so that a client cannot end it or the line. A header arrives as latin-1 text."""
    shown = (
        f"\\{character}" if character in '"\\' else character if " " <= character <= "~" else f"\\x{ord(character):02x}"
        for character in text
    )
    return "".join(shown) or "-"


def answer(path: str, query: Query, now: datetime) -> object:
    """Return what the API at the path answers.

    Raises: RequestRefused.
    """
    match path.strip("/").split("/"):
        case [""]:
            return {"apis": ["/forecast/today", "/forecast/week", "/geocode/search", "/convert/length", "/health"]}
        case ["forecast", span] if span in FORECAST_DAYS:
            return forecast(_city(query), FORECAST_DAYS[span], now)
        case ["geocode", "search"]:
            name = _city(query)
            latitude, longitude = CITIES[name]
            return {"city": name, "latitude": latitude, "longitude": longitude}
        case ["convert", "length"]:
            return convert(query)
        case ["health"]:
            return {"status": "ok"}
        case _:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no {path}")


def forecast(city: str, days: int, now: datetime) -> object:
    """Return a forecast that is made up, but the same for everyone who asks for the same city and days."""
    outlook = []
    for day in range(now.toordinal(), now.toordinal() + days):
        digest = hashlib.sha256(f"{city} {day}".encode()).digest()
        date = datetime.fromordinal(day).date().isoformat()
        outlook.append({"date": date, "sky": SKIES[digest[0] % len(SKIES)], "celsius": digest[1] % 40 - 10})
    return {"city": city, "days": outlook}


def convert(query: Query) -> object:
    """Return a length in another unit."""
    unknown = [unit for unit in (query.get("from", ""), query.get("to", "")) if unit not in METRES_OF]
    if unknown:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"from and to are each one of {', '.join(METRES_OF)}")
    try:
        value = float(query.get("value", ""))
    except ValueError:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "value is a number") from None
    return {"value": round(value * METRES_OF[query["from"]] / METRES_OF[query["to"]], 6), "unit": query["to"]}


def _city(query: Query) -> str:
    name = query.get("city", "").lower()
    if name not in CITIES:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"city is one of {', '.join(CITIES)}")
    return name


class ApiHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with JSON and an ETag, and logs every request."""

    server: "ApiServer"
    server_version = "example-apis"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the document."""
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._respond(with_body=False)

    def _respond(self, *, with_body: bool) -> None:
        target = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(target.query).items()}
        status = HTTPStatus.OK
        try:
            document = answer(target.path, query, self.server.now())
        except RequestRefused as refused:
            status, document = refused.status, {"error": str(refused)}
        body = json.dumps(document).encode() + b"\n"
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if status is HTTPStatus.OK and self.headers.get("If-None-Match") == tag:
            status, body = HTTPStatus.NOT_MODIFIED, b""
        sent = body if with_body else b""
        # Written before the answer: who has the answer finds its line in the log.
        self._log(status, len(sent))
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.server.now().astimezone(UTC), usegmt=True))
        self.send_header("ETag", tag)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Log and refuse what is not a request this server understands."""
        self.close_connection = True
        self._log(code, 0)
        self.send_response_only(code, message)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _log(self, status: int, size: int) -> None:
        headers = getattr(self, "headers", None) or {}
        request = getattr(self, "requestline", "")
        referer, agent = headers.get("Referer", ""), headers.get("User-Agent", "")
        self.server.log.write(self.server.now(), self.client_address[0], request, int(status), size, referer, agent)

    def log_message(self, format: str, *args: Any) -> None:  # the name is the base class's
        """Keep quiet: the access log has it."""


class ApiServer(ThreadingHTTPServer):
    """The server; ``now`` gives the time of the log and the forecasts, so that it can be set."""

    daemon_threads = True

    def __init__(self, host: str, port: int, log: AccessLogWriter, now: Clock) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.log = log
        self.now = now
        super().__init__((host, port), ApiHandler)

    @property
    def port(self) -> int:
        """The port it listens on, also where a free one was asked for with 0."""
        return int(self.server_address[1])


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve a few example APIs and write an access log.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--log", default="access.log", help="the access log to append to")
    arguments = parser.parse_args()
    try:
        with (
            open(arguments.log, "a", encoding="ascii") as stream,
            ApiServer(arguments.host, arguments.port, AccessLogWriter(stream), lambda: datetime.now(UTC)) as server,
        ):
            print(
                f"serving http://{arguments.host}:{server.port}/ - log in {arguments.log} - stop with Ctrl+C",
                flush=True,
            )
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    except (OSError, OverflowError) as error:
        print(f"cannot serve {arguments.host} port {arguments.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
