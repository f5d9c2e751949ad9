"""The terms a run starts with: prices and limits of the APIs, deposits and caps of the consumers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

KIB: Final = 1_024
_METERED_PARTS: Final = 4


def account_of(role: str, name: str) -> str:
    """Return the address of somebody in this run; the same role and name always have the same."""
    return "0x" + sha256(f"{role}: {name}".encode("utf-8", "surrogatepass")).hexdigest()[:40]


def parts_of(size_bytes: int) -> int:
    """Return how many quarters of the price a meter charges: one, and one more for every KiB begun; four at most."""
    return min(1 + -(-size_bytes // KIB), _METERED_PARTS)


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """Who earns with some of the APIs. ``meter`` may report usage, and cannot move the operator's money."""

    name: str
    account: str
    meter: str


@dataclass(frozen=True, slots=True)
class ApiTerms:
    """One API. A metered one is settled in batches from what a meter counted, others bill each call when it is made."""

    name: str
    operator: OperatorTerms
    price_wei: int
    daily_limit_calls: int
    is_metered: bool

    def cost_wei(self, size_bytes: int) -> int:
        """Return what one request costs: the price, or for a metered API what was really served, the price at most."""
        return self.cost_of_parts_wei(parts_of(size_bytes))

    def cost_of_parts_wei(self, parts: int) -> int:
        """Return what a request of so many parts costs, see `parts_of`."""
        return self.price_wei * parts // _METERED_PARTS if self.is_metered else self.price_wei


@dataclass(frozen=True, slots=True)
class SubscriptionTerms:
    """A consumer's own cap on what it spends a day with one API, and what it sets aside for its settlements."""

    api: str
    max_daily_spend_wei: int
    hold_wei: int


@dataclass(frozen=True, slots=True)
class ConsumerTerms:
    """One client of the log with its account, what it pays in, and what it pays later when its credit is low."""

    client: str
    account: str
    deposit_wei: int
    top_up_wei: int
    subscriptions: Sequence[SubscriptionTerms]


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything a run starts with. Mappings are by name of the API and by client, the busiest first."""

    operators: Sequence[OperatorTerms]
    apis: Mapping[str, ApiTerms]
    consumers: Mapping[str, ConsumerTerms]
    first_at: int
    last_at: int
