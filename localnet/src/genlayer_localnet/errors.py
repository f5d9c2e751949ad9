"""What the localnet raises to Python callers. A failing contract call is no error of its own: see ``Receipt.kind``.

LocalnetError
├── ContractRejected            a view that the contract refused or that crashed
├── ContractNotFound            no contract at the address
├── FeesRefused                 a network with fees does not take the transaction for these
├── InsufficientFunds           the sender has less than the value it sends
├── InvalidArgument             an argument that cannot be encoded, an address or an amount out of form
├── NotAppealable               a transaction that is final, waits, or was not voted on
├── UnknownSnapshot
├── UnknownTransaction
└── StandardLibraryNotFound     the chosen standard library is not on this machine
"""

from __future__ import annotations

import re
from typing import Any

_EXPECTED = re.compile(r"\[EXPECTED\] ([^:\s]+):")


def error_code_of(message: str | None) -> str | None:
    """The code between ``[EXPECTED] `` and ``:`` of a contract's error text, None where there is none."""
    match = _EXPECTED.match(message or "")
    return match.group(1) if match else None


class LocalnetError(Exception):
    """Base of everything the localnet raises."""


class ContractNotFound(LocalnetError):
    """There is no contract at the address."""


class FeesRefused(LocalnetError):
    """A network with fees does not take a transaction, or what is paid for one; nothing has changed.

    ``name`` is that of the consensus contract's error: ``InsufficientFees``, ``MaxPriceExceeded`` …
    """

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        super().__init__(f"{name}: {detail}")


class InsufficientFunds(LocalnetError):
    """The sender's balance is below the value it wants to send; nothing was submitted."""


class InvalidArgument(LocalnetError, ValueError):
    """An address, an amount, a time or an argument the localnet cannot take."""


class NotAppealable(LocalnetError):
    """Nobody can vote on this transaction once more."""


class UnknownSnapshot(LocalnetError, KeyError):
    """No snapshot has this id."""

    __str__ = Exception.__str__


class UnknownTransaction(LocalnetError, KeyError):
    """No transaction has this id."""

    __str__ = Exception.__str__


class StandardLibraryNotFound(LocalnetError):
    """The standard library that was asked for is not on this machine."""


class ContractRejected(LocalnetError):
    """A view did not return.

    ``kind`` is ``user_error`` (the contract raised ``gl.vm.UserError``) or ``vm_error`` (anything else); ``message`` is
    the contract's text or the VM's (``exit_code 1``); ``data`` is the same, but for a user error of the v0.3 line what
    it carries; ``code`` is the part between ``[EXPECTED] `` and ``:``, None without one; ``stderr`` ends with the
    contract's own line.
    """

    def __init__(self, kind: str, message: str, *, data: Any = None, stderr: str = "", stdout: str = "") -> None:
        self.kind = kind
        self.message = message
        self.data = data
        self.code = error_code_of(message)
        self.stderr = stderr
        self.stdout = stdout
        detail = f"\n{stderr.rstrip()}" if kind == "vm_error" and stderr else ""
        super().__init__(f"{message}{detail}")
