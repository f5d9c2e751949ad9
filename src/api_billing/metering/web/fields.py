"""Header fields of ours beside the application's: most are added; a few that it may have as well become one field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from api_billing.metering.limits.plan import Fields

_JOINED: Final = frozenset({"access-control-expose-headers", "cache-control"})


def is_plain(fields: Fields) -> bool:
    """Whether none of these is one that both have."""
    return _JOINED.isdisjoint([name.lower() for name, _ in fields])


def merged(own: Iterable[tuple[str, str]], ours: Fields) -> Fields:
    """All fields of a response. Nothing may keep for others what one consumer has paid for, and what the application
    shows to scripts of other origins goes on being shown.
    """
    own = [*own]
    if is_plain(ours) or is_plain(own):
        return [*own, *ours]
    names = {name for name, _ in ours} & _JOINED
    kept, found = [], dict.fromkeys(names, "")
    for name, value in own:
        if (key := name.lower()) in names:
            found[key] = f"{found[key]}, {value}" if found[key] else value
        else:
            kept.append((name, value))
    return [*kept, *((name, joined(name, found.get(name, ""), value)) for name, value in ours)]


def joined(name: str, own: str, ours: str) -> str:
    """The value of a field that the application has given this value, empty when it has given none."""
    if name not in _JOINED or not own:
        return ours
    parts = [part for part in map(str.strip, own.split(",")) if part]
    lower = {part.lower() for part in parts}
    if name == "access-control-expose-headers":
        return ", ".join([*parts, *(part for part in ours.split(", ") if part.lower() not in lower)])
    if lower & {"private", "no-store"}:
        return own
    return ", ".join([ours, *(part for part in parts if part.lower() != "public" and not _is_for_others(part))])


def one_each(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The same where a response holds one field of a name: the values of a name, joined."""
    by_name: dict[str, str] = {}
    for name, value in fields:
        by_name[name] = f"{by_name[name]}, {value}" if name in by_name else value
    return by_name


def _is_for_others(directive: str) -> bool:
    return directive.lower().startswith("s-maxage")
