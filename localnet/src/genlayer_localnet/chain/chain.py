"""The life of a transaction: submitted, run by a leader and voted on, accepted, final; and of the messages it sends.

Where the money of a call is, at every moment:

- submission takes the value from the sender; it is with the transaction until that runs;
- before contract code runs, the value is the called contract's, so ``self.balance`` includes it;
- a failed call changes nothing. Its value stays where it arrived (``failed_value="keep"``, as Studio does) or goes
  back to who sent it (``"return"``) when the call is final, and is with the transaction until then;
- when a call is accepted, the value of everything it emitted leaves the contract; until delivery it is with the
  message. A message to an account without code that names no method is a payment, and the account gets it. One that
  names a method fails there, and its value stays or returns as for any failed call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from itertools import accumulate, takewhile
from typing import Final, Literal

from genlayer_localnet.chain.allocations import Allotment
from genlayer_localnet.chain.deposits import Deposits
from genlayer_localnet.chain.fees import check
from genlayer_localnet.chain.runs import NOTHING, vm_error
from genlayer_localnet.errors import InsufficientFunds
from genlayer_localnet.state.journal import Journal, roll_back
from genlayer_localnet.state.transactions import Outcome, OutgoingMessage, Phase, Status, Transaction
from genlayer_localnet.state.voting import decision

_KINDS: Final[dict[str, Literal["deploy", "transfer"]]] = {"DeployContract": "deploy", "EthSend": "transfer"}
"""What messages become; the others become calls."""


class Chain(Deposits):
    """The world and what moves it. Not thread-safe: ``Localnet`` holds the lock."""

    # --- submission ---

    def submit(self, transaction: Transaction, replaced: Transaction | None = None) -> None:
        """Take the value from the sender and queue the transaction, in the place of one of its that waits if so.

        Raises: FeesRefused, InsufficientFunds.
        """
        world, place = self.world, len(self.world.pending)
        policy = self.settings.fees
        if policy is not None and transaction.kind in ("call", "deploy"):
            check(transaction.fees, self.committee(transaction), policy)
        back = 0 if replaced is None else replaced.paid
        self._take_value(transaction, mint=self.settings.mint_missing, back=back)
        if replaced is None:
            world.next_nonce(transaction.sender)
        else:
            place = world.pending.index(replaced)
            self.cancel(replaced)
        world.transactions[transaction.id] = transaction
        world.pending.insert(place, transaction)
        self.changed(transaction)

    def _take_value(self, transaction: Transaction, *, mint: bool, back: int = 0) -> None:
        """``back``: wei that the sender gets back for it. Raises: InsufficientFunds."""
        taken, balance = transaction.taken, self.world.balance(transaction.sender) + back
        if taken > balance:
            if not mint:
                raise InsufficientFunds(f"0x{transaction.sender.hex()} has {balance} wei and sends {taken}")
            self.fund(transaction.sender, taken - balance)
        self.world.change_balance(transaction.journal, transaction.sender, -taken)

    def cancel(self, transaction: Transaction) -> None:
        """Take back a transaction that waits; its sender gets the value back, and what it did not spend on fees."""
        value, is_paid = self.world.underway(transaction), transaction.is_paid
        parent = self.world.transactions.get(transaction.triggered_by or "")
        self._drop(transaction)
        transaction.journal.clear()
        if parent is None or parent.status == "finalized":
            self.fund(transaction.sender, value)
            self._settle_fees(transaction, is_paid=is_paid)
        else:  # to be taken back with what the parent did
            self.world.change_balance(parent.journal, transaction.sender, value)
            self.changed(parent)

    def undo(self, transaction: Transaction) -> None:
        """Take back what running a transaction did; it waits to run again, and its value is still with it.

        Where its messages stay, so does what paid for them: its value with the contract.
        """
        world = self.world
        self.changed(transaction)
        world.unfinalized.remove(transaction)
        world.count_arrival(transaction, -1)
        was_paid = transaction.is_paid
        transaction.take_back()
        if self.settings.first_children == "stay" and was_paid:
            world.change_balance(transaction.journal, transaction.to, transaction.value)
            for child in map(self.transaction, transaction.children):
                if child.status != "cancelled":
                    world.change_balance(transaction.journal, child.sender, -child.value)

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

    # --- running ---

    def run_pending(self) -> None:
        """Run what waits, and what that triggers on acceptance, until nothing waits."""
        pending = self.world.pending
        while pending:
            if self._is_refused(pending[0]):
                self.cancel(pending[0])
                continue
            transaction = pending.popleft()
            with self._undone_if_interrupted(transaction):
                self._decide(transaction)
            self._emit(transaction, "accepted")
            if self._is_final_at_once(transaction):
                self._finalize(transaction)

    @contextmanager
    def _undone_if_interrupted(self, transaction: Transaction) -> Iterator[None]:
        """Ctrl-C in the middle of a call: a user's transaction is forgotten, what somebody knows of waits again."""
        submitted, rounds = len(transaction.journal), len(transaction.rounds)
        paid_so_far = copy(transaction.fees)
        try:
            yield
        except BaseException:
            self.changed(transaction)
            del transaction.rounds[rounds:]
            transaction.fees = paid_so_far
            if transaction.triggered_by is None and not transaction.block:
                roll_back(transaction.journal)
                self._give_back(transaction)
                del self.world.transactions[transaction.id]
            else:
                roll_back(transaction.journal, submitted)
                self.world.pending.appendleft(transaction)
            raise

    def _decide(self, transaction: Transaction) -> None:
        world, journal = self.world, transaction.journal
        if transaction.fees is not None and not transaction.block:
            transaction.fees.policy = self.settings.fees
        if transaction.pays and not journal:  # an appeal took away what its sender had paid it with
            try:
                self._take_value(transaction, mint=self.settings.mint_missing and transaction.kind != "transfer")
            except InsufficientFunds:
                self._close(transaction, vm_error("insufficient balance"), "undetermined")
                self.changed(transaction)
                self._await_finality(transaction)
                return
        before = len(journal)
        if before == transaction.submission:  # otherwise it has stayed where it arrived the first time
            world.change_balance(journal, transaction.to, transaction.value)
        mark = len(journal)
        if transaction.block and self.settings.first_children == "stay":
            with self._without_later_values(transaction):
                outcome = self.outcome(transaction, mark, before)
        else:
            outcome = self.outcome(transaction, mark, before)
        rounds = transaction.rounds
        decided = decision(rounds[-1].leader, rounds[-1].votes) if rounds else "accepted"
        if outcome.kind == "return" and decided == "accepted":
            for message in outcome.messages:
                world.change_balance(journal, message.sender, -message.value)
        else:
            roll_back(journal, mark)
            if self.settings.failed_value == "return" and world.balance(transaction.to) >= transaction.value:
                world.change_balance(journal, transaction.to, -transaction.value)
                transaction.refund_wei = transaction.value
        self._close(transaction, outcome, decided)
        self.decide_bonds(transaction, won=decided == "accepted")
        self.changed(transaction)
        self._await_finality(transaction)

    @contextmanager
    def _without_later_values(self, transaction: Transaction) -> Iterator[None]:
        """Where first children stay, so does what later calls brought: what runs again before them cannot spend it."""
        later = [one for one in self.world.pending if one.block > transaction.block]
        brought = accumulate((one.brought(transaction.to) for one in reversed(later)), initial=0)
        hidden: Journal = []
        self.world.change_balance(hidden, transaction.to, -max(brought))
        try:
            yield
        finally:
            roll_back(hidden)

    def _await_finality(self, transaction: Transaction) -> None:
        """In the order of the first decisions: what runs again gets its old place."""
        unfinalized = self.world.unfinalized
        place = len(unfinalized)
        while place and unfinalized[place - 1].block > transaction.block:
            place -= 1
        unfinalized.insert(place, transaction)
        self.world.count_arrival(transaction, 1)

    def _close(self, transaction: Transaction, outcome: Outcome, status: Status) -> None:
        world = self.world
        transaction.outcome, transaction.status = outcome, status
        transaction.decisions += 1
        transaction.balance_wei = world.balance(transaction.to)
        if not transaction.block:  # what runs again keeps its time and its place
            transaction.decided_at = world.now
            world.blocks.append(transaction.id)
            transaction.block = len(world.blocks)

    # --- messages and finality ---

    def _emit(self, parent: Transaction, phase: Phase) -> None:
        """Send the messages. Those that an appeal took back keep id, place and time where they are the same again."""
        taken_back, kept = self._taken_back(parent, phase), 0
        new: list[tuple[OutgoingMessage, Allotment | None]] = []
        for message, allotment in self._with_allotments(parent, phase):
            same = next((n for n, child in enumerate(taken_back[kept:], kept) if _carries(child, message)), None)
            if same is not None:
                del taken_back[same]
                kept = same
            else:
                new.append((message, allotment))
        for child in taken_back:
            self._drop(child)
        given = self.fees_of_messages(parent)
        for message, allotment in new:
            child = message_transaction(parent, message, self.world.next_nonce(message.sender), self.world.now)
            child.fees = None if allotment is None else self._fees_of_message(parent, allotment, given)
            given += 0 if child.fees is None else child.fees.deposit
            parent.children.append(child.id)
            self.world.transactions[child.id] = child
            self.world.pending.append(child)
            self.changed(child)
            self.changed(parent)

    def _with_allotments(self, parent: Transaction, phase: Phase) -> list[tuple[OutgoingMessage, Allotment | None]]:
        """The messages that go out now, with what they get of the deposit."""
        outcome = parent.outcome
        if outcome is None or not parent.messages(phase):
            return []
        found = zip(outcome.messages, self.allotments(parent, outcome), strict=True)
        return [(message, allotment) for message, allotment in found if message.phase == phase]

    def _taken_back(self, parent: Transaction, phase: Phase) -> list[Transaction]:
        """Messages of its last run, which have to be sent again or not at all."""
        if not parent.children or self.settings.first_children == "stay":
            return []
        sent = [self.transaction(child) for child in parent.children]
        return [child for child in sent if child.status == "pending" and child.triggered_on == phase]

    def _drop(self, waiting: Transaction) -> None:
        """It does not run any more, nor what it had sent when it did."""
        self.world.pending.remove(waiting)
        waiting.status = "cancelled"
        self._give_back(waiting)
        self.changed(waiting)
        for child in self._taken_back(waiting, "accepted"):
            self._drop(child)

    def finalize(self, transaction: Transaction) -> None:
        """Make a decided transaction final, and the earlier ones that it rests on before it."""
        self._run_again()
        first = [transaction]
        for earlier in reversed(list(self._before(transaction))):
            if any(one.rests_on(earlier) for one in first):
                first.append(earlier)
        for one in reversed(first):
            self._finalize(one)
        self.run_pending()

    def _finalize(self, transaction: Transaction) -> None:
        unfinalized = self.world.unfinalized
        if unfinalized[0] is transaction:
            unfinalized.popleft()
        elif unfinalized[-1] is transaction:
            unfinalized.pop()
        else:
            unfinalized.remove(transaction)
        self.world.count_arrival(transaction, -1)
        is_paid = transaction.is_paid
        transaction.status = "finalized"
        self.changed(transaction)
        transaction.journal.clear()
        if transaction.refund_wei:
            self.fund(transaction.sender, transaction.refund_wei)
        self._emit(transaction, "finalized")
        self._settle_fees(transaction, is_paid=is_paid)

    def _run_again(self) -> None:
        """Run what an appeal has taken back before anything that came later is final."""
        if any(one.block for one in self.world.pending):
            self.run_pending()

    def _before(self, transaction: Transaction) -> Iterator[Transaction]:
        """What was decided before it and is not final, in order."""
        return takewhile(lambda one: one is not transaction, self.world.unfinalized)

    def _is_final_at_once(self, transaction: Transaction) -> bool:
        """What nobody votes on, unless an appeal could take back what it rests on."""
        if transaction.kind == "transfer":  # that others saw its receiver without it does not matter: it stays
            is_made = transaction.status == "accepted"
            return is_made and not (transaction.pays and self._is_in_question(transaction))
        return transaction.leader_only and not any(map(transaction.rests_on, self._before(transaction)))

    def _is_in_question(self, transaction: Transaction) -> bool:
        """Whether an appeal could take away what its sender pays it with."""
        sender = transaction.sender
        arrivals = self.world.arrivals.get(sender, 0) - (transaction.to == sender)
        if not arrivals and sender not in self.world.contracts:
            return False  # the usual case, however much is not final
        return any(sender in earlier.changes for earlier in self._before(transaction))

    def finalize_next(self) -> None:
        """Make the oldest decided transaction final, and run what it sends on finality."""
        self._run_again()
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


