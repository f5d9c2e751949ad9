"""A disk that is full: what was answered with an error is not there, now and later; then everything goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.state_file import StateFile
from genlayer_localnet.testing.server import RpcConnection, RpcFailure, local_server

from .wire import GEN, TILL, ZERO, Client, add_transaction, call_object, tx_data

NOBODY = "0x" + "77" * 20
LARGE = "0x" + "ab" * 100_000
"""Data for which there is no place left."""


class Disk:
    """Of the state file of a server."""

    def __init__(self, server: RpcServer) -> None:
        state = server.node._state
        assert state is not None
        self._db = state._db

    def fill(self) -> None:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {pages}")

    def empty(self) -> None:
        self._db.execute("PRAGMA max_page_count = 1000000000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def server(path: Path) -> Iterator[RpcServer]:
    with local_server(state=path, finality_window_seconds=60) as running:
        yield running


@pytest.fixture
def client(server: RpcServer) -> Iterator[Client]:
    with closing(RpcConnection(server.url)) as connection:
        yield Client(connection)


@pytest.fixture
def disk(server: RpcServer) -> Disk:
    return Disk(server)


def _payment(client: Client) -> str:
    return client.raw(LARGE, to=NOBODY, value=5)


def _refused(client: Client, raw: str) -> None:
    with pytest.raises(RpcFailure, match="full"):
        client.rpc.call("eth_sendRawTransaction", raw)


def _restarted(server: RpcServer, path: Path, client: Client) -> tuple[int, int]:
    """Balances of the recipient and of the client after a restart."""
    server.stop()
    with local_server(state=path) as again, closing(RpcConnection(again.url)) as connection:
        client.rpc = connection
        return client.balance(NOBODY), client.balance()


def test_payment__cannot_be_saved__is_not_there(client: Client, disk: Disk, server: RpcServer, path: Path) -> None:
    raw = _payment(client)
    disk.fill()
    _refused(client, raw)
    assert (client.balance(NOBODY), client.balance()) == (0, 1_000 * GEN)
    assert client.rpc.call("eth_getTransactionCount", client.address) == "0x0"
    disk.empty()
    client.rpc.call("sim_fundAccount", ZERO, 1)  # is saved, and nothing with it
    assert client.balance(NOBODY) == 0
    assert _restarted(server, path, client) == (0, 1_000 * GEN)


def test_payment__cannot_be_saved_and_is_sent_again__is_paid_once(
    client: Client, disk: Disk, server: RpcServer, path: Path
) -> None:
    raw = _payment(client)
    disk.fill()
    _refused(client, raw)
    _refused(client, raw)
    disk.empty()
    assert client.rpc.call("eth_sendRawTransaction", raw) == client.rpc.call("eth_sendRawTransaction", raw)
    assert client.balance(NOBODY) == 5
    assert _restarted(server, path, client) == (5, 1_000 * GEN - 5)


def test_call__cannot_be_saved__leaves_the_contract_as_it_was(client: Client, disk: Disk) -> None:
    till = client.deploy()
    client.write(till, "pay", "Ann", value=3)
    payment = client.raw(
        add_transaction(client.address, till, tx_data(call_object("pay", "x" * 200_000), b"")), value=5
    )
    disk.fill()
    _refused(client, payment)
    assert (client.read(till, "get"), client.balance(till)) == (3, 3)
    disk.empty()
    client.write(till, "pay", "Ann", value=4)
    assert (client.read(till, "get"), client.read(till, "paid", "Ann"), client.balance(till)) == (7, 7, 7)


def test_deploy__cannot_be_saved__leaves_no_contract(client: Client, disk: Disk) -> None:
    code = TILL.encode() + b"\n# " + b"x" * 300_000
    raw = client.raw(add_transaction(client.address, ZERO, tx_data(code, call_object(None), b"")))
    disk.fill()
    _refused(client, raw)
    disk.empty()
    sent = client.rpc.call("eth_sendRawTransaction", raw)
    assert client.read(client.transaction(sent)["data"]["contract_address"], "get") == 0


def test_reads__disk_is_full__are_answered(client: Client, disk: Disk) -> None:
    till = client.deploy()
    disk.fill()
    _refused(client, _payment(client))
    assert (client.read(till, "get"), client.balance()) == (0, 1_000 * GEN)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Breaks the saving of whatever it is told to."""
    with monkeypatch.context() as patch:
        yield patch


def _break(patch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    patch.setattr(StateFile, name, fail)


CHANGES: dict[str, tuple[str, list[Any], str, list[Any]]] = {
    "time": ("sim_increaseTime", [1_000], "sim_getTime", []),
    "window": ("sim_setFinalityWindowTime", [5], "sim_getFinalityWindowTime", []),
    "validators": ("sim_createRandomValidators", [2, 1, 10], "sim_countValidators", []),
    "faucet": ("sim_fundAccount", [NOBODY, 5], "eth_getBalance", [NOBODY]),
    "snapshot restored": ("sim_restoreSnapshot", [1], "eth_blockNumber", []),
    "cleared": ("sim_clearDbTables", [["current_state", "transactions"]], "eth_blockNumber", []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change__cannot_be_saved__is_not_there(
    client: Client, server: RpcServer, path: Path, broken: pytest.MonkeyPatch, change: str
) -> None:
    method, params, question, about = CHANGES[change]
    client.rpc.call("sim_createSnapshot")
    client.deploy()

    def seen(connection: RpcConnection) -> Any:
        answer = connection.call(question, *about)
        return round(answer["timestamp"] / 100) if isinstance(answer, dict) else answer

    before = seen(client.rpc)
    with broken.context() as patch:
        _break(patch, "save")
        with pytest.raises(RpcFailure, match="disk is full"):
            client.rpc.call(method, *params)
        assert seen(client.rpc) == before
    assert seen(client.rpc) == before
    server.stop()
    with local_server(state=path) as again, closing(RpcConnection(again.url)) as connection:
        assert seen(connection) == before


def test_snapshots__cannot_be_deleted__are_there(client: Client, broken: pytest.MonkeyPatch) -> None:
    kept = client.rpc.call("sim_createSnapshot")
    with broken.context() as patch:
        _break(patch, "delete_snapshots")
        with pytest.raises(RpcFailure, match="disk is full"):
            client.rpc.call("sim_deleteAllSnapshots")
    assert client.rpc.call("sim_restoreSnapshot", kept) is True


def test_commit__fails__is_taken_back(path: Path) -> None:
    state = StateFile(path)
    state._db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    state._db.execute("PRAGMA foreign_keys = ON")
    state._db.execute("CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")

    def broken_commit() -> None:
        with state.transaction():
            state._db.execute("INSERT INTO child VALUES (1)")

    with pytest.raises(sqlite3.IntegrityError):
        broken_commit()
    with state.transaction():
        assert state._db.execute("SELECT count(*) FROM child").fetchone() == (0,)
    state.close()
