"""A world for each test; and for a module that starts a ``server``, its network with the contract."""

from collections.abc import Iterator

import pytest

from api_billing.networks import Network, find_network
from genlayer_localnet.rpc.server import RpcServer

from .places import deployed
from .world import World


@pytest.fixture(scope="module")
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    """A billing contract on it."""
    return deployed(network)


@pytest.fixture
def world() -> Iterator[World]:
    """A store, a chain and a clock."""
    made = World()
    with made.store:
        yield made
