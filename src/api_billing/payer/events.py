"""Server-sent events, as they pass by: what is read of a stream that goes on to its reader unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_MOST: Final = 65_536  # bytes of a line, and of the data of an event


class Events:
    """Takes chunks, and gives the events that they end. An event that is too long is passed over."""

    def __init__(self) -> None:
        self._line, self._name, self._data = b"", "", list[str]()

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Name and data of each event that ends in this chunk."""
        *lines, rest = (self._line + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._line = rest[-_MOST:]
        for line in lines:
            if not line:
                if self._name and self._data:
                    yield self._name, "\n".join(self._data)
                self._name, self._data = "", []
                continue
            name, _, value = line.decode(errors="replace").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._name = value
            elif name == "data" and sum(map(len, self._data)) + len(value) <= _MOST:
                self._data.append(value)
