"""Texts from outside (paths, names, what contracts say) as a terminal may get them."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text so that it cannot move a cursor or run backwards; line ends stay.

    Control characters (C0 and C1, so also the start of ANSI sequences) and those of formatting (the bidirectional ones
    among them) become escapes as in Python.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
