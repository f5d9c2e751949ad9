"""Transactions and what running one leaves behind. Addresses are 20 raw bytes, amounts integer wei."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, cast

from genlayer_localnet import calldata
from genlayer_localnet.nondet.services import Services
from genlayer_localnet.state.fees import Fees
from genlayer_localnet.state.journal import Journal, add_amount, roll_back
from genlayer_localnet.state.voting import Decision, VotingRound

TransactionKind = Literal["deploy", "call", "transfer", "faucet", "upgrade"]
Phase = Literal["accepted", "finalized"]
On = Phase | Literal["decided"]
"""How contracts say it: the v0.3 line says ``decided`` for ``accepted``."""
Status = Literal["pending", "finalized", "cancelled"] | Decision
AWAITING_FINALITY: Final = frozenset({"accepted", "undetermined", "leader_timeout", "validators_timeout"})
"""Statuses of transactions that are decided and not final."""
OutcomeKind = Literal["return", "user_error", "vm_error"]
ExecutionMode = Literal["NORMAL", "LEADER_ONLY", "LEADER_SELF_VALIDATOR"]
MessageKind = Literal["PostMessage", "DeployContract", "EthSend"]


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message or payout a call emitted. It becomes a transaction of its own when its parent reaches ``on``."""

    kind: MessageKind
    sender: bytes
    to: bytes | None
    """None for a deploy whose address the localnet chooses."""
    calldata: bytes
    """Encoded call object; for ``EthSend`` the ABI bytes."""
    value: int
    on: On
    code: bytes | None = None
    salt_nonce: int = 0

    @property
    def phase(self) -> Phase:
        return "accepted" if self.on == "decided" else self.on


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    address: bytes
    name: str | None
    """None where no event class of the contract has this signature."""
    topics: tuple[bytes, ...]
    blob: dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """The result of one run. ``result`` is the GenVM's: a code byte (0 return, 1 user error, 2 VM error), payload."""

    kind: OutcomeKind
    result: bytes
    stdout: str = ""
    stderr: str = ""
    events: list[EmittedEvent] = field(default_factory=list)
    messages: list[OutgoingMessage] = field(default_factory=list)
    storage_reads: int = 0
    storage_writes: int = 0
    eq_outputs: list[bytes] = field(default_factory=list)
    seen: dict[bytes, int] = field(default_factory=dict)
    """The accounts that its code could look at, the called one among them, with their balances at that time."""
    saw_final_state: bool = False
    """A view looked at what was final then: nothing can bring that back."""
    has_data: bool = False
    """A user error carries calldata, as in the v0.3 line, and not text."""

    @property
    def data(self) -> Any:
        """What an error carries, which is text but in the v0.3 line; None for a return."""
        if self.kind == "return":
            return None
        if self.kind == "user_error" and self.has_data:
            return calldata.decode(self.result[1:])
        return self.result[1:].decode("utf-8", "replace")

    @property
    def message(self) -> str | None:
        """The error's text, None for a return."""
        data = self.data
        return data if self.kind == "return" or isinstance(data, str) else calldata.to_str(data)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a transaction wants to be different from the chain; None leaves it. What it triggers inherits them."""

    validators: int | None = None
    """How many vote; 1 is the leader alone."""
    rotations: int | None = None
    now: datetime | None = None
    """The time that contract code sees."""
    services: Services | None = None
    source: Mapping[str, Any] | None = None
    """What they were read from, so that they can be kept as data."""


DEFAULT_CONDITIONS = Conditions()


@dataclass(slots=True, eq=False)
class Transaction:
    """Equal only to itself, so that it can be looked for in queues."""

    id: str
    kind: TransactionKind
    sender: bytes
    origin: bytes
    to: bytes
    calldata: bytes
    value: int
    created_at: datetime
    nonce: int = 0
    code: bytes | None = None
    filename: str | None = None
    triggered_by: str | None = None
    triggered_on: Phase | None = None
    chain_length: int = 0
    """How many transactions, each triggered by the one before, led to this one."""
    status: Status = "pending"
    decided_at: datetime | None = None
    outcome: Outcome | None = None
    rounds: list[VotingRound] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    balance_wei: int = 0
    """Of the called contract, once this transaction was decided."""
    refund_wei: int = 0
    """What a failed call brought, and its sender gets back once it is final."""
    journal: Journal = field(default_factory=list)
    """How to take the transaction back; empty once it is final."""
    conditions: Conditions = DEFAULT_CONDITIONS
    mode: ExecutionMode = "NORMAL"
    block: int = 0
    """Its place in the order of decisions, from 1; 0 until it is decided."""
    decisions: int = 0
    """How many decisions there have been on it; an appeal that fails is one too."""
    appealed_at: datetime | None = None
    valid_until: int = 0
    """In Unix seconds: it does not run for the first time after that; 0 is any time."""
    refused: str = ""
    """Why it was cancelled when its turn came."""
    fees: Fees | None = None
    """None where the network takes none, or where it was sent without."""
    raw: bytes = b""
    """The signed Ethereum transaction that it came in; empty where there was none."""
    _changes: frozenset[bytes] | None = None

    @property
    def leader_only(self) -> bool:
        """Nobody but the leader runs it, and it is final at once, unless an earlier one of the contract is not."""
        return self.mode != "NORMAL"

    @property
    def taken(self) -> int:
        """What it takes from its sender's balance, value and deposit; those of a message were with the parent."""
        if self.triggered_by is not None:
            return 0
        return self.value if self.fees is None else self.value + self.fees.deposit - self.fees.added

    @property
    def pays(self) -> bool:
        """Whether it takes something from its sender's balance."""
        return self.taken > 0

    @property
    def is_paid(self) -> bool:
        """False where an appeal took away what its sender had paid it with; not for what is final."""
        return bool(self.journal) or not self.pays

    @property
    def paid(self) -> int:
        """What its sender's balance has given for it, as long as it is not final."""
        return self.taken if self.is_paid else 0

    @property
    def submission(self) -> int:
        """How many entries of the journal its submission made."""
        return int(self.pays and bool(self.journal))

    @property
    def changes(self) -> frozenset[bytes]:
        """The accounts whose balance or storage it changed by running; it is decided, and not final."""
        if self._changes is None:
            run = self.journal[self.submission :]
            self._changes = frozenset(cast(bytes, getattr(entry[1], "address", entry[2])) for entry in run)
        return self._changes

    def rests_on(self, earlier: Transaction, *, as_message: bool = True) -> bool:
        """Whether it could have come out differently without an earlier one, or that one could with it before it.

        ``as_message``: a message rests on what sent it.
        """
        if as_message and self.triggered_by == earlier.id:
            return True
        return earlier.looked_at(self.to) or any(self.looked_at(account) for account in earlier.changes)

    def looked_at(self, account: bytes) -> bool:
        """Whether its result could depend on the account: it paid with it, ran it, or its code looked at it."""
        if self.pays and account == self.sender:
            return True
        if self.kind == "transfer":
            return False
        return account == self.to or (self.outcome is not None and account in self.outcome.seen)

    def brought(self, account: bytes) -> int:
        """By how many wei running it changed the balance of an account."""
        amounts = (entry[2:] for entry in self.journal[self.submission :] if entry[0] is add_amount)
        return sum(-int(difference) for key, difference in amounts if key == account)

    def take_back(self) -> None:
        """Undo what running it did, so that it can run again; its value is still with it."""
        roll_back(self.journal, self.submission)
        self.status, self.outcome, self.refund_wei, self._changes = "pending", None, 0, None

    def messages(self, phase: Phase) -> list[OutgoingMessage]:
        """The messages that go out in ``phase``; a call that failed or was not agreed on sends none."""
        if self.outcome is None or self.outcome.kind != "return" or self.status == "undetermined":
            return []
        return [message for message in self.outcome.messages if message.phase == phase]

    def waiting_messages(self) -> list[OutgoingMessage]:
        """Messages that have left their sender's balance and wait for this transaction to become final."""
        return [] if self.status == "finalized" else self.messages("finalized")

    def clone(self, counterpart: Callable[[Any], Any]) -> Transaction:
        """A copy whose journal changes the counterparts of what this one's changes."""
        twin = copy.copy(self)
        twin.children, twin.rounds = list(self.children), list(self.rounds)
        twin.fees = copy.copy(self.fees)
        twin.journal = [tuple(counterpart(part) for part in entry) for entry in self.journal]
        return twin
