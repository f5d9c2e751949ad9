"""The rules of counts: what a request counts in the windows that it was checked against."""

from __future__ import annotations

from api_billing.metering.ledger.operations import ReadCounts, ResetCounts
from api_billing.metering.ledger.rows import COUNTS, RequestRow
from api_billing.metering.ledger.tables import Tables


def recount(
    tables: Tables, request: RequestRow, times: int, wei: int, uncounted: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Count a request so many times more, and so many wei, in its windows; the counts after it.

    In the ``uncounted`` ones nothing counts of a request that is settled.
    """
    counts = tables.counts(request)
    for index, (check, count) in enumerate(zip(request.reserve.checks, counts, strict=True)):
        step = times * check.weight if check.unit == "calls" else wei
        if index in uncounted:
            step -= check.weight if check.unit == "calls" else request.charged_wei
        if step:
            # Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
            count.used = max(count.used + step, 0)
            tables.touch(count)
    return tuple([count.used for count in counts])


def reset_counts(tables: Tables, op: ResetCounts) -> tuple[int, ...]:
    """Count anew from nothing; what was counted."""
    tables.fetch(COUNTS, [(check.counter, check.starts_ms) for check in op.checks])
    were = []
    for check in op.checks:
        count = tables.count(check.counter, check.starts_ms, check.ends_ms)
        were.append(count.used)
        if count.used:
            count.used = 0
            tables.touch(count)
    return tuple(were)


def read_counts(tables: Tables, op: ReadCounts) -> tuple[int, ...]:
    """How much is counted in each window."""
    tables.fetch(COUNTS, [(check.counter, check.starts_ms) for check in op.checks])
    return tuple([tables.count(check.counter, check.starts_ms, check.ends_ms).used for check in op.checks])
