"""uvicorn, in the foreground or in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import uvicorn

from genlayer_localnet.rpc.http import Application

_IDLE_SECONDS: Final = 75
_GRACE_SECONDS: Final = 2
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_logger = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """Serves once, on a socket that listens. ``tick`` is called every ``tick_seconds``; its errors are logged.

    ``opening`` and ``closing`` are called in the event loop, before the first request and after the last.

    It ends on a signal without raising it again: the command says itself how it ended.
    """

    def __init__(
        self,
        application: Application,
        opening: Callable[[], Awaitable[None]],
        closing: Callable[[], Awaitable[None]],
        tick: Callable[[], Awaitable[None]],
        tick_seconds: float,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=_logger.isEnabledFor(logging.DEBUG),
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._opening = opening
        self._closing = closing
        self._tick = tick
        self._tick_seconds = tick_seconds
        self._interrupted = False

    def serve_on(self, listening: socket.socket) -> None:
        """Serve until ``stop``; in the main thread also until SIGTERM, and until SIGINT, which it raises then.

        Raises: KeyboardInterrupt.
        """
        self.run(sockets=[listening])
        if self._interrupted:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Let what is being answered end, within two seconds. From any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._opening()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._closing()

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(self._ticking())
        try:
            await super().main_loop()
        finally:
            ticking.cancel()

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            try:
                await self._tick()
            except Exception:
                _logger.exception("what is due could not be done")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._interrupted = self._interrupted or number == signal.SIGINT
        # Another Ctrl-C does not wait.
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True
