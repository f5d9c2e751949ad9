"""``kill -9`` at any moment: what was answered is there, what was not is there completely or not at all."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
import requests

from genlayer_localnet.testing.server import RpcConnection, RpcFailure, ServerProcess

from .wire import Client, call_object, tx_data

ROUNDS = 4
KILLED = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class Writer(threading.Thread):
    """Pays one wei again and again, until the server is gone."""

    def __init__(self, url: str, client: Client, till: str, wanted: int) -> None:
        super().__init__()
        self._connection = RpcConnection(url)
        self.client = client
        client.rpc = self._connection
        self.till = till
        self.wanted = wanted
        self.answered = 0
        self.sent = 0
        self.enough = threading.Event()

    def run(self) -> None:
        try:
            while True:
                self.sent += 1
                self.client.send(self.till, self._payment(), value=1)
                self.answered += 1
                if self.answered >= self.wanted:
                    self.enough.set()
        except KILLED:
            self.enough.set()
        finally:
            self._connection.close()

    @staticmethod
    def _payment() -> bytes:
        return tx_data(call_object("pay", "Ann"), b"")


@pytest.mark.parametrize("seed", range(2))
def test_kill__while_writing__loses_nothing_that_was_answered(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    state = str(tmp_path / "state.sqlite")
    server = ServerProcess("--state", state)
    first = Client(server)
    till = first.deploy()
    snapshot = server.call("sim_createSnapshot")
    clients = [first, *(Client(server, 0) for _ in range(2))]  # who has nothing is minted what it sends
    paid = 0
    for _ in range(ROUNDS):
        writers = [Writer(server.url, client, till, moments.randint(1, 12)) for client in clients]
        for writer in writers:
            writer.start()
        moments.choice(writers).enough.wait(60)
        server.kill()
        for writer in writers:
            writer.join()
        answered = sum(writer.answered for writer in writers)
        sent = sum(writer.sent for writer in writers)
        server = ServerProcess("--state", state)
        client = Client(server, 0)
        total = client.read(till, "paid", "Ann")
        assert paid + answered <= total <= paid + sent
        assert client.balance(till) == client.read(till, "get") == total
        paid = total
    assert server.call("sim_restoreSnapshot", snapshot) is True
    assert Client(server, 0).read(till, "paid", "Ann") == 0
    server.stop()


def test_kill__after_a_refusal__the_server_starts_again(tmp_path: Path) -> None:
    state = str(tmp_path / "state.sqlite")
    server = ServerProcess("--state", state)
    client = Client(server)
    till = client.deploy()
    client.write(till, "refuse", "no", value=3)
    with pytest.raises(RpcFailure):
        client.read(till, "no")
    server.kill()
    with ServerProcess("--state", state) as server:
        client.rpc = server
        assert (client.read(till, "get"), client.balance(till)) == (0, 3)
