"""From the path of a request to the name of the API that is billed for it."""

import hashlib
import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from api_billing.contract_api import API_NAME

ROOT_API: Final = "root"
MAX_NAME_LENGTH: Final = 64

_HASH_LENGTH: Final = 12
_HASHED_NAME: Final = re.compile(rf".*--[0-9a-f]{{{_HASH_LENGTH}}}")
_ENCODED_DOT: Final = re.compile("%2e", re.IGNORECASE)
_DOT_SEGMENT: Final = re.compile("/(?:[.]|%2e){1,2}(?:/|$)", re.IGNORECASE)
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._]+")


def api_of(path: str) -> str:
    """Return the API name for a request path (or target): its first segment, as a name the contract accepts.

    - ``/``, a path without a segment (``//x``, ``?a=b``, ``*``, ``host:443``) and the empty text are ``root``.
    - Segments ``.`` and ``..``, also percent-encoded, are resolved as servers do (RFC 3986, 5.2.4): ``/x/../v1`` is
      ``v1``.
    - Query and fragment do not count. Percent-encoding is undone within the segment (``%66oo`` is ``foo``, ``a%2Fb`` is
      one segment), since both spellings are one URL.
    - Segments that differ only in case share an API.
    - A segment that is not a valid name after lower-casing becomes ``<slug>--<hash>``: what is readable of it, and 12
      hex digits (48 bits) of SHA-256 over the whole segment. So do the segments ``root`` and
      ``<any>--<12 hex digits>``, as they would otherwise meet a name that was made here. Thus different segments have
      different names, short of a hash collision.
    """
    segment = _first_segment(path)
    if not segment:
        return ROOT_API
    # What is longer than a name is rare and of any length, so that a cache of it could fill the memory.
    return _cached_name_of(segment) if len(segment) <= MAX_NAME_LENGTH else _name_of(segment)


def _first_segment(path: str) -> str:
    if not path.startswith("/"):
        return ""
    end = len(path)
    for delimiter in "?#":
        found = path.find(delimiter, 1, end)
        if found >= 0:
            end = found
    if _DOT_SEGMENT.search(path, 0, end):
        return next(iter(_without_dots(path[1:end])), "")
    found = path.find("/", 1, end)
    return path[1 : end if found < 0 else found]


def _without_dots(path: str) -> list[str]:
    """The segments of a path that are left when ``.`` and ``..`` are resolved; nothing is above the root."""
    kept: list[str] = []
    for segment in path.split("/"):
        dots = _ENCODED_DOT.sub(".", segment)
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    return kept


def _name_of(segment: str) -> str:
    raw = unquote_to_bytes(segment.encode("utf-8", "surrogatepass"))
    plain = raw.lower().decode("latin-1")
    if API_NAME.fullmatch(plain) and plain != ROOT_API and not _HASHED_NAME.fullmatch(plain):
        return plain
    lowered = raw.decode("utf-8", "surrogateescape").lower()
    digest = hashlib.sha256(lowered.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_LENGTH]
    slug = _NOT_IN_NAMES.sub("-", lowered).strip("._-")
    slug = slug[: MAX_NAME_LENGTH - _HASH_LENGTH - 2].rstrip("._-") or "segment"
    return f"{slug}--{digest}"


_cached_name_of = lru_cache(maxsize=4096)(_name_of)
