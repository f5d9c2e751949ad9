"""The rules of counts: what a request counts in the windows that it was checked against.

The count of a fixed window is a number; one that slides, and a bucket, forget (see ``limits.moving``): their ``used``
is what is counted at the instant of the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api_billing.metering.ledger.operations import ReadCounts, ResetCounts
from api_billing.metering.ledger.rows import COUNTS, CountRow, RequestRow
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.moving import Moving, moving_of
from api_billing.metering.limits.windows import WindowCheck

_LASTS_MS: Final = 3_600_000  # a count that forgets is kept for so much longer, so that its end seldom changes


def bring_up(tables: Tables, count: CountRow, check: WindowCheck, now_ms: int) -> int:
    """Bring the count of a window that is not fixed up to an instant, before a request is admitted; what is counted."""
    moving = count.moving or _moving(count, check)
    if moving.follow(now_ms, tables.now_ms, check):
        _moved(tables, count, moving)
    count.used = used = moving.used(now_ms)
    return used


def admit(
    tables: Tables, checks: Sequence[WindowCheck], counts: Sequence[CountRow], times: int, wei: int, now_ms: int
) -> tuple[int, ...]:
    """Count what is admitted now; the counts after it."""
    used = []
    for check, count in zip(checks, counts, strict=True):
        step = times * check.weight if check.unit == "calls" else wei
        if step:
            if check.counting == "fixed":
                count.used += step
            else:
                moving = count.moving or _moving(count, check)
                moving.admit(now_ms, step, check)
                count.used = moving.used(now_ms)
                _moved(tables, count, moving)
            tables.touch(count)
        used.append(count.used)
    return tuple(used)


def recount(
    tables: Tables, request: RequestRow, times: int, wei: int, now_ms: int, uncounted: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Count a request so many times more or less, and so many wei, in its windows, at its instant; the counts now.

    In the ``uncounted`` ones nothing counts of a request that is settled.
    """
    counts, at_ms = counts_of(tables, request, now_ms), request.reserve.now_ms
    for index, (check, count) in enumerate(zip(request.reserve.checks, counts, strict=True)):
        step = times * check.weight if check.unit == "calls" else wei
        if index in uncounted:
            step -= check.weight if check.unit == "calls" else request.charged_wei
        if not step:
            continue
        if check.counting == "fixed":
            # Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
            count.used = max(count.used + step, 0)
            tables.touch(count)
        elif (moving := count.moving or _moving(count, check)).correct(at_ms, now_ms, step):
            count.used = moving.used(now_ms)
            _moved(tables, count, moving)
    return tuple([count.used for count in counts])


def counts_of(tables: Tables, request: RequestRow, now_ms: int) -> list[CountRow]:
    """The counts of a request's windows, as they are now."""
    counts = tables.counts(request)
    for check, count in zip(request.reserve.checks, counts, strict=True):
        if check.counting != "fixed":
            count.used = (count.moving or _moving(count, check)).used(now_ms)
    return counts


def frees_of(
    checks: Sequence[WindowCheck], counts: Sequence[CountRow], estimate_wei: int, now_ms: int
) -> tuple[int, ...]:
    """When there is room for such a request again in each window, or more than now; nothing when all are fixed."""
    for check in checks:
        if check.counting != "fixed":
            break
    else:
        return ()
    frees = []
    for check, count in zip(checks, counts, strict=True):
        if check.counting == "fixed" or check.limit is None:
            frees.append(check.starts_ms and check.ends_ms)
        else:
            amount = check.weight if check.unit == "calls" else estimate_wei
            frees.append((count.moving or _moving(count, check)).frees_ms(now_ms, amount, check.limit))
    return tuple(frees)


def reset_counts(tables: Tables, op: ResetCounts) -> tuple[int, ...]:
    """Count anew from nothing; what was counted."""
    used = read_counts(tables, op)
    for check, was in zip(op.checks, used, strict=True):
        count = tables.count(check.counter, check.starts_ms, check.ends_ms)
        if was:
            if count.moving is not None:
                count.moving.reset()
            count.used = 0
            tables.touch(count)
    return used


def read_counts(tables: Tables, op: ReadCounts | ResetCounts) -> tuple[int, ...]:
    """How much is counted in each window."""
    tables.fetch(COUNTS, [(check.counter, check.starts_ms) for check in op.checks])
    used = []
    for check in op.checks:
        count = tables.count(check.counter, check.starts_ms, check.ends_ms)
        if check.counting != "fixed":
            now_ms = tables.now_ms() if op.now_ms is None else op.now_ms
            count.used = (count.moving or _moving(count, check)).used(now_ms)
        used.append(count.used)
    return tuple(used)


def _moving(count: CountRow, check: WindowCheck) -> Moving:
    count.moving = moving = moving_of(check, count.state)
    return moving


def _moved(tables: Tables, count: CountRow, moving: Moving) -> None:
    if (ends_ms := moving.ends_ms()) > count.ends_ms:
        count.ends_ms = ends_ms + _LASTS_MS
    tables.touch(count)
