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
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from genlayer_localnet import calldata
from genlayer_localnet.attempt import Attempt
from genlayer_localnet.errors import InsufficientFunds, UnknownTransaction
from genlayer_localnet.execution import VirtualMachine
from genlayer_localnet.host import READ, RETURN, VM_ERROR, WRITE, Frame, Permissions
from genlayer_localnet.journal import Journal, add_amount, roll_back
from genlayer_localnet.nondet_services import Services
from genlayer_localnet.sub_vms import ENTRY_MAIN
from genlayer_localnet.transactions import Outcome, OutgoingMessage, Phase, Round, Transaction
from genlayer_localnet.world import ContractAccount, World

MAX_CHAIN_LENGTH = 1_000
"""A message that follows this many others fails, so that contracts that keep calling each other come to an end."""
_NOTHING = RETURN + calldata.encode(None)


@dataclass(frozen=True, slots=True)
class Settings:
    chain_id: int
    validators: int
    rotations: int
    failed_value: Literal["keep", "return"]
    finality_window: timedelta
    mint_missing: bool


class Chain:
    """The world and what moves it. Not thread-safe: ``Localnet`` holds the lock."""

    def __init__(self, world: World, machine: VirtualMachine, settings: Settings) -> None:
        self.world = world
        self.machine = machine
        self.settings = settings
        self.services = Services()

    def transaction(self, transaction_id: str) -> Transaction:
        try:
            return self.world.transactions[transaction_id]
        except KeyError:
            raise UnknownTransaction(f"no transaction {transaction_id}") from None

    # --- submission ---

    def submit(self, transaction: Transaction) -> None:
        """Take the value from the sender and queue the transaction. Raises: InsufficientFunds."""
        world, value = self.world, transaction.value
        missing = value - world.balance(transaction.sender)
        if missing > 0:
            if not self.settings.mint_missing:
                raise InsufficientFunds(
                    f"0x{transaction.sender.hex()} has {world.balance(transaction.sender)} wei and sends {value}"
                )
            self.fund(transaction.sender, missing)
        world.change_balance(transaction.journal, transaction.sender, -value)
        world.next_nonce(transaction.sender)
        world.transactions[transaction.id] = transaction
        world.pending.append(transaction)

    def fund(self, address: bytes, wei: int) -> None:
        add_amount(self.world.balances, address, wei)

    # --- running ---

    def run_pending(self) -> None:
        """Run what waits, and what that triggers on acceptance, until nothing waits."""
        pending = self.world.pending
        while pending:
            transaction = pending.popleft()
            with self._undone_if_interrupted(transaction):
                self._decide(transaction)
            self._emit(transaction, "accepted")

    @contextmanager
    def _undone_if_interrupted(self, transaction: Transaction) -> Iterator[None]:
        """Ctrl-C in the middle of a call: a user's transaction is cancelled, a message waits again."""
        submitted = len(transaction.journal)
        try:
            yield
        except BaseException:
            if transaction.triggered_by is None:
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
        outcome = self._outcome(transaction, mark)
        agreed = not transaction.rounds or _is_majority(transaction.rounds[-1].votes)
        if outcome.kind == "return" and agreed:
            for message in outcome.messages:
                world.change_balance(journal, message.sender, -message.value)
        else:
            roll_back(journal, mark)
            if self.settings.failed_value == "return":
                world.change_balance(journal, transaction.to, -transaction.value)
                world.change_balance(journal, transaction.sender, transaction.value)
        transaction.outcome = outcome
        transaction.decided_at = world.now
        transaction.balance_wei = world.balance(transaction.to)
        if transaction.kind == "transfer":
            transaction.status = "finalized"
            journal.clear()
        else:
            transaction.status = "accepted" if agreed else "undetermined"
            world.unfinalized.append(transaction)

    def _outcome(self, transaction: Transaction, mark: int) -> Outcome:
        """What running the transaction gives; everything that needs no contract code is decided here."""
        has_code = transaction.to in self.world.contracts
        if transaction.chain_length > MAX_CHAIN_LENGTH:
            return _vm_error(f"localnet: chain of more than {MAX_CHAIN_LENGTH} messages")
        if transaction.kind == "transfer":
            return Outcome("return", _NOTHING)
        if transaction.kind == "deploy":
            return _vm_error("localnet: address is taken") if has_code else self._agree(transaction, mark)
        if has_code:
            return self._agree(transaction, mark)
        if _names_no_method(transaction.calldata):
            return Outcome("return", _NOTHING)
        return _vm_error("invalid_contract absent")

    def _agree(self, transaction: Transaction, mark: int) -> Outcome:
        """Let leaders run the transaction, one after the other, until most validators agree with one."""
        settings = self.settings
        for round_ in range(settings.rotations + 1):
            roll_back(transaction.journal, mark)
            attempt = self._attempt(transaction.origin, mark)
            attempt.round, attempt.leader = round_, round_ % settings.validators
            outcome = self._run(transaction, attempt)
            transaction.rounds.append(Round(attempt.leader, attempt.votes))
            if not attempt.rejected:
                break
        return outcome

    def _attempt(self, origin: bytes, mark: int) -> Attempt:
        return Attempt(
            origin=origin,
            datetime=self.world.now_text(),
            chain_id=self.settings.chain_id,
            services=self.services,
            validators=self.settings.validators,
            mark=mark,
        )

    def _run(self, transaction: Transaction, attempt: Attempt) -> Outcome:
        world, journal = self.world, transaction.journal
        if transaction.kind == "deploy":
            assert transaction.code is not None
            account = ContractAccount(transaction.code, transaction.filename)
            world.add_contract(journal, transaction.to, account)
        frame = self._frame(transaction.to, attempt, journal, WRITE, transaction)
        return self.machine.run(frame, world.now)

    def _frame(
        self, address: bytes, attempt: Attempt, journal: Journal, permissions: Permissions, transaction: Transaction
    ) -> Frame:
        message = {
            "contract_address": address,
            "sender_address": transaction.sender,
            "origin_address": transaction.origin,
            "stack": [],
            "value": transaction.value,
            "datetime": attempt.datetime,
            "is_init": transaction.kind == "deploy",
            "chain_id": attempt.chain_id,
            "entry_kind": ENTRY_MAIN,
            "entry_data": transaction.calldata,
            "entry_stage_data": None,
        }
        storage = self.world.contracts[address].storage
        return Frame(self.world, journal, attempt, address, storage, permissions, message)

    def view(self, transaction: Transaction) -> Outcome:
        """Run a read on one node; ``transaction`` only describes the call. The contract must be there."""
        attempt = self._attempt(transaction.origin, 0)
        attempt.votes = {0: "agree"}
        return self.machine.run(self._frame(transaction.to, attempt, [], READ, transaction), self.world.now)

    # --- messages and finality ---

    def _emit(self, parent: Transaction, phase: Phase) -> None:
        for message in parent.messages(phase):
            child = self._child(parent, message, phase)
            parent.children.append(child.id)
            self.world.transactions[child.id] = child
            self.world.pending.append(child)

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
        )

    def finalize_next(self) -> None:
        """Make the oldest decided transaction final, and run what it sends on finality."""
        transaction = self.world.unfinalized.popleft()
        transaction.status = "finalized"
        transaction.journal.clear()
        self._emit(transaction, "finalized")
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


def _is_majority(votes: dict[int, str]) -> bool:
    return 2 * sum(vote == "agree" for vote in votes.values()) > len(votes)


def _vm_error(text: str) -> Outcome:
    return Outcome("vm_error", VM_ERROR + text.encode("utf-8"))


def _names_no_method(call: bytes) -> bool:
    try:
        decoded = calldata.decode(call)
    except ValueError:
        return False
    return isinstance(decoded, dict) and not decoded.get("method")
