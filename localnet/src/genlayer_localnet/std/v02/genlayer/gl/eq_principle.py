"""Ready ways for validators to agree with the leader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genlayer_localnet.std.shared.lazy import Lazy, lazy_api

from ..py import calldata
from . import vm
from .nondet._answers import exec_template

__all__ = ("prompt_comparative", "prompt_non_comparative", "strict_eq")

# vm.run_nondet_unsafe is looked up at the call: test tools put a function of their own in its place.


@dataclass
class _Validator(ABC):
    """Runs the function as the leader did, and agrees to the very same user error, or to a value that it judges."""

    fn: Callable[[], Any]

    def __call__(self, leaders: vm.Result[Any]) -> bool:
        try:
            own = self.fn()
        except vm.UserError as error:
            return isinstance(leaders, vm.UserError) and leaders.message == error.message
        return isinstance(leaders, vm.Return) and self._agrees(leaders.calldata, own)

    @abstractmethod
    def _agrees(self, leaders: Any, own: Any) -> bool:
        """Whether the leader's value is as good as the own one."""


class _StrictValidator(_Validator):
    def _agrees(self, leaders: Any, own: Any) -> bool:
        # Encoded: a tuple here and the list that was decoded from the leader's answer are the same value.
        return calldata.encode(leaders) == calldata.encode(own)


@lazy_api
def strict_eq(fn: Callable[[], Any], /) -> Lazy[Any]:
    """Everyone runs the function, and agrees only to the very same value, or the very same user error."""
    return vm.run_nondet_unsafe.lazy(fn, _StrictValidator(fn))


@dataclass
class _ComparativeValidator(_Validator):
    principle: str

    def _agrees(self, leaders: Any, own: Any) -> bool:
        answers = {"leader_answer": _text(leaders), "validator_answer": _text(own)}
        return bool(exec_template({"template": "EqComparative", **answers, "principle": self.principle}))


@lazy_api
def prompt_comparative(fn: Callable[[], Any], /, principle: str) -> Lazy[Any]:
    """Everyone runs the function, and a language model says whether two values are the same by the principle."""
    return vm.run_nondet_unsafe.lazy(fn, _ComparativeValidator(fn, principle))


@dataclass
class _NonComparativeLeader:
    fn: Callable[[], Any]
    task: str
    criteria: str

    def __call__(self) -> Any:
        request = {"task": self.task, "input": _text(self.fn()), "criteria": self.criteria}
        return exec_template({"template": "EqNonComparativeLeader", **request})


@dataclass
class _NonComparativeValidator(_Validator):
    task: str
    criteria: str

    def _agrees(self, leaders: Any, own: Any) -> bool:
        request = {"task": self.task, "output": _text(leaders), "input": _text(own), "criteria": self.criteria}
        return bool(exec_template({"template": "EqNonComparativeValidator", **request}))


@lazy_api
def prompt_non_comparative(fn: Callable[[], Any], /, *, task: str, criteria: str) -> Lazy[str]:
    """The leader's language model does a task on the function's value; the validators' judge it by the criteria."""
    leader = _NonComparativeLeader(fn, task, criteria)
    return vm.run_nondet_unsafe.lazy(leader, _NonComparativeValidator(fn, task, criteria))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else calldata.to_str(calldata.decode(calldata.encode(value)))
