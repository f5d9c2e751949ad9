"""The server: node, protocol and HTTP put together, in the foreground or in a thread."""

from __future__ import annotations

import html
import logging
import socket
import threading
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.rpc.eth import EthMethods
from genlayer_localnet.rpc.gen import GenMethods
from genlayer_localnet.rpc.http import Application
from genlayer_localnet.rpc.http_server import HttpServer
from genlayer_localnet.rpc.management import ManagementMethods
from genlayer_localnet.rpc.node import Node, NodeOptions
from genlayer_localnet.rpc.protocol import Protocol, methods_of
from genlayer_localnet.rpc.sim import SimMethods
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.rpc.static_files import StaticSite
from genlayer_localnet.rpc.web_guard import WebGuard, is_loopback
from genlayer_localnet.rpc.worker import ChainWorker

_TICK_SECONDS = 0.2
_STOP_SECONDS = 5.0
_BACKLOG = 512
_logger = logging.getLogger(__name__)


class PortInUse(LocalnetError):
    """Another program listens on the port."""


class RpcServer:
    """One node, and its HTTP server on ``host`` and ``port`` (0 takes a free one); ``site`` is served at ``/app``.

    Web pages of this machine may ask it, and those of ``allow_origins``; ``allow_hosts`` are further names of it.
    ``serve`` blocks until a signal; ``start`` and ``stop``, or a ``with`` block, serve from a thread. Once only.
    """

    def __init__(
        self,
        options: NodeOptions | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: Path | str | None = None,
        site: StaticSite | None = None,
        allow_hosts: Collection[str] = (),
        allow_origins: Collection[str] = (),
    ) -> None:
        """Raises: LocalnetError."""
        guard = WebGuard(host, allow_hosts, allow_origins)
        self._socket = _bind(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        with ExitStack() as undo:
            undo.callback(self._socket.close)
            self._state = StateFile(Path(state)) if state is not None else None
            if self._state is not None:
                undo.callback(self._state.close)
            self.node = Node(options or NodeOptions(), self._state)
            undo.pop_all()
        self._worker = ChainWorker(self.node, self.node if self._state is not None else None)
        protocol = Protocol(
            methods_of(
                EthMethods(self.node), GenMethods(self.node), SimMethods(self.node), ManagementMethods(self.node)
            ),
            self._worker.run,
            self._worker.read,
            self.node.look,
        )
        self.methods = sorted(protocol.methods)
        self._http = HttpServer(Application(protocol, _page(self), guard, site), self._tick, _TICK_SECONDS)
        self._thread: threading.Thread | None = None
        self._socket.listen(_BACKLOG)  # from here on clients wait instead of being refused

    @property
    def url(self) -> str:
        """Where clients on this machine find it."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else "[::1]" if self.host == "::" else self.host
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}/api"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    def serve(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        self._worker.start()
        try:
            self._http.serve_on(self._socket)
        finally:
            self._close()

    def start(self) -> RpcServer:
        """Serve from a thread; connections are accepted when this returns."""
        self._worker.start()
        self._thread = threading.Thread(
            target=self._http.serve_on, args=(self._socket,), name="genlayer-localnet http", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self._http.stop()
            self._thread.join(_STOP_SECONDS)
            self._thread = None
            self._close()

    def __enter__(self) -> RpcServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _close(self) -> None:
        self._socket.close()
        if not self._worker.stop(_STOP_SECONDS):
            _logger.warning("a contract is still running: it is abandoned")
        elif self._state is not None:
            self._state.close()

    async def _tick(self) -> None:
        """Let time pass for what waits for finality, also when nobody asks."""
        if self.node.world.unfinalized:
            await self._worker.run(lambda: None)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off: answers would wait 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PortInUse(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return bound


def _page(server: RpcServer) -> str:
    names = " ".join(f"<code>{html.escape(name)}</code>" for name in server.methods)
    library = html.escape(server.node.library.describe())
    return (
        "<!doctype html><meta charset=utf-8><title>genlayer-localnet</title>"
        "<body style='font:16px/1.5 system-ui;max-width:46em;margin:3em auto;padding:0 1em'>"
        "<h1>genlayer-localnet</h1>"
        f"<p>A GenLayer network on this machine. Chain id {server.node.identity.chain_id}, {library}.</p>"
        "<p>Point a client at <code>/api</code> of this address, for example with genlayer-py:</p>"
        f"<pre>create_client(chain=localnet, endpoint={html.escape(server.url)!r})</pre>"
        f"<p>JSON-RPC methods: {names}</p>"
    )
