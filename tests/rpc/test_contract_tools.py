"""Code of contracts: several files, other code for a contract, what keeps code from being deployed; forced states."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gltest.artifacts.contract import compute_contract_code

from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import HEADER, TILL, ZERO, Client, call_object, leader, tx_data

PARTS = {
    "__init__.py": (
        "from genlayer import *\nfrom contract.sums import twice\n\nclass Shop(gl.Contract):\n    n: u256\n\n"
        "    def __init__(self, n: int):\n        self.n = u256(twice(n))\n\n"
        "    @gl.public.view\n    def get(self) -> int:\n        return int(self.n)\n"
    ),
    "sums.py": "def twice(n):\n    return 2 * n\n",
    "runner.json": '{"Depends": "py-genlayer-multi:test"}',
}
NEW_TILL = "return 1000 + int(self.total)".join(TILL.rsplit("return int(self.total)", 1))


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    for name, text in PARTS.items():
        (tmp_path / name).write_text(text)
    code = compute_contract_code(tmp_path / "__init__.py", tmp_path / "runner.json")
    assert isinstance(code, bytes)
    return code


def deploy(client: Client, code: bytes, *args: Any) -> dict[str, Any]:
    return client.transaction(client.send(ZERO, tx_data(code, call_object(None, *args), b"")))


def test_several_files__deployed__can_be_read_and_have_schema_and_code(client: Client, archive: bytes) -> None:
    address = deploy(client, archive, 4)["data"]["contract_address"]
    assert client.read(address, "get") == 8
    assert client.rpc.call("gen_getContractSchema", address)["ctor"]["params"] == [["n", "int"]]
    assert b64decode(client.rpc.call("gen_getContractCode", address)) == archive


def test_several_files__schema_for_code__is_there(rpc: RpcConnection, archive: bytes) -> None:
    assert list(rpc.call("gen_getContractSchemaForCode", "0x" + archive.hex())["methods"]) == ["get"]


def test_several_files__cut_off__say_so(client: Client, archive: bytes) -> None:
    receipt = leader(deploy(client, archive[:80], 4))
    assert b64decode(receipt["result"]) == b"\x02invalid_contract malformed_zip"


def test_upgrade__contract__has_new_code_and_old_storage(client: Client, till: str) -> None:
    client.write(till, "put", 5)
    assert NEW_TILL != TILL
    answer = client.rpc.call("sim_upgradeContractCode", till, NEW_TILL)
    assert client.read(till, "get") == 1005
    sent = client.transaction(answer["transaction_hash"])
    assert (sent["type"], sent["status"], sent["data"]["contract_address"]) == (3, "FINALIZED", till)
    assert answer["message"]


def test_upgrade__then_restart__is_kept(start: Callable[..., RpcConnection], tmp_path: Path) -> None:
    state = tmp_path / "net.sqlite"
    with RpcServer(state=state) as server:
        client = Client(RpcConnection(server.url))
        contract = client.deploy()
        client.rpc.call("sim_upgradeContractCode", contract, NEW_TILL)
        client.rpc.close()
    client.rpc = start(state=state)
    assert client.read(contract, "get") == 1000


@pytest.mark.parametrize("code", ["x = 1", HEADER + "class C(gl.Contract):\n  1 +"])
def test_upgrade__code_that_cannot_run__is_refused_and_changes_nothing(client: Client, till: str, code: str) -> None:
    with pytest.raises(RpcFailure, match="the new code cannot run") as failure:
        client.rpc.call("sim_upgradeContractCode", till, code)
    assert failure.value.code == -32602
    assert client.read(till, "get") == 0


def test_upgrade__no_contract__is_not_found(rpc: RpcConnection) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("sim_upgradeContractCode", "0x" + "12" * 20, TILL)
    assert failure.value.code == -32001


def test_lint__good_code__finds_nothing(rpc: RpcConnection) -> None:
    assert rpc.call("sim_lintContract", TILL) == {
        "results": [],
        "summary": {"total": 0, "by_severity": {"error": 0, "warning": 0, "info": 0}},
    }


@pytest.mark.parametrize(
    ("code", "rule", "severity"),
    [
        ("x = 1", "absent_runner_comment", "error"),
        (HEADER + "1 +", "syntax", "error"),
        (HEADER + "class C(gl.Contract):\n    x: int\n    def __init__(self): ...\n", "schema", "error"),
        (HEADER + "class C(gl.Contract):\n    x: u8\n", "schema", "warning"),
    ],
)
def test_lint__bad_code__says_what_is_wrong(rpc: RpcConnection, code: str, rule: str, severity: str) -> None:
    answer = rpc.call("sim_lintContract", "0x" + code.encode().hex())
    assert [(one["rule_id"], one["severity"]) for one in answer["results"]] == [(rule, severity)]
    assert answer["summary"]["by_severity"][severity] == 1


def test_lint__syntax_error__has_its_line(rpc: RpcConnection) -> None:
    [finding] = rpc.call("sim_lintContract", HEADER + "\n1 +\n")["results"]
    assert finding["line"] == HEADER.count("\n") + 2


def test_status__finalized__makes_it_final(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)["hash"]
    assert client.rpc.call("sim_updateTransactionStatus", sent, "FINALIZED")["status"] == "FINALIZED"
    assert client.transaction(sent)["status"] == "FINALIZED"


def test_status__the_one_it_has__changes_nothing(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)["hash"]
    assert client.rpc.call("sim_updateTransactionStatus", sent, "ACCEPTED")["status"] == "ACCEPTED"


@pytest.mark.parametrize(("status", "code"), [("PENDING", -32000), ("CANCELED", -32000), ("DONE", -32602), (5, -32602)])
def test_status__impossible__is_refused(client: Client, till: str, status: Any, code: int) -> None:
    sent = client.write(till, "put", 1)["hash"]
    with pytest.raises(RpcFailure) as failure:
        client.rpc.call("sim_updateTransactionStatus", sent, status)
    assert failure.value.code == code
    assert client.transaction(sent)["status"] == "ACCEPTED"


def test_status__canceled_while_waiting__gives_the_value_back(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(auto_mine=False))
    before = client.balance()
    sent = client.send(ZERO, tx_data(TILL.encode(), call_object(None), b""), value=5)
    client.rpc.call("sim_updateTransactionStatus", sent, "CANCELED")
    assert (client.balance(), client.transaction(sent)["status"]) == (before, "CANCELED")
