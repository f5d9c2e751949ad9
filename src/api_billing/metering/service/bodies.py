"""Bodies of the HTTP meter's requests and responses. Amounts are decimal strings of wei, the smallest unit of the
meter's currency: a JSON number is rounded.

What requests may hold is bounded here, in the schema that clients see: nothing of it can be too long for a store, or
have characters that a log or a database would stumble over.
"""

from __future__ import annotations

import base64
import json
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from api_billing.amounts import Currency
from api_billing.metering.clock import date_of
from api_billing.metering.ledger.ids import LENGTH
from api_billing.metering.ledger.operations import MAX_AMOUNT_WEI, Balance, Record, State, StoredResponse, UsageDay
from api_billing.metering.request.problems import Answer

ID_PATTERN = rf"^[0-7][0-9A-HJKMNP-TV-Z]{{{LENGTH - 1}}}$"
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_MAX_COUNT = 2**31 - 1
_MAX_BYTES = 2**53 - 1
_PAYMENT_FIELDS = ("authorization", "payment_authorization", "payment_signature", "accept_payment", "idempotency_key")


def within_bounds(amount: str) -> str:
    """An amount that a store counts. Raises: ValueError."""
    if abs(int(amount)) > MAX_AMOUNT_WEI:
        raise ValueError("an amount is at most 2^256 - 1")
    return amount


