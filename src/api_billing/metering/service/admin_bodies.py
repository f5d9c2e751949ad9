"""Bodies of administration's requests and responses. As in ``bodies``, amounts are decimal strings; in requests they
may be texts with the unit, too.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from api_billing.amounts import Currency
from api_billing.metering.administration import Where
from api_billing.metering.key_administration import KeyTerms
from api_billing.metering.ledger.consumer_operations import ApiKey
from api_billing.metering.limits.checks import Amount
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import Period, Unit
from api_billing.metering.service.bodies import (
    ApiName,
    BalanceBody,
    ConsumerName,
    LimitBody,
    Wei,
    counted,
    within_bounds,
)
from api_billing.metering.statements import Statement, Sums

_DIGITS: Final = "(0|[1-9][0-9]{0,77})"
_AMOUNT: Final = rf"({_DIGITS}|[0-9][0-9,]{{0,79}}([.][0-9]{{1,80}})? ?[A-Za-z]{{3,16}})"
_WRITTEN: Final = "digits, of smallest units, or an amount with its unit, such as '0.002 usd'"


def _written(pattern: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"this is a text of {_WRITTEN}")
        return text if text[-1].isalpha() else within_bounds(text)

    return AfterValidator(check)


def _schema(pattern: str, text: str, mode: Literal["validation", "serialization"]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "description": text}, mode=mode)


# What is asked may have a unit; what is answered has none.
AmountText = Annotated[
    str,
    _written(_AMOUNT),
    _schema(_AMOUNT, f"A text of {_WRITTEN}", "validation"),
    _schema(_DIGITS, "In smallest units of the currency", "serialization"),
]
SignedText = Annotated[str, _written(f"-?{_AMOUNT}"), _schema(f"-?{_AMOUNT}", f"A text of {_WRITTEN}", "validation")]


def amount(text: str) -> Amount:
    """An amount as the meter takes it, which knows its currency."""
    return text if text[-1].isalpha() else int(text)


LimitName = Annotated[str, Field(pattern=r"^[ !#-.0-\[\]-~]{1,64}$", examples=["per-day"])]
SignedWei = Annotated[str, Field(pattern=r"^-?(0|[1-9][0-9]{0,77})$"), AfterValidator(within_bounds)]
Label = Annotated[str, Field(max_length=100, pattern=r"^[ -~]*$")]
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$", description="For the audit log")]
Instant = Annotated[int, Field(ge=0, le=253_402_300_799_000, description="Milliseconds since 1970-01-01 UTC")]
TierName = Annotated[str, Field(min_length=1, max_length=64, examples=["pro"])]


Place = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """What is asked, and what is answered in the same form."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class QuotaBody(Body):
    """A limit in calls or in wei for each window of a period."""

    name: LimitName
    period: Period
    limit: AmountText = Field(description="A text of digits, in the unit; money also as an amount such as `5 usd`")
    unit: Unit = "calls"
    anchor: Annotated[date | None, Field(strict=False, description="Day (UTC) that windows begin on")] = None

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """A quota for JSON."""
        return cls(name=quota.name, period=quota.period, limit=str(quota.most), unit=quota.unit, anchor=quota.anchor)

    def quota(self) -> Quota:
        """The quota. Raises: InvalidSetting."""
        return Quota(self.name, self.period, amount(self.limit), self.unit, self.anchor)


Quotas = Annotated[list[QuotaBody], Field(max_length=100)]


class StepBody(Body):
    """What happens from a share of a budget on."""

    percent: int = Field(ge=0, le=1000)
    action: Literal["warn", "throttle", "reject"]


