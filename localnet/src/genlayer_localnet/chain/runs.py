"""Runs of transactions and views: who executes them, at which time, how often, and what came of it.

Nothing here decides what a result means for the money or for the queue: that is ``chain``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from genlayer_localnet import calldata
from genlayer_localnet.chain.allocations import Allotment, NoAllocation, allotments
from genlayer_localnet.chain.fees import COMMITTEES, Meter, committee, execution_report, rotations_after, round_fees
from genlayer_localnet.interpreter.time_limit import DEFAULT_SECONDS, SCHEMA_SECONDS
from genlayer_localnet.loading.entry_keys import for_line, method_of
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.services import Services, Wait
from genlayer_localnet.nondet.web import WebResponse
from genlayer_localnet.state.fees import FeePolicy
from genlayer_localnet.state.journal import Journal, re_apply, roll_back, without
from genlayer_localnet.state.results import RETURN, TIMEOUT, VM_ERROR
from genlayer_localnet.state.transactions import Outcome, Transaction
from genlayer_localnet.state.voting import ROTATION, VotingRound, appeals_up_to, decision, name_of, panel
from genlayer_localnet.state.world import ContractAccount, Storage, World
from genlayer_localnet.vm.execution import VirtualMachine
from genlayer_localnet.vm.frame import READ, WRITE, Attempt, Frame, Permissions
from genlayer_localnet.vm.sub_vms import ENTRY_MAIN

MAX_CHAIN_LENGTH = 1_000
"""A message that follows this many others fails, so that contracts that keep calling each other come to an end."""
NOTHING = RETURN + calldata.encode(None)
SCHEMA_CALL = calldata.encode({"method": "#get-schema"})


FirstChildren = Literal["undone", "stay"]
"""What an appeal that takes a transaction back does with the messages that it had sent on acceptance."""
# Makes a call that waits for the network; in the context of the second, others can read meanwhile.
WaitBeside = Callable[[Callable[[], Any], Callable[[], AbstractContextManager[None]]], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    chain_id: int
    validators: int
    rotations: int
    failed_value: Literal["keep", "return"]
    finality_window: timedelta
    mint_missing: bool
    first_children: FirstChildren = "undone"
    contract_timeout_seconds: float | None = DEFAULT_SECONDS
    """How long contract code may run at every node; None is any time."""
    fees: FeePolicy | None = None
    """None: there are no fees, and what is sent for them comes back."""
    line: Line | None = None
    """The only line whose contracts run; None: all do."""


class Runs:
    """The world, and the machine that runs contracts on it. Not thread-safe."""

    def __init__(self, world: World, machine: VirtualMachine, settings: Settings) -> None:
        self.world = world
        self.machine = machine
        self.settings = settings
        self.services = Services()
        self.wait_beside: WaitBeside | None = None
        """How transactions wait for the network, where others can read meanwhile; None: nobody can."""

    def outcome(self, transaction: Transaction, mark: int, before: int) -> Outcome:
        """What running the transaction gives; everything that needs no contract code is decided here.

        ``before`` and ``mark``: how much its journal had before its value arrived, and since.
        """
        outcome = self.without_code(transaction)
        if outcome is None:
            return self._agree(transaction, mark, before)
        meter = self.meter(transaction, self.voters(transaction))
        if meter is not None:
            outcome = self._within_budget(transaction, outcome, [], 0)
            meter.count()
            meter.charge()
        return outcome

    def without_code(self, transaction: Transaction) -> Outcome | None:
        """What it gives without contract code; None where that has to run."""
        has_code = transaction.to in self.world.contracts
        if transaction.chain_length > MAX_CHAIN_LENGTH:
            return vm_error(f"localnet: chain of more than {MAX_CHAIN_LENGTH} messages")
        if transaction.kind == "transfer":
            return Outcome("return", NOTHING)
        if transaction.kind == "deploy":
            return vm_error("localnet: address is taken") if has_code else None
        if has_code:
            return None
        if _names_no_method(transaction.calldata):
            return Outcome("return", NOTHING)
        return vm_error("invalid_contract absent")

    def _agree(self, transaction: Transaction, mark: int, before: int) -> Outcome:
        """Let leaders run the transaction, one after the other, until most validators agree with one."""
        rotations = transaction.conditions.rotations
        left = self.settings.rotations if rotations is None else rotations
        appeal, voters = panel(transaction.rounds, self.voters(transaction))
        appeals = appeals_up_to(transaction.rounds, appeal)
        meter = self.meter(transaction, committee(2 * appeals) if appeals else voters)
        if meter is not None and transaction.fees is not None:
            left = min(left, rotations_after(transaction.fees.distribution, appeals))
        rounds = len(transaction.rounds)
        while True:
            roll_back(transaction.journal, mark)
            attempt = self.attempt(transaction, mark, voters=voters)
            attempt.round = len(transaction.rounds)
            attempt.leader = attempt.round % voters
            attempt.wait = self._wait(transaction, before, rounds)
            outcome = self.run(transaction, transaction.journal, attempt)
            votes = attempt.votes if attempt.rejected or outcome.result != TIMEOUT else {attempt.leader: "timeout"}
            decided = decision(attempt.leader, votes)
            if meter is not None:
                meter.count()
            is_last = decided != "undetermined" or not left or not (meter is None or meter.affords_another)
            transaction.rounds.append(
                VotingRound(attempt.leader, votes, name_of(decided, appeal) if is_last else ROTATION)
            )
            if is_last:
                if meter is not None:
                    meter.charge()
                return outcome
            left -= 1

    def _wait(self, transaction: Transaction, before: int, rounds: int) -> Wait | None:
        wait_beside = self.wait_beside
        if wait_beside is None:
            return None
        return _fetching(wait_beside, lambda: self._set_aside(transaction, before, rounds))

    @contextmanager
    def _set_aside(self, transaction: Transaction, before: int, rounds: int) -> Iterator[None]:
        """Context manager: in the middle of a transaction the world as it was before, with the transaction waiting.

        So what others see, and what is saved, is what is accepted. ``before`` and ``rounds`` are how much there was in
        its journal and in its history.
        """
        world, journal = self.world, transaction.journal
        undone = roll_back(journal, before)
        made, transaction.rounds[rounds:] = transaction.rounds[rounds:], []
        world.pending.appendleft(transaction)
        try:
            yield
        finally:
            world.pending.remove(transaction)
            transaction.rounds += made
            re_apply(journal, undone)

    def voters(self, transaction: Transaction) -> int:
        """How many vote on a transaction at first."""
        return 1 if transaction.leader_only else transaction.conditions.validators or self.settings.validators

    def committee(self, transaction: Transaction) -> int:
        """How many validators a transaction pays at first: a number that consensus has, whatever number votes."""
        voters = transaction.conditions.validators or self.settings.validators
        return max((number for number in COMMITTEES if number <= voters), default=COMMITTEES[0])

    def replay(
        self, transaction: Transaction, journal: Journal, leader: int, voters: Iterable[int]
    ) -> tuple[Outcome, dict[int, str]]:
        """Let other validators vote on what the leader found; the world must be as before the transaction.

        What the run changes is in ``journal``. Balances are made what they were: what is paid to an account out of
        nothing, or in a transfer, is in no journal.
        """
        assert transaction.outcome is not None
        self.world.change_balance(journal, transaction.to, transaction.value)
        for account, wei in transaction.outcome.seen.items():
            self.world.change_balance(journal, account, wei - self.world.balance(account))
        attempt = self.attempt(transaction, len(journal), voters=1)
        attempt.votes = dict.fromkeys(voters, "agree")
        attempt.round, attempt.leader = len(transaction.rounds), leader
        attempt.replay = tuple(transaction.outcome.eq_outputs)
        return self.run(transaction, journal, attempt), attempt.votes

    def attempt(self, transaction: Transaction, mark: int = 0, *, voters: int) -> Attempt:
        conditions = transaction.conditions
        return Attempt(
            origin=transaction.origin,
            datetime=datetime_text(self._time_of(transaction)),
            chain_id=self.settings.chain_id,
            services=conditions.services or self.services,
            validators=voters,
            mark=mark,
            time_limit_seconds=self.settings.contract_timeout_seconds,
        )

    def _time_of(self, transaction: Transaction) -> datetime:
        """What its code takes for now: where it runs again, the time of its first decision."""
        return transaction.conditions.now or transaction.decided_at or self.world.now

    def run(self, transaction: Transaction, journal: Journal, attempt: Attempt) -> Outcome:
        """Run a deploy or a call once; what it changes is in ``journal``, whatever comes of it."""
        if transaction.kind == "deploy":
            assert transaction.code is not None
            account = ContractAccount(transaction.code, transaction.filename, Storage(transaction.to))
            self.world.add_contract(journal, transaction.to, account)
        frame = self._frame(transaction.to, attempt, journal, WRITE, transaction)
        outcome = self._run(frame, transaction)
        return self._within_budget(transaction, outcome, journal, attempt.mark)

    # --- fees ---

    def meter(self, transaction: Transaction, voters: int) -> Meter | None:
        """None where nothing is charged: neither for running it nor for its messages."""
        fees = transaction.fees
        return None if fees is None or fees.policy is None else Meter(fees, voters, fees.policy)

    def _within_budget(self, transaction: Transaction, outcome: Outcome, journal: Journal, mark: int) -> Outcome:
        """What a run gives, or the error it ends with for its fees; its changes are in the journal from ``mark`` on."""
        fees = transaction.fees
        if fees is None or fees.policy is None:
            return outcome
        fees.report = execution_report(transaction, outcome, journal[mark:], fees.policy)
        error = None
        if fees.report["totalEstimatedFee"] > fees.distribution.execution_budget_per_round:
            error = "fee execution_budget_exceeded"
        else:
            try:
                self.allotments(transaction, outcome)
            except NoAllocation as kind:
                error = f"fee no_matching_allocation # {kind}"
        if error is None:
            return outcome
        failed = vm_error(error)
        return replace(outcome, kind=failed.kind, result=failed.result, events=[], messages=[])

    def allotments(self, transaction: Transaction, outcome: Outcome) -> Sequence[Allotment | None]:
        """What each of its messages gets of its deposit; None where nothing is charged. Raises: NoAllocation."""
        fees, messages = transaction.fees, outcome.messages
        if fees is None or fees.policy is None:
            return [None] * len(messages)
        validators, policy = self.committee(transaction), fees.policy
        made = self._made_above(transaction)
        return allotments(
            fees, messages, made, policy, lambda distribution: round_fees(distribution, validators, policy)
        )

    def _made_above(self, transaction: Transaction) -> set[bytes]:
        """The contracts that it, and what led to it, deploys."""
        made, one = set[bytes](), transaction
        while True:
            if one.kind == "deploy":
                made.add(one.to)
            if one.triggered_by is None:
                return made
            one = self.world.transactions[one.triggered_by]

    # --- one node ---

    def _frame(
        self, address: bytes, attempt: Attempt, journal: Journal, permissions: Permissions, transaction: Transaction
    ) -> Frame:
        account = self.world.contracts[address]
        line = self.machine.line_of(account.code, account.filename)
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
            # As Studio does before it runs one; what contracts ask each other goes as they say it.
            "entry_data": for_line(transaction.calldata, line),
            "entry_stage_data": None,
        }
        return Frame(self.world, journal, attempt, address, account.storage, permissions, message, line)

    def try_out(
        self, transaction: Transaction, journal: Journal, wait: Wait | None = None, seconds: float = math.inf
    ) -> Outcome:
        """Run a deploy or a call on one node; the caller takes it back, with all else that is in ``journal``.

        ``wait`` answers its requests; without it they are made, and others read meanwhile what was before all of it.
        ``seconds`` is what it may take where that is less than what every call may.
        """
        attempt = self.attempt(transaction, len(journal), voters=1)
        if attempt.time_limit_seconds is not None:
            attempt.time_limit_seconds = min(attempt.time_limit_seconds, seconds)
        attempt.wait = wait or self.wait_without(journal)
        return self.run(transaction, journal, attempt)

    def wait_without(self, journal: Journal) -> Wait | None:
        """Requests are made while others read what was before all that is in the journal; None where nobody can."""
        wait_beside = self.wait_beside
        return None if wait_beside is None else _fetching(wait_beside, lambda: without([journal]))

    def view(self, transaction: Transaction, *, beside: bool = False) -> Outcome:
        """Run a read on one node; ``transaction`` only describes the call. The contract must be there.

        ``beside``: others can read while it waits for the network; not where the world is not what it is for them.
        """
        attempt = self.attempt(transaction, voters=1)
        if beside:
            attempt.wait = self.wait_without([])
        if attempt.time_limit_seconds is not None and transaction.calldata == SCHEMA_CALL:
            attempt.time_limit_seconds = min(attempt.time_limit_seconds, SCHEMA_SECONDS)
        frame = self._frame(transaction.to, attempt, [], READ, transaction)
        return self._run(frame, transaction)

    def _run(self, frame: Frame, transaction: Transaction) -> Outcome:
        runs = self.settings.line
        if runs not in (None, frame.line):
            text = f"this network runs contracts of the {runs} line of GenVM, and this one is of the {frame.line} line"
            return vm_error("invalid_contract unknown_runner", text)
        return self.machine.run(frame, self._time_of(transaction))


def _fetching(wait_beside: WaitBeside, set_aside: Callable[[], AbstractContextManager[None]]) -> Wait:
    return lambda request: cast(WebResponse, wait_beside(lambda: web.fetch(request), set_aside))


def datetime_text(moment: datetime) -> str:
    """A time as contracts see it, for example ``2026-01-15T12:00:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def vm_error(text: str, stderr: str = "") -> Outcome:
    return Outcome("vm_error", VM_ERROR + text.encode("utf-8"), stderr=stderr)


def _names_no_method(call: bytes) -> bool:
    try:
        decoded = calldata.decode(call)
    except ValueError:
        return False
    return isinstance(decoded, dict) and not method_of(decoded)
