"""The public face: one object that is a whole GenLayer network in this process."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, Literal

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.arguments import (
    AddressLike,
    as_address,
    as_amount,
    as_pattern,
    as_time,
    encode_call,
    source_of,
)
from genlayer_localnet.chain import appeals
from genlayer_localnet.chain.chain import Chain, derived_id
from genlayer_localnet.chain.estimates import recommended
from genlayer_localnet.chain.receipts import Receipt, receipt_of
from genlayer_localnet.chain.runs import FirstChildren, Settings
from genlayer_localnet.errors import (
    ContractNotFound,
    ContractRejected,
    InvalidArgument,
    LocalnetError,
    UnknownSnapshot,
)
from genlayer_localnet.interpreter.time_limit import DEFAULT_SECONDS
from genlayer_localnet.loading import standard_library
from genlayer_localnet.loading.entry_keys import METHOD_KEY
from genlayer_localnet.loading.standard_library import StandardLibrary
from genlayer_localnet.nondet.services import (
    PromptAnswer,
    PromptHandler,
    PromptMock,
    Services,
    WebAnswer,
    WebHandler,
    WebMock,
)
from genlayer_localnet.state.fees import FeePolicy
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.state.world import World
from genlayer_localnet.vm.execution import LOCK, is_running, virtual_machine

_NOBODY = bytes(Address.SIZE)


class Localnet:
    """A network with its accounts, contracts and clock. Deterministic: the same calls give the same ids and addresses.

    ``now`` is an aware datetime or ISO text. ``failed_value`` says where the value of a failed call is: it stays with
    the called contract (``keep``, as in Studio) or returns to the sender, when the call is final.
    ``first_children``: an appeal that takes a call back takes its messages back too (``undone``), or they ``stay``, and
    the new run sends its own beside them. ``finality_window_seconds`` after
    acceptance a transaction is final; the clock moves only by ``advance`` and ``now``. ``rotations``: how many more
    leaders try after the validators disagreed with the first. ``std`` as in ``standard_library``. With
    ``mint_missing`` a sender gets what it lacks, as in Studio. Contract code that runs longer than
    ``contract_timeout_seconds`` of real time at one node is ended with the VM error ``timeout``; None is no limit.
    With ``fees`` every deploy and write deposits what is recommended for it.

    Addresses are taken as 0x text, 20 bytes or ``Address``; amounts are integer wei. All methods can be called from any
    thread; they run one at a time in the whole process, since contracts share its modules. A handler or mock that is
    called while a contract runs must not call back.
    """

    def __init__(
        self,
        now: datetime | str = "2026-01-15T12:00:00Z",
        chain_id: int = 61999,
        validators: int = 5,
        failed_value: Literal["keep", "return"] = "keep",
        finality_window_seconds: float = 30,
        std: standard_library.Choice | None = None,
        *,
        rotations: int = 3,
        mint_missing: bool = False,
        contract_timeout_seconds: float | None = DEFAULT_SECONDS,
        first_children: FirstChildren = "undone",
        fees: FeePolicy | None = None,
    ) -> None:
        if first_children not in ("undone", "stay"):
            raise InvalidArgument(f"first_children is 'undone' or 'stay', not {first_children!r}")
        if failed_value not in ("keep", "return"):
            raise InvalidArgument(f"failed_value is 'keep' or 'return', not {failed_value!r}")
        if validators < 1 or rotations < 0:
            raise InvalidArgument("there is at least one validator, and no negative number of rotations")
        if contract_timeout_seconds is not None and contract_timeout_seconds <= 0:
            raise InvalidArgument("contract_timeout_seconds is above 0, or None for no limit")
        self.std: StandardLibrary = standard_library.choose(std)
        """The standard library in use: ``std.name`` and ``std.describe()``."""
        settings = Settings(
            chain_id,
            validators,
            rotations,
            failed_value,
            timedelta(seconds=finality_window_seconds),
            mint_missing,
            first_children,
            contract_timeout_seconds,
            fees,
        )
        self._chain = Chain(World(as_time(now)), virtual_machine(self.std), settings)
        self._snapshots: dict[int, tuple[World, Services]] = {}

    @contextmanager
    def _exclusive(self) -> Iterator[Chain]:
        with LOCK:
            if is_running():
                raise LocalnetError("a contract is running: its handlers and mocks cannot call the localnet")
            yield self._chain

    # --- accounts ---

    def fund(self, address: AddressLike, wei: int) -> None:
        """Give an account ``wei`` out of nothing."""
        with self._exclusive() as chain:
            chain.fund(as_address(address), as_amount(wei))

    def balance(self, address: AddressLike) -> int:
        with self._exclusive() as chain:
            return chain.world.balance(as_address(address))

    def nonce(self, address: AddressLike) -> int:
        """How many transactions the address has sent; messages of a contract count, failed ones too."""
        with self._exclusive() as chain:
            return chain.world.nonces.get(as_address(address), 0)

    def balances(self) -> dict[Address, int]:
        """All accounts that have something."""
        with self._exclusive() as chain:
            return {Address(address): wei for address, wei in chain.world.balances.items()}

    def undelivered_value(self) -> int:
        """Wei on its way: with messages that wait for finality. With it, the balances sum up to what was funded."""
        with self._exclusive() as chain:
            return chain.world.undelivered_value()

    @property
    def fees(self) -> FeePolicy | None:
        """The prices of now. Setting them cancels, when its turn comes, what wants lower ones."""
        return self._chain.settings.fees

    @fees.setter
    def fees(self, policy: FeePolicy | None) -> None:
        with self._exclusive() as chain:
            chain.set_fees(policy)

    # --- calls ---

    def deploy(
        self,
        path_or_source: str | bytes | os.PathLike[str],
        *args: Any,
        sender: AddressLike,
        value: int = 0,
        address: AddressLike | None = None,
        **kwargs: Any,
    ) -> Receipt:
        """Deploy a contract from a file or from source text, at ``address`` or one derived from the sender's nonce.

        A constructor that fails gives a receipt too. Raises: InsufficientFunds, InvalidArgument.
        """
        code, filename = source_of(path_or_source)
        call = encode_call(None, args, kwargs)
        with self._exclusive() as chain:
            transaction = self._transaction("deploy", sender, hashlib.sha256(code).digest(), call, value)
            transaction.code, transaction.filename = code, filename
            transaction.to = bytes.fromhex(transaction.id[2:42]) if address is None else as_address(address)
            if transaction.to in chain.world.contracts:
                raise InvalidArgument(f"there is a contract at {Address(transaction.to).as_hex} already")
            return self._send(transaction)

    def write(
        self,
        address: AddressLike,
        method: str | None,
        *args: Any,
        sender: AddressLike,
        value: int = 0,
        **kwargs: Any,
    ) -> Receipt:
        """Call a method in a transaction; messages it sends on acceptance have run too when this returns.

        ``method`` None is a call without a name: a payment. A call that fails gives a receipt.
        Raises: ContractNotFound, InsufficientFunds, InvalidArgument.
        """
        with self._exclusive():
            to = self._existing(as_address(address))
            call = self._call(to, method, args, kwargs)
            return self._send(self._transaction("call", sender, to, call, value))

    def transfer(self, to: AddressLike, wei: int, *, sender: AddressLike) -> Receipt:
        """Move GEN from account to account; no code runs, also where ``to`` is a contract. Final at once."""
        with self._exclusive():
            return self._send(self._transaction("transfer", sender, as_address(to), b"", wei))

    def view(
        self,
        address: AddressLike,
        method: str | None,
        *args: Any,
        sender: AddressLike = _NOBODY,
        state: Literal["accepted", "final"] = "accepted",
        **kwargs: Any,
    ) -> Any:
        """Read from a contract on one node: nothing is voted on, written or sent.

        Raises: ContractRejected, ContractNotFound, InvalidArgument.
        """
        if state not in ("accepted", "final"):
            raise InvalidArgument(f"state is 'accepted' or 'final', not {state!r}")
        with self._exclusive() as chain, chain.world.final_state() if state == "final" else nullcontext():
            to = self._existing(as_address(address))
            call = self._call(to, method, args, kwargs)
            outcome = chain.view(self._transaction("call", sender, to, call, 0))
        if outcome.kind != "return":
            assert outcome.message is not None
            raise ContractRejected(
                outcome.kind, outcome.message, data=outcome.data, stderr=outcome.stderr, stdout=outcome.stdout
            )
        return calldata.decode(outcome.result[1:])

    def schema(self, address: AddressLike) -> dict[str, Any]:
        """Constructor and methods with their types. Raises: ContractRejected, for a contract that has no schema."""
        schema: dict[str, Any] = json.loads(self.view(address, "#get-schema"))
        return schema

    def appeal(self, transaction_id: str, *, sender: AddressLike | None = None) -> Receipt:
        """Have more validators vote on a transaction that is not final; see ``appeals`` for what comes of it.

        ``sender`` pays what that costs where there are fees; None is the user who began it.
        Raises: InsufficientFunds, NotAppealable, UnknownTransaction.
        """
        with self._exclusive() as chain:
            transaction = chain.transaction(transaction_id)
            appellant = transaction.origin if sender is None else as_address(sender)
            charge = appeals.appeal_charge(chain, transaction)
            appeals.appeal(chain, transaction, appellant=appellant, paid=charge.total)
            chain.run_pending()
            return receipt_of(transaction, self._lookup)

    def transaction(self, transaction_id: str) -> Receipt:
        """The receipt of a transaction, also of one that a contract triggered. Raises: UnknownTransaction."""
        with self._exclusive() as chain:
            return receipt_of(chain.transaction(transaction_id), self._lookup)

    # --- time ---

    @property
    def now(self) -> datetime:
        """The clock, in UTC. Setting it forward makes transactions final on the way, at their time."""
        with self._exclusive() as chain:
            return chain.world.now

    @now.setter
    def now(self, moment: datetime | str) -> None:
        with self._exclusive() as chain:
            chain.move_clock(as_time(moment))

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises: InvalidArgument, for a negative number."""
        if seconds < 0:
            raise InvalidArgument("time does not go back here: set net.now")
        with self._exclusive() as chain:
            chain.move_clock(chain.world.now + timedelta(seconds=seconds))

    def process(self, until: Literal["accepted", "finalized"] = "accepted") -> None:
        """Run what waits; with ``finalized`` make everything final too, whatever the clock says."""
        if until not in ("accepted", "finalized"):
            raise InvalidArgument(f"until is 'accepted' or 'finalized', not {until!r}")
        with self._exclusive() as chain:
            chain.run_pending() if until == "accepted" else chain.finalize_all()

    def forget(self) -> None:
        """Make everything final, and drop all transactions and blocks: a long run is not bound by the memory they take.

        Storage, balances, nonces and the clock stay; the receipts that were returned keep what they have.
        """
        with self._exclusive() as chain:
            chain.finalize_all()
            chain.world.forget()

    # --- snapshots ---

    def snapshot(self) -> int:
        """Keep the present state: storage, balances, nonces, clock, transactions, messages, mocks. Ids count from 1."""
        with self._exclusive() as chain:
            snapshot_id = len(self._snapshots) + 1
            self._snapshots[snapshot_id] = (chain.world.clone(), chain.services)
            return snapshot_id

    def restore(self, snapshot_id: int) -> None:
        """Go back to a snapshot. All ids, this one and later ones, stay usable. Raises: UnknownSnapshot."""
        with self._exclusive() as chain:
            if snapshot_id not in self._snapshots:
                raise UnknownSnapshot(f"no snapshot {snapshot_id!r}")
            world, services = self._snapshots[snapshot_id]
            chain.world, chain.services = world.clone(), services

    def clone_world(self) -> World:
        """An independent copy of the whole state, for a server that is to go on from here (``Node.adopt``)."""
        with self._exclusive() as chain:
            return chain.world.clone()

    # --- the outside world of nondeterministic blocks ---

    @property
    def prompt_handler(self) -> PromptHandler | None:
        """Answers prompts: a callable (request, node) -> text, JSON value, or bool for the yes-no templates."""
        return self._chain.services.prompt_handler

    @prompt_handler.setter
    def prompt_handler(self, handler: PromptHandler | None) -> None:
        with self._exclusive() as chain:
            services = chain.services
            chain.services = Services(services.web_mocks, services.prompt_mocks, handler)

    def mock_web(self, pattern: str, answer: WebAnswer | WebHandler = "", *, method: str | None = None) -> None:
        """Answer requests to URLs in which the regular expression is found, instead of making them.

        ``answer``: a body, a mapping with ``status``, ``headers`` and ``body``, a ``WebResponse``, or a callable
        (request, node) that gives one of these or raises ``WebError``. The mock that was added last is asked first.
        """
        with self._exclusive() as chain:
            chain.services = chain.services.with_web_mock(WebMock(as_pattern(pattern), method, answer))

    def mock_prompt(self, pattern: str, answer: PromptAnswer | PromptHandler) -> None:
        """Answer prompts in which the regular expression is found. ``answer`` may be a callable (request, node)."""
        with self._exclusive() as chain:
            chain.services = chain.services.with_prompt_mock(PromptMock(as_pattern(pattern), answer))

    def clear_mocks(self) -> None:
        """Remove all mocks; the prompt handler stays."""
        with self._exclusive() as chain:
            chain.services = Services(prompt_handler=chain.services.prompt_handler)

    # --- private ---

    def _transaction(
        self,
        kind: Literal["deploy", "call", "transfer"],
        sender: AddressLike,
        to: bytes,
        call: bytes,
        value: int,
    ) -> Transaction:
        world, account = self._chain.world, as_address(sender)
        nonce = world.nonces.get(account, 0)
        chain_id = str(self._chain.settings.chain_id).encode()
        return Transaction(
            id=derived_id(chain_id, account, str(nonce).encode(), to, call),
            kind=kind,
            sender=account,
            origin=account,
            to=to,
            calldata=call,
            value=as_amount(value),
            created_at=world.now,
            nonce=nonce,
        )

    def _call(self, to: bytes, method: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        account = self._chain.world.contracts[to]
        line = self._chain.machine.line_of(account.code, account.filename)
        return encode_call(method, args, kwargs, METHOD_KEY[line])

    def _send(self, transaction: Transaction) -> Receipt:
        chain, policy = self._chain, self._chain.settings.fees
        if policy is not None and transaction.kind != "transfer":
            transaction.fees = recommended(chain, transaction, policy)
        chain.submit(transaction)
        chain.run_pending()
        return receipt_of(transaction, self._lookup)

    def _existing(self, address: bytes) -> bytes:
        if address not in self._chain.world.contracts:
            raise ContractNotFound(f"no contract at {Address(address).as_hex}")
        return address

    def _lookup(self, transaction_id: str) -> Transaction:
        return self._chain.transaction(transaction_id)
