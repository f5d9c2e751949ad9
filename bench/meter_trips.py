"""How often a client waits for its server, counted from outside: by what passes between them on the wire.

Part of ``bench/meter.py``. A batch on Redis is a round trip that reads rows, unless the process has all of them from
before, and one that writes them; and one more each time that somebody else has changed one of them meanwhile.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

_PIECE = 1 << 16


@contextmanager
def round_trips(url: str, folder: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """A URL of the same server through a relay, and a count of its round trips until now.

    A round trip begins when the client speaks after the server, or first.
    """
    with TemporaryDirectory(dir=folder) as name:
        listening, connect, counted_url = _sockets(url, Path(name))
        relay = _Relay(listening, connect)
        threading.Thread(target=relay.serve, daemon=True).start()
        try:
            yield counted_url, lambda: relay.trips
        finally:
            listening.close()


def _sockets(url: str, folder: Path) -> tuple[socket.socket, Callable[[], socket.socket], str]:
    parts = urlsplit(url)
    if parts.scheme == "redis":
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        target = (str(parts.hostname), parts.port or 6379)
        return listening, lambda: socket.create_connection(target), f"redis://127.0.0.1:{port}{parts.path}"
    name = ".s.PGSQL.5432"
    host = parse_qs(parts.query)["host"][0]
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / name))
    listening.listen()

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.path.join(host, name))
        return connection

    return listening, connect, url.replace(host, str(folder))


class _Relay:
    """Passes bytes on, for each connection in a thread of its own."""

    def __init__(self, listening: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._listening = listening
        self._connect = connect
        self.trips = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        server_spoke = True
        with client, self._connect() as server, suppress(OSError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    piece = ready.recv(_PIECE)
                    if not piece:
                        return
                    if ready is client:
                        self.trips += server_spoke
                    server_spoke = ready is server
                    (server if ready is client else client).sendall(piece)
