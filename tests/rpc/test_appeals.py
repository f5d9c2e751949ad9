"""Appeals and limits of time through raw transactions, and what a restart keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import Address, calldata
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import TILL, ZERO, Client, about, call_object, leader, result, tx_data

APPEAL = "8b5de1bc"
CATCHING_LOOP = """
            while True:
                try: x = 1
                except BaseException: pass
            raise KeyError"""
ENDLESS = TILL.replace("raise KeyError", CATCHING_LOOP).replace('raise gl.vm.UserError("boom")', "while True: pass")
Start = Callable[..., RpcConnection]


def appeal(client: Client, transaction: dict[str, Any]) -> dict[str, Any]:
    answer = client.rpc.call("eth_sendRawTransaction", client.raw(about(APPEAL, transaction["hash"])))
    assert answer == transaction["hash"]
    return client.transaction(answer)


def rounds(transaction: dict[str, Any]) -> list[str]:
    return [entry["consensus_round"] for entry in transaction["consensus_history"]["consensus_results"]]


def let_validators_answer(client: Client, *answers: str) -> None:
    """One answer for each of the validators."""
    for validator, answer in zip(client.rpc.call("sim_getAllValidators"), answers, strict=True):
        mock = {"mock_response": {"response": {"": answer}}}
        client.rpc.call("sim_updateValidator", validator["address"], 1, "p", "m", {}, "q", mock)


@pytest.fixture
def oracle(start: Start) -> tuple[Client, str]:
    client = Client(start(validators=5))
    return client, client.deploy()


def test_appeal__deterministic__is_accepted_again(client: Client, till: str) -> None:
    found = appeal(client, client.write(till, "put", 7))
    assert (found["status"], found["appealed"], found["appeal_failed"]) == ("ACCEPTED", True, 1)
    assert rounds(found) == ["Accepted", "Validator Appeal Failed"]
    assert len(found["last_round"]["validator_votes"]) == 12
    assert client.read(till, "get") == 7


def test_appeal__not_made__nothing_is_said_of_one(client: Client, till: str) -> None:
    sent = client.write(till, "put", 7)
    assert (sent["appealed"], sent["appeal_failed"], sent["timestamp_appeal"]) == (False, 0, None)


def test_appeal__validators_disagree_now__is_undetermined(oracle: tuple[Client, str]) -> None:
    client, contract = oracle
    let_validators_answer(client, *["yes"] * 5)
    sent = client.write(contract, "ask", "a question")
    let_validators_answer(client, *"abcde")
    found = appeal(client, sent)
    assert (found["status"], found["appealed"], found["result_name"]) == ("UNDETERMINED", True, "MAJORITY_DISAGREE")
    assert rounds(found)[:2] == ["Accepted", "Validator Appeal Successful"]
    assert rounds(found)[-1] == "Undetermined"


def test_appeal__validators_say_something_else_now__has_the_new_result(oracle: tuple[Client, str]) -> None:
    client, contract = oracle
    let_validators_answer(client, *["yes"] * 5)
    sent = client.write(contract, "ask", "a question")
    let_validators_answer(client, *["no"] * 5)
    found = appeal(client, sent)
    assert (found["status"], result(found)) == ("ACCEPTED", b"\x00" + calldata.encode("no"))


def test_appeal__undetermined__is_accepted_once_they_agree(oracle: tuple[Client, str]) -> None:
    client, contract = oracle
    let_validators_answer(client, *"abcde")
    sent = client.write(contract, "ask", "a question")
    assert sent["status"] == "UNDETERMINED"
    let_validators_answer(client, *["yes"] * 5)
    found = appeal(client, sent)
    assert (found["status"], found["appeal_undetermined"]) == ("ACCEPTED", True)


def test_appeal__then_restart__is_the_same(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "net.sqlite"
    with RpcServer(state=state) as server:
        client = Client(RpcConnection(server.url))
        contract = client.deploy()
        let_validators_answer(client, *["yes"] * 5)
        sent = client.write(contract, "ask", "a question")
        client.write(contract, "put", 3)
        let_validators_answer(client, *"abcde")
        before = appeal(client, sent)
        client.rpc.close()
    client.rpc = start(state=state)
    assert client.transaction(sent["hash"]) == before
    client.rpc.call("sim_increaseTime", 120)
    assert client.transaction(sent["hash"])["status"] == "FINALIZED"
    assert client.read(contract, "get") == 3


def test_cancel__message_that_waits_to_run_again__gives_its_value_back(start: Start, tmp_path: Path) -> None:
    options: dict[str, Any] = {"auto_mine": False, "finality_window_seconds": 3_600, "state": tmp_path / "net.sqlite"}
    with RpcServer(NodeOptions(auto_mine=False, finality_window_seconds=3_600), state=options["state"]) as server:
        client = Client(RpcConnection(server.url))

        def mined(to: str, *call: Any, value: int = 0) -> dict[str, Any]:
            sent = client.send(to, tx_data(call_object(*call)), value=value)
            client.rpc.call("sim_mine")
            return client.transaction(sent)

        code = tx_data(TILL.encode(), call_object(None))
        sender, receiver = (client.send(ZERO, code) for _ in range(2))
        client.rpc.call("sim_mine")
        sender, receiver = (client.transaction(one)["data"]["contract_address"] for one in (sender, receiver))
        let_validators_answer(client, *["yes"] * 5)
        asked = mined(receiver, "ask", "a question")
        mined(sender, "pay", "me", value=9)
        [message] = mined(sender, "forward", Address(receiver), 5, "accepted")["triggered_transactions"]
        let_validators_answer(client, *["no"] * 5)
        assert appeal(client, asked)["status"] == client.transaction(message)["status"] == "PENDING"
        assert (client.balance(sender), client.balance(receiver)) == (4, 0)
        client.rpc.close()
    client.rpc = start(**options)
    client.rpc.call("sim_cancelTransaction", message, None)
    client.rpc.call("sim_mine")
    assert (client.balance(sender), client.balance(receiver)) == (9, 0)
    assert client.transaction(message)["status"] == "CANCELED"


@pytest.fixture
def endless(start: Start) -> tuple[Client, str]:
    client = Client(start(contract_timeout_seconds=0.5))
    return client, client.deploy(ENDLESS)


def test_write__never_ends__is_leader_timeout_and_the_server_goes_on(endless: tuple[Client, str]) -> None:
    client, contract = endless
    sent = client.write(contract, "crash")
    assert (sent["status"], sent["result_name"]) == ("LEADER_TIMEOUT", "MAJORITY_TIMEOUT")
    assert (result(sent), leader(sent)["vote"]) == (b"\x02timeout", "timeout")
    assert leader(sent)["execution_result"] == "ERROR"
    assert client.write(contract, "put", 4)["status"] == "ACCEPTED"
    assert client.rpc.call("gen_getTransactionStatus", sent["hash"]) == {"status": "LEADER_TIMEOUT", "statusCode": 13}


def test_write__never_ended__becomes_final(endless: tuple[Client, str]) -> None:
    client, contract = endless
    sent = client.write(contract, "crash")
    client.rpc.call("sim_increaseTime", 61)
    assert client.transaction(sent["hash"])["status"] == "FINALIZED"


def test_write__never_ends_again__appeal_fails(endless: tuple[Client, str]) -> None:
    client, contract = endless
    found = appeal(client, client.write(contract, "crash"))
    assert (found["status"], found["appeal_leader_timeout"]) == ("LEADER_TIMEOUT", True)
    assert rounds(found) == ["Leader Timeout", "Leader Timeout Appeal Failed"]


def test_read__never_ends__is_an_error(endless: tuple[Client, str]) -> None:
    client, contract = endless
    with pytest.raises(RpcFailure, match="execution failed: timeout") as failure:
        client.read(contract, "no")
    assert failure.value.code == -32000
