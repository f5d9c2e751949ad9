"""What changed since the state was last saved. Entries name what has to be read again, not its value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from genlayer_localnet.state.journal import add_amount, splice
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.state.world import Storage

PAGE_BYTES: Final = 1024


@dataclass(slots=True)
class Changes:
    """Collects what transactions touch. Whatever was taken back again is harmless here: its old value is saved."""

    balances: set[bytes] = field(default_factory=set)
    nonces: set[bytes] = field(default_factory=set)
    contracts: set[bytes] = field(default_factory=set)
    pages: set[tuple[bytes, bytes, int]] = field(default_factory=set)
    """Address, slot, number of the page: an array or a map is one slot, of which a call writes a few bytes."""
    transactions: dict[str, None] = field(default_factory=dict)
    """Ids, in the order in which they were first touched."""
    aliases: set[str] = field(default_factory=set)

    def record(self, transaction: Transaction) -> None:
        """Note a transaction and all that its journal can take back. To be called before the journal is emptied."""
        self.transactions[transaction.id] = None
        self.nonces.add(transaction.sender)
        for entry in transaction.journal:
            target, key = entry[1], entry[2]
            if entry[0] is add_amount:
                self.balances.add(key)
            elif not isinstance(target, Storage):
                self.contracts.add(key)
            elif entry[0] is splice:
                start, length = entry[3], entry[4]
                first, last = start // PAGE_BYTES, (start + max(length, 1) - 1) // PAGE_BYTES
                self.pages.update((target.address, key, page) for page in range(first, last + 1))
            else:
                self.pages.add((target.address, key, 0))

    def __bool__(self) -> bool:
        return bool(self.transactions or self.balances or self.nonces or self.contracts or self.pages or self.aliases)
