"""Calls to the consensus contract, which is how clients send transactions to GenLayer; the contract is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genlayer_localnet.abi import AbiError, Array, Structure
from genlayer_localnet.chain.allocations import check_tree
from genlayer_localnet.rpc.envelopes import decoded_list
from genlayer_localnet.rpc.errors import RpcError, invalid_params
from genlayer_localnet.state.fees import FeesDistribution, MessageAllocation
from genlayer_localnet.state.transactions import ExecutionMode

MAIN_ADDRESS: Final = bytes.fromhex("b7278a61aa25c888815afc32ad3cc52ff24fe575")
DATA_ADDRESS: Final = bytes.fromhex("88b0f18613db92bf970ffe264e02496e20a74d16")
NEW_TRANSACTION_TOPIC: Final = bytes.fromhex("dab9102861c7483a187584d6371d88316f005af507982ccf95c110879f3ed5a5")

DISTRIBUTION: Final = Structure(
    leaderTimeunitsAllocation="uint256",
    validatorTimeunitsAllocation="uint256",
    appealRounds="uint256",
    executionBudgetPerRound="uint256",
    executionConsumed="uint256",
    totalMessageFees="uint256",
    rotations=Array("uint256"),
    maxPriceGenPerTimeUnit="uint256",
    storageFeeMaxGasPrice="uint256",
    receiptFeeMaxGasPrice="uint256",
)
"""In the order of ``FeesDistribution``."""
ALLOCATION: Final = Structure(
    messageType="uint8",
    onAcceptance="bool",
    parentIndex="uint256",
    recipient="address",
    callKey="bytes32",
    budget="uint256",
    feeParams="bytes",
)
"""In the order of ``MessageAllocation``."""
ROOT: Final = 2**256 - 1
"""The ``parentIndex`` of what the transaction itself sends."""
_ADD: Final = Structure(
    _sender="address", _recipient="address", _numOfInitialValidators="uint256", _maxRotations="uint256", _txData="bytes"
)
_ADD_UNTIL: Final = Structure(**_ADD.fields, _validUntil="uint256")
_ADD_WITH_FEES: Final = Structure(
    _params=Structure(
        sender="address",
        recipient="address",
        numOfInitialValidators="uint256",
        maxRotations="uint256",
        validUntil="uint256",
        saltNonce="uint256",
        userValue="uint256",
        feesDistribution=DISTRIBUTION,
        txCalldata="bytes",
        messageAllocations=Array(ALLOCATION),
    )
)
_ABOUT: Final = Structure(_txId="bytes32")
_ABOUT_DECISION: Final = Structure(_txId="bytes32", _expectedDecisionId="uint256")
_FUNCTIONS: Final = {
    parameters.selector(name): (name, parameters)
    for name, parameters in (
        ("addTransaction", _ADD),
        ("addTransaction", _ADD_UNTIL),
        ("addTransaction", _ADD_WITH_FEES),
        ("deploySalted", _ADD_WITH_FEES),
        ("submitAppeal", _ABOUT),
        ("submitAppeal", _ABOUT_DECISION),
        ("topUpAndSubmitAppeal", Structure(**_ABOUT_DECISION.fields, _feesDistribution=DISTRIBUTION)),
        ("topUpFees", Structure(**_ABOUT.fields, _feesDistribution=DISTRIBUTION)),
        ("finalizeTransaction", _ABOUT),
        ("finalizeTransaction", _ABOUT_DECISION),
        ("cancelTransaction", _ABOUT),
    )
}
"""By the first bytes of a call: those of consensus v0.5 and v0.6 that clients use."""
_MODES: dict[bytes, ExecutionMode] = {b"\x01": "LEADER_ONLY", b"\x02": "LEADER_SELF_VALIDATOR"}


@dataclass(frozen=True, slots=True)
class FeeOffer:
    """What a fee-aware call says of its money; the rest of the value that it brings is the deposit."""

    user_value: int
    distribution: FeesDistribution
    allocations: tuple[MessageAllocation, ...]


@dataclass(frozen=True, slots=True)
class AddTransaction:
    sender: bytes
    recipient: bytes
    """Zero for a deploy."""
    validators: int
    rotations: int
    calldata: bytes
    code: bytes | None
    """None for a call."""
    mode: ExecutionMode
    valid_until: int = 0
    """Unix time in seconds after which it must not run; 0 is never."""
    salt: int | None = None
    """What a deploy's address is to follow from."""
    offer: FeeOffer | None = None


@dataclass(frozen=True, slots=True)
class AboutTransaction:
    """Something that is to be done with another transaction; ``function`` is the name of the consensus contract's."""

    function: str
    transaction_id: str
    decision_id: int | None = None
    """Only while this is its latest decision."""
    distribution: FeesDistribution | None = None
    """How what is paid with the call adds to its fees."""


def asked_of(to: bytes | None, data: bytes) -> AddTransaction | AboutTransaction | None:
    """What a transaction with this data asks of the consensus contract; None where it is no business of that.

    Raises: FeesRefused; RpcError, also for what is meant for it and would not reach it: its value would be lost.
    """
    if to == MAIN_ADDRESS:
        return _decoded(data)
    known, receiver = _FUNCTIONS.get(data[:4]), "nobody" if to is None else f"0x{to.hex()}"
    if known is not None:
        raise invalid_params(
            f"{known[0]} is a function of the consensus contract 0x{MAIN_ADDRESS.hex()}, and this goes to {receiver}"
        )
    if to == DATA_ADDRESS:
        raise invalid_params("the consensus contract's data is only read: nothing is paid to it")
    return None


