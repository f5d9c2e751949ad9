"""Texts of the meter as PostgreSQL can hold them.

Its text has no NUL, which a path or a header may have: it is sent as an escape sequence. Its indexes have no long
values: of a long name there is a short one, with the whole name in a table of its own.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_NAME_BYTES: Final = 600
SHORT_NAME: Final = MAX_NAME_BYTES // 4  # characters that are no more bytes than that
_KEPT: Final = 80  # characters of a long name
_LONG: Final = "\x1bH"  # what was escaped never has it

_ESCAPED: Final = re.compile("[\x00\x1b]")
_TO_ESCAPE: Final = {"\x00": "\x1b0", "\x1b": "\x1bE"}
_ESCAPE: Final = re.compile("\x1b[0E]")
_FROM_ESCAPE: Final = {escape: sign for sign, escape in _TO_ESCAPE.items()}


def sent(text: str) -> str:
    """A text as PostgreSQL can store it. Raises: UnicodeEncodeError for one that is not Unicode (a lone surrogate)."""
    if text.isascii() and text.isprintable():
        return text
    text.encode()
    return _ESCAPED.sub(lambda match: _TO_ESCAPE[match[0]], text)


def received(text: str) -> str:
    """The text that was sent."""
    return _ESCAPE.sub(lambda match: _FROM_ESCAPE[match[0]], text) if "\x1b" in text else text


def shortened(text: str) -> str:
    """A name that was sent, or the short one that stands for it."""
    if len(text) <= SHORT_NAME or len(encoded := text.encode()) <= MAX_NAME_BYTES:
        return text
    return text[:_KEPT] + _LONG + hashlib.sha256(encoded).hexdigest()


def is_short(text: str) -> bool:
    """Whether it stands for a longer name."""
    return _LONG in text
