"""Texts in header fields: base64 in both alphabets, and the JSON in it. Strict, and bounded by who calls."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, Final

_MAX_DEPTH: Final = 16


class NotReadable(ValueError):
    """A text of somebody else's is not what it should be. The message never quotes it: it may be a credential."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON as RFC 8785 (JCS) has it, of texts, integers, truth values, lists and objects with names in ASCII."""
    return _CANONICAL.encode(value).encode()


def compact(value: Mapping[str, Any]) -> bytes:
    """The shortest JSON, in the order of the members."""
    return _COMPACT.encode(value).encode()


def to_base64url(data: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of base64url without padding. Raises: NotReadable."""
    if "+" in text or "/" in text or "=" in text:
        raise NotReadable("this is not base64url without padding")
    data = _decoded(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    if (rest := len(data) % 3) and to_base64url(data[-rest:]) != text[-rest - 1 :]:
        raise NotReadable("this base64url has bits that stand for nothing")
    return data


def to_base64(data: bytes) -> str:
    """Standard base64, with padding."""
    return b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """The bytes of standard base64, with its padding. Raises: NotReadable."""
    data = _decoded(text)
    if (rest := len(data) % 3) and to_base64(data[-rest:]) != text[-4:]:
        raise NotReadable("this base64 has bits that stand for nothing")
    return data


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object that these bytes are. Raises: NotReadable for anything else, also for a member that is there
    twice, for NaN, for lone surrogates and for what is nested too deeply.
    """
    try:
        text = data.decode()
        value = _DECODER.decode(text)
        if type(value) is not dict or (text.count("{") + text.count("[") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH):
            raise NotReadable("this is not a JSON object, or it is nested too deeply")
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # raises for half of a pair of surrogates
    except NotReadable:
        raise
    except (ValueError, RecursionError) as error:
        raise NotReadable("this is not JSON") from error
    return value


def _decoded(text: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise NotReadable("this is not base64, or not as it is padded here") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotReadable("a member of this JSON is there twice")
    return members


def _refuse(constant: str) -> None:
    raise NotReadable("this is not JSON")


def _depth(value: Any) -> int:
    if type(value) is dict:
        return 1 + max(map(_depth, value.values()), default=0)
    if type(value) is list:
        return 1 + max(map(_depth, value), default=0)
    return 0


_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse)
