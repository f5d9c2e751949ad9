"""A localnet server, a connection to it, and an empty folder for deployments."""

from pathlib import Path

import pytest

from api_billing.connection import Connection
from api_billing.contract_source import Source
from api_billing.deployment import Deployer
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

server = server_fixture(finality_window_seconds=3_600)


@pytest.fixture
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture
def connection(network: Network) -> Connection:
    return Connection(network, unlocked_account(Connection(network).provider, 0))


@pytest.fixture
def deployer(connection: Connection, tmp_path: Path) -> Deployer:
    return Deployer(connection, directory=tmp_path)


@pytest.fixture(scope="session")
def source() -> Source:
    """What is deployed by default."""
    return Source.read()
