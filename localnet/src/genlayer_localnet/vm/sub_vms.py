"""The VMs a running contract starts: views on other contracts, sandboxes, and the nodes of a nondeterministic block."""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import nullcontext
from typing import Any, Protocol

import cloudpickle.cloudpickle as cloudpickle_internals  # type: ignore[import-untyped]  # it has no types

from genlayer_localnet import calldata
from genlayer_localnet.interpreter.console import Console
from genlayer_localnet.interpreter.contract_code import calls_contract_code
from genlayer_localnet.interpreter.time_limit import TimeLimit
from genlayer_localnet.loading.entry_keys import for_executor
from genlayer_localnet.loading.lines import Line
from genlayer_localnet.nondet.services import Node
from genlayer_localnet.state.journal import re_apply, roll_back
from genlayer_localnet.state.results import RETURN, TIMEOUT, USER_ERROR, VM_ERROR
from genlayer_localnet.vm.frame import NONDETERMINISTIC, Frame, Permissions

MAX_DEPTH = 32
"""Calls nested deeper end with a VM error. (GenVM's own limit is its memory.)"""
_PYTHON_FRAMES_PER_CALL = 250
_AGREED = b"\x00\x10"
"""The result of a validator that returned True."""
_NO_CONTRACT = VM_ERROR + b"invalid_contract runner absent"
_LEADER_RESULT: dict[Line, str] = {"v0.2": "leaders_result", "v0.3": "leader_result"}
"""Where a validator finds it in the data of its stage."""
ENTRY_MAIN, ENTRY_SANDBOX, ENTRY_CONSENSUS_STAGE = 0, 1, 2


class Executor(Protocol):
    """What this module needs of ``execution``: one call in one frame, and its result as bytes."""

    def line_of(self, code: bytes, filename: str | None) -> Line: ...
    def run_call(self, frame: Frame) -> bytes: ...
    def run_pickled(self, frame: Frame, outer: Frame, data: bytes, arguments: tuple[Any, ...]) -> bytes: ...


class SubVms:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def call_contract(self, frame: Frame, address: bytes, call: bytes, *, final: bool, catch_vm_error: bool) -> bytes:
        """A view of another contract: it sees what is accepted (or final), never what the caller wrote just now."""
        attempt, world = frame.attempt, frame.world
        if frame.depth >= MAX_DEPTH:
            raise frame.terminate(VM_ERROR + f"calls between contracts nested deeper than {MAX_DEPTH}".encode())
        attempt.looked_at.add(address)
        attempt.saw_final_state |= final
        uncommitted = roll_back(frame.journal, attempt.mark)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + _PYTHON_FRAMES_PER_CALL)
        try:
            with world.final_state(frame.journal) if final else nullcontext():
                account = world.contracts.get(address)
                if account is None:
                    return self._absent(frame, catch_vm_error)
                line = self._executor.line_of(account.code, account.filename)
                child = Frame(
                    world,
                    frame.journal,
                    attempt,
                    address,
                    account.storage,
                    _of_view(frame.permissions, frame.line, line),
                    {
                        **frame.message,
                        "contract_address": address,
                        "stack": [*frame.message["stack"], frame.address],
                        "value": 0,
                        "is_init": False,
                        "entry_data": for_executor(call, line),
                    },
                    line,
                    depth=frame.depth + 1,
                )
                result = self._executor.run_call(child)
        finally:
            sys.setrecursionlimit(limit)
            re_apply(frame.journal, uncommitted)
        _merge(frame, child, keep=result[:1] == RETURN)
        if result[:1] == VM_ERROR and not catch_vm_error:
            raise frame.terminate(result)
        return _user_error_for(frame.line, line, result) if result[:1] == USER_ERROR else result

    @staticmethod
    def _absent(frame: Frame, catch_vm_error: bool) -> bytes:
        if frame.line == "v0.2":  # its library raises an error that can be caught
            return VM_ERROR + b"invalid_contract absent"
        if not catch_vm_error:
            raise frame.terminate(_NO_CONTRACT)
        return _NO_CONTRACT

    def run_sandbox(self, frame: Frame, data: bytes, *, allow_write: bool, allow_send: bool) -> bytes:
        """A function in a VM of its own; its writes stay, also when it fails."""
        allowed = frame.permissions
        permissions = Permissions(
            write=allowed.write and allow_write,
            send=allowed.send and allow_send,
            nondeterministic=allowed.nondeterministic,
        )
        child = self._child(frame, permissions, ENTRY_SANDBOX, data, None)
        result = self._executor.run_pickled(child, frame, data, ())
        _merge(frame, child, keep=True)
        return result

    def run_nondet(self, frame: Frame, data_leader: bytes, data_validator: bytes, *, catch_vm_error: bool) -> bytes:
        """The leader runs its function, then every validator that still agrees runs its own on the leader's result."""
        attempt = frame.attempt
        leader_result = attempt.next_replayed()
        if leader_result is None:
            leader_result = self._stage(frame, data_leader, None, Node("leader", attempt.leader, attempt.round))
        attempt.eq_outputs.append(leader_result)
        if leader_result == TIMEOUT:
            raise frame.terminate(TIMEOUT)
        for index in attempt.agreeing_validators():
            node = Node("validator", index, attempt.round)
            with TimeLimit(attempt.time_limit_seconds) as limit:  # every node has its own time
                verdict = self._stage(frame, data_validator, {_LEADER_RESULT[frame.line]: leader_result}, node)
            if limit.expired:
                attempt.votes[index] = "timeout"
            elif verdict != _AGREED:
                attempt.votes[index] = "disagree"
        if not attempt.has_majority() and not attempt.is_replay:
            attempt.rejected = True
            raise frame.terminate(VM_ERROR + b"validator_disagrees")
        if leader_result[:1] == VM_ERROR and not catch_vm_error:
            raise frame.terminate(leader_result)
        return leader_result

    def _stage(self, frame: Frame, data: bytes, stage_data: dict[str, bytes] | None, node: Node) -> bytes:
        attempt = frame.attempt
        child = self._child(frame, NONDETERMINISTIC, ENTRY_CONSENSUS_STAGE, data, stage_data)
        attempt.node = node
        try:
            # What the leader prints belongs to the transaction, what validators print to their own nodes.
            with nullcontext() if node.role == "leader" else Console():
                result = self._executor.run_pickled(child, frame, data, (stage_data,))
        finally:
            attempt.node = None
        if attempt.aborted is not None:
            raise frame.terminate(attempt.aborted)
        if node.role == "leader":
            frame.storage_reads += child.storage_reads
        return result

    @staticmethod
    def _child(frame: Frame, permissions: Permissions, kind: int, data: bytes, stage_data: Any) -> Frame:
        message = {**frame.message, "entry_kind": kind, "entry_data": data, "entry_stage_data": stage_data}
        return Frame(
            frame.world,
            frame.journal,
            frame.attempt,
            frame.address,
            frame.storage,
            permissions,
            message,
            frame.line,
            frame.locked,
            depth=frame.depth,
        )


