"""Runs of transactions and views: who executes them, at which time, how often, and what came of it.

Nothing here decides what a result means for the money or for the queue: that is ``chain``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from genlayer_localnet import calldata
from genlayer_localnet.attempt import Attempt
from genlayer_localnet.execution import VirtualMachine
from genlayer_localnet.host import READ, RETURN, VM_ERROR, WRITE, Frame, Permissions
from genlayer_localnet.journal import Journal, roll_back
from genlayer_localnet.nondet_services import Services
from genlayer_localnet.sub_vms import ENTRY_MAIN
from genlayer_localnet.transactions import Outcome, Round, Transaction
from genlayer_localnet.world import ContractAccount, Storage, World

MAX_CHAIN_LENGTH = 1_000
"""A message that follows this many others fails, so that contracts that keep calling each other come to an end."""
NOTHING = RETURN + calldata.encode(None)


@dataclass(frozen=True, slots=True)
class Settings:
    chain_id: int
    validators: int
    rotations: int
    failed_value: Literal["keep", "return"]
    finality_window: timedelta
    mint_missing: bool


class Runs:
    """The world, and the machine that runs contracts on it. Not thread-safe."""

    def __init__(self, world: World, machine: VirtualMachine, settings: Settings) -> None:
        self.world = world
        self.machine = machine
        self.settings = settings
        self.services = Services()

    def outcome(self, transaction: Transaction, mark: int) -> Outcome:
        """What running the transaction gives; everything that needs no contract code is decided here."""
        has_code = transaction.to in self.world.contracts
        if transaction.chain_length > MAX_CHAIN_LENGTH:
            return vm_error(f"localnet: chain of more than {MAX_CHAIN_LENGTH} messages")
        if transaction.kind == "transfer":
            return Outcome("return", NOTHING)
        if transaction.kind == "deploy":
            return vm_error("localnet: address is taken") if has_code else self._agree(transaction, mark)
        if has_code:
            return self._agree(transaction, mark)
        if _names_no_method(transaction.calldata):
            return Outcome("return", NOTHING)
        return vm_error("invalid_contract absent")

    def _agree(self, transaction: Transaction, mark: int) -> Outcome:
        """Let leaders run the transaction, one after the other, until most validators agree with one."""
        rotations = transaction.conditions.rotations
        for round_ in range((self.settings.rotations if rotations is None else rotations) + 1):
            roll_back(transaction.journal, mark)
            attempt = self.attempt(transaction, mark)
            attempt.round, attempt.leader = round_, round_ % attempt.validators
            outcome = self.run(transaction, transaction.journal, attempt)
            transaction.rounds.append(Round(attempt.leader, attempt.votes))
            if not attempt.rejected:
                break
        return outcome

    def attempt(self, transaction: Transaction, mark: int = 0, *, voters: int | None = None) -> Attempt:
        conditions = transaction.conditions
        if voters is None:
            voters = 1 if transaction.leader_only else conditions.validators or self.settings.validators
        return Attempt(
            origin=transaction.origin,
            datetime=datetime_text(self._time_of(transaction)),
            chain_id=self.settings.chain_id,
            services=conditions.services or self.services,
            validators=voters,
            mark=mark,
        )

    def _time_of(self, transaction: Transaction) -> datetime:
        return transaction.conditions.now or self.world.now

    def run(self, transaction: Transaction, journal: Journal, attempt: Attempt) -> Outcome:
        """Run a deploy or a call once; what it changes is in ``journal``, whatever comes of it."""
        if transaction.kind == "deploy":
            assert transaction.code is not None
            account = ContractAccount(transaction.code, transaction.filename, Storage(transaction.to))
            self.world.add_contract(journal, transaction.to, account)
        frame = self._frame(transaction.to, attempt, journal, WRITE, transaction)
        return self.machine.run(frame, self._time_of(transaction))

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
        attempt = self.attempt(transaction, voters=1)
        frame = self._frame(transaction.to, attempt, [], READ, transaction)
        return self.machine.run(frame, self._time_of(transaction))


def datetime_text(moment: datetime) -> str:
    """A time as contracts see it, for example ``2026-01-15T12:00:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def vm_error(text: str) -> Outcome:
    return Outcome("vm_error", VM_ERROR + text.encode("utf-8"))


def _names_no_method(call: bytes) -> bool:
    try:
        decoded = calldata.decode(call)
    except ValueError:
        return False
    return isinstance(decoded, dict) and not decoded.get("method")
