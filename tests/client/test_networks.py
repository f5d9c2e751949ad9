"""Networks by name, and the files that say where the contract is."""

from pathlib import Path

import pytest
from genlayer_py import chains

from api_billing.errors import InvalidInput
from api_billing.networks import NETWORKS, Deployment, find_network, load_deployment, save_deployment

DEPLOYMENT = Deployment(
    network="localnet",
    url="http://127.0.0.1:4000/api",
    chain_id=61999,
    address="0x" + "ab" * 20,
    transaction="0x" + "cd" * 32,
    deployer="0x" + "0e" * 20,
    deployed_at="2026-01-15T12:00:00Z",
    code_sha256="00" * 32,
    code_bytes=1,
    source_sha256="00" * 32,
    source_bytes=2,
    minified=True,
)


@pytest.mark.parametrize("name", NETWORKS)
def test_find_network__by_name__has_the_url_of_genlayer_py(name: str) -> None:
    chain = getattr(chains, name.replace("-", "_"))
    assert find_network(name).rpc_url == chain.rpc_urls["default"]["http"][0]


def test_find_network__underscores_and_capitals__are_the_same() -> None:
    assert find_network("Testnet_Bradbury") is NETWORKS["testnet-bradbury"]


def test_find_network__other_url__leaves_genlayer_pys_own_chain_alone() -> None:
    assert find_network("localnet", "http://node:1/api").rpc_url == "http://node:1/api"
    assert find_network("localnet").rpc_url != "http://node:1/api"


def test_find_network__unknown_name__lists_the_names() -> None:
    with pytest.raises(InvalidInput) as refused:
        find_network("mainnet")
    assert "testnet-bradbury" in refused.value.hint


@pytest.mark.parametrize("url", ["node:4000", "ftp://node/", "http://", ""])
def test_find_network__no_url_of_a_node__is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not the URL of a node"):
        find_network("localnet", url)


def test_deployment__saved__is_loaded_again(tmp_path: Path) -> None:
    save_deployment(DEPLOYMENT, tmp_path / "new")
    assert load_deployment("localnet", tmp_path / "new") == DEPLOYMENT


def test_deployment__saved__leaves_no_other_file(tmp_path: Path) -> None:
    save_deployment(DEPLOYMENT, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["localnet.json"]


def test_deployment__none_recorded__is_none(tmp_path: Path) -> None:
    assert load_deployment("localnet", tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 1}'])
def test_deployment__damaged_file__names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "localnet.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"localnet\.json cannot be read"):
        load_deployment("localnet", tmp_path)
