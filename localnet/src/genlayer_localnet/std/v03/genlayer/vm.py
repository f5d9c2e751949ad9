"""Results of VMs, nondeterministic blocks, sandboxes, and what else the VM itself offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NewType, NoReturn, Protocol

from genlayer_localnet.std.shared.lazy import Lazy, lazy_api
from genlayer_localnet.std.shared.requests import unreachable
from genlayer_localnet.std.shared.stages import GuardedValidator, LeaderStage, ValidatorStage

from . import calldata
from ._abi import ABI
from ._requests import ask, tell

__all__ = (
    "ABI",
    "Result",
    "Return",
    "RunnerID",
    "RunnerIDOps",
    "SandboxChangesOnError",
    "UserError",
    "VMError",
    "get_timestamp",
    "map_file",
    "register_runner",
    "run_nondet",
    "run_nondet_default",
    "spawn_runner",
    "spawn_sandbox",
    "trace",
    "trace_time_micro",
    "unpack_result",
    "yield_",
)

_SEPARATOR = " # "

RunnerID = NewType("RunnerID", str)
"""A runner, as headers of contracts name it."""


class RunnerIDOps(Protocol):
    """Named by the official library; what it offers is not known here."""


class SandboxChangesOnError(StrEnum):
    """What becomes of what a sandbox did that ends with an error."""

    INHERIT = "inherit"
    """It stays."""


class UserError(Exception):
    """An error that the caller is meant to see: what it carries, any value of calldata, is the result of the call.

    Of any other exception callers learn only that there was one.
    """

    def __init__(self, data: Any, /) -> None:
        super().__init__()
        self.data = data
        self.args = ()

    @staticmethod
    def immediate(data: Any) -> NoReturn:
        """End the call with a user error at once: no ``except`` and no ``finally`` of the contract runs."""
        tell({"UserError": data})
        unreachable("UserError")

    def __str__(self) -> str:
        return f"UserError({self.data!r})"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return bool(self.data == other.data) if isinstance(other, UserError) else NotImplemented

    def __hash__(self) -> int:
        return hash(UserError)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.data,))


@dataclass(unsafe_hash=True)
class VMError(Exception):
    """A VM ended by an uncaught exception or by the host."""

    message: str

    def __post_init__(self) -> None:
        self.args = (self.message,)

    @property
    def public_code(self) -> str:
        """The part of the message that all nodes agree on."""
        return self.message.partition(_SEPARATOR)[0]

    @property
    def detail(self) -> str:
        return self.message.partition(_SEPARATOR)[2]

    def __str__(self) -> str:
        return f'VMError("{self.message}")'


@dataclass
class Return[T]:
    """A VM ended with a value."""

    calldata: T


type Result[T] = Return[T] | UserError | VMError


def decode_result(data: bytes) -> Result[Any]:
    """Read the result of a sub-VM: one byte that says what it is, and the content."""
    code, content = data[0], data[1:]
    if code == ABI.ResultCode.RETURN:
        return Return(calldata.decode(content))
    if code == ABI.ResultCode.USER_ERROR:
        return UserError(calldata.decode(content))
    return VMError(content.decode("utf-8"))


def unpack_result[T](result: Result[T]) -> T:
    """The value of a result; errors are raised.

    Raises:
        UserError: the sub-VM's own, or one with ``vm error:`` and the code of a VM error.
    """
    if isinstance(result, VMError):
        raise UserError(f"vm error: {result.message}")
    value: T = _value_of(result)
    return value


def _value_of(result: Result[Any]) -> Any:
    """As ``unpack_result``, but a VM error is the value: it was asked for."""
    if isinstance(result, Return):
        return result.calldata
    if isinstance(result, UserError):
        raise result
    return result


def ask_vm(request: dict[str, Any]) -> Lazy[Any]:
    """Send a request whose answer is the result of another VM."""
    answer = ask(request)
    return Lazy(lambda: _value_of(decode_result(answer)))


# --- nondeterministic blocks ------------------------------------------------------------------------------------


def _leader_result(stage: Any) -> Result[Any]:
    return decode_result(stage["leader_result"])


def _same(leaders: UserError | VMError, own: UserError | VMError) -> bool:
    return leaders == own


@lazy_api
def run_nondet(
    leader_fn: Callable[[], Any],
    validator_fn: Callable[[Result[Any]], bool],
    /,
    *,
    custom_runners: Sequence[RunnerID] | None = None,
    catch_vm_error: bool = False,
) -> Lazy[Any]:
    """Run a nondeterministic block: the leader's function gives the value, each validator's says whether it agrees.

    Both are pickled and run in VMs of their own, without storage writes, messages and calls. A validator that raises
    disagrees. A VM error of the leader ends the caller too, unless ``catch_vm_error`` makes it the value.

    Raises:
        UserError: the leader's, when the validators agree on it.
    """
    import cloudpickle

    return ask_vm(
        {
            "RunNondet": {
                "data_leader": cloudpickle.dumps(LeaderStage(leader_fn)),
                "data_validator": cloudpickle.dumps(ValidatorStage(validator_fn, _leader_result)),
                "custom_runners": None if custom_runners is None else list(custom_runners),
                "catch_vm_error": catch_vm_error,
            }
        }
    )


@lazy_api
def run_nondet_default(
    leader_fn: Callable[[], Any],
    validator_fn: Callable[[Result[Any]], bool],
    /,
    *,
    compare_user_errors: Callable[[UserError, UserError], bool] = _same,
    compare_vm_errors: Callable[[VMError, VMError], bool] = _same,
) -> Lazy[Any]:
    """As ``run_nondet``, but a validator that fails as the leader did agrees."""
    guarded = GuardedValidator(validator_fn, UserError, VMError, compare_user_errors, compare_vm_errors)
    return run_nondet.lazy(leader_fn, guarded)


# --- sandboxes --------------------------------------------------------------------------------------------------


@lazy_api
def spawn_sandbox(
    fn: Callable[[], Any],
    *,
    allow_write_storage: bool = False,
    allow_send_messages: bool = False,
    custom_runners: Sequence[RunnerID] | None = None,
    changes_on_error: SandboxChangesOnError = SandboxChangesOnError.INHERIT,
) -> Lazy[Result[Any]]:
    """Run a function in a VM of its own and return how it ended; no error of it reaches the caller.

    What it did before an error stays done.
    """
    import cloudpickle

    data = cloudpickle.dumps(fn)
    return spawn_runner.lazy(
        RunnerID("contract"),
        data,
        allow_write_storage=allow_write_storage,
        allow_send_messages=allow_send_messages,
        custom_runners=custom_runners,
        changes_on_error=changes_on_error,
    )


@lazy_api
def spawn_runner(
    runner: RunnerID,
    data: bytes,
    /,
    *,
    allow_write_storage: bool = False,
    allow_send_messages: bool = False,
    custom_runners: Sequence[RunnerID] | None = None,
    changes_on_error: SandboxChangesOnError = SandboxChangesOnError.INHERIT,
) -> Lazy[Result[Any]]:
    """Run another runner's code on this data, as ``spawn_sandbox`` runs a function."""
    answer = ask(
        {
            "Sandbox": {
                "data": data,
                "runner": runner,
                "allow_write_storage": allow_write_storage,
                "allow_send_messages": allow_send_messages,
                "custom_runners": None if custom_runners is None else list(custom_runners),
                "changes_on_error": str(changes_on_error),
            }
        }
    )
    return Lazy(lambda: decode_result(answer))


def register_runner(code: bytes, /) -> RunnerID:
    """Make code a runner, for the sandboxes and blocks of this call."""
    return RunnerID(calldata.decode(ask({"RegisterRunner": {"code": code}})))


def map_file(runner: RunnerID, path_in_runner: str, path_in_vfs: str) -> None:
    """Put a file of a runner into this VM's file system."""
    tell({"MapFile": {"runner": runner, "path_in_runner": path_in_runner, "path_in_vfs": path_in_vfs}})


# --- the rest ---------------------------------------------------------------------------------------------------


def get_timestamp() -> datetime:
    """The transaction's time, in whole seconds; in a nondeterministic block the node's own."""
    return datetime.fromtimestamp(calldata.decode(ask({"GetTimestamp": None})), UTC)


def trace(*values: object, sep: str = " ") -> None:
    """Write to the log of the GenVM, which is not part of the result."""
    tell({"Trace": {"Message": sep.join(str(value) for value in values)}})


def trace_time_micro() -> int:
    """Microseconds since the VM started; always 0 in deterministic mode."""
    return int(calldata.decode(ask({"Trace": {"RuntimeMicroseconds": None}})))


def yield_() -> None:
    """Let the node do something else for a moment."""
    tell({"Yield": None})
