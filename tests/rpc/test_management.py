"""Validators and providers, as the CLI manages them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genlayer_localnet.testing.server import RpcConnection, RpcFailure

from .wire import Client


@pytest.fixture
def net(start: Callable[..., RpcConnection]) -> RpcConnection:
    return start(validators=3)


def test_validators__fresh__are_as_many_as_chosen(net: RpcConnection) -> None:
    everyone = net.call("sim_getAllValidators")
    assert len(everyone) == net.call("sim_countValidators") == 3
    assert net.call("sim_getValidator", everyone[1]["address"]) == everyone[1]


def test_validator__created__votes(net: RpcConnection) -> None:
    created = net.call("sim_createValidator", 8, "localnet", "mock", {}, "custom", {})
    client = Client(net)
    sent = client.write(client.deploy(), "put", 1)
    assert created["stake"] == 8
    assert created["address"] in sent["consensus_data"]["votes"]


def test_validators__random__are_created_within_the_stakes(net: RpcConnection) -> None:
    created = net.call("sim_createRandomValidators", 4, 2, 6, [], [])
    assert len(created) == 4
    assert all(2 <= validator["stake"] <= 6 for validator in created)
    assert net.call("sim_countValidators") == 7


def test_validator__updated__has_the_new_fields(net: RpcConnection) -> None:
    address = net.call("sim_getAllValidators")[0]["address"]
    net.call("sim_updateValidator", address, 9, "another", "model-1", {"a": 1}, "custom", {})
    validator = net.call("sim_getValidator", address)
    assert (validator["stake"], validator["provider"], validator["model"]) == (9, "another", "model-1")


def test_validator__deleted__is_gone(net: RpcConnection) -> None:
    address = net.call("sim_getAllValidators")[0]["address"]
    assert net.call("sim_deleteValidator", address) == address
    with pytest.raises(RpcFailure) as failure:
        net.call("sim_getValidator", address)
    assert failure.value.code == -32001
    client = Client(net)
    assert len(client.write(client.deploy(), "put", 1)["consensus_data"]["votes"]) == 2


def test_validators__none__transactions_are_refused(net: RpcConnection) -> None:
    assert net.call("sim_deleteAllValidators") == []
    with pytest.raises(RpcFailure, match="no validators") as failure:
        Client(net).deploy()
    assert failure.value.code == -32002


def test_providers__fresh__are_available(net: RpcConnection) -> None:
    (provider,) = net.call("sim_getProvidersAndModels")
    assert {"provider", "model", "config", "plugin", "plugin_config"} <= set(provider)
    assert (provider["is_available"], provider["is_model_available"]) == (True, True)


def test_provider__added__can_be_chosen(net: RpcConnection) -> None:
    net.call("sim_addProvider", {"provider": "acme", "model": "m", "config": {}, "plugin": "p", "plugin_config": {}})
    (created,) = net.call("sim_createRandomValidators", 1, 1, 10, ["acme"], [])
    assert (created["provider"], created["model"]) == ("acme", "m")


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("sim_getValidator", ["0x" + "12" * 20], -32001),
        ("sim_getValidator", ["x"], -32602),
        ("sim_createValidator", [-1], -32602),
        ("sim_createValidator", [1, 5], -32602),
        ("sim_createValidator", [1, "a", "b", {}, "c", {"mock_response": 5}], -32602),
        ("sim_createRandomValidators", [1000], -32602),
        ("sim_createRandomValidators", [1, 5, 2], -32602),
        ("sim_createRandomValidators", [1, 1, 1, ["nobody"]], -32000),
        ("sim_createRandomValidators", [1, 1, 1, 5], -32602),
        ("sim_addProvider", [{}], -32602),
        ("sim_addProvider", [5], -32602),
    ],
)
def test_management__wrong__is_refused(rpc: RpcConnection, method: str, params: list[Any], code: int) -> None:
    with pytest.raises(RpcFailure) as failure:
        rpc.call(method, *params)
    assert failure.value.code == code
