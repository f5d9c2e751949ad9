"""Refusals: what the meter answers instead of serving, as problem details (RFC 9457) with a ``code``.

The 429 ones have the problem type of draft-ietf-httpapi-ratelimit-headers-11, with the names of the violated policies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from api_billing.amounts import GEN, Currency
from api_billing.metering.errors import CreditUnavailable, IdentityUnavailable, StoreUnavailable
from api_billing.metering.ledger.operations import Refused
from api_billing.metering.ledger.vouchers import ChannelSums
from api_billing.metering.limits.budgets import refused_code
from api_billing.metering.limits.fields import seconds_until
from api_billing.metering.limits.plan import WindowPlan
from api_billing.metering.limits.windows import WindowCheck

CONTENT_TYPE: Final = "application/problem+json"
QUOTA_EXCEEDED_TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_TYPE: Final = "urn:problem-type:api-billing:"
_UNAVAILABLE_SECONDS: Final = 1
_LEAST_SPREAD: Final = 5  # seconds
_MOST_SPREAD: Final = 60


class Kind(NamedTuple):
    """What is the same for all refusals of a code."""

    status: int
    title: str
    detail: str  # when the refusal has none of its own
    retry: bool = False  # whether waiting helps, so that a Retry-After is due
    reasons: Mapping[str, str] = MappingProxyType({})  # and the detail of each, where a code has several


KINDS: Final[Mapping[str, Kind]] = {
    "missing_identity": Kind(401, "Identity missing", "The request does not say who it is from."),
    "invalid_identity": Kind(401, "Identity not valid", "The credentials of the request are not valid."),
    "revoked_key": Kind(403, "Key revoked", "This API key has been revoked."),
    "expired_key": Kind(401, "Key expired", "This API key has expired; ask for a new one."),
    "key_scope": Kind(
        403,
        "Not for this API",
        "This API key is for other APIs than this one.",
        reasons={"limited_key": "A key that is limited to some APIs, or has a cap, reads no usage."},
    ),
    "not_subscribed": Kind(
        403,
        "Not subscribed",
        "This consumer has no access to this API.",
        reasons={
            "not_an_address": "Consumers of this API pay from the chain: their names are addresses.",
            "api_paused": "The operator has paused this API.",
            "price_changed": "The price rose; subscribe again to accept it.",
            "above_price": "This request may cost more than the price accepted for a call.",
        },
    ),
    "disabled": Kind(403, "Consumer disabled", "This consumer's access has been switched off."),
    "insufficient_credit": Kind(
        402,
        "Credit exhausted",
        "The free credit does not cover the cost of this request.",
        reasons={
            "settlement_refused": "A settlement of earlier usage was refused.",
            "not_final": "The subscription or the hold is not final yet.",
            "hold_short": "The hold does not cover what was used already.",
            "hold_ends": "The hold ends too soon; prolong it.",
        },
    ),
    "budget_exceeded": Kind(402, "Budget exhausted", "A budget does not cover the cost of this request."),
    "quota_exceeded": Kind(429, "Quota exceeded", "A quota is used up until its window ends.", retry=True),
    "throttled": Kind(429, "Throttled", "A budget is nearly used up; requests are held back.", retry=True),
    "invalid_idempotency_key": Kind(
        400, "Idempotency key not valid", "Idempotency-Key is one string of 1 to 255 printable ASCII characters."
    ),
    "unreadable_body": Kind(400, "Body not readable", "The body of the request could not be read."),
    "body_too_large": Kind(413, "Body too large", "The body is larger than this API reads before serving."),
    "idempotency_mismatch": Kind(
        422, "Idempotency key reused", "This idempotency key was used for another request; use a new one."
    ),
    "idempotency_in_progress": Kind(
        409, "Request in progress", "A request with this idempotency key is still being served.", retry=True
    ),
    "idempotency_used": Kind(
        410, "Idempotency key used", "The request with this key was served, and its response was too large to keep."
    ),
    "voucher_required": Kind(
        402, "Voucher required", "What is signed does not cover this request: it takes a voucher for required_wei."
    ),
    "invalid_voucher": Kind(
        402,
        "Voucher not valid",
        "Nothing is served for this voucher.",
        reasons={
            "malformed_voucher": "The voucher is none, or cannot be read.",
            "no_session": "There is no session that this voucher could be of.",
            "bad_signature": "The key of the session has not signed this for the API, its operator, this contract and"
            " chain.",
            "other_channel": "The channel is not that of this session, the API's operator, this contract and chain, and"
            " the salt.",
            "receiver_mismatch": "The channel pays another receiver than the API's operator.",
            "receiver_authorizer_mismatch": "The channel is of another contract.",
            "token_mismatch": "The channel is in another asset.",
            "withdraw_delay_mismatch": "The channel has another delay of withdrawals.",
        },
    ),
    "too_many_channels": Kind(402, "Too many channels", "This session has all the channels it can: go on in one."),
    "session_closing": Kind(402, "Session closing", "This session is being closed: it pays for nothing more."),
    "payment_required": Kind(
        402, "Payment required", "The request does not say who it is from: pay for it by one of the challenges."
    ),
    "several_payments": Kind(400, "Several payments", "A request has one payment, of one protocol."),
    "malformed_payment": Kind(400, "Payment not readable", "PAYMENT-SIGNATURE is no payment of the scheme offered."),
    "malformed_credential": Kind(
        402,
        "Credential not readable",
        "The credential is none, or its payload is none.",
        reasons={"invalid_payload": "The payload of the credential cannot be read."},
    ),
    "invalid_challenge": Kind(402, "Challenge not valid", "The credential answers no challenge of this resource."),
    "payment_expired": Kind(402, "Challenge expired", "The challenge has expired; answer a fresh one."),
    "offer_changed": Kind(402, "Offer changed", "What was accepted is not, or no longer, what this request costs."),
    "cumulative_mismatch": Kind(
        402, "Sum not as expected", "The voucher is not for what was charged and the amount together."
    ),
    "channel_busy": Kind(
        402,
        "Channel busy",
        "Another request is being paid from this channel: over x402 it is one at a time.",
        retry=True,
    ),
    "deposit_refused": Kind(402, "No deposits", "Nothing can be deposited here: open a session on the contract."),
    "payment_id_reused": Kind(
        409, "Payment identifier reused", "This identifier was used for another request; use a new one."
    ),
    "refund_amount_invalid": Kind(402, "No partial refunds", "A refund closes the session; it has no amount."),
    "serving": Kind(
        409, "Requests being served", "What is being served has to end before: ask again then.", retry=True
    ),
    "nothing_to_bill": Kind(
        409, "Nothing to bill", "No settlement is left that could close the session; the operator may release the hold."
    ),
    "invalid_receipt": Kind(
        402,
        "Receipt not valid",
        "Nothing is served for this receipt.",
        reasons={
            "several": "The request carries more than one receipt.",
            "malformed": "A receipt reads API:CONSUMER:DAY:CALL[:TAG], as the contract has written it.",
            "other_api": "This receipt is for a call of another API.",
            "expired": "A receipt can be used for some days after the day of its call.",
            "unknown": "The contract has billed no call of this receipt.",
            "not_final": "The contract has billed no call of this receipt that is final.",
        },
    ),
    "receipt_mismatch": Kind(422, "Receipt used", "This receipt was used for another request."),
    "receipt_in_progress": Kind(
        409, "Request in progress", "The request with this receipt is still being served.", retry=True
    ),
    "receipt_used": Kind(
        410, "Receipt used", "This request was served, and its response was too large, or too soon at an end, to keep."
    ),
    "not_estimable": Kind(
        400,
        "Request not valid",
        "What this request would cost cannot be told from it: it is not what this API expects.",
    ),
    "estimate_failed": Kind(500, "Cost not known", "This API could not compute what the request would cost."),
    "meter_unavailable": Kind(
        503,
        "Meter not available",
        "Usage cannot be recorded at the moment, so nothing is served.",
        retry=True,
        reasons={
            "credit_unknown": "The credit of this consumer cannot be read from the chain.",
            "identity_unknown": "Whether the credentials of the request are valid cannot be told at the moment.",
            "chain_unavailable": "The contract, which knows this receipt, does not answer.",
            "chain_reads_used_up": "The contract, which knows this receipt, cannot be asked more often at the moment.",
        },
    ),
}


class Answer(NamedTuple):
    """A response as it goes out: header fields are text pairs."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def json(cls, status: int, content: Any, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """One whose body is JSON."""
        return cls(status, (("content-type", "application/json"), *headers), json.dumps(content).encode())


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not served. ``code`` is one of ``KINDS``, ``reason`` of those that it has, or empty.

    ``retry_after_seconds`` becomes Retry-After; without it, codes for which waiting helps say one second. ``policies``
    are the names of the windows that were exceeded, ``challenge`` the WWW-Authenticate of a 401, ``extra`` further
    members of the body (never secrets). Names that the standard or this class gives to members win over ``extra``.
    ``type`` is the problem's where a protocol has its own, ``fields`` are further header fields. ``why`` stands in
    the audit log only.
    """

    code: str
    detail: str = ""
    retry_after_seconds: int | None = None
    policies: tuple[str, ...] = ()
    challenge: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    type: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    why: str = ""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.code].status

    def answer(self, headers: tuple[tuple[str, str], ...] = (), *, instance: str = "") -> Answer:
        """The whole response, with further header fields; ``instance`` identifies this one occurrence."""
        kind = KINDS[self.code]
        body = self.problem(instance=instance)
        encoded = json.dumps(body, separators=(",", ":")).encode()
        fields = [("content-type", CONTENT_TYPE), ("content-length", str(len(encoded))), ("cache-control", "no-store")]
        if kind.status == 401:
            fields.append(("www-authenticate", self.challenge or "Bearer"))
        if (seconds := self.retry_after()) is not None:
            fields.append(("retry-after", str(seconds)))
        return Answer(kind.status, (*fields, *self.fields, *headers), encoded)

    def retry_after(self) -> int | None:
        """Seconds to wait, at least 1; None when waiting does not help or it is not known how long."""
        if self.retry_after_seconds is not None:
            return max(1, self.retry_after_seconds)
        return _UNAVAILABLE_SECONDS if KINDS[self.code].retry else None

    def problem(self, *, instance: str = "") -> dict[str, Any]:
        """The body as a mapping. Amounts of wei in ``extra`` are strings: a JSON number would be rounded."""
        kind = KINDS[self.code]
        quota = kind.status == 429
        members: dict[str, Any] = {
            **self.extra,
            "type": self.type or (QUOTA_EXCEEDED_TYPE if quota else _TYPE + self.code.replace("_", "-")),
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail or kind.reasons.get(self.reason, kind.detail),
            "code": self.code,
        }
        if self.reason:
            members["reason"] = self.reason
        if quota:
            members["violated-policies"] = list(self.policies)
        if instance:
            members["instance"] = instance
        return members


