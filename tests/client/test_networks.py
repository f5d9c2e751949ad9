"""Networks by name, and the files that say where the contract is."""

from pathlib import Path

import pytest
from genlayer_py import chains

from api_billing.contract_source import contract_path
from api_billing.errors import InvalidInput
from api_billing.networks import HEADERS, NETWORKS, Deployment, find_network, load_deployment, save_deployment

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


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "studio-next"])
def test_find_network__by_name__has_the_url_of_genlayer_py(name: str) -> None:
    chain = getattr(chains, name.replace("-", "_"))
    assert find_network(name).rpc_url == chain.rpc_urls["default"]["http"][0]


def test_find_network__that_genlayer_py_knows_since_0_19_only__is_there_before() -> None:
    chain = find_network("studio-next").genlayer_chain()
    assert (chain.id, chain.rpc_urls) == (61997, {"default": {"http": ["https://studio-dev.genlayer.com/api"]}})
    assert chain.consensus_main_contract == chains.studionet.consensus_main_contract
    assert chains.studionet.id != 61997


def test_find_network__that_genlayer_py_knows__is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = find_network("studionet").genlayer_chain()
    monkeypatch.setattr(chains, "studio_devnet", known, raising=False)
    assert find_network("studio-next").rpc_url == known.rpc_urls["default"]["http"][0]


def test_networks__with_the_same_chain_id__are_told_apart_by_url() -> None:
    asimov, bradbury = (find_network(f"testnet-{name}") for name in ("asimov", "bradbury"))
    assert asimov.genlayer_chain().id == bradbury.genlayer_chain().id
    assert asimov.rpc_url != bradbury.rpc_url


@pytest.mark.parametrize(
    ("name", "lines"), [("localnet", ("v0.2", "v0.3")), ("studionet", ("v0.2",)), ("studio-next", ("v0.3",))]
)
def test_network__lines__are_those_it_runs_and_the_first_is_deployed(name: str, lines: tuple[str, ...]) -> None:
    network = find_network(name)
    assert (network.lines, network.line) == (lines, lines[0])


def test_headers__of_the_v02_line__are_those_of_the_sources() -> None:
    header = HEADERS["v0.2"]
    source = contract_path().read_text(encoding="utf-8")
    assert source.startswith(f'# {header.version}\n# {{ "Depends": "{header.pin}" }}\n\n')


def test_find_network__underscores_and_capitals__are_the_same() -> None:
    assert find_network("Testnet_Bradbury") is NETWORKS["testnet-bradbury"]


def test_find_network__other_url__leaves_genlayer_pys_own_chain_alone() -> None:
    assert find_network("localnet", "http://node:1/api").rpc_url == "http://node:1/api"
    assert find_network("localnet").rpc_url != "http://node:1/api"


@pytest.mark.parametrize("url", ["http://127.0.0.1:4000/api", "http://localhost:4000", "http://[::1]:1/api"])
def test_find_network__on_this_machine__is_not_spared(url: str) -> None:
    here = find_network("studio-next", url)
    assert (here.reads_per_10_seconds, here.poll_seconds) == (None, find_network().poll_seconds)
    assert here.accept_seconds == find_network("studio-next").accept_seconds


def test_find_network__on_another_machine__is_spared() -> None:
    assert find_network("studio-next", "https://studio.example/api").reads_per_10_seconds == 20


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
