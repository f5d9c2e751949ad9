"""A relay in front of a server: what a virtual address, a proxy, or a network that fails, is for its clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Relay:
    """Passes bytes between its ``port`` and a server, at (host, port) or the path of a socket.

    ``server`` is that of new connections; those that there are stay where they are.
    """

    def __init__(self, server: tuple[str, int] | str) -> None:
        self.server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._passing = threading.Event()
        self._passing.set()
        self._start(self._accept)

    def stall(self) -> None:
        """Pass nothing on, without closing anything, until ``go_on``."""
        self._passing.clear()

    def go_on(self) -> None:
        """Pass on what came meanwhile, and all that comes."""
        self._passing.set()

    def cut(self) -> None:
        """Break all connections that there are."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections, and break those that there are."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self.go_on()
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in (self._listening, *self._open):
            each.close()

    def _start(self, work: Any, *values: Any) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.accepted += 1
                server = socket.socket(socket.AF_UNIX if isinstance(self.server, str) else socket.AF_INET)
                try:
                    server.connect(self.server)
                except OSError:
                    client.close()
                    server.close()
                    continue
                self._open += [client, server]
                self._start(self._pass, client, server)
                self._start(self._pass, server, client)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while passed := source.recv(1 << 16):
                self._passing.wait()
                sink.sendall(passed)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay_to(server: tuple[str, int] | str) -> Iterator[Relay]:
    """A relay to a server, until the end of the block."""
    relay = Relay(server)
    try:
        yield relay
    finally:
        relay.close()