def _of_view(permissions: Permissions, caller: Line, callee: Line) -> Permissions:
    """What a called contract may: between the lines no more than the stricter one has it."""
    if "v0.3" in (caller, callee):
        return Permissions(call=permissions.call)
    return Permissions(send=permissions.send, call=permissions.call, spawn=permissions.spawn)


def _user_error_for(caller: Line, callee: Line, result: bytes) -> bytes:
    """A user error is text in the one line, and any calldata in the other."""
    if caller == callee:
        return result
    if caller == "v0.3":
        return USER_ERROR + calldata.encode(result[1:].decode("utf-8", "replace"))
    data = calldata.decode(result[1:])
    return USER_ERROR + (data if isinstance(data, str) else calldata.to_str(data)).encode("utf-8")


def _merge(frame: Frame, child: Frame, *, keep: bool) -> None:
    """Take over what a VM that ended did. What a failed one emitted is dropped, and its money freed."""
    frame.storage_reads += child.storage_reads
    frame.storage_writes += child.storage_writes
    if keep:
        frame.events += child.events
        frame.messages += child.messages
    else:
        for message in child.messages:
            frame.attempt.emit(message.sender, -message.value)


@calls_contract_code
def call_pickled(data: bytes, arguments: tuple[Any, ...]) -> Any:
    """Run a function of a nondeterministic block or sandbox, with classes of its own as in another interpreter."""
    return _Unpickler(io.BytesIO(data)).load()(*arguments)


class _Unpickler(pickle.Unpickler):
    """For a class it sent out cloudpickle gives back the one that is here; a new interpreter would not have it."""

    def find_class(self, module: str, name: str) -> Any:
        if module == cloudpickle_internals.__name__:
            if name == "_make_skeleton_class":
                return _untracked_class
            if name == "_make_skeleton_enum":
                return _untracked_enum
        return super().find_class(module, name)


def _untracked_class(kind: Any, name: str, bases: Any, type_kwargs: Any, _tracker: str, extra: Any) -> Any:
    return cloudpickle_internals._make_skeleton_class(kind, name, bases, type_kwargs, None, extra)


def _untracked_enum(bases: Any, name: str, qualname: str, members: Any, module: str, _tracker: str, extra: Any) -> Any:
    return cloudpickle_internals._make_skeleton_enum(bases, name, qualname, members, module, None, extra)