def _decoded(data: bytes) -> AddTransaction | AboutTransaction:
    found = _FUNCTIONS.get(data[:4])
    if found is None:
        raise invalid_params(f"the consensus contract has no function 0x{data[:4].hex()}: nothing is paid to it")
    function, parameters = found
    try:
        values = parameters.decode(data[4:])
    except AbiError as error:
        raise _undecodable(str(error)) from None
    if parameters is _ADD_WITH_FEES:
        return _with_fees(function, values["_params"])
    if "_txId" not in values:
        return _add(*values.values())
    distribution = distribution_of(values["_feesDistribution"]) if "_feesDistribution" in values else None
    transaction_id = f"0x{values['_txId'].hex()}"
    return AboutTransaction(function, transaction_id, values.get("_expectedDecisionId"), distribution)


def _with_fees(function: str, values: dict[str, Any]) -> AddTransaction:
    sender, recipient, validators, rotations, valid_until, salt, user_value, distribution, data, allocations = (
        values.values()
    )
    offer = FeeOffer(user_value, distribution_of(distribution), allocations_of(allocations))
    if function == "deploySalted" and any(recipient):
        raise _undecodable("deploySalted has no recipient: the contract's address follows from the salt")
    is_salted = function == "deploySalted" or salt != 0
    return _add(
        sender, recipient, validators, rotations, data, valid_until, salt=salt if is_salted else None, offer=offer
    )


def _add(
    sender: bytes,
    recipient: bytes,
    validators: int,
    rotations: int,
    data: bytes,
    valid_until: int = 0,
    *,
    salt: int | None = None,
    offer: FeeOffer | None = None,
) -> AddTransaction:
    code, call, mode = _parts(_fields(data), is_deploy=not any(recipient))
    return AddTransaction(sender, recipient, validators, rotations, call, code, mode, valid_until, salt, offer)


def distribution_of(values: Mapping[str, Any]) -> FeesDistribution:
    """From the values that ``DISTRIBUTION`` names, in its order."""
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values.values()]
    return FeesDistribution(*fields)


def allocations_of(given: Sequence[Mapping[str, Any]]) -> tuple[MessageAllocation, ...]:
    """From the values that ``ALLOCATION`` names, in its order, for each message. Raises: RpcError, FeesRefused."""
    found = []
    for number, values in enumerate(given):
        kind, on_acceptance, parent, *rest = values.values()
        if kind > 1:
            raise _undecodable(f"message allocation {number}: its type is 0, external, or 1, internal, not {kind}")
        found.append(MessageAllocation(kind == 1, on_acceptance, None if parent == ROOT else parent, *rest))
    check_tree(found)
    return tuple(found)


def call_of_read(data: bytes) -> bytes:
    """The calldata in the ``data`` of a ``gen_call``: the first item of an RLP list, or else the bytes as they are."""
    fields = _list(data)
    return fields[0] if fields else data


def deploy_of_read(data: bytes) -> tuple[bytes, bytes]:
    """Code and calldata in the ``data`` of a simulated deploy. Raises: RpcError."""
    code, call, _ = _parts(_fields(data), is_deploy=True)
    assert code is not None
    return code, call


def _undecodable(why: str) -> RpcError:
    return invalid_params(f"the call of the consensus contract could not be decoded: {why}")


def _fields(payload: bytes) -> list[bytes]:
    fields = _list(payload)
    if not fields:
        raise invalid_params("the transaction data is not an RLP list of byte strings")
    return fields


def _list(payload: bytes) -> list[bytes]:
    """The byte strings of an RLP list; nothing where it is something else."""
    items = decoded_list(payload) or []
    return items if all(isinstance(item, bytes) for item in items) else []


def _parts(fields: list[bytes], *, is_deploy: bool) -> tuple[bytes | None, bytes, ExecutionMode]:
    """Code, calldata and execution mode. The mode may be missing; empty and 00 are both the normal one."""
    wanted = 2 if is_deploy else 1
    if not wanted <= len(fields) <= wanted + 1:
        what = "code, calldata" if is_deploy else "calldata"
        raise invalid_params(f"the transaction data is [{what}, leader only], not {len(fields)} items")
    mode = _MODES.get(fields[wanted], "NORMAL") if len(fields) > wanted else "NORMAL"
    return (fields[0] if is_deploy else None), fields[wanted - 1], mode


def _function(name: str, parameters: Structure) -> dict[str, Any]:
    inputs = parameters.inputs()
    return {"type": "function", "name": name, "stateMutability": "payable", "inputs": inputs, "outputs": []}


def _event(name: str, *inputs: tuple[str, str, bool]) -> dict[str, Any]:
    parameters = [
        {"indexed": indexed, "internalType": kind, "name": name_, "type": kind} for kind, name_, indexed in inputs
    ]
    return {"type": "event", "name": name, "anonymous": False, "inputs": parameters}


_EVENTS: Final = (
    _event("NewTransaction", ("bytes32", "txId", True), ("address", "recipient", True), ("address", "activator", True)),
    _event("CreatedTransaction", ("bytes32", "txId", True), ("uint256", "txSlot", False)),
)
MAIN_ABI: Final[list[dict[str, Any]]] = [
    _function("addTransaction", _ADD),
    _function("submitAppeal", _ABOUT),
    _function("finalizeTransaction", _ABOUT),
    _function("cancelTransaction", _ABOUT),
    *_EVENTS,
]
"""The part of the interface that clients use: of each function the form that all of them know."""
MAIN_ABI_WITH_FEES: Final[list[dict[str, Any]]] = [
    _function(name, parameters)
    for name, parameters in _FUNCTIONS.values()
    if parameters not in (_ADD, _ADD_UNTIL, _ABOUT) or name == "cancelTransaction"
] + [*_EVENTS]
"""The same of a network with fees."""
