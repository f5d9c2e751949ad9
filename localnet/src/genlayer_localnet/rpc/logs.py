"""Ethereum's view: receipts, logs and blocks.

Every decided transaction is a block of its own, numbered in the order of decision. Its logs are the ``NewTransaction``
event of the consensus contract, and after it the events of the contract: an extension, since Studio drops those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.rpc.consensus_calls import MAIN_ADDRESS, NEW_TRANSACTION_TOPIC
from genlayer_localnet.rpc.receipt_json import address_text, hex_text
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.state.world import World

GAS_LIMIT = "0x7a1200"
NO_BLOOM = "0x" + "00" * 256
GENESIS_HASH = "0x" + "00" * 32
_EMPTY_ROOT = "0x" + "00" * 32


@dataclass(frozen=True, slots=True)
class LogFilter:
    """``addresses`` None takes all; a topic position takes the topics in it, None takes all."""

    first: int
    last: int
    addresses: frozenset[bytes] | None
    topics: Sequence[frozenset[bytes] | None]

    def takes(self, address: bytes, topics: Sequence[bytes]) -> bool:
        if self.addresses is not None and address not in self.addresses:
            return False
        if len(topics) < len(self.topics):
            return False
        return all(wanted is None or topic in wanted for wanted, topic in zip(self.topics, topics, strict=False))


def logs_of(transaction: Transaction, wanted: LogFilter | None = None) -> Iterator[dict[str, Any]]:
    """The logs of a transaction that ``wanted`` takes."""
    entries = [(MAIN_ADDRESS, _new_transaction_topics(transaction), b"")]
    if transaction.outcome is not None:
        entries += [
            (event.address, [topic.ljust(32, b"\x00") for topic in event.topics], calldata.encode(event.blob))
            for event in transaction.outcome.events
        ]
    for index, (address, topics, data) in enumerate(entries):
        if wanted is None or wanted.takes(address, topics):
            yield {
                "address": address_text(address),
                "topics": [hex_text(topic) for topic in topics],
                "data": hex_text(data),
                "blockNumber": hex(transaction.block),
                "blockHash": transaction.id,
                "transactionHash": transaction.id,
                "transactionIndex": "0x0",
                "logIndex": hex(index),
                "removed": False,
            }


def find_logs(world: World, wanted: LogFilter) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for transaction_id in world.blocks[max(wanted.first, 1) - 1 : max(wanted.last, 0)]:
        found += logs_of(world.transactions[transaction_id], wanted)
    return found


def receipt(transaction: Transaction) -> dict[str, Any]:
    """The receipt of the envelope: its status is 1 whatever the contract did, as in Studio."""
    return {
        "transactionHash": transaction.id,
        "transactionIndex": "0x0",
        "blockHash": transaction.id,
        "blockNumber": hex(transaction.block),
        "from": address_text(transaction.sender),
        "to": address_text(transaction.to),
        "cumulativeGasUsed": GAS_LIMIT,
        "gasUsed": GAS_LIMIT,
        "effectiveGasPrice": "0x0",
        "type": "0x0",
        "contractAddress": None,
        "status": "0x1",
        "logsBloom": NO_BLOOM,
        "logs": list(logs_of(transaction)),
    }


def block(world: World, number: int, *, full: bool) -> dict[str, Any]:
    """Block ``number``, which must be there; block 0 has no transaction. ``full`` puts the receipts' main facts in."""
    transaction = world.transactions[world.blocks[number - 1]] if number else None
    moment = (transaction.decided_at if transaction else None) or world.now
    inside: list[Any] = []
    if transaction is not None:
        inside = [_envelope(transaction) if full else transaction.id]
    return {
        "number": hex(number),
        "hash": transaction.id if transaction else GENESIS_HASH,
        "parentHash": world.blocks[number - 2] if number > 1 else GENESIS_HASH,
        "nonce": "0x0000000000000000",
        "sha3Uncles": _EMPTY_ROOT,
        "logsBloom": NO_BLOOM,
        "transactionsRoot": _EMPTY_ROOT,
        "stateRoot": _EMPTY_ROOT,
        "receiptsRoot": _EMPTY_ROOT,
        "mixHash": _EMPTY_ROOT,
        "miner": address_text(bytes(20)),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": "0x0",
        "gasLimit": GAS_LIMIT,
        "gasUsed": GAS_LIMIT if transaction else "0x0",
        "timestamp": hex(int(moment.timestamp())),
        "baseFeePerGas": "0x0",
        "transactions": inside,
        "uncles": [],
    }


def _new_transaction_topics(transaction: Transaction) -> list[bytes]:
    return [
        NEW_TRANSACTION_TOPIC,
        bytes.fromhex(transaction.id[2:]),
        transaction.to.rjust(32, b"\x00"),
        transaction.sender.rjust(32, b"\x00"),
    ]


def _envelope(transaction: Transaction) -> dict[str, Any]:
    return {
        "hash": transaction.id,
        "blockHash": transaction.id,
        "blockNumber": hex(transaction.block),
        "transactionIndex": "0x0",
        "from": address_text(transaction.sender),
        "to": address_text(transaction.to),
        "value": hex(transaction.value),
        "nonce": hex(transaction.nonce),
        "gas": GAS_LIMIT,
        "gasPrice": "0x0",
        "input": hex_text(transaction.calldata),
        "type": "0x0",
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
    }
