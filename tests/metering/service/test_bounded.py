"""What a client can do to the server of the HTTP meter over the wire: a large head, a slow request, a long body."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn

from api_billing.metering import Meter
from api_billing.metering.service import bounded, create_app
from api_billing.metering.service.serving import listen

TOKEN = "service-token-of-the-tests-0123456789"
WAIT_SECONDS = 30
BODY = json.dumps({"api": "weather", "consumer": "acme", "estimate_wei": "1"}).encode()
POST = (
    f"POST /v1/reservations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Meter.open("memory://") as meter, listen("127.0.0.1", 0) as listening:
        meter.add_consumer("acme")
        meter.grant("acme", 1000, grant_id="first")
        app = create_app(meter, service_token=TOKEN)
        config = uvicorn.Config(app, log_config=None, log_level="critical", http=bounded.BoundedProtocol, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as client:
        yield client


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "REQUEST_SECONDS", 0.1)


def statuses(client: socket.socket) -> list[int]:
    """Of all responses until the server closes the connection."""
    got = b""
    try:
        while part := client.recv(65_536):
            got += part
    except ConnectionError:
        pass
    return [int(one[:3]) for one in got.split(b"HTTP/1.1 ")[1:]]


def flood(client: socket.socket, piece: bytes) -> None:
    """Send until the server wants no more."""
    with pytest.raises(ConnectionError):  # noqa: PT012
        for _ in range(4_000):
            client.sendall(piece * 65_536)


@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nx-large: ", b"GET /", b"GET /healthz HTTP/1.1\r\n"])
def test_head__without_an_end__is_refused(client: socket.socket, start: bytes) -> None:
    client.sendall(start)
    flood(client, b"a: b\r\n" if start.endswith(b"\r\n") else b"a")


@pytest.mark.parametrize(("size", "status"), [(1_000, 200), (60_000, 200), (66_000, 431), (400_000, 431)])
def test_head__of_a_size__is_served_up_to_the_limit(client: socket.socket, size: int, status: int) -> None:
    with suppress(ConnectionError):
        client.sendall(
            b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-large: " + b"a" * size + b"\r\n\r\n"
        )
    assert statuses(client) == [status]


@pytest.mark.parametrize("part", ["", "POST /v1/", POST, POST + "content-length: 10\r\n\r\nhalf"])
@pytest.mark.usefixtures("hasty")
def test_request__that_does_not_come_to_its_end__is_timed_out(port: int, part: str) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as client:
        client.sendall(part.encode())
        assert statuses(client) == [408]


@pytest.mark.usefixtures("hasty")
def test_request__second_one_that_does_not_come_to_its_end__is_timed_out(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /hea")
        assert statuses(client) == [200, 408]


def test_requests__after_one_another__are_served(client: socket.socket) -> None:
    one = POST.encode() + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    chunked = POST.encode() + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nx-end: x\r\n\r\n" % (len(BODY), BODY)
    client.sendall(one + chunked + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert statuses(client) == [201, 201, 200]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST.replace(TOKEN, "x"), 401),
        (POST, 413),
        (POST.replace("/v1/reservations", "/none"), 404),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n", 200),
    ],
)
def test_body__without_an_end__is_not_read_to_it(client: socket.socket, head: str, status: int) -> None:
    with suppress(ConnectionError):
        client.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        client.sendall((b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 8)
    assert statuses(client) == [status]
