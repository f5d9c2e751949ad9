"""Speed of the JSON-RPC server, beside the simulator in genlayer-test: calls per second, latency, CPU, cold start.

Both run the same contract on the same standard library, and the same clients in processes of their own ask them. The
localnet keeps its state in a file, so each write is on the disk before it is answered; the simulator saves nothing.
Its consumers got their credit before it serves, since it ignores the value of transactions. It copies all storage for
each write, and its list of transactions too, so it gets slower with both.

CPU is what the call costs the client's process and the server's. A client cannot make more calls a second than its own
CPU allows: that is the ceiling, whatever the server does.

    pip install 'genlayer-test[sim]'
    python bench/rpc.py [--quick]
"""

from __future__ import annotations

import copy
import http.client
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import eth_abi
import rlp
from eth_account import Account
from rich.console import Console
from rich.table import Table

from api_billing.contract_source import contract_path
from genlayer_localnet import Address, calldata
from genlayer_localnet.rpc.accounts import TestAccount, account_of
from genlayer_localnet.rpc.consensus_calls import MAIN_ADDRESS
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.state.transactions import Transaction
from genlayer_localnet.testing.server import ServerProcess

OURS, THEIRS = "localnet", "glsim"
FEW, COMPARED, MANY = 10, 20, 10_000
CLIENTS = (1, 8)
SECONDS = 1.5 if "--quick" in sys.argv else 4.0
PREPARED_PER_SECOND = 500
"""Requests over raw HTTP are made before the clock runs."""
AIMS = {"write": 3, "read": 1.5}
GEN = 10**18
ACCOUNTS = [account_of("localnet", "account", number) for number in range(max(CLIENTS))]
"""One for each client, since nonces follow each other. The first is the operator, the others its meters."""
OPERATOR = ACCOUNTS[0]
ADD_TRANSACTION = bytes.fromhex("27241a99")


