"""Server-sent events, as they pass by: what is read of a stream that goes on to its reader unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_MOST: Final = 65_536  # bytes of a line, and of the data of an event


class Events:
    """Takes chunks, and gives the events that they end. An event that is too long is passed over."""

    def __init__(self) -> None:
        self._line, self._length = list[bytes](), 0  # of the line that has not ended
        self._name, self._data, self._size = "", list[str](), 0

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Name and data of each event that ends in this chunk."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._keep(piece)
            line, length = b"".join(self._line).removesuffix(b"\r"), self._length
            self._line, self._length = [], 0
            if line or length > 1:
                self._take(line, length)
                continue
            if self._name and self._data and self._size <= _MOST:
                yield self._name, "\n".join(self._data)
            self._name, self._data, self._size = "", [], 0
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > _MOST:
            self._line.clear()
        elif piece:
            self._line.append(piece)

    def _take(self, line: bytes, length: int) -> None:
        name, _, value = line.decode(errors="replace").partition(":")
        if name == "event":
            self._name = value.removeprefix(" ")
        elif name == "data" or length > _MOST:
            self._size += length
            if self._size <= _MOST:
                self._data.append(value.removeprefix(" "))
