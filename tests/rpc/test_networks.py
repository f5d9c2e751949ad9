"""What a server is like that is started as one network or the other: chain id, line of GenVM, prices."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genlayer_localnet.cli import app
from genlayer_localnet.rpc.networks import PRICES
from genlayer_localnet.rpc.state_file import StateFileError
from genlayer_localnet.testing.server import RpcConnection, RpcFailure, ServerProcess

from .test_lines import TILL as NEW_TILL
from .wire import MAIN, TILL, ZERO, Client, call_object, leader, new_account, signed, tx_data

Start = Callable[..., RpcConnection]
FREE = {"fee_prices": (0, 0, 0)}


def _deployed(client: Client, source: str) -> dict[str, Any]:
    return leader(client.transaction(client.send(ZERO, tx_data(source.encode(), call_object(None), b""))))


@pytest.mark.parametrize(
    ("network", "chain_id", "has_fees"), [(None, 61999, False), ("studio", 61999, False), ("studio-next", 61997, True)]
)
def test_network__of_this_name__has_its_chain_id_and_fees(
    start: Start, network: str | None, chain_id: int, has_fees: bool
) -> None:
    rpc = start(network=network)
    assert (int(rpc.call("eth_chainId"), 16), rpc.call("sim_getFeeConfig")["enabled"]) == (chain_id, has_fees)


@pytest.mark.parametrize(
    ("network", "source"), [("studio", TILL), ("studio-next", NEW_TILL), (None, TILL), (None, NEW_TILL)]
)
def test_network__contract_of_its_line__runs(start: Start, network: str | None, source: str) -> None:
    client = Client(start(network=network, **FREE))
    assert client.read(client.deploy(source, 3), "get") == 3


@pytest.mark.parametrize(("network", "source", "line"), [("studio", NEW_TILL, "v0.2"), ("studio-next", TILL, "v0.3")])
def test_network__contract_of_the_other_line__is_refused_by_the_vm(
    start: Start, network: str, source: str, line: str
) -> None:
    client = Client(start(network=network, **FREE))
    receipt = _deployed(client, source)
    text = receipt["genvm_result"]["error_description"]
    assert text.startswith(f"invalid_contract unknown_runner (this network runs contracts of the {line} line of GenVM")
    with pytest.raises(RpcFailure, match=f"this network runs contracts of the {line} line"):
        client.rpc.call("gen_getContractSchemaForCode", "0x" + source.encode().hex())


def test_network__chain_id_of_its_own__counts(start: Start) -> None:
    assert start(network="studio-next", chain_id=61127).call("eth_chainId") == hex(61127)


@pytest.mark.parametrize("chain_id", [61997, 61999, 61127])
def test_studio_next__signed_for_it_or_a_localnet__runs(start: Start, chain_id: int) -> None:
    client = Client(start(network="studio-next"))
    other = new_account().address
    client.rpc.call("eth_sendRawTransaction", client.raw("0x", to=other, value=5, chainId=chain_id))
    assert client.balance(other) == 5


def test_studio__signed_for_studio_next__is_refused(start: Start) -> None:
    client = Client(start(network="studio"))
    with pytest.raises(RpcFailure, match="signed for chain 61997, and this one is 61999"):
        client.rpc.call("eth_sendRawTransaction", signed(client.account, to=ZERO, chainId=61997))


def test_contract__of_consensus__has_the_form_that_the_network_wants(start: Start) -> None:
    def parameters(network: str | None) -> list[str]:
        contract = start(network=network).call("sim_getConsensusContract", "ConsensusMain")
        (function,) = [each for each in contract["abi"] if each["name"] == "addTransaction"]
        assert contract["address"] == MAIN
        return [each["type"] for each in function["inputs"]]

    assert parameters("studio") == ["address", "address", "uint256", "uint256", "bytes"]
    assert parameters("studio-next") == ["tuple"]


# --- prices ---


def _prices(rpc: RpcConnection) -> tuple[bool, int, int, int]:
    config = rpc.call("sim_getFeeConfig")
    names = ("genPerTimeUnit", "storageUnitPrice", "receiptGasPrice")
    return config["enabled"], *(int(config["policy"][name]) for name in names)


def test_prices__of_the_option__count(start: Start) -> None:
    assert _prices(start(fee_prices=(1, 2, 3))) == (True, 1, 2, 3)
    assert _prices(start(network="studio-next", **FREE)) == (False, 0, 0, 0)


def test_prices__changed__are_new(start: Start) -> None:
    rpc = start(network="studio-next")
    changed = rpc.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": "7", "timeUnitOverlayBps": 50}})
    assert changed == rpc.call("sim_getFeeConfig")
    assert _prices(rpc) == (True, 7, PRICES.storage_unit_price, PRICES.receipt_gas_price)
    assert changed["policy"]["timeUnitOverlayBps"] == "50"
    assert rpc.call("sim_setFeeConfig", {}) == changed
    rpc.call("sim_setFeeConfig", {"enabled": False})
    assert _prices(rpc) == (False, 0, 0, 0)
    assert rpc.call("sim_setFeeConfig", {})["enabled"] is False
    assert rpc.call("sim_setFeeConfig", {"enabled": True}) == changed


NO_PRICES = dict.fromkeys(("genPerTimeUnit", "storageUnitPrice", "receiptGasPrice"), 0)


def test_prices__all_zero__are_no_fees(start: Start) -> None:
    client = Client(start(network="studio-next", strict_funds=True))
    assert client.rpc.call("sim_setFeeConfig", {"policy": NO_PRICES})["enabled"] is False
    assert client.read(client.deploy(NEW_TILL, 3), "get") == 3
    with pytest.raises(RpcFailure, match="all prices are zero"):
        client.rpc.call("sim_setFeeConfig", {"enabled": True, "policy": NO_PRICES})
    client.rpc.call("sim_setFeeConfig", {"enabled": True})
    assert _prices(client.rpc)[:2] == (True, PRICES.gen_per_time_unit)


def test_prices__where_there_never_were_any__do_not_come_back(start: Start) -> None:
    with pytest.raises(RpcFailure, match="all prices are zero"):
        start().call("sim_setFeeConfig", {"enabled": True})


@pytest.mark.parametrize(
    "config",
    [
        {"enabled": "no"},
        {"price": 1},
        {"policy": {"gasPrice": 1}},
        {"policy": {"genPerTimeUnit": -1}},
        {"policy": {"timeUnitOverlayBps": 10_000}},
        {"policy": {"storageUnitPrice": 2**96}},
        None,
        [],
    ],
)
def test_prices__that_are_none__are_refused(rpc: RpcConnection, config: Any) -> None:
    with pytest.raises(RpcFailure) as caught:
        rpc.call("sim_setFeeConfig", config)
    assert caught.value.code == -32602


# --- in a state file ---


def test_state__of_a_network__goes_on_as_that_with_its_prices(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with ServerProcess("--network", "studio-next", "--state", str(path)) as server:
        server.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": 7}})
    again = start(state=path)
    assert (again.call("eth_chainId"), _prices(again)[:2]) == (hex(61997), (True, 7))


def test_state__without_fees__has_the_last_prices(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with ServerProcess("--network", "studio-next", "--state", str(path)) as server:
        server.call("sim_setFeeConfig", {"policy": {"genPerTimeUnit": 7}})
        server.call("sim_setFeeConfig", {"enabled": False})
    again = start(state=path)
    assert _prices(again)[0] is False
    again.call("sim_setFeeConfig", {"enabled": True})
    assert _prices(again)[:2] == (True, 7)


def test_state__of_another_network__is_refused(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with ServerProcess("--network", "studio-next", "--state", str(path)):
        pass
    with pytest.raises(StateFileError, match="was made with network 'studio-next', not 'studio'"):
        start(state=path, network="studio")


def test_state__from_before_there_were_networks__goes_on(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with ServerProcess("--state", str(path)):
        pass
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM facts WHERE name = 'fees'")
        database.execute("UPDATE facts SET value = json_remove(value, '$.network') WHERE name = 'identity'")
    again = start(state=path)
    assert (again.call("eth_chainId"), _prices(again)[0]) == (hex(61999), False)


# --- the command ---


def test_up__network_and_prices__are_said() -> None:
    with ServerProcess("--network", "studio-next", "--fee-prices", "5,6,7") as server:
        output = server.stop()
    assert "studio-next: contracts of the v0.3 line, fees (5, 6 and 7 wei for time, storage and receipts)" in output
    assert "chain id          61997" in output


@pytest.mark.parametrize("prices", ["1,2", "1,2,x", "1,2,-3", f"1,2,{2**96}"])
def test_up__prices_that_are_none__are_refused(prices: str) -> None:
    result = CliRunner().invoke(app, ["up", "--fee-prices", prices])
    assert result.exit_code == 2
    assert "--fee-prices" in result.stderr
