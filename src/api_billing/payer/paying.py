"""How a request is paid for, whatever sends it: ask, pay, correct once, and note what the receipt says.

A generator of steps, which a driver carries out in a thread or in a coroutine: ``Send`` the request, ``Run`` something
that blocks, ``Pause``. The request's body and the response's go by: only the body of a 402 is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from api_billing.errors import BadReceipt, NoSession, NotPayable, TooExpensive
from api_billing.payer.asking import (
    PROTOCOLS,
    Asked,
    MppAsked,
    Protocol,
    Receipt,
    Reply,
    X402Asked,
    checked,
    cost_of,
    read,
    receipt_of,
)
from api_billing.payer.book import too_expensive
from api_billing.payer.rows import Bounds, Paid, SessionEntry, Spending
from api_billing.payer.wallet import Wallet
from api_billing.payments import x402
from api_billing.payments.encoding import NotReadable, json_object
from api_billing.payments.mpp import Action
from api_billing.payments.offers import Offer, wei_of

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_BUSY_SECONDS, _BUSY_TURNS = 0.05, 600
_PAYMENT_REQUIRED: Final = 402
_CORRECTIONS: Final = 2  # who has sent a public voucher is told what is public, and only then the rest
_KNOWN_MS, _MARGIN_MS, _MOST_KNOWN = 60_000, 5_000, 1_024
_NO_HEAD: Final = frozenset({404, 405, 501})
_SUCCESS: Final = 2  # of the hundreds
_NEED_VOUCHER, _RECEIPT_EVENT = "payment-need-voucher", "payment-receipt"


class Request(NamedTuple):
    """A request as far as payments go. ``came_from`` is the origin that has redirected it here, if another one has."""

    url: str
    method: str = "GET"
    has_authorization: bool = False
    can_be_repeated: bool = True
    came_from: str = ""


class Send(NamedTuple):
    """Send the request, with further header fields; or, by another method, no body. Answered with its ``Reply``."""

    fields: Mapping[str, str]
    method: str = ""


class Run(NamedTuple):
    """Do something that blocks. Answered with what it returns. ``may_be_left`` says that it can go on alone, when the
    request is given up: what it comes to is in the book.
    """

    do: Callable[[], Any]
    may_be_left: bool = False


class Pause(NamedTuple):
    """Wait so long."""

    seconds: float


Step = Send | Run | Pause
Steps = Generator[Step, Any, "Payment | None"]


@dataclass(slots=True)
class Payment:
    """How a request was paid: what it was offered for, and what the receipt says; ``paid`` is None without a receipt,
    ``raised_wei`` by how much it has raised what is signed.

    Of a response of MPP that is streamed the receipt comes at its end, ``paid`` until then is None.
    """

    asked: Asked
    session: SessionEntry
    spending: Spending | None = field(repr=False, default=None)
    paid: Paid | None = None
    receipt: Mapping[str, Any] | None = None
    raised_wei: int = 0

    @property
    def offer(self) -> Offer:
        """What was asked for."""
        return self.asked.offer


class _AskedBefore:
    """What URLs have asked for in the last minute: asked for the same again, they are paid at once. Thread-safe."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._known = dict[tuple[str, str], tuple[Asked, int]]()

    def get(self, request: Request) -> Asked | None:
        """What a request was asked for, while it can be answered yet."""
        asked, until_ms = self._known.get(_place(request), (None, 0))
        if request.has_authorization != bool(isinstance(asked, MppAsked) and asked.challenge.header):
            asked = asked if isinstance(asked, X402Asked) else None
        return asked if self._now_ms() < until_ms else None

    def note(self, request: Request, asked: Asked) -> None:
        """Note what a request was asked for, and has paid."""
        until_ms = self._now_ms() + _KNOWN_MS
        if isinstance(asked, MppAsked):
            until_ms = min(until_ms, asked.challenge.expires_ms() - _MARGIN_MS)
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        self._known[_place(request)] = asked, until_ms

    def forget(self, request: Request) -> None:
        """It asks for something else by now."""
        self._known.pop(_place(request), None)


