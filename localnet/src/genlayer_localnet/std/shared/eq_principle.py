"""Ready ways for validators to agree with the leader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genlayer_localnet import calldata

from .lazy import Lazy, LazyApi, lazy_api

__all__ = ("Principles", "Running")

# Any: results are of the classes of a library.


@dataclass
class Running:
    """How a library runs functions. It is pickled with validators: all of it has to be found by name."""

    own_result: Callable[[Callable[[], Any]], Any]
    """Runs a function as the leader did; its result."""
    returned: type
    """The class of results with a value."""
    exec_template: Callable[[dict[str, Any]], Any]
    encode: Callable[[Any], bytes]


@dataclass
class _Validator(ABC):
    """Runs the function as the leader did, and agrees to the very same error, or to a value that it judges."""

    running: Running
    fn: Callable[[], Any]

    def __call__(self, leaders: Any) -> bool:
        own, returned = self.running.own_result(self.fn), self.running.returned
        if isinstance(leaders, returned) and isinstance(own, returned):
            return self._agrees(leaders.calldata, own.calldata)  # type: ignore[attr-defined]  # what these have
        return type(leaders) is type(own) and bool(leaders == own)

    @abstractmethod
    def _agrees(self, leaders: Any, own: Any) -> bool:
        """Whether the leader's value is as good as the own one."""


class _StrictValidator(_Validator):
    def _agrees(self, leaders: Any, own: Any) -> bool:
        # Encoded: a tuple here and the list that was decoded from the leader's answer are the same value.
        return self.running.encode(leaders) == self.running.encode(own)


@dataclass
class _ComparativeValidator(_Validator):
    principle: str

    def _agrees(self, leaders: Any, own: Any) -> bool:
        answers = {"leader_answer": _text(leaders), "validator_answer": _text(own)}
        request = {"template": "EqComparative", **answers, "principle": self.principle}
        return bool(self.running.exec_template(request))


@dataclass
class _NonComparativeLeader:
    running: Running
    fn: Callable[[], Any]
    task: str
    criteria: str

    def __call__(self) -> Any:
        request = {"task": self.task, "input": _text(self.fn()), "criteria": self.criteria}
        return self.running.exec_template({"template": "EqNonComparativeLeader", **request})


@dataclass
class _NonComparativeValidator(_Validator):
    task: str
    criteria: str

    def _agrees(self, leaders: Any, own: Any) -> bool:
        request = {"task": self.task, "output": _text(leaders), "input": _text(own), "criteria": self.criteria}
        return bool(self.running.exec_template({"template": "EqNonComparativeValidator", **request}))


class Principles:
    """The functions of ``gl.eq_principle``. ``run_nondet`` runs a block of a leader and a validator."""

    def __init__(self, running: Running, run_nondet: Callable[[Any, Any], Lazy[Any]]) -> None:
        self._running = running
        self._run = run_nondet

    def strict_eq(self) -> LazyApi[[Callable[[], Any]], Any]:
        @lazy_api
        def strict_eq(fn: Callable[[], Any], /) -> Lazy[Any]:
            """Everyone runs the function, and agrees only to the very same value, or the very same user error."""
            return self._run(fn, _StrictValidator(self._running, fn))

        return strict_eq

    def prompt_comparative(self) -> LazyApi[..., Any]:
        @lazy_api
        def prompt_comparative(fn: Callable[[], Any], /, principle: str) -> Lazy[Any]:
            """Everyone runs it, and a language model says whether two values are the same by the principle."""
            return self._run(fn, _ComparativeValidator(self._running, fn, principle))

        return prompt_comparative

    def prompt_non_comparative(self) -> LazyApi[..., str]:
        @lazy_api
        def prompt_non_comparative(fn: Callable[[], Any], /, *, task: str, criteria: str) -> Lazy[str]:
            """The leader's language model does a task on the value; the validators' judge it by the criteria."""
            leader = _NonComparativeLeader(self._running, fn, task, criteria)
            return self._run(leader, _NonComparativeValidator(self._running, fn, task, criteria))

        return prompt_non_comparative


def _text(value: Any) -> str:
    return value if isinstance(value, str) else calldata.to_str(calldata.decode(calldata.encode(value)))
