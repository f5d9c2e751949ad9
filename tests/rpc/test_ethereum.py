"""What Ethereum's clients are told: transactions, blocks, receipts and logs that fit each other, nonces, filters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_typing import Hash32
from hexbytes import HexBytes

from genlayer_localnet import Address
from genlayer_localnet.address import keccak256
from genlayer_localnet.rpc import filters
from genlayer_localnet.rpc.errors import RpcError
from genlayer_localnet.rpc.filters import IDLE_SECONDS, MAX_FILTERS, Filters
from genlayer_localnet.rpc.isolated.process import ChainProcess
from genlayer_localnet.rpc.logs import LogFilter
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure, local_server

from .wire import GEN, MAIN, TILL, ZERO, Client, add_transaction, call_object, signed, tx_data

NOBODY = "0x" + "77" * 20
UNKNOWN = "0x" + "ab" * 32
ETHERS = {"User-Agent": "ethers/6.17.0"}
WALLET = "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpknnp"


class Ethereum(RpcConnection):
    """Counts its requests, as Ethereum's clients do; ``headers`` say which one it is."""

    def __init__(self, url: str, headers: Mapping[str, str] = ETHERS) -> None:
        super().__init__(url)
        self._ids = itertools.count(1)
        self._session.headers.update(headers)


@pytest.fixture
def eth(rpc: RpcConnection) -> Ethereum:
    return Ethereum(rpc.url)


@pytest.fixture
def viem(rpc: RpcConnection) -> Ethereum:
    return Ethereum(rpc.url, {"User-Agent": "node"})


def _sent(client: Client, **fields: Any) -> str:
    sent: str = client.rpc.call("eth_sendRawTransaction", client.raw("0x", **{"to": NOBODY, "value": 5, **fields}))
    return sent


# --- transactions ---

