"""Many clients at once."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genlayer_localnet import Address
from genlayer_localnet.testing.server import RpcConnection

from .wire import GEN, HEADER, Client, add_transaction, call_object, signed, tx_data

CLIENTS = 8
PAIR = f"""{HEADER}
class Pair(gl.Contract):
    left: u256
    right: u256

    def __init__(self):
        self.left = u256(0)

    @gl.public.write.payable
    def raise_both(self) -> None:
        self.left = u256(self.left + 1)
        for _ in range(2_000):
            pass
        self.right = u256(self.right + 1)

    @gl.public.view
    def both(self) -> list:
        left = int(self.left)
        for _ in range(2_000):
            pass
        return [left, int(self.right)]
"""


@pytest.fixture(params=["memory", "file"])
def rpc(request: pytest.FixtureRequest, start: Callable[..., RpcConnection], tmp_path: Path) -> RpcConnection:
    return start(state=tmp_path / "state.sqlite" if request.param == "file" else None)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(CLIENTS) as executor:
        yield executor


def test_writes__of_many_clients__all_count(rpc: RpcConnection, pool: ThreadPoolExecutor) -> None:
    pair = Client(rpc).deploy(PAIR)

    def write(_: int) -> None:
        connection = RpcConnection(rpc.url)
        client = Client(connection)
        for _ in range(5):
            client.write(pair, "raise_both", value=3)
        connection.close()

    list(pool.map(write, range(CLIENTS)))
    reader = Client(rpc)
    assert reader.read(pair, "both") == [5 * CLIENTS, 5 * CLIENTS]
    assert reader.balance(pair) == 3 * 5 * CLIENTS


def test_reads__while_others_write__never_see_half_a_write(rpc: RpcConnection, pool: ThreadPoolExecutor) -> None:
    pair = Client(rpc).deploy(PAIR)
    stop = threading.Event()

    def read(_: int) -> list[list[int]]:
        connection = RpcConnection(rpc.url)
        client = Client(connection, 0)
        seen = []
        while not stop.is_set():
            seen.append(client.read(pair, "both"))
        connection.close()
        return seen

    readers = [pool.submit(read, number) for number in range(CLIENTS - 1)]
    writer = Client(rpc)
    for _ in range(20):
        writer.write(pair, "raise_both")
    stop.set()
    for reader in readers:
        seen = reader.result()
        assert all(left == right for left, right in seen)
        assert seen == sorted(seen)


def test_same_raw_transaction__sent_by_many__runs_once(rpc: RpcConnection, pool: ThreadPoolExecutor) -> None:
    client = Client(rpc)
    pair = client.deploy(PAIR)
    raw = client.raw(add_transaction(client.address, pair, tx_data(call_object("raise_both"), b"")), value=5)

    def send(_: int) -> str:
        connection = RpcConnection(rpc.url)
        answer: str = connection.call("eth_sendRawTransaction", raw)
        connection.close()
        return answer

    assert len(set(pool.map(send, range(4 * CLIENTS)))) == 1
    assert (client.read(pair, "both"), client.balance(), client.balance(pair)) == ([1, 1], 1_000 * GEN - 5, 5)


def test_server__contract_waits_for_a_page__answers_others(start: Callable[..., RpcConnection]) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            answer.wait(30)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"late")

        def log_message(self, *_: object) -> None:
            pass

    rpc = start(validators=1)
    client = Client(rpc)
    till = client.deploy()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as pages, ThreadPoolExecutor(1) as other:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        connection = RpcConnection(rpc.url)
        slow = Client(connection)
        url = f"http://127.0.0.1:{pages.server_port}/"
        waiting = other.submit(slow.write, till, "page", url)
        assert asked.wait(30)
        assert (rpc.call("ping"), rpc.call("eth_chainId")) == ("OK", "0xf22f")
        assert not waiting.done()
        answer.set()
        assert waiting.result()["txExecutionResultName"] == "FINISHED_WITH_RETURN"
        pages.shutdown()
        connection.close()


def test_messages__of_many_writes__all_arrive(rpc: RpcConnection, pool: ThreadPoolExecutor) -> None:
    first = Client(rpc)
    source, target = first.deploy(), first.deploy()

    def write(_: int) -> None:
        connection = RpcConnection(rpc.url)
        client = Client(connection)
        for _ in range(3):
            client.write(source, "forward", Address(target), 2, "accepted", value=2)
        connection.close()

    list(pool.map(write, range(CLIENTS)))
    assert first.read(target, "paid", "forwarded") == first.balance(target) == 2 * 3 * CLIENTS


def test_transactions__of_one_sender_that_overtake_each_other__run_in_their_order(
    rpc: RpcConnection, pool: ThreadPoolExecutor
) -> None:
    client, recipient = Client(rpc), "0x" + "77" * 20
    raws = [signed(client.account, nonce=nonce, to=recipient, value=nonce) for nonce in range(CLIENTS)]

    def send(raw: str) -> str:
        connection = RpcConnection(rpc.url)
        answer: str = connection.call("eth_sendRawTransaction", raw)
        connection.close()
        return answer

    sent = list(pool.map(send, reversed(raws)))
    blocks = [int(client.transaction(one)["blockNumber"], 16) for one in sent]
    assert blocks == sorted(blocks, reverse=True)
    assert client.balance(recipient) == sum(range(CLIENTS))
