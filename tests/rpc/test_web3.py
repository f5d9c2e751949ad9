"""web3.py, as an Ethereum client without knowledge of GenLayer."""

from __future__ import annotations

import pytest
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.logs import DISCARD

from genlayer_localnet import calldata
from genlayer_localnet.rpc.consensus_calls import MAIN_ABI
from genlayer_localnet.testing.server import RpcConnection

from .wire import GEN, MAIN, Client, add_transaction, call_object, new_account, tx_data

NOBODY = "0x7777777777777777777777777777777777777777"


@pytest.fixture
def w3(rpc: RpcConnection) -> Web3:
    return Web3(Web3.HTTPProvider(rpc.url))


def test_connection__any__is_up(w3: Web3) -> None:
    assert w3.is_connected()
    assert (w3.eth.chain_id, w3.eth.gas_price, w3.eth.block_number, w3.net.version) == (61999, 0, 0, "61999")


def test_accounts__unlocked__have_money(w3: Web3) -> None:
    assert w3.eth.get_balance(w3.eth.accounts[0]) == 10_000 * GEN


def test_send__unlocked_account__has_a_receipt(w3: Web3) -> None:
    sent = w3.eth.send_transaction({"from": w3.eth.accounts[0], "to": Web3.to_checksum_address(NOBODY), "value": 5})
    receipt = w3.eth.wait_for_transaction_receipt(sent)
    assert (receipt["status"], receipt["blockNumber"], receipt["gasUsed"] > 0) == (1, 1, True)
    assert w3.eth.get_balance(Web3.to_checksum_address(NOBODY)) == 5
    assert w3.eth.get_transaction_count(w3.eth.accounts[0]) == 1


def test_send__signed_here_with_dynamic_fees__has_a_receipt(w3: Web3, rpc: RpcConnection) -> None:
    account = new_account()
    rpc.call("sim_fundAccount", account.address, 10)
    fields = {"to": NOBODY, "value": 5, "nonce": 0, "gas": 21_000, "chainId": 61999}
    signed = account.sign_transaction({**fields, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0})
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))
    assert receipt["status"] == 1


def test_receipt__of_a_call__has_the_decoded_consensus_event(w3: Web3, client: Client, till: str) -> None:
    sent = client.write(till, "pay", "Ann", value=5)
    receipt = w3.eth.get_transaction_receipt(sent["hash"])
    consensus = w3.eth.contract(address=Web3.to_checksum_address(MAIN), abi=MAIN_ABI)
    (event,) = consensus.events.NewTransaction().process_receipt(receipt, errors=DISCARD)
    assert (w3.to_hex(event["args"]["txId"]), event["args"]["recipient"]) == (sent["hash"], till)


def test_logs__of_a_contract__are_found(w3: Web3, client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=5)
    (log,) = w3.eth.get_logs({"address": Web3.to_checksum_address(till), "fromBlock": 0})
    fields = calldata.decode(bytes(log["data"]))
    assert (fields["name"], fields["wei"]) == ("Ann", 5)


def test_block__latest__is_read(w3: Web3, client: Client, till: str) -> None:
    block = w3.eth.get_block("latest")
    assert (block["number"], block["baseFeePerGas"], len(block["transactions"])) == (w3.eth.block_number, 0, 1)


def test_receipt__unknown__is_not_found(w3: Web3) -> None:
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction_receipt("0x" + "12" * 32)  # type: ignore[arg-type]


def test_contract__encoded_by_web3__is_understood(w3: Web3, client: Client, till: str) -> None:
    data = tx_data(call_object("put", 5), b"")
    consensus = w3.eth.contract(address=Web3.to_checksum_address(MAIN), abi=MAIN_ABI)
    encoded = consensus.encode_abi("addTransaction", [client.address, till, 5, 3, data])
    assert encoded == add_transaction(client.address, till, data)
