"""Results of VMs, nondeterministic blocks and sandboxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from genlayer_localnet.std.shared.lazy import Lazy, lazy_api
from genlayer_localnet.std.shared.requests import ask
from genlayer_localnet.std.shared.stages import GuardedValidator, LeaderStage, ValidatorStage

from ..py import calldata

__all__ = (
    "Result",
    "ResultCode",
    "Return",
    "UserError",
    "VMError",
    "decode_result",
    "run_nondet",
    "run_nondet_unsafe",
    "spawn_sandbox",
    "unpack_result",
)


class ResultCode(IntEnum):
    """The first byte of a VM's result."""

    RETURN = 0
    USER_ERROR = 1
    VM_ERROR = 2
    INTERNAL_ERROR = 3


@dataclass(unsafe_hash=True)
class UserError(Exception):
    """An error that the caller is meant to see: its message is the result of the call.

    Of any other exception callers learn only that there was one.
    """

    message: str

    def __post_init__(self) -> None:
        self.args = (self.message,)

    def __str__(self) -> str:
        return repr(self)


@dataclass(unsafe_hash=True)
class VMError(Exception):
    """A VM ended by an uncaught exception or by the host."""

    message: str

    def __post_init__(self) -> None:
        self.args = (self.message,)

    def __str__(self) -> str:
        return repr(self)


@dataclass
class Return[T]:
    """A VM ended with a value."""

    calldata: T


type Result[T] = Return[T] | UserError | VMError


def decode_result(data: bytes) -> Result[Any]:
    """Read the result of a sub-VM: one byte that says what it is, and the content."""
    code, content = data[0], data[1:]
    if code == ResultCode.RETURN:
        return Return(calldata.decode(content))
    text = content.decode("utf-8")
    return UserError(text) if code == ResultCode.USER_ERROR else VMError(text)


def unpack_result[T](result: Result[T]) -> T:
    """The value of a result; errors are raised.

    Raises:
        UserError: the sub-VM's own, or one with ``vm error:`` and the code of a VM error.
    """
    if isinstance(result, Return):
        return result.calldata
    if isinstance(result, VMError):
        raise UserError(f"vm error: {result.message}")
    raise result


# --- nondeterministic blocks ------------------------------------------------------------------------------------


def _leader_result(stage: Any) -> Result[Any]:
    return decode_result(stage["leaders_result"])


def _same_message(leaders: UserError | VMError, own: UserError | VMError) -> bool:
    return leaders.message == own.message


def _run(leader_fn: Callable[[], Any], validator_fn: Callable[[Result[Any]], bool]) -> Lazy[Any]:
    import cloudpickle

    answer = ask(
        {
            "RunNondet": {
                "data_leader": cloudpickle.dumps(LeaderStage(leader_fn)),
                "data_validator": cloudpickle.dumps(ValidatorStage(validator_fn, _leader_result)),
            }
        }
    )
    return Lazy(lambda: unpack_result(decode_result(answer)))


@lazy_api
def run_nondet_unsafe(leader_fn: Callable[[], Any], validator_fn: Callable[[Result[Any]], bool], /) -> Lazy[Any]:
    """Run a nondeterministic block: the leader's function gives the value, each validator's says whether it agrees.

    Both are pickled and run in VMs of their own, without storage writes, messages and calls. A validator that raises
    disagrees.

    Raises:
        UserError: the leader's, when the validators agree on it.
    """
    return _run(leader_fn, validator_fn)


@lazy_api
def run_nondet(
    leader_fn: Callable[[], Any],
    validator_fn: Callable[[Result[Any]], bool],
    /,
    *,
    compare_user_errors: Callable[[UserError, UserError], bool] = _same_message,
    compare_vm_errors: Callable[[VMError, VMError], bool] = _same_message,
) -> Lazy[Any]:
    """As ``run_nondet_unsafe``, but a validator that fails as the leader did agrees."""
    guarded = GuardedValidator(validator_fn, UserError, VMError, compare_user_errors, compare_vm_errors)
    return _run(leader_fn, guarded)


@lazy_api
def spawn_sandbox(fn: Callable[[], Any], *, allow_write_ops: bool = False) -> Lazy[Result[Any]]:
    """Run a function in a VM of its own and return how it ended; no error of it reaches the caller.

    What it wrote to storage before an error stays written.
    """
    import cloudpickle

    answer = ask({"Sandbox": {"data": cloudpickle.dumps(fn), "allow_write_ops": allow_write_ops}})
    return Lazy(lambda: decode_result(answer))