Wei = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,77})$",
        description="An amount in smallest units of the currency, at most 2^256 - 1",
    ),
    AfterValidator(within_bounds),
]
ReservationId = Annotated[str, Field(pattern=ID_PATTERN, examples=["01KAMZC8M0S5QZ3V8C9W2F7B4D"])]
ApiName = Annotated[str, Field(pattern=r"^[!-~]{1,64}$", examples=["weather"])]
ConsumerName = Annotated[str, Field(min_length=1, max_length=200, examples=["acme"])]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e\x80-\xff]{0,8192}$")]
PaymentField = Annotated[SecretStr, Field(min_length=1, max_length=16_384)]
TagName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
TagText = Annotated[str, Field(max_length=200, pattern=_PRINTABLE)]
TagNumber = Annotated[int, Field(ge=-_MAX_BYTES, le=_MAX_BYTES)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class IdempotencyClaim(_Asked):
    """The end consumer's `Idempotency-Key`, and a hash of what its request asks (method, path, query, body)."""

    key: str = Field(pattern=r"^[!-~]([ -~]{0,253}[!-~])?$")
    fingerprint: str = Field(pattern=r"^[!-~]{1,128}$")


class ReceiptClaim(_Asked):
    """The receipt that a consumer contract's request carries, and a hash of what it asks, without the receipt."""

    id: str = Field(max_length=200, pattern=_PRINTABLE, examples=["weather:0x" + "ab" * 20 + ":20527:1"])
    fingerprint: str = Field(pattern=r"^[!-~]{1,128}$")


class PaymentBody(_Asked):
    """The end consumer's request as far as it says who pays, over x402 or MPP, and nothing of it believed: the fields
    that it came with. One without any of them is told what it costs.
    """

    url: str = Field(pattern=r"^https?://[!-~]{1,2040}$", description="The whole URL, as the end consumer wrote it")
    authorization: PaymentField | None = Field(None, description="A payment of MPP, or whatever else there is")
    payment_authorization: PaymentField | None = None
    payment_signature: PaymentField | None = None
    accept_payment: PaymentField | None = None
    idempotency_key: PaymentField | None = None
    fingerprint: str | None = Field(
        None,
        pattern=r"^[!-~]{1,128}$",
        description="A hash of the request's body. Without it neither `idempotency_key` nor x402's payment-identifier "
        "count, as nobody can tell whether it is the same request",
    )

    def fields(self) -> list[tuple[str, str]]:
        """The header fields."""
        given = {name: getattr(self, name) for name in _PAYMENT_FIELDS}
        return [(name.replace("_", "-"), text.get_secret_value()) for name, text in given.items() if text is not None]


class ReservationBody(_Asked):
    """Who asks for what, and how much it may cost. The consumer is named, or proven with its own API key, or pays at
    the door, or has a receipt for a call that the contract has billed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("consumer", "api_key", "payment", "receipt")],
        }
    )

    api: ApiName
    estimate_wei: Wei
    consumer: ConsumerName | None = Field(None, description="The consumer, whom the service has authenticated itself")
    api_key: Annotated[SecretStr, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="The API key that the end consumer sent"
    )
    payment: PaymentBody | None = Field(None, description="Instead of both, where the meter takes payments")
    receipt: ReceiptClaim | None = Field(
        None, description="Instead of all, where the meter has a contract: nothing is charged, whatever the estimate"
    )
    method: str = Field("", pattern=r"^[A-Z]{0,16}$", description="HTTP method, for the audit log")
    route: str = Field(
        "", max_length=200, pattern=_PRINTABLE, description="Pattern of the route, for budgets and the audit log"
    )
    operation: str = Field(
        "",
        max_length=200,
        pattern=_PRINTABLE,
        description="What budgets and the audit log call it, not the route",
    )
    model: str = Field("", max_length=100, pattern=_PRINTABLE, description="Model asked for, for budgets of a model")
    units: int = Field(1, ge=1, le=_MAX_COUNT, description="What it counts as in usage, and in limits of calls")
    limits: list[Annotated[str, Field(max_length=400)]] = Field(
        [],
        max_length=16,
        description="Limits of requests, for this method, route (or operation), API, consumer and address",
        examples=[["100/minute", "5/second; burst=10; per=address"]],
    )
    address: str = Field(
        "",
        max_length=64,
        pattern=_PRINTABLE,
        description="The end consumer's address, for limits per address: the service knows which proxies it trusts",
    )
    request_id: str = Field("", max_length=128, pattern=_PRINTABLE)
    idempotency: IdempotencyClaim | None = None
    id: ReservationId | None = Field(
        None,
        description="Of the service's choice, so that a request without an answer can be repeated: a ULID of now. Make "
        "one for each request, and never take it from the end consumer",
    )

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if [self.consumer, self.api_key, self.payment, self.receipt].count(None) != 3:
            raise ValueError("exactly one of consumer, api_key, payment and receipt")
        if self.payment is not None and self.idempotency is not None:
            raise ValueError("a payment has its own idempotency_key")
        return self


class ResponseBody(_Asked):
    """A response, as it is kept and given again to requests with the same idempotency key."""

    status: int = Field(ge=200, le=599)
    # Pairs are arrays in JSON, which are no tuples when types are strict.
    headers: list[Annotated[tuple[HeaderName, HeaderValue], Field(strict=False)]] = Field([], max_length=64)
    body_base64: str = Field("", pattern=r"^([0-9A-Za-z+/]{4})*([0-9A-Za-z+/]{2}==|[0-9A-Za-z+/]{3}=)?$")

    @classmethod
    def of(cls, stored: StoredResponse | Answer) -> Self:
        """The response for JSON; a stored one of an adapter in Python may have what is not allowed in requests."""
        body = base64.b64encode(stored.body).decode("ascii")
        return cls.model_construct(status=stored.status, headers=list(stored.headers), body_base64=body)

    def body(self) -> bytes:
        """The body itself. Raises: ValueError (its padding is wrong)."""
        return base64.b64decode(self.body_base64, validate=True)


class SettlementBody(_Asked):
    """What serving has cost, and how it ended."""

    cost_wei: Wei | None = Field(None, description="The actual cost; without it the estimate is charged")
    status: int = Field(200, ge=100, le=599, description="A status that is free (5xx by default) costs nothing")
    duration_ms: int | None = Field(None, ge=0, le=_MAX_COUNT, description="By default since it was reserved")
    response_bytes: int = Field(0, ge=0, le=_MAX_BYTES)
    units: int | None = Field(None, ge=0, le=_MAX_COUNT)
    counts: bool = Field(True, description="Whether it counts in the limits of requests that are in calls")
    error: str = Field("", max_length=200, pattern=_PRINTABLE)
    tags: dict[TagName, TagText | TagNumber | bool | None] = Field({}, max_length=16)
    has_begun: bool = Field(
        False, description="The response has begun, with `begun_fields`: over x402 it costs what these say"
    )
    payment: PaymentBody | None = Field(
        None, description="That of the reservation: so any process, and a repetition, can tell the receipts"
    )
    response: ResponseBody | None = Field(
        None,
        description="Kept for replay when an idempotency key or a receipt was claimed; when its body is too large, "
        "later requests are answered 410. Without it (it was cut off) the next request with the idempotency key is "
        "served anew, for what it costs more than this one; a receipt is used up",
    )

    def tags_text(self) -> str:
        """The tags as a record has them."""
        return json.dumps(self.tags, separators=(",", ":"), ensure_ascii=False) if self.tags else ""


class ReleaseBody(_Asked):
    """Why it was not served; for the audit log."""

    status: int = Field(0, ge=0, le=599)
    error: str = Field("", max_length=200, pattern=_PRINTABLE)


class ExtensionBody(_Asked):
    """How long the reservation has to last from now."""

    seconds: int | None = Field(None, ge=1, le=86_400, description="By default as long as when it was reserved")


class BalanceBody(BaseModel):
    """Credit: `free_wei + reserved_wei + charged_wei` is `granted_wei`."""

    granted_wei: Wei
    free_wei: Wei
    reserved_wei: Wei
    charged_wei: Wei

    @classmethod
    def of(cls, balance: Balance) -> Self:
        """The balance for JSON."""
        return cls(
            granted_wei=str(balance.granted_wei),
            free_wei=str(balance.free_wei),
            reserved_wei=str(balance.reserved_wei),
            charged_wei=str(balance.charged_wei),
        )


class LimitBody(BaseModel):
    """A window that the request counts in. `limit` and `used` are decimal strings, in calls or in wei."""

    name: str
    unit: Literal["calls", "wei"]
    limit: str
    used: str
    renews_ms: int


class ReservationAnswer(BaseModel):
    """The request may be served. It has to be settled or released within `expires_after_seconds`, or extended."""

    id: ReservationId
    state: Literal["reserved"] = "reserved"
    api: str
    consumer: str
    estimate_wei: Wei
    expires_after_seconds: int = Field(description="Counted from when this id was reserved first")
    balance: BalanceBody
    limits: list[LimitBody]
    protocol: str = Field(default="", description="`x402` or `mpp`, over which it is paid; else empty")
    fields: dict[str, str] = Field(description="Header fields about limits for the end consumer's response")
    begun_fields: dict[str, str] = Field(
        default={}, description="Instead of them, where a payment's response begins before it is settled: with receipts"
    )


class ReplayAnswer(BaseModel):
    """A request with this idempotency key or receipt was served before: send this response again."""

    id: str = Field(description="The reservation that was charged")
    state: Literal["replayed"] = "replayed"
    response: ResponseBody


class AnsweredAnswer(BaseModel):
    """There is nothing to serve: the payment managed its session, or was served before. Send this response."""

    state: Literal["answered"] = "answered"
    response: ResponseBody


class VerificationBody(_Asked):
    """A payment, and what it would be for."""

    api: ApiName
    estimate_wei: Wei
    payment: PaymentBody
    method: str = Field("GET", pattern=r"^[A-Z]{1,16}$")


class VerificationAnswer(BaseModel):
    """Whether a reservation with this payment would be made, as far as can be told without making it."""

    is_good: bool = Field(description="It pays for the request, or for what it asks to be done to its session")
    protocol: str = Field(description="`x402` or `mpp`; empty where it is no payment")
    consumer: str = Field(description="Who pays; empty where that is not proven")
    response: ResponseBody | None = Field(description="What would be answered instead of serving")


class SettlementAnswer(BaseModel):
    """What was charged. `repeated`: it had been settled (or released) before, and nothing changed."""

    id: ReservationId
    state: Literal["settled", "released"]
    charged_wei: Wei
    uncollected_wei: Wei = Field(default="0", description="What the cost exceeded estimate and free credit by")
    late: bool = Field(default=False, description="Settled after the reservation had expired")
    repeated: bool
    balance: BalanceBody
    fields: dict[str, str] = Field(default={}, description="Header fields about cost and limits, as they are now")


class ExtensionAnswer(BaseModel):
    """The reservation lasts so long from now, or longer."""

    id: ReservationId
    expires_after_seconds: int


class Counted(BaseModel):
    """What amounts are in: `_wei` is the smallest unit, of which so many make one of the currency."""

    currency: str = Field(examples=["USD"])
    currency_decimals: int = Field(description="An amount in smallest units is shifted by so many decimal places")


def counted(currency: Currency) -> dict[str, Any]:
    """What amounts are in, for JSON."""
    return {"currency": currency.code, "currency_decimals": currency.decimals}


class ConsumerBalance(BalanceBody, Counted):
    """A consumer's credit."""

    consumer: str


class UsageBody(BaseModel):
    """Settled requests of one API and day (UTC)."""

    api: str
    day: date
    calls: int
    units: int
    charged_wei: Wei
    uncollected_wei: Wei

    @classmethod
    def of(cls, usage: UsageDay) -> Self:
        """A day's usage for JSON."""
        return cls(
            api=usage.api,
            day=date_of(usage.day),
            calls=usage.calls,
            units=usage.units,
            charged_wei=str(usage.charged_wei),
            uncollected_wei=str(usage.uncollected_wei),
        )


class UsageAnswer(Counted):
    """A consumer's usage, by API and day; days without any are left out."""

    consumer: str
    usage: list[UsageBody]


class RecordBody(BaseModel):
    """One request, served or refused."""

    id: str
    at_ms: int
    state: State
    api: str
    method: str
    route: str
    request_id: str
    units: int
    estimate_wei: Wei
    charged_wei: Wei
    uncollected_wei: Wei
    code: str = Field(description="Why it was refused; else empty")
    reason: str = Field(description="Which of the reasons that the code has; empty where it has none")
    status: int
    duration_ms: int
    tags: dict[str, Any]

    @classmethod
    def of(cls, record: Record) -> Self:
        """A record for its consumer: without what is the operator's (bodies, errors, batches)."""
        return cls(
            id=record.record_id,
            at_ms=record.at_ms,
            state=record.state,
            api=record.api,
            method=record.method,
            route=record.route,
            request_id=record.request_id,
            units=record.units,
            estimate_wei=str(record.estimate_wei),
            charged_wei=str(record.charged_wei),
            uncollected_wei=str(record.uncollected_wei),
            code=record.code,
            reason=record.reason,
            status=record.outcome.status,
            duration_ms=record.outcome.duration_ms,
            tags=json.loads(record.outcome.tags) if record.outcome.tags else {},
        )


class RecordsAnswer(Counted):
    """A page of records; `next` is the `after` of the page behind it, null at the end."""

    consumer: str
    records: list[RecordBody]
    next: str | None


class ProblemBody(BaseModel):
    """Problem details (RFC 9457). `code` says what it is."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class HealthAnswer(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class WrongBody(BaseModel):
    """Something that is not as it should be, in one part; `stops`: requests cannot be served meanwhile."""

    part: str
    detail: str
    stops: bool


class ReadyAnswer(BaseModel):
    """Requests can be served. `wrong` is for who has a token."""

    status: Literal["ok"] = "ok"
    wrong: list[WrongBody] = []
