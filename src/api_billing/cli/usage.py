"""`api-billing usage …`: proofs that a request is in what was settled, and their verification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from api_billing.cli.command import command
from api_billing.cli.exit_codes import ExitCode
from api_billing.cli.meter_session import Store, opened_in_gen, plain
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Prove that one request is in what was settled, and check such proofs.")


def add_to(root: typer.Typer) -> None:
    """Add the group."""
    command(app, "prove")(prove)
    command(app, "verify")(verify)
    root.add_typer(app, name="usage")


def prove(
    session: Session,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Of the request, as the audit log shows it")],
    store: Store = None,
) -> None:
    """Print the proof that one request is in what was settled: a JSON document for `verify`.

    Example: api-billing usage prove 01KBZ4D3M8W2T6V9XQ5R7YJHNE > proof.json
    """
    from api_billing.metering.settlement.proof import prove as proof_of
    from api_billing.metering.stores.steps import run

    with opened_in_gen(store) as meter:
        session.printer.json(run(proof_of(record_id), meter.store.call))


def verify(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof, as `prove` prints it")],
) -> None:
    """Check a proof against the contract, with nothing else; exit code 1 when it does not hold.

    Example: api-billing usage verify proof.json --contract 0x1234...
    """
    from api_billing.metering.settlement.proof import verify as check

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except ValueError:  # also what is not UTF-8
        raise InvalidInput(f"{file} is no proof: it is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{file} is no proof: it is not a JSON object")
    with session.printer.waiting("reading"):
        verdict = check(document, session.client)
    data = {"status": verdict.status, "billed": verdict.billed, "reason": verdict.reason}
    session.printer.show(Shown(data, f"{verdict.status}: {plain(verdict.reason)}"))
    raise typer.Exit(ExitCode.DONE if verdict.status == "proven" else ExitCode.REFUSED)
