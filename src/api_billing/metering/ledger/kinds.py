"""What a row is to a store: its kind, and under which columns it is kept.

A row has a key, columns that stay as they were made, and columns that change, in this order. Its values are texts,
numbers of at most 64 bits, bytes and None, as any database has them; amounts are decimal texts, as they have up to 256
bits. A ``name`` is a text that is looked for, a ``text`` is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, cast

Key = tuple[Any, ...]
Values = tuple[Any, ...]
Type = Literal["name", "text", "int", "wei", "bytes"]


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: Type
    optional: bool = False


class Kind:
    """A table. ``make`` gives a row of all its values; ``fixed`` is the number of columns that never change."""

    __slots__ = ("columns", "fixed", "key", "make", "name")

    def __init__(self, name: str, key: str, fixed: str, changing: str, make: Callable[[Sequence[Any]], Row]) -> None:
        self.name = name
        self.key = tuple(map(_column, key.split()))
        self.fixed = len(self.key) + len(fixed.split())
        self.columns = (*self.key, *map(_column, f"{fixed} {changing}".split()))
        self.make = make

    def __repr__(self) -> str:
        return self.name


def _column(text: str) -> Column:
    name, _, type_ = text.partition(":")
    return Column(name, cast(Type, type_.rstrip("?") or "text"), type_.endswith("?"))


@dataclass(slots=True, eq=False)
class Row:
    """What all rows have. ``touched``: it has to be written; ``stored``: the store has it, as it was; ``gone``: it is
    to be deleted. Mutable; only the tables that gave it may be told that it was changed.
    """

    kind: ClassVar[Kind]
    stored: bool = field(default=False, init=False)
    touched: bool = field(default=False, init=False)
    gone: bool = field(default=False, init=False)

    @property
    def key(self) -> Key:
        """What it is found under."""
        return self.values()[: len(self.kind.key)]

    def values(self) -> Values:
        """All of its values, in the order of the columns."""
        raise NotImplementedError

    def changing(self) -> Values:
        """Those of its values that may have changed."""
        return self.values()[self.kind.fixed :]


def _stored(make: Callable[[Sequence[Any]], Row]) -> Callable[[Sequence[Any]], Row]:
    def made(values: Sequence[Any]) -> Row:
        row = make(values)
        row.stored = True
        return row

    return made


def kind_of(cls: type[Row], name: str, key: str, fixed: str = "", changing: str = "") -> Kind:
    make: Callable[[Sequence[Any]], Row] = getattr(cls, "make", lambda values: cls(*values))
    kind = cls.kind = Kind(name, key, fixed, changing, _stored(make))
    return kind
