"""What is known of a consumer: the limits that hold for it."""

from __future__ import annotations

from dataclasses import dataclass

from api_billing.metering.limits.quotas import Budget, Quota
from api_billing.metering.limits.tiers import Tier


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a consumer. ``version`` changes with the consumer, its keys and any tier."""

    consumer: str
    tier: Tier
    version: int
    disabled: bool = False
    quotas: tuple[Quota, ...] = ()
    budgets: tuple[Budget, ...] = ()
