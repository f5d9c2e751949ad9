"""Contracts of the v0.3 line over JSON-RPC, from clients that name the method under the older key."""

from __future__ import annotations

import base64
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.rpc.isolated.process import ChainProcess
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import TILL as OLD_TILL
from .wire import Client, leader, result, tx_data

TILL = '# v0.3.0\n# { "Depends": "py-genlayer:test" }\n\n' + textwrap.dedent(
    """
    import genlayer as gl
    from genlayer.types import *


    class Till(gl.contract.Contract):
        total: u256

        def __init__(self, start: int = 0):
            self.total = start

        @gl.public.write.payable
        def pay(self, name: str) -> int:
            self.total = self.total + gl.message.value
            return self.total

        @gl.public.write
        def refuse(self, data) -> None:
            raise gl.vm.UserError(data)

        @gl.public.write
        def later(self, wei: int) -> None:
            gl.contract.get_at(self.address).emit(value=wei, on="decided").pay("itself")

        @gl.public.write
        def block(self) -> int:
            return gl.vm.run_nondet(lambda: 5, lambda leader: leader.calldata == 5)

        @gl.public.write
        def failing_block(self) -> None:
            def fail():
                raise gl.vm.UserError("in a block")

            gl.vm.run_nondet(fail, lambda leader: True)

        @gl.public.view
        def get(self) -> int:
            return self.total

        @gl.public.view
        def judged(self) -> int:
            return gl.vm.run_nondet(lambda: 1, lambda leader: True)
    """
)


@pytest.fixture
def till(client: Client) -> str:
    return client.deploy(TILL, 3)


def test_call__under_the_older_key__runs_the_method(client: Client, till: str) -> None:
    transaction = client.write(till, "pay", "alice", value=7)
    assert leader(transaction)["execution_result"] == "SUCCESS"
    assert calldata.decode(base64.b64decode(transaction["data"]["calldata"])) == {"method": "pay", "args": ["alice"]}
    assert result(transaction) == b"\0" + calldata.encode(10)
    assert client.read(till, "get") == 10


def test_call__under_the_newer_key__runs_the_method_of_either_line(client: Client, till: str) -> None:
    for contract in (till, client.deploy()):
        sent = client.send(contract, tx_data(calldata.encode({"": "pay", "args": ["bob"]}), b""), value=2)
        assert leader(client.transaction(sent))["execution_result"] == "SUCCESS"


def test_schema__of_the_contract_and_of_its_code__are_the_same(client: Client, till: str) -> None:
    schema = client.rpc.call("gen_getContractSchema", till)
    assert schema == client.rpc.call("gen_getContractSchemaForCode", "0x" + TILL.encode().hex())
    assert schema["methods"]["pay"]["payable"] is True


def test_user_error__of_any_value__is_shown_as_text(client: Client, till: str) -> None:
    transaction = client.write(till, "refuse", {"code": 7})
    receipt = leader(transaction)
    assert base64.b64decode(receipt["result"]) == b'\1{"code":7}'
    assert receipt["genvm_result"]["error_description"] == '{"code":7}'
    with pytest.raises(RpcFailure, match="execution failed: plain text"):
        client.call("write", till, "refuse", "plain text")
    assert result(client.write(till, "refuse", "plain text")) == b"\1plain text"


def test_user_error__of_a_block__is_shown_as_text(client: Client, till: str) -> None:
    receipt = leader(client.write(till, "failing_block"))
    shown = base64.b64decode(receipt["result"]), base64.b64decode(receipt["eq_outputs"]["0"])
    assert shown == (b"\1in a block", b"\1in a block")


def test_message__on_decided__runs_with_its_parent(client: Client, till: str) -> None:
    client.write(till, "pay", "alice", value=7)
    transaction = client.write(till, "later", 2)
    assert leader(transaction)["pending_transactions"][0]["on"] == "decided"
    [child] = transaction["triggered_transactions"]
    assert client.transaction(child)["triggered_on"] == "accepted"
    assert client.read(till, "get") == 12


def test_read__with_a_block__is_refused_and_a_simulated_write_is_not(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match="leader_fault nondet_output absent"):
        client.read(till, "judged")
    assert calldata.decode(bytes.fromhex(client.call("write", till, "judged"))) == 1


def test_lint__of_code_of_the_v03_line__finds_its_faults(client: Client) -> None:
    assert client.rpc.call("sim_lintContract", TILL)["results"] == []
    found = client.rpc.call("sim_lintContract", TILL.replace("total: u256", "total: int"))
    assert "use `bigint`" in found["results"][0]["message"]


def test_upgrade__to_the_other_line__is_refused(client: Client, till: str) -> None:
    with pytest.raises(RpcFailure, match="the other line"):
        client.rpc.call("sim_upgradeContractCode", till, OLD_TILL)
    assert client.rpc.call("sim_upgradeContractCode", till, TILL.replace("self.total = start", "pass"))


def test_isolated_process__first_contract_of_the_line__is_run_there() -> None:
    # Its library is imported when the process has nothing any more but what it can read.
    start = partial(ChainProcess, memory_bytes=512 * 2**20, allow_web=())
    with RpcServer(NodeOptions(), state=None, start_chain=start) as server:
        connection = RpcConnection(server.url)
        client = Client(connection)
        till = client.deploy(TILL, 3)
        assert leader(client.write(till, "block"))["execution_result"] == "SUCCESS"
        assert client.read(till, "get") == 3
        connection.close()


def test_restart__of_a_state_file__keeps_what_user_errors_carry(tmp_path: Path) -> None:
    def serve(check: Any) -> Any:
        with RpcServer(NodeOptions(finality_window_seconds=60), state=tmp_path / "state.sqlite") as server:
            connection = RpcConnection(server.url)
            try:
                return check(connection, server.node)
            finally:
                connection.close()

    def refuse(connection: RpcConnection, node: Node) -> str:
        client = Client(connection)
        return client.send(client.deploy(TILL), tx_data(calldata.encode({"": "refuse", "args": [[1, None]]}), b""))

    sent = serve(refuse)
    outcome = serve(lambda connection, node: node.chain.transaction(sent).outcome)
    assert (outcome.data, outcome.message) == ([1, None], "[1,null]")
