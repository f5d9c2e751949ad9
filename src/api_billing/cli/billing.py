"""Billing: calls one by one, and settlements by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import counted
from api_billing.cli.entries import read_entries
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import ApiName, Calls, Consumer, day_text
from api_billing.contract_api import in_words
from api_billing.errors import OutcomeUnknown
from api_billing.results import Quote, ReceiptCheck, Settlement


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "consume", writes=True)(consume)
    command(app, "quote")(quote)
    command(app, "receipt")(receipt)


def consume(
    session: Session,
    api: ApiName,
    consumer: Consumer = None,
    calls: Calls = 1,
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="1 to 64 characters; the same id again bills nothing more.")
    ] = "",
) -> Shown:
    """Bill calls from free credit."""
    address = session.address(consumer)
    with session.printer.waiting(f"billing {counted(calls, 'call')}"):
        try:
            written = session.client.consume_credit(api, address, calls, request_id)
        except OutcomeUnknown as error:
            if request_id:
                error.hint = f"the same command again is safe: --request-id {request_id} bills once"
            raise
    done = written.result
    # With a request id it may have been billed before, which the answer does not tell.
    once, credit = (f" once, as request {request_id},", "credit after that") if request_id else ("", "credit")
    text = (
        f"billed{once} {counted(calls, 'call')} to {api} for {format_wei(done.cost_wei, exact=True)}; "
        f"{credit} {format_wei(done.credit_wei, exact=True)}\nreceipt {done.receipt_id}"
    )
    return shown_write(written, text)


def quote(session: Session, api: ApiName, consumer: Consumer = None, calls: Calls = 1) -> Shown:
    """What billing a call now would cost, or why it would be refused."""
    address = session.address(consumer)
    with session.printer.waiting("reading"):
        found = session.client.quote_call(api, address, calls)
    return Shown(found.as_dict(), lambda: _quote(found, calls))


def settle_file(
    session: Session,
    api: ApiName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Entries as .json or .csv: consumer, day_id, calls, spend_wei; in .json also voucher"
        ),
    ],
    sequence: Annotated[
        int, typer.Option(metavar="N", help="Number of the settlement; by default the next one.", min=0)
    ] = 0,
    usage_root: Annotated[
        str, typer.Option(metavar="HEX", help="Merkle root of the usage lines behind the entries.")
    ] = "",
) -> Shown:
    """Bill entries from a file, by hand, for a meter of another make. A number that is settled bills nothing again.

    Not beside `settle run`: that would find its sequence used by somebody else.

    Example: api-billing settle file weather entries.csv
    """
    entries = read_entries(file)
    client = session.client
    with session.printer.waiting(f"settling {counted(len(entries), 'entry', 'entries')}"):
        number = sequence or client.get_api(api).next_sequence
        try:
            written = client.settle_usage(api, number, entries, usage_root)
        except OutcomeUnknown as error:
            error.hint = f"the same command again is safe with --sequence {number}, and only with it"
            raise
    return shown_write(written, _settlement(written.result))


def receipt(
    session: Session,
    receipt_id: Annotated[
        str, typer.Argument(metavar="RECEIPT", help="api_name:consumer:day_id:call_no, and what follows")
    ],
) -> Shown:
    """Whether a receipt is genuine."""
    with session.printer.waiting("reading"):
        found = session.client.get_receipt(receipt_id)
    return Shown(found.as_dict(), lambda: _receipt(found))


def _quote(found: Quote, calls: int) -> RenderableType:
    cost = format_wei(found.cost_wei, exact=True)
    if found.allowed:
        answer = Text(f"allowed: {counted(calls, 'call')} for {cost}", style="green")
    else:
        answer = Text(f"refused: {in_words(found.code)} ({found.code})", style="red")
    return answer.append(f"; credit {format_wei(found.credit_wei, exact=True)}", style="default")


def _settlement(done: Settlement) -> str:
    lines = [
        f"settlement {done.sequence} of {done.api_name}: billed {counted(done.billed_calls, 'call')} "
        f"for {format_wei(done.billed_wei, exact=True)}"
    ]
    for entry in done.entries:
        if entry.code:
            refused = counted(entry.calls - entry.billed_calls, "call")
            where = f"{entry.consumer} on {day_text(entry.day_id)}"
            lines.append(f"  refused {refused} of {where}: {in_words(entry.code)} ({entry.code})")
    return "\n".join(lines)


def _receipt(found: ReceiptCheck) -> RenderableType:
    if not found.valid:
        return Text("not genuine: no such call was billed", style="red")
    call = f"call {found.call_no} of {found.consumer} to {found.api_name} on {day_text(found.day_id)}"
    return Text(f"genuine: {call}", style="green")
