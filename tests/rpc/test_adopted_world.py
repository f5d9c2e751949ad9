"""A server that goes on from the world of an embedded localnet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from genlayer_localnet import Localnet
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.state_file import StateFile, StateFileError
from genlayer_localnet.testing.server import RpcConnection

ALICE = "0x" + "a1" * 20
THEN = datetime(2015, 5, 17, 10, 5, tzinfo=UTC)


def net_with_alice() -> Localnet:
    net = Localnet(now=THEN)
    net.fund(ALICE, 7)
    return net


def test_server__of_an_adopted_world__has_its_balances_and_its_time() -> None:
    server = RpcServer(NodeOptions(accounts=1))
    server.node.adopt(net_with_alice().clone_world())
    with server:
        rpc = RpcConnection(server.url)
        assert rpc.call("eth_getBalance", ALICE, "latest") == "0x7"
        assert rpc.call("sim_getTime")["time"].startswith("2015-05-17T10:")
        rpc.close()


def test_adopted_world__test_accounts__have_money() -> None:
    node = Node(NodeOptions(accounts=1))
    node.adopt(net_with_alice().clone_world())
    assert node.world.balance(node.accounts[0].address) > 0


def test_clone__changed__leaves_the_localnet_as_it_is() -> None:
    net = net_with_alice()
    net.clone_world().balances.clear()
    assert net.balance(ALICE) == 7


def test_adopt__with_a_state_file__is_refused(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "net.sqlite")
    with pytest.raises(StateFileError):
        Node(NodeOptions(), state).adopt(net_with_alice().clone_world())
    state.close()
