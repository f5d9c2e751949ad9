"""Contracts of `genlayer-localnet up` run in a process that has nothing: what they reach of this machine."""

from __future__ import annotations

import asyncio
import http.server
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from genlayer_localnet import calldata
from genlayer_localnet.errors import InvalidArgument
from genlayer_localnet.rpc.isolated import child, process
from genlayer_localnet.rpc.isolated.process import ChainProcess
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import HEADER, Client, leader, result

PROBE = HEADER + (
    """
import importlib, os, re, sys

socket, subprocess, posix = map(importlib.import_module, ("socket", "subprocess", "posix"))

def inodes():
    found = []
    for descriptor in range(256):
        try:
            found.append(os.fstat(descriptor).st_ino)
        except OSError:
            continue
    return found

class Probe(gl.Contract):
    ran: u256

    @gl.public.view
    def look(self, code: str) -> str:
        try:
            return repr(eval(code))
        except OSError as error:
            return type(error).__name__

    @gl.public.write
    def run(self, code: str) -> None:
        self.ran += 1
        exec(code)

    @gl.public.view
    def runs(self) -> int:
        return self.ran
"""
)
LONG_CALL = "import itertools; sum(itertools.count())"
ENDLESS_HOST = "import builtins\ndef endless(_):\n    while True: pass\nbuiltins.len = builtins.type = endless"
TIMEOUT, EXIT_1 = b"\x02timeout", b"\x02exit_code 1"


def isolated(*, state: Path | None = None, allow_web: tuple[str, ...] = (), **options: Any) -> RpcServer:
    start = partial(ChainProcess, memory_bytes=512 * 2**20, allow_web=allow_web)
    return RpcServer(NodeOptions(**options), state=state, start_chain=start)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RpcServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_BILLING_KEYSTORE_PASSWORD", "correct horse")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        (Path.home() / "key.json").write_text("{}")
        with isolated(contract_timeout_seconds=1) as running:
            yield running


@pytest.fixture
def client(server: RpcServer) -> Iterator[Client]:
    with closing(RpcConnection(server.url)) as connection:
        yield Client(connection)


@pytest.fixture
def confined(server: RpcServer) -> None:
    left = server.engine.unconfined
    if left:
        pytest.skip(f"this system cannot take from a process: {', '.join(left)}")


@pytest.fixture
def probe(client: Client) -> str:
    return client.deploy(PROBE)


def test_environment__of_the_server__is_not_there(client: Client, probe: str) -> None:
    assert client.read(probe, "look", "sorted(set(os.environ) - {'LC_CTYPE', 'LD_LIBRARY_PATH'})") == "[]"


def test_descriptors__of_the_server__are_not_inherited(client: Client, probe: str, server: RpcServer) -> None:
    listening = os.fstat(server._socket.fileno()).st_ino
    assert client.read(probe, "look", f"0 < len(inodes()) < 20 and {listening} not in inodes()") == "True"


@pytest.mark.usefixtures("confined")
@pytest.mark.parametrize(
    "code",
    [
        "os.listdir({home!r})",
        "open({home!r} + '/key.json').read()",
        "open({home!r} + '/written', 'w')",
        "os.mkdir({home!r} + '/made')",
        "os.unlink({home!r} + '/key.json')",
        "os.rename({home!r} + '/key.json', {home!r} + '/moved')",
        "os.chmod({home!r} + '/key.json', 0o777)",
        "os.utime({home!r} + '/key.json')",
        "os.symlink('/etc', {home!r} + '/link')",
        "open('/tmp/written-by-a-contract', 'w')",
        "open('/etc/passwd').read()",
        "open('/proc/{pid}/environ').read()",
        "open('/proc/self/environ').read()",
        "socket.socket()",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.create_connection(('127.0.0.1', {port}))",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {{}})",
        "posix.fork()",
        "posix.kill({pid}, 0)",
        "posix.kill(os.getpid(), 9)",
        "importlib.import_module('resource').prlimit({pid}, 7)",
        "importlib.import_module('fcntl').fcntl(0, 8, {pid})",
        "importlib.import_module('fcntl').fcntl(0, 10, 9)",
        "importlib.import_module('fcntl').ioctl(0, 0x8901, b'1234')",
        "os.sched_setaffinity({pid}, {{0}})",
        "os.open(os.__file__, os.O_TRUNC)",
        "os.truncate(os.__file__, 1 << 30)",
        *(
            "(lambda c: (c.CDLL(None, use_errno=True)." + call + ", c.get_errno()) == (-1, 1) and posix.kill(1, 0))"
            "(importlib.import_module('ctypes'))"
            for call in ("shmctl(-1, 0, 0)", "semctl(-1, 0, 0)", "msgctl(-1, 0, 0)")
        ),
    ],
)
def test_machine__asked_by_a_contract__refuses(client: Client, probe: str, server: RpcServer, code: str) -> None:
    asked = code.format(home=str(Path.home()), pid=os.getpid(), port=server.port)
    assert client.read(probe, "look", asked) in ("PermissionError", "FileNotFoundError")
    assert (Path.home() / "key.json").read_text() == "{}"


@pytest.mark.parametrize("code", ["__import__('decimal')", "__import__('zoneinfo').ZoneInfo('Europe/Berlin')"])
def test_python__asked_by_a_contract__is_all_there(client: Client, probe: str, code: str) -> None:
    assert client.read(probe, "look", code)


