"""Texts from outside, made such that every store, log and JSON document can take them.

A JSON document may say ``"\\ud800"``, half of a character, and Python makes a text of it that no encoding can write.
Who keeps a text of a client's, or of an application's own callables, asks ``storable`` when it comes in. NUL is a
character like any other: PostgreSQL, which has none, gets it in an escape of its own.

Names (of consumers, APIs, tiers, keys) are refused instead, where they come in: two that differ must stay two.
"""

from __future__ import annotations


def storable(text: str, most: int) -> str:
    """The text with at most so many characters, and U+FFFD for each half of a character that has no other half."""
    if len(text) > most:
        text = text[:most]
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
