"""A contract that fetches a page: the server answers reads, of what is accepted, also to who serves the page."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.testing.server import RpcConnection

from .wire import HEADER, Client, leader

READER = f"""{HEADER}
class Reader(gl.Contract):
    value: u256
    notes: DynArray[str]
    last: str

    def __init__(self):
        self.value = u256(1)

    @gl.public.write.payable
    def fetch(self, url: str) -> str:
        self.value = u256(2)
        self.notes.append("written before the page was fetched")
        read = gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())
        self.last = f"{{read}} {{int(self.value)}} {{len(self.notes)}}"
        return self.last

    @gl.public.write
    def render(self, url: str) -> str:
        self.last = gl.eq_principle.strict_eq(lambda: gl.nondet.web.render(url, mode="text"))
        return self.last

    @gl.public.write
    def disagree(self, url: str) -> None:
        self.value = u256(2)
        gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())

    @gl.public.write
    def set(self, value: int) -> None:
        self.value = u256(value)

    @gl.public.write
    def set_then(self, value: int, url: str) -> None:
        self.value = u256(value)
        gl.get_contract_at(gl.message.contract_address).emit(on="accepted").fetch(url)

    @gl.public.view
    def get(self) -> list:
        return [int(self.value), len(self.notes), int(self.balance)]

    @gl.public.view
    def get_last(self) -> str:
        return self.last

    @gl.public.view
    def ask(self, other: Address) -> list:
        return gl.get_contract_at(other).view().get()

    @gl.public.view
    def look_up(self, url: str) -> str:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.web.get(url).body.decode())

    @gl.public.view
    def fail(self) -> None:
        gl.spoiled = True
        raise gl.vm.UserError("no")
