"""`api-billing meter settle …`, `reconcile`, `prove` and `verify`: what the meter counted, billed on the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import format_wei
from api_billing.cli.drawing import counted, right, table
from api_billing.cli.exit_codes import ExitCode
from api_billing.cli.meter_session import Store, opened, plain
from api_billing.cli.meter_usage import line_data
from api_billing.cli.options import command
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.cli.values import ApiName
from api_billing.errors import InvalidInput

if TYPE_CHECKING:
    from api_billing.metering.meter import Meter
    from api_billing.metering.operations import Batch
    from api_billing.metering.settlement.preview import Preview
    from api_billing.metering.settlement.reconcile import Reconciliation
    from api_billing.metering.settlement.worker import Round, Settler
    from api_billing.metering.settlement_operations import Outgoing

_CODES: Final = {
    "done": ExitCode.DONE,
    "busy": ExitCode.DONE,
    "unknown": ExitCode.UNKNOWN_OUTCOME,
    "unreachable": ExitCode.NETWORK,
    "rejected": ExitCode.REFUSED,
    "foreign": ExitCode.REFUSED,
}
_PAGE: Final = 50

Apis = Annotated[list[str], typer.Argument(metavar="API...", help="Names of APIs")]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="Sequence of the batch, as `status` shows it", min=1)]
Lines = Annotated[
    list[int] | None, typer.Option("--line", metavar="N", help="Only this line, from 0; can be repeated.", min=0)
]

app = typer.Typer(no_args_is_help=True, help="Bill what the meter counted on the contract, exactly once.")


def add_to(meter_app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "once", writes=True)(once)
    command(app, "run", writes=True)(run_settler)
    command(app, "status")(status)
    command(app, "retry")(retry)
    command(app, "write-off")(write_off)
    meter_app.add_typer(app, name="settle")
    command(meter_app, "reconcile")(reconcile)
    command(meter_app, "prove")(prove)
    command(meter_app, "verify")(verify)


def once(
    session: Session,
    apis: Apis,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be posted, and post nothing.")] = False,
    store: Store = None,
) -> Shown | None:
    """Post all settled usage of these APIs and record what became of it. Safe to repeat, also after it was killed."""
    with opened(store) as meter:
        if dry_run:
            return _previewed(session, meter, apis)
        rounds = {}
        settler = _settler(session, meter)
        for api in apis:
            with session.printer.waiting(f"settling {api}"):
                rounds[api] = _ask(meter, settler.round(api))
    session.printer.show(Shown({api: _round_data(each) for api, each in rounds.items()}, _rounds_text(rounds)))
    worst = max(rounds.values(), key=lambda each: _CODES[each.status])
    raise typer.Exit(_CODES[worst.status])


def run_settler(
    session: Session,
    apis: Apis,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Pause between two rounds.", min=1)] = 60.0,
    store: Store = None,
) -> None:
    """Settle these APIs again and again, until Ctrl-C. Any number of processes may: one of them works at a time."""
    from api_billing.metering.settlement.running import SettlementLoop

    def tell(api: str, ended: Round) -> None:
        if ended.settled or ended.status not in ("done", "busy"):
            session.printer.show(Shown({api: _round_data(ended)}, _rounds_text({api: ended})))

    with opened(store) as meter:
        loop = SettlementLoop(_settler(session, meter), apis, meter.store.call, every_seconds=every, on_round=tell)
        session.printer.note(f"settling {', '.join(apis)} every {every:g} s; Ctrl-C ends it")
        loop.run()


def status(
    session: Session,
    api: ApiName,
    after: Annotated[int, typer.Option(metavar="N", help="Only batches with a higher sequence.", min=0)] = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="How many, oldest first.", min=1, max=1_000)] = _PAGE,
    store: Store = None,
) -> Shown:
    """Batches of an API on their way to the contract, and what of them was refused."""
    from api_billing.metering.settlement_operations import ListOutgoing

    with opened(store) as meter:
        found = meter.store.call(ListOutgoing(api, after, limit))
    return Shown([_outgoing_data(each) for each in found], lambda: _drawn(found))


def retry(
    session: Session,
    api: ApiName,
    batch: BatchNumber,
    line: Lines = None,
    today: Annotated[bool, typer.Option("--today", help="Bill it today: its own day may be closed.")] = False,
    at_most: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Of each line post no more, and write the rest off.")
    ] = None,
    store: Store = None,
) -> Shown:
    """Put refused parts of a batch into a new one, for the next round to post."""
    from api_billing.cli.values import require_wei
    from api_billing.metering.operations import DAY_MS
    from api_billing.metering.settlement_operations import RetryRefused

    with opened(store) as meter:
        now_ms = meter.now_ms()
        day = now_ms // DAY_MS if today else None
        most_wei = require_wei(at_most) if at_most else None
        made = meter.store.call(RetryRefused(api, batch, now_ms, tuple(line or ()), day, most_wei))
    if made is None:
        raise InvalidInput(f"nothing of batch {batch} of {api} is refused and open")
    return Shown(_batch_data(made), f"batch {made.sequence} has {counted(len(made.lines), 'line')} of batch {batch}")


def write_off(
    session: Session,
    api: ApiName,
    batch: BatchNumber,
    line: Lines = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with it.")] = "",
    store: Store = None,
) -> Shown:
    """Give up refused parts of a batch for good: they are never billed, and their consumers are served again."""
    from api_billing.metering.settlement_operations import ReadBook, WriteOff

    with opened(store) as meter:
        open_before = meter.store.call(ReadBook(api)).open_parts
        wanted = [index for sequence, index in open_before if sequence == batch and index in (line or [index])]
        if not wanted:
            raise InvalidInput(f"nothing of batch {batch} of {api} is refused and open")
        given_up_wei = meter.store.call(WriteOff(api, batch, meter.now_ms(), tuple(wanted), note))
    text = f"{counted(len(wanted), 'line')} of batch {batch} written off: {format_wei(given_up_wei, exact=True)}"
    return Shown({"lines": len(wanted), "written_off_wei": given_up_wei}, text)


def reconcile(session: Session, api: ApiName, store: Store = None) -> None:
    """Compare meter, outbox and contract; exit code 1 when a difference is left, with the reasons for it."""
    from api_billing.metering.settlement.reconcile import reconcile as compare

    with opened(store) as meter, session.printer.waiting("comparing"):
        found = _ask(meter, compare(session.client, api, meter.now_ms()))
    session.printer.show(Shown(_reconciliation_data(found), lambda: _reconciliation(found)))
    raise typer.Exit(ExitCode.DONE if found.is_zero else ExitCode.REFUSED)


def prove(
    session: Session,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Of the request, as the audit log shows it")],
    store: Store = None,
) -> None:
    """Print the proof that one request is in what was settled: a JSON document for `verify`."""
    from api_billing.metering.settlement.proof import prove as proof_of

    with opened(store) as meter:
        session.printer.json(_ask(meter, proof_of(record_id)))


def verify(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof, as `prove` prints it")],
) -> None:
    """Check a proof against the contract, with nothing else; exit code 1 when it does not hold."""
    from api_billing.metering.settlement.proof import verify as check

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{file} is no proof: it is not a JSON object")
    with session.printer.waiting("reading"):
        verdict = check(document, session.client)
    data = {"status": verdict.status, "billed": verdict.billed, "reason": verdict.reason}
    session.printer.show(Shown(data, f"{verdict.status}: {plain(verdict.reason)}"))
    raise typer.Exit(ExitCode.DONE if verdict.status == "proven" else ExitCode.REFUSED)


# --- private


def _ask(meter: Meter, steps: Any) -> Any:
    from api_billing.metering.steps import run

    return run(steps, meter.store.call)


def _settler(session: Session, meter: Meter) -> Settler:
    from api_billing.metering.settlement.running import holder_name
    from api_billing.metering.settlement.worker import Settler

    holder = holder_name(meter.now_ms())
    return Settler(session.client, holder=holder, now_ms=meter.now_ms, alert=meter.watcher.send)


def _previewed(session: Session, meter: Meter, apis: list[str]) -> Shown:
    from api_billing.metering.settlement.preview import preview

    found = {api: _ask(meter, preview(api, meter.now_ms())) for api in apis}
    data = {
        api: {
            "waiting": [_outgoing_data(each) for each in seen.waiting],
            "cut": [_batch_data(batch) for batch in seen.cut],
        }
        for api, seen in found.items()
    }
    return Shown(data, "\n".join(_preview_text(api, seen) for api, seen in found.items()))


def _preview_text(api: str, seen: Preview) -> str:
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


def _round_data(ended: Round) -> dict[str, Any]:
    return {"status": ended.status, "settled": ended.settled, "message": ended.message}


def _rounds_text(rounds: dict[str, Round]) -> str:
    return "\n".join(
        f"{api}: {ended.status}, {counted(ended.settled, 'batch', 'batches')} settled"
        + (f": {plain(ended.message)}" if ended.message else "")
        for api, ended in rounds.items()
    )


def _batch_data(batch: Batch) -> dict[str, Any]:
    return {
        "api": batch.api,
        "sequence": batch.sequence,
        "records": batch.records,
        "root": batch.root,
        "lines": [line_data(line) for line in batch.lines],
    }


def _outgoing_data(each: Outgoing) -> dict[str, Any]:
    posting = each.posting
    return {
        **_batch_data(each.batch),
        "state": posting.state,
        "chain_sequence": posting.chain_sequence,
        "attempts": posting.attempts,
        "transactions": list(posting.txs),
        "note": posting.note,
        "settled_at": posting.settled_at,
        "retry_of": posting.retry_of,
        "parts": [part._asdict() for part in posting.parts],
    }


def _drawn(found: tuple[Outgoing, ...]) -> RenderableType:
    if not found:
        return Text("no batches")
    rows = []
    for batch, posting in found:
        refused = sorted({part.code for part in posting.parts if part.is_open})
        wei = sum(line.amount_wei for line in batch.lines)
        what = ", ".join(refused) or plain(posting.note)
        rows.append((str(batch.sequence), posting.state, str(len(batch.lines)), format_wei(wei), what))
    return table(right("batch"), "state", right("lines"), right("amount"), "open", rows=rows)


def _reconciliation_data(found: Reconciliation) -> dict[str, Any]:
    return {
        "api": found.api,
        "zero": found.is_zero,
        "lines": [
            {
                "consumer": line.consumer,
                "day": line.day,
                "metered_calls": line.metered_calls,
                "metered_wei": line.metered_wei,
                "chain_calls": line.chain_calls,
                "chain_wei": line.chain_wei,
                "receipt_calls": line.receipt_calls,
                "difference_wei": line.difference_wei,
                "unexplained_wei": line.unexplained_wei,
                "why": [why._asdict() for why in line.why],
            }
            for line in found.lines
        ],
    }


def _reconciliation(found: Reconciliation) -> RenderableType:
    from api_billing.metering.settlement.reconcile import explained

    metered = sum(line.metered_wei for line in found.lines)
    billed = sum(line.chain_wei for line in found.lines)
    head = f"{found.api}: metered {format_wei(metered, exact=True)}, billed on chain {format_wei(billed, exact=True)}"
    end = "no difference" if found.is_zero else f"difference {metered - billed:,} wei"
    return Text("\n".join([head, *(plain(each) for each in explained(found.lines)), end]))
