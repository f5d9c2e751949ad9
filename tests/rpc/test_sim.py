"""The simulator's methods: faucet, time, snapshots, mining."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from genlayer_localnet import Address
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import GEN, MAIN, ZERO, Client, about, call_object, tx_data

NOBODY = "0x" + "77" * 20


def test_ping__any__is_ok(rpc: RpcConnection) -> None:
    assert rpc.call("ping") == "OK"


# --- faucet ---


@pytest.mark.parametrize(
    ("amount", "wei"), [(5, 5), (1e21, 10**21), ("5", 5), ("0x5", 5), (0, 0), (2**256 - 1, 2**256 - 1)]
)
def test_fund__amount_in_any_form__is_there(rpc: RpcConnection, amount: Any, wei: int) -> None:
    rpc.call("sim_fundAccount", NOBODY, amount)
    assert int(rpc.call("eth_getBalance", NOBODY, "latest"), 16) == wei


@pytest.mark.parametrize("amount", [-1, 1.5, "much", None, True, 2**256, [], 1e300])
def test_fund__no_amount__is_refused(rpc: RpcConnection, amount: Any) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("sim_fundAccount", NOBODY, amount)
    assert failure.value.code == -32602


def test_fund__result__is_the_hash_of_a_transaction(rpc: RpcConnection) -> None:
    transaction = rpc.call("eth_getTransactionByHash", rpc.call("sim_fundAccount", NOBODY, 5))
    expected = {"status": "FINALIZED", "type": 0, "from_address": None, "value": 5, "data": {}}
    assert {name: transaction[name] for name in expected} == expected


def test_fund__twice__are_two_transactions(rpc: RpcConnection) -> None:
    assert rpc.call("sim_fundAccount", NOBODY, 5) != rpc.call("sim_fundAccount", NOBODY, 5)


# --- consensus contract ---


def test_consensus_contract__main__has_address_and_abi(rpc: RpcConnection) -> None:
    contract = rpc.call("sim_getConsensusContract", "ConsensusMain")
    names = {entry["name"] for entry in contract["abi"]}
    assert contract["address"] == MAIN
    assert names >= {"addTransaction", "submitAppeal", "NewTransaction"}


def test_consensus_contract__unknown__is_not_found(rpc: RpcConnection) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("sim_getConsensusContract", "Another")
    assert failure.value.code == -32001


# --- time ---


def test_time__fresh__is_that_of_the_machine(rpc: RpcConnection) -> None:
    assert abs(rpc.call("sim_getTime")["timestamp"] - datetime.now(UTC).timestamp()) < 60


def test_time__increased__contracts_see_it(client: Client, till: str) -> None:
    before = datetime.fromisoformat(client.read(till, "clock"))
    client.rpc.call("sim_increaseTime", 86_400)
    passed = (datetime.fromisoformat(client.read(till, "clock")) - before).total_seconds()
    assert 86_400 <= passed < 86_460


def test_time__set__goes_on_from_there(client: Client, till: str) -> None:
    client.rpc.call("sim_setTime", "2031-05-06T07:08:09Z")
    times = [client.read(till, "clock"), client.write(till, "stamp")["created_at"]]
    assert all(time.startswith("2031-05-06T07:08:") for time in times)


def test_time__set_by_seconds__is_that_time(rpc: RpcConnection) -> None:
    assert rpc.call("sim_setTime", 1_900_000_000)["time"].startswith("2030-03-17T17:46:40")


def test_time__start__can_be_chosen(start: Callable[..., RpcConnection]) -> None:
    rpc = start(now=datetime(2029, 1, 2, tzinfo=UTC))
    assert rpc.call("sim_getTime")["time"].startswith("2029-01-02T00:00:")


@pytest.mark.parametrize(
    ("method", "value"),
    [("sim_increaseTime", -1), ("sim_increaseTime", "x"), ("sim_increaseTime", None), ("sim_increaseTime", 1e300),
     ("sim_increaseTime", 10**30), ("sim_increaseTime", "nan"), ("sim_setTime", "soon"), ("sim_setTime", None),
     ("sim_setTime", "2026-01-01"), ("sim_setTime", -5), ("sim_setTime", 10**20),
     ("sim_setTime", "9999-12-31T00:00:00Z"),
     ("sim_setFinalityWindowTime", -1), ("sim_setFinalityWindowTime", "x"), ("sim_setFinalityWindowTime", 10**12)],
)  # fmt: skip
def test_time__impossible__is_refused(rpc: RpcConnection, method: str, value: Any) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call(method, value)
    assert failure.value.code == -32602


# --- finality ---


def test_finality__after_the_window__is_reached(client: Client, till: str) -> None:
    sent = client.write(till, "put", 5)
    assert sent["status"] == "ACCEPTED"
    client.rpc.call("sim_increaseTime", 59)
    assert client.transaction(sent["hash"])["status"] == "ACCEPTED"
    client.rpc.call("sim_increaseTime", 1)
    assert client.transaction(sent["hash"])["status"] == "FINALIZED"


def test_finality__window_made_shorter__holds_for_what_waits(start: Callable[..., RpcConnection]) -> None:
    client = Client(start())
    sent = client.write(client.deploy(), "put", 5)
    assert client.rpc.call("sim_getFinalityWindowTime") == 60
    assert client.rpc.call("sim_setFinalityWindowTime", 0) == 0
    assert client.transaction(sent["hash"])["status"] == "FINALIZED"


# --- snapshots ---


def test_snapshot__restored__brings_everything_back(client: Client, till: str) -> None:
    rpc = client.rpc
    first = client.write(till, "pay", "Ann", value=5)
    snapshot, before = rpc.call("sim_createSnapshot"), rpc.call("sim_getTime")["timestamp"]
    count = rpc.call("eth_getTransactionCount", client.address)
    later = client.write(till, "pay", "Ann", value=7)
    rpc.call("sim_increaseTime", 10_000)
    assert rpc.call("sim_restoreSnapshot", snapshot) is True
    assert (client.read(till, "get"), client.balance(till), client.balance()) == (5, 5, 1_000 * GEN - 5)
    assert rpc.call("eth_getTransactionCount", client.address) == count
    assert client.transaction(first["hash"])["status"] == "ACCEPTED"
    assert rpc.call("sim_getTime")["timestamp"] - before < 60
    with pytest.raises(RpcFailure) as failure:
        client.transaction(later["hash"])
    assert failure.value.code == -32001


def test_snapshot__restored__the_same_raw_transaction_runs_again(client: Client, till: str) -> None:
    snapshot = client.rpc.call("sim_createSnapshot")
    first = client.write(till, "put", 5)
    client.rpc.call("sim_restoreSnapshot", snapshot)
    assert client.read(till, "get") == 0
    assert client.write(till, "put", 5)["hash"] == first["hash"]
    assert client.read(till, "get") == 5


def test_snapshot__ids__are_counted_and_stay_usable(client: Client, till: str) -> None:
    ids = []
    for value in (1, 2, 3):
        client.write(till, "put", value)
        ids.append(client.rpc.call("sim_createSnapshot"))
    assert ids == sorted(ids)
    assert all(type(one) is int for one in ids)
    for snapshot, value in ((ids[0], 1), (ids[2], 3), (ids[1], 2), (ids[1], 2)):
        assert client.rpc.call("sim_restoreSnapshot", snapshot) is True
        assert client.read(till, "get") == value


def test_snapshot__message_on_its_way__is_delivered_after_the_restore(client: Client, till: str) -> None:
    client.write(till, "forward", Address(till), 3, "finalized", value=5)
    snapshot = client.rpc.call("sim_createSnapshot")
    for _ in range(2):
        client.rpc.call("sim_increaseTime", 61)
        assert client.read(till, "paid", "forwarded") == 3
        client.rpc.call("sim_restoreSnapshot", snapshot)
        assert client.read(till, "paid", "forwarded") == 0


def test_snapshot__final_state__is_restored(client: Client, till: str) -> None:
    client.rpc.call("sim_increaseTime", 61)
    client.write(till, "put", 5)
    snapshot = client.rpc.call("sim_createSnapshot")
    client.rpc.call("sim_increaseTime", 61)
    client.rpc.call("sim_restoreSnapshot", snapshot)
    assert client.read(till, "get", transaction_hash_variant="latest-final") == 0


def test_snapshot__unknown__is_false(rpc: RpcConnection) -> None:
    assert rpc.call("sim_restoreSnapshot", 99) is False


@pytest.mark.parametrize("snapshot", ["x", None, -1, {}])
def test_snapshot__no_number__is_refused(rpc: RpcConnection, snapshot: Any) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("sim_restoreSnapshot", snapshot)
    assert failure.value.code == -32602


def test_snapshot__deleted__is_gone(start: Callable[..., RpcConnection]) -> None:
    rpc = start()
    snapshot = rpc.call("sim_createSnapshot")
    assert rpc.call("sim_deleteAllSnapshots") == {"deleted_count": 1}
    assert rpc.call("sim_restoreSnapshot", snapshot) is False


# --- waiting transactions ---


def test_mine__without_auto_mine__runs_what_waits(start: Callable[..., RpcConnection]) -> None:
    rpc = start(auto_mine=False)
    client = Client(rpc)
    waiting = client.transaction(client.send(ZERO, tx_data(b"# x", call_object(None)), value=5))
    assert (waiting["status"], waiting["consensus_data"], client.balance()) == ("PENDING", {}, 1_000 * GEN - 5)
    assert rpc.call("eth_getTransactionReceipt", waiting["hash"])["status"] == "0x1"
    rpc.call("sim_mine")
    assert client.transaction(waiting["hash"])["status"] == "ACCEPTED"


def test_cancel__waiting__gives_the_value_back(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(auto_mine=False))
    sent = client.send(ZERO, tx_data(b"# x", call_object(None)), value=5)
    answer = client.rpc.call("sim_cancelTransaction", sent, "0x")
    assert answer == {"transaction_hash": sent, "status": "CANCELED"}
    cancelled = client.transaction(sent)
    assert (cancelled["status"], cancelled["consensus_data"]["leader_receipt"]) == ("CANCELED", [])
    assert client.balance() == 1_000 * GEN


def test_cancel__has_run__is_refused(client: Client, till: str) -> None:
    sent = client.write(till, "put", 5)
    with pytest.raises(RpcFailure, match="only a pending") as failure:
        client.rpc.call("sim_cancelTransaction", sent["hash"], None)
    assert failure.value.code == -32000


# --- the rest ---


def test_transactions__for_an_address__are_those_from_and_to_it(client: Client, till: str) -> None:
    sent = client.write(till, "put", 5)["hash"]
    received = client.rpc.call("sim_getTransactionsForAddress", till)
    assert sent in [transaction["hash"] for transaction in received]
    assert client.rpc.call("sim_getTransactionsForAddress", till, "from") == []


def test_clear__both_tables__leaves_only_the_accounts(start: Callable[..., RpcConnection]) -> None:
    client = Client(start())
    till = client.deploy()
    client.rpc.call("sim_clearDbTables", ["current_state", "transactions"])
    assert (client.balance(), client.rpc.call("eth_blockNumber")) == (0, "0x0")
    assert client.balance(client.rpc.call("eth_accounts")[0]) == 10_000 * GEN
    with pytest.raises(RpcFailure):
        client.read(till, "get")


@pytest.mark.parametrize("tables", [["users"], "transactions", None, ["transactions"]])
def test_clear__other_tables__is_refused(rpc: RpcConnection, tables: Any) -> None:
    with pytest.raises(RpcFailure):
        rpc.call("sim_clearDbTables", tables)


def test_finalize__through_the_consensus_contract__delivers_messages(client: Client, till: str) -> None:
    sent = client.write(till, "forward", Address(till), 3, "finalized", value=5)
    client.rpc.call("eth_sendRawTransaction", client.raw(about("b2efda83", sent["hash"])))
    assert client.read(till, "paid", "forwarded") == 3
