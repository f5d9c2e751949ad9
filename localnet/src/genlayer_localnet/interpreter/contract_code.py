"""Which Python code is a contract's: for whoever looks at the frames of a running thread from outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

_HOST: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep
_LIBRARY: Final = _HOST + "std" + os.sep

contract_files: Final[set[str]] = set()
"""The file names under which contracts have been compiled in this process."""
_callers: Final[set[CodeType]] = set()


def calls_contract_code[F: Callable[..., Any]](function: F) -> F:
    """Mark a function of the host that calls code of contracts directly, and expects any exception of it."""
    _callers.add(function.__code__)
    return function


def is_contract_code(frame: FrameType) -> bool:
    """Whether the frame runs a contract's own code, or other code on its behalf: the standard libraries'.

    Not the host's, nor what that runs for itself: handlers of tests, HTTP, the journal. An exception raised in such a
    frame is one that the contract could have raised there itself.
    """
    if _is_host(frame.f_code.co_filename):
        return False
    outer: FrameType | None = frame
    while outer is not None:
        name = outer.f_code.co_filename
        if name in contract_files:
            return True
        if _is_host(name):
            return outer.f_code in _callers
        outer = outer.f_back
    return False


def _is_host(filename: str) -> bool:
    return filename.startswith(_HOST) and not filename.startswith(_LIBRARY)
