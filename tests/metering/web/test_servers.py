"""Real servers: uvicorn with FastAPI, gunicorn's sync workers with Flask, its threads with Django; an SQLite store.

They listen at sockets that the tests have opened, so that nothing has to be waited for. Where a handler has to be in
the middle of something, it waits at a gate, which is a named pipe.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from api_billing.metering.identity.extractors import from_header
from api_billing.metering.ledger.operations import ListRecords, Record
from api_billing.metering.meter import Meter

from .served import ESTIMATE_WEI, LARGE, MANY

HERE = Path(__file__).parent
GUNICORN = ["-m", "gunicorn", "--bind", "fd://{fd}", "--graceful-timeout", "1", "--log-level", "critical"]
STACKS = {
    "uvicorn-fastapi": [
        "-m", "uvicorn", "--fd", "{fd}", "--log-level", "critical", "--factory", "served:fastapi_app",
    ],
    "gunicorn-sync-flask": [*GUNICORN, "--workers", "3", "served:flask_app()"],
    "gunicorn-threads-django": [*GUNICORN, "--worker-class", "gthread", "--threads", "8", "served:django_app()"],
}  # fmt: skip
LONG_SECONDS = 30


@dataclass
class Server:
    """A running server, and the store that it meters into."""

    stack: str
    port: int
    meter: Meter
    folder: Path
    consumers: int = 0

    def new_consumer(self, credit_wei: int) -> str:
        self.consumers += 1
        name = f"consumer-{self.consumers}"
        self.meter.add_consumer(name, tier="enterprise")
        self.meter.grant(name, credit_wei, grant_id=name)
        return name

    @contextmanager
    def gate(self) -> Iterator[Gate]:
        with closing(Gate(self.folder / f"gate-{self.consumers}")) as gate:
            yield gate

    def request(self, consumer: str, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_SECONDS)
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, {"X-Consumer": consumer, "Connection": "close", **fields})
            got = connection.getresponse()
            return Reply(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def records(self, consumer: str) -> tuple[Record, ...]:
        return self.meter.store.call(ListRecords(consumer))

    def ended(self, consumer: str) -> Record:
        """The only record of a consumer, when the request has come to its end."""
        return eventually(lambda: next((one for one in self.records(consumer) if one.state != "reserved"), None))


@dataclass
class Reply:
    status: int
    fields: dict[str, str]
    body: bytes


class Gate:
    """What a handler waits at. Both ends are held open here, so that nobody has to wait for anybody to come."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._pipe = os.open(path, os.O_RDWR)

    def open(self) -> None:
        """Let one through, now or later."""
        os.write(self._pipe, b"x")

    def close(self) -> None:
        os.close(self._pipe)


def eventually[T](find: Callable[[], T | None]) -> T:
    """What is found sooner or later; another process is doing it."""
    for _ in range(100 * LONG_SECONDS):
        if (found := find()) is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module", params=STACKS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    url = f"sqlite:///{folder}/meter.db"
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        arguments = [word.format(fd=listening.fileno()) for word in STACKS[request.param]]
        with subprocess.Popen(
            [sys.executable, *arguments], cwd=HERE, env={**os.environ, "METER_URL": url}, pass_fds=[listening.fileno()]
        ) as process:
            try:
                with Meter.open(url, identify=from_header("X-Consumer")) as meter:
                    yield Server(request.param, listening.getsockname()[1], meter, folder)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(LONG_SECONDS)


def charged(server: Server, consumer: str) -> int:
    balance = server.meter.balance(consumer)
    assert balance.reserved_wei == 0, "something stays reserved"
    return balance.charged_wei


def test_request__served__is_charged_before_the_client_has_the_response(server: Server) -> None:
    ann = server.new_consumer(1000)
    reply = server.request(ann, "/plain")
    assert (reply.status, reply.body, reply.fields["x-cost-wei"]) == (200, b'"plain"', str(ESTIMATE_WEI))
    assert charged(server, ann) == ESTIMATE_WEI


