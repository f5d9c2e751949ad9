"""The life of a transaction: submitted, run by a leader and voted on, accepted, final; and of the messages it sends.

Where the money of a call is, at every moment:

- submission takes the value from the sender; it is with the transaction until that runs;
- before contract code runs, the value is the called contract's, so ``self.balance`` includes it;
- a failed call changes nothing. Its value stays where it arrived (``failed_value="keep"``, as Studio does) or goes
  back to who sent it (``"return"``);
- when a call is accepted, the value of everything it emitted leaves the contract; until delivery it is with the
  message. A message to an account without code that names no method is a payment, and the account gets it. One that
  names a method fails there, and its value stays or returns as for any failed call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from genlayer_localnet.chain.runs import NOTHING, Runs, Settings
from genlayer_localnet.errors import InsufficientFunds, UnknownTransaction
from genlayer_localnet.state.changes import Changes
from genlayer_localnet.state.journal import add_amount, roll_back
from genlayer_localnet.state.transactions import Outcome, OutgoingMessage, Phase, Status, Transaction
from genlayer_localnet.state.voting import decision
from genlayer_localnet.state.world import World
from genlayer_localnet.vm.execution import VirtualMachine


class Chain(Runs):
    """The world and what moves it. Not thread-safe: ``Localnet`` holds the lock."""

    def __init__(self, world: World, machine: VirtualMachine, settings: Settings) -> None:
        super().__init__(world, machine, settings)
        self.changes: Changes | None = None
        """Where to note what changes; None when nobody saves it."""

    def transaction(self, transaction_id: str) -> Transaction:
        try:
            return self.world.transactions[transaction_id]
        except KeyError:
            raise UnknownTransaction(f"no transaction {transaction_id}") from None

    # --- submission ---

    def submit(self, transaction: Transaction, replaced: Transaction | None = None) -> None:
        """Take the value from the sender and queue the transaction, in the place of one of its that waits if so.

        Raises: InsufficientFunds.
        """
        world, value = self.world, transaction.value
        missing = value - world.balance(transaction.sender) - (0 if replaced is None else replaced.value)
        if missing > 0:
            if not self.settings.mint_missing:
                raise InsufficientFunds(
                    f"0x{transaction.sender.hex()} has {world.balance(transaction.sender)} wei and sends {value}"
                )
            self.fund(transaction.sender, missing)
        place = len(world.pending)
        if replaced is None:
            world.next_nonce(transaction.sender)
        else:
            place = world.pending.index(replaced)
            self.cancel(replaced)
        world.change_balance(transaction.journal, transaction.sender, -value)
        world.transactions[transaction.id] = transaction
        world.pending.insert(place, transaction)
        self.changed(transaction)

    def cancel(self, transaction: Transaction) -> None:
        """Take back a transaction that has not run; its sender gets the value back."""
        self.world.pending.remove(transaction)
        self.changed(transaction)
        roll_back(transaction.journal)
        transaction.status = "cancelled"

    def undo(self, transaction: Transaction) -> None:
        """Take back all that running a transaction did; it can run again, its value is still with it."""
        self.changed(transaction)
        self.world.unfinalized.remove(transaction)
        roll_back(transaction.journal, 1 if transaction.value and transaction.triggered_by is None else 0)
        transaction.status, transaction.outcome = "pending", None

    def fund(self, address: bytes, wei: int) -> None:
        add_amount(self.world.balances, address, wei)
        if self.changes is not None:
            self.changes.balances.add(address)

    def settle(self, transaction: Transaction) -> None:
        """Enter a transaction that needs no running: a payment out of nothing, or new code for a contract."""
        self.world.transactions[transaction.id] = transaction
        if transaction.kind == "faucet":
            self.world.change_balance(transaction.journal, transaction.to, transaction.value)
        else:
            self._replace_code(transaction)
        self._close(transaction, Outcome("return", NOTHING), "finalized")
        self.changed(transaction)
        transaction.journal.clear()

    def _replace_code(self, transaction: Transaction) -> None:
        """Outside of the journal: it holds for what is final as well."""
        account = self.world.contracts[transaction.to]
        assert transaction.code is not None
        account.code, account.filename = transaction.code, transaction.filename
        if self.changes is not None:
            self.changes.contracts.add(transaction.to)

    def changed(self, transaction: Transaction) -> None:
        """Note what a transaction touched, before its journal is emptied."""
        if self.changes is not None:
            self.changes.record(transaction)

    # --- running ---

    def run_pending(self) -> None:
        """Run what waits, and what that triggers on acceptance, until nothing waits."""
        pending = self.world.pending
        while pending:
            transaction = pending.popleft()
            with self._undone_if_interrupted(transaction):
                self._decide(transaction)
            self._emit(transaction, "accepted")
            if transaction.leader_only and self._is_next_of_its_contract(transaction):
                self._finalize(transaction)

    @contextmanager
    def _undone_if_interrupted(self, transaction: Transaction) -> Iterator[None]:
        """Ctrl-C in the middle of a call: a user's transaction is forgotten, what somebody knows of waits again."""
        submitted, rounds = len(transaction.journal), len(transaction.rounds)
        try:
            yield
        except BaseException:
            self.changed(transaction)
            del transaction.rounds[rounds:]
            if transaction.triggered_by is None and not transaction.block:
                roll_back(transaction.journal)
                del self.world.transactions[transaction.id]
            else:
                roll_back(transaction.journal, submitted)
                self.world.pending.appendleft(transaction)
            raise

    def _decide(self, transaction: Transaction) -> None:
        world, journal = self.world, transaction.journal
        world.change_balance(journal, transaction.to, transaction.value)
        mark = len(journal)
        outcome = self.outcome(transaction, mark)
        rounds = transaction.rounds
        decided = decision(rounds[-1].leader, rounds[-1].votes) if rounds else "accepted"
        if outcome.kind == "return" and decided == "accepted":
            for message in outcome.messages:
                world.change_balance(journal, message.sender, -message.value)
        else:
            roll_back(journal, mark)
            if self.settings.failed_value == "return":
                world.change_balance(journal, transaction.to, -transaction.value)
                world.change_balance(journal, transaction.sender, transaction.value)
        if transaction.kind == "transfer":
            self._close(transaction, outcome, "finalized")
            self.changed(transaction)
            journal.clear()
        else:
            self._close(transaction, outcome, decided)
            self.changed(transaction)
            self._await_finality(transaction)

    def _await_finality(self, transaction: Transaction) -> None:
        """In the order of the first decisions: what runs again gets its old place."""
        unfinalized = self.world.unfinalized
        place = len(unfinalized)
        while place and unfinalized[place - 1].block > transaction.block:
            place -= 1
        unfinalized.insert(place, transaction)

    def _close(self, transaction: Transaction, outcome: Outcome, status: Status) -> None:
        world = self.world
        transaction.outcome, transaction.status = outcome, status
        transaction.balance_wei = world.balance(transaction.to)
        if not transaction.block:  # what runs again keeps its time and its place
            transaction.decided_at = world.now
            world.blocks.append(transaction.id)
            transaction.block = len(world.blocks)

    # --- messages and finality ---

    def _emit(self, parent: Transaction, phase: Phase) -> None:
        for message in parent.messages(phase):
            child = self._child(parent, message, phase)
            parent.children.append(child.id)
            self.world.transactions[child.id] = child
            self.world.pending.append(child)
            self.changed(child)
            self.changed(parent)

    def _child(self, parent: Transaction, message: OutgoingMessage, phase: Phase) -> Transaction:
        child_id = derived_id(parent.id.encode(), len(parent.children).to_bytes(8, "big"))
        to = message.to if message.to is not None else bytes.fromhex(child_id[2:42])
        kinds: dict[str, Literal["deploy", "call", "transfer"]] = {"DeployContract": "deploy", "EthSend": "transfer"}
        return Transaction(
            id=child_id,
            kind=kinds.get(message.kind, "call"),
            sender=message.sender,
            origin=parent.origin,
            to=to,
            calldata=message.calldata,
            value=message.value,
            created_at=self.world.now,
            nonce=self.world.next_nonce(message.sender),
            code=message.code,
            triggered_by=parent.id,
            triggered_on=phase,
            chain_length=parent.chain_length + 1,
            conditions=parent.conditions,
            mode=parent.mode,
        )

    def finalize(self, transaction: Transaction) -> None:
        """Make a decided transaction final, and the earlier ones of its contract before it."""
        for earlier in [one for one in self.world.unfinalized if one.to == transaction.to]:
            self._finalize(earlier)
            if earlier is transaction:
                break
        self.run_pending()

    def _finalize(self, transaction: Transaction) -> None:
        unfinalized = self.world.unfinalized
        if unfinalized[0] is transaction:
            unfinalized.popleft()
        else:
            unfinalized.remove(transaction)
        transaction.status = "finalized"
        self.changed(transaction)
        transaction.journal.clear()
        self._emit(transaction, "finalized")

    def _is_next_of_its_contract(self, transaction: Transaction) -> bool:
        """Transactions of one contract become final in order; those of different contracts share no storage."""
        return next((one is transaction for one in self.world.unfinalized if one.to == transaction.to), False)

    def finalize_next(self) -> None:
        """Make the oldest decided transaction final, and run what it sends on finality."""
        self._finalize(self.world.unfinalized[0])
        self.run_pending()

    def finalize_all(self) -> None:
        self.run_pending()
        while self.world.unfinalized:
            self.finalize_next()

    def move_clock(self, now: datetime) -> None:
        """Set the clock. On the way forward transactions become final at their time, and what they send runs then."""
        world, window = self.world, self.settings.finality_window
        while world.unfinalized:
            decided_at = world.unfinalized[0].decided_at
            assert decided_at is not None
            final_at = decided_at + window
            if final_at > now:
                break
            world.now = max(world.now, final_at)
            self.finalize_next()
        world.now = now


def derived_id(*parts: bytes) -> str:
    """A transaction id: 0x and 64 hexadecimal digits."""
    return "0x" + hashlib.sha3_256(b"\x00".join(parts)).hexdigest()
