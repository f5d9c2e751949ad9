"""Following a transaction until it has really executed, children included.

A decided transaction has been voted on; only its execution result tells whether the contract did what it was asked.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal, Protocol, Self

from api_billing.contract_api import split_refusal
from api_billing.errors import (
    Cancelled,
    ChildFailed,
    ContractRejected,
    NetworkError,
    OutcomeUnknown,
    RpcFailed,
    TransactionFailed,
    WaitTimedOut,
)
from api_billing.fees import whole
from api_billing.genlayer_sdk import GenLayerError, calldata, error_text, plain

Phase = Literal["accepted", "finalized"]
"""How far to wait: until the validators have decided, or until nobody can appeal any more."""

_DECIDED_WITHOUT_RESULT: Final = frozenset({"UNDETERMINED", "LEADER_TIMEOUT", "VALIDATORS_TIMEOUT", "CANCELED"})
_SLOWEST_POLL: Final = 5.0
_NOT_AGREED: Final = "nothing was changed"
_CANCELLED: Final = "send it again: its fee is estimated anew, at the network's present prices"
_MORE_FEES: Final = "it was not given the fee for this; send it again, as it is estimated anew"


class Execution(StrEnum):
    """How the contract's code ended."""

    RETURN = "return"
    USER_ERROR = "user_error"
    """It raised `gl.vm.UserError`."""
    VM_ERROR = "vm_error"
    NONE = "none"
    """It has not run, or nothing is known of it."""


@dataclass(frozen=True, slots=True)
class FeeOutcome:
    """What a transaction deposited for the network's fees, 0 where it takes none, and what of it came back."""

    deposit_wei: int = 0
    returned_wei: int | None = None
    """Known when it is final."""
    refused: str = ""
    """Why it was cancelled: the network's word."""

    @property
    def paid_wei(self) -> int | None:
        """What it cost, when that is known."""
        return None if self.returned_wei is None else self.deposit_wei - self.returned_wei

    @classmethod
    def of(cls, accounting: object, *, is_final: bool) -> Self:
        """Read a node's answer; as none where it has another form, since nothing depends on it."""
        if not isinstance(accounting, Mapping):
            return cls()
        returned = accounting.get("refunded_fee_value", accounting.get("total_refunded") if is_final else None)
        with suppress(ValueError, TypeError):
            deposit_wei = whole(accounting.get("paid_fee_value") or 0)
            returned_wei = None if returned is None else whole(returned)
            return cls(deposit_wei, returned_wei, str(accounting.get("error") or ""))
        return cls()


NO_FEE: Final = FeeOutcome()


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    """What is known of a transaction. ``value`` is what a method returned, ``message`` the text of an error."""

    tx: str
    status: str
    execution: Execution
    value: Any
    message: str
    stdout: str
    children: tuple[str, ...]
    contract: str | None
    """The address of a new contract."""
    fee: FeeOutcome = NO_FEE

    @property
    def is_decided(self) -> bool:
        """Whether the validators have come to an end with it."""
        return self.status in _DECIDED_WITHOUT_RESULT or self.status in ("ACCEPTED", "FINALIZED", "READY_TO_FINALIZE")

    def has_reached(self, phase: Phase) -> bool:
        """Whether there is nothing to wait for; a transaction without a result gets no further."""
        if phase == "accepted":
            return self.is_decided
        return self.status == "FINALIZED" or self.status in _DECIDED_WITHOUT_RESULT

    def require_return(self) -> None:
        """Raise what kept the contract from doing it. Raises: ContractRejected, Cancelled, TransactionFailed."""
        if self.status in _DECIDED_WITHOUT_RESULT:
            if self.status == "CANCELED":
                raise self._cancelled()
            why = self.status.lower().replace("_", " ")
            raise TransactionFailed(self.tx, self.status, f"the validators ended {why}", hint=_NOT_AGREED)
        refusal = split_refusal(self.message) if self.execution is Execution.USER_ERROR else None
        if refusal is not None:
            raise ContractRejected(refusal[0], self.message, self.tx)
        if self.execution is not Execution.RETURN:
            hint = _MORE_FEES if self.message.startswith("fee ") else ""
            raise TransactionFailed(self.tx, self.status, self.message or "the node tells no reason", hint=hint)

    def _cancelled(self) -> Cancelled:
        if not self.fee.deposit_wei:
            return Cancelled(self.tx, self.status, "it was cancelled before it ran")
        why = f" ({self.fee.refused})" if self.fee.refused else ""
        message = f"it was cancelled{why}; what was sent and the fee came back"
        return Cancelled(self.tx, self.status, message, hint=_CANCELLED)


