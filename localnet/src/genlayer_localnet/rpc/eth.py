"""``eth_…``, ``net_…`` and ``web3_…``: Ethereum's methods, as far as wallets and GenLayer clients use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genlayer_localnet.rpc import envelopes, logs, submission
from genlayer_localnet.rpc.accounts import TestAccount
from genlayer_localnet.rpc.consensus_calls import DATA_ADDRESS
from genlayer_localnet.rpc.errors import RpcError, invalid_params, not_found, refused
from genlayer_localnet.rpc.logs import LogFilter
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import address, count, data, mapping, quantity, shown, transaction_id
from genlayer_localnet.rpc.protocol import method
from genlayer_localnet.rpc.reading import read
from genlayer_localnet.rpc.receipt_json import address_text
from genlayer_localnet.rpc.transaction_json import transaction_json

GAS = 500_000
_PENDING_COUNT_SELECTOR = bytes.fromhex("fe4cfca7")
_ONE = "0x" + (1).to_bytes(32, "big").hex()


class EthMethods:
    def __init__(self, node: Node) -> None:
        self._node = node

    # --- the chain ---

    @method("eth_chainId", needs_chain=False)
    def chain_id(self) -> str:
        return hex(self._node.identity.chain_id)

    @method("net_version", needs_chain=False)
    def net_version(self) -> str:
        return str(self._node.identity.chain_id)

    @method("net_listening", needs_chain=False)
    def listening(self) -> bool:
        return True

    @method("web3_clientVersion", needs_chain=False)
    def client_version(self) -> str:
        return "genlayer-localnet"

    @method("eth_syncing", needs_chain=False)
    def syncing(self) -> bool:
        return False

    @method("eth_gasPrice", "eth_maxPriorityFeePerGas", needs_chain=False)
    def gas_price(self) -> str:
        return "0x0"

    @method("eth_estimateGas", needs_chain=False)
    def estimate_gas(self, transaction: Any = None, block: Any = None) -> str:
        return hex(GAS)

    @method("eth_feeHistory", only_reads=True)
    def fee_history(self, block_count: Any, newest_block: Any = "latest", percentiles: Any = None) -> dict[str, Any]:
        blocks = min(count(block_count, "block count"), 1024)
        newest = self._block_number(newest_block)
        blocks = min(blocks, newest + 1)
        rewards = len(percentiles) if isinstance(percentiles, list) else 0
        return {
            "oldestBlock": hex(newest + 1 - blocks),
            "baseFeePerGas": ["0x0"] * (blocks + 1),
            "gasUsedRatio": [0.0] * blocks,
            "reward": [["0x0"] * rewards] * blocks,
        }

    @method("eth_blockNumber", only_looks=True)
    def block_number(self) -> str:
        return hex(len(self._node.world.blocks))

    @method("eth_getBlockByNumber", only_reads=True)
    def block_by_number(self, block_number: Any, full_transactions: Any = False) -> dict[str, Any] | None:
        number = self._block_number(block_number)
        world = self._node.world
        return logs.block(world, number, full=full_transactions is True) if number <= len(world.blocks) else None

    @method("eth_getBlockByHash", only_reads=True)
    def block_by_hash(self, block_hash: Any, full_transactions: Any = False) -> dict[str, Any] | None:
        world, wanted = self._node.world, transaction_id(block_hash)
        if wanted == logs.GENESIS_HASH:
            return logs.block(world, 0, full=False)
        found = world.transactions.get(wanted)
        if found is None or not found.block:
            return None
        return logs.block(world, found.block, full=full_transactions is True)

    # --- accounts ---

    @method("eth_getBalance", only_looks=True)
    def balance(self, account_address: Any, block_tag: Any = "latest") -> str:
        return hex(self._node.world.balance(address(account_address)))

    @method("eth_getTransactionCount", only_looks=True)
    def transaction_count(self, account_address: Any, block_tag: Any = "latest") -> str:
        return hex(self._node.world.nonces.get(address(account_address), 0))

    @method("eth_getCode", only_reads=True)
    def code(self, account_address: Any, block_tag: Any = "latest") -> str:
        """There is no EVM code here: ``gen_getContractCode`` gives the source of a contract."""
        address(account_address)
        return "0x"

    @method("eth_accounts", "eth_requestAccounts", needs_chain=False)
    def accounts(self) -> list[str]:
        return [address_text(account.address) for account in self._node.accounts]

    # --- transactions ---

    @method("eth_sendRawTransaction")
    def send_raw_transaction(self, signed_rollup_transaction: Any, sim_config: Any = None) -> str:
        envelope = envelopes.decode(data(signed_rollup_transaction, "raw transaction"))
        return submission.submit(self._node, envelope, sim_config)

    @method("eth_sendTransaction")
    def send_transaction(self, transaction: Any, sim_config: Any = None) -> str:
        """Sign for one of ``eth_accounts`` and send."""
        fields = mapping(transaction, "transaction")
        account = self._own_account(address(fields.get("from"), "from"))
        given = fields.get("nonce")
        nonce = self._node.world.nonces.get(account.address, 0) if given is None else quantity(given, "nonce")
        to = address(fields["to"], "to") if fields.get("to") else b""
        payload = data(fields.get("data") or fields.get("input") or "0x")
        value = quantity(fields.get("value") or 0)
        raw = envelopes.sign(account.key, (nonce, to, value, payload), GAS, self._node.identity.chain_id)
        return submission.submit(self._node, envelopes.decode(raw), sim_config)

    @method("eth_getTransactionByHash", only_looks=True)
    def transaction_by_hash(self, transaction_hash: Any) -> dict[str, Any]:
        return transaction_json(self._node, self._node.transaction(transaction_id(transaction_hash)))

    @method("eth_getTransactionReceipt", only_looks=True)
    def transaction_receipt(self, transaction_hash: Any) -> dict[str, Any] | None:
        try:
            return logs.receipt(self._node.transaction(transaction_id(transaction_hash)))
        except RpcError as error:
            if error.code == not_found("").code:
                return None
            raise

    @method("eth_getLogs", only_reads=True)
    def get_logs(self, filter_object: Any = None) -> list[dict[str, Any]]:
        wanted = mapping(filter_object or {}, "filter")
        first, last = self._block_range(wanted)
        return logs.find_logs(
            self._node.world, LogFilter(first, last, _addresses(wanted.get("address")), _topics(wanted.get("topics")))
        )

    @method("eth_call", only_reads=True)
    def call(self, transaction: Any, block_tag: Any = "latest") -> str:
        """A read with bare calldata as its data; without ``from`` the number 1, as in Studio."""
        fields = mapping(transaction, "transaction")
        payload = data(fields.get("data") or fields.get("input") or "0x")
        to = fields.get("to")
        if to and address(to, "to") == DATA_ADDRESS and payload[:4] == _PENDING_COUNT_SELECTOR:
            return "0x" + len(self._node.world.pending).to_bytes(32, "big").hex()
        if not fields.get("from"):
            return _ONE
        return "0x" + read(self._node, address(to, "to"), address(fields["from"], "from"), payload).hex()

    # --- private ---

    def _own_account(self, wanted: bytes) -> TestAccount:
        for account in self._node.accounts:
            if account.address == wanted:
                return account
        raise refused(f"{address_text(wanted)} is not one of this server's accounts: eth_accounts lists them")

    def _block_number(self, tag: Any) -> int:
        if tag in (None, "latest", "pending", "safe", "finalized"):
            return len(self._node.world.blocks)
        if tag == "earliest":
            return 0
        if isinstance(tag, str) and not tag.startswith("0x"):
            raise invalid_params(f"unknown block tag {shown(tag)}")
        return quantity(tag, "block number")

    def _block_range(self, wanted: Mapping[str, Any]) -> tuple[int, int]:
        if wanted.get("blockHash") is not None:
            found = self._node.world.transactions.get(transaction_id(wanted["blockHash"]))
            if found is None or not found.block:
                raise not_found("there is no block with this hash")
            return found.block, found.block
        return self._block_number(wanted.get("fromBlock")), self._block_number(wanted.get("toBlock"))


def _addresses(value: Any) -> frozenset[bytes] | None:
    if value is None or value == []:
        return None
    return frozenset(address(one) for one in (value if isinstance(value, list) else [value]))


def _topics(value: Any) -> Sequence[frozenset[bytes] | None]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 4:
        raise invalid_params("topics are a list of at most four")
    positions: list[frozenset[bytes] | None] = []
    for position in value:
        alternatives = position if isinstance(position, list) else [position]
        takes_all = position is None or position == []
        positions.append(None if takes_all else frozenset(_topic(topic) for topic in alternatives))
    return positions


def _topic(value: Any) -> bytes:
    topic = data(value, "topic")
    if len(topic) != 32:
        raise invalid_params(f"a topic has 32 bytes, not {len(topic)}")
    return topic