class Payer:
    """Pays for requests from a wallet, within bounds.

    ``open_session`` is how much to open a session with, where there is none, for ``days``; ``max_wei_on_hold`` the most
    in all that are opened so, one by default. ``protocols`` are in the order of preference. ``agree`` is asked before
    an offer is paid, and raises for no. Can be used from several threads.
    """

    def __init__(
        self,
        wallet: Wallet,
        *,
        max_wei_per_call: int,
        max_wei_a_day: int,
        open_session: int = 0,
        max_wei_on_hold: int | None = None,
        days: int = 7,
        protocols: Sequence[Protocol] = PROTOCOLS,
        agree: Callable[[Offer], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        on_hold_wei = open_session if max_wei_on_hold is None else max_wei_on_hold
        self.wallet, self.bounds = wallet, Bounds(max_wei_per_call, max_wei_a_day, on_hold_wei)
        self.open_wei, self.days = open_session, days
        self.agree, self._protocols, self._clock = agree, tuple(protocols), clock
        self._asked_before = _AskedBefore(lambda: int(self._clock() * 1000))

    # --- a request

    def pay(self, request: Request) -> Steps:
        """Send a request, and pay when that is asked for. The last reply is the answer; what it returns says how it was
        paid, None where it was not.

        Raises: TooExpensive, NoSession, NotPayable, BadReceipt, and what opening a session raises.
        """
        known, payment = self._asked_before.get(request), None
        if known is not None:
            payment, reply = yield from self._pay_at_once(request, known)
        else:
            reply = yield Send({})
        asked: Asked | None = None
        if reply.status == _PAYMENT_REQUIRED:
            last = reply
            self._asked_before.forget(request)
            asked = yield Run(lambda: self.asked(request, last))
        if asked is None:
            return payment
        if payment is None or known is None or is_another(asked, known):
            payment, reply = yield from self._pay_what_is_asked(request, asked, payment)
        else:
            asked = known
        if reply.status == _PAYMENT_REQUIRED and self.open_wei:
            session = payment.session
            looked: SessionEntry = yield Run(lambda: self.wallet.look(session))
            if looked.state == "closed":
                payment, reply = yield from self._pay_what_is_asked(request, asked, payment)
        if reply.status != _PAYMENT_REQUIRED:
            self._asked_before.note(request, asked)
        return payment

    def _pay_what_is_asked(
        self, request: Request, asked: Asked, before: Payment | None
    ) -> Generator[Step, Any, tuple[Payment, Reply]]:
        yield Run(lambda: self.check(request, asked.offer))
        origin, raised_wei = origin_of(request.url), 0 if before is None else before.raised_wei
        session: SessionEntry = yield Run(lambda: self.session(asked.offer, origin, raised_wei), may_be_left=True)
        return (yield from self._pay(request, asked, session, raised_wei=raised_wei))

    def _pay_at_once(self, request: Request, known: Asked) -> Generator[Step, Any, tuple[Payment | None, Reply]]:
        """Pay what was asked for a moment ago, without being asked again; a plain request, if that cannot be."""
        session: SessionEntry | None = yield Run(lambda: self.wallet.session(known.offer.api))
        if session is None or session.state != "open":
            return None, (yield Send({}))
        yield Run(lambda: self.check(request, known.offer))
        return (yield from self._pay(request, known, session))

    def asked(self, request: Request, reply: Reply) -> Asked | None:
        """What a 402 asks for that this wallet can pay. Raises: NotPayable."""
        now_ms = int(self._clock() * 1000)
        reading = read(reply, self._protocols, now_ms=now_ms, has_authorization=request.has_authorization)
        return checked(reading, self.wallet.checked)

    def check(self, request: Request, offer: Offer) -> None:
        """Whether an offer may be paid for a request. Raises: NotPayable, TooExpensive."""
        check_secure(request.url)
        if request.came_from:
            raise NotPayable(
                f"{request.came_from} has redirected the request to another origin, which asks for payment"
            )
        if not request.can_be_repeated:
            raise NotPayable("the body of the request can be read once only, and was sent to ask for the price")
        self.check_price(offer)

    def check_price(self, offer: Offer) -> None:
        """Whether an offer may be paid at all. Raises: TooExpensive, and what ``agree`` raises."""
        if offer.amount_wei > self.bounds.max_wei_per_call:
            raise too_expensive(offer.amount_wei, self.bounds.max_wei_per_call)
        if self.agree is not None:
            self.agree(offer)

    def session(self, offer: Offer, origin: str = "", raised_wei: int = 0) -> SessionEntry:
        """The session to pay an offer of an origin from, opened where it is to be. Raises: NoSession, BillingError."""
        found = self.wallet.session(offer.api)
        if found is not None and found.state != "closing":
            return self.wallet.ready(found, self.bounds)
        if not self.open_wei:
            hint = "say for how much to open one: open_session=, or api-billing pay --open"
            raise NoSession(f"there is no session with {offer.api} to pay from", hint=hint)
        self.wallet.book.check(self.wallet.payer, offer.amount_wei, raised_wei, self.bounds)  # before, not after it
        origin = origin or offer.api  # where nobody knows
        return self.wallet.open_session(offer.api, self.open_wei, self.days, self.bounds, origin=origin)

    def close(self, request: Request) -> Steps:
        """Have the server settle and close the session that pays for a URL, asked by a method that it takes there: no
        handler runs. Raises: NoSession, NotPayable.
        """
        method = request.method
        reply: Reply = yield Send({}, method)
        if method == "HEAD" and reply.status in _NO_HEAD:
            method = "GET"
            reply = yield Send({}, method)
        said = reply
        asked: Asked | None = yield Run(lambda: self.asked(request, said))
        if asked is None:
            raise NotPayable("the URL asks for no payment, so it does not say whose session it would be")
        first = asked
        check_secure(request.url)
        session: SessionEntry | None = yield Run(lambda: self.wallet.session(first.offer.api))
        if session is not None and session.state == "closing":
            closing = session
            session = yield Run(lambda: self.wallet.look(closing))
        if session is None or session.state == "closed":
            raise NoSession(f"there is no session with {first.offer.api} to close")
        known = session
        payment, reply = yield from self._pay(request, first, known, action="close", method=method)
        if reply.status // 100 == _SUCCESS:
            payment.session = yield Run(lambda: self.wallet.book.set_state(known, "closing"))
        return payment

    # --- a stream of MPP

    def on_event(self, request: Request, payment: Payment, name: str, text: str) -> Generator[Step, Any, None]:
        """What an event of a paid stream asks for: a voucher, or to note its receipt.

        Raises: TooExpensive, when the stream would cost more than a call may; BadReceipt.
        """
        spending = payment.spending
        if spending is None or name not in (_NEED_VOUCHER, _RECEIPT_EVENT):
            return
        try:
            members = json_object(text.encode())
            if name == _RECEIPT_EVENT:
                receipt = receipt_of(members, spending)
                yield Run(lambda: self.finish(payment, spending, receipt, is_final=True))
                return
            required_wei = wei_of(members.get("requiredCumulative"), "requiredCumulative")
        except NotReadable:
            return
        extended: Spending = yield Run(lambda: self.wallet.book.extend(spending, required_wei))
        payment.spending, payment.raised_wei = extended, extended.raised_wei
        # By HEAD; or, where that is not allowed, as what is answered without the handler, by whatever method.
        sent: tuple[tuple[Action, str], ...] = (("voucher", "HEAD"), ("topUp", ""))
        for action, method in sent:
            reply: Reply = yield Send(payment.asked.fields(extended, action), method)
            if reply.status == _PAYMENT_REQUIRED:  # the challenge has expired, perhaps
                last = reply
                again: Asked | None = yield Run(lambda: self.asked(request, last))  # noqa: B023
                if again is not None:
                    payment.asked = again
                    reply = yield Send(again.fields(extended, action), method)
            if reply.status not in _NO_HEAD:
                return

    def stream_ends(self, payment: Payment) -> None:
        """Note that a stream has ended: without a receipt at its end it may have cost all that was signed for it."""
        if payment.spending is not None:
            self.wallet.book.lost(payment.spending)
            payment.spending = None

    # --- its parts

    def _pay(
        self, request: Request, asked: Asked, session: SessionEntry, *, action: Action = "voucher", method: str = "",
        raised_wei: int = 0, from_number: int = 0,
    ) -> Generator[Step, Any, tuple[Payment, Reply]]:  # fmt: skip
        spending: Spending = yield from self._begun(asked, session, action, raised_wei, from_number)
        payment = Payment(asked, session)
        try:
            reply: Reply = yield Send(asked.fields(spending, action), method)
            for _ in range(_CORRECTIONS):
                if reply.status != _PAYMENT_REQUIRED:
                    break
                sent, last = spending, reply
                again: tuple[Asked, Spending] | None = yield Run(
                    lambda: self.again(request, payment, sent, last, is_close=action == "close")  # noqa: B023
                )
                if again is None:
                    break
                payment.asked, spending = again
                reply = yield Send(payment.asked.fields(spending, action), method)
        except (NotPayable, TooExpensive):
            self.wallet.book.refused(spending)
            raise
        except BaseException:
            self.wallet.book.lost(spending)
            raise
        if asked.is_exact and is_busy(reply) and not from_number:
            # Somebody who has died has a request there. One other channel is tried, as each takes a voucher of its own.
            self.wallet.book.refused(spending)
            further = {"raised_wei": spending.raised_wei, "from_number": spending.number + 1}
            return (yield from self._pay(request, asked, session, action=action, method=method, **further))
        payment.raised_wei = spending.raised_wei
        last, done = reply, spending
        yield Run(lambda: self.end(payment, done, last))
        return payment, reply

    def _begun(
        self, asked: Asked, session: SessionEntry, action: Action, raised_wei: int, from_number: int
    ) -> Generator[Step, Any, Spending]:
        amount_wei = asked.offer.amount_wei if action == "voucher" else 0
        for _ in range(_BUSY_TURNS):
            spending: Spending | None = yield Run(
                lambda: self.begin(asked, session, amount_wei, raised_wei, from_number)
            )
            if spending is not None:
                return spending
            yield Pause(_BUSY_SECONDS)
        raise busy(session)

    def begin(
        self, asked: Asked, session: SessionEntry, amount_wei: int | None = None, raised_wei: int = 0,
        from_number: int = 0,
    ) -> Spending | None:  # fmt: skip
        """Sign for an offer; None while all channels are busy. Raises: TooExpensive."""
        return self.wallet.book.begin(
            session, asked.offer, asked.offer.amount_wei if amount_wei is None else amount_wei, self.bounds,
            is_exact=asked.is_exact, raised_wei=raised_wei, from_number=from_number,
        )  # fmt: skip

    def begin_now(self, asked: Asked, session: SessionEntry, raised_wei: int = 0) -> Spending:
        """The same for who cannot wait. Raises: NotPayable, while all channels are busy."""
        spending = self.begin(asked, session, raised_wei=raised_wei)
        if spending is None:
            raise busy(session)
        return spending

    def again(
        self, request: Request, payment: Payment, spending: Spending, reply: Reply, *, is_close: bool = False
    ) -> tuple[Asked, Spending] | None:
        """What to answer to a 402 that answers a payment; None when there is nothing better than was sent.

        Raises: NotPayable, when what it asks for cannot be due.
        """
        asked = None if is_busy(reply) else self.asked(request, reply)
        if asked is None or replace(asked.offer, amount_wei=payment.offer.amount_wei) != payment.offer:
            return None
        if isinstance(asked, MppAsked) and asked.offer != payment.offer:
            return None
        if isinstance(asked, MppAsked):
            if not isinstance(payment.asked, MppAsked):
                return None
            signed = self.wallet.book.insist(spending, asked.required_wei(reply))
            return None if signed is None else (asked, signed)
        if is_close:  # takes any voucher that is not public, whatever a request would cost
            signed = self.wallet.book.insist(spending, None)
            return None if signed is None else (asked, signed)
        if not isinstance(payment.asked, X402Asked):
            return None
        try:
            correction = asked.correction(spending)
        except NotReadable as error:
            raise NotPayable(f"the server's state of the channel cannot be read: {error}") from error
        return None if correction is None else (asked, self.wallet.book.correct(spending, *correction))

    def end(self, payment: Payment, spending: Spending, reply: Reply) -> None:
        """Note how a payment ended, by the reply to it. A stream of MPP ends later, with ``finish``.

        Raises: BadReceipt.
        """
        book, receipt = self.wallet.book, self._receipt(spending, lambda: payment.asked.receipt(reply, spending))
        if receipt is not None and isinstance(payment.asked, MppAsked) and is_streamed(reply):
            payment.spending, payment.receipt = spending, receipt.members
        elif receipt is not None:
            self.finish(payment, spending, receipt, is_final=payment.asked.is_exact)
        elif reply.status == _PAYMENT_REQUIRED:
            book.refused(spending)
        else:
            book.failed(spending, self._receipt(spending, lambda: cost_of(reply)))

    def end_by(self, payment: Payment, spending: Spending, read: Callable[[], Receipt]) -> None:
        """Note how a payment over x402 ended, by a receipt that is read. Raises: BadReceipt."""
        self.finish(payment, spending, self._receipt(spending, read), is_final=True)

    def _receipt[T](self, spending: Spending, read: Callable[[], T]) -> T:
        try:
            return read()
        except NotReadable as error:
            self.wallet.book.lost(spending)
            raise BadReceipt(f"the receipt cannot be read: {error}") from error

    def finish(self, payment: Payment, spending: Spending, receipt: Receipt, *, is_final: bool = False) -> None:
        """Note what a receipt says; ``is_final`` when it is of the end. Raises: BadReceipt."""
        payment.spending, payment.receipt = None, receipt.members
        payment.paid = self.wallet.book.finish(
            spending, total_wei=receipt.total_wei, cost_wei=receipt.cost_wei, is_final=is_final
        )


def is_another(asked: Asked, known: Asked) -> bool:
    """Whether something else is asked for than was known; what corrects a channel over x402 is no offer of its own."""
    if isinstance(asked, X402Asked) and "channelState" in asked.accepted["extra"]:
        return False
    return asked.offer != known.offer


def _place(request: Request) -> tuple[str, str]:
    """Where a request goes: prices are by method and path, mostly."""
    return request.method, request.url.partition("?")[0]


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def check_secure(url: str) -> None:
    """Raises: NotPayable, unless nobody else can listen: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise NotPayable("nothing is paid over plain http: who listens could use the voucher")


def busy(session: SessionEntry) -> NotPayable:
    """Nothing more can be paid at the same time."""
    return NotPayable(f"all channels of the session with {session.api} are busy")


def is_streamed(reply: Reply) -> bool:
    """Whether a response is a stream of events that can be read as it is."""
    return reply.value("Content-Type").lower().startswith("text/event-stream") and not reply.value("Content-Encoding")


def is_busy(reply: Reply) -> bool:
    """Whether a server serves another request of the channel, over x402."""
    if reply.status != _PAYMENT_REQUIRED:
        return False
    try:
        _, message = x402.offers_in(reply.value(x402.REQUIRED_FIELD))
    except NotReadable:
        return False
    return str(message.get("error", "")).endswith("channel_busy")


_PORTS: Final = {"http": 80, "https": 443}
