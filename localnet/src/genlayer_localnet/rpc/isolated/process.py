"""The server's side of the chain's process: starts it, hands requests over, fetches pages for its contracts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any, Final, cast

from genlayer_localnet import calldata
from genlayer_localnet.errors import LocalnetError
from genlayer_localnet.loading import standard_library
from genlayer_localnet.printing import printable
from genlayer_localnet.rpc.engine import Facts
from genlayer_localnet.rpc.errors import INTERNAL_ERROR, RpcError
from genlayer_localnet.rpc.isolated.frames import Frames, Kind, MalformedFrame, frame, header, receive
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.protocol import Reply, failed

_PONG_SECONDS: Final = 2.0
_PING_SECONDS: Final = 5.0
_OWN_PING: Final = 0
_GRACE_SECONDS: Final = 30.0
"""Longer than a contract may run, and the chain has not answered: nothing in it can end the contract."""
_REPLY_FACTS: Final = 3
"""Bytes before the body of a reply."""
_MAX_FETCHES: Final = 100
"""Far more than a chain asks for, which runs one contract at a time and does not wait for pages that come too late."""
_SOON_SECONDS: Final = 5.0
"""A process that ends before has not been ended by a contract."""
_PACKAGE: Final = Path(__file__).parents[3]
_BOOT: Final = "import sys; sys.path[:] = {path!r}; from genlayer_localnet.rpc.isolated.child import main; main({fd})"
_MAX_LOG_CHARACTERS: Final = 10_000
_PASSED_ON: Final = ("LD_LIBRARY_PATH",)
"""Variables without which some interpreters do not start."""
_logger = logging.getLogger(__name__)


class ChainEnded(Exception):
    """The chain's process has ended: nothing is answered any more."""


