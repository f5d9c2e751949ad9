"""Ethereum's view of transactions: the transaction itself, its receipt, its block.

Every decided transaction is a block of its own, numbered in the order of decision, with the transaction's id as hash.
What was signed is shown as it was signed: a call is a transaction to the consensus contract. What nobody signed
(messages of contracts, the faucet) is shown as a transaction from its sender to its receiver.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from genlayer_localnet.address import keccak256
from genlayer_localnet.rpc import envelopes
from genlayer_localnet.rpc.envelopes import Envelope
from genlayer_localnet.rpc.logs import entries_of, logs_of
from genlayer_localnet.rpc.receipt_json import address_text, hex_text
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.state.world import World

GAS: Final = 500_000
"""What every transaction is estimated to need; one that was given less has used that."""
GENESIS_HASH: Final = "0x" + "00" * 32
_BLOCK_GAS_LIMIT: Final = "0x7a1200"
_EMPTY_ROOT: Final = "0x" + "00" * 32
_BLOOM_BITS: Final = 2048


def transaction_object(transaction: Transaction, chain_id: int) -> dict[str, Any]:
    """What Ethereum's clients want to know of a transaction."""
    envelope = _envelope(transaction)
    is_decided = bool(transaction.block)
    place = {
        "blockHash": transaction.id if is_decided else None,
        "blockNumber": hex(transaction.block) if is_decided else None,
        "transactionIndex": "0x0" if is_decided else None,
    }
    common = {"hash": transaction.id, **place, "from": address_text(transaction.sender)}
    if envelope is None:
        unsigned = {"to": address_text(transaction.to), "gas": hex(GAS), "gasPrice": "0x0", "type": "0x0"}
        numbers = {"value": hex(transaction.value), "nonce": hex(transaction.nonce), "chainId": hex(chain_id)}
        return {**common, **unsigned, **numbers, "input": hex_text(transaction.calldata), **_signature(0, 0, 0)}
    return {**common, **signed_fields(envelope)}


def signed_fields(envelope: Envelope) -> dict[str, Any]:
    """What of a transaction is known before it is sent."""
    return {
        "hash": envelope.hash,
        "to": None if envelope.to is None else address_text(envelope.to),
        "value": hex(envelope.value),
        "nonce": hex(envelope.nonce),
        "gas": hex(envelope.gas),
        "input": hex_text(envelope.data),
        **_of_its_type(envelope),
        **_signature(envelope.v, envelope.r, envelope.s),
    }


def receipt(transaction: Transaction) -> dict[str, Any]:
    """The receipt of the envelope: its status is 1 whatever the contract did, as in Studio."""
    envelope = _envelope(transaction)
    to = transaction.to if envelope is None or envelope.to is None else envelope.to
    gas = _gas_used(envelope)
    return {
        "transactionHash": transaction.id,
        "transactionIndex": "0x0",
        "blockHash": transaction.id,
        "blockNumber": hex(transaction.block),
        "from": address_text(transaction.sender),
        "to": address_text(to),
        "cumulativeGasUsed": gas,
        "gasUsed": gas,
        "effectiveGasPrice": "0x0",
        "type": hex(0 if envelope is None else envelope.type),
        "contractAddress": None,
        "status": "0x1",
        "logsBloom": _bloom(transaction),
        "logs": list(logs_of(transaction)),
    }


def block(world: World, number: int, chain_id: int, *, full: bool) -> dict[str, Any]:
    """Block ``number``, which must be there; block 0 has no transaction. ``full``: not only the transaction's hash."""
    transaction = transaction_in(world, number)
    dated = transaction or transaction_in(world, 1)  # nothing is older than block 0
    moment = (dated.decided_at if dated else None) or world.now
    inside: list[Any] = []
    if transaction is not None:
        inside = [transaction_object(transaction, chain_id) if full else transaction.id]
    return {
        "number": hex(number),
        "hash": transaction.id if transaction else GENESIS_HASH,
        "parentHash": world.blocks[number - 2] if number > 1 else GENESIS_HASH,
        "nonce": "0x0000000000000000",
        "sha3Uncles": _EMPTY_ROOT,
        "logsBloom": _bloom(transaction),
        "transactionsRoot": _EMPTY_ROOT,
        "stateRoot": _EMPTY_ROOT,
        "receiptsRoot": _EMPTY_ROOT,
        "mixHash": _EMPTY_ROOT,
        "miner": address_text(bytes(20)),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": "0x0",
        "gasLimit": _BLOCK_GAS_LIMIT,
        "gasUsed": _gas_used(_envelope(transaction)) if transaction else "0x0",
        "timestamp": hex(int(moment.timestamp())),
        "baseFeePerGas": "0x0",
        "transactions": inside,
        "uncles": [],
    }


def transaction_in(world: World, number: int) -> Transaction | None:
    """The transaction of block ``number``; None for block 0, and where there is no such block."""
    return world.transactions[world.blocks[number - 1]] if 0 < number <= len(world.blocks) else None


def _envelope(transaction: Transaction) -> Envelope | None:
    return envelopes.decode(transaction.raw, transaction.sender) if transaction.raw else None


def _of_its_type(envelope: Envelope) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": hex(envelope.type), "gasPrice": hex(envelope.tip)}
    if envelope.chain_id is not None:
        fields["chainId"] = hex(envelope.chain_id)
    if envelope.type:
        fields["yParity"] = hex(envelope.v)
        fields["accessList"] = [
            {"address": address_text(address), "storageKeys": [hex_text(key) for key in keys]}
            for address, keys in envelope.access_list
        ]
    if envelope.type == 2:
        fields |= {"maxPriorityFeePerGas": hex(envelope.tip), "maxFeePerGas": hex(envelope.max_fee)}
    return fields


def _signature(v: int, r: int, s: int) -> dict[str, str]:
    return {"v": hex(v), "r": f"0x{r:064x}", "s": f"0x{s:064x}"}


def _gas_used(envelope: Envelope | None) -> str:
    return hex(GAS if envelope is None else min(envelope.gas, GAS))


def _bloom(transaction: Transaction | None) -> str:
    """Of the addresses and topics in the logs, by which clients see that a block has nothing for them."""
    found = 0
    for address, topics, _ in entries_of(transaction) if transaction else ():
        for item in (address, *topics):
            found |= _bits_of(item)
    return f"0x{found:0{_BLOOM_BITS // 4}x}"


@lru_cache(maxsize=4096)
def _bits_of(item: bytes) -> int:
    digest = keccak256(item)
    positions = (int.from_bytes(digest[start : start + 2], "big") % _BLOOM_BITS for start in (0, 2, 4))
    found = 0
    for position in positions:
        found |= 1 << position
    return found
