"""The node behind the server: the chain, a clock that goes, validators, test accounts and snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from genlayer_localnet.chain.chain import Chain, derived_id
from genlayer_localnet.chain.runs import FirstChildren, Settings
from genlayer_localnet.loading import standard_library
from genlayer_localnet.nondet.services import Services
from genlayer_localnet.rpc.accounts import TestAccount, Validators, account_of
from genlayer_localnet.rpc.errors import not_found
from genlayer_localnet.rpc.networks import NETWORKS, NetworkName, in_force
from genlayer_localnet.rpc.options import DEFAULT_FINALITY_WINDOW_SECONDS, NodeOptions
from genlayer_localnet.rpc.receipt_json import address_text
from genlayer_localnet.rpc.sim_config import services_of
from genlayer_localnet.rpc.state_file import StateFile, StateFileError
from genlayer_localnet.state.changes import Changes
from genlayer_localnet.state.fees import FeePolicy
from genlayer_localnet.state.transactions import Transaction, TransactionKind
from genlayer_localnet.state.world import ContractAccount, World
from genlayer_localnet.vm.execution import LOCK, virtual_machine

ACCOUNT_BALANCE_WEI = 10_000 * 10**18


@dataclass(frozen=True, slots=True)
class Identity:
    """What cannot change between two starts with the same state file."""

    network: NetworkName | None = None
    chain_id: int = NETWORKS[None].chain_id
    seed: str = "localnet"
    failed_value: Literal["keep", "return"] = "keep"
    first_children: FirstChildren = "undone"


def _identity(options: NodeOptions, kept: dict[str, Any] | None, path: object) -> Identity:
    """Raises: StateFileError, where the options contradict what is kept."""
    given = {name: getattr(options, name) for name in asdict(Identity())}
    wanted = {name: value for name, value in given.items() if value is not None}
    if kept is None:
        return Identity(**{"chain_id": NETWORKS[options.network].chain_id, **wanted})
    made_with = Identity(**kept)
    for name, value in wanted.items():
        if value != getattr(made_with, name):
            raise StateFileError(f"{path} was made with {name} {getattr(made_with, name)!r}, not {value!r}")
    return made_with


def _fees(options: NodeOptions, kept: dict[str, Any], identity: Identity) -> FeePolicy | None:
    """The prices of the options, or those that a state file has, or the network's."""
    if options.fee_prices is not None:
        return in_force(FeePolicy(*options.fee_prices))
    if "fees" in kept:
        return in_force(kept["fees"] and FeePolicy(**kept["fees"]))
    return NETWORKS[identity.network].fees


def _last_prices(fees: FeePolicy | None, kept: dict[str, Any], identity: Identity) -> FeePolicy | None:
    """The prices in force, or the last ones that a state file has, or the network's."""
    if fees is None and kept.get("last_prices"):
        return FeePolicy(**kept["last_prices"])
    return fees or NETWORKS[identity.network].fees


class Clock:
    """The machine's time, moved."""

    def __init__(self) -> None:
        self.offset = timedelta()

    @staticmethod
    def real() -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    def now(self) -> datetime:
        return self.real() + self.offset

    def set(self, moment: datetime) -> None:
        self.offset = moment - self.real()