@dataclass(frozen=True, slots=True)
class Task:
    """What one client process does: ``kind`` of call, through what, on which contract."""

    kind: str
    through: str
    url: str
    contract: str
    consumers: int
    number: int
    prepared: int
    """How many calls are made before the clock runs."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs, with the contract and its consumers in it."""

    name: str
    url: str
    pid: int
    contract: str
    consumers: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Of all clients together; times in seconds, CPU for each call."""

    rate: float
    latencies: list[float]
    client_cpu: float
    server_cpu: float


Key = tuple[str, int, str, str, int]
"""Server, consumers, through, kind, clients."""


def main() -> None:
    console = Console()
    console.width = max(console.width, 110)
    figures: dict[Key, Figure] = {}
    _cold_start(console)
    for name, size in ((THEIRS, COMPARED), (OURS, COMPARED), (OURS, FEW), (OURS, MANY), (THEIRS, MANY)):
        with tempfile.TemporaryDirectory() as folder, _running(name, size, Path(folder), console) as server:
            for through in ("genlayer-py", "raw HTTP"):
                for kind in ("write", "read"):
                    for clients in _clients(name, size):
                        figure = figures[name, size, through, kind, clients] = _measure(server, kind, through, clients)
                        console.print(
                            f"{name}, {size:,} consumers, {through}, {kind}s, {clients}: {figure.rate:,.1f}/s"
                        )
    _print_figures(console, figures)
    _print_ratios(console, figures)


def _clients(name: str, size: int) -> tuple[int, ...]:
    """The simulator copies all of its storage for a write: with many consumers several clients would only wait."""
    return (1,) if (name, size) == (THEIRS, MANY) else CLIENTS


def _print_figures(console: Console, figures: dict[Key, Figure]) -> None:
    table = Table(
        title="calls per second; latency, and CPU of client and server for a call, in ms", title_justify="left"
    )
    for column in ("server", "consumers", "through", "call", "clients", "per second", "p50", "p99", "client", "server"):
        table.add_column(column, justify="left" if column in ("through", "call") else "right", no_wrap=True)
    for (name, size, through, kind, clients), figure in figures.items():
        latencies = figure.latencies if len(figure.latencies) > 1 else figure.latencies * 2
        cuts = statistics.quantiles(latencies, n=100)
        times = (f"{1e3 * seconds:.2f}" for seconds in (cuts[49], cuts[98], figure.client_cpu, figure.server_cpu))
        table.add_row(name, f"{size:,}", through, kind, f"{clients}", f"{figure.rate:,.0f}", *times)
    console.print(table)


def _print_ratios(console: Console, figures: dict[Key, Figure]) -> None:
    """In lines, so that a narrow terminal cuts nothing."""
    for size in (COMPARED, MANY):
        for through, kind, clients in itertools.product(("genlayer-py", "raw HTTP"), AIMS, _clients(THEIRS, size)):
            ours, theirs = (figures[name, size, through, kind, clients] for name in (OURS, THEIRS))
            ceiling = min(clients, os.cpu_count() or 1) / ours.client_cpu
            console.print(
                f"{size:,} consumers, {through}, {kind}s, {clients} clients: {ours.rate / theirs.rate:.1f} x {THEIRS} "
                f"(aim {AIMS[kind]}); at most {ceiling:,.0f} a second ({ceiling / theirs.rate:.1f} x) for the client's "
                f"CPU alone; server CPU {ours.server_cpu / theirs.server_cpu:.2f} of {THEIRS}'s",
                highlight=False,
                soft_wrap=True,
            )
    for through, kind, clients in itertools.product(("genlayer-py", "raw HTTP"), AIMS, CLIENTS):
        few, many = (figures[OURS, size, through, kind, clients] for size in (FEW, MANY))
        console.print(
            f"{through}, {kind}s, {clients} clients: {MANY:,} consumers run at {many.rate / few.rate:.2f} of {FEW}, "
            f"with {many.server_cpu / few.server_cpu:.2f} times the CPU",
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def _running(name: str, size: int, folder: Path, console: Console) -> Iterator[Server]:
    if name == OURS:
        path = folder / "state.sqlite"
        contract = _prepare(path, size)
        console.print(f"state file with {size:,} consumers: {path.stat().st_size / 2**20:,.1f} MiB")
        with ServerProcess("--state", str(path)) as process:
            yield Server(name, process.url, process.pid, contract, size)
        return
    ready = folder / "ready.json"
    command = [sys.executable, str(Path(__file__).with_name("glsim_server.py")), str(ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as simulator:
        try:
            assert simulator.stdin is not None
            simulator.stdin.write(json.dumps([_consumer(index) for index in range(size)]))
            simulator.stdin.close()
            while not ready.exists():
                if simulator.poll() is not None:
                    raise RuntimeError("the simulator did not start: is genlayer-test[sim] installed?")
                time.sleep(0.05)
            content = json.loads(ready.read_text("utf-8"))
            yield Server(name, content["url"], simulator.pid, content["contract"], size)
        finally:
            simulator.kill()


def _cold_start(console: Console) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with ServerProcess() as server:
            server.call("eth_blockNumber")
            times.append(time.perf_counter() - began)
    console.print(f"cold start to the first answer: {min(times):.2f} s")


def _text(account: TestAccount) -> str:
    return Address(account.address).as_hex


def _consumer(number: int) -> str:
    return Address(((number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160).to_bytes(20)).as_hex


def _prepare(path: Path, size: int) -> str:
    """A state file with the billing contract and ``size`` consumers; the contract's address."""
    state = StateFile(path)
    node = Node(NodeOptions(finality_window_seconds=0), state)
    chain, number = node.chain, 0

    def run(sender: bytes, to: bytes, call: dict[str, Any], value: int = 0, code: bytes | None = None) -> None:
        nonlocal number
        number += 1
        transaction = Transaction(
            id=f"0x{number:064x}",
            kind="call" if code is None else "deploy",
            sender=sender,
            origin=sender,
            to=to,
            calldata=calldata.encode(call),
            value=value,
            created_at=node.world.now,
            code=code,
        )
        chain.submit(transaction)
        chain.run_pending()
        assert transaction.outcome is not None
        assert transaction.outcome.kind == "return", transaction.outcome.stderr

    contract = b"\xcc" * 20
    run(OPERATOR.address, contract, {}, code=contract_path().read_bytes())
    run(OPERATOR.address, contract, {"method": "register_api", "args": ["weather", 10**6, 10**6]})
    for meter in ACCOUNTS[1:]:
        run(OPERATOR.address, contract, {"method": "set_meter", "args": ["weather", _text(meter), True]})
    for index in range(size):
        consumer = bytes.fromhex(_consumer(index)[2:])
        run(consumer, contract, {"method": "subscribe", "args": ["weather", GEN, GEN]}, value=GEN)
        if index % 500 == 0:
            chain.finalize_all()
            node.save()
    chain.finalize_all()
    node.set_finality_window(30)
    node.save()
    state.close()
    return Address(contract).as_hex


