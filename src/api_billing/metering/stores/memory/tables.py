"""The ledger's tables as dictionaries."""

from __future__ import annotations

from bisect import insort
from typing import Any

from api_billing.metering.ledger.money import Account, ClaimRow, Count, Line
from api_billing.metering.ledger.operations import ApiKey, Batch, Grant, PutProfile, Record
from api_billing.metering.ledger.records import record_of
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import DEFAULT_TIERS, Tier


class MemoryTables:
    """The ledger's tables as dictionaries."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.counts: dict[tuple[str, int], Count] = {}
        self.lines: dict[str, Line] = {}
        self.notes: dict[str, Record] = {}
        self.ids: list[str] = []  # of lines and notes, sorted
        self.claims: dict[tuple[str, str], ClaimRow] = {}
        self.usage: dict[tuple[str, str, int], list[int]] = {}  # calls, units, charged, uncollected
        self.grants: dict[str, Grant] = {}
        self.consumers: dict[str, PutProfile] = {}
        self.versions: dict[str, int] = {}
        self.tiers: dict[str, Tier] = {tier.name: tier for tier in DEFAULT_TIERS}
        self.tiers_version = 0
        self.version = 0
        self.keys: dict[str, ApiKey] = {}
        self.batches: dict[tuple[str, int], Batch] = {}
        self.leaves: dict[tuple[str, int], bytearray] = {}
        self.to_settle: dict[str, list[str]] = {}  # by API: ids of settled usage in no batch, sorted
        self.fired: dict[str, int] = {}
        self.settlement: dict[str, Any] = {}

    def account(self, account: str) -> Account:
        found = self.accounts.get(account)
        if found is None:
            found = self.accounts[account] = Account(account)
        return found

    def touch_account(self, account: Account) -> None:
        """Nothing to write: the dictionary has the object."""

    def count(self, counter: str, starts_ms: int, ends_ms: int) -> Count:
        key = (counter, starts_ms)
        found = self.counts.get(key)
        if found is None:
            found = self.counts[key] = Count(counter, starts_ms, ends_ms)
        return found

    def touch_count(self, count: Count) -> None:
        """Nothing to write."""

    def line(self, reservation_id: str) -> Line | None:
        return self.lines.get(reservation_id)

    def add_line(self, line: Line) -> None:
        self.lines[line.reserve.reservation_id] = line
        insort(self.ids, line.reserve.reservation_id)

    def change_line(self, line: Line) -> None:
        if line.state == "settled":
            insort(self.to_settle.setdefault(line.reserve.api, []), line.reserve.reservation_id)

    def claim(self, consumer: str, key: str) -> ClaimRow | None:
        return self.claims.get((consumer, key))

    def put_claim(self, consumer: str, key: str, claim: ClaimRow) -> None:
        self.claims[consumer, key] = claim

    def drop_claim(self, consumer: str, key: str) -> None:
        self.claims.pop((consumer, key), None)

    def add_usage(self, api: str, consumer: str, day: int, units: int, charged_wei: int, uncollected_wei: int) -> None:
        sums = self.usage.setdefault((api, consumer, day), [0, 0, 0, 0])
        sums[0] += 1
        sums[1] += units
        sums[2] += charged_wei
        sums[3] += uncollected_wei

    def profile(self, consumer: str) -> Profile | None:
        kept = self.consumers.get(consumer)
        if kept is None:
            return None
        version = max(self.versions[consumer], self.tiers_version)
        return Profile(consumer, self.tiers[kept.tier], version, kept.disabled, kept.quotas, kept.budgets)

    def has_grant(self, grant_id: str) -> bool:
        return grant_id in self.grants

    def add_grant(self, grant: Grant) -> None:
        self.grants[grant.grant_id] = grant

    def new_version(self) -> int:
        self.version += 1
        return self.version

    def record(self, record_id: str) -> Record | None:
        line = self.lines.get(record_id)
        return self.notes.get(record_id) if line is None else record_of(line)
