"""Localnet servers for tests: in this process (``local_server``), or in one that can be killed (``ServerProcess``)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from genlayer_localnet.rpc.server import RpcServer

START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 15
_POLL_SECONDS = 0.02


def local_server(*, state: Path | str | None = None, **options: Any) -> RpcServer:
    """A server in this process, on a free port of 127.0.0.1, to be used with ``with``: the quick way to have one.

    ``options`` are those of ``NodeOptions``, ``state`` the file its chain is kept in.
    """
    # The plugin imports this module in every session of every project, most of which start no server.
    from genlayer_localnet.rpc.options import NodeOptions
    from genlayer_localnet.rpc.server import RpcServer

    return RpcServer(NodeOptions(**options), state=state)


class RpcFailure(Exception):
    """An error answer of the server."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{message} ({code})")


class RpcConnection:
    """Bare JSON-RPC over one kept HTTP connection, with ids as GenLayer's clients have them. Not thread-safe."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ids = itertools.count(time.time_ns() // 1_000_000)
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, *params: Any) -> Any:
        """The result. Raises: RpcFailure."""
        answer = self.post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}).json()
        if "error" in answer:
            error = answer["error"]
            raise RpcFailure(error["code"], error["message"], error.get("data"))
        return answer["result"]

    def post(self, body: Any) -> requests.Response:
        """The HTTP response to a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        headers = {"Content-Type": "application/json"}
        return self._session.post(self.url, data=data, headers=headers, timeout=START_TIMEOUT_SECONDS)

    def close(self) -> None:
        self._session.close()


class ServerProcess(RpcConnection):
    """``genlayer-localnet up`` with these options, on a free port. Used with ``with``, or stopped with ``stop``."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="genlayer-localnet-")
        self.ready_file = Path(self._folder.name) / "ready.json"
        command = [sys.executable, "-m", "genlayer_localnet", "up", "--port", "0", "--ready-file", str(self.ready_file)]
        self._process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )
        self.ready: dict[str, Any] = self._wait_for(self.ready_file)
        super().__init__(self.ready["url"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_for(self, ready: Path) -> dict[str, Any]:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if ready.exists():
                content: dict[str, Any] = json.loads(ready.read_text("utf-8"))
                return content
            if self._process.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{self._output()}")
            time.sleep(_POLL_SECONDS)
        self._process.kill()
        raise TimeoutError(f"the server did not start in {START_TIMEOUT_SECONDS} seconds:\n{self._output()}")

    def _output(self) -> str:
        output, _ = self._process.communicate(timeout=STOP_TIMEOUT_SECONDS)
        return output

    def stop(self) -> str:
        """Ctrl-C; what the server printed."""
        return self._end(signal.SIGINT)

    def kill(self) -> str:
        """Without a chance to save anything."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> str:
        self.close()
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._output()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._output()
        finally:
            self._folder.cleanup()

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop()
