"""Clients of httpx that pay: ``PayingClient`` and ``AsyncPayingClient``, and the transport that both have.

What is paid is decided in ``paying``; here it is driven, in a thread or in a coroutine. Responses are not buffered:
of a 402 at most 64 KiB are read, a stream passes through, and its events are watched for what concerns the payment.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import Any, Final, cast

from api_billing.extras import needed_by

with needed_by("a paying client"):
    import anyio
    import anyio.to_thread
    import httpx

from api_billing.payer.asking import MAX_BODY, PROTOCOLS, Protocol, Reply
from api_billing.payer.events import Events
from api_billing.payer.paying import Payer, Payment, Request, Run, Send, Step, origin_of
from api_billing.payer.wallet import Wallet

PAYMENT: Final = "api_billing.payment"
"""Where a response has its ``Payment``: ``response.extensions``."""
_CAME_FROM: Final = "api_billing.origin"
_PAYMENT_REQUIRED: Final = 402


class PayingTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Pays for what another transport is asked to pay for. ``inner`` is one of httpx, for the way it is used."""

    def __init__(self, payer: Payer, inner: httpx.BaseTransport | httpx.AsyncBaseTransport) -> None:
        self.payer, self._inner = payer, inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As of any transport. Raises: what ``Payer.pay`` raises."""
        if _is_buffered(request):
            request.read()
        view = _view(request)
        response, payment = self._drive(self.payer.pay(view), request)
        assert response is not None
        return self._told(request, view, response, payment)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As of any transport. Raises: what ``Payer.pay`` raises."""
        if _is_buffered(request):
            await request.aread()
        view = _view(request)
        response, payment = await self._drive_async(self.payer.pay(view), request)
        assert response is not None
        return self._told(request, view, response, payment)

    def close(self) -> None:
        """Close the other transport."""
        cast(httpx.BaseTransport, self._inner).close()

    async def aclose(self) -> None:
        """Close the other transport."""
        await cast(httpx.AsyncBaseTransport, self._inner).aclose()

    def _told(
        self, request: httpx.Request, view: Request, response: httpx.Response, payment: Payment | None
    ) -> httpx.Response:
        if payment is not None:
            response.extensions = {**response.extensions, PAYMENT: payment}
            if payment.spending is not None:
                response.stream = _PaidStream(self, request, view, response.stream, payment)
        return response

    def _drive(self, steps: Generator[Step, Any, Any], request: httpx.Request) -> tuple[httpx.Response | None, Any]:
        response, answer, error = None, None, None
        try:
            while True:
                try:
                    step = steps.throw(error) if error is not None else steps.send(answer)
                except StopIteration as done:
                    return response, done.value
                answer, error = None, None
                try:
                    if isinstance(step, Send):
                        if response is not None:
                            response.close()
                        inner = cast(httpx.BaseTransport, self._inner)
                        response = inner.handle_request(_sent(request, step))
                        if response.status_code == _PAYMENT_REQUIRED:
                            response = _kept(response, _first(cast(httpx.SyncByteStream, response.stream)))
                        answer = reply_of(response)
                    elif isinstance(step, Run):
                        answer = step.do()
                    else:
                        time.sleep(step.seconds)
                except BaseException as caught:
                    error = caught
        except BaseException:
            if response is not None:
                response.close()
            raise

    async def _drive_async(
        self, steps: Generator[Step, Any, Any], request: httpx.Request
    ) -> tuple[httpx.Response | None, Any]:
        response, answer, error = None, None, None
        try:
            while True:
                try:
                    step = steps.throw(error) if error is not None else steps.send(answer)
                except StopIteration as done:
                    return response, done.value
                answer, error = None, None
                try:
                    if isinstance(step, Send):
                        if response is not None:
                            await response.aclose()
                        inner = cast(httpx.AsyncBaseTransport, self._inner)
                        response = await bounded(await inner.handle_async_request(_sent(request, step)))
                        answer = reply_of(response)
                    elif isinstance(step, Run):
                        # Not given up when the request is: what was written down has to be known here.
                        with anyio.CancelScope(shield=not step.may_be_left):
                            answer = await anyio.to_thread.run_sync(step.do, abandon_on_cancel=step.may_be_left)
                    else:
                        await anyio.sleep(step.seconds)
                except BaseException as caught:
                    error = caught
        except BaseException:
            if response is not None:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
            raise


