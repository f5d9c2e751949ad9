"""`api-billing dispute …`: ask a court whether an API kept its promise on a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from api_billing.amounts import Scale, format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import counted, pairs, right, short, table
from api_billing.cli.output import Shown, shown_write
from api_billing.cli.session import Session
from api_billing.cli.values import After, ApiName, Consumer, amount_parser, day_parser, day_text, moment_text
from api_billing.contract_api import CLOSE_SECONDS, EVIDENCE_URL, JUDGE_SECONDS, KEPT, MAX_CLAIM, SETTLED_DAYS
from api_billing.court_results import Dispute, DisputeHead
from api_billing.errors import InvalidInput
from api_billing.networks import load_deployment

if TYPE_CHECKING:
    from api_billing.court_client import CourtClient

app = typer.Typer(no_args_is_help=True, help="Dispute a day that an API was paid for: a court judges, and may refund.")

Court = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="The court; by default the one that the API promises.")
]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the dispute, as `list` shows it", min=1)]


@command(app, "open", writes=True)
def open_(
    session: Session,
    api: ApiName,
    day: Annotated[int, typer.Argument(metavar="DAY", parser=day_parser, help="2026-01-15, at least two days ago")],
    claim: Annotated[str, typer.Option(metavar="TEXT", help="What was not as promised; at most 2,000 characters.")],
    evidence: Annotated[str, typer.Option(metavar="URL", help="Page that shows it, https.")] = "",
    bond: Annotated[
        int | None,
        typer.Option(metavar="AMOUNT", parser=amount_parser, help="GEN to send along; by default the court's least."),
    ] = None,
    court: Court = None,
) -> Shown:
    """Dispute what you paid an API on a day. The bond comes back as credit if there is a refund.

    An operator may promise any contract as its court: name the bond, or the court, where no deployment here names it.

    A request of that day and its proof (api-billing usage prove) are evidence like any other.

    Example: api-billing dispute open weather 2026-01-15 --claim "503 from 10 to 12 UTC" --evidence https://a.example/log
    """
    if not 0 < len(claim) <= MAX_CLAIM:
        raise InvalidInput(f"a claim has 1 to {MAX_CLAIM:,} characters, not {len(claim):,}", hint="nothing was sent")
    if not EVIDENCE_URL.fullmatch(evidence):
        raise InvalidInput("evidence is an https:// page of at most 200 characters", hint="nothing was sent")
    with session.printer.waiting("reading"):
        today = session.client.get_promise(api).day_id
        if today - day < SETTLED_DAYS:
            hint = f"nothing was sent; dispute it from {day_text(day + SETTLED_DAYS)} UTC on"
            raise InvalidInput(f"the usage of {day_text(day)} can still be settled", hint=hint)
        judge_of = session.court(api, court, day)
        terms = judge_of.get_court()
        if terms.billing != session.client.contract.lower():
            raise InvalidInput(f"{judge_of.contract} judges the contract {terms.billing}", hint="nothing was sent")
        if _is_disputed(session, judge_of, api, day, terms.disputes):
            hint = f"nothing was sent; see it with: api-billing dispute list {api}"
            raise InvalidInput(f"you have disputed {day_text(day)} already", hint=hint)
        if bond is None and court is None and judge_of.contract.lower() != _recorded_court(session):
            least = format_wei(terms.min_bond_wei, exact=True)
            hint = f"nothing was sent; it asks for {least}: trust it by --bond, or --court {judge_of.contract}"
            raise InvalidInput(f"nothing but {api} names the court {judge_of.contract}: it may keep a bond", hint=hint)
        sent = terms.min_bond_wei if bond is None else bond
    if bond is None:
        session.printer.note(f"bond: {format_wei(sent, exact=True)}")
    with session.printer.waiting("opening the dispute"):
        written = judge_of.open_dispute(api, day, claim, evidence, bond_wei=sent)
    done = written.result
    about = f"{format_wei(done.paid_wei, exact=True)} paid to {api} on {day_text(done.day_id)}"
    judged = f"once final, have it judged with: api-billing dispute judge {api} {done.dispute_id}"
    return shown_write(written, f"dispute {done.dispute_id} about {about}\n{judged}")


@command(app, "judge", writes=True)
def judge(session: Session, api: ApiName, number: Number, court: Court = None) -> Shown:
    """Have a dispute judged: each validator reads the evidence and asks its language model.

    Anyone may ask for it, in the first 28 days of the dispute.
    """
    with session.printer.waiting("judging; this takes its time"):
        written = session.court(api, court).judge(number)
    done = written.result
    refund = f"{done.refund_percent}% judged, {format_wei(done.refund_wei, exact=True)} to be refunded"
    return shown_write(written, f"dispute {number}: {refund}\n{done.reason}")


@command(app, "close", writes=True)
def close(session: Session, api: ApiName, number: Number, court: Court = None) -> Shown:
    """End a dispute that nobody has had judged; the bond goes back. Anyone may, from 30 days after its opening on."""
    with session.printer.waiting("closing the dispute"):
        return shown_write(session.court(api, court).close_dispute(number), f"dispute {number} is closed")


@command(app, "show")
def show(session: Session, api: ApiName, number: Number, court: Court = None) -> Shown:
    """A dispute: what is claimed, and how it was judged."""
    with session.printer.waiting("reading"):
        found = session.court(api, court).get_dispute(number)
    return Shown(found.as_dict(), lambda: _show(found))


@command(app, "list")
def list_(
    session: Session,
    api: Annotated[
        str | None, typer.Argument(metavar="[API]", help="Name of the API; else those of a consumer")
    ] = None,
    consumer: Consumer = None,
    after: After = 0,
    court: Court = None,
) -> Shown:
    """Disputes of an API, or of a consumer about all APIs; the oldest first, at most 64.

    Those of a consumer are at one court: the one that is recorded beside the contract, unless named.
    """
    if api and consumer:
        raise InvalidInput("disputes are listed of an API or of a consumer", hint="name one of them")
    named = court if api else court or _recorded_court(session)
    if not (api or named):
        raise InvalidInput("no court is recorded here", hint="name one with --court 0x..., or an API that promises one")
    with session.printer.waiting("reading"):
        asked = session.court(api or "", named)
        found = asked.list_disputes(api, after) if api else asked.list_disputes_of(session.address(consumer), after)
    return Shown([each.as_dict() for each in found], lambda: _list(found))


def _recorded_court(session: Session) -> str:
    """The court that the record of the billing contract names: an operator may promise any contract as one."""
    recorded = load_deployment(session.network.name)
    same = recorded is not None and recorded.address.lower() == session.client.contract.lower()
    return recorded.court.lower() if recorded and same else ""


def _is_disputed(session: Session, court: CourtClient, api: str, day: int, disputes: int) -> bool:
    """Whether the caller has a dispute: what it paid is frozen once that is final, and until then it is recent."""
    mine = session.own_address.lower()
    recent = court.list_disputes(api, max(0, disputes - KEPT))
    if any((each.consumer.lower(), each.day_id) == (mine, day) for each in recent):
        return True
    return session.client.get_paid_day(api, mine, day).frozen_at > 0


def _show(found: Dispute) -> RenderableType:
    paid = f"{format_wei(found.paid_wei, exact=True)} for {counted(found.calls, 'call')}"
    facts = [
        ("API", found.api_name),
        ("consumer", found.consumer),
        ("day", day_text(found.day_id)),
        ("paid", paid),
        ("bond", format_wei(found.bond_wei, exact=True)),
        ("opened", moment_text(found.opened_at)),
        ("status", _status(found)),
        ("claim", found.claim),
        ("evidence", found.evidence_url or "none"),
    ]
    if found.status == "open":
        facts += [
            ("to be judged", f"until {moment_text(found.opened_at + JUDGE_SECONDS)}"),
            ("to be closed", f"from {moment_text(found.opened_at + CLOSE_SECONDS)} on, if it was not judged"),
        ]
    if found.ended_at:
        facts += [("ended", moment_text(found.ended_at)), ("reason", found.reason or "none")]
    return pairs(facts)


def _status(found: DisputeHead) -> str:
    if found.status != "judged":
        return found.status
    return f"judged: {found.refund_percent}%, {format_wei(found.refund_wei, exact=True)} refunded"


def _list(found: Sequence[DisputeHead]) -> RenderableType:
    if not found:
        return Text("no disputes")
    scale = Scale.of(each.paid_wei for each in found)
    rows = [
        (
            str(each.dispute_id),
            each.api_name,
            day_text(each.day_id),
            short(each.consumer),
            scale.number(each.paid_wei),
            _status(each),
        )
        for each in found
    ]
    return table(right("no"), "API", "day", "consumer", right(f"paid {scale.unit.name}"), "status", rows=rows)