@pytest.mark.parametrize("code", ["re.match('(a+)+$', 'a' * 64 + 'b')", "pow(3, 1 << 28, (1 << 400_000) - 1)"])
def test_long_call__into_c_that_looks_for_signals__is_ended(client: Client, probe: str, code: str) -> None:
    sent = client.write(probe, "run", code)
    assert (result(sent), sent["status"], client.read(probe, "runs")) == (TIMEOUT, "LEADER_TIMEOUT", 0)


@pytest.fixture(scope="module")
def patient() -> Iterator[Client]:
    """Of a server with memory to run out of, and time enough to do so."""
    with isolated() as server, closing(RpcConnection(server.url)) as connection:
        yield Client(connection)


@pytest.mark.parametrize(
    "code", ["x = []\nwhile True: x.append(bytes(1 << 20))", "bytes(1 << 40)", "x = [0]\nwhile True: x += x"]
)
def test_memory__taken_without_end__is_the_calls_error(patient: Client, code: str) -> None:
    probe = patient.deploy(PROBE)
    sent = patient.write(probe, "run", code)
    assert (result(sent), "MemoryError" in leader(sent)["genvm_result"]["stderr"]) == (EXIT_1, True)
    patient.write(probe, "run", "x = bytearray(100 << 20)")
    assert patient.read(probe, "runs") == 1


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"fetched")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_page__of_this_machine__is_refused_unless_allowed(client: Client, page: str) -> None:
    sent = client.write(client.deploy(), "page", page)
    assert "127.0.0.1 is no public address: see --allow-web 127.0.0.1:" in leader(sent)["genvm_result"]["stderr"]


def test_page__of_an_allowed_host__is_fetched_by_the_server(page: str) -> None:
    host = page.removeprefix("http://").strip("/")
    with isolated(allow_web=(host,)) as server, closing(RpcConnection(server.url)) as connection:
        client = Client(connection)
        assert result(client.write(client.deploy(), "page", page)) == b"\x00" + calldata.encode("fetched")


def test_allowed_host__that_is_none__is_refused_at_the_start() -> None:
    with pytest.raises(InvalidArgument, match="--allow-web http://x: one is like this"):
        isolated(allow_web=("http://x",))


@pytest.mark.parametrize("code", [LONG_CALL, ENDLESS_HOST, "importlib.import_module('ctypes').string_at(0)"])
def test_chain__that_a_contract_has_ended__goes_on_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    for name, seconds in (("_GRACE_SECONDS", 0.5), ("_PING_SECONDS", 0.1), ("_SOON_SECONDS", 0)):
        monkeypatch.setattr(process, name, seconds)
    options = {"contract_timeout_seconds": 0.5}
    with isolated(state=tmp_path / "net.sqlite", **options) as server, closing(RpcConnection(server.url)) as connection:
        client = Client(connection)
        probe = client.deploy(PROBE)
        client.write(probe, "run", "pass")
        with pytest.raises(RpcFailure, match="has ended"):
            client.write(probe, "run", code)
        assert client.read(probe, "runs") == 1
        assert requests.get(server.url.replace("/api", "/health"), timeout=60).json() == {"status": "ok"}


SEND = """
import re, struct, sys

CONNECTION = int(re.findall(r"[0-9]+", sys.orig_argv[-1])[-1])

def send(kind, payload, number=0):
    data = struct.pack("!IBQ", len(payload), kind, number) + payload
    while data:
        data = data[os.write(CONNECTION, data):]

"""
LONG_FETCH = """
from genlayer_localnet import calldata
page = {"url": "http://192.0.2.1/", "method": "GET", "headers": {}, "body": None}
for number in range(200): send(5, calldata.encode(page), number)
"""


@pytest.mark.parametrize(
    "code",
    [
        "send(7, b'[' * 200_000)",
        "send(7, b'[1e400, 1, 2]')",
        "for number in range(200): send(4, b'', number)",
        LONG_FETCH,
        "import genlayer_localnet.rpc.isolated.child as child, time\n"
        "child._end_process = lambda code: time.sleep(600)\n"
        "socket.socket(fileno=CONNECTION).shutdown(2)\ntime.sleep(600)",
    ],
    ids=["deep JSON", "a level that is infinite", "empty replies", "fetches", "it is silent"],
)
def test_chain__that_sends_what_it_must_not__is_ended_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(process, "_SOON_SECONDS", 0)
    monkeypatch.setattr(process.ChainProcess, "_fetched", lambda *_: threading.Event().wait(20))
    with isolated(state=tmp_path / "net.sqlite") as server, closing(RpcConnection(server.url)) as connection:
        client = Client(connection)
        probe = client.deploy(PROBE)
        before = server.engine.pid  # type: ignore[attr-defined]
        with pytest.raises(RpcFailure, match="has ended"):
            client.write(probe, "run", f"exec({SEND + code!r}, {{**globals()}})\nimport time\ntime.sleep(60)")
        assert client.read(probe, "runs") == 0
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)


def test_chain__killed__is_said_by_health_and_answers() -> None:
    with isolated() as server, closing(RpcConnection(server.url)) as connection:
        assert connection.call("eth_chainId") == hex(61999)
        os.kill(server.engine.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        answer = connection.post({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"})
        health = requests.get(server.url.replace("/api", "/health"), timeout=60)
        assert (answer.status_code, health.status_code) == (503, 503)
        assert "signal 9" in health.json()["reason"]


def test_eager_task__with_all_that_uvloop_gives__runs_at_once() -> None:
    """Whatever Python's own factory takes: before 3.13.3 that is less, and the chain's process ended at its start."""

    async def one() -> int:
        return 1

    async def start() -> bool:
        loop = asyncio.get_running_loop()
        return child._eager_task(loop, one(), name="one", context=None, eager_start=None).done()

    assert asyncio.run(start())
