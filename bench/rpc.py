"""Speed of the JSON-RPC server: writes and reads per second, latency, cold start, size of the state file.

Every server keeps its state in a file, so each write is on the disk before it is answered. Clients are processes of
their own, on the same machine. The baseline is the simulator in genlayer-test, as published: about 12 writes/s and
216 reads/s through genlayer-py, with 20 consumers, nothing saved. Those ratios compare with another run on another
day; the ones between 10 and 10,000 consumers are of this run.

    python bench/rpc.py
"""

from __future__ import annotations

import copy
import http.client
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import eth_abi
from eth_account import Account
from rich.console import Console
from rich.table import Table

from api_billing.contract_source import contract_path
from genlayer_localnet import Address, calldata
from genlayer_localnet.rpc import rlp
from genlayer_localnet.rpc.accounts import account_of
from genlayer_localnet.rpc.consensus_calls import MAIN_ADDRESS
from genlayer_localnet.rpc.node import Node, NodeOptions
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.testing.server import ServerProcess
from genlayer_localnet.transactions import Transaction

SIZES = (10, 10_000)
CLIENTS = (1, 8)
SECONDS = 4.0
GEN = 10**18
BASELINE = {"write": 12, "read": 216}
OPERATOR = account_of("localnet", "account", 0)
ADD_TRANSACTION = bytes.fromhex("27241a99")


@dataclass(frozen=True)
class Task:
    """What one client process does: ``kind`` of call, through what, on which contract."""

    kind: str
    through: str
    url: str
    contract: str
    consumers: int
    number: int


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        _cold_start(console)
        rates: dict[tuple[str, str, int, int], float] = {}
        table = Table(title="calls per second, state on disk", title_justify="left")
        for column in ("through", "call", "clients", "consumers", "per second", "p50 ms", "p99 ms", "of baseline"):
            table.add_column(column, justify="left" if column in ("through", "call") else "right")
        for size in SIZES:
            path = Path(folder) / f"{size}.sqlite"
            contract = _prepare(path, size)
            console.print(f"state file with {size:,} consumers: {path.stat().st_size / 2**20:,.1f} MiB")
            with ServerProcess("--state", str(path)) as server:
                for through in ("genlayer-py", "raw HTTP"):
                    for kind in ("write", "read"):
                        for clients in CLIENTS:
                            rate, latencies = _measure(kind, through, server.url, contract, size, clients)
                            rates[through, kind, clients, size] = rate
                            _row(table, through, kind, clients, size, rate, latencies)
        console.print(table)
    for through, kind, clients in sorted({key[:3] for key in rates}):
        small, large = (rates[through, kind, clients, size] for size in SIZES)
        print(f"{through}, {kind}s, {clients} clients: {SIZES[1]:,} consumers run at {large / small:.2f} of {SIZES[0]}")
    print("aims: 10 x the baseline's writes and 3 x its reads through genlayer-py; no slow-down with consumers")


def _row(table: Table, through: str, kind: str, clients: int, size: int, rate: float, latencies: list[float]) -> None:
    cuts = statistics.quantiles(latencies, n=100)
    ratio = f"{rate / BASELINE[kind]:.1f}" if through == "genlayer-py" else ""
    cells = (f"{clients}", f"{size:,}", f"{rate:,.0f}", f"{cuts[49] * 1e3:.1f}", f"{cuts[98] * 1e3:.1f}", ratio)
    table.add_row(through, kind, *cells)


def _cold_start(console: Console) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with ServerProcess() as server:
            server.call("eth_blockNumber")
            times.append(time.perf_counter() - began)
    console.print(f"cold start to the first answer: {min(times):.2f} s")


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


def _measure(kind: str, through: str, url: str, contract: str, size: int, clients: int) -> tuple[float, list[float]]:
    """Calls per second of all clients together, and how long each call took, in seconds."""
    tasks = [Task(kind, through, url, contract, size, number) for number in range(clients)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(clients) as pool:
        results = pool.map(_client, tasks, chunksize=1)
    rate = sum(len(latencies) / elapsed for latencies, elapsed in results)
    return rate, [latency for latencies, _ in results for latency in latencies]


def _client(task: Task) -> tuple[list[float], float]:
    """One client process: the latencies, and the time they took together."""
    makers = {"genlayer-py": _through_genlayer_py, "raw HTTP": _through_raw_http}
    calls = makers[task.through](task)
    for _ in range(3):
        next(calls)()
    latencies: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        call = next(calls)
        started = time.perf_counter()
        call()
        latencies.append(time.perf_counter() - started)
    return latencies, sum(latencies)


def _consumers_of(task: Task) -> Iterator[tuple[int, str]]:
    index = task.number * 7
    while True:
        index += 1
        yield index, _consumer(index * 7_919 % task.consumers)


def _through_genlayer_py(task: Task) -> Iterator[Callable[[], Any]]:
    from genlayer_py import create_account, create_client
    from genlayer_py.chains import localnet

    account = create_account(account_private_key=f"0x{OPERATOR.key.hex()}")
    client = create_client(chain=copy.deepcopy(localnet), endpoint=task.url, account=account)
    for _, consumer in _consumers_of(task):
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

    account = Account.from_key(OPERATOR.key)
    # Nobody else uses these nonces, so no two transactions are the same.
    nonce = (time.time_ns() // 1_000_000 << 32) + (task.number << 24)
    for index, consumer in _consumers_of(task):
        body = (
            _read_body(task, consumer) if task.kind == "read" else _write_body(task, consumer, account, nonce + index)
        )
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
