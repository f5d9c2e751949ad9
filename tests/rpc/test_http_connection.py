"""HTTP as bytes on a connection: what is kept, refused, and in which order it is answered."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from genlayer_localnet.rpc import http as server_http
from genlayer_localnet.testing.server import RpcConnection

JSON = "Content-Type: application/json"
HEAD = f"POST /api HTTP/1.1\r\nHost: [::1]\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
Response = tuple[int, dict[str, str], bytes]


def _request(identifier: int, *headers: str, method: str = "ping", version: str = "1.1", params: Any = ()) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": list(params)}).encode()
    lines = [f"POST /api HTTP/{version}", "Host: [::1]", JSON, f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def _connected(rpc: RpcConnection) -> Iterator[socket.socket]:
    parts = urlsplit(rpc.url)
    with socket.create_connection((str(parts.hostname), parts.port), timeout=30) as connection:
        yield connection


def _read(connection: socket.socket, verb: str = "POST") -> Response:
    response = http.client.HTTPResponse(connection, method=verb)
    response.begin()
    try:
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        response.close()


def _id(response: Response) -> int:
    identifier: int = json.loads(response[2])["id"]
    return identifier


def _is_closed(connection: socket.socket) -> bool:
    return connection.recv(1) == b""


def test_connection__after_an_answer__is_kept(rpc: RpcConnection) -> None:
    with _connected(rpc) as connection:
        for identifier in (1, 2, 3):
            connection.sendall(_request(identifier))
            assert _id(_read(connection)) == identifier


def test_requests__sent_without_waiting__are_answered_in_order(rpc: RpcConnection) -> None:
    # Some wait for their turn, others could be answered at once.
    methods = ["sim_getTime", "ping", "eth_blockNumber", "sim_countValidators"] * 20
    requests = [_request(identifier, method=method) for identifier, method in enumerate(methods)]
    with _connected(rpc) as connection:
        connection.sendall(b"".join(requests))
        # One reader for all: it may take more than one answer from the connection.
        stream = connection.makefile("rb")
        found = []
        for _ in requests:
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            fields = dict(line.split(b": ") for line in iter(lambda: stream.readline().rstrip(), b""))
            found.append(json.loads(stream.read(int(fields[b"content-length"])))["id"])
        stream.close()
    assert found == list(range(len(requests)))


def test_body__in_chunks__is_put_together(rpc: RpcConnection) -> None:
    parts = [b'{"jsonrpc":"2.0","id":', b"9", b',"method":"ping"}']
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    with _connected(rpc) as connection:
        connection.sendall(HEAD + chunks + b"0\r\n\r\n")
        assert _id(_read(connection)) == 9


def test_body__in_too_many_chunks__is_refused(rpc: RpcConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_http, "MAX_BODY_BYTES", 1_000)
    with _connected(rpc) as connection:
        connection.sendall(HEAD + (b"200\r\n" + b" " * 512 + b"\r\n") * 2)
        assert _read(connection)[0] == 413


def test_head__known_path__has_no_body(rpc: RpcConnection) -> None:
    with _connected(rpc) as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        assert _read(connection, "HEAD")[1]["content-length"] == "15"
        connection.sendall(_request(5))
        assert _id(_read(connection)) == 5