def refusal_by(
    plan: WindowPlan,
    refused: Refused,
    now_ms: int,
    estimate_wei: int,
    randrange: Callable[[int], int] = lambda _: 0,
    currency: Currency = GEN,
) -> Refusal:
    """What to answer when the store refused: the code, the violated policies, and when it makes sense to retry.

    Retry-After is the end of the last of the violated windows, as all of them have to renew, and a moment more, of up
    to a tenth of the window: ``randrange`` says how much, so that not all who were refused come back in one second. One
    that slides, and a bucket, has room for this request again when the store says, and a tenth of that wait more. A
    budget that throttles may say another time, which is told as it is.
    """
    if refused.code == "insufficient_credit":
        amounts = {"free": refused.balance.free_wei, "estimate": estimate_wei}
        if plan.own is not None and plan.own.hides:
            del amounts["free"]
        in_words = {name: currency.text(amount, exact=True) for name, amount in amounts.items()}
        in_wei = {f"{name}_wei": str(amount) for name, amount in amounts.items()}
        return Refusal(refused.code, extra={**in_words, **in_wei})
    if refused.channel is not None:
        return by_channel(refused.code, refused.channel, estimate_wei)
    if not refused.violated:
        return Refusal(refused.code if refused.code in KINDS else "meter_unavailable")
    told = plan.told(refused.violated)
    violated = told or refused.violated  # what who asks is not told of has no name and no amount here
    first = violated[0]
    budget, code = plan.budgets[first], plan.checks[first].code
    detail, extra = "", {}
    if budget is not None:
        code = refused_code(budget, refused.counts[first], estimate_wei)
        if told:
            detail, extra = f"{KINDS[code].detail} It is the budget {budget.name}.", {"budget": budget.name}
    names = tuple([plan.checks[index].name for index in told])
    ends_ms, last = max([(plan.ends_ms(index, now_ms, refused.frees), index) for index in violated])
    seconds, check = seconds_until(ends_ms, now_ms), plan.checks[last]
    if check.counting == "fixed":
        spread = max((check.ends_ms - check.starts_ms) // 1000 // 10, _LEAST_SPREAD)
    else:
        spread = seconds // 10
        if told:
            detail = detail or f"The limit {check.name} has no room for this request at the moment."
    if budget is None:
        never = [_never(plan.checks[index], estimate_wei, currency) for index in told]
        detail = next(filter(None, never), detail)
    seconds += randrange(min(spread, _MOST_SPREAD) + 1)
    if code == "throttled" and budget is not None and budget.retry_after_seconds:
        seconds = budget.retry_after_seconds
    return Refusal(code, detail, seconds, names, extra=extra)


def _never(check: WindowCheck, estimate_wei: int, currency: Currency) -> str:
    """What is said of a request that is too much for a window even while that has counted nothing; empty for others."""
    asked, most = check.weight if check.unit == "calls" else estimate_wei, check.limit
    if most is None or asked <= most:
        return ""
    amounts = [f"{n:,}" if check.unit == "calls" else currency.text(n, exact=True) for n in (asked, most)]
    return f"This request counts as {amounts[0]}, and {check.name} never has room for more than {amounts[1]}."


def by_channel(code: str, channel: ChannelSums, estimate_wei: int) -> Refusal:
    """How much has to be signed, and why: a channel that there is none of yet begins at 0, and is named by whoever
    signs.
    """
    if code not in ("voucher_required", "cumulative_mismatch"):
        return Refusal(code)
    sums = {f"{what}_wei": getattr(channel, f"{what}_wei") for what in ("signed", "charged", "reserved", "posted")}
    told = {"required_wei": channel.required_wei(estimate_wei), "estimate_wei": estimate_wei, **sums}
    extra = {name: str(wei) for name, wei in told.items()}
    return Refusal(code, extra={**extra, "channel_id": channel.channel_id, "salt": channel.salt})


def unavailable(error: StoreUnavailable) -> Refusal:
    """What is answered when nothing can be metered; of the store nobody outside need know more."""
    if isinstance(error, CreditUnavailable):
        return Refusal("meter_unavailable", str(error), reason="credit_unknown")
    if isinstance(error, IdentityUnavailable):
        return Refusal("meter_unavailable", "", error.retry_after_seconds, reason="identity_unknown")
    return Refusal("meter_unavailable")