class BudgetBody(Body):
    """An amount for each window of a period, with what happens at shares of it."""

    name: LimitName
    period: Period
    limit_wei: AmountText
    steps: list[StepBody] = Field(
        [StepBody(percent=80, action="warn"), StepBody(percent=100, action="reject")], min_length=1, max_length=20
    )
    scope: Literal["consumer", "operation", "model"] = "consumer"
    only: str = Field("", max_length=200)
    anchor: Annotated[date | None, Field(strict=False)] = None
    retry_after_seconds: int = Field(0, ge=0, le=2**31 - 1)

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """A budget for JSON."""
        return cls.model_construct(
            name=budget.name,
            period=budget.period,
            limit_wei=str(budget.most_wei),
            steps=[StepBody(percent=step.percent, action=step.action) for step in budget.steps],
            scope=budget.scope,
            only=budget.only,
            anchor=budget.anchor,
            retry_after_seconds=budget.retry_after_seconds,
        )

    def budget(self) -> Budget:
        """The budget. Raises: InvalidSetting."""
        steps = tuple(Step(step.percent, step.action) for step in self.steps)
        named: dict[str, Any] = {"anchor": self.anchor, "retry_after_seconds": self.retry_after_seconds}
        return Budget(self.name, self.period, amount(self.limit_wei), steps, self.scope, self.only, **named)


Budgets = Annotated[list[BudgetBody], Field(max_length=100)]


class ConsumerBody(Body):
    """What is known of a consumer."""

    consumer: ConsumerName
    tier: str
    disabled: bool
    quotas: list[QuotaBody]
    budgets: list[BudgetBody]

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """A consumer for JSON."""
        return cls.model_construct(
            consumer=profile.consumer,
            tier=profile.tier.name,
            disabled=profile.disabled,
            quotas=[QuotaBody.of(quota) for quota in profile.quotas],
            budgets=[BudgetBody.of(budget) for budget in profile.budgets],
        )


class ConsumersAnswer(Body):
    """A page of consumers; `next` is the `after` of the page behind it, null at the end."""

    consumers: list[ConsumerBody]
    next: str | None


class TierBody(Body):
    """A named set of limits that consumers share. `monthly_calls` of null: unlimited."""

    name: TierName
    monthly_calls: Annotated[Wei, Field(description="A number of calls, as a text of digits")] | None
    retention_days: int = Field(7, ge=0, le=1_000_000, description="How long audit records are kept")
    quotas: list[QuotaBody] = Field([], max_length=100)

    @classmethod
    def of(cls, tier: Tier) -> Self:
        """A tier for JSON."""
        calls = None if tier.monthly_calls is None else str(tier.monthly_calls)
        quotas = [QuotaBody.of(quota) for quota in tier.quotas]
        return cls.model_construct(
            name=tier.name, monthly_calls=calls, retention_days=tier.retention_days, quotas=quotas
        )

    def tier(self) -> Tier:
        """The tier. Raises: InvalidSetting."""
        calls = None if self.monthly_calls is None else int(self.monthly_calls)
        return Tier(self.name, calls, self.retention_days, tuple(quota.quota() for quota in self.quotas))


class TiersAnswer(Body):
    """All tiers, in the order of their names."""

    tiers: list[TierBody]


class NewConsumerBody(Body):
    """A consumer to be made; one that exists stays as it is."""

    consumer: ConsumerName
    tier: TierName = "free"
    quotas: Quotas = []
    budgets: Budgets = []


class ChangeBody(Body):
    """What is to be changed of a consumer; what is left out stays. Quotas and budgets replace all that it has."""

    tier: TierName | None = None
    disabled: bool | None = None
    quotas: Quotas | None = None
    budgets: Budgets | None = None


class ConsumerAnswer(ConsumerBody):
    """A consumer, with its credit (null when that is on the chain) and what it has used of its limits."""

    credit: BalanceBody | None
    limits: list[LimitBody] = Field(
        description="Of its tier, quotas and budgets; not limits of requests, of which it may have one for each route"
    )


