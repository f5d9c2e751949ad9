"""A method for the client of the package `pympp`, so that it pays from a session on the billing contract.

    async with paying_mpp(wallet, max_wei_per_call=…, max_wei_a_day=…) as client:
        await client.fetch("https://api.example/forecast")

That client makes up to three credentials when a 402 comes again, and tells a method of no answer. So what it sends is
watched below it: a channel goes on by receipts, and a 402 to a credential is answered with a higher voucher, if one can
be due.
"""

from __future__ import annotations

from typing import Any

from api_billing.errors import NotPayable, TooExpensive
from api_billing.extras import needed_by

with needed_by("a paying client"):
    import anyio.to_thread
    import httpx

from api_billing.payer.asking import MppAsked
from api_billing.payer.httpx_client import bounded, reply_of
from api_billing.payer.paying import Payer, Payment, check_secure
from api_billing.payer.unended import Unended
from api_billing.payer.wallet import Wallet
from api_billing.payments import mpp as wire
from api_billing.payments.encoding import NotReadable

_PAYMENT_REQUIRED = 402


def paying_mpp(
    wallet: Wallet,
    *,
    max_wei_per_call: int,
    max_wei_a_day: int,
    open_session: int = 0,
    max_wei_on_hold: int | None = None,
    days: int = 7,
    inner: httpx.AsyncBaseTransport | None = None,
    **options: Any,
) -> Any:
    """An ``mpp.client.Mpp`` that pays within the bounds; further options are those of its ``PaymentTransport``, other
    ``methods`` come second. A stream that asks for more while it runs gets no more here.
    """
    from mpp.client import Mpp, PaymentTransport

    session = _Session(
        Payer(
            wallet,
            max_wei_per_call=max_wei_per_call,
            max_wei_a_day=max_wei_a_day,
            open_session=open_session,
            max_wei_on_hold=max_wei_on_hold,
            days=days,
        )
    )
    methods = [session.method(), *options.pop("methods", ())]
    client = Mpp(methods=methods)
    watched = _Watched(session, inner or httpx.AsyncHTTPTransport())
    client.payment_transport = PaymentTransport(methods, watched, **options)
    return client


class _Session:
    """Method ``genlayer``, intent ``session``."""

    def __init__(self, payer: Payer) -> None:
        self.payer = payer
        self.unended = Unended(payer)

    def method(self) -> Any:
        """The method as the package has it. What is asked for is read by us, so it checks no models."""
        from mpp.client import ClientMethod, Method
        from pydantic import BaseModel, ConfigDict

        class Anything(BaseModel):
            model_config = ConfigDict(extra="allow")

        definition = Method(name=wire.METHOD, intent=wire.INTENT, request_model=Anything, payload_model=Anything)
        return ClientMethod(method=definition, create_credential=self._create_credential)

    async def _create_credential(self, params: Any) -> str:
        """A credential for a challenge. Raises: TooExpensive, NoSession, NotPayable."""
        asked = await anyio.to_thread.run_sync(self._asked, params.challenge)
        insisted = self.unended.last()
        if insisted is not None and insisted[0].offer == asked.offer:
            spending = insisted[1]
        else:
            session = await anyio.to_thread.run_sync(self.payer.session, asked.offer)
            spending = await anyio.to_thread.run_sync(self.payer.begin_now, asked, session, self.unended.raised_wei())
        self.unended.add(Payment(asked, spending.session), spending)
        return asked.fields(spending).popitem()[1]

    def _asked(self, challenge: Any) -> MppAsked:
        try:
            [found] = wire.challenges_in([challenge.to_www_authenticate(challenge.realm)])
            offer = self.payer.wallet.checked(wire.offer_of(found))
        except NotReadable as error:
            raise NotPayable(f"what is asked for cannot be read: {error}") from error
        self.payer.check_price(offer)
        return MppAsked(offer, found)


class _Watched(httpx.AsyncBaseTransport):
    """What is sent with a credential of ours, and what is answered."""

    def __init__(self, session: _Session, inner: httpx.AsyncBaseTransport) -> None:
        self._session, self._inner = session, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As of any transport. Raises: NotPayable, BadReceipt."""
        sent = self._sent(request)
        if sent is None:
            self._session.unended.next_call()
            return await self._inner.handle_async_request(request)
        payment, spending = sent
        payer = self._session.payer
        book = payer.wallet.book
        try:
            check_secure(str(request.url))
        except NotPayable:
            book.refused(spending)
            raise
        try:
            response = await bounded(await self._inner.handle_async_request(request))
        except BaseException:
            book.lost(spending)
            raise
        reply = reply_of(response)
        if reply.status == _PAYMENT_REQUIRED and isinstance(payment.asked, MppAsked):
            required_wei = payment.asked.required_wei(reply)
            try:
                more = await anyio.to_thread.run_sync(book.insist, spending, required_wei)
            except (NotPayable, TooExpensive):
                more = None
            if more is not None:
                self._session.unended.add(payment, more)
                return response
        await anyio.to_thread.run_sync(payer.end, payment, spending, reply)
        payer.stream_ends(payment)
        return response

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()

    def _sent(self, request: httpx.Request) -> tuple[Payment, Any] | None:
        for name in ("Authorization", wire.OWN_FIELD):
            try:
                credential = wire.read_credential(request.headers.get(name, ""))
            except NotReadable:
                continue
            if credential is not None:
                payload = credential.payload
                return self._session.unended.of(str(payload.get("channelId")), str(payload.get("cumulativeAmount")))
        return None
