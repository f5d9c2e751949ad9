"""Values of the meter as PostgreSQL takes and gives them.

Everything is sent as text with a cast in the statement, so that one statement has one plan whatever the size of its
numbers. PostgreSQL's text has no NUL, which a path or a header may have: it is sent as an escape sequence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from zlib import crc32

from api_billing.metering.ledger.documents import budgets_from_text, quotas_from_text
from api_billing.metering.ledger.operations import Balance, Outcome, Record
from api_billing.metering.limits.profile import Profile
from api_billing.metering.limits.tiers import Tier

STRIPES: Final = 4096  # advisory locks that all accounts, consumers and counters share

_ESCAPED: Final = re.compile("[\x00\x1b]")
_TO_ESCAPE: Final = {"\x00": "\x1b0", "\x1b": "\x1bE"}
_ESCAPE: Final = re.compile("\x1b[0E]")
_FROM_ESCAPE: Final = {escape: sign for sign, escape in _TO_ESCAPE.items()}

RECORD_COLUMNS: Final = (
    "record_id, at_ms, state, api, consumer, account, tier, method, route, request_id, units, estimate::text,"
    " charged::text, uncollected::text, ended_ms, late, code, batch, status, duration_ms, response_bytes, error, tags,"
    " request_body, response_body"
)


def sent(text: str) -> str:
    """A text as PostgreSQL can store it. Raises: UnicodeEncodeError for one that is not Unicode (a lone surrogate)."""
    if text.isascii() and text.isprintable():
        return text
    text.encode()
    return _ESCAPED.sub(lambda found: _TO_ESCAPE[found[0]], text)


def received(text: str) -> str:
    """The text that was sent."""
    return _ESCAPE.sub(lambda found: _FROM_ESCAPE[found[0]], text) if "\x1b" in text else text


def stripe(kind: str, name: str) -> str:
    """Which advisory lock a thing of a kind is locked with."""
    return str(crc32(f"{kind}:{name}".encode()) % STRIPES)


def balance_of(text: str) -> Balance:
    """A balance from its numbers in words."""
    return Balance(*map(int, text.split()))


def numbers_of(text: str | None) -> tuple[int, ...]:
    """Integers from words; none for nothing."""
    return tuple(map(int, text.split())) if text else ()


def outcome_values(outcome: Outcome) -> list[Any]:
    """An outcome as seven parameters, from its status to its bodies."""
    return [
        str(outcome.status),
        str(outcome.duration_ms),
        str(outcome.response_bytes),
        sent(outcome.error),
        sent(outcome.tags),
        outcome.request_body,
        outcome.response_body,
    ]


def record_of_row(row: tuple[Any, ...]) -> Record:
    """A record from its columns, as ``RECORD_COLUMNS`` has them."""
    values: list[Any] = [received(value) if isinstance(value, str) else value for value in row]
    record_id, at_ms, state, api, consumer, account, tier, method, route, request_id, units = values[:11]
    estimate, charged, uncollected, ended_ms, late, code, batch = values[11:18]
    return Record(
        record_id=record_id,
        at_ms=at_ms,
        state=state,
        api=api,
        consumer=consumer,
        account=account,
        tier=tier,
        method=method,
        route=route,
        request_id=request_id,
        units=units,
        estimate_wei=int(estimate),
        charged_wei=int(charged),
        uncollected_wei=int(uncollected),
        ended_ms=ended_ms,
        late=late,
        code=code,
        outcome=Outcome(*values[18:]),
        batch=batch,
    )


def tier_of(name: str, monthly_calls: Any, retention_days: int, quotas: str) -> Tier:
    """A tier from its columns."""
    calls = None if monthly_calls is None else int(monthly_calls)
    return Tier(received(name), calls, retention_days, quotas_from_text(received(quotas)))


def profile_of(consumer: str, document: str | None) -> Profile | None:
    """A profile from the array that ``meter_profile`` gives."""
    if document is None:
        return None
    version, disabled, quotas, budgets, *tier = json.loads(document)
    return Profile(
        consumer,
        tier_of(*tier),
        version,
        disabled,
        quotas_from_text(received(quotas)),
        budgets_from_text(received(budgets)),
    )


def texts(values: Iterable[str]) -> list[str]:
    """Texts as PostgreSQL can store them."""
    return [sent(value) for value in values]