"""

Handle = Callable[[str], str]


class Pages:
    """A server whose answers a test gives, by the path."""

    def __init__(self) -> None:
        self.handle: Handle = lambda path: path
        self.failures: list[BaseException] = []
        self.requests = 0
        pages = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.requests += 1
                try:
                    body = pages.handle(unquote(self.path[1:])).encode()
                except BaseException as error:
                    pages.failures.append(error)
                    body = b"failed"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.close()
    assert made.failures == []


@pytest.fixture(params=["memory", "file"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "state.sqlite" if request.param == "file" else None


@pytest.fixture
def rpc(start: Callable[..., RpcConnection], state: Path | None) -> RpcConnection:
    return start(state=state)


@pytest.fixture
def reader(rpc: RpcConnection) -> str:
    return Client(rpc).deploy(READER)


def reading(rpc: RpcConnection, contract: str, method: str = "get", *args: Any) -> str:
    """What a view answers to a client of its own."""
    connection = RpcConnection(rpc.url)
    try:
        return str(Client(connection, 0).read(contract, method, *args))
    finally:
        connection.close()


def test_read__while_the_contract_fetches__sees_what_is_accepted(rpc: RpcConnection, reader: str, pages: Pages) -> None:
    pages.handle = lambda path: reading(rpc, reader)
    client = Client(rpc)
    client.write(reader, "fetch", pages.url, value=7)
    # The leader and four validators fetched it, and none saw what the transaction had written or been paid.
    assert (pages.requests, client.read(reader, "get_last")) == (5, "[1, 0, 0] 2 1")
    assert client.read(reader, "get") == [2, 1, 7]


def test_read__of_another_contract_while_one_fetches__is_answered(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    client = Client(rpc)
    other = client.deploy()
    pages.handle = lambda path: reading(rpc, other, "echo", path) + reading(rpc, reader, "ask", reader_address(reader))
    client.write(reader, "fetch", pages.url + quote("hello"))
    assert client.read(reader, "get_last") == "hello[1, 0, 0] 2 1"


def test_estimate__of_a_call_that_fetches__asks_for_the_page_once(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    rpc.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": 1}})
    rpc.call("sim_estimateTransactionFees", Client(rpc).request("write", reader, "fetch", pages.url))
    assert pages.requests == 1


def reader_address(text: str) -> Any:
    from genlayer_localnet import Address

    return Address(text)


def test_read__that_fails_while_a_contract_fetches__leaves_no_trace(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    from genlayer_localnet.testing.server import RpcFailure

    def handle(path: str) -> str:
        with pytest.raises(RpcFailure, match="no"):
            reading(rpc, reader, "fail")
        return reading(rpc, reader)

    pages.handle = handle
    client = Client(rpc)
    client.write(reader, "fetch", pages.url)
    assert client.read(reader, "get_last") == "[1, 0, 0] 2 1"


OTHER_PAGE = {
    "mock_web_response": {"nondet_web_request": {"https://other.example/": {"status": 200, "body": "mocked"}}}
}
MOCKS = {"validators": [{"plugin_config": OTHER_PAGE}] * 5}


def test_read__while_a_page_that_is_not_mocked_is_fetched__is_answered(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    pages.handle = lambda path: reading(rpc, reader)
    client = Client(rpc)
    client.write(reader, "fetch", pages.url, sim_config=MOCKS)
    assert client.read(reader, "get_last") == "[1, 0, 0] 2 1"
    client.write(reader, "fetch", "https://other.example/", sim_config=MOCKS)
    assert client.read(reader, "get_last") == "mocked 2 2"


def test_read__while_a_page_is_rendered__is_answered(rpc: RpcConnection, reader: str, pages: Pages) -> None:
    pages.handle = lambda path: reading(rpc, reader)
    client = Client(rpc)
    client.write(reader, "render", pages.url)
    assert client.read(reader, "get_last") == "[1, 0, 0]"


@pytest.mark.parametrize("method", ["gen_call", "sim_call", "sim_estimateTransactionFees"])
def test_read__while_a_simulated_call_fetches__sees_what_is_accepted(
    rpc: RpcConnection, reader: str, pages: Pages, method: str
) -> None:
    client = Client(rpc)
    rpc.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": 1}})
    seen: list[str] = []

    def handle(path: str) -> str:
        seen.append(reading(rpc, reader))
        return "read"

    pages.handle = handle
    rpc.call(method, client.request("write", reader, "fetch", pages.url))
    assert set(seen) == {"[1, 0, 0]"}
    assert client.read(reader, "get") == [1, 0, 0]


@pytest.mark.parametrize("plugin_config", [None, OTHER_PAGE])
def test_estimate__of_a_call_whose_message_fetches__asks_nobody(
    rpc: RpcConnection, reader: str, pages: Pages, plugin_config: Any
) -> None:
    rpc.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": 1}})
    if plugin_config is not None:
        rpc.call("sim_deleteAllValidators")
        rpc.call("sim_createValidator", 1, None, None, None, None, plugin_config)
    request = Client(rpc).request("write", reader, "set_then", 5, pages.url)
    told = rpc.call("sim_estimateTransactionFees", request)
    assert len(told["recommendedPreset"]["messageAllocations"]) == 1
    assert pages.requests == 0


def test_read__that_fetches__lets_others_read(rpc: RpcConnection, reader: str, pages: Pages) -> None:
    pages.handle = lambda path: reading(rpc, reader)
    assert Client(rpc).read(reader, "look_up", pages.url) == "[1, 0, 0]"


@pytest.mark.parametrize("order", ["outer ends first", "inner ends first"])
def test_read__that_fetches_while_a_contract_fetches__is_answered(
    rpc: RpcConnection, reader: str, pages: Pages, order: str
) -> None:
    asked, outer_ended, found = threading.Event(), threading.Event(), list[str]()

    def handle(path: str) -> str:
        if path == "inner":
            asked.set()
            if order == "outer ends first":
                assert outer_ended.wait(10)
            return "inner " + reading(rpc, reader)
        if not threads:
            threads.append(threading.Thread(target=look_up))
            threads[0].start()
            assert asked.wait(10)
            if order == "inner ends first":
                threads[0].join()
            else:
                outer_ended.set()
        return path

    def look_up() -> None:
        found.append(reading(rpc, reader, "look_up", pages.url + "inner"))

    client, threads = Client(rpc), list[threading.Thread]()
    pages.handle = handle
    client.write(reader, "fetch", pages.url + "outer")
    threads[0].join()
    assert found == ["inner [1, 0, 0]"]
    assert client.read(reader, "get_last") == "outer 2 1"


def test_read__in_every_rotation_of_leaders__sees_what_is_accepted(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    seen = []

    def handle(path: str) -> str:
        seen.append(reading(rpc, reader))
        return str(len(seen))

    pages.handle = handle
    client = Client(rpc)
    client.write(reader, "disagree", pages.url)
    assert len(seen) > 10
    assert set(seen) == {"[1, 0, 0]"}
    assert client.read(reader, "get") == [1, 0, 0]


def test_looks__while_a_contract_fetches__see_the_transaction_wait(
    rpc: RpcConnection, reader: str, pages: Pages
) -> None:
    sender = Client(rpc)
    seen: list[Any] = []

    def handle(path: str) -> str:
        connection = RpcConnection(rpc.url)
        seen.append(int(connection.call("eth_getTransactionCount", sender.address), 16))
        seen.append(int(connection.call("eth_blockNumber"), 16))
        seen.append(int(connection.call("eth_getBalance", reader), 16))
        connection.close()
        return "looked"

    pages.handle = handle
    nonce = int(rpc.call("eth_getTransactionCount", sender.address), 16)
    blocks = int(rpc.call("eth_blockNumber"), 16)
    sender.write(reader, "fetch", pages.url, value=5)
    assert seen == [nonce + 1, blocks, 0] * 5


def test_write__while_a_contract_fetches__comes_after_it(rpc: RpcConnection, reader: str, pages: Pages) -> None:
    writer = Client(RpcConnection(rpc.url))
    sent: list[threading.Thread] = []
    done = threading.Event()

    def handle(path: str) -> str:
        if not sent:
            sent.append(threading.Thread(target=lambda: (writer.write(reader, "set", 9), done.set())))
            sent[0].start()
        # Reads are answered, whether or not the write has come by now; it is not done before the page is here.
        answers = {reading(rpc, reader) for _ in range(5)}
        assert not done.is_set()
        return str(answers)

    pages.handle = handle
    client = Client(rpc)
    client.write(reader, "fetch", pages.url)
    sent[0].join()
    assert client.read(reader, "get_last") == "{'[1, 0, 0]'} 2 1"
    assert client.read(reader, "get") == [9, 1, 0]


def test_read__of_what_the_same_request_accepted__is_durable_before_it_is_answered(
    start: Callable[..., RpcConnection], pages: Pages, tmp_path: Path
) -> None:
    """Who reads while a page is fetched finds the same after a crash, and the transaction that fetched still waits."""
    rpc = start(state=tmp_path / "state.sqlite")
    client = Client(rpc)
    reader = client.deploy(READER)
    copies = []

    def handle(path: str) -> str:
        read = reading(rpc, reader)
        if not copies:
            folder = tmp_path / "copy"
            folder.mkdir()
            for file in tmp_path.glob("state.sqlite*"):
                shutil.copy(file, folder / file.name)
            copies.append(folder / "state.sqlite")
        return read

    pages.handle = handle
    client.write(reader, "set_then", 5, pages.url)
    assert client.read(reader, "get_last") == "[5, 0, 0] 2 1"
    found = StateFile(copies[0])
    world = found.load(datetime(2026, 1, 15, tzinfo=UTC))
    found.close()
    assert [transaction.status for transaction in world.pending] == ["pending"]
    assert world.pending[0].triggered_by is not None
    (recovered,) = [account for account in world.contracts.values() if b"class Reader" in account.code]
    assert any(bytes(content)[:1] == b"\x05" for content in recovered.storage.values())


def test_fetch__of_nobody_who_answers__fails_and_the_server_goes_on(rpc: RpcConnection, reader: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    client = Client(rpc)
    transaction = client.write(reader, "fetch", url)
    assert leader(transaction)["execution_result"] == "ERROR"
    assert client.read(reader, "get") == [1, 0, 0]
    client.write(reader, "set", 3)
    assert client.read(reader, "get") == [3, 0, 0]
