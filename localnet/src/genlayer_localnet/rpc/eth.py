"""``eth_…``, ``net_…`` and ``web3_…``: Ethereum's methods, as far as wallets and GenLayer clients use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genlayer_localnet.rpc import blocks, envelopes, filters, logs, submission
from genlayer_localnet.rpc.accounts import TestAccount
from genlayer_localnet.rpc.blocks import GAS
from genlayer_localnet.rpc.consensus_calls import DATA_ADDRESS
from genlayer_localnet.rpc.errors import invalid_params, not_found, refused
from genlayer_localnet.rpc.filters import Filters
from genlayer_localnet.rpc.logs import LogFilter
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import address, count, data, first_of, mapping, quantity, shown, transaction_id
from genlayer_localnet.rpc.protocol import Asker, method
from genlayer_localnet.rpc.reading import read
from genlayer_localnet.rpc.receipt_json import address_text, hex_text
from genlayer_localnet.rpc.transaction_json import transaction_json
from genlayer_localnet.state.transactions import Transaction

_PENDING_COUNT_SELECTOR = bytes.fromhex("fe4cfca7")
_NO_END = hex(2**63)
_ONE = "0x" + (1).to_bytes(32, "big").hex()
_NOTHING = "0x" + "00" * 32


class EthMethods:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._filters = Filters()

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

    @method("net_peerCount", needs_chain=False)
    def peer_count(self) -> str:
        return "0x0"

    @method("eth_syncing", needs_chain=False)
    def syncing(self) -> bool:
        return False

    @method("eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_blobBaseFee", needs_chain=False)
    def gas_price(self) -> str:
        return "0x0"

    @method("eth_estimateGas", needs_chain=False)
    def estimate_gas(self, transaction: Any = None, block: Any = None) -> str:
        """A constant, for everything that would be taken."""
        if transaction is not None:
            self._check(mapping(transaction, "transaction"))
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
        return self._block(self._block_number(block_number), full=full_transactions is True)

    @method("eth_getBlockByHash", only_reads=True)
    def block_by_hash(self, block_hash: Any, full_transactions: Any = False) -> dict[str, Any] | None:
        return self._block(self._number_of(block_hash), full=full_transactions is True)

    @method("eth_getBlockReceipts", only_reads=True)
    def block_receipts(self, block: Any) -> list[dict[str, Any]] | None:
        """``block``: number, tag or hash."""
        is_hash = isinstance(block, str) and len(block) == len(blocks.GENESIS_HASH)
        return self._receipts(self._number_of(block) if is_hash else self._block_number(block))

    @method("eth_getBlockTransactionCountByNumber", only_reads=True)
    def count_by_number(self, block_number: Any) -> str | None:
        return self._count(self._block_number(block_number))

    @method("eth_getBlockTransactionCountByHash", only_reads=True)
    def count_by_hash(self, block_hash: Any) -> str | None:
        return self._count(self._number_of(block_hash))

    @method("eth_getTransactionByBlockNumberAndIndex", only_reads=True)
    def transaction_by_number_and_index(self, block_number: Any, index: Any) -> dict[str, Any] | None:
        return self._transaction_in(self._block_number(block_number), quantity(index, "index"))

    @method("eth_getTransactionByBlockHashAndIndex", only_reads=True)
    def transaction_by_block_hash_and_index(self, block_hash: Any, index: Any) -> dict[str, Any] | None:
        return self._transaction_in(self._number_of(block_hash), quantity(index, "index"))

    @method("eth_getRawTransactionByBlockNumberAndIndex", only_reads=True)
    def raw_by_number_and_index(self, block_number: Any, index: Any) -> str | None:
        return self._raw_in(self._block_number(block_number), quantity(index, "index"))

    @method("eth_getRawTransactionByBlockHashAndIndex", only_reads=True)
    def raw_by_block_hash_and_index(self, block_hash: Any, index: Any) -> str | None:
        return self._raw_in(self._number_of(block_hash), quantity(index, "index"))

    @method("eth_getUncleCountByBlockNumber", "eth_getUncleCountByBlockHash", needs_chain=False)
    def uncle_count(self, block: Any) -> str:
        return "0x0"

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

    @method("eth_getStorageAt", needs_chain=False)
    def storage_at(self, account_address: Any, slot: Any, block_tag: Any = "latest") -> str:
        """There is no EVM, so nothing is in its storage."""
        address(account_address)
        return _NOTHING

    @method("eth_accounts", "eth_requestAccounts", needs_chain=False)
    def accounts(self) -> list[str]:
        return [address_text(account.address) for account in self._node.accounts]

    # --- transactions ---

    @method("eth_sendRawTransaction")
    def send_raw_transaction(self, signed_rollup_transaction: Any, sim_config: Any = None) -> str:
        envelope = envelopes.decode(data(signed_rollup_transaction, "raw transaction"))
        return submission.submit(self._node, envelope, sim_config)

    @method("eth_sendRawTransactionSync")
    def send_raw_transaction_and_wait(self, raw_transaction: Any, timeout_ms: Any = None) -> dict[str, Any] | None:
        """The receipt (EIP-7966); null where transactions wait for ``sim_mine``."""
        return self.transaction_receipt(self.send_raw_transaction(raw_transaction), asker="ethereum")

    @method("eth_sendTransaction")
    def send_transaction(self, transaction: Any, sim_config: Any = None) -> str:
        """Sign for one of ``eth_accounts`` and send."""
        return submission.submit(self._node, envelopes.decode(self._signed(transaction)), sim_config)

    @method("eth_signTransaction", only_reads=True)
    def sign_transaction(self, transaction: Any) -> dict[str, Any]:
        raw = self._signed(transaction)
        envelope = envelopes.decode(raw)
        return {"raw": hex_text(raw), "tx": blocks.signed_fields(envelope)}

    @method("personal_sign", needs_chain=False)
    def personal_sign(self, message: Any, account_address: Any, password: Any = None) -> str:
        """Sign a message (EIP-191) for one of ``eth_accounts``."""
        account = self._own_account(address(account_address))
        return hex_text(envelopes.sign_message(account.key, data(message, "message")))

    @method("eth_sign", needs_chain=False)
    def sign(self, account_address: Any, message: Any) -> str:
        return self.personal_sign(message, account_address)

    @method("eth_getTransactionByHash", only_looks=True)
    def transaction_by_hash(self, transaction_hash: Any, *, asker: Asker) -> dict[str, Any] | None:
        """The fields of Ethereum and of GenLayer; where both have one, the asker's own counts.

        Nobody knows a client that says nothing of itself (viem, scripts): Ethereum's fields, but for ``data`` and
        ``type`` of what is GenLayer's own, without which its scripts do not find the contract that they deployed.
        """
        found = self._find(transaction_hash, asker)
        if found is None:
            return None
        genlayer = transaction_json(self._node, found)
        ethereum = blocks.transaction_object(found, self._chain_id)
        if asker == "genlayer":
            return {**ethereum, **genlayer}
        own = {}
        if asker == "unknown" and found.kind not in ("transfer", "faucet"):
            own = {name: genlayer[name] for name in ("data", "type")}
        return {**genlayer, **ethereum, "data": ethereum["input"], **own}

    @method("eth_getRawTransactionByHash", only_looks=True)
    def raw_transaction_by_hash(self, transaction_hash: Any) -> str | None:
        found = self._find(transaction_hash, "ethereum")
        return _raw_text(found)

    @method("eth_getTransactionReceipt", only_looks=True)
    def transaction_receipt(self, transaction_hash: Any, *, asker: Asker) -> dict[str, Any] | None:
        """GenLayer's clients want it at once; for Ethereum's it says that the transaction is in a block."""
        found = self._find(transaction_hash, "ethereum")
        if found is None or (asker != "genlayer" and not found.block):
            return None
        return blocks.receipt(found)

    # --- logs and filters ---

    @method("eth_getLogs", only_reads=True)
    def get_logs(self, filter_object: Any = None) -> list[dict[str, Any]]:
        return logs.find_logs(self._node.world, self._log_filter(filter_object))

    @method("eth_newFilter", only_reads=True)
    def new_filter(self, filter_object: Any = None) -> str:
        given = mapping(filter_object or {}, "filter")
        goes_on = given.get("toBlock") in (None, "latest", "pending")
        wanted = self._log_filter({**given, "toBlock": _NO_END} if goes_on else given)
        return self._filters.add(self._node.world, wanted=wanted)

    @method("eth_newBlockFilter", only_reads=True)
    def new_block_filter(self) -> str:
        return self._filters.add(self._node.world)

    @method("eth_newPendingTransactionFilter", only_reads=True)
    def new_pending_transaction_filter(self) -> str:
        return self._filters.add(self._node.world, filters.transactions)

    @method("eth_getFilterChanges", only_reads=True)
    def filter_changes(self, filter_id: Any) -> list[Any]:
        return self._filters.changes(self._node.world, filter_id)

    @method("eth_getFilterLogs", only_reads=True)
    def filter_logs(self, filter_id: Any) -> list[dict[str, Any]]:
        return self._filters.logs(self._node.world, filter_id)

    @method("eth_uninstallFilter", only_reads=True)
    def uninstall_filter(self, filter_id: Any) -> bool:
        return self._filters.remove(filter_id)

    @method("eth_call", only_reads=True)
    def call(self, transaction: Any, block_tag: Any = "latest", *, asker: Asker) -> str:
        """A read with bare calldata as its data; without ``from`` the number 1, as in Studio."""
        fields = mapping(transaction, "transaction")
        payload = _payload(fields)
        to = fields.get("to")
        if not to or address(to, "to") != DATA_ADDRESS:
            self._check(fields)
        elif payload[:4] == _PENDING_COUNT_SELECTOR:
            return "0x" + len(self._node.world.pending).to_bytes(32, "big").hex()
        if not fields.get("from"):
            return _ONE
        if asker != "genlayer" and address(to, "to") not in self._node.world.contracts:
            return "0x"  # nothing, as from any account without code
        return "0x" + read(self._node, address(to, "to"), address(fields["from"], "from"), payload).hex()

    # --- private ---

    def _own_account(self, wanted: bytes) -> TestAccount:
        for account in self._node.accounts:
            if account.address == wanted:
                return account
        raise refused(f"{address_text(wanted)} is not one of this server's accounts: eth_accounts lists them")

    def _check(self, fields: Mapping[str, Any]) -> None:
        """Raises: RpcError, for what would be refused."""
        to, sender = fields.get("to"), fields.get("from")
        receiver = address(to, "to") if to else None
        payer = address(sender, "from") if sender else bytes(20)
        submission.check(self._node, payer, receiver, _payload(fields), quantity(first_of(fields, "value", default=0)))

    def _signed(self, transaction: Any) -> bytes:
        """Signed for one of ``eth_accounts``. Raises: RpcError."""
        fields = mapping(transaction, "transaction")
        account = self._own_account(address(fields.get("from"), "from"))
        given, chain_id = fields.get("nonce"), fields.get("chainId")
        nonce = self._node.world.nonces.get(account.address, 0) if given is None else quantity(given, "nonce")
        to = address(fields["to"], "to") if fields.get("to") else b""
        payload = _payload(fields)
        value = quantity(first_of(fields, "value", default=0))
        fee = quantity(first_of(fields, "gasPrice", "maxFeePerGas", default=0), "gas price")
        chain_id = self._chain_id if chain_id is None else quantity(chain_id, "chainId")
        return envelopes.sign(account.key, (nonce, fee, GAS, to, value, payload), chain_id)

    @property
    def _chain_id(self) -> int:
        return self._node.identity.chain_id

    def _find(self, transaction_hash: Any, asker: Asker) -> Transaction | None:
        """None where there is none; GenLayer's clients would stumble over that, and get an error. Raises: RpcError."""
        wanted, world = transaction_id(transaction_hash), self._node.world
        found = world.transactions.get(world.aliases.get(wanted, wanted))
        if asker == "ethereum" and found is not None and found.status == "cancelled" and not found.block:
            return None  # it was replaced, or taken back before it ran
        return self._node.transaction(wanted) if found is None and asker == "genlayer" else found

    def _block(self, number: int | None, *, full: bool) -> dict[str, Any] | None:
        world = self._node.world
        if number is None or number > len(world.blocks):
            return None
        return blocks.block(world, number, self._chain_id, full=full)

    def _transactions(self, number: int | None) -> list[Transaction] | None:
        """Of a block; None where there is no such block."""
        world = self._node.world
        if number is None or number > len(world.blocks):
            return None
        found = blocks.transaction_in(world, number)
        return [] if found is None else [found]

    def _receipts(self, number: int | None) -> list[dict[str, Any]] | None:
        found = self._transactions(number)
        return None if found is None else [blocks.receipt(transaction) for transaction in found]

    def _count(self, number: int | None) -> str | None:
        found = self._transactions(number)
        return None if found is None else hex(len(found))

    def _at(self, number: int | None, index: int) -> Transaction | None:
        found = (self._transactions(number) or [])[index : index + 1]
        return found[0] if found else None

    def _transaction_in(self, number: int | None, index: int) -> dict[str, Any] | None:
        found = self._at(number, index)
        return None if found is None else blocks.transaction_object(found, self._chain_id)

    def _raw_in(self, number: int | None, index: int) -> str | None:
        return _raw_text(self._at(number, index))

    def _number_of(self, block_hash: Any) -> int | None:
        """None where no block has this hash."""
        wanted = transaction_id(block_hash)
        if wanted == blocks.GENESIS_HASH:
            return 0
        found = self._node.world.transactions.get(wanted)
        return found.block if found is not None and found.block else None

    def _block_number(self, tag: Any) -> int:
        world = self._node.world
        if tag in (None, "latest", "pending", "safe"):
            return len(world.blocks)
        if tag == "finalized":  # behind the last one before which nothing can change
            return world.unfinalized[0].block - 1 if world.unfinalized else len(world.blocks)
        if tag == "earliest":
            return 0
        if isinstance(tag, str) and not tag.startswith("0x"):
            raise invalid_params(f"unknown block tag {shown(tag)}")
        return quantity(tag, "block number")

    def _log_filter(self, filter_object: Any) -> LogFilter:
        wanted = mapping(filter_object or {}, "filter")
        first, last = self._block_range(wanted)
        return LogFilter(first, last, _addresses(wanted.get("address")), _topics(wanted.get("topics")))

    def _block_range(self, wanted: Mapping[str, Any]) -> tuple[int, int]:
        if wanted.get("blockHash") is not None:
            number = self._number_of(wanted["blockHash"])
            if number is None:
                raise not_found("there is no block with this hash")
            return number, number
        return self._block_number(wanted.get("fromBlock")), self._block_number(wanted.get("toBlock"))


def _payload(fields: Mapping[str, Any]) -> bytes:
    """The data of a transaction that is not signed yet."""
    return data(first_of(fields, "data", "input", default="0x"))


def _raw_text(transaction: Transaction | None) -> str | None:
    """None, too, for what nobody signed."""
    return None if transaction is None or not transaction.raw else hex_text(transaction.raw)


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
