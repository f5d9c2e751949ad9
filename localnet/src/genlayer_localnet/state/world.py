"""The state of the chain: accounts, contracts with their storage, transactions and the queue of what is to run next.

Changes made on behalf of a transaction go through a journal (see ``journal``), so that they can be taken back.
Amounts are integer wei. Addresses are 20 raw bytes here; texts and ``Address`` objects belong to the public interface.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from genlayer_localnet.state.journal import Journal, add_amount, put_item, without
from genlayer_localnet.state.transactions import Transaction


class Storage(dict[bytes, bytearray]):
    """The slots of the contract at ``address``. A slot is as long as what was ever written to it."""

    __slots__ = ("address",)

    def __init__(self, address: bytes) -> None:
        super().__init__()
        self.address = address


@dataclass(slots=True)
class ContractAccount:
    """A deployed contract: its source and its slots."""

    code: bytes
    filename: str | None
    storage: Storage


@dataclass(slots=True)
class World:
    """Everything a snapshot has to bring back, except mocks."""

    now: datetime
    balances: dict[bytes, int] = field(default_factory=dict)
    nonces: dict[bytes, int] = field(default_factory=dict)
    contracts: dict[bytes, ContractAccount] = field(default_factory=dict)
    transactions: dict[str, Transaction] = field(default_factory=dict)
    pending: deque[Transaction] = field(default_factory=deque)
    """Submitted, not yet run, in order."""
    unfinalized: deque[Transaction] = field(default_factory=deque)
    """Decided but not final, in the order of their decision, which is the order in which they become final."""
    arrivals: dict[bytes, int] = field(default_factory=dict)
    """How many of ``unfinalized`` went to each account."""
    blocks: list[str] = field(default_factory=list)
    """Ids of the decided transactions in the order of their decision: the first is block 1."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Hashes of raw transactions that appealed, cancelled or finalized another one, and the id of that one."""

    def balance(self, address: bytes) -> int:
        return self.balances.get(address, 0)

    def change_balance(self, journal: Journal, address: bytes, difference: int) -> None:
        if difference:
            journal.append(add_amount(self.balances, address, difference))

    def add_contract(self, journal: Journal, address: bytes, account: ContractAccount) -> None:
        journal.append(put_item(self.contracts, address, account))

    def next_nonce(self, address: bytes) -> int:
        """Count one more transaction of ``address`` and return its number. Nonces are never taken back by a failure."""
        nonce = self.nonces.get(address, 0)
        self.nonces[address] = nonce + 1
        return nonce

    def undelivered_value(self) -> int:
        """Wei that left an account and has not arrived.

        It is with transactions that wait, with messages that wait for finality, and with failed calls until they are
        final, where their value returns; and with all of these there is what they deposited for fees.
        """
        waiting = sum(self.underway(transaction) for transaction in self.pending)
        fees = sum(self.fees_held(transaction) for transaction in (*self.pending, *self.unfinalized))
        return (
            waiting
            + fees
            + sum(
                transaction.refund_wei + sum(message.value for message in transaction.waiting_messages())
                for transaction in self.unfinalized
            )
        )

    def count_arrival(self, transaction: Transaction, difference: int) -> None:
        """To be called with each change of ``unfinalized``."""
        add_amount(self.arrivals, transaction.to, difference)

    def underway(self, waiting: Transaction) -> int:
        """Wei that a transaction which waits has taken from its sender, and not brought yet."""
        if waiting.triggered_by is None:
            return waiting.value if len(waiting.journal) == 1 else 0
        parent = self.transactions[waiting.triggered_by]
        is_sent = parent.status != "pending" or len(parent.journal) > parent.submission
        return waiting.value if is_sent and not waiting.journal else 0

    def fees_held(self, transaction: Transaction) -> int:
        """Wei for fees, and of appeals, that is with a transaction which waits or is not final.

        The deposit of a message is part of its parent's until that is final.
        """
        fees = transaction.fees
        if fees is None:
            return 0
        parent = self.transactions.get(transaction.triggered_by or "")
        is_own = transaction.is_paid if parent is None else parent.status == "finalized"
        return (fees.deposit if is_own else fees.added) + sum(bond.wei for bond in fees.bonds)

    def final_state(self, running: Journal | None = None) -> AbstractContextManager[None]:
        """Context manager: the world without what waits or is not final (nor what ``running`` has changed)."""
        journals = [transaction.journal for transaction in (*self.unfinalized, *self.pending)]
        if running is not None:
            journals.append(running)
        return without(journals)

    def before(self, transaction: Transaction) -> AbstractContextManager[None]:
        """Context manager: the world as it was when this transaction, which is not final, was submitted."""
        waiting = list(self.unfinalized)
        journals = [one.journal for one in waiting[waiting.index(transaction) :]]
        return without(journals)

    def forget(self) -> None:
        """Drop all transactions, which are final, and the blocks they were in."""
        self.transactions.clear()
        self.blocks.clear()
        self.aliases.clear()

    def clone(self) -> World:
        """An independent copy. The journals of its transactions change the copy, not the original."""
        twin = World(self.now, dict(self.balances), dict(self.nonces))
        twins: dict[int, Any] = {id(self.balances): twin.balances, id(self.contracts): twin.contracts}
        for address, account in self.contracts.items():
            storage = Storage(address)
            twin.contracts[address] = account_twin = ContractAccount(account.code, account.filename, storage)
            twins[id(account)] = account_twin
            twins[id(account.storage)] = storage
            for slot, buffer in account.storage.items():
                storage[slot] = twins[id(buffer)] = bytearray(buffer)

        def counterpart(part: Any) -> Any:
            return twins.get(id(part), part)

        twin.transactions = {key: transaction.clone(counterpart) for key, transaction in self.transactions.items()}
        twin.pending = deque(twin.transactions[transaction.id] for transaction in self.pending)
        twin.unfinalized = deque(twin.transactions[transaction.id] for transaction in self.unfinalized)
        twin.arrivals = dict(self.arrivals)
        twin.blocks, twin.aliases = list(self.blocks), dict(self.aliases)
        return twin
