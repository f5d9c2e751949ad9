"""What settlement needs of the chain; ``BillingClient`` is one. And how an account names a consumer on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from api_billing.client import Written
from api_billing.metering.operations import DAY_MS, Batch
from api_billing.metering.settlement_operations import ChainTerms, Part
from api_billing.results import (
    DayUsage,
    ReceiptCheck,
    Settlement,
    SettlementEntry,
    SettlementState,
    UsageReport,
)

_ADDRESS: Final = re.compile("0x[0-9a-f]{40}")
NOT_AN_ADDRESS: Final = "bad_address"
_ZERO: Final = "0x" + "00" * 20


class SettlementChain(Protocol):
    """The billing contract, as ``client.BillingClient`` has it. Raises: the errors of ``api_billing.errors``."""

    contract: str

    def settle_usage(
        self, api_name: str, sequence: int, entries: Sequence[SettlementEntry], usage_root: str = ""
    ) -> Written[Settlement]:
        """Bill 1 to 256 entries; a sequence that is settled already answers as before and bills nothing."""

    def get_settlement(self, api_name: str, sequence: int = 0) -> SettlementState:
        """The outcome of one of the last 64 settlements, 0: the last; and the next sequence."""

    def get_usage_report(self, consumer: str) -> UsageReport:
        """All that the contract knows of a consumer: one read for all its APIs."""

    def get_usage_history(self, consumer: str, api_name: str, from_day: int, to_day: int) -> tuple[DayUsage, ...]:
        """The days with usage, both included."""

    def get_receipt(self, receipt_id: str) -> ReceiptCheck:
        """Whether a receipt is genuine."""


def chain_account(api: str, address: str) -> str:
    """The account that pays for a consumer's requests to an API when its credit is on the chain."""
    return f"{api}/{address.lower()}"


def address_of(account: str) -> str | None:
    """The consumer's address, None for an account that does not name one."""
    address = account.rpartition("/")[2]
    return address if _ADDRESS.fullmatch(address) and address != _ZERO else None


def entries_of(batch: Batch) -> tuple[list[SettlementEntry], list[int]]:
    """What of a batch is posted: entries, and the index of each one's line. A line of nobody on chain cannot be."""
    entries, indexes = [], []
    for index, line in enumerate(batch.lines):
        address = address_of(line.account)
        if address is not None:
            entries.append(SettlementEntry(address, line.day, line.calls, line.amount_wei))
            indexes.append(index)
    return entries, indexes


def parts_of(batch: Batch, settlement: Settlement | None) -> tuple[Part, ...] | None:
    """What became of each line, by the contract's outcome; None when that is the outcome of something else."""
    entries, indexes = entries_of(batch)
    parts = [Part(0, 0, NOT_AN_ADDRESS)] * len(batch.lines)
    if settlement is None:
        return None if entries else tuple(parts)
    if settlement.usage_root != batch.root or len(settlement.entries) != len(entries):
        return None
    for index, entry, settled in zip(indexes, entries, settlement.entries, strict=True):
        if (settled.consumer, settled.day_id) != (entry.consumer, entry.day_id):
            return None
        if (settled.calls, settled.spend_wei) != (entry.calls, entry.spend_wei):
            return None
        parts[index] = Part(settled.billed_calls, settled.billed_wei, settled.code)
    return tuple(parts)


def terms_of(report: UsageReport, api: str, read_ms: int) -> ChainTerms:
    """What a usage report says of one API."""
    line = next((line for line in report.apis if line.api_name == api), None)
    if line is None:
        return ChainTerms(read_ms, credit_wei=report.credit_balance_wei)
    return ChainTerms(
        read_ms=read_ms,
        hold_wei=line.hold_wei,
        hold_expires_ms=line.hold_expires_at * 1000,
        credit_wei=report.credit_balance_wei,
        subscribed=line.subscribed,
        active=line.active,
        plan=line.plan_name,
        price_wei=line.cost_per_call_wei,
        accepted_price_wei=line.accepted_price_wei,
        spend_left_today_wei=line.spend_left_today_wei,
        calls_left_today=line.calls_left_today,
    )


def next_midnight_ms(now_ms: int) -> int:
    """When the next day begins, UTC: when the contract's daily limits start anew."""
    return (now_ms // DAY_MS + 1) * DAY_MS