class Node:
    """Not thread-safe but for ``run``: everything else is called by a function that ``run`` runs."""

    def __init__(self, options: NodeOptions, state: StateFile | None = None) -> None:
        """With a ``state`` file the node goes on where that was left. Raises: StateFileError."""
        self.options = options
        self._state = state
        self._facts_changed = True
        self._must_go_back = False
        facts = state.facts() if state is not None else {}
        self.identity = _identity(options, facts.get("identity"), state.path if state is not None else "")
        window = options.finality_window_seconds
        if window is None:
            window = facts.get("finality_window_seconds", DEFAULT_FINALITY_WINDOW_SECONDS)
        self.library = standard_library.choose(options.std)
        self.clock = Clock()
        if options.now is not None:
            self.clock.set(options.now)
        settings = Settings(
            self.identity.chain_id,
            options.validators,
            options.rotations,
            self.identity.failed_value,
            timedelta(seconds=window),
            mint_missing=not options.strict_funds,
            first_children=self.identity.first_children,
            contract_timeout_seconds=options.contract_timeout_seconds,
            fees=_fees(options, facts, self.identity),
            line=NETWORKS[self.identity.network].line,
        )
        self.chain = Chain(World(self.clock.now()), virtual_machine(self.library), settings)
        self.chain.changes = Changes() if state is not None else None
        self.validators = Validators(self.identity.seed, options.validators)
        self.accounts: list[TestAccount] = [
            account_of(self.identity.seed, "account", number) for number in range(options.accounts)
        ]
        self.last_prices = _last_prices(settings.fees, facts, self.identity)
        self._snapshots: dict[int, World] = {}
        if state is not None and facts:
            self._load(state, facts)
            if options.now is not None:
                self.clock.set(options.now)
                self.world.now = options.now
        self._fund_accounts()
        self.save()

    def _load(self, state: StateFile, facts: dict[str, Any]) -> None:
        self.clock.offset = timedelta(seconds=facts["clock_offset_seconds"])
        self.validators.restore(facts["validators"])
        self.validators_changed()
        self.chain.world = state.load(self.clock.now())

    def _facts(self) -> dict[str, Any]:
        return {
            "identity": asdict(self.identity),
            "clock_offset_seconds": self.clock.offset.total_seconds(),
            "finality_window_seconds": self.chain.settings.finality_window.total_seconds(),
            "fees": self.chain.settings.fees and asdict(self.chain.settings.fees),
            "last_prices": self.last_prices and asdict(self.last_prices),
            "validators": self.validators.state(),
        }

    def save(self) -> None:
        """Make what changed durable. What could not be saved is still to be saved, or to be discarded."""
        changes = self.chain.changes
        if self._state is None or changes is None or not self.has_unsaved:
            return
        self._state.save(self.world, changes, self._facts() if self._facts_changed else None)
        self._facts_changed = False
        self.chain.changes = Changes()

    def discard(self) -> None:
        """Forget what is not saved, from the next ``run`` on: who was told that it failed must not find it done."""
        self._must_go_back = True

    def _go_back(self) -> None:
        assert self._state is not None
        facts = self._state.facts()
        self._load(self._state, facts)
        window = timedelta(seconds=facts["finality_window_seconds"])
        fees = _fees(NodeOptions(), facts, self.identity)
        self.chain.settings = replace(self.chain.settings, finality_window=window, fees=fees)
        self.last_prices = _last_prices(fees, facts, self.identity)
        self.chain.changes = Changes()
        self._facts_changed = self._must_go_back = False

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """Context manager: what becomes durable in it is all durable afterwards, or nothing of it."""
        if self._state is None:
            yield
            return
        self.save()
        try:
            with self._state.transaction():
                yield
                self.save()
        except BaseException:
            self.discard()
            raise

    def _fund_accounts(self) -> None:
        """Those that were never used get their first money."""
        for account in self.accounts:
            if account.address not in self.world.balances and account.address not in self.world.nonces:
                self.chain.fund(account.address, ACCOUNT_BALANCE_WEI)

    @property
    def world(self) -> World:
        return self.chain.world

    def run[T](self, work: Callable[[], T]) -> T:
        """Do ``work`` alone and at the time of now: what became final until then is final."""
        with LOCK:
            if self._must_go_back:
                self._go_back()
            self.chain.move_clock(self.clock.now())
            return work()

    def beside[T](self, work: Callable[[], T]) -> T:
        """Do ``work``, which changes nothing, while a transaction that was set aside waits for the network.

        Called by the thread that runs the transaction. It sees the time of now, but nothing becomes final.
        """
        world = self.world
        before, world.now = world.now, max(world.now, self.clock.now())
        try:
            return work()
        finally:
            world.now = before

    def look[T](self, work: Callable[[], T]) -> T | None:
        """Do ``work``, which only reads, if nothing runs, all is saved and nothing becomes final now; None otherwise.

        Can be called from any thread, and does not wait. Raises what ``work`` raises.
        """
        if not LOCK.acquire(blocking=False):
            return None
        try:
            now = self.clock.now()
            if self.has_unsaved or self._must_go_back or self._is_due(now):
                return None
            self.world.now = now
            return work()
        finally:
            LOCK.release()

    @property
    def has_unsaved(self) -> bool:
        """Whether something would be lost in a crash that is meant to survive one."""
        return self._state is not None and bool(self.chain.changes or self._facts_changed)

    def _is_due(self, now: datetime) -> bool:
        """Whether a transaction becomes final now."""
        unfinalized = self.world.unfinalized
        return bool(unfinalized) and self.final_at(unfinalized[0]) <= now

    def final_at(self, transaction: Transaction) -> datetime:
        """When a decided transaction becomes final."""
        assert transaction.decided_at is not None
        return transaction.decided_at + self.chain.settings.finality_window

    def transaction(self, transaction_id: str) -> Transaction:
        """The transaction with this id, or the one that a raw transaction of this hash was about. Raises: RpcError."""
        world = self.world
        found = world.transactions.get(world.aliases.get(transaction_id, transaction_id))
        if found is None:
            raise not_found(f"transaction {transaction_id} not found")
        return found

    def contract(self, address: bytes) -> ContractAccount:
        """Raises: RpcError."""
        account = self.world.contracts.get(address)
        if account is None:
            raise not_found(f"contract {address_text(address)} not found")
        return account

    def settle(self, kind: TransactionKind, to: bytes, *, value: int = 0, code: bytes | None = None) -> str:
        """Do something that nobody sent, in a transaction that is final at once; its id."""
        number = str(len(self.world.transactions)).encode()
        what = str(value).encode() if code is None else code
        transaction = Transaction(
            id=derived_id(kind.encode(), self.identity.seed.encode(), number, to, what),
            kind=kind,
            sender=bytes(20),
            origin=bytes(20),
            to=to,
            calldata=b"",
            value=value,
            created_at=self.world.now,
            code=code,
        )
        self.chain.settle(transaction)
        return transaction.id

    # --- time ---

    def set_time(self, moment: datetime) -> None:
        self.clock.set(moment)
        self._facts_changed = True
        self.chain.move_clock(moment)

    def set_finality_window(self, seconds: float) -> None:
        self.chain.settings = replace(self.chain.settings, finality_window=timedelta(seconds=seconds))
        self._facts_changed = True
        self.chain.move_clock(self.clock.now())

    def set_fees(self, fees: FeePolicy | None) -> None:
        self.chain.set_fees(fees)
        self.last_prices = fees or self.last_prices
        self._facts_changed = True

    # --- validators ---

    def validators_changed(self) -> None:
        """Let the present validators vote, and their mocks answer."""
        everyone = self.validators.all
        self._facts_changed = True
        self.chain.settings = replace(self.chain.settings, validators=max(len(everyone), 1))
        self.chain.services = services_of(everyone) or Services()

    # --- snapshots ---

    def snapshot(self) -> int:
        """Keep the state: storage, balances, nonces, transactions, messages, clock. Ids count from 1."""
        if self._state is not None:
            with self._replacing():
                return self._state.create_snapshot(self.world.now)
        snapshot_id = max(self._snapshots, default=0) + 1
        self._snapshots[snapshot_id] = self.world.clone()
        return snapshot_id

    def restore(self, snapshot_id: int) -> bool:
        """Go back to a snapshot; time goes on from there. All snapshots stay usable. False when there is none."""
        with self._replacing():
            if self._state is not None:
                found = self._state.restore_snapshot(snapshot_id)
            else:
                kept = self._snapshots.get(snapshot_id)
                found = None if kept is None else kept.clone()
            if found is None:
                return False
            self.chain.world = found
            self.clock.set(found.now)
            self._facts_changed = True
        return True

    def adopt(self, world: World) -> None:
        """Go on from a world that was made elsewhere, at its time; before the first request, and without a state file.

        The world is the node's from here on. Raises: StateFileError.
        """
        if self._state is not None:
            raise StateFileError("a world from elsewhere would not be in the state file")
        self.chain.world = world
        self.clock.set(world.now)
        self._fund_accounts()

    def delete_snapshots(self) -> int:
        """How many there were."""
        number = len(self._snapshots)
        self._snapshots.clear()
        if self._state is None:
            return number
        with self._replacing():
            return self._state.delete_snapshots()

    def clear(self) -> None:
        """Forget all contracts, transactions and balances; the test accounts get theirs again."""
        with self._replacing():
            self.chain.world = World(self.clock.now())
            if self._state is not None:
                self._state.clear()
                self.chain.changes = Changes()
            self._fund_accounts()
