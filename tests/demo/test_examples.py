"""The example server, and the sample log made with it."""

import importlib
import io
import json
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType

import pytest

from demo.access_log import AccessLog, read_log
from demo.log_line import parse_line
from demo.summary import day_key

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = EXAMPLES / "sample_access.log"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def has_loopback_addresses() -> bool:
    try:
        for address, family in (("127.0.0.9", socket.AF_INET), ("::1", socket.AF_INET6)):
            with socket.socket(family) as probe:
                probe.bind((address, 0))
    except OSError:
        return False
    return True


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    return module


@pytest.fixture
def log_text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def server(log_text: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    maker = example("make_sample_log", monkeypatch)
    log = example("log_server", monkeypatch).AccessLogWriter(log_text)
    with maker.serving("127.0.0.1", log, lambda: NOON) as address:
        yield address


def ask(
    server: tuple[str, int], target: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], dict[str, object]]:
    connection = HTTPConnection(*server, timeout=10)
    try:
        connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, dict(response.headers), json.loads(body) if body else {}


@pytest.mark.parametrize(
    ("target", "status", "key"),
    [
        ("/", 200, "apis"),
        ("/health", 200, "status"),
        ("/forecast/today?city=oslo", 200, "days"),
        ("/forecast/week?city=Oslo", 200, "days"),
        ("/geocode/search?city=quito", 200, "latitude"),
        ("/convert/length?value=5&from=km&to=m", 200, "value"),
        ("/geocode/search?city=atlantis", 404, "error"),
        ("/forecast/century", 404, "error"),
        ("/convert/length?value=x&from=km&to=m", 400, "error"),
        ("/convert/length?value=1&from=km", 400, "error"),
        ("/nothing", 404, "error"),
    ],
)
def test_log_server__request__is_answered_and_logged(
    server: tuple[str, int], log_text: io.StringIO, target: str, status: int, key: str
) -> None:
    answered, headers, document = ask(server, target)
    assert (answered, key in document) == (status, True)
    entry = parse_line(log_text.getvalue().rstrip("\n").encode(), 1)
    assert (entry.at, entry.client, entry.status) == (int(NOON.timestamp()), "127.0.0.1", status)
    assert entry.size_bytes == int(headers["Content-Length"])


def test_log_server__known_etag__is_not_modified_without_a_size(server: tuple[str, int], log_text: io.StringIO) -> None:
    tag = ask(server, "/health")[1]["ETag"]
    assert ask(server, "/health", If_None_Match=tag)[0] == 304
    assert '" 304 - "' in log_text.getvalue().splitlines()[1]


def test_log_server__head__has_no_body(server: tuple[str, int], log_text: io.StringIO) -> None:
    assert ask(server, "/health", "HEAD")[2] == {}
    assert '"HEAD /health HTTP/1.1" 200 - ' in log_text.getvalue()


def test_log_server__method_it_does_not_know__is_refused_and_logged(
    server: tuple[str, int], log_text: io.StringIO
) -> None:
    assert ask(server, "/health", "BREW")[0] == 501
    assert '"BREW /health HTTP/1.1" 501 - ' in log_text.getvalue()


def test_log_server__hostile_headers__stay_in_their_fields(server: tuple[str, int], log_text: io.StringIO) -> None:
    ask(server, "/health", User_Agent='a" 200 1 "\\ \xe9', Referer='"')
    line = log_text.getvalue()
    assert line.endswith(r'"\"" "a\" 200 1 \"\\ \xe9"' + "\n")
    assert parse_line(line.rstrip("\n").encode(), 1).size_bytes == 17


@pytest.mark.skipif(not has_loopback_addresses(), reason="the sample needs 127.0.0.9 and ::1, as Linux has them")
def test_make_sample_log__same_seed__gives_the_file_in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = example("make_sample_log", monkeypatch)
    assert maker.make_log() == SAMPLE.read_text(encoding="ascii")


@pytest.fixture
def sample() -> AccessLog:
    return read_log(SAMPLE)


def test_sample_log__every_line__is_a_request_in_order(sample: AccessLog) -> None:
    assert (sample.bad_lines.count, sample.blank_lines, sample.late_entries) == (0, 0, 0)
    assert 400 <= len(sample.entries) <= 600


def test_sample_log__days__are_around_a_month_end(sample: AccessLog) -> None:
    assert {day_key(entry.day_id) for entry in sample.entries} == {"2026-01-30", "2026-01-31", "2026-02-01"}


def test_sample_log__clients_and_apis__are_several(sample: AccessLog) -> None:
    clients = Counter(entry.client for entry in sample.entries)
    assert len(clients) == 9
    assert "::1" in clients
    apis = {entry.api for entry in sample.entries}
    assert apis == {"root", "forecast", "geocode", "convert", "health", "tiles"}
