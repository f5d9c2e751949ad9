"""Tells Ctrl-C from a contract that raises ``KeyboardInterrupt``."""

from __future__ import annotations

import signal
import threading

from genlayer_localnet.interpreter.contract_code import is_raised_by_contract


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody wants to end this program: Python says so in the main thread, between two instructions."""
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and not is_raised_by_contract(error)
    )
