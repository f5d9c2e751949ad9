"""web3.py, as an Ethereum client without knowledge of GenLayer."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.logs import DISCARD
from web3.types import Wei

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


@pytest.mark.parametrize("question", ["get_transaction_receipt", "get_transaction"])
def test_transaction__unknown__is_not_found(w3: Web3, question: str) -> None:
    ask = getattr(w3.eth, question)
    with pytest.raises(TransactionNotFound):
        ask("0x" + "12" * 32)


class Payer:
    """An account with 100 wei, which pays 5 at a time."""

    def __init__(self, w3: Web3) -> None:
        self.w3, self.account = w3, new_account()
        first = w3.eth.accounts[0]
        w3.eth.send_transaction({"from": first, "to": self.account.address, "value": Wei(100)})

    def pay(self, **fields: Any) -> HexBytes:
        nonce = self.w3.eth.get_transaction_count(self.account.address)
        given = {"to": NOBODY, "value": 5, "nonce": nonce, "gas": 21_000, "gasPrice": 0, "chainId": 61999, **fields}
        return self.w3.eth.send_raw_transaction(self.account.sign_transaction(given).raw_transaction)

    @property
    def paid(self) -> int:
        return self.w3.eth.get_balance(Web3.to_checksum_address(NOBODY))


@pytest.fixture
def payer(w3: Web3) -> Payer:
    return Payer(w3)


def test_payment__found_again__is_what_was_signed(w3: Web3, payer: Payer) -> None:
    sent = payer.pay()
    receipt, found = w3.eth.wait_for_transaction_receipt(sent), w3.eth.get_transaction(sent)
    assert (found["from"], found["to"], found["value"]) == (payer.account.address, NOBODY, 5)
    assert (found["nonce"], found["gas"], found["chainId"], found["input"]) == (0, 21_000, 61999, b"")
    for name in ("blockHash", "blockNumber", "transactionIndex", "from", "to", "type"):
        assert found[name] == receipt[name]
    assert w3.eth.get_raw_transaction(sent)
    assert w3.eth.get_transaction_by_block(receipt["blockHash"], 0)["hash"] == sent


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"nonce": 0, "gasPrice": 9}, "nonce too low"),
        ({"nonce": 0, "gasPrice": 9, "value": 0}, "nonce too low"),
        ({"nonce": 2}, "nonce too high"),
        ({"value": 101}, "insufficient funds"),
        ({"chainId": 1}, "invalid chain id"),
    ],
    ids=["sped up", "cancelled", "far", "too much", "other chain"],
)
def test_payment__repeated_far_too_large_or_foreign__is_refused(
    payer: Payer, fields: dict[str, Any], text: str
) -> None:
    payer.pay()
    with pytest.raises(Web3RPCError, match=text):
        payer.pay(**fields)
    assert payer.paid == 5


def test_call__of_the_consensus_contract__is_found_again(w3: Web3, client: Client, till: str) -> None:
    found = w3.eth.get_transaction(client.write(till, "pay", "Ann", value=5)["hash"])
    assert (found["to"], found["value"], found["input"][:4].hex()) == (MAIN, 5, "27241a99")


def test_filter__of_a_contracts_logs__has_the_new_ones_and_all(w3: Web3, client: Client, till: str) -> None:
    client.write(till, "pay", "Ann", value=5)
    entries = w3.eth.filter({"address": Web3.to_checksum_address(till), "fromBlock": 0})
    assert entries.get_new_entries() == []
    sent = client.write(till, "pay", "Ann", value=5)["hash"]
    assert [w3.to_hex(log["transactionHash"]) for log in entries.get_new_entries()] == [sent]
    assert len(entries.get_all_entries()) == 2
    assert w3.eth.uninstall_filter(entries.filter_id)


@pytest.mark.parametrize("what", ["latest", "pending"])
def test_filter__of_blocks_or_transactions__has_the_new_ones(w3: Web3, payer: Payer, what: Any) -> None:
    entries = w3.eth.filter(what)
    sent = payer.pay()
    assert entries.get_new_entries() == [sent]


def test_blocks__from_the_last_one__lead_to_the_first(w3: Web3, client: Client, till: str) -> None:
    client.write(till, "put", 1)
    block = w3.eth.get_block("latest", full_transactions=True)
    while block["number"] > 0:
        (inside,) = block["transactions"]
        assert w3.eth.get_block_receipts(block["number"])[0]["transactionHash"] == inside["hash"]
        parent = w3.eth.get_block(block["parentHash"], full_transactions=True)
        assert parent["number"] == block["number"] - 1
        block = parent


def test_message__signed_by_an_unlocked_account__is_its_own(w3: Web3) -> None:
    signature = w3.eth.sign(w3.eth.accounts[0], text="to be signed")
    assert Account.recover_message(encode_defunct(text="to be signed"), signature=signature) == w3.eth.accounts[0]


def test_contract__encoded_by_web3__is_understood(w3: Web3, client: Client, till: str) -> None:
    data = tx_data(call_object("put", 5), b"")
    consensus = w3.eth.contract(address=Web3.to_checksum_address(MAIN), abi=MAIN_ABI)
    encoded = consensus.encode_abi("addTransaction", [client.address, till, 5, 3, data])
    assert encoded == add_transaction(client.address, till, data)
