"""Ethereum's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet import calldata
from genlayer_localnet.address import keccak256
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import GEN, MAIN, ZERO, Client, about, add_transaction, call_object, leader, new_account, signed, tx_data

NEW_TRANSACTION = "0xdab9102861c7483a187584d6371d88316f005af507982ccf95c110879f3ed5a5"
NOBODY = "0x" + "77" * 20


def _pad(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("eth_chainId", [], "0xf22f"),
        ("net_version", [], "61999"),
        ("net_listening", [], True),
        ("eth_syncing", [], False),
        ("eth_gasPrice", [], "0x0"),
        ("eth_maxPriorityFeePerGas", [], "0x0"),
        ("eth_estimateGas", [{"gasPrice": 0}], "0x7a120"),
        ("eth_blockNumber", [], "0x0"),
        ("eth_getBalance", [NOBODY, "latest"], "0x0"),
        ("eth_getTransactionCount", [NOBODY, "pending"], "0x0"),
        ("eth_getCode", [NOBODY, "latest"], "0x"),
        ("eth_getLogs", [{}], []),
        ("eth_getTransactionReceipt", ["0x" + "00" * 32], None),
        ("eth_getBlockByNumber", ["0x5", False], None),
        ("eth_call", [{"to": NOBODY, "data": "0x"}, "latest"], "0x" + "1".rjust(64, "0")),
    ],
)
def test_method__fresh_chain__answers(rpc: RpcConnection, method: str, params: list[Any], result: Any) -> None:
    assert rpc.call(method, *params) == result


def test_client_version__any__names_the_localnet(rpc: RpcConnection) -> None:
    assert rpc.call("web3_clientVersion").startswith("genlayer-localnet")


def test_chain_id__chosen__is_answered(start: Callable[..., RpcConnection]) -> None:
    assert start(chain_id=61127).call("eth_chainId") == hex(61127)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", ["0x12"]),
        ("eth_getBalance", [5]),
        ("eth_getBalance", []),
        ("eth_getTransactionByHash", ["0x12"]),
        ("eth_getTransactionReceipt", [None]),
        ("eth_getBlockByNumber", ["newest", False]),
        ("eth_getLogs", [{"topics": "0x"}]),
        ("eth_getLogs", [{"topics": ["0x12"]}]),
        ("eth_getLogs", [{"address": "0x12"}]),
        ("eth_getLogs", [{"fromBlock": -1}]),
        ("eth_feeHistory", ["many"]),
        ("eth_sendRawTransaction", ["0xzz"]),
        ("eth_sendRawTransaction", ["0x"]),
        ("eth_sendTransaction", [{}]),
        ("eth_estimateGas", [1, 2, 3]),
    ],
)
def test_method__wrong_parameters__says_so(rpc: RpcConnection, method: str, params: list[Any]) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call(method, *params)
    assert failure.value.code == -32602


def test_transaction__unknown__is_an_error(rpc: RpcConnection) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call("eth_getTransactionByHash", "0x" + "ab" * 32)
    assert failure.value.code == -32001


def test_fee_history__some_blocks__has_their_form(rpc: RpcConnection, client: Client, till: str) -> None:
    history = rpc.call("eth_feeHistory", 2, "latest", [25, 75])
    assert history["baseFeePerGas"] == ["0x0"] * 3
    assert history["reward"] == [["0x0", "0x0"]] * 2


# --- raw transactions ---


def test_send__same_raw_transaction_twice__runs_once(rpc: RpcConnection, client: Client, till: str) -> None:
    data = tx_data(call_object("pay", "x"), b"")
    raw = client.raw(add_transaction(client.address, till, data), value=5)
    first, second = rpc.call("eth_sendRawTransaction", raw), rpc.call("eth_sendRawTransaction", raw)
    assert (first, second) == (first, "0x" + keccak256(bytes.fromhex(raw[2:])).hex())
    assert client.read(till, "get") == 5


def test_send__transaction__raises_the_count_at_once(rpc: RpcConnection, client: Client, till: str) -> None:
    before = int(rpc.call("eth_getTransactionCount", client.address, "latest"), 16)
    client.write(till, "put", 1)
    assert int(rpc.call("eth_getTransactionCount", client.address, "latest"), 16) == before + 1


def test_send__sender_is_not_the_signer__is_refused(rpc: RpcConnection, client: Client, till: str) -> None:
    data = add_transaction(NOBODY, till, tx_data(call_object("put", 5), b""))
    with pytest.raises(RpcFailure, match="is signed by") as failure:
        rpc.call("eth_sendRawTransaction", client.raw(data))
    assert failure.value.code == -32602
    assert client.read(till, "get") == 0


def test_send__to_an_unknown_address__is_not_found(rpc: RpcConnection, client: Client) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.write(NOBODY, "put", 5, value=7)
    assert failure.value.code == -32001
    assert client.balance() == 1_000 * GEN


def test_send__to_an_account_without_code__fails_and_the_value_is_there(client: Client, rpc: RpcConnection) -> None:
    other = Client(rpc, 1)
    transaction = client.write(other.address, "put", 5, value=7)
    assert (transaction["status"], leader(transaction)["execution_result"]) == ("ACCEPTED", "ERROR")
    assert other.balance() == 8


def test_send__expired__is_refused(rpc: RpcConnection, client: Client, till: str) -> None:
    data = add_transaction(client.address, till, tx_data(call_object("put", 5), b""), "e71d5196", valid_until=1)
    with pytest.raises(RpcFailure, match="valid until") as failure:
        rpc.call("eth_sendRawTransaction", client.raw(data))
    assert failure.value.code == -32000


def test_send__expired_while_it_waited__is_cancelled_and_gives_its_value_back(start: Callable[..., Any]) -> None:
    rpc = start(auto_mine=False)
    client = Client(rpc)
    until = int(rpc.call("sim_getTime")["timestamp"]) + 100
    code = tx_data(b"#", call_object(None))
    sent = rpc.call(
        "eth_sendRawTransaction",
        client.raw(add_transaction(client.address, ZERO, code, "e71d5196", valid_until=until), value=7),
    )
    before = client.balance()
    rpc.call("sim_increaseTime", 200)
    rpc.call("sim_mine")
    transaction = client.transaction(sent)
    assert (transaction["status"], transaction["cancelled_for"]) == ("CANCELED", "Expired")
    assert client.balance() == before + 7


def test_send__evm_deployment__is_refused(rpc: RpcConnection, client: Client) -> None:
    with pytest.raises(RpcFailure, match="EVM") as failure:
        rpc.call("eth_sendRawTransaction", client.raw("0x6000", to=""))
    assert failure.value.code == -32602


@pytest.mark.parametrize("data", ["0xdeadbeef" + "00" * 32, "0x27241a"])
def test_send__function_that_the_consensus_contract_has_not__is_refused_and_pays_nothing(
    client: Client, data: str
) -> None:
    before = client.balance(), client.balance(MAIN)
    raw = client.raw(data, value=5)
    with pytest.raises(RpcFailure, match="the consensus contract has no function 0x"):
        client.rpc.call("eth_sendRawTransaction", raw)
    assert (client.balance(), client.balance(MAIN)) == before


def test_transfer__plain__moves_money_and_is_final(rpc: RpcConnection, client: Client) -> None:
    transaction = client.transaction(rpc.call("eth_sendRawTransaction", client.raw("0x", to=NOBODY, value=5)))
    assert (transaction["status"], transaction["type"], transaction["data"]) == ("FINALIZED", 0, {})
    assert client.balance(NOBODY) == 5


def test_transfer__of_type_two__moves_money(rpc: RpcConnection, client: Client) -> None:
    raw = client.raw("0x", to=NOBODY, value=5, type=2, maxFeePerGas=0, maxPriorityFeePerGas=0)
    rpc.call("eth_sendRawTransaction", raw)
    assert client.balance(NOBODY) == 5


def test_transfer__to_a_contract__runs_no_code(rpc: RpcConnection, client: Client, till: str) -> None:
    rpc.call("eth_sendRawTransaction", client.raw("0x", to=till, value=5))
    assert (client.balance(till), client.read(till, "get")) == (5, 0)


def test_transfer__more_than_there_is__is_refused_and_paid_once_when_there_is(client: Client) -> None:
    raw = client.raw("0x", to=NOBODY, value=2_000 * GEN)
    with pytest.raises(RpcFailure, match="insufficient funds") as failure:
        client.rpc.call("eth_sendRawTransaction", raw)
    assert (failure.value.code, client.rpc.call("eth_getTransactionCount", client.address)) == (-32000, "0x0")
    client.rpc.call("sim_fundAccount", client.address, 9_000 * GEN)
    assert client.rpc.call("eth_sendRawTransaction", raw) == client.rpc.call("eth_sendRawTransaction", raw)
    assert (client.balance(NOBODY), client.balance()) == (2_000 * GEN, 8_000 * GEN)


# --- unlocked accounts ---


def test_accounts__default__are_ten_with_money(rpc: RpcConnection) -> None:
    accounts = rpc.call("eth_accounts")
    assert len(accounts) == 10
    assert {rpc.call("eth_getBalance", account, "latest") for account in accounts} == {hex(10_000 * GEN)}


def test_accounts__same_seed__are_the_same(start: Callable[..., RpcConnection]) -> None:
    first, second, other = start(seed="a", accounts=3), start(seed="a", accounts=3), start(seed="b", accounts=3)
    assert first.call("eth_accounts") == second.call("eth_accounts") != other.call("eth_accounts")


def test_send_transaction__unlocked__moves_money(rpc: RpcConnection) -> None:
    account = rpc.call("eth_accounts")[0]
    rpc.call("eth_sendTransaction", {"from": account, "to": NOBODY, "value": "0x5"})
    assert rpc.call("eth_getBalance", NOBODY, "latest") == "0x5"


def test_send_transaction__unlocked__calls_a_contract(rpc: RpcConnection, client: Client, till: str) -> None:
    account = rpc.call("eth_accounts")[0]
    data = add_transaction(account, till, tx_data(call_object("put", 5), b""))
    sent = rpc.call("eth_sendTransaction", {"from": account, "to": MAIN, "data": data, "gas": "0x1", "value": "0x0"})
    assert client.transaction(sent)["from_address"] == account
    assert client.read(till, "get") == 5


def test_send_transaction__of_somebody_else__is_refused(rpc: RpcConnection, client: Client) -> None:
    with pytest.raises(RpcFailure, match="eth_accounts") as failure:
        rpc.call("eth_sendTransaction", {"from": client.address, "to": NOBODY, "value": "0x5"})
    assert failure.value.code == -32000


# --- receipts, logs and blocks ---


def test_receipt__call__has_the_consensus_log_first_and_events_after_it(client: Client, till: str) -> None:
    sent = client.write(till, "pay", "Ann", value=5)
    receipt = client.rpc.call("eth_getTransactionReceipt", sent["hash"])
    first, event = receipt["logs"]
    assert first["topics"] == [NEW_TRANSACTION, sent["hash"], _pad(till), _pad(client.address)]
    assert (first["address"], first["data"], first["logIndex"]) == (MAIN, "0x", "0x0")
    assert event["address"] == till
    fields = calldata.decode(bytes.fromhex(event["data"][2:]))
    assert (fields["name"], fields["wei"]) == ("Ann", 5)
    assert event["topics"][0] == "0x" + keccak256(b"Paid(payer)").hex()


def test_receipt__call__has_the_form_clients_want(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)
    receipt = client.rpc.call("eth_getTransactionReceipt", sent["hash"])
    assert (receipt["from"], receipt["to"], receipt["status"]) == (client.address, MAIN, "0x1")
    assert receipt["blockHash"] == receipt["transactionHash"] == sent["hash"]
    assert (receipt["gasUsed"], receipt["contractAddress"], receipt["type"]) == ("0x7a120", None, "0x0")


def test_receipt__contract_failed__has_status_one_and_no_events(client: Client, till: str) -> None:
    sent = client.write(till, "refuse", "no")
    receipt = client.rpc.call("eth_getTransactionReceipt", sent["hash"])
    assert (receipt["status"], len(receipt["logs"])) == ("0x1", 1)


def test_receipt__faucet__has_four_topics(rpc: RpcConnection) -> None:
    sent = rpc.call("sim_fundAccount", NOBODY, 5)
    assert len(rpc.call("eth_getTransactionReceipt", sent)["logs"][0]["topics"]) == 4


def test_logs__of_a_contract__are_its_events(client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=5)
    client.write(till, "put", 1)
    logs = client.rpc.call("eth_getLogs", {"address": till, "fromBlock": "earliest"})
    assert [log["address"] for log in logs] == [till]


def test_logs__default_range__is_the_latest_block(client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=5)
    assert len(client.rpc.call("eth_getLogs", {"address": till})) == 1
    client.write(till, "put", 1)
    assert client.rpc.call("eth_getLogs", {"address": till}) == []


def test_logs__by_topic__are_those_with_it(client: Client, till: str) -> None:
    other = Client(client.rpc)
    sent = [one.write(till, "pay", "x", value=1)["hash"] for one in (client, other)]
    payer = "0x" + (b"\x18" + bytes.fromhex(other.address[2:])).ljust(32, b"\x00").hex()
    signature = "0x" + keccak256(b"Paid(payer)").hex()
    for topics in ([None, payer], [[signature, NEW_TRANSACTION], [payer]], [signature, payer]):
        logs = client.rpc.call("eth_getLogs", {"fromBlock": "0x0", "topics": topics})
        assert [log["transactionHash"] for log in logs] == [sent[1]]


def test_logs__by_block_hash__are_of_that_block(client: Client, till: str) -> None:
    sent = [client.write(till, "pay", "x", value=1)["hash"] for _ in range(2)]
    logs = client.rpc.call("eth_getLogs", {"blockHash": sent[0], "address": [till]})
    assert [log["transactionHash"] for log in logs] == [sent[0]]


def test_logs__range__is_inclusive(client: Client, till: str) -> None:
    sent = [client.write(till, "pay", "x", value=1) for _ in range(4)]
    first, last = hex(sent[1]["block_number"]), hex(sent[2]["block_number"])
    logs = client.rpc.call("eth_getLogs", {"address": till, "fromBlock": first, "toBlock": last})
    assert [log["transactionHash"] for log in logs] == [one["hash"] for one in sent[1:3]]


def test_block__latest__has_the_last_transaction(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)
    block = client.rpc.call("eth_getBlockByNumber", "latest", False)
    assert (block["transactions"], block["baseFeePerGas"], block["hash"]) == ([sent["hash"]], "0x0", sent["hash"])
    assert block["number"] == client.rpc.call("eth_blockNumber") == hex(sent["block_number"])
    assert client.rpc.call("eth_getBlockByHash", sent["hash"], False) == block


def test_block__full__has_the_transaction(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)
    (transaction,) = client.rpc.call("eth_getBlockByNumber", "latest", True)["transactions"]
    assert (transaction["hash"], transaction["from"]) == (sent["hash"], client.address)


def test_block__genesis__has_no_parent(rpc: RpcConnection) -> None:
    block = rpc.call("eth_getBlockByNumber", "earliest", True)
    assert (block["number"], block["transactions"], block["parentHash"]) == ("0x0", [], "0x" + "00" * 32)


def test_call__calldata_with_a_sender__is_a_read(client: Client, till: str) -> None:
    request = {"to": till, "from": client.address, "data": "0x" + call_object("echo", "hi").hex()}
    assert client.rpc.call("eth_call", request, "latest") == "0x" + calldata.encode("hi").hex()


def test_call__pending_count_of_consensus_data__is_a_number(start: Callable[..., RpcConnection]) -> None:
    rpc = start(auto_mine=False)
    client = Client(rpc)
    client.send(ZERO, tx_data(b"# x", call_object(None)))
    request = {"to": "0x88B0F18613Db92Bf970FfE264E02496e20a74D16", "data": "0xfe4cfca7" + _pad(NOBODY)[2:]}
    assert int(rpc.call("eth_call", request, "latest"), 16) == 1


# --- transactions about others ---


def test_appeal__accepted__gives_the_original_id_and_its_log(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)
    raw = client.raw(about("8b5de1bc", sent["hash"]))
    assert client.rpc.call("eth_sendRawTransaction", raw) == sent["hash"]
    assert client.rpc.call("eth_sendRawTransaction", raw) == sent["hash"]
    own_hash = "0x" + keccak256(bytes.fromhex(raw[2:])).hex()
    assert client.rpc.call("eth_getTransactionReceipt", own_hash)["logs"][0]["topics"][1] == sent["hash"]
    appealed = client.transaction(sent["hash"])
    assert (appealed["status"], appealed["appeal_failed"], appealed["timestamp_appeal"] > 0) == ("ACCEPTED", 1, True)


def test_appeal__final__is_refused(client: Client, till: str) -> None:
    sent = client.write(till, "put", 1)
    client.rpc.call("sim_increaseTime", 61)
    with pytest.raises(RpcFailure, match="cannot be appealed"):
        client.rpc.call("eth_sendRawTransaction", client.raw(about("8b5de1bc", sent["hash"])))


def test_appeal__unknown__is_not_found(client: Client) -> None:
    with pytest.raises(RpcFailure) as failure:
        client.rpc.call("eth_sendRawTransaction", client.raw(about("8b5de1bc", "0x" + "12" * 32)))
    assert failure.value.code == -32001


def test_finalize__accepted__makes_it_and_earlier_ones_final(client: Client, till: str) -> None:
    first, second, third = (client.write(till, "put", number) for number in range(3))
    client.rpc.call("eth_sendRawTransaction", client.raw(about("b2efda83", second["hash"])))
    statuses = [client.transaction(one["hash"])["status"] for one in (first, second, third)]
    assert statuses == ["FINALIZED", "FINALIZED", "ACCEPTED"]


def test_cancel__of_another_sender__is_refused(start: Callable[..., RpcConnection]) -> None:
    rpc = start(auto_mine=False)
    client, other = Client(rpc), Client(rpc)
    sent = client.send(ZERO, tx_data(b"# x", call_object(None)))
    with pytest.raises(RpcFailure, match="only its sender"):
        rpc.call("eth_sendRawTransaction", other.raw(about("70ba3339", sent)))
    rpc.call("eth_sendRawTransaction", client.raw(about("70ba3339", sent)))
    assert client.transaction(sent)["status"] == "CANCELED"


def test_send__signature_of_nobody__is_refused(rpc: RpcConnection) -> None:
    raw = signed(new_account(), to=NOBODY, value=1)
    with pytest.raises(RpcFailure) as failure:
        rpc.call("eth_sendRawTransaction", raw[:-2])
    assert failure.value.code == -32602
