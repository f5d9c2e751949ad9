"""HTTP and the JSON-RPC envelope, byte by byte."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from genlayer_localnet.rpc import http as server_http
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}


def _http(rpc: RpcConnection, verb: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(rpc.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    try:
        connection.request(verb, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _code(answer: Any) -> int:
    code: int = answer["error"]["code"]
    return code


@pytest.mark.parametrize("path", ["/api", "/", "/api/"])
def test_post__known_path__answers(rpc: RpcConnection, path: str) -> None:
    status, _, body = _http(rpc, "POST", path, json.dumps(PING).encode())
    assert (status, json.loads(body)) == (200, {"jsonrpc": "2.0", "id": 1, "result": "OK"})


def test_post__other_path__is_not_found(rpc: RpcConnection) -> None:
    assert _http(rpc, "POST", "/nothing", b"{}")[0] == 404


def test_delete__known_path__is_not_allowed(rpc: RpcConnection) -> None:
    assert _http(rpc, "DELETE", "/api")[0] == 405


@pytest.mark.parametrize("path", ["/", "/api"])
def test_get__known_path__is_a_page_for_people(rpc: RpcConnection, path: str) -> None:
    status, headers, body = _http(rpc, "GET", path)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"genlayer-localnet" in body


def test_get__health__is_ok(rpc: RpcConnection) -> None:
    status, _, body = _http(rpc, "GET", "/health")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


@pytest.mark.parametrize("identifier", [7, "a-b-c", None, 1.5, 2**60, "", "\ud800", "a\udfffb", "\U0001f600"])
def test_id__any_kind__comes_back(rpc: RpcConnection, identifier: Any) -> None:
    assert rpc.post({**PING, "id": identifier}).json() == {"jsonrpc": "2.0", "id": identifier, "result": "OK"}


def test_result__null__is_there(rpc: RpcConnection) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": ["0x" + "00" * 32]}
    assert rpc.post(body).json() == {"jsonrpc": "2.0", "id": 1, "result": None}


def test_answer__error__has_no_result(rpc: RpcConnection) -> None:
    assert set(rpc.post({**PING, "method": "nothing"}).json()) == {"jsonrpc", "id", "error"}


def test_method__unknown__is_named(rpc: RpcConnection) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("eth_fillTransaction", {})
    assert (failure.value.code, failure.value.message) == (-32601, "Method not found: eth_fillTransaction")


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"id": NaN}', b"[" * 100_000, b"1" * 5_000])
def test_body__not_json__is_a_parse_error(rpc: RpcConnection, body: bytes) -> None:
    response = rpc.post(body)
    assert (response.status_code, response.json()["id"], _code(response.json())) == (400, None, -32700)


@pytest.mark.parametrize(
    "body",
    [1, "text", None, True, {}, {"id": 1}, {**PING, "method": 5}, {**PING, "jsonrpc": "1.0"}, {**PING, "id": {}},
     {**PING, "id": True}],
)  # fmt: skip
def test_request__not_of_the_form__is_invalid(rpc: RpcConnection, body: Any) -> None:
    response = rpc.post(body)
    assert (response.status_code, _code(response.json())) == (200, -32600)


def test_id__larger_than_numbers_go__is_refused(rpc: RpcConnection) -> None:
    answer = rpc.post(b'{"jsonrpc": "2.0", "id": 1e400, "method": "ping"}').json()
    assert (answer["id"], _code(answer)) == (None, -32600)


@pytest.mark.parametrize("params", ["text", 5, True, ["too", "many"], {"name": "unknown"}])
def test_params__not_of_the_method__are_invalid(rpc: RpcConnection, params: Any) -> None:
    assert _code(rpc.post({**PING, "params": params}).json()) == -32602


def test_params__by_name__are_taken(rpc: RpcConnection) -> None:
    body = {**PING, "method": "eth_getBalance", "params": {"account_address": "0x" + "00" * 20, "block_tag": "latest"}}
    assert rpc.post(body).json()["result"] == "0x0"


def test_params__left_out__are_none(rpc: RpcConnection) -> None:
    assert rpc.post({"jsonrpc": "2.0", "id": 1, "method": "ping"}).json()["result"] == "OK"


def test_notification__any__has_no_answer(rpc: RpcConnection) -> None:
    response = rpc.post({"jsonrpc": "2.0", "method": "ping"})
    assert (response.status_code, response.content) == (204, b"")


def test_notification__fails__has_no_answer(rpc: RpcConnection) -> None:
    assert rpc.post({"jsonrpc": "2.0", "method": "nothing"}).status_code == 204


def test_batch__several__answers_in_order(rpc: RpcConnection) -> None:
    batch = [{**PING, "id": 1}, {**PING, "id": 2, "method": "eth_chainId"}, {**PING, "id": 3, "method": "nothing"}]
    answers = rpc.post(batch).json()
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert [answer.get("result") for answer in answers] == ["OK", "0xf22f", None]


def test_batch__with_a_notification__leaves_it_out(rpc: RpcConnection) -> None:
    answers = rpc.post([PING, {"jsonrpc": "2.0", "method": "ping"}]).json()
    assert [answer["id"] for answer in answers] == [1]


def test_batch__only_notifications__has_no_answer(rpc: RpcConnection) -> None:
    assert rpc.post([{"jsonrpc": "2.0", "method": "ping"}] * 2).status_code == 204


def test_batch__entry_that_is_none__is_invalid_alone(rpc: RpcConnection) -> None:
    answers = rpc.post([5, PING]).json()
    assert (_code(answers[0]), answers[1]["result"]) == (-32600, "OK")


def test_batch__hundred__is_answered(rpc: RpcConnection) -> None:
    assert len(rpc.post([PING] * 100).json()) == 100


@pytest.mark.parametrize("batch", [[], [PING] * 101])
def test_batch__empty_or_too_long__is_invalid(rpc: RpcConnection, batch: list[Any]) -> None:
    response = rpc.post(batch)
    assert (response.status_code, response.json()["id"], _code(response.json())) == (400, None, -32600)


def test_body__too_large__is_refused(rpc: RpcConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_http, "MAX_BODY_BYTES", 1_000)
    status, _, body = _http(rpc, "POST", "/api", b" " * 2_000)
    assert (status, _code(json.loads(body))) == (413, -32600)


def test_server__after_a_broken_connection__goes_on(rpc: RpcConnection) -> None:
    parts = urlsplit(rpc.url)
    with socket.create_connection((str(parts.hostname), parts.port)) as broken:
        broken.sendall(
            b"POST /api HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
    with socket.create_connection((str(parts.hostname), parts.port)) as broken:
        broken.sendall(b"\x16\x03\x01 no http at all\r\n\r\n")
    assert rpc.call("ping") == "OK"
