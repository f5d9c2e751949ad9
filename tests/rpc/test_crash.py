"""``kill -9`` at any moment: what was answered is there, what was not is there completely or not at all."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from genlayer_localnet.testing.server import RpcConnection, RpcFailure, ServerProcess, local_server

from .wire import Client, call_object, tx_data

ROUNDS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2
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


@contextmanager
def in_this_process(state: str) -> Iterator[RpcConnection]:
    """A server on the state file that nobody kills: it starts much quicker than a process."""
    with local_server(state=state) as server, closing(RpcConnection(server.url)) as connection:
        yield connection


@pytest.mark.parametrize("seed", range(2))
def test_kill__while_writing__loses_nothing_that_was_answered(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    state = str(tmp_path / "state.sqlite")
    with in_this_process(state) as connection:
        first = Client(connection)
        till = first.deploy()
        snapshot = connection.call("sim_createSnapshot")
        clients = [first, *(Client(connection, 0) for _ in range(2))]  # who has nothing is minted what it sends
    paid = 0
    for _ in range(ROUNDS):
        server = ServerProcess("--state", state)
        writers = [Writer(server.url, client, till, moments.randint(1, 12)) for client in clients]
        for writer in writers:
            writer.start()
        moments.choice(writers).enough.wait(60)
        server.kill()
        for writer in writers:
            writer.join()
        answered = sum(writer.answered for writer in writers)
        sent = sum(writer.sent for writer in writers)
        with in_this_process(state) as connection:
            client = Client(connection, 0)
            total = client.read(till, "paid", "Ann")
            assert paid + answered <= total <= paid + sent
            assert client.balance(till) == client.read(till, "get") == total
        paid = total
    with in_this_process(state) as connection:
        assert connection.call("sim_restoreSnapshot", snapshot) is True
        assert Client(connection, 0).read(till, "paid", "Ann") == 0


def test_kill__after_a_refusal__the_server_starts_again(tmp_path: Path) -> None:
    state = str(tmp_path / "state.sqlite")
    server = ServerProcess("--state", state)
    client = Client(server)
    till = client.deploy()
    client.write(till, "refuse", "no", value=3)
    with pytest.raises(RpcFailure):
        client.read(till, "no")
    server.kill()
    with in_this_process(state) as connection:
        client.rpc = connection
        assert (client.read(till, "get"), client.balance(till)) == (0, 3)
