"""The rules of counts: what a request counts in the windows that it was checked against."""

from __future__ import annotations

from api_billing.metering.ledger.operations import ReadCounts
from api_billing.metering.ledger.rows import COUNTS, RequestRow
from api_billing.metering.ledger.tables import Tables


def recount(tables: Tables, request: RequestRow, calls: int, wei: int) -> tuple[int, ...]:
    """Count so many calls and wei more in the windows of a request; the counts after it."""
    counts = tables.counts(request)
    for check, count in zip(request.reserve.checks, counts, strict=True):
        step = calls if check.unit == "calls" else wei
        if step:
            # Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
            count.used = max(count.used + step, 0)
            tables.touch(count)
    return tuple([count.used for count in counts])


def read_counts(tables: Tables, op: ReadCounts) -> tuple[int, ...]:
    """How much is counted in each window."""
    tables.fetch(COUNTS, [(check.counter, check.starts_ms) for check in op.checks])
    return tuple([tables.count(check.counter, check.starts_ms, check.ends_ms).used for check in op.checks])
