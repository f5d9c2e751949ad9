"""What callers get back: receipts, events, messages. All values are the host's: ints, texts, ``Address``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from genlayer_localnet import calldata
from genlayer_localnet.address import Address
from genlayer_localnet.errors import UnknownTransaction, error_code_of
from genlayer_localnet.loading.entry_keys import method_of
from genlayer_localnet.state.transactions import EmittedEvent, OutgoingMessage, Transaction
from genlayer_localnet.state.voting import VotingRound


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a contract. ``fields`` are all fields by name; the first of the ``topics`` is its signature."""

    name: str | None
    fields: Mapping[str, Any]
    topics: tuple[bytes, ...]
    blob: bytes
    """The fields as calldata, as they left the contract."""
    address: Address


@dataclass(frozen=True, slots=True)
class Message:
    """What a call emitted to others. ``calldata`` is the call object, for ``EthSend`` the ABI bytes."""

    kind: str
    to: Address | None
    """None for a deploy without salt: its address is chosen when it is delivered."""
    calldata: Any
    value: int
    on: str
    sender: Address
    code: bytes | None = None
    salt_nonce: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of a transaction. Frozen, but for ``children`` and ``status``, which are looked up anew each time.

    ``kind`` is ``return``, ``user_error`` (the contract raised ``gl.vm.UserError``) or ``vm_error`` (anything else).
    Amounts are wei.
    """

    id: str
    kind: str
    value: Any
    """What the method returned, None for an error."""
    message: str | None
    """The error's text: the contract's, or the VM's such as ``exit_code 1``."""
    data: Any
    """The same, but for a user error of the v0.3 line what it carries: any value of calldata."""
    error_code: str | None
    """The part of the message between ``[EXPECTED] `` and ``:``."""
    events: tuple[Event, ...]
    messages: tuple[Message, ...]
    stdout: str
    stderr: str
    """What the call printed there and the traceback of its error, which ends with the contract's own line."""
    balance: int
    """Of the called contract after this transaction."""
    storage_reads: int
    storage_writes: int
    sender: Address
    to: Address
    """The called contract; for a deploy the new one."""
    method: str | None
    """None for a deploy, and for a call without a method name."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    value_wei: int
    """What was sent along."""
    votes: Mapping[int, str]
    """Of the last round."""
    rounds: tuple[VotingRound, ...]
    eq_outputs: tuple[bytes, ...]
    """The leader's result of each nondeterministic block: code byte and payload."""
    result: bytes
    """As GenVM gives it: code byte (0 return, 1 user error, 2 VM error) and payload."""
    created_at: datetime
    triggered_by: str | None
    triggered_on: str | None
    _transaction: Callable[[str], Transaction] = field(repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.kind == "return"

    @property
    def address(self) -> Address:
        """The called contract; for a deploy the new one."""
        return self.to

    @property
    def status(self) -> str:
        """As of now: ``accepted``, ``finalized``, ``undetermined``, ``leader_timeout`` or ``validators_timeout``.

        After an appeal a message can be ``cancelled``: the transaction that sent it has been taken back.
        """
        return self._transaction(self.id).status

    @property
    def fee_wei(self) -> int:
        """What it has spent on fees, as of now; its messages pay their own."""
        fees = self._transaction(self.id).fees
        return 0 if fees is None else fees.spent

    @property
    def children(self) -> tuple[Receipt, ...]:
        """Receipts of what this transaction triggered, as far as it has run; those on finality come later."""
        try:
            ids = self._transaction(self.id).children
        except UnknownTransaction:  # a snapshot from before was restored
            return ()
        found = [self._transaction(child) for child in ids]
        return tuple(receipt_of(child, self._transaction) for child in found if child.outcome is not None)


def receipt_of(transaction: Transaction, lookup: Callable[[str], Transaction]) -> Receipt:
    """The receipt of a transaction that has run."""
    outcome = transaction.outcome
    assert outcome is not None, "the transaction has not run yet"
    call = _call_object(transaction.calldata) if transaction.kind != "transfer" else {}
    return Receipt(
        id=transaction.id,
        kind=outcome.kind,
        value=calldata.decode(outcome.result[1:]) if outcome.kind == "return" else None,
        message=outcome.message,
        data=outcome.data,
        error_code=error_code_of(outcome.message),
        events=tuple(_event(event) for event in outcome.events),
        messages=tuple(_message(message) for message in outcome.messages),
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        balance=transaction.balance_wei,
        storage_reads=outcome.storage_reads,
        storage_writes=outcome.storage_writes,
        sender=Address(transaction.sender),
        to=Address(transaction.to),
        method=None if transaction.kind == "deploy" else method_of(call),
        args=tuple(args) if isinstance(args := call.get("args"), list) else (),
        kwargs=kwargs if isinstance(kwargs := call.get("kwargs"), dict) else {},
        value_wei=transaction.value,
        votes=dict(transaction.rounds[-1].votes) if transaction.rounds else {},
        rounds=tuple(transaction.rounds),
        eq_outputs=tuple(outcome.eq_outputs),
        result=outcome.result,
        created_at=transaction.created_at,
        triggered_by=transaction.triggered_by,
        triggered_on=transaction.triggered_on,
        _transaction=lookup,
    )


def _call_object(encoded: bytes) -> dict[str, Any]:
    try:
        call = calldata.decode(encoded)
    except ValueError:
        return {}
    return call if isinstance(call, dict) else {}


def _event(event: EmittedEvent) -> Event:
    return Event(event.name, event.blob, event.topics, calldata.encode(event.blob), Address(event.address))


def _message(message: OutgoingMessage) -> Message:
    return Message(
        kind=message.kind,
        to=Address(message.to) if message.to is not None else None,
        calldata=message.calldata if message.kind == "EthSend" else calldata.decode(message.calldata),
        value=message.value,
        on=message.on,
        sender=Address(message.sender),
        code=message.code,
        salt_nonce=message.salt_nonce,
    )
