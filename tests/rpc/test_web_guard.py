"""Which requests of web pages are answered, byte by byte: by the Host, the Origin and the kind of their body."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from email.message import Message
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from genlayer_localnet.cli import main
from genlayer_localnet.errors import InvalidArgument
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.static_files import StaticSite
from genlayer_localnet.rpc.web_guard import WebGuard

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
JSON = "Content-Type: application/json"
EVIL = "Origin: https://evil.example"
VITE = "Origin: http://localhost:5173"

Ask = Callable[..., "Answer"]


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcServer]:
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("page")
    site = StaticSite(page)
    with RpcServer(site=site, allow_origins=["https://studio.example"], allow_hosts=["box.lan"]) as running:
        yield running


def asked(port: int, verb: str, path: str, *headers: str, host: str | None = None, body: bytes = b"") -> Answer:
    lines = [f"{verb} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        response = http.client.HTTPResponse(connection, method=verb)
        response.begin()
        return Answer(response.status, response.headers, response.read())


@pytest.fixture
def ask(server: RpcServer) -> Ask:
    return partial(asked, server.port)


@pytest.fixture
def ping(ask: Ask) -> Ask:
    return lambda *headers, host=None: ask("POST", "/api", *headers, host=host, body=PING)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "0.0.0.0",
        "192.168.1.5",
        "[::]",
        "[::1",
        "127.0.0.1:x",
        "",
        " ",
    ],
)
@pytest.mark.parametrize(("verb", "path"), [("POST", "/api"), ("GET", "/"), ("GET", "/health"), ("GET", "/app/")])
def test_host__foreign__is_refused_everywhere(ask: Ask, verb: str, path: str, host: str) -> None:
    assert ask(verb, path, JSON, host=host or " ", body=PING if verb == "POST" else b"").status == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10:1", "localhost", "LOCALHOST:4000", "[::1]:4000", "box.lan", "Box.lan:80"]
)
def test_host__of_this_machine_or_allowed__is_answered(ping: Ask, host: str) -> None:
    assert ping(JSON, host=host).status == 200


def test_host__twice__is_refused(ping: Ask) -> None:
    assert ping(JSON, "Host: evil.example").status == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "https://studio.example.evil.example",
        "https://studio.example:8443",
        "http://studio.example",
        "file://",
        "chrome-extension://abcdefgh",
        "http://192.168.1.5",
        "http://localhost:5173 https://evil.example",
    ],
)
@pytest.mark.parametrize(("verb", "path"), [("POST", "/api"), ("GET", "/"), ("GET", "/health"), ("GET", "/app/")])
def test_origin__foreign__is_refused_everywhere(ask: Ask, verb: str, path: str, origin: str) -> None:
    response = ask(verb, path, JSON, f"Origin: {origin}", body=PING if verb == "POST" else b"")
    assert (response.status, response.headers["access-control-allow-origin"]) == (403, None)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "https://localhost",
        "http://[::1]:8080",
        "https://studio.example",
        "http://box.lan:4000",
    ],
)
def test_origin__of_this_machine_allowed_or_the_servers_own__is_echoed(ping: Ask, origin: str) -> None:
    response = ping(JSON, f"Origin: {origin}", host="box.lan:4000")
    assert (response.status, json.loads(response.body)["result"]) == (200, "OK")
    assert (response.headers["access-control-allow-origin"], response.headers["vary"]) == (origin, "origin")


def test_origin__two_of_them__is_refused(ping: Ask) -> None:
    assert ping(JSON, VITE, EVIL).status == 403


def test_origin__none__is_answered_without_cors(ping: Ask) -> None:
    response = ping(JSON)
    assert (response.status, response.headers["access-control-allow-origin"]) == (200, None)
    assert response.headers["vary"] == "origin"


def test_page__of_this_server__may_ask_it(server: RpcServer, ping: Ask) -> None:
    assert ping(JSON, f"Origin: http://127.0.0.1:{server.port}").status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "text/plain, application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonp",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/api", "/", "/nothing"])
def test_post__not_json__is_refused(ask: Ask, path: str, kind: str) -> None:
    assert ask("POST", path, f"Content-Type: {kind}", body=PING).status == 415


def test_post__without_a_type__is_refused(ping: Ask) -> None:
    assert ping().status == 415


def test_post__of_two_types__is_refused(ping: Ask) -> None:
    assert ping(JSON, "Content-Type: text/plain").status == 415


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;a=b"])
def test_post__json__is_answered(ping: Ask, kind: str) -> None:
    assert ping(f"Content-Type: {kind}").status == 200


@pytest.mark.parametrize("header", [EVIL, "Content-Type: text/plain"])
def test_refused__before_its_body_has_come(server: RpcServer, header: str) -> None:
    lines = ["POST /api HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 1000", header, "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(100).split()[1] in (b"403", b"415")


def test_refused__on_a_kept_connection__the_next_is_answered(server: RpcServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for kind, status in (("text/plain", 415), ("application/json", 200)):
        connection.request("POST", "/api", PING, {"Content-Type": kind})
        response = connection.getresponse()
        assert (response.status, response.read() != b"") == (status, True)
    connection.close()


@pytest.mark.parametrize("path", ["/api", "/", "/app/", "/nothing"])
def test_preflight__of_an_allowed_origin__is_granted(ask: Ask, path: str) -> None:
    response = ask("OPTIONS", path, VITE, "Access-Control-Request-Method: POST")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert response.headers["access-control-allow-headers"] == "*"


@pytest.mark.parametrize("path", ["/api", "/", "/app/", "/nothing"])
def test_preflight__of_a_foreign_origin__is_refused(ask: Ask, path: str) -> None:
    response = ask("OPTIONS", path, EVIL, "Access-Control-Request-Method: POST")
    granted = [name for name in response.headers if name.lower().startswith("access-control")]
    assert (response.status, granted) == (403, [])


@pytest.mark.parametrize("path", ["/api", "/app/"])
def test_options__of_no_page__grant_nothing(ask: Ask, path: str) -> None:
    response = ask("OPTIONS", path)
    assert (response.status, response.headers["access-control-allow-headers"]) == (405, None)


@pytest.mark.parametrize("verb", ["PROPFIND", "PUT", "PATCH", "DELETE", "MKCOL", "COPY", "TRACE"])
@pytest.mark.parametrize("path", ["/api", "/app/index.html"])
def test_verb__other__is_refused_and_guarded(ask: Ask, verb: str, path: str) -> None:
    assert ask(verb, path, VITE).status == 405
    assert ask(verb, path, EVIL).status == 403
    assert ask(verb, path, host="evil.example").status == 403


@pytest.mark.parametrize("path", ["/", "/app/"])
def test_page__any__cannot_be_framed(ask: Ask, path: str) -> None:
    headers = ask("GET", path).headers
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["x-frame-options"] == "DENY"


def test_page__not_built__cannot_be_framed(tmp_path: Path) -> None:
    with RpcServer(site=StaticSite(tmp_path)) as server:
        assert asked(server.port, "GET", "/app/").headers["x-frame-options"] == "DENY"


@pytest.fixture
def open_port() -> Iterator[int]:
    """That of a server on all addresses."""
    with RpcServer(host="0.0.0.0", allow_hosts=["box.lan"]) as server:
        yield server.port


def test_open_server__by_address_or_allowed_name__is_answered(open_port: int) -> None:
    for host in ("127.0.0.1", "192.168.1.5:4000", "[fe80::1]", "localhost", "box.lan"):
        assert asked(open_port, "POST", "/api", JSON, host=host, body=PING).status == 200


def test_open_server__by_another_name__is_refused(open_port: int) -> None:
    for host in ("evil.example", "lan", "127.0.0.1.evil.example"):
        assert asked(open_port, "POST", "/api", JSON, host=host, body=PING).status == 403


def test_open_server__its_own_origin__is_answered(open_port: int) -> None:
    own = asked(open_port, "POST", "/api", JSON, "Origin: http://10.0.0.9:4000", host="10.0.0.9:4000", body=PING)
    assert own.status == 200
    for origin in ("http://10.0.0.9:4001", "https://10.0.0.9:4000", "http://evil.example"):
        other = asked(open_port, "POST", "/api", JSON, f"Origin: {origin}", host="10.0.0.9:4000", body=PING)
        assert other.status == 403


@pytest.mark.parametrize(
    "origin", ["*", "null", "studio.example", "https://studio.example/", "https://a b", "https://"]
)
def test_allowed_origin__that_is_none__is_an_error(origin: str) -> None:
    with pytest.raises(InvalidArgument):
        WebGuard("127.0.0.1", origins=[origin])


@pytest.mark.parametrize("host", ["*", "http://box.lan", "box.lan:4000", "a/b", ""])
def test_allowed_host__that_is_none__is_an_error(host: str) -> None:
    with pytest.raises(InvalidArgument):
        WebGuard("127.0.0.1", hosts=[host])


def test_up__wrong_origin__is_a_failure_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--port", "0", "--allow-origin", "*"]) == 1
    assert "--allow-origin" in capsys.readouterr().err
