"""What is known of a consumer: the limits that hold for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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


ANONYMOUS: Final = "anonymous"  # the tier of clients that are not known
ANYBODY: Final = "ip:*"  # who has the sums of their usage
_ANONYMOUS: Final = Tier(ANONYMOUS, None, 7)


def nobody(consumer: str) -> Profile:
    """The profile of an anonymous client, which no store has: nothing of its own, and a tier for ``by_tier``."""
    return Profile(consumer, _ANONYMOUS, -1)