class _PaidStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that passes through, while the events in it that concern its payment are seen to."""

    def __init__(
        self, transport: PayingTransport, request: httpx.Request, view: Request, inner: Any, payment: Payment
    ) -> None:
        self._transport, self._request, self._view = transport, request, view
        self._inner, self._payment, self._events = inner, payment, Events()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            for steps in self._steps(chunk):
                response, _ = self._transport._drive(steps, self._request)
                if response is not None:
                    response.close()
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            for steps in self._steps(chunk):
                response, _ = await self._transport._drive_async(steps, self._request)
                if response is not None:
                    await response.aclose()
            yield chunk

    def close(self) -> None:
        self._transport.payer.stream_ends(self._payment)
        self._inner.close()

    async def aclose(self) -> None:
        self._transport.payer.stream_ends(self._payment)
        await self._inner.aclose()

    def _steps(self, chunk: bytes) -> Iterator[Generator[Step, Any, None]]:
        for name, text in self._events.feed(chunk):
            yield self._transport.payer.on_event(self._view, self._payment, name, text)


class _Paying:
    """What both clients have: ``payer``, and their transports within one that pays."""

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
        **options: Any,
    ) -> None:
        super().__init__(**options)  # of the client of httpx
        self.payer = payer = Payer(
            wallet, max_wei_per_call=max_wei_per_call, max_wei_a_day=max_wei_a_day, open_session=open_session,
            max_wei_on_hold=max_wei_on_hold, days=days, protocols=protocols,
        )  # fmt: skip
        # Also the transports of proxies, which the environment may name.
        inner: Any = self
        inner._transport = PayingTransport(payer, inner._transport)
        inner._mounts = {
            pattern: None if each is None else PayingTransport(payer, each) for pattern, each in inner._mounts.items()
        }


class PayingClient(_Paying, httpx.Client):
    """An `httpx.Client` that pays what is asked for, within the bounds; all its other options are httpx's.

    A response that was paid has a ``Payment`` in ``extensions[PAYMENT]``. Raises, beside what httpx raises:
    TooExpensive, NoSession, NotPayable, BadReceipt.
    """

    def close_session(self, url: str, *, method: str = "HEAD") -> Payment:
        """Have the server of a URL settle and close the session that pays for it. Where neither HEAD nor GET is
        allowed there, say by which ``method``.
        """
        request = self.build_request(method, url)
        transport = cast(PayingTransport, self._transport_for_url(request.url))
        response, payment = transport._drive(self.payer.close(_view(request)), request)
        if response is not None:
            response.close()
        return cast(Payment, payment)


class AsyncPayingClient(_Paying, httpx.AsyncClient):
    """The same as an `httpx.AsyncClient`."""

    async def close_session(self, url: str, *, method: str = "HEAD") -> Payment:
        """Have the server of a URL settle and close the session that pays for it; see ``PayingClient``."""
        request = self.build_request(method, url)
        transport = cast(PayingTransport, self._transport_for_url(request.url))
        response, payment = await transport._drive_async(self.payer.close(_view(request)), request)
        if response is not None:
            await response.aclose()
        return cast(Payment, payment)


def _view(request: httpx.Request) -> Request:
    origin = origin_of(str(request.url))
    first = request.extensions.setdefault(_CAME_FROM, origin)  # httpx hands extensions on when it is redirected
    came_from = first if first != origin else ""
    can_be_repeated = isinstance(request.stream, httpx.ByteStream)
    return Request(str(request.url), request.method, "Authorization" in request.headers, can_be_repeated, came_from)


def _is_buffered(request: httpx.Request) -> bool:
    """Whether a body may be taken into memory, to be sent again: one whose length is known, as of a form."""
    return not isinstance(request.stream, httpx.ByteStream) and "content-length" in request.headers


def _sent(request: httpx.Request, step: Send) -> httpx.Request:
    headers = httpx.Headers(request.headers)
    headers.update(step.fields)
    if not step.method:
        return httpx.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )
    for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
        headers.pop(name, None)
    return httpx.Request(step.method, request.url, headers=headers, extensions=request.extensions)


def _kept(response: httpx.Response, body: bytes) -> httpx.Response:
    """The same response, of which the body (or its beginning) is here."""
    headers = httpx.Headers(response.headers)
    if len(body) >= MAX_BODY:
        headers.pop("Content-Length", None)
    return httpx.Response(
        response.status_code, headers=headers, stream=httpx.ByteStream(body), extensions=response.extensions
    )


def _first(stream: httpx.SyncByteStream) -> bytes:
    body = b""
    try:
        for chunk in stream:
            body += chunk
            if len(body) >= MAX_BODY:
                break
    finally:
        stream.close()
    return body[:MAX_BODY]


async def bounded(response: httpx.Response) -> httpx.Response:
    """A response, of whose body the beginning is here when it is a 402; any other as it is."""
    if response.status_code != _PAYMENT_REQUIRED:
        return response
    stream, body = cast(httpx.AsyncByteStream, response.stream), b""
    try:
        async for chunk in stream:
            body += chunk
            if len(body) >= MAX_BODY:
                break
    finally:
        await stream.aclose()
    return _kept(response, body[:MAX_BODY])


def reply_of(response: httpx.Response) -> Reply:
    """A response as far as payments go."""
    body = b""
    if response.status_code == _PAYMENT_REQUIRED and "Content-Encoding" not in response.headers:
        body = response.read()
    return Reply(response.status_code, response.headers.get_list, body)
