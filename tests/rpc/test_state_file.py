"""The state in a file: a server that starts with it goes on where the last one stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from genlayer_localnet import Address
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.options import NodeOptions
from genlayer_localnet.rpc.server import RpcServer
from genlayer_localnet.rpc.state_file import StateFile, StateFileError
from genlayer_localnet.state.journal import MISSING
from genlayer_localnet.state.world import Storage, World
from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import GEN, ZERO, Client, about, call_object, tx_data

NOBODY = "0x" + "77" * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@contextmanager
def _server(path: Path, **options: Any) -> Iterator[tuple[RpcConnection, Node]]:
    with RpcServer(NodeOptions(**{"finality_window_seconds": 60, **options}), state=path) as server:
        connection = RpcConnection(server.url)
        yield connection, server.node
        connection.close()


def _reconnected(client: Client, rpc: RpcConnection) -> Client:
    client.rpc = rpc
    return client


def _content(world: World) -> dict[str, Any]:
    """Everything in a world in a form that can be compared."""

    def entry(change: Any) -> tuple[Any, ...]:
        function, target, *rest = change
        name = target.address if isinstance(target, Storage) else None
        return function.__name__, name, *("missing" if part is MISSING else part for part in rest)

    plain = {"id", "kind", "sender", "origin", "to", "calldata", "value", "created_at", "nonce", "code", "triggered_by"}
    plain |= {"triggered_on", "chain_length", "status", "decided_at", "outcome", "rounds", "children", "balance_wei"}
    plain |= {"mode", "block", "appealed_at", "filename"}
    return {
        "balances": world.balances,
        "nonces": {address: nonce for address, nonce in world.nonces.items() if nonce},
        "storage": {
            address: (account.code, {slot: bytes(content) for slot, content in account.storage.items()})
            for address, account in world.contracts.items()
        },
        "transactions": [
            ({name: getattr(one, name) for name in plain}, [entry(change) for change in one.journal])
            for one in world.transactions.values()
        ],
        "conditions": [
            (one.conditions.validators, one.conditions.rotations, one.conditions.now, one.conditions.source)
            for one in world.transactions.values()
        ],
        "pending": [one.id for one in world.pending],
        "unfinalized": [one.id for one in world.unfinalized],
        "blocks": world.blocks,
        "aliases": world.aliases,
    }


def _busy(rpc: RpcConnection) -> tuple[Client, str]:
    """A chain with some of everything."""
    client = Client(rpc)
    till = client.deploy()
    client.write(till, "pay", "Ann", value=5)
    rpc.call("sim_increaseTime", 61)
    client.write(till, "refuse", "no", value=3)
    client.write(till, "crash")
    client.write(till, "forward", Address(till), 2, "accepted", value=2)
    client.write(till, "forward", Address(till), 2, "finalized", value=2)
    sent = client.write(till, "stamp", sim_config={"genvm_datetime": "2025-01-01T00:00:00Z"})
    rpc.call("eth_sendRawTransaction", client.raw(about("8b5de1bc", sent["hash"])))
    rpc.call("eth_sendRawTransaction", client.raw("0x", to=NOBODY, value=5))
    return client, till


def test_restart__busy_chain__is_exactly_the_same(path: Path) -> None:
    with _server(path) as (rpc, node):
        _busy(rpc)
        before = _content(node.world)
    with _server(path) as (rpc, node):
        assert _content(node.world) == before


def test_restart__busy_chain__becomes_final_as_it_would_have(path: Path) -> None:
    with _server(path) as (rpc, _):
        client, till = _busy(rpc)
    with _server(path) as (rpc, node):
        _reconnected(client, rpc)
        assert client.read(till, "paid", "forwarded") == 2
        assert client.read(till, "paid", "Ann", transaction_hash_variant="latest-final") == 5
        assert client.read(till, "paid", "forwarded", transaction_hash_variant="latest-final") == 0
        rpc.call("sim_increaseTime", 61)
        assert client.read(till, "paid", "forwarded") == 4
        after = _content(node.world)
    with _server(path) as (rpc, node):
        assert _content(node.world) == after


def test_restart__clock__is_as_far_from_the_machines_as_before(path: Path) -> None:
    with _server(path) as (rpc, _):
        rpc.call("sim_setTime", "2031-05-06T07:08:09Z")
    with _server(path) as (rpc, _):
        assert rpc.call("sim_getTime")["time"].startswith("2031-05-06T07:08:")


def test_restart__start_time_given__is_the_time(path: Path) -> None:
    with _server(path) as (rpc, _):
        rpc.call("sim_setTime", "2031-05-06T07:08:09Z")
    with _server(path, now=datetime(2040, 1, 1, tzinfo=UTC)) as (rpc, _):
        assert rpc.call("sim_getTime")["time"].startswith("2040-01-01T00:00:")


def test_restart__snapshots__are_there(path: Path) -> None:
    with _server(path) as (rpc, _):
        client = Client(rpc)
        till = client.deploy()
        client.write(till, "put", 5)
        snapshot = rpc.call("sim_createSnapshot")
        client.write(till, "put", 6)
    with _server(path) as (rpc, _):
        _reconnected(client, rpc)
        assert client.read(till, "get") == 6
        assert rpc.call("sim_createSnapshot") == snapshot + 1
        assert rpc.call("sim_restoreSnapshot", snapshot) is True
        assert client.read(till, "get") == 5
        client.write(till, "pay", "Ann", value=1)
    with _server(path) as (rpc, _):
        _reconnected(client, rpc)
        assert client.read(till, "get") == 6
        assert rpc.call("sim_restoreSnapshot", snapshot + 1) is True
        assert (client.read(till, "get"), client.read(till, "paid", "Ann")) == (6, 0)


def test_restart__waiting_transactions__wait_still(path: Path) -> None:
    with _server(path, auto_mine=False) as (rpc, _):
        client = Client(rpc)
        sent = [client.send(ZERO, tx_data(b"# %d" % number, call_object(None))) for number in range(3)]
    with _server(path, auto_mine=False) as (rpc, node):
        _reconnected(client, rpc)
        assert [transaction.id for transaction in node.world.pending] == sent
        rpc.call("sim_cancelTransaction", sent[1])
        rpc.call("sim_mine")
    with _server(path) as (rpc, _):
        _reconnected(client, rpc)
        assert [client.transaction(one)["status"] for one in sent] == ["ACCEPTED", "CANCELED", "ACCEPTED"]


def test_restart__replaced_transaction__keeps_its_place(path: Path) -> None:
    with _server(path, auto_mine=False) as (rpc, node):
        client = Client(rpc)
        code = tx_data(b"#", call_object(None))
        first, second = (client.send(ZERO, code, nonce=number) for number in range(2))
        for price in (5, 6):
            first = client.send(ZERO, code, nonce=0, gasPrice=price)
        order = [first, second]
        assert [transaction.id for transaction in node.world.pending] == order
        snapshot = rpc.call("sim_createSnapshot")
    with _server(path, auto_mine=False) as (rpc, node):
        assert [transaction.id for transaction in node.world.pending] == order
        rpc.call("sim_restoreSnapshot", snapshot)
        assert [transaction.id for transaction in node.world.pending] == order


def test_restart__validators_and_window__are_kept(path: Path) -> None:
    with _server(path) as (rpc, _):
        rpc.call("sim_createValidator", 7)
        rpc.call("sim_setFinalityWindowTime", 99)
        validators = rpc.call("sim_getAllValidators")
    with _server(path, finality_window_seconds=None) as (rpc, _):
        assert rpc.call("sim_getAllValidators") == validators
        assert rpc.call("sim_getFinalityWindowTime") == 99


def test_restart__used_test_account__is_not_funded_again(path: Path) -> None:
    with _server(path) as (rpc, _):
        account = rpc.call("eth_accounts")[0]
        rpc.call("eth_sendTransaction", {"from": account, "to": NOBODY, "value": hex(10_000 * GEN)})
    with _server(path) as (rpc, _):
        assert rpc.call("eth_getBalance", account, "latest") == "0x0"


def test_restart__same_raw_transaction__does_not_run_again(path: Path) -> None:
    with _server(path) as (rpc, _):
        client = Client(rpc)
        raw = client.raw("0x", to=NOBODY, value=5)
        sent = rpc.call("eth_sendRawTransaction", raw)
    with _server(path) as (rpc, _):
        assert rpc.call("eth_sendRawTransaction", raw) == sent
        assert rpc.call("eth_getBalance", NOBODY, "latest") == "0x5"


def test_clear__then_restart__stays_empty(path: Path) -> None:
    with _server(path) as (rpc, _):
        _busy(rpc)
        rpc.call("sim_clearDbTables", ["current_state", "transactions"])
    with _server(path) as (rpc, node):
        assert (rpc.call("eth_blockNumber"), len(node.world.contracts)) == ("0x0", 0)


@pytest.mark.parametrize(
    "option", [{"chain_id": 61127}, {"seed": "other"}, {"failed_value": "return"}, {"first_children": "stay"}]
)
def test_start__option_contradicts_the_file__is_refused(path: Path, option: dict[str, Any]) -> None:
    with _server(path):
        pass
    with pytest.raises(StateFileError, match=f"was made with {next(iter(option))}"):
        RpcServer(NodeOptions(**option), state=path)


def test_start__option_not_given__is_the_files(path: Path) -> None:
    with _server(path, chain_id=61127, failed_value="return") as (rpc, _):
        client = Client(rpc)
        till = client.deploy()
    with _server(path) as (rpc, _):
        _reconnected(client, rpc).write(till, "refuse", "no", value=5)
        assert (rpc.call("eth_chainId"), client.balance(till)) == (hex(61127), 0)


def test_start__file_in_use__is_refused(path: Path) -> None:
    with _server(path), pytest.raises(StateFileError, match="in use by another localnet"):
        RpcServer(NodeOptions(), state=path)


def test_start__something_else__is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"a text that somebody wrote, and that is longer than the header of a database" * 20)
    with pytest.raises(StateFileError, match="not a state file"):
        RpcServer(NodeOptions(), state=path)
    assert path.read_bytes().startswith(b"a text")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transactions SET body = '{'",
        "UPDATE transactions SET body = '{}'",
        "UPDATE transactions SET body = x'80049502'",
        "UPDATE transactions SET journal = '[[1]]'",
        "UPDATE balances SET wei = 'much'",
        "UPDATE contracts SET code = 'gone'",
        "DELETE FROM codes",
        "UPDATE pages SET page = page + 1",
        "UPDATE pages SET content = 7",
        "UPDATE facts SET value = '{'",
        "UPDATE facts SET value = '[]'",
        "DELETE FROM facts WHERE name = 'validators'",
        "DROP TABLE nonces",
        "CREATE TRIGGER more AFTER UPDATE ON facts BEGIN DELETE FROM balances; END",
        "ALTER TABLE pages RENAME TO kept; CREATE VIEW pages AS SELECT * FROM kept",
    ],
)
def test_start__damaged_content__is_named_and_left_alone(path: Path, statement: str) -> None:
    with _server(path) as (rpc, _):
        _busy(rpc)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(statement)
        before = list(database.iterdump())
    with pytest.raises(StateFileError, match="damaged"):
        RpcServer(NodeOptions(), state=path)
    with closing(sqlite3.connect(path)) as database:
        assert list(database.iterdump()) == before


def test_start__database_of_another_program__is_refused(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(StateFileError, match="another program"):
        StateFile(path)


def test_start__other_version__is_refused(path: Path) -> None:
    StateFile(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StateFileError, match="version 99"):
        StateFile(path)


def test_start__folder_is_missing__is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot open"):
        StateFile(tmp_path / "no" / "state.sqlite")


def test_write__cannot_be_saved__is_an_error_and_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with _server(path) as (rpc, _):
        client = Client(rpc)
        till = client.deploy()
        with monkeypatch.context() as patched:
            patched.setattr(StateFile, "save", full)
            with pytest.raises(RpcFailure, match="disk is full") as failure:
                client.write(till, "put", 5)
        assert failure.value.code == -32603
        client.write(till, "pay", "Ann", value=1)
    with _server(path) as (rpc, _):
        assert _reconnected(client, rpc).read(till, "get") == 1


def test_file__one_more_call__grows_by_little(path: Path, start: Callable[..., RpcConnection]) -> None:
    with _server(path) as (rpc, node):
        client = Client(rpc)
        till = client.deploy()
        rows = sqlite_rows(node)
        client.write(till, "put", 5)
        assert sqlite_rows(node) - rows <= 3


def test_restart__slot_of_many_pages__is_the_same(path: Path) -> None:
    with _server(path) as (rpc, node):
        client = Client(rpc)
        till = client.deploy()
        for length in (1, 1_023, 1_024, 1_025, 5_000):
            client.write(till, "pay", "x" * length, value=length)
        client.write(till, "pay", "x" * 1_024, value=1)
        before = _content(node.world)
        assert max(len(slot) for account in node.world.contracts.values() for slot in account.storage.values()) > 4_096
    with _server(path) as (rpc, node):
        assert _content(node.world) == before


def sqlite_rows(node: Node) -> int:
    """How many rows there are, in all tables."""
    state = node._state
    assert state is not None
    tables = ["balances", "nonces", "contracts", "pages", "transactions", "codes"]
    return sum(state._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)
