"""The chain's process: it starts, gives away what it has no need of, and then answers the server's frames.

Contracts run in its main thread, so that the limit of their time also ends what looks for signals: regular expressions,
arithmetic of huge numbers. A second thread has the event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from genlayer_localnet import calldata
from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.interpreter import time_limit
from genlayer_localnet.loading.standard_library import StandardLibrary
from genlayer_localnet.nondet import web
from genlayer_localnet.nondet.web import WebError, WebRequest, WebResponse
from genlayer_localnet.rpc.isolated.confinement import confine
from genlayer_localnet.rpc.isolated.frames import Frames, Kind, frame, header, receive
from genlayer_localnet.rpc.local_engine import LocalEngine
from genlayer_localnet.rpc.options import NodeOptions

_TICK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 5.0
_end_process: Final = os._exit
"""Contracts get another one."""
_logger = logging.getLogger(__name__)


def main(descriptor: int) -> None:
    """Answer on this socket until the server says stop, or has gone."""
    connection = socket.socket(fileno=descriptor)
    start = json.loads(receive(connection, Kind.START))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        engine, library = _engine_of(start)
    except (LocalnetError, OSError) as error:
        connection.sendall(frame(Kind.READY, payload=json.dumps({"error": str(error)}).encode()))
        return
    package = Path(__file__).parents[2]
    unconfined = confine([package, *library.paths], start["memory_bytes"])
    os.dup2(os.open(os.devnull, os.O_WRONLY) if "files" in unconfined else 1, 2)  # 1 leads nowhere already
    time_limit.use_signals()
    facts = engine.facts
    ready = {
        "chain_id": facts.chain_id,
        "library": facts.library,
        "methods": facts.methods,
        "accounts": facts.accounts,
        "network": facts.network,
        "unconfined": unconfined,
    }
    connection.sendall(frame(Kind.READY, payload=json.dumps(ready).encode()))
    chain = _Chain(engine, connection, start["log_level"])
    threading.Thread(target=chain.serve, name="genlayer-localnet frames", daemon=True).start()
    engine.worker.work()
    engine.close()
    _end_process(0)


def _eager_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """As asyncio's own, which before Python 3.13.3 does not take all that uvloop gives it."""
    return asyncio.Task(coroutine, loop=loop, **{**options, "eager_start": True})


def _engine_of(start: dict[str, Any]) -> tuple[LocalEngine, StandardLibrary]:
    library = StandardLibrary(start["std"]["name"], tuple(map(Path, start["std"]["paths"])))
    now = start["options"].pop("now")
    options = NodeOptions(**start["options"], std=library, now=None if now is None else datetime.fromisoformat(now))
    state = start["state"]
    return LocalEngine(options, None if state is None else Path(state)), library


class _Chain(asyncio.Protocol):
    """The side of the chain's process, in its event loop."""

    def __init__(self, engine: LocalEngine, connection: socket.socket, log_level: int) -> None:
        self._engine = engine
        self._connection = connection
        self._log_level = log_level
        self._frames = Frames()
        self._numbers = itertools.count(1)
        self._fetches: dict[int, concurrent.futures.Future[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport

    def serve(self) -> None:
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_task_factory(_eager_task)
        await self._loop.create_unix_connection(lambda: self, sock=self._connection)
        logging.basicConfig(level=self._log_level, handlers=[_Log(self._send_soon)], force=True)
        web.ask_through(self._fetch)
        self._do(self._watch())
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                await self._engine.tick()
            except Exception:
                _logger.exception("what is due could not be done")

    async def _watch(self) -> None:
        """End the process where the host itself does not come to an end: a contract has changed what it works with."""
        while time_limit.overdue_seconds() < _GRACE_SECONDS:
            await asyncio.sleep(_TICK_SECONDS)
        _logger.error("a contract could not be ended: its process is")
        self._loop.call_later(_TICK_SECONDS, _end_process, 1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def connection_lost(self, _: Exception | None) -> None:
        """The server has gone; what it was answered is on the disk."""
        _end_process(1)

    def data_received(self, data: bytes) -> None:
        for kind, number, payload in self._frames.feed(data):
            match kind:
                case Kind.REQUEST | Kind.ETHEREUM_REQUEST:
                    self._do(self._reply(number, payload, of_ethereum=kind == Kind.ETHEREUM_REQUEST))
                case Kind.FETCHED:
                    waiting = self._fetches.pop(number, None)
                    if waiting is not None:
                        waiting.set_result(payload)
                case Kind.PING:
                    self._do(self._pong(number))
                case Kind.STOP:
                    self._engine.worker.end()

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, number: int, body: bytes, *, of_ethereum: bool) -> None:
        reply = await self._engine.reply(body, of_ethereum=of_ethereum)
        answer = reply.body or b""
        facts = reply.status.to_bytes(2, "big") + bytes([reply.body is not None])
        self._transport.writelines([header(Kind.REPLY, number, len(facts) + len(answer)), facts, answer])

    async def _pong(self, number: int) -> None:
        trouble = await self._engine.trouble()
        self._transport.write(frame(Kind.PONG, number, (trouble or "").encode()))

    def _send_soon(self, data: bytes) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._transport.write, data)

    def _fetch(self, request: WebRequest) -> WebResponse:
        """Have the server fetch it: this process has no network. Waits. Raises: WebError."""
        waiting: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        number = next(self._numbers)
        self._fetches[number] = waiting
        asked = {"url": request.url, "method": request.method, "headers": dict(request.headers), "body": request.body}
        self._send_soon(frame(Kind.FETCH, number, calldata.encode(asked)))
        found: Any = calldata.decode(waiting.result())
        if "cause" in found:
            raise WebError(found["cause"], found["text"])
        return WebResponse(found["status"], found["headers"], found["body"])


class _Log(logging.Handler):
    """Gives what is logged here to the server, which writes it."""

    def __init__(self, send: Any) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        entry = [record.levelno, record.name, self.format(record)]
        self._send(frame(Kind.LOG, payload=json.dumps(entry).encode()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