class ResetBody(Body):
    """Which window is to begin anew: the name of a quota, budget or limit, as refusals tell it, or the text of a limit
    in code; `month` for the tier's calls. What is left out is not needed, unless each has a window of its own.
    """

    window: str = Field(pattern=r"^[ -~]{1,400}$", examples=["per-day"])
    note: Note = ""
    api: ApiName | None = None
    operation: Place | None = Field(None, description="Of limits of requests: the route")
    method: Place | None = None
    model: Place | None = None
    key_id: Place | None = None
    address: Place | None = None

    def where(self) -> Where:
        """Of which requests it is."""
        return cast(Where, self.model_dump(exclude={"window", "note"}, exclude_none=True))


class ResetAnswer(Body):
    """What was used in it, in its unit."""

    window: str
    was: Wei


class KeyBody(Body):
    """An API key, without its text."""

    key_id: str
    consumer: str
    tier: str
    label: str
    apis: list[str]
    quotas: list[QuotaBody]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    first: str = Field(description="Of a key in the place of another: the id of the first of them, else empty")

    @classmethod
    def of(cls, stored: ApiKey, **more: Any) -> Self:
        """A key for JSON."""
        return cls.model_construct(
            key_id=stored.key_id,
            consumer=stored.consumer,
            tier=stored.tier,
            label=stored.label,
            apis=list(stored.apis),
            quotas=[QuotaBody.of(quota) for quota in stored.quotas],
            created_ms=stored.created_ms,
            expires_ms=stored.expires_ms,
            revoked_ms=stored.revoked_ms,
            first=stored.first,
            **more,
        )


class KeysAnswer(Body):
    """A page of keys; `next` is the `after` of the page behind it, null at the end."""

    keys: list[KeyBody]
    next: str | None


class MadeKeyAnswer(KeyBody):
    """A new key. `key` is its text, to be shown once: it is kept nowhere; null of one that was imported."""

    key: str | None


class NewKeyBody(Body):
    """A key to be made, or with `text` to be imported."""

    consumer: ConsumerName
    text: Annotated[SecretStr, Field(min_length=16, max_length=4096)] | None = Field(
        None, description="Of a key that exists already, elsewhere"
    )
    tier: Annotated[str, Field(max_length=64)] = Field("", description="Instead of its consumer's")
    label: Label = ""
    expires_ms: Instant | None = None
    apis: list[ApiName] = Field([], max_length=100, description="That it is good for; none: all")
    cap_wei: AmountText | None = Field(None, description="What may be spent with it in each window of `per`")
    per: Period | None = Field(None, description="Of the cap; null: month")
    quotas: Quotas = []

    def terms(self) -> KeyTerms:
        """What the meter makes it with. Raises: InvalidSetting."""
        return {
            "tier": self.tier,
            "label": self.label,
            "expires_at": instant(self.expires_ms),
            "apis": self.apis,
            "cap": None if self.cap_wei is None else amount(self.cap_wei),
            "per": self.per,
            "quotas": [quota.quota() for quota in self.quotas],
        }


class KeyChangeBody(Body):
    """What is to be changed of a key; what is left out stays. Null takes its end, its cap and so on from it."""

    tier: Annotated[str, Field(max_length=64)] | None = Field(None, description="Instead of its consumer's")
    label: Label | None = None
    expires_ms: Instant | None = None
    apis: list[ApiName] | None = Field(None, max_length=100, description="That it is good for; none: all")
    cap_wei: AmountText | None = None
    per: Period | None = Field(None, description="Of the cap; null: as it is")
    quotas: Quotas | None = Field(None, description="Beside the cap")

    def terms(self) -> KeyTerms:
        """What is given."""
        given = {
            "tier": self.tier or "",
            "label": self.label or "",
            "expires_at": instant(self.expires_ms),
            "apis": self.apis or [],
            "cap": None if self.cap_wei is None else amount(self.cap_wei),
            "per": self.per,
            "quotas": [quota.quota() for quota in self.quotas or ()],
        }
        named = {"expires_ms": "expires_at", "cap_wei": "cap"}
        fields = [named.get(name, name) for name in self.model_fields_set if name != "per" or self.per]
        return cast(KeyTerms, {name: given[name] for name in fields})


