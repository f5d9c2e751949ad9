"""What the server and the chain's process send each other: frames of a kind, a number and bytes, over a socket pair.

Nothing in a frame is run or unpickled: the server does not trust what a process says that runs contracts.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

_HEADER: Final = struct.Struct("!IBQ")
MAX_FRAME_BYTES: Final = 512 * 1024 * 1024


class Kind(IntEnum):
    START = 1
    """To the chain: how it starts, as JSON."""
    READY = 2
    """To the server: what it is, or why it did not start, as JSON."""
    REQUEST = 3
    """To the chain: the body of a request."""
    REPLY = 4
    """To the server: the status of the reply in two bytes, one whether it has a body, the body."""
    FETCH = 5
    """To the server: an HTTP request of a contract, as calldata."""
    FETCHED = 6
    """To the chain: what came of it, as calldata."""
    LOG = 7
    """To the server: level, name and text, as JSON."""
    PING = 8
    """To the chain: is it well?"""
    PONG = 9
    """To the server: empty, or what is wrong."""
    STOP = 10
    """To the chain: finish what is queued, then end."""
    ETHEREUM_REQUEST = 11
    """As a request, of a client that is known to be made for Ethereum."""


class MalformedFrame(Exception):
    """The other side does not keep to the form."""


def header(kind: Kind, number: int, size: int) -> bytes:
    return _HEADER.pack(size, kind, number)


def frame(kind: Kind, number: int = 0, payload: bytes = b"") -> bytes:
    return header(kind, number, len(payload)) + payload


class Frames:
    """Puts frames together from what a socket gives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, int, bytes]]:
        """The frames that are complete now. Raises: MalformedFrame."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEADER.size:
                size, kind, number = _HEADER.unpack_from(buffer, at)
                if size > MAX_FRAME_BYTES or kind not in Kind._value2member_map_:
                    raise MalformedFrame(f"a frame of kind {kind} and {size} bytes")
                begin = at + _HEADER.size
                if len(buffer) < begin + size:
                    break
                at = begin + size
                yield Kind(kind), number, bytes(memoryview(buffer)[begin:at])
        finally:
            del buffer[:at]


def receive(connection: socket.socket, wanted: Kind) -> bytes:
    """Wait for the first frame of a connection. Raises: MalformedFrame, EOFError."""
    size, kind, _ = _HEADER.unpack(_exactly(connection, _HEADER.size))
    if kind != wanted or size > MAX_FRAME_BYTES:
        raise MalformedFrame(f"a frame of kind {kind} and {size} bytes")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("the connection has ended")
        data += part
    return bytes(data)
