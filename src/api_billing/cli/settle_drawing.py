"""How batches, rounds of settling and reconciliations are shown: for machines and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import format_wei
from api_billing.cli.drawing import counted, right, table
from api_billing.cli.meter_session import plain
from api_billing.cli.meter_usage import line_data

if TYPE_CHECKING:
    from api_billing.metering.ledger.batch_operations import Batch
    from api_billing.metering.ledger.settlement_operations import Outgoing
    from api_billing.metering.settlement.preview import Preview
    from api_billing.metering.settlement.reconcile import Reconciliation
    from api_billing.metering.settlement.worker import Round


def preview_text(api: str, seen: Preview) -> str:
    batches = [each.batch for each in seen.waiting] + list(seen.cut)
    if not batches:
        return f"{api}: nothing to post"
    calls = sum(line.calls for batch in batches for line in batch.lines)
    wei = sum(line.amount_wei for batch in batches for line in batch.lines)
    lines = sum(len(batch.lines) for batch in batches)
    return (
        f"{api}: {counted(len(batches), 'batch', 'batches')} of {counted(lines, 'line')} would be posted,"
        f" {counted(calls, 'call')} for {format_wei(wei, exact=True)}"
    )


def round_data(ended: Round) -> dict[str, Any]:
    return {"status": ended.status, "settled": ended.settled, "message": ended.message}


def rounds_text(rounds: dict[str, Round]) -> str:
    return "\n".join(
        f"{api}: {ended.status}, {counted(ended.settled, 'batch', 'batches')} settled"
        + (f": {plain(ended.message)}" if ended.message else "")
        for api, ended in rounds.items()
    )


def closing_text(state: str, api: str, consumer: str, held_wei: int, message: str) -> str:
    """How far the closing of a session is, and what to do next."""
    held = f"{format_wei(held_wei, exact=True)} is still held for the session of {consumer} with {api}"
    again = f"api-billing settle close {api} {consumer}"
    if state == "closed":
        return f"the session of {consumer} with {api} is closed: settled, and nothing is held any more"
    if state == "nothing_to_bill":
        release = f"api-billing session close {api} --consumer {consumer}"
        return f"{held}\nthis store has nothing of it left to bill; as operator end it now:\n{release}"
    if state == "refused":
        return f"{held}\na part was refused; before you end it: api-billing settle status {api}"
    if state == "serving":
        return f"{held}\nrequests of it are being served, and no more; when they have ended:\n{again}"
    return f"{held}\nsettling: {state}{f', {plain(message)}' if message else ''}; later again:\n{again}"


def batch_data(batch: Batch) -> dict[str, Any]:
    return {
        "api": batch.api,
        "sequence": batch.sequence,
        "records": batch.records,
        "root": batch.root,
        "lines": [line_data(line) for line in batch.lines],
    }


def outgoing_data(each: Outgoing) -> dict[str, Any]:
    posting = each.posting
    return {
        **batch_data(each.batch),
        "state": posting.state,
        "chain_sequence": posting.chain_sequence,
        "attempts": posting.attempts,
        "transactions": list(posting.txs),
        "note": posting.note,
        "settled_at": posting.settled_at,
        "retry_of": posting.retry_of,
        "parts": [part._asdict() for part in posting.parts],
    }


def draw_outgoing(found: tuple[Outgoing, ...]) -> RenderableType:
    if not found:
        return Text("no batches")
    rows = []
    for batch, posting in found:
        refused = sorted({part.code for part in posting.parts if part.is_open})
        wei = sum(line.amount_wei for line in batch.lines)
        what = ", ".join(refused) or plain(posting.note)
        rows.append((str(batch.sequence), posting.state, str(len(batch.lines)), format_wei(wei), what))
    return table(right("batch"), "state", right("lines"), right("amount"), "open", rows=rows)


def draw_reconciliation(found: Reconciliation) -> RenderableType:
    from api_billing.metering.settlement.reconcile import explained

    metered = sum(line.metered_wei for line in found.lines)
    billed = sum(line.chain_wei for line in found.lines)
    head = f"{found.api}: metered {format_wei(metered, exact=True)}, billed on chain {format_wei(billed, exact=True)}"
    end = "no difference" if found.is_zero else f"difference {metered - billed:,} wei"
    if found.unknown_settlements:
        settled = counted(found.unknown_settlements, "settlement")
        end = f"the contract has {settled}, of which this store knows nothing: is it the right one (--store)?"
    elif found.is_closed and not found.is_zero:
        end += ", all of it written off, or billed on another day"
    return Text("\n".join([head, *(plain(each) for each in explained(found.lines)), end]))