class RotationBody(Body):
    """How long the old key is good beside the new one, and what is to be another of the new one."""

    overlap_seconds: int = Field(0, ge=0, le=366 * 86_400)
    expires_ms: Instant | None = Field(None, description="By default it lives as long as the old one was to")
    label: Label | None = None


class GrantBody(Body):
    """Credit to be added, or with a minus taken back. The same `grant_id` counts once."""

    consumer: ConsumerName
    amount_wei: SignedText
    grant_id: str = Field(pattern=r"^[ -~]{1,255}$")
    note: Note = ""


class UsageSums(Body):
    """Sums of settled requests."""

    calls: int
    units: int
    charged_wei: Wei
    uncollected_wei: Wei


class ApiSums(UsageSums):
    """Sums of one API."""

    api: str


class GrantLine(Body):
    """Credit that was added, or taken back."""

    grant_id: str
    at_ms: int
    amount_wei: SignedWei
    note: str


class ReservedBody(Body):
    """What is set aside for requests that are being served; `is_complete` is false where there are more."""

    requests: int
    wei: Wei
    is_complete: bool


class RefusalsBody(Body):
    """Why requests of today (UTC) were refused, by code, or `code/reason` where it has some; of the newest ones where
    `is_complete` is false.
    """

    by_code: dict[str, int]
    is_complete: bool


class UnsettledBody(Body):
    """Batches of an API that are not recorded on the chain yet, and what they are of; beside them requests that are in
    no batch yet, of which there are more where `is_complete` is false.
    """

    api: str
    batches: int
    amount_wei: Wei
    requests: int
    requests_wei: Wei
    is_complete: bool


class ApiSummary(Body):
    """What was used of an API."""

    api: str
    today: UsageSums
    month: UsageSums


class SummaryAnswer(Body):
    """The meter at a glance. Sums of days before yesterday may be some minutes old."""

    at_ms: int
    contract: str | None = Field(description="That it settles on; without one null")
    network: str | None = Field(description="Of the contract, as deployments are named; without one null")
    currency: str
    currency_decimals: int
    consumers: int
    keys: int
    today: UsageSums
    month: UsageSums
    apis: list[ApiSummary] = Field(description="The same of each API of the last 31 days")
    refusals: RefusalsBody
    reserved: ReservedBody
    unsettled: list[UnsettledBody] = Field(description="With a contract; else none")


class StatementAnswer(Body):
    """What a consumer used and paid in a month (UTC). What was granted and not charged at its beginning and end is null
    where it is not known, as on the chain.
    """

    consumer: str
    month: str
    currency: str
    currency_decimals: int
    opening_wei: SignedWei | None
    closing_wei: SignedWei | None
    grants: list[GrantLine]
    usage: list[ApiSums]
    total: UsageSums

    @classmethod
    def of(cls, made: Statement, month: str, currency: Currency) -> Self:
        """A statement for JSON."""
        return cls.model_construct(
            consumer=made.consumer,
            month=month,
            **counted(currency),
            opening_wei=None if made.opening_wei is None else str(made.opening_wei),
            closing_wei=None if made.closing_wei is None else str(made.closing_wei),
            grants=[
                GrantLine(grant_id=each.grant_id, at_ms=each.at_ms, amount_wei=str(each.amount_wei), note=each.note)
                for each in made.grants
            ],
            usage=[ApiSums(api=each.api, **sums_of(each)) for each in made.by_api],
            total=UsageSums(**sums_of(made.total)),
        )


def instant(at_ms: int | None) -> datetime | None:
    """Milliseconds as an instant."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)


def sums_of(sums: Sums) -> dict[str, Any]:
    """Sums for JSON."""
    amounts = {"charged_wei": str(sums.charged_wei), "uncollected_wei": str(sums.uncollected_wei)}
    return {"calls": sums.calls, "units": sums.units, **amounts}
