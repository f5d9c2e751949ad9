"""What commands print: one JSON document, or text for a person; progress and errors on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import format_wei
from api_billing.answers import Answer
from api_billing.cli.drawing import PlainConsole, is_ascii_only, print_trimmed
from api_billing.cli.exit_codes import ExitCode
from api_billing.errors import (
    BillingError,
    ContractRejected,
    DepositKept,
    InvalidInput,
    MissingExtra,
    NetworkError,
    OutcomeUnknown,
)
from api_billing.showing import printable, printable_json

if TYPE_CHECKING:
    from api_billing.client import Written
    from api_billing.transactions import FeeOutcome

_ERROR_FIELDS: Final = ("code", "message", "tx", "child_tx", "status", "credited_wei", "credit_wei", "address")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command has to say: ``data`` for JSON, ``text`` for a person."""

    data: Any
    text: Callable[[], RenderableType] | str


def shown_write(written: Written[Any], text: str) -> Shown:
    """A write: what it came to, and its transaction."""
    result = written.result.as_dict() if isinstance(written.result, Answer) else written.result
    data = {
        "tx": written.tx,
        "status": written.status,
        "triggered": list(written.children),
        "result": result,
        "fee": fee_data(written.fee),
    }
    paid = fee_paid(written.fee)
    return Shown(data, f"{text}\n{written.status.lower()}: {written.tx}" + (f"\nfee: {paid}" if paid else ""))


def fee_data(fee: FeeOutcome) -> dict[str, int | None] | None:
    """What a transaction cost, for JSON; None on a network without fees."""
    return {"deposit_wei": fee.deposit_wei, "paid_wei": fee.paid_wei} if fee.deposit_wei else None


def fee_paid(fee: FeeOutcome) -> str:
    """What a transaction really cost; empty until that is known, and where there are no fees."""
    paid_wei = fee.paid_wei if fee.deposit_wei else None
    return "" if paid_wei is None else format_wei(paid_wei, exact=True)


def fee_bound(deposit_wei: int) -> str:
    """What a transaction costs at most, before it is sent."""
    return f"at most {format_wei(deposit_wei, exact=True)}, what is not used comes back"


class Printer:
    """Prints for one command. Colour only on a terminal, and never with NO_COLOR."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = PlainConsole(highlight=False, markup=False, emoji=False, soft_wrap=False)
        self.err = PlainConsole(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def show(self, shown: Shown) -> None:
        """Print the result of a command."""
        if self.as_json:
            self.json(shown.data)
        else:
            self.text(shown.text if isinstance(shown.text, str) else shown.text())

    def json(self, data: Any) -> None:
        """One JSON document on a line of its own."""
        print(printable_json(json.dumps(data, ensure_ascii=not _is_unicode(sys.stdout.encoding))), flush=True)

    def text(self, content: RenderableType) -> None:
        """Text, tables and bars, without the spaces that pad cells at the end of lines."""
        print_trimmed(self.out, [Text(printable(content, keep="\n")) if isinstance(content, str) else content])

    def note(self, message: str) -> None:
        """A line on standard error."""
        self.err.print(Text(printable(message, keep="\n")))

    @contextmanager
    def waiting(self, message: str) -> Iterator[Callable[[str], None]]:
        """A spinner while something takes its time; nothing where nobody looks. Yields what changes its words."""
        if not self.err.is_terminal or self.as_json:
            yield lambda _: None
            return
        with self.err.status(printable(message)) as status:
            yield lambda told: status.update(printable(told))

    def error(self, error: BaseException) -> ExitCode:
        """Tell an error and return the code to end with."""
        if self.as_json:
            self.json({"error": error_dict(error)})
        self.note(f"api-billing: {_message(error)}")
        hint = error.hint if isinstance(error, BillingError) else ""
        if hint and not self.as_json:
            self.note(f"  next: {hint}")
        return exit_code(error)

    @property
    def ascii_only(self) -> bool:
        """Whether the output can show no more than ASCII."""
        return is_ascii_only(self.out)


def exit_code(error: BaseException) -> ExitCode:
    """What a command ends with after this error."""
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    kinds: Mapping[type[BaseException], ExitCode] = {
        ContractRejected: ExitCode.REFUSED,
        InvalidInput: ExitCode.USAGE,
        MissingExtra: ExitCode.USAGE,
        NetworkError: ExitCode.NETWORK,
        OutcomeUnknown: ExitCode.UNKNOWN_OUTCOME,
    }
    return next((code for kind, code in kinds.items() if isinstance(error, kind)), None) or _of_the_meter(error)


def _of_the_meter(error: BaseException) -> ExitCode:
    # Loaded by now if it is one of them; other commands need not load the meter.
    from api_billing.metering import errors

    kinds: Mapping[type[BaseException], ExitCode] = {
        errors.CannotBeStored: ExitCode.USAGE,
        errors.StoreUnavailable: ExitCode.NETWORK,
        errors.UnknownConsumer: ExitCode.USAGE,
        errors.UnknownTier: ExitCode.USAGE,
        errors.InvalidSetting: ExitCode.USAGE,
        errors.MeterError: ExitCode.REFUSED,
    }
    return next((code for kind, code in kinds.items() if isinstance(error, kind)), ExitCode.NOT_EXECUTED)


def error_dict(error: BaseException) -> dict[str, Any]:
    """An error for machines: its kind (the name of its class), text, what to do next, and what else it knows."""
    known = {name: getattr(error, name) for name in _ERROR_FIELDS if getattr(error, name, None) is not None}
    hint = error.hint if isinstance(error, BillingError) else ""
    return {"kind": type(error).__name__, "text": _message(error), "next": hint, **known}


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, DepositKept):
        kept = format_wei(error.credited_wei, exact=True)
        return f"refused, and the {kept} sent kept as credit: {error}"
    if isinstance(error, ContractRejected):
        return f"refused: {error}"
    return str(error)


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")


def quiet_broken_pipe() -> None:
    """`| head` has seen enough: end without the interpreter's complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
