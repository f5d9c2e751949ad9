"""Tiers: named sets of limits that consumers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api_billing.metering.limits.quotas import Quota


@dataclass(frozen=True, slots=True)
class Tier:
    """Monthly calls (None: unlimited), further quotas, and how long audit records are kept."""

    name: str
    monthly_calls: int | None
    retention_days: int
    quotas: tuple[Quota, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 64 or not self.name.isprintable():
            raise ValueError(f"a tier has a name of 1 to 64 printable characters: {self.name!r}")
        if self.monthly_calls is not None and self.monthly_calls < 0:
            raise ValueError(f"tier {self.name}: monthly calls are at least 0, or None for unlimited")
        if self.retention_days < 0:
            raise ValueError(f"tier {self.name}: retention is at least 0 days")

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
