"""Payments as clients of both protocols make them, at a meter on the fake chain."""

from __future__ import annotations

import json
from typing import Any

from api_billing.metering import from_header
from api_billing.metering.request.exchange import Exchange
from api_billing.metering.request.http import MeteredRequest, MeteredResponse, TextHeaders
from api_billing.metering.request.problems import Answer
from api_billing.payments import mpp, x402
from api_billing.payments.encoding import from_base64, json_object
from api_billing.payments.mpp import Challenge, Credential
from api_billing.vouchers import Voucher

from .fake_chain import CHAIN_ID
from .signing import WHO, salt_of, sign
from .test_metered_on_chain import Desk
from .world import API

PEPPER = "a pepper of the tests"
HOST = ("host", "api.example.com")


class Served:
    """What became of a request: ``status``, ``fields`` (of one name the last), ``problem`` (or the body's JSON)."""

    def __init__(self, status: int, headers: Any, body: bytes, *, ran: bool) -> None:
        self.status, self.ran, self.body = status, ran, body
        self.headers = [(name.lower(), value) for name, value in headers]
        self.fields = dict(self.headers)
        self.problem = json.loads(body) if body.startswith(b"{") else {}

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))

    @property
    def challenge(self) -> Challenge:
        (found,) = mpp.challenges_in(value for name, value in self.headers if name == "www-authenticate")
        return found

    @property
    def required(self) -> dict[str, Any]:
        return json_object(from_base64(self.fields["payment-required"]))

    @property
    def offer(self) -> dict[str, Any]:
        (found,) = self.required["accepts"]
        assert isinstance(found, dict)
        return found

    @property
    def response(self) -> dict[str, Any]:
        return x402.read_response(self.fields["payment-response"])

    @property
    def receipt(self) -> dict[str, Any]:
        return mpp.read_receipt(self.fields["payment-receipt"])

    @property
    def has_challenge(self) -> bool:
        return "payment-required" in self.fields or "Payment " in self.fields.get("www-authenticate", "")


class DoorDesk(Desk):
    """A meter that takes payments. A consumer may be named by ``x-consumer``, as by a gateway."""

    def __init__(self, world: Any, **given: Any) -> None:
        super().__init__(world, **{"payments": "x402,mpp", "key_pepper": PEPPER, **given})
        self.estimate_wei: Any = 10
        self.price: Any = None
        self.identify: Any = from_header("x-consumer")
        self.ran = 0

    def exchange(
        self, *fields: tuple[str, str], method: str = "GET", path: str = "/forecast", **given: Any
    ) -> Exchange:
        request = MeteredRequest(
            method, path, TextHeaders([HOST, *fields]), at_ms=self.world.now_ms, body=given.get("body", b""),
            query=given.get("query", b""), scheme="https",
        )  # fmt: skip
        price = self.estimate_wei if self.price is None else self.price
        terms = {"estimate_wei": self.estimate_wei, "price": price, "identify": self.identify}
        return Exchange(self.meter.metering(given.get("api", API), **terms), request)

    def ask(self, *fields: tuple[str, str], status: int = 200, **given: Any) -> Served:
        """A request from its arrival to its response, which has this status when the handler runs."""
        exchange = self.exchange(*fields, **given)
        answer = exchange.begin()
        if isinstance(answer, Answer):
            return Served(answer.status, answer.headers, answer.body, ran=False)
        self.ran += 1
        response = MeteredResponse(
            status, TextHeaders([]), body_bytes=5, body=b"sunny" if exchange.keeps_body else None
        )
        return Served(status, exchange.finish(response), b"sunny", ran=True)

    def sign(self, cumulative_wei: int, number: int = 0, **given: Any) -> Voucher:
        return sign(self.world, cumulative_wei, number, **given)

    def channel(self, number: int = 0) -> Any:
        session = self.meter.session(API, WHO)
        assert session is not None
        return next(each for each in session.channels if each.salt == salt_of(number))

    # --- as clients do it

    def by_mpp(
        self, by: Voucher | None, challenge: Challenge | None = None, action: Any = "voucher", who: str = WHO,
        **payload: Any,
    ) -> tuple[str, str]:  # fmt: skip
        """The field of a credential with this voucher."""
        challenge = challenge or self.ask().challenge
        channel_id = self.world.chain.channel(API, WHO, by.salt if by else salt_of(0)).id
        said = (
            {"action": action, "channelId": channel_id} if by is None else mpp.voucher_payload(channel_id, by, action)
        )
        credential = Credential(challenge, {**said, **payload}, mpp.source_of(CHAIN_ID, who))
        return ("payment-authorization" if challenge.header else "authorization", credential.value())

    def by_x402(
        self, by: Voucher, offer: Any = None, kind: Any = "voucher", payment_id: str = "", **given: Any
    ) -> tuple[str, str]:
        """The field of a payment with this voucher."""
        channel = self.world.chain.channel(API, WHO, by.salt)
        value = x402.payment_value(channel, by, offer or self.ask().offer, kind=kind, payment_id=payment_id, **given)
        return ("payment-signature", value)

    def pay_mpp(self, cumulative_wei: int, *fields: tuple[str, str], number: int = 0, **given: Any) -> Served:
        return self.ask(self.by_mpp(self.sign(cumulative_wei, number)), *fields, **given)

    def pay_x402(self, cumulative_wei: int, *fields: tuple[str, str], number: int = 0, **given: Any) -> Served:
        return self.ask(self.by_x402(self.sign(cumulative_wei, number)), *fields, **given)