QUANTITIES = ("value", "nonce", "gas", "gasPrice", "chainId", "blockNumber", "transactionIndex", "type", "v")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": "0x1234", "gas": 21_000, "gasPrice": 3},
        {"type": 1, "gasPrice": 0, "accessList": [{"address": MAIN, "storageKeys": ["0x" + "01" * 32]}]},
        {"maxFeePerGas": 7, "maxPriorityFeePerGas": 2},
    ],
    ids=["legacy", "with data", "type 1", "type 2"],
)
@pytest.mark.parametrize("headers", [ETHERS, {"User-Agent": "node"}, {}], ids=["ethers", "viem", "a script"])
def test_transaction__transfer__is_what_was_signed(
    client: Client, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    raw = client.raw(**{"data": "0x", "to": NOBODY, "value": 5, **fields})
    sent = client.rpc.call("eth_sendRawTransaction", raw)
    seen = Ethereum(client.rpc.url, headers).call("eth_getTransactionByHash", sent)
    expected = {"hash": sent, "from": client.address, "to": NOBODY, "value": "0x5", "nonce": "0x0", "chainId": "0xf22f"}
    assert {name: seen[name] for name in expected} == expected
    assert seen["input"] == seen["data"] == fields.get("data", "0x")
    assert int(seen["gas"], 16) == fields.get("gas", 500_000)
    assert all(seen[name] == hex(int(seen[name], 16)) for name in QUANTITIES)
    if int(seen["type"], 16) == 2:
        assert (seen["maxFeePerGas"], seen["maxPriorityFeePerGas"]) == ("0x7", "0x2")


def test_transaction__legacy__can_be_put_together_and_recovered(client: Client, eth: Ethereum) -> None:
    seen = eth.call("eth_getTransactionByHash", _sent(client))
    names = ("nonce", "gasPrice", "gas", "to", "value", "input", "v", "r", "s")
    raw = rlp.encode([HexBytes(seen[name]).lstrip(b"\x00") for name in names])
    assert (Account.recover_transaction(raw), "0x" + keccak256(raw).hex()) == (client.address, seen["hash"])
    assert eth.call("eth_getRawTransactionByHash", seen["hash"]) == "0x" + raw.hex()


def test_transaction__type_two__can_be_put_together_and_recovered(client: Client, eth: Ethereum) -> None:
    seen = eth.call("eth_getTransactionByHash", _sent(client, maxFeePerGas=7, maxPriorityFeePerGas=2))
    names = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input")
    before, after = ([HexBytes(seen[name]).lstrip(b"\x00") for name in part] for part in (names, ("yParity", "r", "s")))
    raw = b"\x02" + rlp.encode([*before, seen["accessList"], *after])
    assert (Account.recover_transaction(raw), "0x" + keccak256(raw).hex()) == (client.address, seen["hash"])


def _seen_call(client: Client, headers: Mapping[str, str]) -> dict[str, Any]:
    """A call's transaction, and beside it the data that was sent."""
    data = add_transaction(client.address, client.deploy(), tx_data(call_object("pay", "Ann"), b""))
    sent = client.rpc.call("eth_sendRawTransaction", client.raw(data, value=5))
    seen: dict[str, Any] = Ethereum(client.rpc.url, headers).call("eth_getTransactionByHash", sent)
    return {**seen, "sent": data}


@pytest.mark.parametrize("agent", ["ethers/6.17.0", "web3.py/8.0.0/web3.providers.rpc.rpc.HTTPProvider"])
def test_transaction__call_for_a_library__is_one_to_the_consensus_contract(client: Client, agent: str) -> None:
    seen = _seen_call(client, {"User-Agent": agent})
    assert (seen["to"], seen["value"], seen["type"]) == (MAIN, "0x5", "0x0")
    assert seen["input"] == seen["data"] == seen["sent"]


def test_transaction__call_for_a_wallet__is_one_to_the_consensus_contract() -> None:
    with RpcServer(allow_origins=[WALLET], start_chain=ChainProcess) as server:
        seen = _seen_call(Client(RpcConnection(server.url)), {"Origin": WALLET})
    assert seen["input"] == seen["data"] == seen["sent"]


def test_transaction__call_for_a_script__has_genlayers_data_and_hexadecimal_numbers(
    client: Client, till: str, viem: Ethereum
) -> None:
    seen = viem.call("eth_getTransactionByHash", client.write(till, "pay", "Ann", value=2**60)["hash"])
    assert (seen["type"], set(seen["data"]), seen["value"], seen["to"]) == (2, {"calldata"}, hex(2**60), MAIN)


def test_transaction__for_genlayers_clients__has_studios_form_and_ethereums_fields(client: Client) -> None:
    seen = client.transaction(_sent(client))
    assert (seen["type"], seen["data"], seen["value"], seen["nonce"]) == (0, {}, 5, 0)
    assert (seen["from"], seen["to"], seen["input"], seen["gas"]) == (client.address, NOBODY, "0x", "0x7a120")


@pytest.mark.parametrize("method", ["eth_getTransactionByHash", "eth_getTransactionReceipt"])
def test_transaction__unknown__is_null_to_who_counts(viem: Ethereum, method: str) -> None:
    assert viem.call(method, UNKNOWN) is None


@pytest.mark.parametrize("identifier", ["6b2c8e", 1_780_000_000_000])
def test_transaction__unknown_to_a_genlayer_client__is_an_error(rpc: RpcConnection, identifier: Any) -> None:
    request = {"jsonrpc": "2.0", "id": identifier, "method": "eth_getTransactionByHash", "params": [UNKNOWN]}
    assert rpc.post(request).json()["error"]["code"] == -32001


def test_transaction__nobody_signed__has_a_sender(client: Client, till: str, eth: Ethereum) -> None:
    other = client.deploy()
    sent = client.write(till, "forward", Address(other), 3, "accepted", value=5)
    child = eth.call("eth_getTransactionByHash", sent["triggered_transactions"][0])
    assert (child["from"], child["to"], child["value"], child["type"]) == (till, other, "0x3", "0x0")
    assert child["input"] == child["data"]


def test_transaction__waits__has_no_block_and_no_receipt(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(auto_mine=False))
    eth, sent = Ethereum(client.rpc.url), _sent(client)
    waiting = eth.call("eth_getTransactionByHash", sent)
    assert [waiting[name] for name in ("blockHash", "blockNumber", "transactionIndex")] == [None] * 3
    assert eth.call("eth_getTransactionReceipt", sent) is None
    client.rpc.call("sim_mine")
    assert eth.call("eth_getTransactionReceipt", sent)["transactionHash"] == sent


def test_transaction__after_a_restart__is_the_same(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    with local_server(state=state) as server:
        client = Client(RpcConnection(server.url))
        data = tx_data(TILL.encode(), call_object(None), b"")
        ids = [client.send(ZERO, data), _sent(client), _sent(client, maxFeePerGas=7, maxPriorityFeePerGas=2)]
        before = [Ethereum(server.url).call("eth_getTransactionByHash", one) for one in ids]
    with local_server(state=state) as server:
        assert [Ethereum(server.url).call("eth_getTransactionByHash", one) for one in ids] == before


# --- chains and nonces ---


@pytest.mark.parametrize("fields", [{"chainId": 1}, {"chainId": 61998}, {"chainId": 1, "maxFeePerGas": 1}])
def test_send__signed_for_another_chain__is_refused(client: Client, fields: dict[str, Any]) -> None:
    if "maxFeePerGas" in fields:
        fields = {**fields, "maxPriorityFeePerGas": 1}
    with pytest.raises(RpcFailure, match="invalid chain id") as failure:
        _sent(client, **fields)
    assert (failure.value.code, client.balance(NOBODY)) == (-32602, 0)


@pytest.mark.parametrize("chain_id", [1337, 61127, 61999])
def test_send__signed_for_it_or_as_genlayers_clients_do__runs(
    start: Callable[..., RpcConnection], chain_id: int
) -> None:
    client = Client(start(chain_id=1337))
    _sent(client, chainId=chain_id)
    assert client.balance(NOBODY) == 5


def test_send__signed_for_no_chain__runs(client: Client) -> None:
    unsigned = [b"", b"", b"\x52\x08", bytes.fromhex(NOBODY[2:]), b"\x05", b""]
    signature = client.account.unsafe_sign_hash(Hash32(keccak256(rlp.encode(unsigned))))
    numbers = (signature.v, signature.r, signature.s)
    raw = rlp.encode([*unsigned, *(number.to_bytes(32, "big").lstrip(b"\x00") for number in numbers)])
    sent = client.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
    assert client.balance(NOBODY) == 5
    assert "chainId" not in Ethereum(client.rpc.url).call("eth_getTransactionByHash", sent)


@pytest.mark.parametrize(("nonce", "text"), [(0, "nonce too low"), (2, "nonce too high"), (2**64, "nonce too high")])
def test_send__another_nonce__is_refused_and_changes_nothing(client: Client, nonce: int, text: str) -> None:
    _sent(client)
    raw = signed(client.account, nonce=nonce, to=NOBODY, value=6, gasPrice=9)
    with pytest.raises(RpcFailure, match=text) as failure:
        client.rpc.call("eth_sendRawTransaction", raw)
    assert (failure.value.code, client.balance(NOBODY)) == (-32000, 5)
    assert client.rpc.call("eth_getTransactionCount", client.address) == "0x1"


def test_send__nonce_of_a_call_again__is_refused(client: Client, till: str) -> None:
    data = add_transaction(client.address, till, tx_data(call_object("pay", "Ann"), b""))
    raws = [signed(client.account, nonce=1, data=data, value=5, gasPrice=price) for price in (0, 1)]
    client.rpc.call("eth_sendRawTransaction", raws[0])
    with pytest.raises(RpcFailure, match="nonce too low"):
        client.rpc.call("eth_sendRawTransaction", raws[1])
    assert client.read(till, "paid", "Ann") == 5


def test_send_transaction__nonce_again__is_refused(rpc: RpcConnection) -> None:
    fields = {"from": rpc.call("eth_accounts")[0], "to": NOBODY, "value": "0x5", "nonce": "0x0"}
    rpc.call("eth_sendTransaction", fields)
    with pytest.raises(RpcFailure, match="nonce too low"):
        rpc.call("eth_sendTransaction", {**fields, "value": "0x6"})
    assert rpc.call("eth_getBalance", NOBODY, "latest") == "0x5"


# --- blocks, receipts and logs ---


@pytest.fixture
def busy(client: Client, till: str) -> str:
    """A chain with transfers, calls that work and fail, messages; the till."""
    _sent(client)
    client.write(till, "pay", "Ann", value=5)
    client.write(till, "refuse", "no")
    client.write(till, "forward", Address(client.deploy()), 3, "accepted", value=5)
    _sent(client, maxFeePerGas=7, maxPriorityFeePerGas=2, gas=21_000)
    return till


def test_blocks__all__fit_their_transactions_receipts_and_logs(busy: str, eth: Ethereum) -> None:
    parent = {"hash": "0x" + "00" * 32, "timestamp": "0x0"}
    for number in range(int(eth.call("eth_blockNumber"), 16) + 1):
        block = eth.call("eth_getBlockByNumber", hex(number), True)
        assert (block["number"], block["parentHash"]) == (hex(number), parent["hash"])
        assert int(block["timestamp"], 16) >= int(parent["timestamp"], 16)
        assert eth.call("eth_getBlockByHash", block["hash"], True) == block
        receipts = eth.call("eth_getBlockReceipts", hex(number))
        assert eth.call("eth_getBlockReceipts", block["hash"]) == receipts
        assert [one["transactionHash"] for one in receipts] == [one["hash"] for one in block["transactions"]]
        for name, reference in (("Number", hex(number)), ("Hash", block["hash"])):
            assert eth.call(f"eth_getBlockTransactionCountBy{name}", reference) == hex(len(receipts))
        for index, (transaction, receipt) in enumerate(zip(block["transactions"], receipts, strict=True)):
            for name, reference in (("Number", hex(number)), ("Hash", block["hash"])):
                assert eth.call(f"eth_getTransactionBy{'Block' + name}AndIndex", reference, hex(index)) == transaction
            assert eth.call("eth_getTransactionByHash", transaction["hash"]).items() >= transaction.items()
            assert eth.call("eth_getTransactionReceipt", transaction["hash"]) == receipt
            for name in ("from", "to", "type", "blockHash", "blockNumber", "transactionIndex"):
                assert receipt[name] == transaction[name]
            assert int(receipt["gasUsed"], 16) <= int(transaction["gas"], 16)
            for position, log in enumerate(receipt["logs"]):
                place = (log["blockHash"], log["blockNumber"], log["transactionHash"], log["logIndex"])
                assert place == (block["hash"], hex(number), transaction["hash"], hex(position))
        parent = block
    logs = [log for one in range(1, number + 1) for log in eth.call("eth_getBlockReceipts", hex(one))[0]["logs"]]
    assert eth.call("eth_getLogs", {"fromBlock": "earliest"}) == logs
    assert len(logs) > number


def test_bloom__of_receipt_and_block__takes_all_addresses_and_topics(busy: str, eth: Ethereum) -> None:
    (log,) = eth.call("eth_getLogs", {"address": busy, "fromBlock": "0x0"})[:1]
    receipt = eth.call("eth_getTransactionReceipt", log["transactionHash"])
    block = eth.call("eth_getBlockByHash", log["blockHash"], False)
    bloom = bytes.fromhex(receipt["logsBloom"][2:])
    assert (block["logsBloom"], len(bloom)) == (receipt["logsBloom"], 256)

    def may_have(item: str) -> bool:
        digest = keccak256(bytes.fromhex(item[2:]))
        bits = [(digest[at] << 8 | digest[at + 1]) & 2047 for at in (0, 2, 4)]
        return all(bloom[255 - bit // 8] >> (bit % 8) & 1 for bit in bits)

    assert all(may_have(item) for one in receipt["logs"] for item in (one["address"], *one["topics"]))
    assert not may_have(NOBODY)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBlockReceipts", ["0x99"]),
        ("eth_getBlockReceipts", [UNKNOWN]),
        ("eth_getBlockTransactionCountByNumber", ["0x99"]),
        ("eth_getBlockTransactionCountByHash", [UNKNOWN]),
        ("eth_getTransactionByBlockNumberAndIndex", ["0x99", "0x0"]),
        ("eth_getTransactionByBlockNumberAndIndex", ["latest", "0x1"]),
        ("eth_getTransactionByBlockHashAndIndex", [UNKNOWN, "0x0"]),
        ("eth_getBlockByHash", [UNKNOWN, True]),
        ("eth_getRawTransactionByHash", [UNKNOWN]),
    ],
)
def test_block__unknown__is_null(busy: str, eth: Ethereum, method: str, params: list[str]) -> None:
    assert eth.call(method, *params) is None


def test_block__finalized__is_the_one_behind_which_nothing_can_change(client: Client, eth: Ethereum) -> None:
    _sent(client)
    final = eth.call("eth_blockNumber")
    till = client.deploy()
    client.write(till, "put", 1)
    assert eth.call("eth_getBlockByNumber", "finalized", False)["number"] == final
    client.rpc.call("sim_increaseTime", 61)
    assert eth.call("eth_getBlockByNumber", "finalized", False)["number"] == eth.call("eth_blockNumber")


# --- filters ---


def test_filter__of_logs__tells_each_once(client: Client, till: str, eth: Ethereum) -> None:
    client.write(till, "pay", "Ann", value=1)
    key = eth.call("eth_newFilter", {"address": till, "fromBlock": "earliest", "toBlock": "latest"})
    assert eth.call("eth_getFilterChanges", key) == []
    sent = [client.write(till, "pay", "Ann", value=1)["hash"] for _ in range(2)]
    client.write(till, "put", 1)
    assert [log["transactionHash"] for log in eth.call("eth_getFilterChanges", key)] == sent
    assert eth.call("eth_getFilterChanges", key) == []
    assert len(eth.call("eth_getFilterLogs", key)) == 3


def test_filter__with_an_end__tells_nothing_behind_it(client: Client, till: str, eth: Ethereum) -> None:
    end = hex(int(eth.call("eth_blockNumber"), 16) + 1)
    key = eth.call("eth_newFilter", {"address": till, "toBlock": end})
    sent = [client.write(till, "pay", "Ann", value=1)["hash"] for _ in range(2)]
    assert [log["transactionHash"] for log in eth.call("eth_getFilterChanges", key)] == sent[:1]


def test_filter__of_blocks__tells_their_hashes(client: Client, eth: Ethereum) -> None:
    key = eth.call("eth_newBlockFilter")
    sent = [_sent(client), _sent(client)]
    assert [eth.call("eth_getFilterChanges", key), eth.call("eth_getFilterChanges", key)] == [sent, []]
    with pytest.raises(RpcFailure, match="filter not found"):
        eth.call("eth_getFilterLogs", key)


def test_filter__of_pending_transactions__tells_those_that_wait(start: Callable[..., RpcConnection]) -> None:
    client = Client(start(auto_mine=False))
    key = client.rpc.call("eth_newPendingTransactionFilter")
    assert client.rpc.call("eth_getFilterChanges", key) == [] != [sent := _sent(client)]
    assert client.rpc.call("eth_getFilterChanges", key) == [sent]


def test_filter__snapshot_restored__goes_on_from_there(client: Client, eth: Ethereum) -> None:
    snapshot = client.rpc.call("sim_createSnapshot")
    key = eth.call("eth_newBlockFilter")
    for _ in range(3):
        _sent(client)
    eth.call("eth_getFilterChanges", key)
    client.rpc.call("sim_restoreSnapshot", snapshot)
    assert eth.call("eth_getFilterChanges", key) == []
    assert [_sent(client)] == eth.call("eth_getFilterChanges", key)


def test_filter__uninstalled__is_not_found(eth: Ethereum) -> None:
    key = eth.call("eth_newBlockFilter")
    assert [eth.call("eth_uninstallFilter", key), eth.call("eth_uninstallFilter", key)] == [True, False]
    with pytest.raises(RpcFailure, match="filter not found") as failure:
        eth.call("eth_getFilterChanges", key)
    assert failure.value.code == -32000


@pytest.fixture
def node() -> Node:
    return Node(NodeOptions(accounts=0))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_filter__nobody_asks_for_long__is_forgotten(node: Node) -> None:
    clock = Clock()
    kept = Filters(clock)
    first, second = kept.add(node.world), kept.add(node.world)
    clock.now = IDLE_SECONDS
    kept.changes(node.world, first)
    clock.now += 1
    kept.add(node.world)
    assert (kept.remove(second), kept.remove(first)) == (False, True)


def test_filter__too_old_and_asked__is_forgotten(node: Node) -> None:
    clock = Clock()
    kept = Filters(clock)
    key = kept.add(node.world, filters.blocks, LogFilter(0, 9, None, ()))
    clock.now = IDLE_SECONDS + 1
    with pytest.raises(RpcError, match="filter not found"):
        kept.logs(node.world, key)


def test_filter__too_many__is_refused_until_one_is_removed(node: Node) -> None:
    kept = Filters(Clock())
    keys = [kept.add(node.world) for _ in range(MAX_FILTERS)]
    with pytest.raises(RpcError, match="uninstall"):
        kept.add(node.world)
    kept.remove(keys[7])
    assert kept.add(node.world) not in keys


# --- speeding up and cancelling what waits ---


@pytest.fixture
def waiting(start: Callable[..., RpcConnection]) -> Client:
    """On a chain where transactions wait, with 1,000 GEN."""
    return Client(start(auto_mine=False))


def _offer(client: Client, price: int, **fields: Any) -> str:
    offered = {} if "maxFeePerGas" in fields else {"gasPrice": price}
    raw = signed(client.account, **{"to": NOBODY, "value": 5, **offered, **fields})
    sent: str = client.rpc.call("eth_sendRawTransaction", raw)
    return sent


def test_speed_up__of_what_waits__pays_once(waiting: Client) -> None:
    first = _offer(waiting, 1)
    later = _offer(waiting, 1, nonce=1, value=7)
    second = _offer(waiting, 2)
    waiting.rpc.call("sim_mine")
    assert (waiting.balance(NOBODY), waiting.balance()) == (12, 1_000 * GEN - 12)
    eth = Ethereum(waiting.rpc.url)
    assert [eth.call("eth_getTransactionByHash", first), eth.call("eth_getTransactionReceipt", first)] == [None, None]
    numbers = [eth.call("eth_getTransactionByHash", one)["blockNumber"] for one in (second, later)]
    assert numbers == sorted(numbers)
    assert waiting.transaction(first)["status"] == "CANCELED"


def test_speed_up__to_nothing_to_oneself__cancels(waiting: Client) -> None:
    _offer(waiting, 0, maxFeePerGas=5, maxPriorityFeePerGas=1)
    _offer(waiting, 0, maxFeePerGas=6, maxPriorityFeePerGas=2, to=waiting.address, value=0)
    waiting.rpc.call("sim_mine")
    assert (waiting.balance(NOBODY), waiting.balance()) == (0, 1_000 * GEN)
    assert waiting.rpc.call("eth_getTransactionCount", waiting.address) == "0x1"


@pytest.mark.parametrize("price", [0, 3])
def test_speed_up__offers_no_more__is_refused(waiting: Client, price: int) -> None:
    _offer(waiting, 3)
    with pytest.raises(RpcFailure, match="replacement transaction underpriced"):
        _offer(waiting, price, value=6)
    waiting.rpc.call("sim_mine")
    assert waiting.balance(NOBODY) == 5


def test_speed_up__sends_more_than_there_is__is_refused_and_the_first_stays(waiting: Client) -> None:
    _offer(waiting, 1, value=600 * GEN)
    with pytest.raises(RpcFailure, match="insufficient funds"):
        _offer(waiting, 2, value=1_001 * GEN)
    waiting.rpc.call("sim_mine")
    assert (waiting.balance(NOBODY), waiting.balance()) == (600 * GEN, 400 * GEN)


def test_speed_up__sends_all_there_is__has_what_the_first_took(waiting: Client) -> None:
    _offer(waiting, 1, value=600 * GEN)
    _offer(waiting, 2, value=1_000 * GEN)
    waiting.rpc.call("sim_mine")
    assert (waiting.balance(NOBODY), waiting.balance()) == (1_000 * GEN, 0)


# --- unlocked accounts ---


def test_send_transaction__for_another_chain__is_refused(rpc: RpcConnection) -> None:
    fields = {"from": rpc.call("eth_accounts")[0], "to": NOBODY, "value": "0x5", "chainId": "0x1"}
    with pytest.raises(RpcFailure, match="invalid chain id"):
        rpc.call("eth_sendTransaction", fields)
    assert rpc.call("eth_getBalance", NOBODY, "latest") == "0x0"


def test_sign__message__recovers_to_the_account(rpc: RpcConnection) -> None:
    account, message = rpc.call("eth_accounts")[3], "0x" + b"to be signed".hex()
    signature = rpc.call("personal_sign", message, account)
    assert Account.recover_message(encode_defunct(hexstr=message), signature=signature) == account
    assert rpc.call("eth_sign", account, message) == signature


def test_sign__for_somebody_else__is_refused(rpc: RpcConnection) -> None:
    with pytest.raises(RpcFailure, match="eth_accounts"):
        rpc.call("personal_sign", "0x12", NOBODY)


def test_sign_transaction__then_sent__is_the_accounts(rpc: RpcConnection, eth: Ethereum) -> None:
    account = rpc.call("eth_accounts")[0]
    signed_one = rpc.call("eth_signTransaction", {"from": account, "to": NOBODY, "value": "0x5"})
    assert rpc.call("eth_getBalance", NOBODY, "latest") == "0x0"
    sent = rpc.call("eth_sendRawTransaction", signed_one["raw"])
    assert eth.call("eth_getTransactionByHash", sent).items() >= signed_one["tx"].items()
    assert eth.call("eth_getTransactionByHash", sent)["from"] == account


def test_send__and_wait__gives_the_receipt(client: Client, eth: Ethereum) -> None:
    receipt = client.rpc.call("eth_sendRawTransactionSync", client.raw("0x", to=NOBODY, value=5))
    assert receipt == eth.call("eth_getTransactionReceipt", receipt["transactionHash"])


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("eth_getStorageAt", [NOBODY, "0x0", "latest"], "0x" + "00" * 32),
        ("eth_call", [{"from": MAIN, "to": NOBODY, "data": "0x12"}, "latest"], "0x"),
        ("eth_blobBaseFee", [], "0x0"),
        ("net_peerCount", [], "0x0"),
        ("eth_getUncleCountByBlockNumber", ["latest"], "0x0"),
    ],
)
def test_method__of_ethereum__answers(eth: Ethereum, method: str, params: list[Any], result: Any) -> None:
    assert eth.call(method, *params) == result
