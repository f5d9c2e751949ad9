"""Results of a VM as GenVM has them, a code byte and its payload; and what ends a VM with one."""

from __future__ import annotations

RETURN, USER_ERROR, VM_ERROR = b"\x00", b"\x01", b"\x02"
TIMEOUT = VM_ERROR + b"timeout"
"""The result of code that ran longer than it may."""


class Terminated(BaseException):
    """Ends the running VM with ``result``. A contract cannot catch it for good: the frame remembers."""

    def __init__(self, result: bytes) -> None:
        self.result = result
        super().__init__(result)
