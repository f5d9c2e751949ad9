"""Ready ways for validators to agree with the leader. A validator runs the leader's function in a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from genlayer_localnet.std.shared.eq_principle import Principles, Running

from . import calldata, vm
from .nondet._answers import exec_template

__all__ = ("prompt_comparative", "prompt_non_comparative", "strict_eq")


def _own_result(fn: Callable[[], Any]) -> vm.Result[Any]:
    return vm.spawn_sandbox(fn)


_principles: Final = Principles(
    Running(_own_result, vm.Return, exec_template, calldata.encode),
    # Looked up at the call: test tools put a function of their own in its place.
    lambda leader, validator: vm.run_nondet.lazy(leader, validator),
)
strict_eq = _principles.strict_eq()
prompt_comparative = _principles.prompt_comparative()
prompt_non_comparative = _principles.prompt_non_comparative()
