"""What is pickled for the nodes of a nondeterministic block. The host calls it with what it says about the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ("GuardedValidator", "LeaderStage", "ValidatorStage")

_UNCAUGHT = "exit_code 1"
# Any: results and errors are of the classes of a library.


@dataclass
class LeaderStage:
    leader: Callable[[], Any]

    def __call__(self, stage: Any) -> Any:
        return self.leader()


@dataclass
class ValidatorStage:
    validator: Callable[[Any], bool]
    leader_result: Callable[[Any], Any]
    """The leader's result, from what the host says."""

    def __call__(self, stage: Any) -> bool:
        return bool(self.validator(self.leader_result(stage)))


@dataclass
class GuardedValidator:
    """A validator whose own errors agree with the leader's of the same kind, as far as the comparisons say."""

    validator: Callable[[Any], bool]
    user_error: type[Exception]
    vm_error: Callable[[str], Any]
    compare_user_errors: Callable[[Any, Any], bool]
    compare_vm_errors: Callable[[Any, Any], bool]

    def __call__(self, leaders: Any) -> bool:
        try:
            return self.validator(leaders)
        except self.user_error as error:
            return isinstance(leaders, self.user_error) and self.compare_user_errors(leaders, error)
        except Exception:
            own = self.vm_error(_UNCAUGHT)
            return isinstance(leaders, type(own)) and self.compare_vm_errors(leaders, own)
