"""Tiers, quotas, budgets, windows and batches as JSON text, for the columns that are never searched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any

from api_billing.metering.ledger.batch_operations import BatchLine
from api_billing.metering.limits.limits import Limit
from api_billing.metering.limits.quotas import Budget, Quota, Step
from api_billing.metering.limits.windows import Counting, Unit, WindowCheck
from api_billing.vouchers import Voucher


def quotas_to_text(quotas: Iterable[Quota]) -> str:
    """A JSON array of quotas."""
    return _dump([[q.name, q.period, q.most, q.unit, _day_text(q.anchor)] for q in quotas])


def quotas_from_text(text: str) -> tuple[Quota, ...]:
    """The quotas of such an array."""
    return tuple(
        Quota(name, period, limit, unit, _day(anchor)) for name, period, limit, unit, anchor in json.loads(text)
    )


def limits_to_text(limits: Iterable[Limit]) -> str:
    """A JSON array of limits of requests."""
    return _dump([limit_to_object(limit) for limit in limits])


def limits_from_text(text: str) -> tuple[Limit, ...]:
    """The limits of such an array."""
    return tuple([_limit(**each) for each in json.loads(text)])


def limit_to_object(limit: Limit) -> dict[str, Any]:
    """A limit as JSON has it; amounts are texts."""
    period, count = limit.every
    return {
        "name": limit.name,
        "window": limit.window,
        "amount": str(limit.amount),
        "unit": limit.unit,
        f"{period}s": count,
        "burst": str(limit.burst),
        "anchor": _day_text(limit.anchor),
        "per": limit.per,
        "on": limit.on,
        "group": limit.group,
        "by_tier": {tier: None if amount is None else str(amount) for tier, amount in limit.by_tier.items()},
    }


def _limit(
    window: Any, amount: str, burst: str, anchor: str | None, by_tier: dict[str, str | None], **rest: Any
) -> Limit:
    tiers = {tier: None if other is None else int(other) for tier, other in by_tier.items()}
    return Limit(window, int(amount), burst=int(burst), anchor=_day(anchor), by_tier=tiers, **rest)


def names_to_text(names: Iterable[str]) -> str:
    """A JSON array of names."""
    return _dump(list(names))


def names_from_text(text: str) -> tuple[str, ...]:
    """The names of such an array."""
    return tuple(json.loads(text))


def budgets_to_text(budgets: Iterable[Budget]) -> str:
    """A JSON array of budgets."""
    return _dump(
        [
            {
                "name": b.name,
                "period": b.period,
                "limit_wei": str(b.most_wei),
                "steps": [[step.percent, step.action] for step in b.steps],
                "scope": b.scope,
                "only": b.only,
                "anchor": _day_text(b.anchor),
                "retry_after_seconds": b.retry_after_seconds,
            }
            for b in budgets
        ]
    )


def budgets_from_text(text: str) -> tuple[Budget, ...]:
    """The budgets of such an array."""
    return tuple(
        Budget(
            name=b["name"],
            period=b["period"],
            limit_wei=int(b["limit_wei"]),
            steps=tuple(Step(percent, action) for percent, action in b["steps"]),
            scope=b["scope"],
            only=b["only"],
            anchor=_day(b["anchor"]),
            retry_after_seconds=b["retry_after_seconds"],
        )
        for b in json.loads(text)
    )


def lines_to_text(lines: Iterable[BatchLine]) -> str:
    """A JSON array of the lines of a batch."""
    return _dump([_line_to_list(line) for line in lines])


def lines_from_text(text: str) -> tuple[BatchLine, ...]:
    """The lines of such an array."""
    return tuple([_line_of(*line) for line in json.loads(text)])


def _line_to_list(line: BatchLine) -> list[Any]:
    sums = [line.account, line.consumer, line.day, line.calls, str(line.amount_wei)]
    if not line.channel:
        return sums
    signed = line.voucher
    voucher = None if signed is None else [signed.salt, str(signed.cumulative_wei), signed.signature]
    return [*sums, line.channel, voucher, line.close]


def _line_of(
    account: str, consumer: str, day: int, calls: int, wei: str,
    channel: str = "", voucher: list[str] | None = None, close: bool = False,
) -> BatchLine:  # fmt: skip
    signed = None if voucher is None else Voucher(voucher[0], int(voucher[1]), voucher[2])
    return BatchLine(account, consumer, day, calls, int(wei), channel, signed, close)


@lru_cache(maxsize=4096)
def windows_to_text(windows: tuple[WindowCheck, ...]) -> str:
    """The windows of a reservation as one column. A consumer's requests share their windows, so the text is kept."""
    return _dump([_window_to_list(window) for window in windows])


@lru_cache(maxsize=4096)
def windows_from_text(text: str) -> tuple[WindowCheck, ...]:
    """The windows of such a column; limits are only kept of those that are not fixed, to say when they free, and of
    those that bind.
    """
    return tuple([_window_of(*window) for window in json.loads(text)])


def _window_to_list(window: WindowCheck) -> list[Any]:
    plain = [window.counter, window.starts_ms, window.ends_ms, window.unit]
    if window.binds:
        return [*plain, window.counting, window.weight, window.rate, window.limit, True]
    if window.counting != "fixed":
        return [*plain, window.counting, window.weight, window.rate, window.limit]
    return plain if window.weight == 1 else [*plain, window.counting, window.weight]


def _window_of(
    counter: str, starts_ms: int, ends_ms: int, unit: Unit,
    counting: Counting = "fixed", weight: int = 1, rate: int = 0, limit: int | None = None, binds: bool = False,
) -> WindowCheck:  # fmt: skip
    plain = WindowCheck(counter, starts_ms, ends_ms, unit, limit, counting=counting, weight=weight, rate=rate)
    return plain._replace(binds=binds)


def headers_to_text(headers: Iterable[tuple[str, str]]) -> str:
    """A JSON array of header fields."""
    return _dump([list(field) for field in headers])


def headers_from_text(text: str) -> tuple[tuple[str, str], ...]:
    """The header fields of such an array."""
    return tuple((name, value) for name, value in json.loads(text))


def _dump(value: Any) -> str:
    # In ASCII: header fields and names may have what no encoding can write.
    return json.dumps(value, separators=(",", ":"))


def _day_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
