"""Header fields of metered requests and responses. Written with f-strings, as every response has them.

``RateLimit-Policy`` and ``RateLimit`` follow draft-ietf-httpapi-ratelimit-headers-11: lists of quoted names with
parameters. Structured-field integers have at most 15 digits, which wei do not fit into: a policy about money says its
unit (``qu="wei"``, ``"gwei"`` or ``"gen"``; ``qu="1e-9 usd"`` to ``"usd"``; ``"credits"``), the finest that its limit
fits into, and what is left is rounded down.

``X-RateLimit-*`` of older clients are about the window with the least left, in calls (a window of money: how often this
request's estimate fits); ``X-RateLimit-Reset`` is in seconds since 1970, as most of them expect.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from api_billing.amounts import GEN, Currency
from api_billing.metering.limits.windows import WindowCheck

MAX_INTEGER: Final = 999_999_999_999_999
_THOUSAND: Final = 3  # decimals


def policy_field(checks: tuple[WindowCheck, ...], currency: Currency = GEN) -> str:
    """``RateLimit-Policy`` of the windows that limit something, in their order."""
    items = []
    for check in checks:
        if check.limit is None:
            continue
        unit, scale = unit_of(check, currency)
        # What a bucket allows in a window is what flows out of it; what it holds beyond that nobody relies on.
        quota = check.rate if check.counting == "bucket" else check.limit
        item = f'"{check.name}";q={min(quota // scale, MAX_INTEGER)}'
        item += f';qu="{unit}"' if unit else ""
        items.append(f"{item};w={(check.ends_ms - check.starts_ms) // 1000}")
    return ", ".join(items)


def seconds_until(at_ms: int, now_ms: int) -> int:
    """Whole seconds after which an instant is surely reached."""
    return max(0, -((now_ms - at_ms) // 1000))


def unit_of(check: WindowCheck, currency: Currency = GEN) -> tuple[str, int]:
    """The unit that a window's figures are shown in, and how many of the window's own units it has; calls: no unit."""
    if check.unit == "calls":
        return "", 1
    limit = check.limit or 0
    units = _units(currency)
    return next((unit for unit in units if limit // unit[1] <= MAX_INTEGER), units[-1])


@cache
def _units(currency: Currency) -> tuple[tuple[str, int], ...]:
    """The units of a currency, the finest first, and how many of its smallest ones they have."""
    code = currency.code.lower()
    if currency.is_gen:
        return tuple([(unit.name.lower(), 10**unit.decimals) for unit in reversed(currency.units)])
    parts = range(0, currency.decimals, _THOUSAND)
    return (*[(f"1e-{currency.decimals - part} {code}", 10**part) for part in parts], (code, 10**currency.decimals))
