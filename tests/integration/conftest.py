"""gltest against a network: the localnet by default, another with `gltest tests/integration --network studionet`.

Where the network is the localnet and no `--rpc-url` says otherwise, one like Studio is started on a free port for these
tests, and gltest is pointed at it. So nothing has to run beforehand, and nothing that runs is disturbed.
"""

from collections.abc import Iterator
from functools import wraps
from typing import Any

import pytest
from genlayer_py.exceptions import GenLayerError
from gltest.clients import get_gl_client
from gltest.helpers import clear_snapshots
from gltest_cli.config.general import get_general_config

from genlayer_localnet.testing.server import local_server


@pytest.fixture(scope="session", autouse=True)
def network() -> Iterator[str]:
    """The URL of the node under test."""
    config = get_general_config()
    if config.get_network_name() != "localnet" or config.plugin_config.rpc_url is not None:
        yield config.get_rpc_url()
        return
    chain_urls = config.get_chain().rpc_urls
    before = list(chain_urls["default"]["http"])
    with local_server(network="studio", finality_window_seconds=1) as server:
        config.plugin_config.rpc_url = server.url
        get_gl_client.cache_clear()
        try:
            yield server.url
        finally:
            config.plugin_config.rpc_url = None
            get_gl_client.cache_clear()
            clear_snapshots()
            chain_urls["default"]["http"] = before  # genlayer-py writes the endpoint into the chain that all share


@pytest.fixture(scope="session", autouse=True)
def fees(network: str) -> None:
    """Where the network has fees, each call is sent with those that genlayer-py estimates for it.

    gltest sends what it is given as `fees`, and estimates none.
    """
    client: Any = get_gl_client()
    try:
        config = client.provider.make_request(method="sim_getFeeConfig", params=[])["result"]
    except GenLayerError:  # a node that knows of no fees
        return
    if not config["enabled"]:
        return
    deploy, write = client.deploy_contract, client.write_contract

    def estimate(**call: Any) -> Any:
        told = {name: call[name] for name in ("address", "function_name", "account", "args", "value")}
        try:
            return client.estimate_transaction_fees_for_write(**told)
        except GenLayerError:  # it is refused when it is tried, as a test may want it
            return client.estimate_transaction_fees()

    @wraps(deploy)
    def deploy_contract(**call: Any) -> Any:
        return deploy(**{**call, "fees": call["fees"] or client.estimate_transaction_fees()})

    @wraps(write)
    def write_contract(**call: Any) -> Any:
        return write(**{**call, "fees": call["fees"] or estimate(**call)})

    client.deploy_contract, client.write_contract = deploy_contract, write_contract
