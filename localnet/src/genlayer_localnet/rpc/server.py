"""The server: the chain and HTTP put together, in the foreground or in a thread."""

from __future__ import annotations

import html
import logging
import socket
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.rpc.engine import Engine
from genlayer_localnet.rpc.http import Application
from genlayer_localnet.rpc.http_server import HttpServer
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.static_files import StaticSite
from genlayer_localnet.rpc.web_guard import WebGuard, is_loopback

if TYPE_CHECKING:
    from genlayer_localnet.rpc.local_engine import LocalEngine
    from genlayer_localnet.rpc.node import Node

_TICK_SECONDS = 0.2
_STOP_SECONDS = 5.0
_BACKLOG = 512
_logger = logging.getLogger(__name__)


class PortInUse(LocalnetError):
    """Another program listens on the port."""


class RpcServer:
    """One chain, and its HTTP server on ``host`` and ``port`` (0 takes a free one); ``site`` is served at ``/app``.

    Contracts run in this process, with its rights; ``start_chain`` makes a chain that runs elsewhere. Web pages of this
    machine may ask it, and those of ``allow_origins``; ``allow_hosts`` are further names of it.
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
        start_chain: Callable[[NodeOptions, Path | None], Engine] | None = None,
    ) -> None:
        """Raises: LocalnetError."""
        guard = WebGuard(host, allow_hosts, allow_origins)
        self._socket = _bind(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        try:
            self.engine = (start_chain or _in_this_process)(
                options or NodeOptions(), None if state is None else Path(state)
            )
        except BaseException:
            self._socket.close()
            raise
        engine = self.engine
        application = Application(engine, _page(self), guard, site)
        self._http = HttpServer(application, engine.open, engine.leave, engine.tick, _TICK_SECONDS)
        self._thread: threading.Thread | None = None
        self._socket.listen(_BACKLOG)  # from here on clients wait instead of being refused

    @property
    def node(self) -> Node:
        """Of a chain in this process; no other has the attribute."""
        return cast("LocalEngine", self.engine).node

    @property
    def methods(self) -> list[str]:
        return list(self.engine.facts.methods)

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
        self.engine.start()
        try:
            self._http.serve_on(self._socket)
        finally:
            self._close()

    def start(self) -> RpcServer:
        """Serve from a thread; connections are accepted when this returns."""
        self.engine.start()
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
        if not self.engine.stop(_STOP_SECONDS):
            _logger.warning("a contract is still running: it is abandoned")


def _in_this_process(options: NodeOptions, state: Path | None) -> Engine:
    from genlayer_localnet.rpc.local_engine import LocalEngine  # the most of all there is: only where it is used

    return LocalEngine(options, state)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off: answers would wait 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, TypeError, ValueError) as error:  # the latter for a text that can be no host
        bound.close()
        raise PortInUse(f"cannot listen on {host} port {port}: {getattr(error, 'strerror', '') or error}") from None
    return bound


def _page(server: RpcServer) -> str:
    facts = server.engine.facts
    names = " ".join(f"<code>{html.escape(name)}</code>" for name in facts.methods)
    library = html.escape(facts.library)
    return (
        "<!doctype html><meta charset=utf-8><title>genlayer-localnet</title>"
        "<body style='font:16px/1.5 system-ui;max-width:46em;margin:3em auto;padding:0 1em'>"
        "<h1>genlayer-localnet</h1>"
        f"<p>A GenLayer network on this machine. Chain id {facts.chain_id}, {library}.</p>"
        "<p>Point a client at <code>/api</code> of this address, for example with genlayer-py:</p>"
        f"<pre>create_client(chain=localnet, endpoint={html.escape(server.url)!r})</pre>"
        f"<p>JSON-RPC methods: {names}</p>"
    )
