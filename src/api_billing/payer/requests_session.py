"""`PayingSession`: a session of `requests` that pays. A stream that asks for more while it runs gets no more here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from api_billing.extras import needed_by

with needed_by("a paying session"):
    import requests
    from requests.adapters import HTTPAdapter

from api_billing.payer.asking import MAX_BODY, PROTOCOLS, Protocol, Reply
from api_billing.payer.paying import Payer, Request, Run, Send, origin_of
from api_billing.payer.wallet import Wallet

_CAME_FROM: Final = "api_billing_came_from"
_PAYMENT_REQUIRED: Final = 402


class PayingAdapter(HTTPAdapter):
    """Pays for what is asked for. A response that was paid has its ``Payment`` as ``payment``."""

    def __init__(self, payer: Payer, **options: Any) -> None:
        super().__init__(**options)
        self.payer = payer

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """As of any adapter. Raises: what ``Payer.pay`` raises."""
        steps = self.payer.pay(_view(request))
        response: requests.Response | None = None
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = steps.throw(error) if error is not None else steps.send(answer)
            except StopIteration as done:
                assert response is not None
                response.request = request  # without the credential
                if done.value is not None:
                    if done.value.spending is not None:  # nobody watches its events
                        self.payer.stream_ends(done.value)
                    response.payment = done.value  # type: ignore[attr-defined]
                return response
            answer, error = None, None
            try:
                if isinstance(step, Send):
                    if response is not None:
                        response.close()
                    sent = request.copy()
                    sent.headers.update(step.fields)
                    response = super().send(sent, *args, **kwargs)
                    answer = _reply(response)
                elif isinstance(step, Run):
                    answer = step.do()
                else:
                    time.sleep(step.seconds)
            except BaseException as caught:
                error = caught


class PayingSession(requests.Session):
    """A `requests.Session` that pays what is asked for, within the bounds.

    A response that was paid has its ``Payment`` as ``payment``. Raises, beside what requests raises: TooExpensive,
    NoSession, NotPayable, BadReceipt.
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
    ) -> None:
        super().__init__()
        self.payer = Payer(
            wallet, max_wei_per_call=max_wei_per_call, max_wei_a_day=max_wei_a_day, open_session=open_session,
            max_wei_on_hold=max_wei_on_hold, days=days, protocols=protocols,
        )  # fmt: skip
        for scheme in ("https://", "http://"):
            self.mount(scheme, PayingAdapter(self.payer))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """As of any session; and a request that was redirected to another origin is told by it."""
        super().rebuild_auth(prepared_request, response)
        before = str(response.request.url)
        first = getattr(response.request, _CAME_FROM, "") or origin_of(before)
        if first != origin_of(str(prepared_request.url)):
            setattr(prepared_request, _CAME_FROM, first)


def _view(request: requests.PreparedRequest) -> Request:
    can_be_repeated = request.body is None or isinstance(request.body, str | bytes)
    came_from = getattr(request, _CAME_FROM, "")
    has_authorization = "Authorization" in request.headers
    return Request(str(request.url), str(request.method), has_authorization, can_be_repeated, came_from)


def _reply(response: requests.Response) -> Reply:
    fields, body = response.raw.headers, b""
    if response.status_code == _PAYMENT_REQUIRED and "Content-Encoding" not in response.headers:
        body = response.raw.read(MAX_BODY)
        response.close()
        response.raw = BytesIO(body)
    return Reply(response.status_code, fields.getlist, body)
