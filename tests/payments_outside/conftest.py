"""Payment clients of others, and an API for them on a localnet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from api_billing.networks import Network, find_network
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture
from tests.metering.settlement.places import SessionPlace, deployed
from tests.npm_packages import npm_packages
from tests.other_versions import OtherVersions, other_versions

from .outsiders import SCRIPTS, Outsider
from .shop import Shop, application, served

server = server_fixture(scope="module", finality_window_seconds=3_600)
Clients = Callable[..., Outsider]


@pytest.fixture(scope="session")
def python_clients() -> OtherVersions:
    return other_versions("payment-clients")


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return npm_packages(SCRIPTS, "js-payments")


@pytest.fixture(scope="module")
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture(scope="module")
def contract(network: Network) -> str:
    return deployed(network)


@pytest.fixture
def hold_wei() -> int:
    """What the session holds; tests that want another sum are parametrized with it."""
    return 100_000


@pytest.fixture
def place(request: pytest.FixtureRequest, network: Network, contract: str, hold_wei: int) -> Iterator[SessionPlace]:
    made = SessionPlace(request.node.nodeid, network, contract, hold_wei=hold_wei)
    with made.store:
        yield made


@pytest.fixture
def shop(place: SessionPlace) -> Iterator[Shop]:
    made = Shop(place)
    with made.meter, served(application(made)) as made.url:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[str], Outsider]]:
    """Processes of clients by their names, started once: they take long to import what they need."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(Outsider(name)))


@pytest.fixture
def client(shop: Shop, running: Callable[[str], Outsider]) -> Clients:
    """A new client by its name, with the keys of the shop's consumer."""
    return lambda name, **options: running(name).begin(shop.key("consumer"), shop.key("session"), **options)
