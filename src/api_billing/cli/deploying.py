"""`api-billing deploy`, and `tx`, which follows any transaction to its end."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

import typer
from rich.console import RenderableType

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import pairs
from api_billing.cli.output import Shown, fee_bound, fee_data, fee_paid
from api_billing.cli.session import Session
from api_billing.cli.values import amount_parser
from api_billing.errors import InvalidInput
from api_billing.networks import Line

_HASH: Final = re.compile("0x[0-9a-fA-F]{64}")

Transaction = Annotated[str, typer.Argument(metavar="HASH", help="The transaction: 0x and 64 hex digits")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "deploy", writes=True)(deploy)
    command(app, "tx")(look)


def deploy(
    session: Session,
    minify: Annotated[
        bool, typer.Option("--minify/--no-minify", help="In few bytes, as by default, or as the source stands.")
    ] = True,
    line: Annotated[
        Line | None, typer.Option(metavar="LINE", help="v0.2 or v0.3, of GenVM; by default the one of the network.")
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(metavar="RUNNER", help="To name in the contract: py-genlayer:HASH.", envvar="API_BILLING_PIN"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Deploy again, also where this contract is already.")] = False,
    court_bond: Annotated[
        int | None,
        typer.Option(
            metavar="AMOUNT",
            parser=amount_parser,
            help="Deploy a court for the billing contract, with this least bond.",
        ),
    ] = None,
) -> Shown:
    """Deploy the billing contract, or a court for it, check it against the source, and record it in deployments/."""
    from api_billing.contract_source import COURT_FILE_NAME, FILE_NAME, Source
    from api_billing.deployment import Action, CourtDeployer, Deployer

    session.writes = not dry_run
    connection, timeout, court = session.connection(), session.options.timeout, {}
    if court_bond is None:
        deployer = Deployer(connection, timeout_seconds=timeout)
    else:
        billing = session.client.contract
        court = {"court_of": billing, "min_bond_wei": court_bond}
        deployer = CourtDeployer(connection, billing, court_bond, timeout_seconds=timeout)
    file_name = FILE_NAME if court_bond is None else COURT_FILE_NAME
    source = Source.read(file_name, line=line or deployer.line, pin=pin, minified=minify)
    plan = deployer.plan(source, force=force)
    kept = plan.earlier if plan.action is Action.KEEP else None
    form = kept or source
    data: dict[str, Any] = {
        "network": session.network.name,
        "url": session.network.shown_url,
        "action": plan.action.value,
        "reason": plan.reason,
        "source_bytes": form.source_bytes,
        "code_bytes": form.code_bytes,
        "minified": form.minified,
        "line": form.line,
        "pin": deployer.pin(kept) if kept else source.header.pin,
        "code_sha256": form.code_sha256,
        **court,
    }
    if dry_run:
        fees = connection.fees.fees_of_deployment() if plan.action is Action.DEPLOY else None
        data["fee"] = {"deposit_wei": fees.deposit_wei, "paid_wei": None} if fees else None
        return Shown({**data, "dry_run": True}, lambda: _plan(data))
    if not session.printer.as_json:
        session.printer.text(_plan(data))
    with session.printer.waiting("deploying") as tell:
        done = deployer.run(plan, tell)
    result = {**data, "dry_run": False, "deployment": done.deployment.as_dict(), "checks": done.points}
    did = "deployed" if plan.action is not Action.KEEP else "nothing to do: it is"
    where = f"{did} at {done.deployment.address}"
    checks = "\n".join(f"  checked {name}: {found}" for name, found in done.points.items())
    recorded = f"\nrecorded in {done.path}" if done.path else ""
    return Shown(result, f"{where}\n{checks}{recorded}")


def look(
    session: Session,
    tx: Transaction,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it as a write is followed.")] = False,
) -> Shown:
    """What became of a transaction: whether it is decided, and whether it really executed."""
    if not _HASH.fullmatch(tx):
        raise InvalidInput(f"{tx!r} is no transaction", hint="a transaction is 0x and 64 hex digits")
    connection = session.connection()
    found = connection.follower.look(tx)
    if wait and (found is None or not found.has_reached(_phase(session))):
        with session.printer.waiting(f"waiting for {tx}"):
            limits = session.network.accept_seconds, session.network.finalize_seconds
            default = limits[_phase(session) == "finalized"]
            timeout = default if session.options.timeout is None else session.options.timeout
            found = connection.follower.wait(tx, _phase(session), timeout)
    if found is None:
        raise InvalidInput(f"{session.network.name} knows no transaction {tx}", hint="it was not taken, or not here")
    data = {
        "tx": found.tx,
        "status": found.status,
        "execution": found.execution.value,
        "result": _json_safe(found.value),
        "message": found.message or found.fee.refused,
        "contract": found.contract,
        "triggered": list(found.children),
        "stdout": found.stdout,
        "fee": fee_data(found.fee),
    }
    deposit_wei = found.fee.deposit_wei
    fee = fee_paid(found.fee) or (f"at most {format_wei(deposit_wei)}" if deposit_wei else "")
    shown = {**data, "fee": fee}
    return Shown(
        data, lambda: pairs((name, _text(value)) for name, value in shown.items() if value not in (None, "", []))
    )


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _phase(session: Session) -> Any:
    return session.options.on.value if session.options.on else "accepted"


def _json_safe(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {key: _json_safe(each) for key, each in value.items()}
    return [_json_safe(each) for each in value] if isinstance(value, list) else value


def _plan(data: dict[str, Any]) -> RenderableType:
    form = "minified" if data["minified"] else "the source"
    rows = [
        ("network", f"{data['network']}, {data['url']}"),
        ("plan", f"{data['action']}: {data['reason']}"),
        ("source", f"{data['source_bytes']:,} bytes"),
        ("deployed", f"{data['code_bytes']:,} bytes, {form}"),
        ("edition", f"GenVM {data['line']}, {data['pin'] or 'its runner is not told by this network'}"),
        ("sha256", str(data["code_sha256"])),
    ]
    if "court_of" in data:
        rows.insert(1, ("court of", f"{data['court_of']}, bonds of {format_wei(data['min_bond_wei'])} and more"))
    if data.get("fee"):
        rows.append(("fee", fee_bound(data["fee"]["deposit_wei"])))
    return pairs(rows)