def test_head_and_options__over_the_wire__are_metered(server: Server) -> None:
    ann = server.new_consumer(1000)
    assert server.request(ann, "/plain", "HEAD").body == b""
    assert charged(server, ann) == ESTIMATE_WEI
    assert server.request(ann, "/plain", "OPTIONS").fields["x-cost-wei"] == str(ESTIMATE_WEI)
    assert charged(server, ann) == 2 * ESTIMATE_WEI


def test_exception__of_a_handler__is_a_500_and_costs_nothing(server: Server) -> None:
    ann = server.new_consumer(1000)
    assert server.request(ann, "/boom").status == 500
    assert (server.ended(ann).state, charged(server, ann)) == ("released", 0)


def test_stream__of_pieces_made_one_by_one__arrives_piece_by_piece(server: Server) -> None:
    ann = server.new_consumer(1000)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_SECONDS)
    with server.gate() as gate, closing(connection):
        connection.request("GET", f"/steps?gate={gate.path}", headers={"X-Consumer": ann})
        reply = connection.getresponse()
        # The handler makes no further piece before the gate is opened, and that is when the one before has arrived.
        for number in range(3):
            if number:
                gate.open()
            assert reply.read1(100) == b"piece"
        assert reply.read() == b""
    assert server.ended(ann).outcome.response_bytes == 15
    assert charged(server, ann) == 10 + 15


def test_client__gone_within_a_stream__pays_for_what_was_sent(server: Server) -> None:
    ann = server.new_consumer(10**12)
    connection = resetting_connection(server)
    with server.gate() as gate:
        connection.request("GET", f"/endless?gate={gate.path}", headers={"X-Consumer": ann})
        reply = connection.getresponse()
        assert reply.read1(5) == b"piece"
        reply.close()
        connection.close()
        gate.open()
        record = server.ended(ann)
    assert record.state == "settled"
    assert 5 <= record.outcome.response_bytes < len(LARGE) * MANY
    assert charged(server, ann) == 10 + record.outcome.response_bytes


def test_stream__cut_off_by_the_client__is_had_whole_with_its_key_and_charged_once(server: Server) -> None:
    ann = server.new_consumer(10**12)
    connection = resetting_connection(server)
    with server.gate() as gate:
        path = f"/steps?gate={gate.path}"
        connection.request("GET", path, headers={"X-Consumer": ann, "Idempotency-Key": "k"})
        reply = connection.getresponse()
        assert reply.read1(100) == b"piece"
        reply.close()
        connection.close()
        for _ in range(4):
            gate.open()
        server.ended(ann)
        assert server.request(ann, path, Idempotency_Key="k").body == b"piece" * 3
    eventually(lambda: True if all_free(server, ann) else None)
    assert charged(server, ann) == 10 + 15