def _measure(server: Server, kind: str, through: str, clients: int) -> Figure:
    prepared = int(SECONDS * PREPARED_PER_SECOND / clients)
    tasks = [
        Task(kind, through, server.url, server.contract, server.consumers, number, prepared)
        for number in range(clients)
    ]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(clients + 1)
    with context.Pool(clients, _enter, (barrier,)) as pool:
        results = pool.map_async(_client, tasks, chunksize=1)
        barrier.wait()
        before = _cpu_seconds(server.pid)
        done = results.get()
        after = _cpu_seconds(server.pid)
    latencies = [latency for one, _, _ in done for latency in one]
    rate = sum(len(one) / elapsed for one, elapsed, _ in done)
    return Figure(rate, latencies, sum(cpu for _, _, cpu in done) / len(latencies), (after - before) / len(latencies))


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children until now."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = path.read_text("utf-8").rpartition(")")[2].split()
            if int(path.parent.name) == pid or int(fields[1]) == pid:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


_together: Barrier


def _enter(barrier: Barrier) -> None:
    global _together
    _together = barrier


def _client(task: Task) -> tuple[list[float], float, float]:
    """One client process: the latencies, the time they took together, and its CPU time."""
    makers = {"genlayer-py": _through_genlayer_py, "raw HTTP": _through_raw_http}
    calls = makers[task.through](task)
    for _ in range(2):
        next(calls)()
    prepared = list(itertools.islice(calls, task.prepared))
    _together.wait()  # all at once
    latencies: list[float] = []
    began, worked = time.perf_counter(), time.process_time()
    ended = began
    for call in itertools.chain(prepared, calls):
        call()
        started, ended = ended, time.perf_counter()
        latencies.append(ended - started)
        if ended - began > SECONDS:
            break
    return latencies, ended - began, time.process_time() - worked


def _consumers_of(task: Task) -> Iterator[str]:
    return (_consumer(index * 7_919 % task.consumers) for index in itertools.count(task.number * 7 + 1))


def _through_genlayer_py(task: Task) -> Iterator[Callable[[], Any]]:
    from genlayer_py import create_account, create_client
    from genlayer_py.chains import localnet

    account = create_account(account_private_key=f"0x{ACCOUNTS[task.number].key.hex()}")
    client = create_client(chain=copy.deepcopy(localnet), endpoint=task.url, account=account)
    for consumer in _consumers_of(task):
        if task.kind == "read":
            yield lambda consumer=consumer: client.read_contract(
                address=task.contract, function_name="get_account", args=[consumer]
            )
        else:
            yield lambda consumer=consumer: client.write_contract(
                address=task.contract, function_name="consume_credit", args=["weather", consumer]
            )


def _through_raw_http(task: Task) -> Iterator[Callable[[], Any]]:
    """Over one kept connection; transactions are signed before the clock runs."""
    parts = urlsplit(task.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)

    def post(body: bytes) -> Any:
        connection.request("POST", "/api", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        assert "error" not in answer, answer
        return answer["result"]

    account = Account.from_key(ACCOUNTS[task.number].key)
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": [account.address, "latest"]}
    first = int(post(json.dumps(question).encode()), 16)
    for nonce, consumer in enumerate(_consumers_of(task), first):
        body = _read_body(task, consumer) if task.kind == "read" else _write_body(task, consumer, account, nonce)
        yield lambda body=body: post(body)


def _read_body(task: Task, consumer: str) -> bytes:
    call = calldata.encode({"method": "get_account", "args": [consumer]})
    data = "0x" + rlp.encode([call, b"\x00"]).hex()
    fields = {"type": "read", "to": task.contract, "from": "0x" + "00" * 20, "data": data}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "gen_call", "params": [fields]}).encode()


def _write_body(task: Task, consumer: str, account: Any, nonce: int) -> bytes:
    call = calldata.encode({"method": "consume_credit", "args": ["weather", consumer]})
    arguments = [account.address, task.contract, 5, 3, rlp.encode([call, b""])]
    data = ADD_TRANSACTION + eth_abi.encode(["address", "address", "uint256", "uint256", "bytes"], arguments)
    fields = {"nonce": nonce, "gas": 1, "gasPrice": 0, "to": MAIN_ADDRESS, "value": 0, "data": data, "chainId": 61999}
    raw = account.sign_transaction(fields).raw_transaction.hex().removeprefix("0x")
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [f"0x{raw}"]}
    return json.dumps(request).encode()


if __name__ == "__main__":
    main()
