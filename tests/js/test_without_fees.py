"""Where the network takes fees: clients that know none can read, and their writes are refused by name."""

from pathlib import Path

import pytest

from api_billing.connection import Connection
from api_billing.contract_source import Source
from api_billing.networks import find_network
from api_billing.unlocked import unlocked_account
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.plugin import server_fixture

from .conftest import Genlayer, run_script

NO_FEES = "FeeValueMustBeNonZero: the network takes fees, and the transaction comes without"

server = server_fixture("module", network="studio-next")


@pytest.fixture(scope="module")
def deployed(server: RpcServer) -> str:
    """Address of a billing contract that one who pays fees has deployed."""
    network = find_network("studio-next", server.url)
    connection = Connection(network, unlocked_account(Connection(network).provider, 0))
    tx = connection.send_deployment(Source.read(line="v0.3").code)
    address = connection.follower.wait(tx, "accepted", 30).contract
    assert address is not None
    return address


def test_genlayer_js__reads__and_is_told_why_it_cannot_write(
    node_modules: Path, server: RpcServer, deployed: str
) -> None:
    seen = run_script(node_modules, "fees.mjs", server.url, deployed)
    assert seen["apis"] == {"apis": [], "total": 0}
    assert NO_FEES in seen["refusal"]


def test_genlayer_cli__reads__and_is_told_why_it_cannot_write(genlayer: Genlayer, deployed: str) -> None:
    assert "Read operation successfully executed" in genlayer("call", deployed, "list_apis")
    with pytest.raises(AssertionError, match=NO_FEES):
        genlayer("write", deployed, "register_api", "--args", "weather", "1", "100", "0")