class KnownTransactions(Protocol):
    """Where transactions are looked up: `genlayer_sdk.Transactions`."""

    def find(self, tx: str) -> dict[str, Any] | None: ...

    def trace(self, tx: str) -> dict[str, Any]: ...


class Follower:
    """Waits for transactions on one network. ``poll_seconds`` is the first pause; later ones grow up to 5 seconds."""

    def __init__(
        self,
        known: KnownTransactions,
        *,
        poll_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known, self._poll, self._sleep, self._clock = known, poll_seconds, sleep, clock

    def look(self, tx: str) -> TransactionOutcome | None:
        """What is known of a transaction now, None where the node does not know it. Raises: NetworkError."""
        found = self._known.find(tx)
        return None if found is None else outcome_of(tx, found, self._known.trace)

    def wait(self, tx: str, phase: Phase, timeout_seconds: float) -> TransactionOutcome:
        """Wait until the transaction and what it triggered have got there, and have executed.

        Raises: ContractRejected, TransactionFailed, ChildFailed, WaitTimedOut; OutcomeUnknown, when the node is lost.
        """
        deadline = self._clock() + timeout_seconds
        try:
            outcome = self._wait_one(tx, phase, deadline, timeout_seconds)
            outcome.require_return()
            returned = outcome.fee.returned_wei
            for child in self._descendants(outcome, phase, deadline, timeout_seconds):
                _require_child(tx, child)
                # What it did not use of its part of the deposit.
                known = child.fee.returned_wei
                returned = (
                    None if returned is None or (known is None and child.fee.deposit_wei) else returned + (known or 0)
                )
        except NetworkError as error:
            raise OutcomeUnknown(f"transaction {tx} was taken, but then: {error}", tx) from error
        return replace(outcome, fee=replace(outcome.fee, returned_wei=returned))

    def _descendants(
        self, parent: TransactionOutcome, phase: Phase, deadline: float, timeout: float
    ) -> Iterator[TransactionOutcome]:
        for tx in parent.children:
            child = self._wait_one(tx, phase, deadline, timeout)
            yield child
            yield from self._descendants(child, phase, deadline, timeout)

    def _wait_one(self, tx: str, phase: Phase, deadline: float, timeout: float) -> TransactionOutcome:
        pause, status = self._poll, "not known to the node"
        while True:
            outcome = self.look(tx)
            if outcome is not None:
                status = outcome.status
                if outcome.has_reached(phase):
                    return outcome
            left = deadline - self._clock()
            if left <= 0:
                raise WaitTimedOut(tx, timeout, phase.upper(), status)
            self._sleep(min(pause, left))
            pause = min(pause * 1.5, max(_SLOWEST_POLL, self._poll))


def _require_child(parent: str, child: TransactionOutcome) -> None:
    try:
        child.require_return()
    except (ContractRejected, TransactionFailed) as error:
        raise ChildFailed(parent, child.tx, child.status, error.message) from error


def outcome_of(tx: str, found: dict[str, Any], trace: Callable[[str], dict[str, Any]]) -> TransactionOutcome:
    """Read a transaction: Studio's and the localnet's form, or that of a testnet, with its ``status_name``.

    A testnet's transaction says only whether it executed; what it returned is in its trace.
    """
    status = str(found["status_name"])
    receipt = _leader_receipt(found)
    if receipt is not None:
        execution, value, message = _result_of_receipt(receipt)
        stdout = str((receipt.get("genvm_result") or {}).get("stdout") or "")
    else:
        execution, value, message, stdout = _result_of_trace(found, lambda: trace(tx))
    data = found.get("data") or found.get("tx_data_decoded") or {}
    if execution is Execution.NONE and _is_transfer(found, data, status):
        execution = Execution.RETURN
    children = tuple(str(child) for child in found.get("triggered_transactions") or ())
    contract = data.get("contract_address")
    fee = FeeOutcome.of(found.get("fee_accounting"), is_final=found["status_name"] == "FINALIZED")
    return TransactionOutcome(
        tx, status, execution, value, message, stdout, children, str(contract) if contract else None, fee
    )


def _leader_receipt(found: dict[str, Any]) -> dict[str, Any] | None:
    receipts = (found.get("consensus_data") or {}).get("leader_receipt")
    first = receipts[0] if isinstance(receipts, list) and receipts else receipts
    return first if isinstance(first, dict) and first else None


def _result_of_receipt(receipt: dict[str, Any]) -> tuple[Execution, Any, str]:
    """Of Studio and the localnet; the result is base64."""
    raw = receipt.get("result")
    if not isinstance(raw, str) or not raw:
        failed = receipt.get("execution_result") != "SUCCESS"
        return (Execution.VM_ERROR, None, "") if failed else (Execution.RETURN, None, "")
    return decode_result(base64.b64decode(raw))


def decode_result(result: bytes) -> tuple[Execution, Any, str]:
    """Read GenVM's result: a code byte, then calldata or an error."""
    code, payload = result[:1], result[1:]
    if code == b"\x00":
        return Execution.RETURN, plain(calldata.decode(payload)), ""
    if code == b"\x01":
        return Execution.USER_ERROR, None, error_text(payload)
    return Execution.VM_ERROR, None, payload.decode("utf-8", "replace")


def refusal_of(error: RpcFailed) -> ContractRejected | None:
    """The contract's refusal in an error of a read or of a simulated write, None where it is of another kind."""
    message = error_of_receipt(error.data)[1]
    refusal = split_refusal(message) or split_refusal(error.message)
    return None if refusal is None else ContractRejected(refusal[0], message or error.message)


def error_of_receipt(data: object) -> tuple[Execution, str]:
    """How the contract ended by the receipt that Studio and a localnet give with an error, and its text."""
    receipt = data.get("receipt") if isinstance(data, Mapping) else None
    result = receipt.get("result") if isinstance(receipt, Mapping) else None
    if not isinstance(result, str):
        return Execution.NONE, ""
    try:
        execution, _, message = decode_result(base64.b64decode(result))
    except (GenLayerError, LookupError, ValueError):
        return Execution.NONE, ""
    return execution, message


def _result_of_trace(found: dict[str, Any], trace: Callable[[], dict[str, Any]]) -> tuple[Execution, Any, str, str]:
    name = str(found.get("tx_execution_result_name") or found.get("txExecutionResultName") or "")
    if not name.startswith("FINISHED"):
        return Execution.NONE, None, "", ""
    traced = trace()
    stdout = str(traced.get("stdout") or "")
    returned = str(traced.get("return_data") or "").removeprefix("0x")
    try:
        data = bytes.fromhex(returned)
        if name == "FINISHED_WITH_RETURN":
            return Execution.RETURN, plain(calldata.decode(data)) if data else None, "", stdout
        message = error_text(data)
    except ValueError:
        message = returned
    known = split_refusal(message)
    return (Execution.USER_ERROR if known else Execution.VM_ERROR), None, message, stdout


def _is_transfer(found: dict[str, Any], data: dict[str, Any], status: str) -> bool:
    """A plain transfer, such as a payout, runs no code: that it is final says all."""
    return found.get("type") == 0 and not data.get("calldata") and status in ("ACCEPTED", "FINALIZED")
