"""`api-billing pay`: curl with a wallet."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer
from rich.console import RenderableType

from api_billing.amounts import format_wei
from api_billing.cli.command import command
from api_billing.cli.drawing import right, table
from api_billing.cli.exit_codes import ExitCode
from api_billing.cli.output import Shown
from api_billing.cli.session import Session
from api_billing.cli.values import AMOUNT_HELP, amount_parser, moment_text
from api_billing.contract_api import MAX_HOLD_DAYS
from api_billing.errors import InvalidInput, NotPayable, OutcomeUnknown, Unreachable
from api_billing.extras import needed_by
from api_billing.vouchers import MAX_CUMULATIVE_WEI

if TYPE_CHECKING:
    import httpx

    from api_billing.payer import Payer, PayingClient, Payment, Wallet
    from api_billing.payer.book import Book
    from api_billing.payer.rows import SessionEntry
    from api_billing.payments.offers import Offer

_CONNECT_SECONDS: Final = 30
_FORM: Final = "application/x-www-form-urlencoded"

Method = Annotated[
    str | None, typer.Option("-X", "--request", metavar="METHOD", help="GET unless named; POST where data is sent.")
]
Headers = Annotated[
    list[str] | None,
    typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header field; as often as needed."),
]
Data = Annotated[
    str | None,
    typer.Option("-d", "--data", metavar="DATA", help="What is sent: text, @FILE, or @- for standard input."),
]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write the answer to a file.")]
Most = Annotated[
    int | None,
    typer.Option(
        "--max",
        metavar="AMOUNT",
        parser=amount_parser,
        help="Pay up to so much without asking; refuse what costs more.",
    ),
]
MostADay = Annotated[
    int | None,
    typer.Option(metavar="AMOUNT", parser=amount_parser, help="Pay no more than this on a day (UTC), by this book."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Pay the price that is shown, without asking.")]
Open = Annotated[
    int | None,
    typer.Option(
        "--open", metavar="AMOUNT", parser=amount_parser,
        help=f"Where there is no session with the API, open one with so much: {AMOUNT_HELP}.",
    ),
]  # fmt: skip
Days = Annotated[
    int, typer.Option(metavar="DAYS", min=1, max=MAX_HOLD_DAYS, help="How long a session that is opened lasts.")
]
Protocol = Annotated[str | None, typer.Option(metavar="NAME", help="Pay over mpp or x402 only; else over either.")]
Close = Annotated[bool, typer.Option("--close", help="Have the API settle and close the session that pays for URL.")]
Sessions = Annotated[bool, typer.Option("--sessions", help="List the sessions in the book. Needs no URL.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "pay", writes=True)(pay)


def pay(
    session: Session,
    resource: Annotated[str | None, typer.Argument(metavar="URL", help="What is asked for")] = None,
    method: Method = None,
    header: Headers = None,
    data: Data = None,
    output: Output = None,
    max_: Most = None,
    max_a_day: MostADay = None,
    yes: Yes = False,
    open_: Open = None,
    days: Days = 7,
    protocol: Protocol = None,
    close: Close = False,
    sessions: Sessions = False,
) -> Shown | None:
    """Ask for URL, pay what it asks for over x402 or MPP, print the answer; the receipt goes to standard error.

    What is paid comes from a session on the billing contract, which --open opens with your account: GEN that this API
    alone can bill, up to what you sign. Each request signs for its price; nothing of it goes to the network. The key of
    the session and what was signed are in a book, payer.db in your configuration folder or $API_BILLING_PAYER_FILE.

    Before anything is paid the price is shown, and you are asked, unless it is at most --max. Exit code 1 when the
    answer is an error (status 400 and above). What is left of a session comes back when it ends, or with --close.

    Example: api-billing pay https://api.example/forecast --open 1gen --days 7 --max 0.01gen --account alice
    """
    with needed_by("api-billing pay"):
        import httpx  # noqa: F401

        from api_billing.payer.book import Book
    if sessions:
        return _sessions(Book())
    if resource is None:
        raise InvalidInput("what is to be asked for?", hint="name a URL, or list your sessions with --sessions")
    if protocol not in (None, "mpp", "x402"):
        raise InvalidInput(f"there is no protocol {protocol!r}", hint="name mpp or x402, or none")
    terms = _Terms(max_, max_a_day, yes, open_ or 0, days, protocol)
    with _client(session, terms) as client:
        if close:
            return _closed(client.close_session(resource, method=method or "HEAD"))
        request = _request(client, resource, method, header or [], data)
        code = _fetch(session, terms, client, request, output)
    raise typer.Exit(code)


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


class _Terms:
    """What may be paid, as the options say it. Asks, where they do not."""

    def __init__(
        self, max_wei: int | None, max_a_day_wei: int | None, yes: bool, open_wei: int, days: int, protocol: str | None
    ) -> None:
        self.max_wei, self.max_a_day_wei, self.yes = max_wei, max_a_day_wei, yes
        self.open_wei, self.days, self.protocol = open_wei, days, protocol
        self.agreed = False

    def options(self) -> dict[str, Any]:
        """The same for a client."""
        a_day_wei = self.open_wei or MAX_CUMULATIVE_WEI if self.max_a_day_wei is None else self.max_a_day_wei
        most_wei = MAX_CUMULATIVE_WEI if self.max_wei is None else self.max_wei
        only = {"protocols": (self.protocol,)} if self.protocol else {}
        bounds = {"max_wei_per_call": most_wei, "max_wei_a_day": a_day_wei}
        opening = {"open_session": self.open_wei, "days": self.days, "max_wei_on_hold": MAX_CUMULATIVE_WEI}
        return {**bounds, **opening, **only}

    def agree(self, session: Session, payer: Payer, wallet: Wallet, offer: Offer) -> None:
        """Show the price, and ask whether it is paid, once: what is agreed to is the bound from then on."""
        price = f"{offer.api} asks for {format_wei(offer.amount_wei, exact=True)}"
        found = wallet.session(offer.api)
        if self.open_wei and (found is None or found.state == "closing"):
            amount = format_wei(self.open_wei, exact=True)
            price += f"; a session of {amount} for {self.days} days is opened to pay from"
        session.printer.note(price)
        if self.max_wei is None:
            if not self.yes:
                self._ask(session)
            self.max_wei = offer.amount_wei
            payer.bounds = replace(payer.bounds, max_wei_per_call=offer.amount_wei)
        self.agreed = True

    def _ask(self, session: Session) -> None:
        if not is_terminal():
            raise InvalidInput("nobody is there to agree to the price", hint="say --max AMOUNT, or --yes")
        session.printer.err.print("pay? [y/N] ", end="")
        if input().strip().lower() not in ("y", "yes"):
            raise NotPayable("you did not agree to the price")


@contextmanager
def _client(session: Session, terms: _Terms) -> Iterator[PayingClient]:
    import httpx

    from api_billing.payer import PayingClient, Wallet

    session.writes = bool(terms.open_wei)  # else the account need not be unlocked
    with ExitStack() as closing:
        wallet = Wallet(session.client, payer=session.own_address)
        closing.callback(wallet.close)
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        client = closing.enter_context(PayingClient(wallet, **terms.options(), timeout=timeout))
        client.payer.agree = lambda offer: terms.agree(session, client.payer, wallet, offer)
        yield client


def _request(client: PayingClient, url: str, method: str | None, headers: list[str], data: str | None) -> httpx.Request:
    import httpx

    fields = []
    for each in headers:
        name, colon, value = each.partition(":")
        if not colon:
            raise InvalidInput(f"{name!r} is no header field", hint="write it as 'Accept: application/json'")
        fields.append((name.strip(), value.strip()))
    content = _content(data)
    if content is not None and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", _FORM))
    try:
        return client.build_request(
            method or ("GET" if content is None else "POST"), url, headers=fields, content=content
        )
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidInput(f"this cannot be asked for: {error}") from error


def _content(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    try:
        return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{data[1:]} cannot be read: {error.strerror or error}") from error


def _fetch(
    session: Session, terms: _Terms, client: PayingClient, request: httpx.Request, output: str | None
) -> ExitCode:
    """Send a request, write the answer as it comes, and tell the receipt."""
    import httpx

    from api_billing.payer import PAYMENT

    wallet = client.payer.wallet
    try:
        response = client.send(request, stream=True)
        try:
            body = _written(session, response, output)
        finally:
            response.close()
    except httpx.UnsupportedProtocol as error:
        raise InvalidInput(f"this cannot be asked for: {error}") from error
    except httpx.HTTPError as error:
        where = f"{request.url.scheme}://{request.url.host}"
        if terms.agreed:
            error_text = f"the answer of {where} was lost: {type(error).__name__}"
            raise OutcomeUnknown(f"{error_text}; what was signed for it may have been charged", None) from error
        raise Unreachable(f"no answer from {where}: {str(error) or type(error).__name__}") from error
    payment: Payment | None = response.extensions.get(PAYMENT)
    told = None if payment is None else _told(payment, wallet)
    if session.printer.as_json:
        session.printer.json({"status": response.status_code, **body, "payment": told})
    elif payment is not None:
        session.printer.note(_receipt(payment, wallet))
    if response.is_error and not session.printer.as_json:
        session.printer.note(f"api-billing: the answer is {response.status_code} {response.reason_phrase}")
    return ExitCode.REFUSED if response.is_error else ExitCode.DONE


def _written(session: Session, response: httpx.Response, output: str | None) -> dict[str, Any]:
    """What of the answer is for JSON; it is written where it goes."""
    if output is not None:
        try:
            with Path(output).open("wb") as file:
                _copy(response, file)
        except OSError as error:
            raise InvalidInput(f"{output} cannot be written: {error.strerror or error}") from error
        return {"output": output}
    if session.printer.as_json:
        content = response.read()
        try:
            return {"body": content.decode()}
        except UnicodeDecodeError:
            return {"body_base64": base64.b64encode(content).decode()}
    _copy(response, sys.stdout.buffer)
    return {}


def _copy(response: httpx.Response, file: BinaryIO) -> None:
    for chunk in response.iter_bytes():
        file.write(chunk)
        file.flush()


def _told(payment: Payment, wallet: Wallet) -> dict[str, Any]:
    """A payment for JSON."""
    paid = payment.paid
    return {
        "protocol": payment.asked.name,
        "api": payment.offer.api,
        "asked_wei": payment.offer.amount_wei,
        "cost_wei": None if paid is None else paid.cost_wei,
        "channel_id": None if paid is None else paid.channel_id,
        "charged_wei": None if paid is None else paid.charged_wei,
        "signed_today_wei": wallet.book.signed_wei(wallet.payer),
        "receipt": payment.receipt,
    }


def _receipt(payment: Payment, wallet: Wallet) -> str:
    today = format_wei(wallet.book.signed_wei(wallet.payer), exact=True)
    if payment.paid is None:
        return f"no receipt: nothing is known to be paid; {today} signed for today"
    cost_wei = payment.paid.cost_wei
    cost = "an unknown part of it" if cost_wei is None else format_wei(cost_wei, exact=True)
    return f"paid {cost} to {payment.offer.api} over {payment.asked.name}; {today} signed for today"


def _closed(payment: Payment) -> Shown:
    is_closed = payment.session.state == "closing"
    if not is_closed:
        hint = "where all of it is settled already: pay for one more request, and close right after it"
        raise NotPayable(f"the API did not close the session with {payment.session.api}", hint=hint)
    text = f"session with {payment.session.api} is being closed; what is left of it is your credit after its settlement"
    return Shown({"api": payment.session.api, "closed": is_closed, "receipt": payment.receipt}, text)


def _sessions(book: Book) -> Shown:
    found = [(each, book.channels(each)) for each in book.sessions()]
    data = [_session_data(each, [channel.charged_wei for channel in channels],
                          [channel.signed_wei for channel in channels]) for each, channels in found]  # fmt: skip
    book.close()
    return Shown(data, lambda: _drawn(data))


def _session_data(entry: SessionEntry, charged: list[int], signed: list[int]) -> dict[str, Any]:
    names = ("api", "state", "contract", "chain_id", "payer", "signer", "amount_wei", "expires_at", "tx")
    sums = {"channels": len(charged), "charged_wei": sum(charged), "signed_wei": sum(signed)}
    return {**{name: getattr(entry, name) for name in names}, **sums}


def _drawn(sessions: list[dict[str, Any]]) -> RenderableType:
    if not sessions:
        return "no sessions: open one with api-billing pay URL --open AMOUNT"
    rows = [
        (
            each["api"],
            each["state"],
            moment_text(each["expires_at"]),
            *(format_wei(each[name], exact=True) for name in ("amount_wei", "signed_wei", "charged_wei")),
        )
        for each in sessions
    ]
    return table("API", "state", "until", right("opened with"), right("signed"), right("charged"), rows=rows)