class ChainProcess(asyncio.Protocol):
    """An ``Engine`` whose chain and contracts are in a process of their own, confined as far as the system can."""

    def __init__(
        self,
        options: NodeOptions,
        state: Path | None = None,
        memory_bytes: int | None = None,
        allow_web: Collection[str] = (),
    ) -> None:
        """Started by the main thread: it ends with that. Raises: LocalnetError.

        ``allow_web``: hosts that contracts may ask, besides those in the internet.
        """
        self._allow_web = allow_web
        if allow_web:
            from genlayer_localnet.nondet.fetching import Reach  # see ``_fetched``

            Reach(allow_web)
        limit = options.contract_timeout_seconds
        self._patience_seconds = math.inf if limit is None else limit + _GRACE_SECONDS
        self._arguments = json.dumps(_start(options, state, memory_bytes)).encode()
        self._can_go_on = state is not None
        self._leaving = False
        self._numbers = itertools.count(1)
        self._fetches = threading.BoundedSemaphore(_MAX_FETCHES)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._transport: asyncio.Transport | None = None
        self._ended: str | None = None
        self._going_on: asyncio.Task[None] | None = None
        self._launch()

    def _launch(self) -> None:
        """Raises: LocalnetError."""
        self._frames = Frames()
        self._launched_at = self._heard_at = monotonic()
        self._asked_at: float | None = None
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = _spawn(theirs.fileno())
        try:
            self._socket.sendall(frame(Kind.START, payload=self._arguments))
            ready = json.loads(receive(self._socket, Kind.READY))
            if "error" in ready:
                raise LocalnetError(str(ready["error"]))
        except (OSError, EOFError, MalformedFrame, LocalnetError) as error:
            self._kill()
            raise error if isinstance(error, LocalnetError) else LocalnetError("the chain did not start") from error
        accounts = tuple((str(address), str(key)) for address, key in ready["accounts"])
        self.facts = Facts(
            int(ready["chain_id"]),
            str(ready["library"]),
            tuple(map(str, ready["methods"])),
            accounts,
            str(ready["network"]),
        )
        self.unconfined: list[str] = [str(each) for each in ready["unconfined"]]
        """What this system could not take from contracts."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        pass

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Of its own, so that the chain's process does not end with the event loop but when it is told to.
        await self._loop.create_unix_connection(lambda: self, sock=self._socket.dup())

    async def leave(self) -> None:
        self._leaving = True
        if self._transport is not None:
            self._transport.close()

    async def reply(self, body: bytes, *, of_ethereum: bool) -> Reply:
        try:
            answer: bytes = await self._ask(Kind.ETHEREUM_REQUEST if of_ethereum else Kind.REQUEST, body)
        except ChainEnded as error:
            return failed(503, RpcError(INTERNAL_ERROR, str(error)))
        return Reply(int.from_bytes(answer[:2], "big"), answer[3:] if answer[2] else None)

    async def _ask(self, kind: Kind, payload: bytes = b"") -> Any:
        if self._going_on is not None:
            await asyncio.shield(self._going_on)
        if self._transport is None:
            raise ChainEnded(self._ended or "the chain has not started")
        number = next(self._numbers)
        answer = self._waiting[number] = self._loop.create_future()
        try:
            self._transport.writelines([header(kind, number, len(payload)), payload])
            return await answer
        finally:
            del self._waiting[number]

    async def tick(self) -> None:
        """End the chain's process when a contract keeps it from answering: nothing else ends one long call into C."""
        if self._transport is None:
            return
        now = monotonic()
        if self._asked_at is None:
            if now - self._heard_at > _PING_SECONDS:
                self._asked_at = now
                self._transport.write(frame(Kind.PING, _OWN_PING))
        elif now - self._asked_at > self._patience_seconds:
            _logger.error("a contract keeps the chain from answering: its process is ended")
            self._process.kill()

    async def trouble(self) -> str | None:
        try:
            async with asyncio.timeout(_PONG_SECONDS):
                answer: bytes = await self._ask(Kind.PING)
        except TimeoutError:
            return "the chain does not answer: a contract holds it up"
        except ChainEnded as error:
            return str(error)
        return _plain(answer.decode("utf-8", "replace")) or None

    def stop(self, timeout_seconds: float) -> bool:
        """After the event loop has ended."""
        if self._process.poll() is None:
            try:
                self._socket.setblocking(True)  # the event loop has set it for both
                self._socket.sendall(frame(Kind.STOP))
                self._process.wait(timeout_seconds)
            except (OSError, subprocess.TimeoutExpired):
                self._kill()
                return False
        self._kill()
        return True

    def _kill(self) -> None:
        self._socket.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    # --- in the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._ended = f"the chain's process has ended{'' if self._leaving else _how(self._process)}"
        if not self._leaving:
            self._process.kill()  # a contract can have closed its connection alone, and it would keep the state file
            self._process.wait()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChainEnded(self._ended))
        if self._leaving:
            return
        if self._can_go_on and monotonic() - self._launched_at > _SOON_SECONDS:
            _logger.error("%s: it goes on from the state file", self._ended)
            self._going_on = self._loop.create_task(self._go_on())
        else:
            _logger.error("%s: start the server again", self._ended)

    async def _go_on(self) -> None:
        """Start the process again. Everybody waits meanwhile, as at the start."""
        self._socket.close()
        try:
            self._launch()
            await self.open()
            self._ended = None
        except LocalnetError as error:
            self._ended = f"{self._ended}, and did not start again: {error}"
            _logger.error("%s", self._ended)
        finally:
            self._going_on = None

    def data_received(self, data: bytes) -> None:
        try:
            for kind, number, payload in self._frames.feed(data):
                self._take(kind, number, payload)
        except Exception:  # it says what it wants: numbers too large, JSON too deep
            _logger.exception("the chain's process does not keep to the form: it is ended")
            self._process.kill()

    def _take(self, kind: Kind, number: int, payload: bytes) -> None:
        if kind == Kind.PONG and number == _OWN_PING:
            self._asked_at, self._heard_at = None, monotonic()
        elif kind in (Kind.REPLY, Kind.PONG):
            if kind == Kind.REPLY and (
                len(payload) < _REPLY_FACTS or not 200 <= int.from_bytes(payload[:2], "big") < 600
            ):
                raise MalformedFrame("a reply without a status")
            answer = self._waiting.get(number)
            if answer is not None and not answer.done():
                answer.set_result(payload)
        elif kind == Kind.FETCH:
            if not self._fetches.acquire(blocking=False):
                raise MalformedFrame("too many pages at once")
            # No thread of the event loop's own: nobody waits at the end for a page that does not come.
            threading.Thread(target=self._fetch, args=(number, calldata.decode(payload)), daemon=True).start()
        elif kind == Kind.LOG:
            level, name, text = json.loads(payload)
            logging.getLogger(_plain(str(name))).log(int(level), "%s", _plain(str(text)))
        else:
            raise MalformedFrame(f"a frame of kind {kind.name}")

    def _fetch(self, number: int, asked: Any) -> None:
        """In a thread of its own."""
        try:
            answer = self._fetched(asked)
        except Exception as error:
            _logger.exception("a contract's page could not be fetched")
            answer = {"cause": "WEBPAGE_LOAD_FAILED", "text": type(error).__name__}
        finally:
            self._fetches.release()
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._send, frame(Kind.FETCHED, number, calldata.encode(answer)))

    def _fetched(self, asked: Any) -> dict[str, Any]:
        """What came of a request. Blocks."""
        from genlayer_localnet.nondet import (  # a server starts in half the time without, and few contracts fetch
            fetching,
            web,
        )

        request = web.WebRequest(asked["url"], asked["method"], asked["headers"], asked["body"])
        try:
            found = web.fetch_within(fetching.Reach(self._allow_web), request)
        except web.WebError as error:
            return {"cause": error.cause, "text": str(error)}
        return {"status": found.status, "headers": dict(found.headers), "body": found.body}

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    """A new interpreter, not a fork: nothing of this process's memory and environment is in it."""
    path = [str(_PACKAGE), *(entry for entry in sys.path if entry and entry != os.getcwd())]
    options = ["-I", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
    return subprocess.Popen(
        [sys.executable, *options, "-c", _BOOT.format(path=path, fd=descriptor)],
        pass_fds=[descriptor],
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _start(options: NodeOptions, state: Path | None, memory_bytes: int | None) -> dict[str, Any]:
    library = standard_library.choose(options.std)
    given = asdict(options)
    del given["std"]
    return {
        "options": {**given, "now": None if options.now is None else options.now.isoformat()},
        "std": {"name": library.name, "paths": [str(path) for path in library.paths]},
        "state": None if state is None else str(state.absolute()),
        "memory_bytes": memory_bytes,
        "log_level": logging.getLogger().getEffectiveLevel(),
    }


def _how(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(1)
    except subprocess.TimeoutExpired:
        return ""
    return f" (signal {-code})" if code < 0 else f" (exit code {code})"


def _plain(text: str) -> str:
    """Without what a terminal would act on."""
    return printable(text[:_MAX_LOG_CHARACTERS])
