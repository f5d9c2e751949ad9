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
from contextlib import ExitStack, contextmanager
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
    """The URL of an empty database on a server of its own, whose data lies in a new folder ``within`` another.

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
        with _running(command, account, signal.SIGINT, folder) as process:
            _wait_for(process, folder, lambda: _answers(binaries, folder))
            yield f"postgresql:///postgres?host={folder}&user=meter"


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
        with _running([program, str(folder / "ini")], account, signal.SIGINT, folder) as process:
            _wait_for(process, folder, socket_.exists)
            yield f"postgresql:///postgres?host={folder}&port={port}&user=meter"


@contextmanager
def private_redis(within: Path | None = None, *options: str) -> Iterator[str]:
    """The URL of an empty Redis of its own, durable at each answer. Raises: NotInstalled, RuntimeError."""
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
        with _running(command, account, signal.SIGKILL, folder) as process:
            _wait_for(process, folder, lambda: _listens(port))
            yield f"redis://127.0.0.1:{port}/0"


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


@contextmanager
def _running(
    command: Sequence[str], account: dict[str, Any], stop: signal.Signals, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None, **account,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
