"""The rules of counts: what a request counts in the windows that it was checked against.

The count of a fixed window is a number; one that slides, and a bucket, forget (see ``limits.moving``): their ``used``
is what is counted at the instant of the operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api_billing.metering.ledger.operations import MAX_AMOUNT_WEI, ReadCounts, ResetCounts, Settle
from api_billing.metering.ledger.rows import COUNTS, CountRow, RequestRow
from api_billing.metering.ledger.tables import Tables
from api_billing.metering.limits.moving import Moving, moving_of
from api_billing.metering.limits.windows import WindowCheck

_LASTS_MS: Final = 3_600_000  # a count that forgets is kept for so much longer, so that its end seldom changes


def bring_up(tables: Tables, count: CountRow, check: WindowCheck, now_ms: int) -> int:
    """Bring the count of a window that is not fixed up to an instant, before a request is admitted; what is counted."""
    moving = count.moving or _moving(count, check)
    if (moving.last_ms > now_ms or moving.rate != check.rate) and moving.follow(now_ms, tables.now_ms, check):
        tables.touch(count)
    count.used = used = moving.used(now_ms)
    return used


def admit(
    tables: Tables,
    checks: Sequence[WindowCheck],
    counts: Sequence[CountRow],
    times: int,
    wei: int,
    now_ms: int,
    estimate_wei: int,
    extends: str = "",
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count what is admitted now, also as more of the reservation that it ``extends``; the counts then, and when there
    is room for such a request again (``frees_of``).
    """
    used = []
    frees: list[int] | None = None
    for index, check in enumerate(checks):
        count = counts[index]
        step = times * check.weight if check.unit == "calls" else wei
        if check.counting == "fixed":
            if step:
                count.used += step
                tables.touch(count)
        else:
            moving = count.moving or _moving(count, check)
            if step:
                if (ends_ms := moving.admit(now_ms, step, check)) > count.ends_ms:
                    count.ends_ms = ends_ms + _LASTS_MS
                if extends:
                    moving.extend(extends, step)
                tables.touch(count)
            frees = frees or [0] * len(checks)
            amount = check.weight if check.unit == "calls" else estimate_wei
            count.used, frees[index] = moving.room(now_ms, amount, check.limit)
        used.append(count.used)
    return tuple(used), tuple(frees) if frees else ()


def recount(
    tables: Tables, request: RequestRow, times: int, wei: int, now_ms: int, uncounted: tuple[int, ...] = ()
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count a request that ends so many times more or less, and so many wei, in its windows, at its instants; the
    counts now, and when there is room for such a request again (``frees_of``).

    In the ``uncounted`` ones nothing counts of a request that is settled.
    """
    counts, made = tables.counts(request), request.reserve
    used = []
    frees: list[int] | None = None
    for index, check in enumerate(made.checks):
        count = counts[index]
        step = times * check.weight if check.unit == "calls" else wei
        if index in uncounted:
            step -= check.weight if check.unit == "calls" else request.charged_wei
        if check.counting == "fixed":
            if step < 0 and count.state and made.now_ms <= int(count.state):
                step = 0  # it was reset since
            if step:
                # Never below 0: the count of a window that ended days ago may have been pruned meanwhile.
                count.used = max(count.used + step, 0)
                tables.touch(count)
        else:
            moving = count.moving or _moving(count, check)
            held = check.weight if check.unit == "calls" else request.estimate_wei
            if (step or moving.extended) and moving.end(made.reservation_id, made.now_ms, now_ms, held, step):
                tables.touch(count)
            frees = frees or [0] * len(made.checks)
            amount = check.weight if check.unit == "calls" else made.estimate_wei
            count.used, frees[index] = moving.room(now_ms, amount, check.limit)
        used.append(count.used)
    return tuple(used), tuple(frees) if frees else ()


def counts_of(tables: Tables, request: RequestRow, now_ms: int) -> list[CountRow]:
    """The counts of a request's windows, as they are now."""
    counts = tables.counts(request)
    for check, count in zip(request.reserve.checks, counts, strict=True):
        if check.counting != "fixed":
            count.used = (count.moving or _moving(count, check)).used(now_ms)
    return counts


def room(tables: Tables, request: RequestRow, held_wei: int, op: Settle) -> int:
    """How much more than what it holds a request may be charged, in the windows that bind what it is charged.

    In one that it has left meanwhile, as that slides, it counts as what it holds.
    """
    most_wei = MAX_AMOUNT_WEI
    if any(check.binds for check in request.reserve.checks):
        counts = counts_of(tables, request, op.now_ms)
        for index, (check, count) in enumerate(zip(request.reserve.checks, counts, strict=True)):
            if check.binds and check.limit is not None and index not in op.uncounted:
                most_wei = min(most_wei, max(0, check.limit - max(count.used, held_wei)))
    return most_wei


def frees_of(
    checks: Sequence[WindowCheck], counts: Sequence[CountRow], estimate_wei: int, now_ms: int
) -> tuple[int, ...]:
    """When there is room for such a request again in each window that is not fixed, or more than now; 0 of the others,
    and nothing where there are no others.
    """
    frees: list[int] | None = None
    for index, (check, count) in enumerate(zip(checks, counts, strict=True)):
        if check.counting != "fixed":
            frees = frees or [0] * len(checks)
            amount = check.weight if check.unit == "calls" else estimate_wei
            frees[index] = (count.moving or _moving(count, check)).room(now_ms, amount, check.limit)[1]
    return tuple(frees) if frees else ()


def reset_counts(tables: Tables, op: ResetCounts) -> tuple[int, ...]:
    """Count anew from nothing; what was counted."""
    used = read_counts(tables, op)
    for check, was in zip(op.checks, used, strict=True):
        count = tables.count(check.counter, check.starts_ms, check.ends_ms)
        if was:
            if count.moving is not None:
                count.moving.reset()
            else:
                count.state = str(tables.now_ms() if op.now_ms is None else op.now_ms)
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
