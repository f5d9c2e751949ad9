"""Undo and redo of changes to the world, in time proportional to the number of changes.

Every change is an entry that is its own inverse: undoing an entry gives the entry that makes the change again. So a
journal can be rolled back, and re-applied later, any number of times.

Balances are recorded as differences, everything else as the value that was there before. Differences commute, so the
changes of a transaction in the middle can be taken back while later funding stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class MISSING:
    """Stands for "no such key" in an entry."""


# An entry is (function that makes the inverse change and returns the entry for it, *what it needs).
# Any: the contents depend on the function, and a class per kind would cost an allocation on the hottest path.
Entry = tuple[Any, ...]
Journal = list[Entry]


def splice(slots: dict[bytes, bytearray], slot: bytes, start: int, length: int, data: bytes | bytearray) -> Entry:
    """Replace ``slots[slot][start:start + length]`` and return the inverse."""
    buffer = slots[slot]
    end = start + length
    old = buffer[start:end]
    buffer[start:end] = data
    return (splice, slots, slot, start, len(data), old)


def put_item(mapping: dict[Any, Any], key: Any, value: Any) -> Entry:
    """Set ``mapping[key]``, or delete it when ``value`` is ``MISSING``, and return the inverse."""
    old = mapping.get(key, MISSING)
    if value is MISSING:
        mapping.pop(key, None)
    else:
        mapping[key] = value
    return (put_item, mapping, key, old)


def add_amount(amounts: dict[bytes, int], key: bytes, difference: int) -> Entry:
    """Add to ``amounts[key]`` (0 when absent, dropped when it gets 0) and return the inverse."""
    total = amounts.get(key, 0) + difference
    if total:
        amounts[key] = total
    else:
        amounts.pop(key, None)
    return (add_amount, amounts, key, -difference)


def roll_back(journal: Journal, mark: int = 0) -> Journal:
    """Undo the entries from ``mark`` on, latest first, and take them out; returns what ``re_apply`` needs."""
    undone: Journal = []
    while len(journal) > mark:
        entry = journal.pop()
        change: Callable[..., Entry] = entry[0]
        undone.append(change(*entry[1:]))
    return undone


def re_apply(journal: Journal, undone: Journal) -> None:
    """Make the changes again that ``roll_back`` returned, in their first order, and record them in ``journal``."""
    while undone:
        entry = undone.pop()
        change: Callable[..., Entry] = entry[0]
        journal.append(change(*entry[1:]))


@contextmanager
def without(journals: Sequence[Journal]) -> Iterator[None]:
    """Context manager: the world without the changes of journals, which are in the order they were made in."""
    undone = [(journal, roll_back(journal)) for journal in reversed(journals)]
    try:
        yield
    finally:
        for journal, changes in reversed(undone):
            re_apply(journal, changes)
