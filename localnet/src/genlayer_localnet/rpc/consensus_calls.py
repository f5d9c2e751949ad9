"""Calls to the consensus contract, which is how clients send transactions to GenLayer; the contract is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from genlayer_localnet.rpc.envelopes import decoded_list
from genlayer_localnet.rpc.errors import RpcError, invalid_params
from genlayer_localnet.state.transactions import ExecutionMode

MAIN_ADDRESS: Final = bytes.fromhex("b7278a61aa25c888815afc32ad3cc52ff24fe575")
DATA_ADDRESS: Final = bytes.fromhex("88b0f18613db92bf970ffe264e02496e20a74d16")
NEW_TRANSACTION_TOPIC: Final = bytes.fromhex("dab9102861c7483a187584d6371d88316f005af507982ccf95c110879f3ed5a5")

_ADD = {bytes.fromhex("27241a99"): 5, bytes.fromhex("e71d5196"): 6}
"""How many parameters ``addTransaction`` has: two addresses, two numbers, bytes, the time until which it is valid."""
_WORD = 32
_ABOUT_ANOTHER = {
    bytes.fromhex("8b5de1bc"): "appeal",
    bytes.fromhex("b2efda83"): "finalize",
    bytes.fromhex("70ba3339"): "cancel",
}
_MODES: dict[bytes, ExecutionMode] = {b"\x01": "LEADER_ONLY", b"\x02": "LEADER_SELF_VALIDATOR"}


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


@dataclass(frozen=True, slots=True)
class AboutTransaction:
    """``appeal``, ``finalize`` or ``cancel`` another transaction."""

    action: str
    transaction_id: str


def decode(data: bytes) -> AddTransaction | AboutTransaction | None:
    """What a transaction's data asks of the consensus contract; None for a plain transfer. Raises: RpcError."""
    selector, arguments = data[:4], data[4:]
    if selector in _ADD:
        first, second, validators, rotations, start, *rest = _words(arguments, _ADD[selector])
        sender, recipient = _address(first), _address(second)
        is_deploy = not any(recipient)
        code, call, mode = _parts(_fields(_bytes(arguments, start)), is_deploy=is_deploy)
        return AddTransaction(sender, recipient, validators, rotations, call, code, mode, rest[0] if rest else 0)
    if selector in _ABOUT_ANOTHER:
        (transaction_id,) = _words(arguments, 1)
        return AboutTransaction(_ABOUT_ANOTHER[selector], f"0x{transaction_id:064x}")
    return None


def call_of_read(data: bytes) -> bytes:
    """The calldata in the ``data`` of a ``gen_call``: the first item of an RLP list, or else the bytes as they are."""
    fields = _list(data)
    return fields[0] if fields else data


def deploy_of_read(data: bytes) -> tuple[bytes, bytes]:
    """Code and calldata in the ``data`` of a simulated deploy. Raises: RpcError."""
    code, call, _ = _parts(_fields(data), is_deploy=True)
    assert code is not None
    return code, call


# ABI by hand: eth-abi takes fifty times as long for these few words.


def _words(data: bytes, count: int) -> list[int]:
    """The first ones, as numbers. Raises: RpcError."""
    if len(data) < count * _WORD:
        raise _undecodable(f"there are {len(data)} bytes of parameters, and at least {count * _WORD} are wanted")
    return [int.from_bytes(data[at : at + _WORD], "big") for at in range(0, count * _WORD, _WORD)]


def _bytes(data: bytes, start: int) -> bytes:
    """What begins at ``start`` with its length. Raises: RpcError."""
    begin = start + _WORD
    end = begin + int.from_bytes(data[start:begin], "big")
    if begin > len(data) or end > len(data):
        raise _undecodable("the data is cut off")
    return data[begin:end]


def _address(word: int) -> bytes:
    """Raises: RpcError."""
    if word >> 160:
        raise _undecodable("an address has 20 bytes")
    return word.to_bytes(20, "big")


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


def _function(name: str, *inputs: tuple[str, str]) -> dict[str, Any]:
    parameters = [{"internalType": kind, "name": name_, "type": kind} for kind, name_ in inputs]
    return {"type": "function", "name": name, "stateMutability": "payable", "inputs": parameters, "outputs": []}


def _event(name: str, *inputs: tuple[str, str, bool]) -> dict[str, Any]:
    parameters = [
        {"indexed": indexed, "internalType": kind, "name": name_, "type": kind} for kind, name_, indexed in inputs
    ]
    return {"type": "event", "name": name, "anonymous": False, "inputs": parameters}


MAIN_ABI: Final[list[dict[str, Any]]] = [
    _function(
        "addTransaction",
        ("address", "_sender"),
        ("address", "_recipient"),
        ("uint256", "_numOfInitialValidators"),
        ("uint256", "_maxRotations"),
        ("bytes", "_txData"),
    ),
    _function("submitAppeal", ("bytes32", "_txId")),
    _function("finalizeTransaction", ("bytes32", "_txId")),
    _function("cancelTransaction", ("bytes32", "_txId")),
    _event("NewTransaction", ("bytes32", "txId", True), ("address", "recipient", True), ("address", "activator", True)),
    _event("CreatedTransaction", ("bytes32", "txId", True), ("uint256", "txSlot", False)),
]
"""The part of the interface that clients use. ``addTransaction`` with a sixth argument is understood too."""
