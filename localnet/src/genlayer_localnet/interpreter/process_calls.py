"""What a contract asks of the process it runs in, answered as in a VM: its end ends the call; no threads, no signals.

For mistakes, so that a contract of a test does not end the tests; whoever means to gets around it.
"""

from __future__ import annotations

import _thread
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from genlayer_localnet.interpreter.contract_code import calls_contract_code, is_contract_code

_ABORTED: Final = 128 + signal.SIGABRT


def _exit(code: int = 0) -> None:
    raise SystemExit(code)


def _abort() -> None:
    raise SystemExit(_ABORTED)


@calls_contract_code
def _interrupt_main(_number: int = signal.SIGINT, /) -> None:
    raise KeyboardInterrupt


def _start_new_thread(*_: Any, **__: Any) -> int:
    raise RuntimeError("can't start new thread")


def _no_signals(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _for_contracts(real: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """The host goes on calling the real one, also while a contract runs."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return (instead if is_contract_code(sys._getframe(1)) else real)(*args, **kwargs)

    return call


_INSTEAD: Final[tuple[tuple[Any, str, Any], ...]] = (
    (os, "_exit", _exit),
    (os, "abort", _abort),
    (_thread, "interrupt_main", _interrupt_main),
    (_thread, "start_new_thread", _start_new_thread),
    (threading, "_start_new_thread", _start_new_thread),
    (signal, "raise_signal", _interrupt_main),
    *((signal, name, _no_signals) for name in ("alarm", "setitimer", "signal", "pthread_kill", "siginterrupt")),
    *((os, name, _no_signals) for name in ("kill", "killpg", "fork", "forkpty")),
    (_thread, "start_joinable_thread", _start_new_thread),  # since Python 3.13
    (threading, "_start_joinable_thread", _start_new_thread),
)
REPLACEMENTS: Final[tuple[tuple[Any, str, Any], ...]] = tuple(
    (module, name, _for_contracts(getattr(module, name), instead))
    for module, name, instead in _INSTEAD
    if hasattr(module, name)
)