def message_transaction(parent: Transaction, message: OutgoingMessage, nonce: int, now: datetime) -> Transaction:
    """What a message becomes: the next child of its sender's transaction."""
    child_id = derived_id(parent.id.encode(), len(parent.children).to_bytes(8, "big"))
    to = message.to if message.to is not None else bytes.fromhex(child_id[2:42])
    return Transaction(
        id=child_id,
        kind=_KINDS.get(message.kind, "call"),
        sender=message.sender,
        origin=parent.origin,
        to=to,
        calldata=message.calldata,
        value=message.value,
        created_at=now,
        nonce=nonce,
        code=message.code,
        triggered_by=parent.id,
        triggered_on=message.phase,
        chain_length=parent.chain_length + 1,
        conditions=parent.conditions,
        mode=parent.mode,
    )


def _carries(child: Transaction, message: OutgoingMessage) -> bool:
    return (child.sender, child.kind, child.calldata, child.value, child.code) == (
        message.sender,
        _KINDS.get(message.kind, "call"),
        message.calldata,
        message.value,
        message.code,
    ) and message.to in (None, child.to)


def derived_id(*parts: bytes) -> str:
    """A transaction id: 0x and 64 hexadecimal digits."""
    return "0x" + hashlib.sha3_256(b"\x00".join(parts)).hexdigest()
