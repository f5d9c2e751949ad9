"""Private PostgreSQL, PgBouncer and Redis servers for tests and benchmarks: on sockets of their own, gone afterwards.

The programs are those that are installed (Debian: ``apt-get install postgresql pgbouncer redis-server``).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 20
_ROOM_BYTES: Final = 2**30
_PR_SET_PDEATHSIG: Final = 1
_SLOTS: Final = 16384
_HIGHEST_PORT: Final = 55_535  # servers of a cluster talk on a port that is 10,000 higher


class NotInstalled(Exception):
    """The server's program is not there; the message says how to get it."""


@contextmanager
def private_postgresql(within: Path | None = None, *, durable: bool = False) -> Iterator[str]:
    """The URL of a ``private_postgresql_server``."""
    with private_postgresql_server(within, durable=durable) as server:
        yield server.url


@contextmanager
def private_postgresql_server(within: Path | None = None, *, durable: bool = False) -> Iterator[PrivateServer]:
    """An empty database on a server of its own, whose data lies in a new folder ``within`` another.

    Not ``durable``, it does not wait for the disk: for tests of what is right. Raises: NotInstalled, RuntimeError.
    """
    binaries = _postgresql_binaries()
    if binaries is None:
        raise NotInstalled("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with _private_folder(within) as (folder, account):
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-A", "trust", "-U", "meter", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, **account,
        )  # fmt: skip
        settings = {"listen_addresses": "", "shared_buffers": "32MB"}
        if not durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), *options]
        url = f"postgresql:///postgres?host={folder}&user=meter"
        with _running(url, command, account, folder, lambda: _answers(binaries, folder)) as server:
            yield server


@contextmanager
def private_pgbouncer(within: Path | None, url: str, *settings: str) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode, in front of a ``private_postgresql``.

    ``settings`` are further lines of its file. Raises: NotInstalled, RuntimeError.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise NotInstalled("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    server = dict(parse_qsl(urlsplit(url).query))["host"]
    with _private_folder(within) as (folder, account):
        port = _free_port()
        (folder / "users").write_text('"meter" ""\n')
        lines = [
            "[databases]", f"* = host={server} user=meter", "[pgbouncer]", f"unix_socket_dir = {folder}",
            f"listen_port = {port}", "auth_type = trust", f"auth_file = {folder}/users", "pool_mode = transaction",
            "default_pool_size = 2", *settings,
        ]  # fmt: skip
        (folder / "ini").write_text("\n".join(lines) + "\n")
        socket_ = folder / f".s.PGSQL.{port}"
        of_it = f"postgresql:///postgres?host={folder}&port={port}&user=meter"
        with _running(of_it, [program, str(folder / "ini")], account, folder, socket_.exists):
            yield of_it


@contextmanager
def private_redis(within: Path | None = None, *options: str) -> Iterator[str]:
    """The URL of a ``private_redis_server``."""
    with private_redis_server(within, *options) as server:
        yield server.url


@contextmanager
def private_redis_server(within: Path | None = None, *options: str) -> Iterator[PrivateServer]:
    """An empty Redis of its own, durable at each answer. Raises: NotInstalled, RuntimeError."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotInstalled("Redis is not installed (Debian: apt-get install redis-server)")
    with _private_folder(within) as (folder, account):
        port = _free_port()
        command = [
            program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", *options,
        ]  # fmt: skip
        # Asked to end, Redis refuses while it writes its first file; and what it has is not wanted any more.
        url = f"redis://127.0.0.1:{port}/0"
        with _running(url, command, account, folder, lambda: _listens(port), signal.SIGKILL) as server:
            yield server


@contextmanager
def private_redis_cluster(within: Path | None = None, masters: int = 3) -> Iterator[list[str]]:
    """The URLs of the servers of an empty Redis Cluster of its own. Raises: NotInstalled, RuntimeError."""
    options = ("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")
    with ExitStack() as stack:
        urls = [stack.enter_context(private_redis(within, *options)) for _ in range(masters)]
        ports = [int(url.rpartition(":")[2].partition("/")[0]) for url in urls]
        for index, port in enumerate(ports):
            slots = range(index * _SLOTS // masters, (index + 1) * _SLOTS // masters)
            _tell_redis(port, "CLUSTER", "ADDSLOTS", *map(str, slots))
            _tell_redis(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port))
        until = time.monotonic() + _START_SECONDS
        while not all(b"cluster_state:ok" in _tell_redis(port, "CLUSTER", "INFO") for port in ports):
            if time.monotonic() > until:
                raise RuntimeError("the cluster did not come together")
            time.sleep(0.02)
        yield urls


def memory_folder() -> Path | None:
    """Where files lie in memory; None when there is no such place, or little of it, as in many containers."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES else None


def _postgresql_binaries() -> Path | None:
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
    )
    if found:
        return found[-1]
    program = shutil.which("initdb")
    return None if program is None else Path(program).parent


@contextmanager
def _private_folder(within: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder for a server, and as whom it has to run: PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="meter-", dir=within))
    account: dict[str, Any] = {}
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        yield folder, account
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PrivateServer:
    """A program that serves from a folder of its own: can be killed or frozen, and started again on the same data."""

    def __init__(
        self,
        url: str,
        command: Sequence[str],
        account: dict[str, Any],
        folder: Path,
        is_ready: Callable[[], bool],
        stop: signal.Signals = signal.SIGINT,
    ) -> None:
        self.url = url
        self._command, self._account, self._folder = command, account, folder
        self._is_ready, self._stop = is_ready, stop
        self._process = self._started()

    def start(self) -> None:
        """Start it again, and wait until it answers. Raises: RuntimeError."""
        self._process = self._started()

    def kill(self) -> None:
        """End it and its processes at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def freeze(self) -> None:
        """Have it say nothing any more, without closing anything."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self._process.send_signal(self._stop)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                self._command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None, **self._account,
            )  # fmt: skip
        try:
            _wait_for(process, self._folder, self._is_ready)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self._process.pid, *_children_of(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def _running(*values: Any, **options: Any) -> Iterator[PrivateServer]:
    server = PrivateServer(*values, **options)
    try:
        yield server
    finally:
        server.close()


def _children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # Behind the name in parentheses, which may have anything in it: its state, and its parent.
            if int(status.read_text(errors="replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def _die_with_parent() -> None:
    # A run that is killed leaves no server behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait_for(process: subprocess.Popen[bytes], folder: Path, is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            log = (folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} did not start: {log}")
        time.sleep(0.02)


def _answers(binaries: Path, folder: Path) -> bool:
    asked = [str(binaries / "pg_isready"), "-q", "-h", str(folder), "-U", "meter"]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port <= _HIGHEST_PORT:
            return port


def _tell_redis(port: int, *words: str) -> bytes:
    """The first bytes of the reply to a command."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall("".join([f"*{len(words)}\r\n", *(f"${len(w)}\r\n{w}\r\n" for w in words)]).encode())
        return connection.recv(1 << 16)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
