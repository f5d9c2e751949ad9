"""Tiers: named sets of limits that consumers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api_billing.metering.errors import InvalidSetting
from api_billing.metering.limits.checks import MAX_LIMIT, check_tuple, check_whole
from api_billing.metering.limits.quotas import Quota

_MAX_DAYS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Tier:
    """Monthly calls (None: unlimited), further quotas, and how long audit records are kept."""

    name: str
    monthly_calls: int | None
    retention_days: int
    quotas: tuple[Quota, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 64 or not self.name.isprintable():
            raise InvalidSetting(f"a tier has a name of 1 to 64 printable characters: {self.name!r:.80}")
        if self.monthly_calls is not None:
            check_whole(f"the monthly calls of tier {self.name}, or None for unlimited,", self.monthly_calls, MAX_LIMIT)
        check_whole(f"the retention of tier {self.name}, in days,", self.retention_days, _MAX_DAYS)
        check_tuple("quotas", self.quotas, Quota)

    def all_quotas(self) -> tuple[Quota, ...]:
        """The month's calls as a quota named ``month``, and the others."""
        if self.monthly_calls is None:
            return self.quotas
        return (Quota("month", "month", self.monthly_calls), *self.quotas)


DEFAULT_TIERS: Final = (
    Tier("free", 1_000, 7),
    Tier("pro", 10_000, 30),
    Tier("premium", 50_000, 90),
    Tier("enterprise", None, 365),
)
