"""Logs, and filters of them.

The logs of a transaction are the ``NewTransaction`` event of the consensus contract, and after it the events of the
contract: an extension, since Studio drops those.
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


def entries_of(transaction: Transaction) -> list[tuple[bytes, list[bytes], bytes]]:
    """Address, topics and data of each of its logs."""
    entries = [(MAIN_ADDRESS, _new_transaction_topics(transaction), b"")]
    if transaction.outcome is not None:
        entries += [
            (event.address, [topic.ljust(32, b"\x00") for topic in event.topics], calldata.encode(event.blob))
            for event in transaction.outcome.events
        ]
    return entries


def logs_of(transaction: Transaction, wanted: LogFilter | None = None) -> Iterator[dict[str, Any]]:
    """The logs of a transaction that ``wanted`` takes."""
    for index, (address, topics, data) in enumerate(entries_of(transaction)):
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


def _new_transaction_topics(transaction: Transaction) -> list[bytes]:
    return [
        NEW_TRANSACTION_TOPIC,
        bytes.fromhex(transaction.id[2:]),
        transaction.to.rjust(32, b"\x00"),
        transaction.sender.rjust(32, b"\x00"),
    ]
