"""Bodies of administration's requests and responses. As in ``bodies``, amounts are decimal strings."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.tiers import Tier
from api_billing.metering.limits.windows import Period, Unit
from api_billing.metering.service.bodies import ConsumerName, Wei

LimitName = Annotated[str, Field(pattern=r"^[ !#-.0-\[\]-~]{1,64}$", examples=["per-day"])]
TierName = Annotated[str, Field(min_length=1, max_length=64, examples=["pro"])]


class Body(BaseModel):
    """What is asked, and what is answered in the same form."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class QuotaBody(Body):
    """A limit in calls or in wei for each window of a period."""

    name: LimitName
    period: Period
    limit: Wei = Field(description="In the unit")
    unit: Unit = "calls"
    anchor: Annotated[date | None, Field(strict=False, description="Day (UTC) that windows begin on")] = None

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """A quota for JSON."""
        return cls(name=quota.name, period=quota.period, limit=str(quota.most), unit=quota.unit, anchor=quota.anchor)

    def quota(self) -> Quota:
        """The quota. Raises: InvalidSetting."""
        return Quota(self.name, self.period, int(self.limit), self.unit, self.anchor)


class StepBody(Body):
    """What happens from a share of a budget on."""

    percent: int = Field(ge=0, le=1000)
    action: Literal["warn", "throttle", "reject"]


class BudgetBody(Body):
    """An amount for each window of a period, with what happens at shares of it."""

    name: LimitName
    period: Period
    limit_wei: Wei
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
        return Budget(self.name, self.period, int(self.limit_wei), steps, self.scope, self.only, **named)


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
    monthly_calls: Wei | None
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
