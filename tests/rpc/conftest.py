"""A server in this process, put back after each test; its clock goes, but nothing is final before a minute is over.

Tests that change what a snapshot does not hold (validators, the finality window) start a server of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from genlayer_localnet.testing.server import RpcConnection, local_server

from .wire import Client

shared_server = server_fixture(finality_window_seconds=60)


@pytest.fixture
def start() -> Iterator[Callable[..., RpcConnection]]:
    """Starts a server with these options, and gives a connection to it."""
    with ExitStack() as stack:

        def run(*, state: Any = None, **options: Any) -> RpcConnection:
            server = stack.enter_context(local_server(**{"finality_window_seconds": 60, **options}, state=state))
            connection = RpcConnection(server.url)
            stack.callback(connection.close)
            return connection

        yield run


@pytest.fixture
def rpc(shared_server: RpcServer) -> Iterator[RpcConnection]:
    """A connection to a fresh chain."""
    connection = RpcConnection(shared_server.url)
    fresh = connection.call("sim_createSnapshot")
    yield connection
    assert connection.call("sim_restoreSnapshot", fresh)
    connection.call("sim_deleteAllSnapshots")
    connection.close()


@pytest.fixture
def client(rpc: RpcConnection) -> Client:
    """An account with 1,000 GEN."""
    return Client(rpc)


@pytest.fixture
def till(client: Client) -> str:
    """The address of a contract, with some calls that work and some that fail."""
    return client.deploy()
