"""Where the value of calls and messages is, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import Address
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import GEN, TILL, ZERO, Client, call_object, leader, tx_data


def test_call__with_value__is_debited_and_credited(client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=5 * GEN)
    assert (client.balance(), client.balance(till), client.read(till, "paid", "Ann")) == (995 * GEN, 5 * GEN, 5 * GEN)


def test_call__sender_has_too_little__is_minted(client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=2_000 * GEN)
    assert (client.balance(), client.balance(till)) == (0, 2_000 * GEN)


def test_call__sender_has_too_little_and_funds_are_strict__is_refused(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(strict_funds=True))
    till = client.deploy()
    with pytest.raises(RpcFailure, match="insufficient funds") as failure:
        client.write(till, "pay", "Ann", value=2_000 * GEN)
    assert failure.value.code == -32000
    assert (client.balance(), client.balance(till)) == (1_000 * GEN, 0)
    assert client.write(till, "pay", "Ann", value=1)["status"] == "ACCEPTED"


def test_transfer__too_little_and_funds_are_strict__is_refused(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(strict_funds=True))
    with pytest.raises(RpcFailure, match="insufficient funds"):
        client.rpc.call("eth_sendRawTransaction", client.raw("0x", to="0x" + "77" * 20, value=2_000 * GEN))


@pytest.mark.parametrize(("method", "args"), [("refuse", ["no"]), ("put", [5]), ("nothing", [])])
def test_call__fails_with_value__the_value_stays(client: Client, till: str, method: str, args: list[Any]) -> None:
    sent = client.write(till, method, *args, value=5)
    assert leader(sent)["execution_result"] == "ERROR"
    assert (client.balance(), client.balance(till), client.read(till, "get")) == (1_000 * GEN - 5, 5, 0)


def test_call__fails_with_value_and_it_returns__the_sender_has_it(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(failed_value="return"))
    till = client.deploy()
    client.write(till, "refuse", "no", value=5)
    client.rpc.call("sim_increaseTime", 61)
    assert (client.balance(), client.balance(till)) == (1_000 * GEN, 0)


def test_deploy__with_value__is_credited(client: Client) -> None:
    assert client.balance(client.deploy(TILL, value=7)) == 7


def test_deploy__fails_with_value__the_value_is_at_the_address(client: Client) -> None:
    sent = client.transaction(client.send(ZERO, tx_data(TILL.encode(), call_object(None, "x"), b""), value=7))
    assert client.balance(sent["data"]["contract_address"]) == 7


def test_message__on_acceptance__is_a_transaction_of_its_own(client: Client, till: str) -> None:
    other = client.deploy()
    sent = client.write(till, "forward", Address(other), 3, "accepted", value=5)
    (child_id,) = sent["triggered_transactions"]
    child = client.transaction(child_id)
    assert (child["status"], child["from_address"], child["to_address"]) == ("ACCEPTED", till, other)
    assert (child["value"], child["triggered_by"], child["triggered_on"]) == (3, sent["hash"], "accepted")
    assert child["origin_address"] == client.address
    assert (client.balance(till), client.balance(other), client.read(other, "paid", "forwarded")) == (2, 3, 3)


def test_message__on_finality__waits_for_it(client: Client, till: str) -> None:
    other = client.deploy()
    sent = client.write(till, "forward", Address(other), 3, "finalized", value=5)
    assert (sent["triggered_transactions"], client.balance(other)) == ([], 0)
    (message,) = leader(sent)["pending_transactions"]
    assert (message["address"], message["value"], message["on"]) == (other, 3, "finalized")
    client.rpc.call("sim_increaseTime", 61)
    (child_id,) = client.transaction(sent["hash"])["triggered_transactions"]
    assert client.transaction(child_id)["triggered_on"] == "finalized"
    assert (client.balance(till), client.balance(other)) == (2, 3)


def test_message__nobody_asks__is_delivered_when_its_time_has_come(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(finality_window_seconds=0))
    till, other = client.deploy(), client.deploy()
    client.write(till, "forward", Address(other), 3, "finalized", value=5)
    assert client.balance(other) == 3


def test_message__of_a_refused_call__is_dropped(client: Client, till: str) -> None:
    sent = client.write(till, "forward", Address(till), 30, "accepted", value=5)
    assert (leader(sent)["execution_result"], sent["triggered_transactions"]) == ("ERROR", [])
    assert client.balance(till) == 5
