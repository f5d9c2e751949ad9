"""The sized integers of annotations: how a library's own spelling of one says what it is."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any, Final

__all__ = ("BIGINT", "SIZES", "SizedInteger", "integer_of", "mark")

_ATTR: Final = "__gl_integer__"


@dataclass(frozen=True)
class SizedInteger:
    """What an annotation says of an integer; also the mark itself, in ``typing.Annotated[int, …]``."""

    size: int
    """In bytes; 0 has no bounds."""
    signed: bool


BIGINT: Final = SizedInteger(0, True)
SIZES: Final = {f"{sign}{bits}": SizedInteger(bits // 8, sign == "i") for sign in "ui" for bits in range(8, 257, 8)}
"""``u8`` to ``u256`` and ``i8`` to ``i256``."""


def mark(kind: Any, integer: SizedInteger) -> None:
    """Make an object that stands for a type, such as a ``NewType``, stand for this integer."""
    setattr(kind, _ATTR, integer)


def integer_of(annotation: Any) -> SizedInteger | None:
    """What the annotation says, or None when it is of no such integer."""
    if typing.get_origin(annotation) is typing.Annotated:
        return next((each for each in annotation.__metadata__ if isinstance(each, SizedInteger)), None)
    return getattr(annotation, _ATTR, None)
