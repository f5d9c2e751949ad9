"""Header fields of metered requests and responses. Written with f-strings, as every response has them.

``RateLimit-Policy`` and ``RateLimit`` follow draft-ietf-httpapi-ratelimit-headers-11: lists of quoted names with
parameters. Structured-field integers have at most 15 digits, which wei do not fit into: a policy about money says its
unit (``qu="wei"``, ``"gwei"`` or ``"gen"``), the finest that its limit fits into, and what is left is rounded down.

``X-RateLimit-*`` of older clients are about the window with the least left, in calls (a window of money: how often this
request's estimate fits); ``X-RateLimit-Reset`` is in seconds since 1970, as most of them expect.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from api_billing.metering.operations import WindowCheck

if TYPE_CHECKING:
    from api_billing.metering.plan import Plan

Fields = list[tuple[str, str]]

MAX_KEY_LENGTH: Final = 255
_MAX_INTEGER: Final = 999_999_999_999_999
_UNITS: Final = (("wei", 1), ("gwei", 10**9), ("gen", 10**18))
_QUOTED_KEY: Final = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def rate_fields(plan: Plan, counts: Sequence[int], now_ms: int, estimate_wei: int = 1) -> Fields:
    """All fields about windows, with ``counts`` as a reply to ``Reserve`` has them; none when nothing is limited."""
    if not plan.shown or len(counts) != len(plan.checks):
        return []
    items = []
    fewest = renews_ms = -1
    limit = 0
    # As ``plan.tightest`` has it, in the same round: this is done for each response.
    for index, most, scale, ends_ms, unit, name in plan.shown:
        left = most - counts[index]
        if left < 0:
            left = 0
        price_wei = 1 if unit == "calls" else estimate_wei or 1
        calls = left // price_wei
        if fewest < 0 or calls < fewest or (calls == fewest and ends_ms > renews_ms):
            fewest, renews_ms, limit = calls, ends_ms, most // price_wei
        shown = min(left // scale, _MAX_INTEGER)
        items.append(f'"{name}";r={shown};t={-((now_ms - ends_ms) // 1000) if ends_ms > now_ms else 0}')
    return [
        ("ratelimit-policy", plan.policy),
        ("ratelimit", ", ".join(items)),
        ("x-ratelimit-limit", str(limit)),
        ("x-ratelimit-remaining", str(fewest)),
        ("x-ratelimit-reset", str(-(-renews_ms // 1000))),
    ]


def policy_field(checks: tuple[WindowCheck, ...]) -> str:
    """``RateLimit-Policy`` of the windows that limit something, in their order."""
    items = []
    for check in checks:
        if check.limit is None:
            continue
        unit, scale = unit_of(check)
        item = f'"{check.name}";q={min(check.limit // scale, _MAX_INTEGER)}'
        item += f';qu="{unit}"' if unit else ""
        items.append(f"{item};w={(check.ends_ms - check.starts_ms) // 1000}")
    return ", ".join(items)


def seconds_until(at_ms: int, now_ms: int) -> int:
    """Whole seconds after which an instant is surely reached."""
    return max(0, -((now_ms - at_ms) // 1000))


def unit_of(check: WindowCheck) -> tuple[str, int]:
    """The unit that a window's figures are shown in, and how many of the window's own units it has; calls: no unit."""
    if check.unit == "calls":
        return "", 1
    limit = check.limit or 0
    return next((unit for unit in _UNITS if limit // unit[1] <= _MAX_INTEGER), _UNITS[-1])


def cost_field(charged_wei: int) -> tuple[str, str]:
    """What the request cost (or, before a streamed body, at most costs): ``X-Cost-Wei``."""
    return ("x-cost-wei", str(charged_wei))


REPLAYED: Final = ("idempotency-replayed", "true")


def parse_idempotency_key(values: Sequence[str]) -> str | None:
    """Return the key that ``Idempotency-Key`` names; None when it names none that is acceptable.

    The draft (07) has a quoted structured-field string; one without quotes is the same key. It has 1 to 255 printable
    ASCII characters, and the field is given once. Ask only when there is a field: its absence is no error.
    """
    if len(values) != 1 or len(values[0]) > 2 * MAX_KEY_LENGTH + 2:
        return None
    text = values[0].strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        if quoted is None:
            return None
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    good = 0 < len(text) <= MAX_KEY_LENGTH and text.isascii() and text.isprintable()
    return text if good and text.strip() else None


def fingerprint(method: str, path: str, query: bytes, body: bytes) -> str:
    """What makes a request the same request: SHA-256 over method, path, query and body, each with its length."""
    digest = hashlib.sha256()
    for part in (method.encode("latin-1", "replace"), path.encode("utf-8", "surrogatepass"), query, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
