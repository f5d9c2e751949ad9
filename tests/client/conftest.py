"""A localnet server in this process, the billing contract on it, and clients of it."""

from collections.abc import Callable

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from api_billing.client import BillingClient
from api_billing.connection import Connection
from api_billing.contract_source import contract_path
from api_billing.networks import Network, find_network
from api_billing.unlocked import unlocked_account
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

ONE_GEN = 10**18
MakeClient = Callable[..., BillingClient]

server = server_fixture(finality_window_seconds=3_600)


def never_sleep(_: float) -> None:
    """Time of a test is not spent waiting."""


@pytest.fixture(scope="session")
def network(server: RpcServer) -> Network:
    return find_network("localnet", server.url)


@pytest.fixture(scope="session")
def contract(network: Network) -> str:
    """Address of a contract that all tests share; each has accounts and APIs of its own."""
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    tx = connection.send_deployment(contract_path().read_bytes())
    address = connection.follower.wait(tx, "accepted", 30).contract
    assert address is not None
    return address


def account_of(request: pytest.FixtureRequest, role: str) -> LocalAccount:
    """Always the same account for a role in a test, and never one of another test."""
    account: LocalAccount = Account.from_key(keccak(text=f"{role} of {request.node.nodeid}"))
    return account


@pytest.fixture
def client(request: pytest.FixtureRequest, network: Network, contract: str) -> MakeClient:
    """Makes the client of a role, whose account has 100 GEN."""

    def make(role: str = "consumer", **options: object) -> BillingClient:
        account = account_of(request, role)
        made = BillingClient(network, contract=contract, account=account, **options)  # type: ignore[arg-type]
        made.connection.fund(account.address, 100 * ONE_GEN)
        return made

    return make


@pytest.fixture
def operator(client: MakeClient) -> BillingClient:
    return client("operator")


@pytest.fixture
def consumer(client: MakeClient) -> BillingClient:
    return client("consumer")


@pytest.fixture
def api(request: pytest.FixtureRequest, operator: BillingClient) -> str:
    """An API of this test: 0.01 GEN a call, 100 calls a day."""
    name = "api-" + keccak(text=request.node.nodeid).hex()[:12]
    operator.register_api(name, ONE_GEN // 100, 100)
    return name
