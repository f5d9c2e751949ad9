"""Recursive length prefix, read leniently: clients put a byte 00 where the empty text is meant, and so on."""

from __future__ import annotations

from collections.abc import Sequence

Item = bytes | list["Item"]
_MAX_DEPTH = 16


class RlpError(ValueError):
    """The bytes are cut off, nested too deep, or go on after the end."""


def decode(data: bytes) -> Item:
    """The one item that ``data`` is. Lengths and single bytes need not be in their shortest form."""
    item, end = _decode_at(data, 0, 0)
    if end != len(data):
        raise RlpError(f"{len(data) - end} bytes after the end")
    return item


def encode(item: bytes | Sequence[Item]) -> bytes:
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _length(len(item), 0x80) + item
    payload = b"".join(encode(part) for part in item)
    return _length(len(payload), 0xC0) + payload


def _length(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = (length.bit_length() + 7) // 8
    return bytes([offset + 55 + size]) + length.to_bytes(size, "big")


def _decode_at(data: bytes, start: int, depth: int) -> tuple[Item, int]:
    if depth > _MAX_DEPTH:
        raise RlpError("nested too deep")
    if start >= len(data):
        raise RlpError("cut off")
    prefix = data[start]
    if prefix < 0x80:
        return data[start : start + 1], start + 1
    begin, end = _payload(data, start, prefix)
    if prefix < 0xC0:
        return data[begin:end], end
    items: list[Item] = []
    while begin < end:
        item, begin = _decode_at(data, begin, depth + 1)
        if begin > end:
            raise RlpError("an item is longer than its list")
        items.append(item)
    return items, end


def _payload(data: bytes, start: int, prefix: int) -> tuple[int, int]:
    """Where the payload of the item at ``start`` begins and ends."""
    short = prefix - (0x80 if prefix < 0xC0 else 0xC0)
    if short <= 55:
        begin, length = start + 1, short
    else:
        begin = start + 1 + short - 55
        length = int.from_bytes(data[start + 1 : begin], "big")
    if begin > len(data) or begin + length > len(data):
        raise RlpError("cut off")
    return begin, begin + length
