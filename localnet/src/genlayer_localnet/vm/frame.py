"""One running VM (``Frame``), and what all frames of one attempt at a transaction, or of one view, share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genlayer_localnet.loading.contract_source import LoadedContract
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.nondet.services import Node, Services, Wait
from genlayer_localnet.state.journal import Journal
from genlayer_localnet.state.results import Terminated
from genlayer_localnet.state.transactions import EmittedEvent, OutgoingMessage
from genlayer_localnet.state.voting import is_majority
from genlayer_localnet.state.world import Storage, World


@dataclass(slots=True)
class Attempt:
    origin: bytes
    datetime: str
    chain_id: int
    services: Services
    wait: Wait | None = None
    """How a node waits for the network; None: the calling thread does nothing else meanwhile."""
    time_limit_seconds: float | None = None
    """How long a node may run; None is any time."""
    round: int = 0
    leader: int = 0
    validators: int = 1
    """How many nodes vote, the leader among them; 1 for a view, which only one node answers."""
    mark: int = 0
    """Length of the transaction's journal before contract code ran: up to there is what other contracts see."""
    replay: tuple[bytes, ...] | None = None
    """Results of the leader, of an earlier attempt, that are voted on once more; None where the leader really runs."""
    votes: dict[int, str] = field(default_factory=dict)
    eq_outputs: list[bytes] = field(default_factory=list)
    emitted: dict[bytes, int] = field(default_factory=dict)
    """Wei that contracts have put into messages so far; it leaves their balances when the transaction is accepted."""
    looked_at: set[bytes] = field(default_factory=set)
    """Accounts whose balance or storage code could see, beside the called contract's."""
    saw_final_state: bool = False
    rejected: bool = False
    """The validators did not agree with this leader."""
    node: Node | None = None
    """Who executes the nondeterministic block of now."""
    aborted: bytes | None = None
    """A result that ends the transaction without a vote: the localnet itself cannot go on."""

    def __post_init__(self) -> None:
        if not self.votes:
            self.votes = dict.fromkeys(range(self.validators), "agree")

    @property
    def is_replay(self) -> bool:
        return self.replay is not None

    def next_replayed(self) -> bytes | None:
        """The leader's result of the next nondeterministic block; None where the leader has to run it."""
        number = len(self.eq_outputs)
        return self.replay[number] if self.replay is not None and number < len(self.replay) else None

    def agreeing_validators(self) -> list[int]:
        """Those that agree so far, without the leader."""
        return [index for index, vote in self.votes.items() if vote == "agree" and index != self.leader]

    def has_majority(self) -> bool:
        return is_majority(self.votes)

    def spendable(self, world: World, address: bytes) -> int:
        """What a contract can still send: its balance less what it has emitted in this attempt."""
        return world.balance(address) - self.emitted.get(address, 0)

    def emit(self, address: bytes, value: int) -> None:
        if value:
            self.emitted[address] = self.emitted.get(address, 0) + value


@dataclass(frozen=True, slots=True)
class Permissions:
    write: bool = False
    send: bool = False
    call: bool = False
    spawn: bool = False
    nondeterministic: bool = False


READ = Permissions(call=True, spawn=True)
WRITE = Permissions(write=True, send=True, call=True, spawn=True)
NONDETERMINISTIC = Permissions(nondeterministic=True)


@dataclass(slots=True)
class Frame:
    """One running VM. ``message`` is what contract code sees as ``gl.message_raw``, with raw addresses."""

    world: World
    journal: Journal
    attempt: Attempt
    address: bytes
    storage: Storage
    permissions: Permissions
    message: dict[str, Any]
    line: Line
    locked: frozenset[bytes] = frozenset()
    """Slots that this call cannot write."""
    contract: LoadedContract | None = None
    depth: int = 0
    storage_reads: int = 0
    storage_writes: int = 0
    events: list[EmittedEvent] = field(default_factory=list)
    messages: list[OutgoingMessage] = field(default_factory=list)
    terminated: bytes | None = None
    """The result the VM has to end with, whatever contract code does afterwards."""

    def terminate(self, result: bytes) -> Terminated:
        if self.terminated is None:
            self.terminated = result
        return Terminated(self.terminated)

    def abort(self, result: bytes) -> Terminated:
        """End the transaction as well, without a vote."""
        self.attempt.aborted = result
        return self.terminate(result)
