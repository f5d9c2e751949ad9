"""Tags of a request as its record has them: a JSON object, whatever an application or its client has put in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from api_billing.metering.texts import storable

_MAX_CHARACTERS: Final = 2000
_MAX_BITS: Final = 256
_MAX_DEPTH: Final = 16
_SCALARS: Final = frozenset({str, bool, type(None)})


def tags_text(tags: Mapping[str, Any]) -> str:
    """A JSON object of at most 2,000 characters; of a value that JSON cannot have, or not that deep, the type's name.

    Longer ones are left out, and their length is said instead. Never raises.
    """
    if not tags:
        return ""
    text = _dump({name: _plain(value) for name, value in tags.items()})
    if len(text) > _MAX_CHARACTERS:
        return _dump({"too_long": len(text)})
    return storable(text, _MAX_CHARACTERS)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS or (kind is int and value.bit_length() <= _MAX_BITS):
        return value
    try:
        text = json.dumps(value, allow_nan=False, default=str)
        if _depth(text) <= _MAX_DEPTH:
            return json.loads(text)
    except Exception:  # a circle, too deep, too long a number, no number, an own class that raises
        pass
    return f"<{kind.__name__}>"


def _depth(text: str) -> int:
    """How deep lists and objects are within each other, at most; brackets within texts are taken for some."""
    depth = deepest = 0
    for letter in text:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
