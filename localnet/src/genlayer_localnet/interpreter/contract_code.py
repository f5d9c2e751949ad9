"""Which Python code is a contract's: for whoever looks at the frames of a running thread from outside."""

from __future__ import annotations

import dis
import os
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType
from typing import Any, Final

_HOST: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep
_RAISE: Final = dis.opmap["RAISE_VARARGS"]
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
    return not _is_host(frame.f_code.co_filename) and _are_contracts(_outwards(frame))


def is_raised_by_contract(error: BaseException) -> bool:
    """Whether a ``raise`` statement of such code began it."""
    traceback, frames, began_with = error.__traceback__, [], None
    while traceback is not None:
        frames.append(traceback.tb_frame)
        began_with = traceback.tb_frame.f_code.co_code[traceback.tb_lasti]
        traceback = traceback.tb_next
    return began_with == _RAISE and _are_contracts(reversed(frames))


def _are_contracts(frames: Iterable[FrameType]) -> bool:
    """Of these frames, from the innermost on, the first that tells."""
    for frame in frames:
        name = frame.f_code.co_filename
        if name in contract_files:
            return True
        if _is_host(name):
            return frame.f_code in _callers
    return False


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_host(filename: str) -> bool:
    return filename.startswith(_HOST) and not filename.startswith(_LIBRARY)
