"""How rows are kept in Redis: each is one string under its kind and key, and found again by sorted sets.

Each part of a key but the last has its length before it, so that no two rows share a name. A value is a token, which
another write of the row changes, and the columns as JSON; of bytes the JSON has the length, and they themselves follow
after a line feed, as they may be long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from api_billing.metering.ledger.kinds import Column, Key, Kind, Row
from api_billing.metering.ledger.rows import (
    ACCOUNTS,
    API_KEYS,
    BATCHES,
    BODIES,
    CLAIMS,
    CONSUMERS,
    COUNTS,
    DOCUMENTS,
    FIRED,
    GRANTS,
    KINDS,
    LIMITS,
    NUMBERS,
    REQUESTS,
    TIERS,
    USAGE,
    ClaimRow,
    CountRow,
    FiredRow,
    GrantRow,
    KeyRow,
    RequestRow,
    UsageRow,
)
from api_billing.metering.ledger.session_rows import CHANNELS, SESSIONS

TOKEN_BYTES: Final = 16
ABSENT: Final = b" " * TOKEN_BYTES
FOUND_BY_KEY: Final = frozenset({NUMBERS, DOCUMENTS, BATCHES, BODIES, ACCOUNTS, SESSIONS, CHANNELS})
"""What is in no sorted set."""
CENTRAL: Final = frozenset({NUMBERS, TIERS, LIMITS, CONSUMERS, API_KEYS, FIRED, DOCUMENTS, BATCHES})
"""What belongs to no account, and so is in the first shard."""

_LETTERS: Final[dict[Kind, str]] = {
    NUMBERS: "v", TIERS: "t", LIMITS: "l", CONSUMERS: "p", API_KEYS: "k", FIRED: "f", DOCUMENTS: "d", BATCHES: "b",
    GRANTS: "g", REQUESTS: "r", BODIES: "o", CLAIMS: "i", ACCOUNTS: "a", COUNTS: "n", USAGE: "u", SESSIONS: "s",
    CHANNELS: "c",
}  # fmt: skip
_WITH_BYTES: Final = frozenset(kind for kind in KINDS if any(column.type == "bytes" for column in kind.columns))

_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_MARK: Final = ""
_BETWEEN: Final = b'],"",['

Member = tuple[bool, str, int, str]  # of a sorted set: whether it is in it, the set, its score, and what it is called


def name_of(kind: Kind, key: Key) -> str:
    """What a row is found under, within its shard."""
    if len(key) == 1:
        return f"{_LETTERS[kind]}{key[0]}"
    *parts, last = map(str, key)
    return _LETTERS[kind] + "".join([f"{len(part)}:{part}" for part in parts]) + last


def key_of(kind: Kind, name: str) -> Key:
    """The key of such a name."""
    parts, rest = [], name[1:]
    for _ in kind.key[1:]:
        length, _, rest = rest.partition(":")
        parts.append(rest[: int(length)])
        rest = rest[int(length) :]
    values = zip(kind.key, (*parts, rest), strict=True)
    return tuple(int(part) if column.type == "int" else part for column, part in values)


def to_bytes(rows: Sequence[Row]) -> list[bytes]:
    """What is kept of rows of one kind behind their tokens: the columns that are not their key."""
    if not rows:
        return []
    keys = len(rows[0].kind.key)
    values = [row.values()[keys:] for row in rows]
    if rows[0].kind in _WITH_BYTES:
        tails = [b"".join([value for value in each if isinstance(value, bytes)]) for each in values]
        lengths = [[len(value) if isinstance(value, bytes) else value for value in each] for each in values]
        return [_json(each).encode() + b"\n" + tail for each, tail in zip(lengths, tails, strict=True)]
    # All at once, as an encoder takes longer to begin than to encode. Quotation marks within texts are escaped, so that
    # no text has what is between two lists.
    marked: list[Any] = [_MARK] * (2 * len(values) - 1)
    marked[::2] = values
    return [b"[" + text + b"]" for text in _json(marked).encode()[2:-2].split(_BETWEEN)]


def row_of(kind: Kind, key: Key, kept: bytes) -> Row:
    """The row of such a value."""
    if kind not in _WITH_BYTES:
        return kind.make((*key, *json.loads(kept)))
    head, _, tail = kept.partition(b"\n")
    values = json.loads(head)
    for index, column in enumerate(kind.columns[len(key) :]):
        if column.type == "bytes" and values[index] is not None:
            values[index], tail = tail[: values[index]], tail[values[index] :]
    return kind.make((*key, *values))


def with_columns(kept: bytes, was: Sequence[Column], now: Sequence[Column], added: Mapping[str, Any]) -> bytes | None:
    """A value with the columns that there were, as one with those that there are now; None when it has these.

    Raises: ValueError, when it has others.
    """
    head, separator, tail = kept.partition(b"\n")
    values = json.loads(head)
    if len(values) == len(now):
        return None
    by_name = dict(zip([column.name for column in was], values, strict=True))
    values = [by_name[column.name] if column.name in by_name else added[column.name] for column in now]
    return _json(values).encode() + separator + tail


def letter_of(kind: Kind) -> str:
    """What the names of its rows begin with."""
    return _LETTERS[kind]


def members(row: Row) -> Iterator[Member]:
    """What changes in sorted sets with a row that was touched; before it counts as stored."""
    is_new = not row.stored
    if isinstance(row, RequestRow):
        made, record_id = row.reserve, row.reserve.reservation_id
        if is_new or row.gone:
            yield is_new, "ids", 0, record_id
            yield is_new, f"of:{made.consumer}", 0, record_id
            yield is_new, f"tier:{made.tier}", made.now_ms, record_id
        if is_new:
            yield True, "tiers", 0, made.tier
        yield row.state == "reserved", "open", row.expires_ms, record_id
        if row.state == "settled":
            yield not (row.batch or row.gone), f"unbatched:{made.api}", 0, record_id
    elif isinstance(row, ClaimRow):
        yield row.outlasts_its_request and not row.gone, "claims", row.expires_ms, name_of(CLAIMS, row.key)
    elif isinstance(row, CountRow):
        if is_new or row.gone or row.moving is not None:
            yield not row.gone, "counts", row.ends_ms, name_of(COUNTS, row.key)
    elif isinstance(row, FiredRow):
        yield is_new, "fired", row.expires_ms, name_of(FIRED, row.key)
    elif isinstance(row, UsageRow):
        if is_new:
            yield True, "usage", row.day, name_of(USAGE, row.key)
            yield True, f"usage:{row.consumer}", row.day, name_of(USAGE, row.key)
    elif isinstance(row, KeyRow):
        yield True, "keys", 0, row.key[0]
        yield True, f"keys:{row.api_key().consumer}", 0, row.key[0]
    elif isinstance(row, GrantRow):
        yield True, f"grants:{row.account}", 0, row.key[0]
    elif row.kind in (CONSUMERS, TIERS, LIMITS) and is_new:
        yield True, f"all:{row.kind.name}", 0, row.key[0]
