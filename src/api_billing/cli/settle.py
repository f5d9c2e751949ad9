"""`api-billing settle …` and `reconcile`: what the meter counted, billed on the contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api_billing.amounts import format_wei
from api_billing.cli.billing import settle_file
from api_billing.cli.command import command
from api_billing.cli.drawing import counted
from api_billing.cli.exit_codes import ExitCode
from api_billing.cli.meter_session import Store, opened_in_gen, paged, progress
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.cli.settle_drawing import (
    batch_data,
    closing_text,
    draw_outgoing,
    draw_reconciliation,
    outgoing_data,
    preview_text,
    round_data,
    rounds_text,
)
from api_billing.cli.values import ApiName
from api_billing.errors import InvalidInput, NetworkError

if TYPE_CHECKING:
    from api_billing.metering.meter import Meter
    from api_billing.metering.settlement.preview import Preview
    from api_billing.metering.settlement.worker import Round, Settler

_CODES: Final = {
    "done": ExitCode.DONE,
    "busy": ExitCode.DONE,
    "unknown": ExitCode.UNKNOWN_OUTCOME,
    "unreachable": ExitCode.NETWORK,
    "unfunded": ExitCode.USAGE,
    "rejected": ExitCode.REFUSED,
    "foreign": ExitCode.REFUSED,
}
_PAGE: Final = 50

Apis = Annotated[list[str], typer.Argument(metavar="API...", help="Names of APIs")]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="Sequence of the batch, as `status` shows it", min=1)]
Lines = Annotated[
    list[int] | None, typer.Option("--line", metavar="N", help="Only this line, from 0; can be repeated.", min=0)
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be posted, and post nothing.")]

app = typer.Typer(no_args_is_help=True, help="Bill what the meter counted on the contract, exactly once.")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    command(app, "once", writes=True)(once)
    command(app, "run", writes=True)(run_settler)
    command(app, "close", writes=True)(close)
    command(app, "status")(status)
    command(app, "retry")(retry)
    command(app, "write-off")(write_off)
    command(app, "renumber")(renumber)
    command(app, "file", writes=True)(settle_file)
    root.add_typer(app, name="settle")
    command(root, "reconcile")(reconcile)


def once(
    session: Session,
    apis: Apis,
    dry_run: DryRun = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Compare all outcomes that the contract keeps with what is recorded.")
    ] = False,
    store: Store = None,
) -> Shown | None:
    """Post all settled usage of these APIs and record what became of it. Safe to repeat, also after it was killed.

    Example: api-billing settle once weather maps --account env:METER_KEY
    """
    with opened_in_gen(store) as meter:
        if dry_run:
            return _previewed(session, meter, apis)
        rounds = {}
        for api in apis:
            with suppress(NetworkError):  # of which the round tells
                session.client.get_settlement(api)  # a wrong name would have nothing to settle
            total = _batches_to_post(session, meter, api)
            with progress(session.printer, f"settling {api}: batches", total) as done:
                rounds[api] = _ask(meter, _settler(session, meter, done, recheck=recheck).round(api))
    session.printer.show(Shown({api: round_data(each) for api, each in rounds.items()}, rounds_text(rounds)))
    worst = max(rounds.values(), key=lambda each: _CODES[each.status])
    raise typer.Exit(_CODES[worst.status])


def run_settler(
    session: Session,
    apis: Apis,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Pause between two rounds.", min=1)] = 60.0,
    dry_run: DryRun = False,
    store: Store = None,
) -> Shown | None:
    """Settle these APIs again and again, until Ctrl-C. Any number of processes may: one of them works at a time.

    With --json a line for each round in which something happened.

    Example: api-billing settle run weather --every 60 --account env:METER_KEY
    """
    from api_billing.metering.observing.logs import configure_logging
    from api_billing.metering.settlement.running import SettlementLoop

    def tell(api: str, ended: Round) -> None:
        if ended.settled or ended.status not in ("done", "busy"):
            session.printer.show(Shown({api: round_data(ended)}, rounds_text({api: ended})))

    with opened_in_gen(store, makes=True) as meter:  # it may be started before what it settles for
        if dry_run:
            return _previewed(session, meter, apis)
        configure_logging(meter.settings)
        settler = _settler(session, meter, lambda settled: None)
        loop = SettlementLoop(settler, apis, meter.store.call, every_seconds=every, on_round=tell)
        session.printer.note(f"settling {', '.join(apis)} every {every:g} s; Ctrl-C ends it")
        loop.run()
    return None


def close(
    session: Session,
    api: ApiName,
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="Address or account of the consumer")],
    store: Store = None,
) -> None:
    """End a consumer's session without losing usage: serve nothing more in it and settle; what bills its last usage
    releases the rest of the hold.

    Safe to repeat. Exit code 1 while that is not done. When nothing is left to bill, no settlement can release the
    hold, and the operator does: the command is told.

    Example: api-billing settle close weather 0x1234... --account env:METER_KEY
    """
    from api_billing.metering.ledger.session_operations import CloseSession, ReadSession
    from api_billing.metering.settlement.chain import chain_account

    address = session.address(consumer)
    if not session.client.get_session(address, api).signer:
        raise InvalidInput(
            f"{address} has no session with {api}",
            hint=f"a plain hold: api-billing settle once {api}, then: api-billing hold release {api} --consumer ...",
        )
    account = chain_account(api, address)
    with opened_in_gen(store) as meter, session.printer.waiting("settling"):
        meter.store.call(CloseSession(account))
        ended = _ask(meter, _settler(session, meter, lambda settled: None).round(api))
        found = meter.store.call(ReadSession(account))
        held_wei = session.client.get_session(address, api).hold_wei
        if ended.status != "done":
            state, code = ended.status, max(_CODES[ended.status], ExitCode.REFUSED)
        elif _refused(meter, api, account):
            state, code = "refused", ExitCode.REFUSED
        elif found is not None and found.is_closing:
            state, code = "serving", ExitCode.REFUSED
        else:
            state, code = ("nothing_to_bill", ExitCode.REFUSED) if held_wei else ("closed", ExitCode.DONE)
    data = {"state": state, "settled": ended.settled, "held_wei": held_wei, "message": ended.message}
    session.printer.show(Shown(data, closing_text(state, api, address, held_wei, ended.message)))
    raise typer.Exit(code)


def status(
    session: Session,
    api: ApiName,
    after: Annotated[int, typer.Option(metavar="N", help="Only batches with a higher sequence.", min=0)] = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="How many, oldest first.", min=1, max=1_000)] = _PAGE,
    store: Store = None,
) -> Shown:
    """Batches of an API on their way to the contract, and what of them was refused.

    Example: api-billing settle status weather --json
    """
    from api_billing.metering.ledger.settlement_operations import ListOutgoing

    with opened_in_gen(store) as meter:
        found = meter.store.call(ListOutgoing(api, after, limit))
    last = found[-1].batch.sequence if len(found) == limit else None
    return Shown([outgoing_data(each) for each in found], lambda: paged(draw_outgoing(found), last))


def retry(
    session: Session,
    api: ApiName,
    batch: BatchNumber,
    line: Lines = None,
    today: Annotated[bool, typer.Option("--today", help="Bill it today: its own day may be closed.")] = False,
    at_most: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Of each line post no more, and write the rest off.")
    ] = None,
    before_final: Annotated[
        bool, typer.Option("--before-final", help="Although an appeal could still undo it: a person must look then.")
    ] = False,
    store: Store = None,
) -> Shown:
    """Put refused parts of a batch into a new one, for the next round to post.

    Only of a settlement that is final: one that an appeal undid is posted again whole, and would be billed twice.

    Example: api-billing settle retry weather 17 --line 3 --today
    """
    from api_billing.cli.values import require_wei
    from api_billing.metering.clock import DAY_MS
    from api_billing.metering.ledger.settlement_operations import RetryRefused

    with opened_in_gen(store) as meter:
        if not before_final:
            _require_final(session, meter, api, batch)
        now_ms = meter.now_ms()
        day = now_ms // DAY_MS if today else None
        most_wei = require_wei(at_most) if at_most else None
        made = meter.store.call(RetryRefused(api, batch, now_ms, tuple(line or ()), day, most_wei))
    if made is None:
        raise InvalidInput(f"nothing of batch {batch} of {api} is refused and open")
    return Shown(batch_data(made), f"batch {made.sequence} has {counted(len(made.lines), 'line')} of batch {batch}")


def write_off(
    session: Session,
    api: ApiName,
    batch: BatchNumber,
    line: Lines = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with it.")] = "",
    store: Store = None,
) -> Shown:
    """Give up refused parts of a batch for good: they are never billed, and their consumers are served again.

    Example: api-billing settle write-off weather 17 --note "agreed with the customer"
    """
    from api_billing.metering.ledger.settlement_operations import ReadBook, WriteOff

    with opened_in_gen(store) as meter:
        open_before = meter.store.call(ReadBook(api)).open_parts
        wanted = [index for sequence, index in open_before if sequence == batch and index in (line or [index])]
        if not wanted:
            raise InvalidInput(f"nothing of batch {batch} of {api} is refused and open")
        given_up_wei = meter.store.call(WriteOff(api, batch, meter.now_ms(), tuple(wanted), note))
    text = f"{counted(len(wanted), 'line')} of batch {batch} written off: {format_wei(given_up_wei, exact=True)}"
    return Shown({"lines": len(wanted), "written_off_wei": given_up_wei}, text)


def renumber(session: Session, api: ApiName, store: Store = None) -> Shown:
    """Give the next batch another sequence when somebody else has settled under its own (`foreign`).

    First find out who did, and compare with `reconcile`: two stores must not settle one API. The contract is read, and
    a batch that is there under its sequence, or may still get there, keeps it.

    Example: api-billing settle renumber weather
    """
    from api_billing.metering.settlement.foreign import renumber as move

    with opened_in_gen(store) as meter, session.printer.waiting("reading"):
        moved = _ask(meter, move(session.client, api))
    return Shown({"api": api, "batch": moved.sequence}, f"batch {moved.sequence} of {api} gets the next sequence")


def reconcile(session: Session, api: ApiName, store: Store = None) -> None:
    """Compare meter, outbox and contract; exit code 1 when a difference is left, with the reasons for it.

    What was written off, or billed on another day, is no difference to look after. A store that has settled nothing,
    where the contract has settlements, is the wrong one, or was lost.

    Example: api-billing reconcile weather
    """
    from api_billing.metering.settlement.reconcile import reconcile as compare

    with opened_in_gen(store) as meter, session.printer.waiting("comparing"):
        found = _ask(meter, compare(session.client, api, meter.now_ms()))
    session.printer.show(Shown(found.as_dict(), lambda: draw_reconciliation(found)))
    raise typer.Exit(ExitCode.DONE if found.is_closed else ExitCode.REFUSED)


# --- private


def _ask(meter: Meter, steps: Any) -> Any:
    from api_billing.metering.stores.steps import run

    return run(steps, meter.store.call)


def _settler(session: Session, meter: Meter, on_batch: Callable[[int], None], *, recheck: bool = False) -> Settler:
    from api_billing.metering.settlement.running import holder_name
    from api_billing.metering.settlement.worker import RECHECK_MS, Settler

    client, holder = session.client, holder_name(meter.now_ms())
    return Settler(
        client,
        holder=holder,
        now_ms=meter.now_ms,
        alert=meter.watcher.send,
        call=meter.store.call,
        on=client.on,
        on_batch=on_batch,
        recheck_ms=0 if recheck else RECHECK_MS,
        fee_budget_wei=meter.settings.settle_fee_budget_wei,
    )


def _refused(meter: Meter, api: str, account: str) -> bool:
    """Whether something of an account was refused, and nobody has decided about it."""
    from api_billing.metering.ledger.settlement_operations import ListOutgoing, ReadBook

    for sequence, index in meter.store.call(ReadBook(api)).open_parts:
        (outgoing,) = meter.store.call(ListOutgoing(api, sequence - 1, 1))
        if outgoing.batch.lines[index].account == account:
            return True
    return False


def _batches_to_post(session: Session, meter: Meter, api: str) -> int | None:
    """How many batches a round will post; only counted when somebody watches."""
    from api_billing.metering.settlement.preview import preview

    if session.printer.as_json or not session.printer.err.is_terminal:
        return None
    seen: Preview = _ask(meter, preview(api, meter.now_ms()))
    return len(seen.waiting) + len(seen.cut)


def _require_final(session: Session, meter: Meter, api: str, batch: int) -> None:
    from api_billing.metering.ledger.settlement_operations import ListOutgoing

    found = [each for each in meter.store.call(ListOutgoing(api, batch - 1, 1)) if each.batch.sequence == batch]
    if not found or not found[0].posting.chain_sequence:
        return  # there is nothing to undo
    txs = found[0].posting.txs
    if not txs or not session.client.is_final(txs[-1]):
        raise InvalidInput(
            f"the settlement of batch {batch} of {api} is not final: an appeal could still undo it",
            hint="wait until it is final, or use --before-final",
        )


def _previewed(session: Session, meter: Meter, apis: list[str]) -> Shown:
    from api_billing.metering.settlement.preview import preview

    found = {api: _ask(meter, preview(api, meter.now_ms())) for api in apis}
    data = {
        api: {
            "waiting": [outgoing_data(each) for each in seen.waiting],
            "cut": [batch_data(batch) for batch in seen.cut],
        }
        for api, seen in found.items()
    }
    return Shown(data, "\n".join(preview_text(api, seen) for api, seen in found.items()))