def resetting_connection(server: Server) -> http.client.HTTPConnection:
    """A connection that is reset when it is closed, as that of a client which is killed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_SECONDS)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return connection


def test_client__gone_before_the_response__pays_nothing(server: Server) -> None:
    if server.stack != "uvicorn-fastapi":
        pytest.skip("WSGI does not tell an application that the client is gone")
    ann = server.new_consumer(1000)
    connection = resetting_connection(server)
    connection.request("GET", "/patient", headers={"X-Consumer": ann})
    eventually(lambda: server.meter.balance(ann).reserved_wei or None)
    connection.close()
    assert (server.ended(ann).state, charged(server, ann)) == ("released", 0)


def test_body__of_many_packets__is_read_for_the_key_and_by_the_handler(server: Server) -> None:
    ann = server.new_consumer(1000)
    body = os.urandom(900_000)
    replies = [server.request(ann, "/size", "POST", body, Idempotency_Key="k") for _ in range(2)]
    assert [reply.body for reply in replies] == [b"900000"] * 2
    assert charged(server, ann) == 10 + 6


def test_body__that_breaks_off__is_not_served(server: Server) -> None:
    ann = server.new_consumer(1000)
    with socket.create_connection(("127.0.0.1", server.port), LONG_SECONDS) as client:
        head = (
            f"POST /size HTTP/1.1\r\nHost: x\r\nX-Consumer: {ann}\r\nIdempotency-Key: k\r\nContent-Length: 100\r\n\r\n"
        )
        client.sendall(head.encode() + b"half")
        client.shutdown(socket.SHUT_WR)
        client.recv(1000)
    record = server.ended(ann)
    assert (record.state, record.code, charged(server, ann)) == ("refused", "unreadable_body", 0)


def test_burst__of_50_on_credit_for_7__serves_exactly_7(server: Server) -> None:
    ann = server.new_consumer(7 * ESTIMATE_WEI + ESTIMATE_WEI - 1)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: server.request(ann, "/plain").status, range(50)))
    assert (statuses.count(200), statuses.count(402)) == (7, 43)
    assert charged(server, ann) == 7 * ESTIMATE_WEI


def test_copies__8_at_once_of_one_request__are_charged_once_and_get_one_response(server: Server) -> None:
    ann = server.new_consumer(10**6)

    def copy(_: int) -> Reply:
        while (reply := server.request(ann, "/new", "POST", b"{}", Idempotency_Key='"same"')).status == 409:
            assert json.loads(reply.body)["code"] == "idempotency_in_progress"
        return reply

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(copy, range(8)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.fields for reply in replies) == 7
    assert charged(server, ann) == ESTIMATE_WEI


HOSTILE = {
    "consumer that is no text": b"X-Consumer: \xff\xfe\x80",
    "consumer with a null": b"X-Consumer: ann\x00bob",
    "consumer given twice": b"X-Consumer: ann\r\nX-Consumer: bob",
    "consumer of 60 kB": b"X-Consumer: " + b"a" * 60_000,
    "consumer folded over lines": b"X-Consumer: ann\r\n bob",
    "consumer with a line break": b"X-Consumer: ann\rSet-Cookie: a=b",
    "consumer that is empty": b"X-Consumer:",
    "key that is no text": b"Idempotency-Key: \xff\xfe",
    "key of 100 kB": b"Idempotency-Key: " + b"k" * 100_000,
    "key given twice": b"Idempotency-Key: a\r\nIdempotency-Key: b",
    "key that is not closed": b'Idempotency-Key: "a',
    "request id with quotes": b'X-Request-ID: "\xf6\r\n\tx',
    "length that is no number": b"Content-Length: many",
    "length below nothing": b"Content-Length: -1",
    "length given twice": b"Content-Length: 1\r\nContent-Length: 2",
    "encoding of no kind": b"Transfer-Encoding: nonsense",
    "name that is no token": b"X Y(\xff): a",
    "field of 100 kB": b"X-Large: " + b"a" * 100_000,
}
QUERIES = [b"/plain?x=%ff%zz%", b"/plain?%00&=&&a", b"/plain?\xff\xfe", b"/%ff%fe", b"/plain?" + b"a=b&" * 2000]


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_header__hostile__is_no_error_of_the_server(server: Server, line: bytes) -> None:
    for name in ("ann", "bob"):
        server.meter.add_consumer(name, tier="enterprise")
        server.meter.grant(name, 10**6, grant_id=f"for {name}")
    own = b"" if line.startswith(b"X-Consumer") else b"X-Consumer: ann\r\n"
    assert status_of(server, b"GET /plain HTTP/1.1\r\nHost: x\r\n" + own + line) != 500
    # uvicorn may answer a malformed request while the application is still serving what came before the flaw.
    eventually(lambda: True if all_free(server, "ann", "bob") else None)


def all_free(server: Server, *consumers: str) -> bool:
    return not any(server.meter.balance(consumer).reserved_wei for consumer in consumers)


@pytest.mark.parametrize("target", QUERIES, ids=["escapes", "empty names", "bytes", "path", "long"])
def test_target__hostile__is_no_error_of_the_server(server: Server, target: bytes) -> None:
    ann = server.new_consumer(10**6).encode()
    assert status_of(server, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nX-Consumer: " + ann) != 500


def status_of(server: Server, head: bytes) -> int:
    with socket.create_connection(("127.0.0.1", server.port), LONG_SECONDS) as client:
        reply = b""
        try:
            client.sendall(head + b"\r\nConnection: close\r\n\r\n")
            while part := client.recv(65_536):
                reply += part
        except ConnectionError:
            pass  # a server may close before it has read everything
    assert b"\r\nSet-Cookie" not in reply
    return int(reply.split(b" ", 2)[1]) if reply else 400
