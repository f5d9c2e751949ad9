"""The processes of the demo: each in a session of its own, with its output in a file, and ended when the demo ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from api_billing.errors import BillingError

_POLL_SECONDS: Final = 0.02
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_DYING_SECONDS: Final = 0.5
_SHOWN_LINES: Final = 5
_MODES: Final = {"studionet": "studio", "studio-next": "studio-next"}
"""Networks that a localnet can be like."""
_DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""  # PR_SET_PDEATHSIG of Linux: who kills the demo kills what it has started


class BrokeOffError(Exception):
    """The demo cannot go on; the text says why."""


class Running:
    """A Python process, used with ``with``. The demo ends it: a Ctrl-C at the terminal does not reach it. It does not
    outlive the thread that started it.

    ``arguments`` are those of the interpreter. Settings of a meter in the caller's environment do not count.
    """

    def __init__(
        self, name: str, folder: Path, arguments: list[str], settings: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = folder / f"{name.replace(' ', '-')}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("API_BILLING_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _DIE_WITH_PARENT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **(settings or {})},
                cwd=folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until[T](self, look: Callable[[], T | None]) -> T:
        """What ``look`` finds in the end. Raises: BrokeOffError, when the process ends first or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while (found := look()) is None:
            self.require_alive()
            if time.monotonic() > deadline:
                raise BrokeOffError(
                    f"the {self.name} did not start in {_START_SECONDS:.0f} seconds{self._last_lines()}"
                )
            time.sleep(_POLL_SECONDS)
        return found

    def require_alive(self, after_seconds: float = 0.0) -> None:
        """Raises: BrokeOffError, with the last lines of its output, when it has ended, or does in so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(after_seconds)
            raise BrokeOffError(f"the {self.name} has ended by itself{self._last_lines()}")

    def stop(self) -> None:
        """Ask it to end, as Ctrl-C does, and kill it when it does not. Idempotent."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        finally:  # also when a second Ctrl-C comes
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def _last_lines(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:]
        return "".join(f"\n  {line}" for line in lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def localnet(folder: Path, accounts: int, std: str, network: str) -> Iterator[tuple[str, Running]]:
    """A localnet like a network, with so many open accounts and everything in memory; yields where its JSON-RPC is, and
    its process.
    """
    ready = folder / "localnet.json"
    options = ["--accounts", str(accounts), "--std", std, "--finality-window", "1", "--strict-funds"]
    options += ["--network", _MODES[network]] if network in _MODES else []
    options += ["--allow-web", "127.0.0.1"]  # where the API is that a contract fetches
    arguments = ["-m", "genlayer_localnet", "up", "--port", "0", "--ready-file", str(ready), *options]

    def look() -> dict[str, Any] | None:
        return json.loads(ready.read_text("utf-8")) if ready.exists() else None

    with Running("localnet", folder, arguments) as process:
        yield str(process.wait_until(look)["url"]), process


@contextmanager
def example_api(
    script: Path, folder: Path, database: Path, settings: Mapping[str, str]
) -> Iterator[tuple[str, Running]]:
    """An example API on a free port, with these settings of its meter; yields its address and its process."""
    port = free_port()
    arguments = [str(script), "--port", str(port), "--database", str(database)]
    with Running("metered API", folder, arguments, settings) as process:
        process.wait_until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}", process


@contextmanager
def blaming(process: Running) -> Iterator[None]:
    """Whatever cannot be done within the block: that this process has ended is the better reason, if it has."""
    try:
        yield
    except (BrokeOffError, BillingError):
        process.require_alive(_DYING_SECONDS)  # its connections end a moment before it does
        raise


def free_port() -> int:
    """A loopback port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool | None:
    with socket.socket() as client:
        return True if client.connect_ex(("127.0.0.1", port)) == 0 else None


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Have SIGTERM, and SIGHUP of a terminal that is closed, end the block as Ctrl-C does: so that it is cleaned up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
