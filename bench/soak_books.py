"""The books of ``bench/soak.py``: what the store has, beside what clients were told."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from soak_app import API

from api_billing.metering import Meter
from api_billing.metering.ledger.operations import ListRecords, ReadCounts, Record, SumUsage
from api_billing.metering.limits.plan import make_plan

RICH, POOR = [f"rich-{number}" for number in range(4)], [f"poor-{number}" for number in range(2)]


@dataclass
class Told:
    """What clients know, all together."""

    served: dict[str, tuple[str, int]] = field(default_factory=dict)  # by key: consumer, what it paid
    granted: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Books:
    """What the store has, beside what clients were told."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def compare(self, what: str, told: Any, kept: Any) -> None:
        if told != kept:
            self.wrong.append(f"{what}: {told} told, {kept} kept")


def audit(meter: Meter, told: Told) -> Books:
    """Compare all that there is to compare."""
    books, sums = Books(), Counter[str]()
    records = all_records(meter)
    by_key: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.request_id].append(record)
    for key, (_, cost_wei) in told.served.items():
        settled = [record for record in by_key[key] if record.state == "settled"]
        books.compare(f"request {key}", cost_wei, sum(each.charged_wei + each.uncollected_wei for each in settled))
        sums["charged more than once"] += sum(1 for each in settled if each.charged_wei) > 1
    for key, of_key in by_key.items():
        if key not in told.served:
            books.compare(f"request {key}, not served", 0, sum(each.charged_wei for each in of_key))
    for consumer in RICH + POOR:
        balance = meter.balance(consumer)
        mine = [record for record in records if record.consumer == consumer and record.state == "settled"]
        paid_wei = sum(cost_wei for of, cost_wei in told.served.values() if of == consumer)
        uncollected_wei = sum(record.uncollected_wei for record in mine)
        books.compare(f"{consumer} granted", told.granted[consumer], balance.granted_wei)
        books.compare(f"{consumer} reserved", 0, balance.reserved_wei)
        books.compare(f"{consumer} charged", paid_wei - uncollected_wei, balance.charged_wei)
        usage = meter.store.call(SumUsage(consumer, API))
        books.compare(f"{consumer} usage", balance.charged_wei, sum(day.charged_wei for day in usage))
        books.compare(f"{consumer} records", len(mine), sum(day.calls for day in usage))
        plan = make_plan(meter.profile(consumer), meter.now_ms())
        counts = meter.store.call(ReadCounts(plan.checks))
        (year,) = [used for check, used in zip(plan.checks, counts, strict=True) if check.name == "year"]
        books.compare(f"{consumer} counted", len(mine), year)
        sums.update(
            granted=balance.granted_wei, free=balance.free_wei, reserved=balance.reserved_wei,
            charged=balance.charged_wei, told=paid_wei, uncollected=uncollected_wei, settled=len(mine), counted=year,
            late=sum(record.late for record in mine),
        )  # fmt: skip
    books.compare("charged more than once", 0, sums["charged more than once"])
    states = Counter(record.state for record in records)
    books.lines = [
        f"granted {sums['granted']:,} = free {sums['free']:,} + reserved {sums['reserved']:,}"
        f" + charged {sums['charged']:,}",
        f"told {sums['told']:,} = charged {sums['charged']:,} + uncollected {sums['uncollected']:,}",
        f"served to clients {len(told.served):,}, settled {sums['settled']:,} ({sums['late']:,} late),"
        f" counted {sums['counted']:,}",
        "records: " + ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())),
    ]
    return books


def all_records(meter: Meter) -> list[Record]:
    found: list[Record] = []
    while page := meter.store.call(ListRecords(after=found[-1].record_id if found else "", limit=1000)):
        found += page
    return found
